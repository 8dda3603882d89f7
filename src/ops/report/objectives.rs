//! How old the newest complete data became, against what plans allow.

use crate::ops::ledger::Ledger;
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
    let point = |(source, jobs): (&str, BTreeSet<&str>)| {
        let ages = Ages::of(ledger, &plans, source, span);
        let jobs = jobs.into_iter().map(str::to_owned).collect();
        ages.point(source, jobs, target_at(&plans, source, span.told_until))
    };
    sources.into_iter().map(point).collect()
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

/// The stretches between complete snapshots of a source, within a period.
struct Ages<'a> {
    stretches: Vec<Stretch<'a>>,
}

/// A time in which nothing newer was complete: the age grows from its beginning to its end.
struct Stretch<'a> {
    from: Moment,
    until: Moment,
    /// The time of the newest complete data.
    data: Moment,
    target: Option<u64>,
    /// The snapshot of that data, and the one that ends the stretch.
    evidence: [Option<&'a KnownSnapshot>; 2],
}

impl<'a> Ages<'a> {
    fn of(ledger: &'a Ledger, plans: &[PlanSpan<'_>], source: &str, span: &Span) -> Self {
        let mut whole: Vec<&KnownSnapshot> = ledger
            .snapshots
            .iter()
            .filter(|known| known.source == source && !known.incomplete)
            .filter(|known| known.finished <= span.told_until.0)
            .collect();
        whole.sort_by_key(|known| (known.finished, known.data));
        let planned =
            plans.iter().filter(|plan| plan.plan.said.jobs.iter().any(|job| job.source == source));
        let planned = planned.map(|plan| Moment(plan.from)).min();
        let mut stretches = Vec::new();
        // Whoever planned backups and had none yet counts from the plan on.
        let mut newest: Option<(Moment, Option<&KnownSnapshot>)> = planned.map(|at| (at, None));
        let mut from = planned.unwrap_or(span.told_until).max(span.from);
        let ends = whole.into_iter().map(|known| (Moment(known.finished), Some(known)));
        for (until, known) in ends.chain([(span.told_until, None)]) {
            if let Some((data, before)) = newest
                && until >= span.from
                && until >= from
            {
                let target = target_at(plans, source, until.plus(-1));
                let evidence = [before, known];
                stretches.push(Stretch { from, until, data, target, evidence });
            }
            let Some(known) = known else { break };
            let data = Moment(known.data);
            // Older data does not make newer data older; any data is better than a plan.
            let is_newer = newest.is_none_or(|(at, of)| of.is_none() || at < data);
            if is_newer {
                newest = Some((data, Some(known)));
            }
            from = until.max(span.from);
        }
        Self { stretches }
    }

    fn point(self, source: &str, jobs: Vec<String>, target: Option<u64>) -> RecoveryPoint {
        let age = |stretch: &Stretch<'_>| stretch.until.since(stretch.data);
        let worst = self.stretches.iter().max_by_key(|stretch| age(stretch));
        let over = |stretch: &&Stretch<'_>| {
            let may = stretch.target.map(|target| i64::try_from(target).unwrap_or(i64::MAX));
            may.is_some_and(|may| age(stretch) > may)
        };
        let seconds_over = |stretch: &Stretch<'_>| {
            let may = i64::try_from(stretch.target.unwrap_or(0)).unwrap_or(i64::MAX);
            let begins = stretch.data.plus(may).max(stretch.from);
            stretch.until.since(begins).max(0)
        };
        let evidence = worst.map(|stretch| stretch.evidence).unwrap_or_default();
        let line = self.stretches.iter().flat_map(|stretch| {
            let Stretch { from, until, data, .. } = stretch;
            [(*from, from.since(*data)), (*until, until.since(*data))]
        });
        RecoveryPoint {
            source: source.to_owned(),
            jobs,
            target_seconds: target,
            worst_seconds: worst.map(age),
            worst_at: worst.map(|stretch| stretch.until),
            end_seconds: self.stretches.last().map(age),
            over_seconds: self.stretches.iter().filter(over).map(seconds_over).sum(),
            over_count: crate::units::to_u64(self.stretches.iter().filter(over).count()),
            line: line.collect(),
            evidence: evidence.into_iter().flatten().map(KnownSnapshot::evidence).collect(),
        }
    }
}
