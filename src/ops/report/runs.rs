//! Runs that were to come, and what became of them.

use crate::format::attest::plan::PlannedJob;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::ExpectedRun;
use crate::ops::ledger::expected::RunOutcome;
use crate::ops::ledger::expected::expected_runs;
use crate::ops::ledger::expected::plan_spans;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::report::period::Span;
use crate::report::model::JobRuns;
use crate::report::model::RunCounts;
use crate::report::model::RunRow;
use crate::report::model::RunState;
use crate::report::model::Runs;
use crate::report::model::Unscheduled;
use crate::report::moment::Moment;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

/// The runs of a period.
pub(super) fn runs(ledger: &Ledger, span: &Span) -> Runs {
    let by_id: HashMap<&str, &KnownSnapshot> =
        ledger.snapshots.iter().map(|known| (known.snapshot.as_str(), known)).collect();
    let graces = graces(ledger);
    let row = |run: ExpectedRun| {
        let outcome = state_of(&run, &graces, span);
        let made = run.snapshot.as_deref().and_then(|id| by_id.get(id));
        RunRow {
            due: Moment(run.due),
            outcome,
            finished: made.map(|known| Moment(known.finished)),
            job: run.job,
            source: run.source,
            snapshot: run.snapshot,
            evidence: run.evidence,
        }
    };
    let expected = expected_runs(ledger, span.from.0, span.told_until.0);
    let list: Vec<RunRow> = expected.into_iter().map(row).collect();
    let mut jobs = planned_jobs(ledger, span);
    let mut total = RunCounts::default();
    for run in &list {
        total.add(run.outcome);
        if let Some(job) = jobs.get_mut(&(run.job.clone(), run.source.clone())) {
            job.counts.add(run.outcome);
        }
    }
    let mut jobs: Vec<JobRuns> = jobs.into_values().collect();
    let unscheduled = unscheduled(ledger, span, &list);
    for job in &mut jobs {
        let made = unscheduled.iter().find(|made| made.source == job.source);
        job.unscheduled = made.map_or(0, |made| made.snapshots);
    }
    let is_planned = plan_spans(ledger).iter().any(|plan| {
        plan.from <= span.told_until.0 && plan.until.is_none_or(|end| span.from.0 < end)
    });
    Runs { is_planned, total, jobs, list, unscheduled }
}

/// What became of a run, as far as that is settled.
fn state_of(run: &ExpectedRun, graces: &Graces<'_>, span: &Span) -> RunState {
    let plan = run.evidence.first().map(String::as_str).unwrap_or_default();
    let grace = graces.get(&(plan, run.job.as_str())).copied().unwrap_or(0);
    let has_time = run.due.saturating_add(grace) > span.settled.0;
    match run.outcome {
        RunOutcome::Succeeded => RunState::Succeeded,
        RunOutcome::Late => RunState::Late,
        RunOutcome::Incomplete | RunOutcome::Failed | RunOutcome::Missed if has_time => {
            RunState::Open
        }
        RunOutcome::Incomplete => RunState::Incomplete,
        RunOutcome::Failed => RunState::Failed,
        RunOutcome::Missed => RunState::Missed,
    }
}

/// How long after its time a run may end, in seconds: by the plan's key and the job's name.
type Graces<'a> = HashMap<(&'a str, &'a str), i64>;

fn graces(ledger: &Ledger) -> Graces<'_> {
    let of_job = |job: &PlannedJob| i64::try_from(job.grace_seconds).unwrap_or(i64::MAX);
    let of_plan = ledger.plans.iter().flat_map(|plan| {
        let jobs = plan.said.jobs.iter();
        jobs.map(move |job| ((plan.key.as_str(), job.name.as_str()), of_job(job)))
    });
    of_plan.collect()
}

/// The jobs of all plans that stood in a period.
fn planned_jobs(ledger: &Ledger, span: &Span) -> BTreeMap<(String, String), JobRuns> {
    let mut jobs: BTreeMap<(String, String), JobRuns> = BTreeMap::new();
    for plan in plan_spans(ledger) {
        if plan.from > span.told_until.0 || plan.until.is_some_and(|end| end <= span.from.0) {
            continue;
        }
        for job in &plan.plan.said.jobs {
            let (name, source) = (job.name.clone(), job.source.clone());
            let entry = jobs.entry((name.clone(), source.clone())).or_insert_with(|| JobRuns {
                job: name,
                source,
                schedules: Vec::new(),
                triggers: Vec::new(),
                counts: RunCounts::default(),
                unscheduled: 0,
            });
            add(&mut entry.schedules, job.schedule.as_ref());
            add(&mut entry.triggers, job.trigger.as_ref());
        }
    }
    jobs
}

fn add(words: &mut Vec<String>, word: Option<&String>) {
    if let Some(word) = word.filter(|word| !words.contains(word)) {
        words.push(word.clone());
    }
}

/// Snapshots of the period that no expected run made, by source.
fn unscheduled(ledger: &Ledger, span: &Span, list: &[RunRow]) -> Vec<Unscheduled> {
    let of_runs: HashSet<&str> = list.iter().filter_map(|run| run.snapshot.as_deref()).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for known in &ledger.snapshots {
        if span.has(Moment(known.finished)) && !of_runs.contains(known.snapshot.as_str()) {
            *counts.entry(&known.source).or_default() += 1;
        }
    }
    let row =
        |(source, snapshots): (&str, u64)| Unscheduled { source: source.to_owned(), snapshots };
    counts.into_iter().map(row).collect()
}
