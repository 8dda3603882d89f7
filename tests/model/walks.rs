//! Larger bounds: the states nearest to the first, and random schedules far beyond them.
//!
//! `tools/model` runs this file with more states than every commit can wait for.

use crate::config::A;
use crate::config::B;
use crate::config::C;
use crate::config::Config;
use crate::config::DELTA;
use crate::config::Forgetting;
use crate::config::Mutation;
use crate::config::Reading;
use crate::config::SMALL;
use crate::config::THREE;
use crate::model::Action;
use crate::model::Protocol;
use crate::run::holds_nearby;
use crate::run::holds_on_walks;
use crate::run::refuted_on_walks;
use crate::set::Set;
use crate::state::State;
use sbf_repo::testing::SplitMix;
use stateright::Chooser;

/// States that all searches and walks may visit together, transitions to known ones counted too.
const STATES: usize = 4_500_000;
/// Says how many instead; `tools/model` sets it.
const STATES_VARIABLE: &str = "SBF_REPO_MODEL_STATES";
/// How many searches and walks there are.
const PARTS: usize = 9;

/// Two writers and two pruners, who crash, with everything that a repository can hold.
fn everything() -> Config {
    Config {
        writers: 2,
        pruners: 2,
        delta_twin: true,
        need: [A | B, B | C],
        delta: [B, A | B],
        checkpoint: [B, Set::EMPTY],
        forget: Forgetting::Any,
        late_objects: true,
        undo: true,
        partly_dead: true,
        crashes: true,
        reader: Reading::Long,
        ..THREE
    }
}

#[test]
fn many_writers_and_pruners_are_safe_nearby() {
    let two = Config { need: [B, A | B], ..SMALL };
    holds_nearby("W1 P2 G2 A2", Config { pruners: 2, ..SMALL }, part());
    holds_nearby("W2 P1 G2 A2", Config { writers: 2, ..two }, part());
    holds_nearby(
        "W2 P2 G1 A2",
        Config { writers: 2, pruners: 2, generations: 1, tries: 1, ..two },
        part(),
    );
    let late = Config { late_objects: true, ..SMALL };
    holds_nearby("W1 P1 G2 A2 late packs and announcements", late, part());
    let delta = Config { writers: 2, partly_dead: true, need: [B, A | C], ..DELTA };
    holds_nearby("W2 P1 G2 A2 delta twin, partly dead packs kept", delta, part());
}

#[test]
fn random_schedules_are_safe() {
    let plain = Config { writers: 2, pruners: 2, need: [B, A | B], ..THREE };
    holds_on_walks("W2 P2 G3 A3", plain, part(), 1);
    holds_on_walks("W2 P2 G3 A3 everything", everything(), part(), 2);
    let reader = Config { reader: Reading::Short, ..everything() };
    holds_on_walks("W2 P2 G3 A3 everything, reader without session", reader, part(), 3);
    let healing = Config { heal: true, delta_twin: false, reader: Reading::None, ..everything() };
    holds_on_walks("W2 P2 G3 A3 healing", healing, part(), 4);
}

#[test]
fn random_schedules_reach_what_is_far_away() {
    let plain = Config { writers: 2, pruners: 2, need: [B, A | B], ..THREE };
    for mutation in [Mutation::NoRecheckAfterCommit, Mutation::NoWatermark] {
        refuted_on_walks(mutation, plain, 5);
    }
    refuted_on_walks(Mutation::AdoptUnlisted, Config { need: [A | B, A], ..plain }, 5);
    refuted_on_walks(Mutation::AdoptWithoutBases, everything(), 5);
    refuted_on_walks(Mutation::DeadDeltasLoseBases, everything(), 5);
}

/// The states that one search or walk may visit.
#[expect(clippy::disallowed_methods, reason = "the length of a run is no matter of the library")]
#[expect(clippy::expect_used, reason = "`tools/model` gives a number")]
fn part() -> usize {
    let wanted = std::env::var(STATES_VARIABLE).ok();
    let states = wanted.map_or(STATES, |number| number.parse().expect("a number of states"));
    states / PARTS
}

/// Chooses at random, but lets one process, another one every while, nearly stand still. How rare what is, is
/// drawn for each walk: what goes wrong may need much of the one and little of the other.
#[derive(Clone, Debug)]
pub(crate) struct Stalling;

/// What a walk draws from.
pub(crate) struct Dice {
    random: SplitMix,
    stalled: u64,
    /// Steps between two choices of who stands still, about.
    stall_steps: u64,
    /// One in so many steps of a stalled process is taken, of crashes, and of what comes from outside.
    stall_rarity: u64,
    crash_rarity: u64,
    outside_rarity: u64,
}

/// Numbers of processes: writers, pruners, the reader, the keeper; the last ones are nobody's.
const PROCESSES: u64 = 8;
/// An action that is rare is drawn again so often.
const DRAWS: usize = 5;

impl Chooser<Protocol> for Stalling {
    type State = Dice;

    fn new_state(&self, seed: u64) -> Dice {
        let mut random = SplitMix::new(seed);
        let mut draw = |choices: [u64; 3]| {
            let index = usize::try_from(random.below(3)).unwrap_or(0);
            choices[index]
        };
        let stall_steps = draw([10, 40, 200]);
        let stall_rarity = draw([10, 50, 1000]);
        let crash_rarity = draw([20, 100, 10_000]);
        let outside_rarity = draw([1, 5, 50]);
        let stalled = random.below(PROCESSES);
        Dice { random, stalled, stall_steps, stall_rarity, crash_rarity, outside_rarity }
    }

    fn choose_initial_state(&self, _dice: &mut Dice, _first: &[State]) -> usize {
        0
    }

    fn choose_action(&self, dice: &mut Dice, _state: &State, actions: &[Action]) -> usize {
        if dice.random.below(dice.stall_steps) == 0 {
            dice.stalled = dice.random.below(PROCESSES);
        }
        let bound = u64::try_from(actions.len()).unwrap_or(1);
        let mut chosen = 0;
        for _ in 0..DRAWS {
            chosen = usize::try_from(dice.random.below(bound)).unwrap_or(0);
            let rarity = dice.rarity(actions[chosen]);
            if dice.random.below(rarity) == 0 {
                break;
            }
        }
        chosen
    }
}

impl Dice {
    fn rarity(&self, action: Action) -> u64 {
        let process = |number: usize| match u64::try_from(number) {
            Ok(number) if number == self.stalled => self.stall_rarity,
            _ => 1,
        };
        match action {
            Action::Write(index) => process(index),
            Action::Prune(index, _) | Action::PruneLittle(index) | Action::Fence(index, _) => {
                process(2 + index)
            }
            Action::Read(_) => process(4),
            Action::Keep => process(5),
            Action::Forget(_)
            | Action::LateCommit(_)
            | Action::LatePack(_)
            | Action::LateAnnouncement(_)
            | Action::Damage => self.outside_rarity,
            Action::CrashWriter(_) | Action::CrashPruner(_) => self.crash_rarity,
        }
    }
}
