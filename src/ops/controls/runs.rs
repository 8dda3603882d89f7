//! Did what was planned run, and was there always data that is new enough?

use crate::format::attest::plan::PlannedJob;
use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::controls::asked::age_words;
use crate::ops::controls::asked::elapsed;
use crate::ops::controls::asked::limit_words;
use crate::ops::ledger::expected::ExpectedRun;
use crate::ops::ledger::expected::PlanSpan;
use crate::ops::ledger::expected::RunOutcome;
use crate::ops::ledger::expected::expected_runs;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::words::time_words;

/// Each run that was due made a complete snapshot, at its time or later.
pub(super) fn runs(asked: &Asked<'_>) -> Control {
    let mut answer = Answer::new("runs", "every planned run made its backup");
    answer.parameter("runs that may fail", "0".to_owned());
    let due = expected_runs(asked.ledger, asked.from, asked.until);
    let due: Vec<&ExpectedRun> = due.iter().filter(|run| !is_open(asked, run)).collect();
    if due.is_empty() {
        return answer.not_applicable("no run was due");
    }
    let (mut late, mut good) = (0_usize, 0_usize);
    for run in &due {
        let what = match run.outcome {
            RunOutcome::Succeeded => {
                good += 1;
                continue;
            }
            RunOutcome::Late => {
                late += 1;
                good += 1;
                continue;
            }
            RunOutcome::Incomplete => "left something out",
            RunOutcome::Failed => "failed",
            RunOutcome::Missed => "did not happen",
        };
        let words = format!("{} of {} {what}", run.job, time_words(run.due, 0));
        answer.wrong(words, run.evidence.last().cloned());
    }
    answer.parameter("runs", format!("{good} of {}", due.len()));
    let newest = due.iter().rev().filter_map(|run| run.evidence.last());
    newest.for_each(|key| answer.evidence(key.as_str()));
    let late = if late > 0 { format!(", {late} of them late") } else { String::new() };
    answer.end(format!("all {} runs made a complete snapshot{late}", due.len()))
}

/// Whether a run may still come.
fn is_open(asked: &Asked<'_>, run: &ExpectedRun) -> bool {
    let is_good = matches!(run.outcome, RunOutcome::Succeeded | RunOutcome::Late);
    let plan = asked
        .spans
        .iter()
        .find(|span| Some(span.plan.key.as_str()) == run.evidence.first().map(String::as_str));
    let job = plan.and_then(|span| span.plan.said.jobs.iter().find(|job| job.name == run.job));
    let grace = job.map_or(0, |job| i64::try_from(job.grace_seconds).unwrap_or(i64::MAX));
    !is_good && run.due.saturating_add(grace) > asked.until
}

/// The data of the newest complete snapshot of a job was never older than its objective.
pub(super) fn frequency(asked: &Asked<'_>) -> Control {
    let title = "backups came so often that the newest data was never older than its objective";
    let mut answer = Answer::new("frequency", title);
    let mut looked = 0_usize;
    for span in &asked.spans {
        let begin = span.from.max(asked.from);
        let end = span.until.map_or(asked.until, |until| asked.until.min(until - 1));
        if begin > end {
            continue;
        }
        for job in &span.plan.said.jobs {
            let Some(limit) = job.rpo_seconds else { continue };
            looked += 1;
            answer.parameter("objective of each job", "its `rpo`".to_owned());
            for gap in gaps(asked, (span, job), (begin, end), limit) {
                let words = format!(
                    "at {} the newest data of {} was {} old, and may be {}",
                    time_words(gap.at, 0),
                    job.name,
                    age_words(gap.age),
                    limit_words(limit)
                );
                answer.wrong(words, Some(gap.evidence));
            }
            let made = complete(asked, job).filter(|known| (begin..=end).contains(&known.finished));
            made.for_each(|known| answer.evidence(known.evidence()));
        }
    }
    if looked == 0 {
        return answer.not_applicable("no job had an objective (`rpo`)");
    }
    answer.end("the newest data of every job was always new enough".to_owned())
}

/// A time at which data was too old.
struct Gap {
    at: i64,
    age: u64,
    /// The snapshot that was the newest, or the plan if there was none.
    evidence: String,
}

/// Each time at which the next snapshot, or the end, came too late.
fn gaps(
    asked: &Asked<'_>,
    (span, job): (&PlanSpan<'_>, &PlannedJob),
    (begin, end): (i64, i64),
    limit: u64,
) -> Vec<Gap> {
    let mut newest: Option<&KnownSnapshot> = None;
    let mut gaps = Vec::new();
    let mut judge = |newest: Option<&KnownSnapshot>, at: i64| {
        // Before the first snapshot nothing is older than the plan.
        let data = newest.map_or(span.from, |known| known.data);
        let age = elapsed(data, at);
        if age > limit {
            let plan = || span.plan.key.to_string();
            gaps.push(Gap { at, age, evidence: newest.map_or_else(plan, KnownSnapshot::evidence) });
        }
    };
    let mut made: Vec<&KnownSnapshot> = complete(asked, job).collect();
    made.sort_by_key(|known| known.finished);
    for known in made {
        if known.finished > end {
            break;
        }
        if known.finished > begin {
            judge(newest, known.finished);
        }
        if newest.is_none_or(|newest| newest.data <= known.data) {
            newest = Some(known);
        }
    }
    judge(newest, end);
    gaps
}

/// The complete snapshots of a job.
pub(super) fn complete<'a>(
    asked: &Asked<'a>,
    job: &PlannedJob,
) -> impl Iterator<Item = &'a KnownSnapshot> {
    let source = job.source.clone();
    let made = asked.ledger.snapshots.iter();
    made.filter(move |known| known.source == source && !known.incomplete)
}
