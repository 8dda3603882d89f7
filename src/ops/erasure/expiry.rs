//! When a policy will let go of snapshots, if backups go on as they did. Pure.

use crate::id::SnapshotId;
use crate::ops::forget::decide::Candidate;
use crate::ops::forget::decide::decide;
use crate::ops::forget::policy::Every;
use crate::ops::forget::policy::Policy;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// When a snapshot is no longer kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing keeps it: the next forget drops it.
    Next,
    /// At this time, in seconds since 1970, for what keeps it until then, in words.
    At(i64, String),
    /// Never, or later than anybody can say, for this reason.
    Never(String),
}

/// When each of the `wanted` snapshots of a source is let go, with one more snapshot `every` so many seconds. What holds
/// a snapshot is not looked at.
pub(crate) fn expiries(
    policy: &Policy,
    candidates: &[Candidate],
    wanted: &BTreeSet<SnapshotId>,
    every: i64,
) -> BTreeMap<SnapshotId, Expiry> {
    let mut candidates = candidates.to_vec();
    for candidate in &mut candidates {
        candidate.hold = None;
    }
    let mut expiries = BTreeMap::new();
    let mut kept = BTreeSet::new();
    let mut reasons = BTreeMap::new();
    for decision in decide(policy, candidates.clone()) {
        let snapshot = decision.candidate.snapshot;
        if !wanted.contains(&snapshot) {
            continue;
        }
        let words: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
        let has_kept_tag = decision.candidate.tags.iter().any(|tag| policy.tags.contains(tag));
        if !decision.is_kept() {
            expiries.insert(snapshot, Expiry::Next);
        } else if decision.flag().is_some() || has_kept_tag {
            expiries.insert(snapshot, Expiry::Never(words.join(", ")));
        } else {
            kept.insert(snapshot);
            reasons.insert(snapshot, words.join(", "));
        }
    }
    let newest = candidates.iter().filter_map(|candidate| candidate.time).max().unwrap_or(0);
    let future = Future { policy, candidates, newest, step: step_of(policy, every) };
    let mut ends = BTreeMap::new();
    future.follow(&kept, &mut ends);
    for (snapshot, words) in reasons {
        let expiry = match ends.get(&snapshot) {
            Some(&at) => Expiry::At(at, words),
            None => Expiry::Never(format!("{words}, for more than {YEARS_MAX} years")),
        };
        expiries.insert(snapshot, expiry);
    }
    expiries
}

/// How often snapshots were made lately, in seconds: the median of the last distances.
pub(crate) fn cadence(candidates: &[Candidate]) -> i64 {
    let mut times: Vec<i64> = candidates.iter().filter_map(|candidate| candidate.time).collect();
    times.sort_unstable();
    let first = times.len().saturating_sub(DISTANCES_COUNT_MAX + 1);
    let recent = times.get(first..).unwrap_or_default();
    let mut distances: Vec<i64> =
        recent.iter().zip(recent.iter().skip(1)).map(|(one, next)| next - one).collect();
    distances.sort_unstable();
    let median = distances.get(distances.len() / 2).copied().unwrap_or(DAY_SECONDS);
    median.max(HOUR_SECONDS)
}

/// One snapshot in each of the shortest slots is enough, unless every snapshot counts.
fn step_of(policy: &Policy, every: i64) -> i64 {
    let mut words = policy.counts.keys().chain(policy.within.keys());
    let is_fine = words.any(|every| matches!(every, Every::Snapshot | Every::Hour));
    if is_fine { every } else { every.max(DAY_SECONDS) }
}

struct Future<'a> {
    policy: &'a Policy,
    candidates: Vec<Candidate>,
    newest: i64,
    step: i64,
}

impl Future<'_> {
    /// Finds for each snapshot after how many more it is let go.
    fn follow(&self, kept: &BTreeSet<SnapshotId>, ends: &mut BTreeMap<SnapshotId, i64>) {
        let most = YEARS_MAX * 366 * DAY_SECONDS / self.step;
        let (mut from, mut until) = (0, 1);
        let mut kept = kept.clone();
        while !kept.is_empty() && from < most {
            let left = self.kept_after(until, &kept);
            let gone: BTreeSet<SnapshotId> = kept.difference(&left).copied().collect();
            self.narrow(from, until, &gone, ends);
            (kept, from, until) = (left, until, (until * 2).min(most));
        }
    }

    /// The same for those that are kept after `from` more snapshots, and not after `until`.
    fn narrow(
        &self,
        from: i64,
        until: i64,
        gone: &BTreeSet<SnapshotId>,
        ends: &mut BTreeMap<SnapshotId, i64>,
    ) {
        if gone.is_empty() {
            return;
        }
        if until - from <= 1 {
            let at = self.newest.saturating_add(until.saturating_mul(self.step));
            ends.extend(gone.iter().map(|snapshot| (*snapshot, at)));
            return;
        }
        let middle = from + (until - from) / 2;
        let left = self.kept_after(middle, gone);
        let before: BTreeSet<SnapshotId> = gone.difference(&left).copied().collect();
        self.narrow(from, middle, &before, ends);
        self.narrow(middle, until, &left, ends);
    }

    /// Which of these snapshots are kept after so many more.
    fn kept_after(&self, count: i64, of: &BTreeSet<SnapshotId>) -> BTreeSet<SnapshotId> {
        let mut candidates = self.candidates.clone();
        for number in 1..=count {
            let mut name = [0xff; 16];
            name[8..].copy_from_slice(&number.to_le_bytes());
            let time = self.newest.saturating_add(number.saturating_mul(self.step));
            candidates.push(Candidate::new(SnapshotId::new(name), time, 0));
        }
        let decisions = decide(self.policy, candidates).into_iter();
        let kept = decisions.filter(crate::ops::forget::decide::Decision::is_kept);
        kept.map(|kept| kept.candidate.snapshot).filter(|kept| of.contains(kept)).collect()
    }
}

const HOUR_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
/// Distances between snapshots that are looked at.
const DISTANCES_COUNT_MAX: usize = 20;
/// How far the future is followed.
const YEARS_MAX: i64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(count: i64) -> Vec<Candidate> {
        let made = (0..count).map(|day| {
            let mut name = [0; 16];
            name[8..].copy_from_slice(&day.to_le_bytes());
            // From 2026-01-01 on, at noon.
            let time = 1_767_268_800 + day * DAY_SECONDS;
            Candidate::new(SnapshotId::new(name), time, time + 60)
        });
        made.collect()
    }

    fn expiry_of(policy: &Policy, days: i64, day: usize) -> Expiry {
        let candidates = daily(days);
        let snapshot = candidates[day].snapshot;
        let every = cadence(&candidates);
        assert_eq!(every, DAY_SECONDS);
        let wanted = BTreeSet::from([snapshot]);
        expiries(policy, &candidates, &wanted, every).remove(&snapshot).unwrap()
    }

    #[test]
    fn a_snapshot_goes_when_the_policy_has_enough_newer_ones() {
        let policy = Policy::new().with_count(Every::Day, 7);
        // Of ten days the last one stays for seven more, and the third has gone.
        assert_eq!(expiry_of(&policy, 10, 2), Expiry::Next);
        let last = 1_767_268_800 + 9 * DAY_SECONDS;
        match expiry_of(&policy, 10, 9) {
            Expiry::At(at, words) => {
                assert_eq!((at, words.as_str()), (last + 7 * DAY_SECONDS, "daily 2026-01-10"));
            }
            other @ (Expiry::Next | Expiry::Never(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_slot_decides_and_a_tag_keeps_for_ever() {
        let policy = Policy::new().with_count(Every::Day, 2).with_count(Every::Month, 12);
        // 2026-01-31 stands for January until January of the next year has a snapshot.
        match expiry_of(&policy, 40, 30) {
            Expiry::At(at, _words) => {
                assert_eq!(at, 1_767_268_800 + 365 * DAY_SECONDS);
            }
            other @ (Expiry::Next | Expiry::Never(_)) => panic!("{other:?}"),
        }
        let mut candidates = daily(3);
        candidates[0].tags = vec!["keep".to_owned()];
        let mut policy = Policy::new().with_count(Every::Day, 1);
        policy.tags = vec!["keep".to_owned()];
        let wanted = BTreeSet::from([candidates[0].snapshot]);
        let found = expiries(&policy, &candidates, &wanted, DAY_SECONDS);
        assert_eq!(found[&candidates[0].snapshot], Expiry::Never("tag keep".to_owned()));
        let for_ever = Policy::new().with_period(Every::Snapshot, "99y".parse().unwrap());
        assert!(matches!(expiry_of(&for_ever, 3, 2), Expiry::Never(_)));
    }
}
