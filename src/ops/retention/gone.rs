//! Snapshots that were forgotten or deleted though the policy of then kept them.

use crate::ops::audit::list::AuditRow;
use crate::ops::forget::decide::Reason;
use crate::ops::forget::decide::decide;
use crate::ops::forget::policy::Policy;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::seconds;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::retention::GoneEarly;
use crate::ops::retention::present::View;
use crate::ops::retention::present::candidate;
use crate::ops::retention::present::is_of_policy;
use crate::ops::words::time_words;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A snapshot that went too early.
pub(super) struct Early<'a> {
    pub(super) known: &'a KnownSnapshot,
    pub(super) gone: i64,
}

/// All of them, of every source.
pub(super) fn early<'a>(view: &View<'a>) -> Vec<Early<'a>> {
    let mut early = Vec::new();
    for (source, known) in &view.by_source {
        // One forget takes many: what they leave is decided once.
        let mut by_time: BTreeMap<i64, Vec<&'a KnownSnapshot>> = BTreeMap::new();
        for one in known {
            if let Some(gone) = view.gone(one) {
                by_time.entry(gone).or_default().push(one);
            }
        }
        for (gone, taken) in by_time {
            let Some(standing) = view.standing(source, gone) else { continue };
            let alive = view
                .made(source, gone)
                .filter(|known| view.gone(known).is_none_or(|other| other >= gone));
            let kept = kept(&standing.policy, alive);
            let is_early = |known: &&KnownSnapshot| {
                kept.contains_key(&known.snapshot) && !is_replaced(view, known, gone)
            };
            early.extend(taken.into_iter().filter(is_early).map(|known| Early { known, gone }));
        }
    }
    early
}

/// What the policy itself keeps, and the slots for which it does.
fn kept<'a>(
    policy: &Policy,
    alive: impl Iterator<Item = &'a KnownSnapshot>,
) -> BTreeMap<String, Vec<String>> {
    let decisions = decide(policy, alive.filter_map(candidate).collect());
    let kept = decisions.into_iter().filter_map(|decision| {
        let reasons = decision.reasons.iter().filter(|reason| is_of_policy(reason));
        let reasons: Vec<String> = reasons.map(Reason::to_string).collect();
        (!reasons.is_empty()).then(|| (decision.candidate.snapshot.to_string(), reasons))
    });
    kept.collect()
}

/// Whether another snapshot has the data of the same time: one that was made anew, without some paths.
fn is_replaced(view: &View<'_>, known: &KnownSnapshot, gone: i64) -> bool {
    view.made(&known.source, gone).any(|other| {
        other.snapshot != known.snapshot
            && other.data == known.data
            && view.gone(other).is_none_or(|at| at > gone)
    })
}

/// Those of a source that the policy would still keep at a time.
pub(super) fn early_of(
    view: &View<'_>,
    (source, policy): (&str, &Policy),
    at: i64,
) -> Vec<GoneEarly> {
    let early = view.early.iter().filter(|early| early.known.source == source && early.gone <= at);
    let early: Vec<&Early<'_>> = early.collect();
    if early.is_empty() {
        return Vec::new();
    }
    let missing: BTreeSet<&str> = early.iter().map(|one| one.known.snapshot.as_str()).collect();
    let alive = view.made(source, at).filter(|known| {
        missing.contains(known.snapshot.as_str()) || view.gone(known).is_none_or(|gone| gone > at)
    });
    let kept = kept(policy, alive);
    let gone = |early: &&Early<'_>| {
        let Early { known, gone } = early;
        let kept_by = kept.get(&known.snapshot)?;
        Some(GoneEarly {
            snapshot: known.snapshot.clone(),
            data_time: time_words(known.data, 0),
            forgotten: time_words(*gone, 0),
            by_policy: known.by_policy,
            who: who(view.ledger, known, *gone),
            reason: known.reason.clone(),
            kept_by: kept_by.clone(),
            evidence: known.evidence(),
        })
    };
    early.iter().filter_map(gone).collect()
}

/// Who ran the command that forgot it: one that names the snapshot, or else one that ran then.
fn who(ledger: &Ledger, known: &KnownSnapshot, gone: i64) -> Option<String> {
    let forgets = |run: &&AuditRow| {
        FORGETTING.iter().any(|word| run.operation.starts_with(word)) && seconds(&run.time) <= gone
    };
    let names = |run: &&AuditRow| run.snapshots.contains(&known.snapshot);
    let ran_then = |run: &&AuditRow| {
        let took = run.milliseconds.and_then(|took| i64::try_from(took / 1000).ok());
        let end = seconds(&run.time).saturating_add(took.unwrap_or(0)).saturating_add(1);
        gone <= end
    };
    let runs = || ledger.runs.iter().rev().filter(forgets);
    let run = runs().find(names).or_else(|| runs().find(ran_then))?;
    let user = match &run.sudo_user {
        Some(user) => format!("{user} (sudo)"),
        None => format!("user {}", run.user_id),
    };
    Some(format!("{user} on {}, {}", run.host, run.evidence()))
}

/// Operations that forget.
const FORGETTING: [&str; 3] = ["forget", "rewrite", "prune"];
