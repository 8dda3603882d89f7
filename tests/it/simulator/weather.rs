//! What goes wrong in a run, and how often. Drawn from the seed.

use sbf_repo::StoreErrorKind;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::SplitMix;

/// How often something goes wrong, in calls of 10 000.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    crash: u64,
    fail: u64,
    lost_answer: u64,
    delivered_twice: u64,
    delayed_delete: u64,
    odd_list: u64,
    /// The clock of a process, or of the store, jumps by up to ten years.
    pub(crate) clock_jump: u64,
    /// One of the delayed changes lands.
    pub(crate) landing: u64,
    /// A lie that no store may tell: the checks must find it.
    pub(crate) lie: Option<Lie>,
}

/// What a store does that breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Listings leave out announcements.
    HiddenSessions,
    /// A create succeeds though the key is taken, and replaces the object.
    TwoWinners,
    /// A create of a pack is acknowledged and forgotten.
    LostPack,
    /// Listings leave out plans that were acknowledged.
    HiddenPlans,
}

impl Weather {
    /// The weather of a seed: a third of all runs are quiet.
    pub(crate) fn of(random: &mut SplitMix) -> Self {
        let mut upto = |bound: u64| if random.below(2) == 0 { 0 } else { random.below(bound) };
        let (clock_jump, landing) = (upto(200), 100 + upto(1_500));
        let quiet = Self { clock_jump, landing, ..Self::default() };
        // Reordered and doubled listings are no failure: they come in quiet runs, too.
        let quiet = Self { odd_list: upto(3_000), ..quiet };
        if upto(3) == 1 {
            return quiet;
        }
        Self {
            crash: upto(80),
            fail: upto(60),
            lost_answer: upto(300),
            delivered_twice: upto(1_000),
            delayed_delete: upto(2_000),
            ..quiet
        }
    }

    /// What goes wrong with one call, if anything.
    pub(crate) fn draw(&self, random: &mut SplitMix, call: Call) -> Option<Fault> {
        let changes = matches!(call, Call::Create | Call::Delete);
        let mut dice = random.below(10_000);
        let mut hit = |odds: u64| {
            let hit = dice < odds;
            dice = dice.wrapping_sub(odds);
            hit
        };
        if hit(self.crash) {
            let outcome = outcome(random);
            let is_known = !changes || random.below(2) == 0;
            return Some(if is_known { Fault::Crash } else { Fault::CrashUnknown(outcome) });
        }
        if hit(self.fail) {
            let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Throttled];
            return Some(Fault::Fail(kinds[usize::from(random.below(2) == 0)]));
        }
        if hit(self.lost_answer) && changes {
            return Some(Fault::LostAnswer(outcome(random)));
        }
        if hit(self.delivered_twice) && changes {
            return Some(Fault::DeliveredTwice);
        }
        if hit(self.delayed_delete) && call == Call::Delete {
            return Some(Fault::DelayedDelete);
        }
        if hit(self.odd_list) && call == Call::List {
            return Some(match random.below(3) {
                0 => Fault::ShuffledList(random.below(u64::MAX)),
                1 => Fault::DoubledList,
                _ => Fault::SplitList,
            });
        }
        None
    }
}

fn outcome(random: &mut SplitMix) -> Outcome {
    match random.below(3) {
        0 => Outcome::Applied,
        1 => Outcome::Dropped,
        _ => Outcome::Delayed,
    }
}
