//! What a policy does to the snapshots of one source. Pure: times are those that were stated.
//! Rules: format-spec/10-record.md, "Policies".

use crate::id::SnapshotId;
use crate::ops::forget::policy::Every;
use crate::ops::forget::policy::Policy;
use crate::ops::forget::policy::Zone;
use std::collections::HashMap;
use std::fmt;

/// A snapshot as a policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The stated time of its data, in seconds since 1970; `None` if its manifest cannot be read.
    pub time: Option<i64>,
    /// Nanoseconds behind it, which order the snapshots of one second.
    pub nanoseconds: u32,
    /// When the store received it; 0 if it does not say.
    pub received: i64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether something was left out of it.
    pub is_incomplete: bool,
    /// Why something holds it, if something does.
    pub hold: Option<String>,
}

impl Candidate {
    /// A complete snapshot without tags that nothing holds.
    pub fn new(snapshot: SnapshotId, time: i64, received: i64) -> Self {
        Self {
            snapshot,
            time: Some(time),
            nanoseconds: 0,
            received,
            tags: Vec::new(),
            is_incomplete: false,
            hold: None,
        }
    }
}

/// A snapshot and why it is kept; it is dropped if nothing says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The snapshot.
    pub candidate: Candidate,
    /// Why it is kept.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// Whether the snapshot is kept.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Why the policy does not apply to the snapshot, if it does not.
    pub fn flag(&self) -> Option<Flag> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Outside(flag) => Some(*flag),
            Reason::Slot { .. } | Reason::Within(_) | Reason::Tag(_) | Reason::Held(_) => None,
        })
    }
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is the newest of a slot that counts.
    Slot {
        /// How long the slot is.
        every: Every,
        /// The slot, as `2026-10-14`; the number from the newest for [`Every::Snapshot`].
        slot: String,
    },
    /// It is not older than a policy says.
    Within(String),
    /// It has a tag.
    Tag(String),
    /// Something holds it; the words say why.
    Held(String),
    /// The policy does not apply to it.
    Outside(Flag),
}

/// Why a policy does not apply to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flag {
    /// Its data claims to be newer than its receipt.
    AfterReceipt,
    /// Its data claims to be older than that of a snapshot which was received earlier.
    BeforePrevious,
    /// Its manifest cannot be read.
    Unreadable,
}

impl Flag {
    /// What is wrong with it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AfterReceipt => "its time is after its receipt",
            Self::BeforePrevious => "its time is before that of a snapshot received earlier",
            Self::Unreadable => "its manifest cannot be read",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot { every, slot } => write!(formatter, "{} {slot}", every.word()),
            Self::Within(period) => write!(formatter, "within {period}"),
            Self::Tag(tag) => write!(formatter, "tag {tag}"),
            Self::Held(why) => write!(formatter, "{why}"),
            Self::Outside(flag) => write!(formatter, "outside the policy: {}", flag.words()),
        }
    }
}

/// Decides for the snapshots of one source; newest first.
///
/// The newest snapshot of a slot stands for it. Incomplete ones are counted apart: they stand only
/// for slots without a complete one, and take no place from complete ones.
pub fn decide(policy: &Policy, candidates: Vec<Candidate>) -> Vec<Decision> {
    let flags = flags(&candidates);
    let mut decisions: Vec<Decision> = candidates
        .into_iter()
        .zip(flags)
        .map(|(candidate, flag)| {
            let reasons = flag.map(Reason::Outside).into_iter().collect();
            Decision { candidate, reasons }
        })
        .collect();
    decisions.sort_by_key(|decision| {
        let Candidate { snapshot, time, nanoseconds, received, .. } = decision.candidate;
        std::cmp::Reverse((time.unwrap_or(received), nanoseconds, received, snapshot))
    });
    keep_by_slots(policy, &mut decisions);
    for decision in &mut decisions {
        if decision.flag().is_none() {
            let tags = decision.candidate.tags.iter().filter(|tag| policy.tags.contains(tag));
            let tags: Vec<Reason> = tags.cloned().map(Reason::Tag).collect();
            decision.reasons.extend(tags);
        }
        decision.reasons.extend(decision.candidate.hold.clone().map(Reason::Held));
    }
    decisions
}

/// Which snapshots claim times that contradict their receipts.
///
/// Only times of snapshots without a contradiction are compared with: one lie does not put the
/// honest ones after it in the wrong.
fn flags(candidates: &[Candidate]) -> Vec<Option<Flag>> {
    let mut order: Vec<(usize, &Candidate)> = candidates.iter().enumerate().collect();
    order.sort_by_key(|(_index, candidate)| {
        let Candidate { snapshot, time, received, .. } = candidate;
        (*received, *time, *snapshot)
    });
    let mut flags = vec![None; candidates.len()];
    let mut newest: Option<i64> = None;
    for (index, candidate) in order {
        let received = candidate.received;
        let flag = match candidate.time {
            None => Some(Flag::Unreadable),
            // The store does not say when it received it: there is nothing to compare with.
            Some(_) if received == 0 => None,
            Some(time) if time > received.saturating_add(CLOCK_DRIFT_SECONDS) => {
                Some(Flag::AfterReceipt)
            }
            Some(time) if newest.is_some_and(|newest| time < newest) => Some(Flag::BeforePrevious),
            Some(time) => {
                newest = Some(time);
                None
            }
        };
        if let Some(place) = flags.get_mut(index) {
            *place = flag;
        }
    }
    flags
}

fn keep_by_slots(policy: &Policy, decisions: &mut [Decision]) {
    let applies = |decision: &Decision| decision.flag().is_none();
    let order: Vec<usize> =
        (0..decisions.len()).filter(|index| applies(&decisions[*index])).collect();
    let time = |index: &usize| decisions[*index].candidate.time.unwrap_or_default();
    let Some(newest) = order.first().map(time) else { return };
    let mut kept: Vec<(usize, Reason)> = Vec::new();
    for (every, count) in &policy.counts {
        let slots = slots(*every, &order, decisions, &policy.zone);
        kept.extend(newest_slots(*every, &slots, to_usize(*count)));
    }
    for (every, period) in &policy.within {
        let since = period.before(newest, &policy.zone);
        let recent: Vec<usize> =
            order.iter().copied().filter(|index| time(index) >= since).collect();
        if *every == Every::Snapshot {
            let within = |index| (index, Reason::Within(period.to_string()));
            kept.extend(recent.into_iter().map(within));
        } else {
            let slots = slots(*every, &recent, decisions, &policy.zone);
            kept.extend(newest_slots(*every, &slots, usize::MAX));
        }
    }
    for (index, reason) in kept {
        let reasons = &mut decisions[index].reasons;
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
}

/// A slot and the newest snapshots in it.
struct Slot {
    label: String,
    complete: Option<usize>,
    incomplete: Option<usize>,
}

/// The slots that have snapshots, newest first.
fn slots(every: Every, order: &[usize], decisions: &[Decision], zone: &Zone) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (rank, index) in order.iter().enumerate() {
        let candidate = &decisions[*index].candidate;
        let label = label(every, rank, candidate.time.unwrap_or_default(), zone);
        let place = *places.entry(label.clone()).or_insert(slots.len());
        if place == slots.len() {
            slots.push(Slot { label, complete: None, incomplete: None });
        }
        let slot = &mut slots[place];
        let stands =
            if candidate.is_incomplete { &mut slot.incomplete } else { &mut slot.complete };
        stands.get_or_insert(*index);
    }
    slots
}

/// What stands for the newest `count` slots, complete and incomplete counted apart.
fn newest_slots(every: Every, slots: &[Slot], count: usize) -> Vec<(usize, Reason)> {
    let mut complete_count = 0;
    let mut kept = Vec::new();
    for (rank, slot) in slots.iter().enumerate() {
        let stands = if slot.complete.is_some() {
            complete_count += 1;
            slot.complete.filter(|_index| complete_count <= count)
        } else {
            slot.incomplete.filter(|_index| rank < count)
        };
        let reason = Reason::Slot { every, slot: slot.label.clone() };
        kept.extend(stands.map(|index| (index, reason)));
    }
    kept
}

/// The name of the slot of a time: equal for all times in it, different for all others.
fn label(every: Every, rank: usize, seconds: i64, zone: &Zone) -> String {
    let Some(time) = zone.at(seconds) else { return seconds.to_string() };
    match every {
        Every::Snapshot => (rank + 1).to_string(),
        // The offset tells the two hours apart that one hour of the clock becomes in autumn.
        Every::Hour => time.strftime("%Y-%m-%dT%H%:z").to_string(),
        Every::Day => time.strftime("%Y-%m-%d").to_string(),
        Every::Week => time.strftime("%G-W%V").to_string(),
        Every::Month => time.strftime("%Y-%m").to_string(),
        Every::Year => time.strftime("%Y").to_string(),
    }
}

fn to_usize(count: u32) -> usize {
    crate::units::to_usize32(count)
}

/// How far the clocks of a client and of the store may differ.
const CLOCK_DRIFT_SECONDS: i64 = 3600;
