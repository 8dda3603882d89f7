//! How old the newest complete data of a source became, stretch by stretch, against what plans allow.

use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedJob;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::PlanSpan;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::repo::attest::Attestation;
use std::collections::BTreeSet;

/// A time in which the newest complete data of a source and what plans say of it stayed the same: the age grows from
/// its beginning to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    /// In seconds since 1970, as the others.
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// The time of the newest complete data, or of the first plan while there is none.
    pub(crate) data: i64,
    /// The job that allows the least, of the plans that stand then, and its plan.
    pub(crate) job: Option<(&'a PlannedJob, &'a Attestation<Plan>)>,
    /// The snapshot of that data.
    pub(crate) newest: Option<&'a KnownSnapshot>,
    /// The snapshot that ends the stretch.
    pub(crate) next: Option<&'a KnownSnapshot>,
}

impl Stretch<'_> {
    /// How old the data was at the end, in seconds.
    pub(crate) const fn age(&self) -> i64 {
        self.until.saturating_sub(self.data)
    }

    /// How old it might become, in seconds.
    pub(crate) fn target(&self) -> Option<u64> {
        self.job.and_then(|(job, _plan)| job.rpo_seconds)
    }

    /// Whether the data became older than that.
    pub(crate) fn is_over(&self) -> bool {
        let may = self.target().map(|may| i64::try_from(may).unwrap_or(i64::MAX));
        may.is_some_and(|may| self.age() > may)
    }

    /// For how many seconds of it the data was older than that.
    pub(crate) fn seconds_over(&self) -> i64 {
        let Some(may) = self.target() else { return 0 };
        let may = i64::try_from(may).unwrap_or(i64::MAX);
        let begins = self.data.saturating_add(may).max(self.from);
        self.until.saturating_sub(begins).max(0)
    }
}

/// What changes at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Complete(usize),
    Gone(usize),
    /// A plan begins or ends.
    Plans,
    /// Nobody looks further.
    End,
}

/// The stretches of a source from one second to another. None before the first snapshot, unless something was planned
/// before: then that counts as its beginning, because whoever planned backups and has none is as badly off as that.
///
/// A snapshot counts until it is forgotten.
pub(crate) fn stretches<'a>(
    ledger: &'a Ledger,
    spans: &[PlanSpan<'a>],
    source: &str,
    (from, until): (i64, i64),
) -> Vec<Stretch<'a>> {
    let whole: Vec<&KnownSnapshot> = ledger
        .snapshots
        .iter()
        .filter(|known| known.source == source && !known.incomplete && known.finished <= until)
        .collect();
    let of_source: Vec<(&PlanSpan<'a>, &'a PlannedJob)> = spans
        .iter()
        .flat_map(|span| span.plan.said.jobs.iter().map(move |job| (span, job)))
        .filter(|(_span, job)| job.source == source)
        .collect();
    let planned = of_source.iter().map(|(span, _job)| span.from).min();
    let first = whole.iter().map(|known| known.finished).min();
    let Some(begin) = [planned, first].into_iter().flatten().min().filter(|begin| *begin <= until)
    else {
        return Vec::new();
    };
    let (there, stretches) = (BTreeSet::new(), Vec::new());
    let mut walk = Walk { planned, of_source, whole, there, stretches };
    let mut before = begin;
    for (at, change) in changes(ledger, &walk, until) {
        if at > until {
            break;
        }
        let start = before.max(from);
        // What changes at once with something else leaves a stretch of no length between, which says nothing.
        if start < at || (start == at && change == Change::End) {
            walk.push(start, at, change);
        }
        match change {
            Change::Complete(number) => {
                walk.there.insert((walk.whole[number].data, number));
            }
            Change::Gone(number) => {
                walk.there.remove(&(walk.whole[number].data, number));
            }
            Change::Plans | Change::End => {}
        }
        before = at;
    }
    walk.stretches
}

/// Every change up to a moment, by time.
fn changes(ledger: &Ledger, walk: &Walk<'_, '_>, until: i64) -> Vec<(i64, Change)> {
    let mut changes = vec![(until, Change::End)];
    for (number, known) in walk.whole.iter().enumerate() {
        changes.push((known.finished, Change::Complete(number)));
        if let Some(gone) = ledger.gone(known) {
            changes.push((gone.max(known.finished), Change::Gone(number)));
        }
    }
    let plans = walk.of_source.iter().flat_map(|(span, _job)| [Some(span.from), span.until]);
    changes.extend(plans.flatten().map(|at| (at, Change::Plans)));
    // What is complete and gone in one second was there: it is complete first.
    changes.sort_by_key(|(at, change)| match change {
        Change::Complete(_) => (*at, 0),
        Change::Gone(_) => (*at, 1),
        Change::Plans => (*at, 2),
        Change::End => (*at, 3),
    });
    changes
}

struct Walk<'a, 'p> {
    /// When something was planned first: age counts from then while there is no data.
    planned: Option<i64>,
    of_source: Vec<(&'p PlanSpan<'a>, &'a PlannedJob)>,
    whole: Vec<&'a KnownSnapshot>,
    /// What is there, by the time of its data.
    there: BTreeSet<(i64, usize)>,
    stretches: Vec<Stretch<'a>>,
}

impl Walk<'_, '_> {
    fn push(&mut self, from: i64, until: i64, change: Change) {
        let newest = self.there.last().map(|(_data, number)| self.whole[*number]);
        let next = match change {
            Change::Complete(number) => Some(self.whole[number]),
            Change::Gone(_) | Change::Plans | Change::End => None,
        };
        let stands =
            |span: &PlanSpan<'_>| span.from <= from && span.until.is_none_or(|end| from < end);
        let standing = self.of_source.iter().filter(|(span, _job)| stands(span));
        let least = standing.filter(|(_span, job)| job.rpo_seconds.is_some());
        let least = least.min_by_key(|(_span, job)| job.rpo_seconds);
        let job = least.map(|(span, job)| (*job, span.plan));
        let oldest = || self.whole.iter().map(|known| known.data).min();
        let data = newest.map(|known| known.data).or(self.planned).or_else(oldest).unwrap_or(from);
        self.stretches.push(Stretch { from, until, data, job, newest, next });
    }
}
