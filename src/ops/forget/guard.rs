//! What keeps a policy, a typing error or a lying clock from taking too much.
//! Compares with the policy recorded last, never with a clock.

use crate::id::SnapshotId;
use crate::ops::forget::decide::Decision;
use crate::ops::forget::decide::Flag;
use crate::repo::policies::AcceptedPolicy;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeSet;

/// Why nothing of a source is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// No complete snapshot would be left that the policy applies to.
    NothingLeft,
    /// No policy was accepted for the source yet.
    FirstPolicy,
    /// The policy differs from the one that was accepted, and takes more than a quarter.
    PolicyChanged {
        /// How many snapshots would be forgotten.
        dropped: usize,
        /// How many there are.
        total: usize,
    },
    /// Snapshots claim times that contradict the order of their receipt, and nobody said yet that
    /// this is as it should be.
    TimesContradict {
        /// Which.
        snapshots: Vec<String>,
    },
}

impl Refusal {
    /// Why, for people.
    pub fn words(&self) -> String {
        match self {
            Self::NothingLeft => "no complete snapshot would be left".to_owned(),
            Self::FirstPolicy => "no policy was accepted for this source yet".to_owned(),
            Self::PolicyChanged { dropped, total } => {
                format!("the policy changed and would forget {dropped} of {total} snapshots")
            }
            Self::TimesContradict { snapshots } => {
                let names: Vec<&str> =
                    snapshots.iter().map(|name| name.get(..8).unwrap_or(name)).collect();
                format!(
                    "the times of {} contradict the order in which the store received them",
                    names.join(", ")
                )
            }
        }
    }
}

/// What a policy was asked to do, and with what consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consent {
    /// Only what was accepted before.
    None,
    /// A first policy is accepted.
    FirstPolicy,
    /// Whatever the policy says is done.
    Force,
}

/// Finds out why nothing of a source may be forgotten; `policy` is the form of the one in use.
pub(crate) fn check(
    decisions: &[Decision],
    policy: &Map<String, Value>,
    accepted: Option<&AcceptedPolicy>,
    consent: Consent,
) -> Option<Refusal> {
    let dropped = decisions.iter().filter(|decision| !decision.is_kept()).count();
    // Nothing is lost, whatever the policy is: the guard waits until something would be.
    if dropped == 0 || consent == Consent::Force {
        return None;
    }
    let is_good =
        |decision: &&Decision| decision.flag().is_none() && !decision.candidate.is_incomplete;
    let good_before = decisions.iter().filter(is_good).count();
    let good_after = decisions.iter().filter(is_good).filter(|good| good.is_kept()).count();
    if dropped == decisions.len() || (good_before > 0 && good_after == 0) {
        return Some(Refusal::NothingLeft);
    }
    let Some(accepted) = accepted else {
        let is_first = consent == Consent::None;
        return is_first.then_some(Refusal::FirstPolicy).or_else(|| contradictions(decisions, &[]));
    };
    if accepted.policy != *policy && dropped > decisions.len() / SHARE {
        return Some(Refusal::PolicyChanged { dropped, total: decisions.len() });
    }
    contradictions(decisions, &accepted.contradicting)
}

/// Snapshots whose times contradict the order of their receipt.
pub(crate) fn contradicting(decisions: &[Decision]) -> BTreeSet<SnapshotId> {
    let flagged = decisions.iter().filter(|decision| match decision.flag() {
        Some(Flag::AfterReceipt | Flag::BeforePrevious) => true,
        Some(Flag::Unreadable) | None => false,
    });
    flagged.map(|decision| decision.candidate.snapshot).collect()
}

fn contradictions(decisions: &[Decision], known: &[SnapshotId]) -> Option<Refusal> {
    let new: Vec<String> = contradicting(decisions)
        .into_iter()
        .filter(|snapshot| !known.contains(snapshot))
        .map(|snapshot| snapshot.to_string())
        .collect();
    (!new.is_empty()).then_some(Refusal::TimesContradict { snapshots: new })
}

/// A changed policy may forget one snapshot in so many without being asked for.
const SHARE: usize = 4;
