//! What jobs are expected to have done, and what of it is not so.

use crate::calendar::Calendar;
use crate::ops::look::SnapshotRow;
use crate::ops::status::slots;
use crate::ops::status::slots::KeptSlots;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use serde::Serialize;
use std::time::Duration;

/// What is expected of a job.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    /// What people call it.
    pub(crate) job: String,
    /// Its source.
    pub(crate) source: String,
    /// How old the data of its newest complete snapshot may be.
    pub(crate) age_max: Option<Duration>,
    /// When it runs.
    pub(crate) schedule: Option<Calendar>,
    /// How long after its time a run may end.
    pub(crate) grace: Duration,
    /// What the policy should have left.
    pub(crate) kept: KeptSlots,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// Its source.
    pub source: String,
    /// How old its newest snapshot may be, in seconds.
    pub age_max_seconds: Option<u64>,
    /// When it runs, as the configuration file says it.
    pub schedule: Option<String>,
    /// The next time, RFC 3339 in UTC.
    pub next_run: Option<String>,
    /// The last time at which it should have run, RFC 3339 in UTC.
    pub last_expected: Option<String>,
    /// Runs that should have made a snapshot since the newest one, the one under way not counted.
    pub missed_runs: u64,
    /// Days, weeks and months in which it should have run, that its policy keeps, and of which there is no snapshot.
    pub retention_lacks: Vec<String>,
}

/// Something that was expected and is not so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Missed {
    /// The job, the source, the copy, or `drill:` and a drill; `None` if it is the repository.
    pub subject: Option<String>,
    /// Which expectation, for programs.
    pub code: &'static str,
    /// In words.
    pub words: String,
}

impl Missed {
    pub(crate) fn new(subject: Option<&str>, code: &'static str, words: String) -> Self {
        Self { subject: subject.map(str::to_owned), code, words }
    }
}

/// How a job stands at `now`; `rows` are the snapshots of its source, oldest data first.
pub(crate) fn job_status(expected: &Expectation, rows: &[&SnapshotRow], now: i64) -> JobStatus {
    let schedule = expected.schedule.as_ref();
    let grace = i64::try_from(expected.grace.as_secs()).unwrap_or(i64::MAX);
    let due = now.saturating_sub(grace);
    let started = rows.iter().filter_map(|row| started_of(row)).max();
    let missed = match (schedule, started) {
        // A run that began at its time, by a clock that is a little behind.
        (Some(calendar), Some(started)) => {
            calendar.between(started.saturating_add(CLOCKS_SECONDS), due, MISSED_MAX)
        }
        (Some(_), None) | (None, _) => Vec::new(),
    };
    JobStatus {
        source: expected.source.clone(),
        age_max_seconds: expected.age_max.map(|age| age.as_secs()),
        schedule: schedule.map(ToString::to_string),
        next_run: schedule
            .and_then(|calendar| calendar.next(now))
            .map(|seconds| time_words(seconds, 0)),
        last_expected: schedule
            .and_then(|calendar| calendar.last(due))
            .map(|seconds| time_words(seconds, 0)),
        missed_runs: crate::units::to_u64(missed.len()),
        retention_lacks: slots::lacking(expected, rows, due),
    }
}

/// What is missed of a job, in words.
pub(crate) fn missed_of(job: &str, status: &JobStatus) -> Vec<Missed> {
    let mut missed = Vec::new();
    if status.missed_runs > 0 {
        let since = status.last_expected.as_deref().unwrap_or("its time");
        let words = match status.missed_runs {
            1 => format!("{job} should have made a snapshot at {since}, and did not"),
            runs => format!("{job} missed {runs} runs, the last at {since}"),
        };
        missed.push(Missed::new(Some(job), "run", words));
    }
    if !status.retention_lacks.is_empty() {
        let words = format!("{job} has no snapshot of {}", status.retention_lacks.join(", "));
        missed.push(Missed::new(Some(job), "retention", words));
    }
    missed
}

/// When the run of a snapshot began.
pub(crate) fn started_of(row: &SnapshotRow) -> Option<i64> {
    let manifest = row.manifest.as_ref()?;
    if manifest.predicate.incomplete {
        return None;
    }
    let (seconds, _nanoseconds) = parse_time(&manifest.predicate.times.started)?;
    Some(seconds)
}

/// How far the clock of a host may be behind that of its timer.
const CLOCKS_SECONDS: i64 = 1;
/// More than this many runs are not counted.
const MISSED_MAX: usize = 1000;
