//! Which snapshots there were at a time, and which of them nothing kept.

use crate::format::attest::plan::PlannedJob;
use crate::ops::forget::decide::Candidate;
use crate::ops::forget::decide::Decision;
use crate::ops::forget::decide::Reason;
use crate::ops::forget::decide::decide;
use crate::ops::forget::policy::Policy;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::PlanSpan;
use crate::ops::ledger::expected::plan_spans;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::ops::retention::KeptBeyond;
use crate::ops::retention::gone::Early;
use crate::ops::retention::gone::early;
use crate::ops::retention::standing::Standing;
use crate::ops::retention::standing::standing;
use crate::ops::words::time_words;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The ledger, and what of it is computed once for any number of times.
pub(super) struct View<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) spans: Vec<PlanSpan<'a>>,
    pub(super) by_source: BTreeMap<&'a str, Vec<&'a KnownSnapshot>>,
    /// Snapshots that went though the policy of then kept them.
    pub(super) early: Vec<Early<'a>>,
}

impl<'a> View<'a> {
    pub(super) fn new(ledger: &'a Ledger) -> Self {
        let mut by_source: BTreeMap<&str, Vec<&KnownSnapshot>> = BTreeMap::new();
        for known in &ledger.snapshots {
            by_source.entry(known.source.as_str()).or_default().push(known);
        }
        let spans = plan_spans(ledger);
        let mut view = Self { ledger, spans, by_source, early: Vec::new() };
        view.early = early(&view);
        view
    }

    /// Sources that had a snapshot, or a job of a plan.
    pub(super) fn sources_at(&self, at: i64) -> BTreeSet<&'a str> {
        let had_one = |known: &&'a KnownSnapshot| known.finished <= at;
        let has_some = |source: &&&str| {
            self.by_source.get(**source).is_some_and(|known| known.iter().any(had_one))
        };
        let known = self.by_source.keys().filter(has_some).copied();
        let stands =
            |span: &&PlanSpan<'_>| span.from <= at && span.until.is_none_or(|until| at < until);
        let spans = self.spans.iter().filter(stands);
        known.chain(spans.flat_map(|span| span.plan.said.jobs.iter()).map(source_of)).collect()
    }

    pub(super) fn standing(&self, source: &str, at: i64) -> Option<Standing<'a>> {
        standing(self.ledger, &self.spans, source, at)
    }

    /// Every snapshot of a source that was made by then.
    pub(super) fn made<'v>(
        &'v self,
        source: &str,
        at: i64,
    ) -> impl Iterator<Item = &'a KnownSnapshot> + use<'a, 'v> {
        let known = self.by_source.get(source).map(Vec::as_slice).unwrap_or_default();
        known.iter().copied().filter(move |known| known.finished <= at)
    }

    /// When it stopped to count; `None` if it counts.
    pub(super) fn gone(&self, known: &KnownSnapshot) -> Option<i64> {
        self.ledger.gone(known)
    }

    fn is_there(&self, known: &KnownSnapshot, at: i64) -> bool {
        self.gone(known).is_none_or(|gone| gone > at)
    }

    /// What a policy does to the snapshots that there were at a time.
    pub(super) fn decide(&self, policy: &Policy, source: &str, at: i64) -> Vec<Decision> {
        let there = self.made(source, at).filter(|known| self.is_there(known, at));
        decide(policy, there.filter_map(candidate).collect())
    }
}

const fn source_of(job: &PlannedJob) -> &str {
    job.source.as_str()
}

/// As a policy sees it; `None` if its name is none, which no record that was read has.
pub(super) fn candidate(known: &KnownSnapshot) -> Option<Candidate> {
    let mut candidate = Candidate::new(known.snapshot.parse().ok()?, known.data, known.received);
    candidate.tags.clone_from(&known.tags);
    candidate.is_incomplete = known.incomplete;
    candidate.hold = known.is_held.then(|| "held".to_owned());
    Some(candidate)
}

/// Whether the policy itself keeps it, and no tag or hold.
pub(super) fn is_of_policy(reason: &Reason) -> bool {
    match reason {
        Reason::Slot { .. } | Reason::Within(_) => true,
        Reason::Tag(_) | Reason::Held(_) | Reason::Outside(_) => false,
    }
}

/// Snapshots that were stored though no slot and no period kept them, oldest data first.
pub(super) fn beyond(
    view: &View<'_>,
    (source, standing): (&str, &Standing<'_>),
    decisions: &[Decision],
    (at, grace): (i64, i64),
) -> Vec<KeptBeyond> {
    let ids = |decisions: &[Decision], is_wanted: &dyn Fn(&Decision) -> bool| {
        let wanted = decisions.iter().filter(|decision| is_wanted(decision));
        wanted.map(|one| one.candidate.snapshot.to_string()).collect::<BTreeSet<String>>()
    };
    // What nothing kept then, under the policy of now, waits since at least then.
    let before = view.decide(&standing.policy, source, at.saturating_sub(grace));
    let waits = ids(&before, &|decision| !decision.is_kept());
    let of: BTreeMap<String, &Decision> =
        decisions.iter().map(|one| (one.candidate.snapshot.to_string(), one)).collect();
    let mut beyond = Vec::new();
    for known in view.made(source, at) {
        let (why, is_overdue) = match (of.get(&known.snapshot), view.gone(known)) {
            (Some(decision), _) => {
                if decision.reasons.iter().any(is_of_policy) {
                    continue;
                }
                let why: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
                (why.join("; "), why.is_empty() && waits.contains(&known.snapshot))
            }
            (None, Some(gone)) if is_stored(view, known, at) => {
                let why = format!("forgotten at {}, and not pruned yet", time_words(gone, 0));
                (why, at.saturating_sub(gone) > grace)
            }
            (None, _) => continue,
        };
        let (snapshot, data_time) = (known.snapshot.clone(), time_words(known.data, 0));
        beyond.push(KeptBeyond {
            snapshot,
            data_time,
            why,
            evidence: known.evidence(),
            is_overdue,
        });
    }
    beyond
}

/// Whether its objects were still there.
fn is_stored(view: &View<'_>, known: &KnownSnapshot, at: i64) -> bool {
    match known.state {
        SnapshotFate::Live | SnapshotFate::Forgotten => true,
        SnapshotFate::Deleted => view.ledger.deleted(known).is_some_and(|deleted| deleted > at),
    }
}
