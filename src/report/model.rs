//! What a report says, in numbers and words, before anybody draws it. All lists are by time unless they say otherwise.

use crate::report::moment::Moment;
use crate::report::rows::ControlRow;
use crate::report::rows::DeletionRow;
use crate::report::rows::DrillRow;
use crate::report::rows::ErasureRow;
use crate::report::rows::EventRow;
use crate::report::rows::FindingRow;
use crate::report::rows::KeyRow;
use crate::report::rows::RetentionRow;
use crate::report::rows::SnapshotRow;
use crate::report::rows::Verification;
use serde::Serialize;

/// The report of a period.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// The form of this structure: [`FORM`].
    pub(crate) form: &'static str,
    /// Name and version of the program that made it.
    pub(crate) tool: String,
    /// The repository, hexadecimal.
    pub(crate) repository: String,
    pub(crate) period: ReportPeriod,
    pub(crate) verdict: Verdict,
    pub(crate) runs: Runs,
    /// How old data became, by source.
    pub(crate) recovery_points: Vec<RecoveryPoint>,
    pub(crate) incidents: Vec<IncidentRow>,
    pub(crate) growth: Growth,
    pub(crate) retention: Vec<RetentionRow>,
    pub(crate) verification: Verification,
    pub(crate) drills: Vec<DrillRow>,
    /// What was done with contents, keys and snapshots.
    pub(crate) events: Vec<EventRow>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) erasures: Vec<ErasureRow>,
    pub(crate) deletions: Vec<DeletionRow>,
    pub(crate) controls: Vec<ControlRow>,
    /// Snapshots that were made in the period.
    pub(crate) snapshots: Vec<SnapshotRow>,
    /// What cannot be read: it may hide some of the above.
    pub(crate) findings: Vec<FindingRow>,
}

/// The time that a report is about.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReportPeriod {
    pub(crate) kind: PeriodKind,
    /// `October 2026`, `2026`, `2026-10-03 to 2026-10-20`.
    pub(crate) label: String,
    /// Its first second.
    pub(crate) from: Moment,
    /// Its last second.
    pub(crate) until: Moment,
    /// Until when it is told: its last second, or the time of the newest record if that is before.
    pub(crate) told_until: Moment,
    /// Whether all of it is told.
    pub(crate) is_whole: bool,
    /// The time of the newest record of all.
    pub(crate) newest_record: Option<Moment>,
    /// The time zone in which days begin; a name of the IANA database.
    pub(crate) timezone: String,
    /// Others that plans of the period name.
    pub(crate) other_timezones: Vec<String>,
}

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PeriodKind {
    Month,
    Year,
    /// From one day to another.
    Span,
}

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Good,
    /// Nothing was expected, or nothing is known.
    Unknown,
    /// Somebody should look at it.
    Attention,
    Bad,
}

/// What an owner reads first.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// The worst of the points.
    pub(crate) level: Level,
    pub(crate) sentence: String,
    /// What it is made of, in the order of the page.
    pub(crate) points: Vec<VerdictPoint>,
}

/// One part of a verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerdictPoint {
    pub(crate) level: Level,
    /// The section of the page that has more: `runs`.
    pub(crate) section: &'static str,
    /// `Runs`
    pub(crate) title: &'static str,
    /// The number that says most: `29 of 31`.
    pub(crate) figure: String,
    /// A sentence.
    pub(crate) words: String,
}

/// Runs that were to come.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Runs {
    /// Whether a plan stood at some time of the period: without one nothing was expected.
    pub(crate) is_planned: bool,
    pub(crate) total: RunCounts,
    /// By job, then source.
    pub(crate) jobs: Vec<JobRuns>,
    pub(crate) list: Vec<RunRow>,
    /// Snapshots that no run of a schedule made: of triggers, or by hand.
    pub(crate) unscheduled: Vec<Unscheduled>,
}

/// What became of runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RunCounts {
    /// Those that were to come and whose time is over.
    pub(crate) expected: u64,
    pub(crate) succeeded: u64,
    pub(crate) late: u64,
    pub(crate) incomplete: u64,
    pub(crate) failed: u64,
    pub(crate) missed: u64,
    /// Those that had time left when the newest record was made; not expected yet.
    pub(crate) open: u64,
    /// Hundredths of a percent of the expected ones that succeeded, rounded down; nothing if none was expected.
    pub(crate) success_hundredths: Option<u64>,
}

/// The runs of a job.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobRuns {
    pub(crate) job: String,
    pub(crate) source: String,
    /// As plans of the period say them.
    pub(crate) schedules: Vec<String>,
    /// What else starts it.
    pub(crate) triggers: Vec<String>,
    pub(crate) counts: RunCounts,
    /// Its snapshots that no schedule made.
    pub(crate) unscheduled: u64,
}

/// Snapshots of a source that no schedule made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Unscheduled {
    pub(crate) source: String,
    pub(crate) snapshots: u64,
}

/// A run that was to come.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunRow {
    pub(crate) job: String,
    pub(crate) source: String,
    pub(crate) due: Moment,
    pub(crate) outcome: RunState,
    /// The snapshot that it made, hexadecimal.
    pub(crate) snapshot: Option<String>,
    /// When the data of that was complete.
    pub(crate) finished: Option<Moment>,
    pub(crate) evidence: Vec<String>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunState {
    Succeeded,
    /// It had time left when the newest record was made.
    Open,
    Late,
    Incomplete,
    Failed,
    Missed,
}

/// How old the newest complete data of a source became.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RecoveryPoint {
    pub(crate) source: String,
    pub(crate) jobs: Vec<String>,
    /// How old it may become, as the plan says that stood last.
    pub(crate) target_seconds: Option<u64>,
    /// The oldest that it became in the period; nothing if there was no complete snapshot.
    pub(crate) worst_seconds: Option<i64>,
    pub(crate) worst_at: Option<Moment>,
    /// How old it was at the end.
    pub(crate) end_seconds: Option<i64>,
    /// For how many seconds it was older than it may become.
    pub(crate) over_seconds: i64,
    /// How often it became so.
    pub(crate) over_count: u64,
    /// Moments and the age then, in seconds: before and after each complete snapshot.
    pub(crate) line: Vec<(Moment, i64)>,
    /// The snapshots between which it became oldest.
    pub(crate) evidence: Vec<String>,
}

/// An incident that was open in the period.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IncidentRow {
    pub(crate) incident: String,
    pub(crate) began: Option<Moment>,
    pub(crate) ended: Option<Moment>,
    /// From its beginning to its end, or to the end of the period.
    pub(crate) seconds: Option<i64>,
    pub(crate) is_open: bool,
    pub(crate) sources: Vec<String>,
    /// What happened, then what was done.
    pub(crate) words: Vec<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) snapshots: Vec<String>,
    /// From the newest data that came back to its beginning: what was lost.
    pub(crate) lost_seconds: Option<i64>,
    /// The least that a plan asks for of its sources: of all, if it names none.
    pub(crate) target_seconds: Option<u64>,
    pub(crate) evidence: Vec<String>,
}

/// How a repository grew.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Growth {
    /// The last state of each day.
    pub(crate) states: Vec<StatePoint>,
    /// What runs stored, by day; every day of the period.
    pub(crate) days: Vec<DayBytes>,
    /// Copies, as the last state of the period tells them.
    pub(crate) copies: Vec<CopyRow>,
}

/// How a repository stood.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StatePoint {
    pub(crate) time: Moment,
    pub(crate) snapshots: u64,
    /// Bytes of the files of all snapshots.
    pub(crate) source_bytes: u64,
    pub(crate) packs: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) evidence: String,
}

/// What the runs of a day stored.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DayBytes {
    /// `2026-10-14`
    pub(crate) day: String,
    pub(crate) snapshots: u64,
    /// Bytes of the files of the snapshots.
    pub(crate) bytes: u64,
    /// Bytes that were stored for them.
    pub(crate) bytes_stored: u64,
}

/// How a second copy stood.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CopyRow {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) behind_seconds: Option<u64>,
    pub(crate) lag_seconds: Option<u64>,
    pub(crate) versions: Option<bool>,
    pub(crate) locked_days: Option<u32>,
    pub(crate) error: Option<String>,
    pub(crate) evidence: String,
}

impl RunState {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Open => "open",
            Self::Late => "late",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }
}

impl RunCounts {
    /// Adds a run.
    pub(crate) fn add(&mut self, state: RunState) {
        let counter = match state {
            RunState::Open => {
                self.open += 1;
                return;
            }
            RunState::Succeeded => &mut self.succeeded,
            RunState::Late => &mut self.late,
            RunState::Incomplete => &mut self.incomplete,
            RunState::Failed => &mut self.failed,
            RunState::Missed => &mut self.missed,
        };
        *counter += 1;
        self.expected += 1;
        self.success_hundredths = crate::report::words::hundredths(self.succeeded, self.expected);
    }
}

/// The form of a report; a new number if a member changes its meaning.
pub(crate) const FORM: &str = "sbf-repo report 1";
