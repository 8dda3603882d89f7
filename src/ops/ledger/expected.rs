//! Which runs were to come, as plans say, and what became of each.

use crate::calendar::Calendar;
use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedJob;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::words::parse_time;
use crate::repo::attest::Attestation;
use serde::Serialize;

/// A run that a plan expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ExpectedRun {
    pub(crate) job: String,
    pub(crate) source: String,
    /// When it was to begin, in seconds since 1970.
    pub(crate) due: i64,
    pub(crate) outcome: RunOutcome,
    /// The snapshot that it made, hexadecimal.
    pub(crate) snapshot: Option<String>,
    /// Keys of the records that say so: the plan, then the manifest, certificate or audit record.
    pub(crate) evidence: Vec<String>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunOutcome {
    /// A complete snapshot began in its time and ended within the grace.
    Succeeded,
    /// A complete snapshot came, but later.
    Late,
    /// A snapshot came that lacks something.
    Incomplete,
    /// It ran, and no snapshot came of it.
    Failed,
    /// Nothing ran.
    Missed,
}

/// The plans of one client and host, each with the end of its time.
pub(crate) struct PlanSpan<'a> {
    pub(crate) plan: &'a Attestation<Plan>,
    pub(crate) from: i64,
    /// `None` for the one that still stands.
    pub(crate) until: Option<i64>,
}

/// Every plan with the time in which it stood.
pub(crate) fn plan_spans(ledger: &Ledger) -> Vec<PlanSpan<'_>> {
    let begin = |plan: &Attestation<Plan>| seconds(&plan.said.time);
    let spans = ledger.plans.iter().enumerate().map(|(number, plan)| {
        let is_next = |other: &&Attestation<Plan>| {
            other.client == plan.client && other.said.host == plan.said.host
        };
        let next = ledger.plans.iter().skip(number + 1).find(is_next);
        let until = [next.map(begin), revoked(ledger, plan)].into_iter().flatten().min();
        PlanSpan { plan, from: begin(plan), until }
    });
    spans.collect()
}

/// When the signer of a plan was revoked: who takes a host out of service revokes its key, and nothing is expected
/// of it from then on. A key whose time is over ends no plan: a host that cannot sign misses its runs.
fn revoked(ledger: &Ledger, plan: &Attestation<Plan>) -> Option<i64> {
    let client = plan.client.to_string();
    ledger
        .signers
        .iter()
        .filter(|signer| signer.subject == client)
        .find_map(|signer| signer.revoked)
}

/// The plans that stand at a time.
pub(crate) fn plans_at(ledger: &Ledger, at: i64) -> Vec<&Attestation<Plan>> {
    let spans = plan_spans(ledger).into_iter();
    let stands = |span: &PlanSpan<'_>| span.from <= at && span.until.is_none_or(|until| at < until);
    spans.filter(stands).map(|span| span.plan).collect()
}

/// The runs that were due from one second to another, both included, by time and job.
pub(crate) fn expected_runs(ledger: &Ledger, from: i64, until: i64) -> Vec<ExpectedRun> {
    let mut runs = Vec::new();
    let spans = plan_spans(ledger);
    for span in &spans {
        let begin = span.from.max(from);
        let end = span.until.map_or(until, |end| until.min(end - 1));
        for job in &span.plan.said.jobs {
            let Some(calendar) = calendar_of(job) else { continue };
            // `between` leaves out its beginning.
            let due = calendar.between(begin.saturating_sub(1), end, RUNS_COUNT_MAX);
            for (number, time) in due.iter().enumerate() {
                let usual = || calendar.next(*time);
                let next = due
                    .get(number + 1)
                    .copied()
                    .or_else(|| next_plan(&spans, span, job))
                    .or_else(usual);
                runs.push(outcome_of(ledger, span.plan, job, *time, next));
            }
        }
    }
    runs.sort_by(|one, other| {
        (one.due, &one.job, &one.source).cmp(&(other.due, &other.job, &other.source))
    });
    // Hosts that share a configuration file plan the same runs.
    runs.dedup_by(|one, other| {
        (one.due, &one.job, &one.source) == (other.due, &other.job, &other.source)
    });
    runs
}

/// When the plan that follows has the source run first, if one does.
fn next_plan(spans: &[PlanSpan<'_>], span: &PlanSpan<'_>, job: &PlannedJob) -> Option<i64> {
    let end = span.until?;
    let follows = |other: &&PlanSpan<'_>| {
        let (one, other_plan) = (span.plan, other.plan);
        other.from == end
            && other_plan.client == one.client
            && other_plan.said.host == one.said.host
    };
    let jobs = spans.iter().filter(follows).flat_map(|other| &other.plan.said.jobs);
    let calendars = jobs.filter(|other| other.source == job.source).filter_map(calendar_of);
    calendars.filter_map(|calendar| calendar.next(end.saturating_sub(1))).min()
}

fn calendar_of(job: &PlannedJob) -> Option<Calendar> {
    // Whoever wrote the plan had parsed it; a later version may write what this one does not know.
    job.schedule.as_deref()?.parse().ok()
}

/// What became of the run that was due at `due`; the next one is due at `next`.
fn outcome_of(
    ledger: &Ledger,
    plan: &Attestation<Plan>,
    job: &PlannedJob,
    due: i64,
    next: Option<i64>,
) -> ExpectedRun {
    let is_of_it = |started: i64| {
        // A run that began at its time, by a clock that is a little behind.
        started >= due.saturating_sub(CLOCKS_SECONDS)
            && next.is_none_or(|next| started < next.saturating_sub(CLOCKS_SECONDS))
    };
    let grace = i64::try_from(job.grace_seconds).unwrap_or(i64::MAX);
    let made: Vec<&KnownSnapshot> = ledger
        .snapshots
        .iter()
        .filter(|known| known.source == job.source && is_of_it(known.started))
        .collect();
    let whole = made.iter().filter(|known| !known.incomplete).min_by_key(|known| known.finished);
    let (outcome, found) = match (whole, made.first()) {
        (Some(whole), _) if whole.finished <= due.saturating_add(grace) => {
            (RunOutcome::Succeeded, Some(*whole))
        }
        (Some(whole), _) => (RunOutcome::Late, Some(*whole)),
        (None, Some(part)) => (RunOutcome::Incomplete, Some(*part)),
        (None, None) => (RunOutcome::Missed, None),
    };
    let mut evidence = vec![plan.key.to_string()];
    evidence.extend(found.map(KnownSnapshot::evidence));
    let mut outcome = outcome;
    if found.is_none() {
        let tried = ledger.runs.iter().find(|run| {
            run.operation == "snapshot"
                && run.subject.as_ref() == Some(&job.source)
                && is_of_it(seconds(&run.time))
        });
        if let Some(run) = tried {
            outcome = RunOutcome::Failed;
            evidence.push(run.evidence());
        }
    }
    ExpectedRun {
        job: job.name.clone(),
        source: job.source.clone(),
        due,
        outcome,
        snapshot: found.map(|known| known.snapshot.clone()),
        evidence,
    }
}

/// Seconds since 1970 of a time that was checked when its record was read.
pub(crate) fn seconds(time: &str) -> i64 {
    parse_time(time).map_or(0, |(seconds, _nanoseconds)| seconds)
}

/// How far the clock of a host may be behind that of its timer.
const CLOCKS_SECONDS: i64 = 1;
/// Runs of one job and plan that are looked at.
const RUNS_COUNT_MAX: usize = 100_000;
