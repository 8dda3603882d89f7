//! How old the newest complete data became, against what plans allow.

use crate::ops::ledger::Ledger;
use crate::ops::ledger::ages::Stretch;
use crate::ops::ledger::ages::stretches;
use crate::ops::ledger::expected::PlanSpan;
use crate::ops::ledger::expected::plan_spans;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::report::period::Span;
use crate::report::model::RecoveryPoint;
use crate::report::moment::Moment;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The age of the data of each source over a period.
pub(super) fn recovery_points(ledger: &Ledger, span: &Span) -> Vec<RecoveryPoint> {
    let plans = plan_spans(ledger);
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for plan in plans.iter().filter(|plan| stands_in(plan, span)) {
        for job in &plan.plan.said.jobs {
            sources.entry(&job.source).or_default().insert(&job.name);
        }
    }
    for known in ledger.snapshots.iter().filter(|known| span.has(Moment(known.finished))) {
        sources.entry(&known.source).or_default();
    }
    let period = (span.from.0, span.told_until.0);
    let row = |(source, jobs): (&str, BTreeSet<&str>)| {
        let ages = stretches(ledger, &plans, source, period);
        let jobs = jobs.into_iter().map(str::to_owned).collect();
        point(source, jobs, target_at(&plans, source, span.told_until), &ages)
    };
    sources.into_iter().map(row).collect()
}

/// The shortest time that plans of one moment ask for, of one source: how old its data may become.
fn target_at(plans: &[PlanSpan<'_>], source: &str, at: Moment) -> Option<u64> {
    let stand = plans
        .iter()
        .filter(|plan| plan.from <= at.0 && plan.until.is_none_or(|until| at.0 < until));
    let jobs = stand.flat_map(|plan| &plan.plan.said.jobs).filter(|job| job.source == source);
    jobs.filter_map(|job| job.rpo_seconds).min()
}

fn stands_in(plan: &PlanSpan<'_>, span: &Span) -> bool {
    plan.from <= span.told_until.0 && plan.until.is_none_or(|until| span.from.0 < until)
}

/// What the stretches of a source come to.
fn point(
    source: &str,
    jobs: Vec<String>,
    target: Option<u64>,
    ages: &[Stretch<'_>],
) -> RecoveryPoint {
    let worst = ages.iter().max_by_key(|stretch| stretch.age());
    // A plan that changes while data is too old makes no second time of it.
    let same = |one: &Stretch<'_>, next: &Stretch<'_>| one.data == next.data;
    let is_over = |chain: &&[Stretch<'_>]| chain.iter().any(Stretch::is_over);
    let line = ages.iter().flat_map(|stretch| {
        let &Stretch { from, until, data, .. } = stretch;
        [(Moment(from), from.saturating_sub(data)), (Moment(until), stretch.age())]
    });
    let evidence = worst.map(|stretch| [stretch.newest, stretch.next]).unwrap_or_default();
    RecoveryPoint {
        source: source.to_owned(),
        jobs,
        target_seconds: target,
        worst_seconds: worst.map(Stretch::age),
        worst_at: worst.map(|stretch| Moment(stretch.until)),
        end_seconds: ages.last().map(Stretch::age),
        over_seconds: ages.iter().map(Stretch::seconds_over).sum(),
        over_count: crate::units::to_u64(ages.chunk_by(same).filter(is_over).count()),
        line: line.collect(),
        evidence: evidence.into_iter().flatten().map(KnownSnapshot::evidence).collect(),
    }
}
