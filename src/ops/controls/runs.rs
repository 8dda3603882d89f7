//! Did what was planned run, and was there always data that is new enough?

use crate::format::attest::plan::PlannedJob;
use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::controls::asked::age_words;
use crate::ops::controls::asked::elapsed;
use crate::ops::controls::asked::job_words;
use crate::ops::controls::asked::limit_words;
use crate::ops::ledger::ages::Stretch;
use crate::ops::ledger::ages::stretches;
use crate::ops::ledger::expected::ExpectedRun;
use crate::ops::ledger::expected::RunOutcome;
use crate::ops::ledger::expected::expected_runs;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::words::time_words;
use std::collections::BTreeSet;

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
    let (from, until) = (asked.from, asked.until);
    let stood = asked
        .spans
        .iter()
        .filter(|span| span.from <= until && span.until.is_none_or(|end| from < end));
    let jobs = stood.flat_map(|span| &span.plan.said.jobs);
    let limited = jobs.filter(|job| job.rpo_seconds.is_some());
    let sources: BTreeSet<&str> = limited.map(|job| job.source.as_str()).collect();
    if sources.is_empty() {
        return answer.not_applicable("no job had an objective (`rpo`)");
    }
    answer.parameter("objective of each job", "its `rpo`".to_owned());
    for source in sources {
        let ages = stretches(asked.ledger, &asked.spans, source, (from, until));
        // One time at which data was too old is told once, where it was oldest, however plans changed meanwhile.
        let same = |one: &Stretch<'_>, next: &Stretch<'_>| one.data == next.data;
        for chain in ages.chunk_by(same) {
            let over = chain.iter().rfind(|stretch| stretch.is_over());
            if let Some(stretch) = over {
                too_old(&mut answer, stretch);
            }
        }
        let ends = ages.iter().filter_map(|stretch| stretch.next);
        ends.for_each(|known| answer.evidence(known.evidence()));
    }
    answer.end("the newest data of every job was always new enough".to_owned())
}

fn too_old(answer: &mut Answer, stretch: &Stretch<'_>) {
    let Some((job, plan)) = stretch.job else { return };
    let name = job_words(job);
    let words = format!(
        "at {} the newest data of {name} was {} old, and may be {}",
        time_words(stretch.until, 0),
        age_words(elapsed(stretch.data, stretch.until)),
        limit_words(stretch.target().unwrap_or(0))
    );
    let evidence = stretch.newest.map_or_else(|| plan.key.to_string(), KnownSnapshot::evidence);
    answer.wrong(words, Some(evidence));
}

/// The complete snapshots of a job that were there at the end.
pub(super) fn complete<'a>(
    asked: &Asked<'a>,
    job: &PlannedJob,
) -> impl Iterator<Item = &'a KnownSnapshot> {
    let (ledger, until, source) = (asked.ledger, asked.until, job.source.clone());
    let is_there = move |known: &KnownSnapshot| {
        known.finished <= until && ledger.gone(known).is_none_or(|gone| gone > until)
    };
    let made = ledger.snapshots.iter();
    made.filter(move |known| known.source == source && !known.incomplete && is_there(known))
}
