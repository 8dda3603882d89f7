//! What a fault store does wrong, and when; drawn from a seed or written down.
//! Invariant: the same plan and the same calls give the same faults.

use crate::store::StoreError;
use crate::store::StoreErrorKind;

/// A call to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `create`.
    Create,
    /// `read`.
    Read,
    /// `read_range`.
    ReadRange,
    /// `length`.
    Length,
    /// `list`.
    List,
    /// `delete`.
    Delete,
    /// `settle`.
    Settle,
}

/// Whether a call whose answer is lost took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Applied,
    /// It did not and never will.
    Dropped,
    /// It will, when delayed calls are flushed.
    Delayed,
}

/// One thing that goes wrong. A fault that does not fit the call it meets does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this kind and changes nothing.
    Fail(StoreErrorKind),
    /// The call fails, and the caller cannot know what became of it.
    LostAnswer(Outcome),
    /// This call and all later ones fail and change nothing: the process died.
    Crash,
    /// As `Crash`, and what became of this call is unknown.
    CrashUnknown(Outcome),
    /// A create or delete succeeds, and is delivered once more when delayed calls are flushed.
    DeliveredTwice,
    /// A delete reports success; the object stays until delayed calls are flushed.
    DelayedDelete,
    /// A read gives the right length and one wrong bit, drawn from this number.
    WrongBit(u64),
    /// A read gives all but the last bytes, with success; a length is that much smaller.
    MissingBytes(usize),
    /// A read or length gives this many bytes too many.
    ExtraBytes(usize),
    /// A listing out of order, by this number.
    ShuffledList(u64),
    /// A listing that names every object twice.
    DoubledList,
    /// Delayed calls land in the middle of the listing: its first half misses them.
    SplitList,
}

/// How often a seeded store does something wrong, in calls of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultOdds {
    /// The call fails as unavailable, throttled or full.
    pub fail: u64,
    /// The answer is lost.
    pub lost_answer: u64,
    /// A change is delivered twice.
    pub delivered_twice: u64,
    /// A read gives a wrong bit, too few or too many bytes.
    pub wrong_read: u64,
    /// Delayed calls land within a listing.
    pub split_list: u64,
}

/// The cause in an error that a fault store made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected at operation {operation}")]
pub struct InjectedFault {
    /// The operation's number.
    pub operation: u64,
    /// What was injected.
    pub fault: Fault,
}

/// Whether a fault store made up `error`.
pub fn is_injected(error: &StoreError) -> bool {
    error.source.is::<InjectedFault>()
}

/// A small generator of repeatable numbers (`SplitMix64`), not for secrets.
#[derive(Debug, Clone)]
pub struct SplitMix {
    state: u64,
}

impl SplitMix {
    /// A generator for one seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

impl FaultOdds {
    /// Draws what goes wrong with one call, if anything.
    pub(crate) fn draw(&self, random: &mut SplitMix, call: Call) -> Option<Fault> {
        let Self { fail, lost_answer, delivered_twice, wrong_read, split_list } = *self;
        let mut dice = random.below(1000);
        let mut hit = |odds: u64| {
            let hit = dice < odds;
            dice = dice.wrapping_sub(odds);
            hit
        };
        let changes = matches!(call, Call::Create | Call::Delete);
        if hit(fail) {
            let kinds =
                [StoreErrorKind::Unavailable, StoreErrorKind::Throttled, StoreErrorKind::Full];
            let index = random.below(if call == Call::Create { 3 } else { 2 });
            return kinds.get(crate::units::to_usize(index)).copied().map(Fault::Fail);
        }
        if hit(lost_answer) && changes {
            let outcomes = [Outcome::Applied, Outcome::Dropped, Outcome::Delayed];
            let index = crate::units::to_usize(random.below(3));
            return outcomes.get(index).copied().map(Fault::LostAnswer);
        }
        if hit(delivered_twice) && changes {
            return Some(Fault::DeliveredTwice);
        }
        if hit(wrong_read) && matches!(call, Call::Read | Call::ReadRange) {
            let number = random.below(u64::MAX);
            return Some(match number % 3 {
                0 => Fault::WrongBit(number),
                1 => Fault::MissingBytes(1),
                _ => Fault::ExtraBytes(1),
            });
        }
        (hit(split_list) && call == Call::List).then_some(Fault::SplitList)
    }
}
