//! Larger bounds: the states nearest to the first, and random schedules far beyond them.
//!
//! `tools/model` runs this file with more states than every commit can wait for.

use crate::config::A;
use crate::config::B;
use crate::config::C;
use crate::config::Config;
use crate::config::DELTA;
use crate::config::Reading;
use crate::config::SMALL;
use crate::config::THREE;
use crate::model::Action;
use crate::model::Protocol;
use crate::run::holds_nearby;
use crate::run::holds_on_walks;
use crate::set::Set;
use crate::state::State;
use sbf_repo::testing::SplitMix;
use stateright::Chooser;

/// Transitions of each search near the first state.
const TRANSITIONS: usize = 500_000;
/// Steps of each set of walks.
const STEPS: usize = 500_000;

/// Two writers and two pruners, who crash, with everything that a repository can hold.
fn everything() -> Config {
    Config {
        writers: 2,
        pruners: 2,
        delta_twin: true,
        need: [A | B, B | C],
        delta: [B, A | B],
        checkpoint: [B, Set::EMPTY],
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
    holds_nearby("W1 P2 G2 A2", Config { pruners: 2, ..SMALL }, TRANSITIONS);
    holds_nearby("W2 P1 G2 A2", Config { writers: 2, ..two }, TRANSITIONS);
    holds_nearby(
        "W2 P2 G1 A2",
        Config { writers: 2, pruners: 2, generations: 1, tries: 1, ..two },
        TRANSITIONS,
    );
    let delta = Config { writers: 2, partly_dead: true, need: [B, A | C], ..DELTA };
    holds_nearby("W2 P1 G2 A2 delta twin, partly dead packs kept", delta, TRANSITIONS);
}

#[test]
fn random_schedules_are_safe() {
    let plain = Config { writers: 2, pruners: 2, need: [B, A | B], ..THREE };
    holds_on_walks("W2 P2 G3 A3", plain, STEPS, 1);
    holds_on_walks("W2 P2 G3 A3 everything", everything(), STEPS, 2);
    let reader = Config { reader: Reading::Short, ..everything() };
    holds_on_walks("W2 P2 G3 A3 everything, reader without session", reader, STEPS, 3);
    let healing = Config { heal: true, delta_twin: false, reader: Reading::None, ..everything() };
    holds_on_walks("W2 P2 G3 A3 healing", healing, STEPS, 4);
}

/// Chooses at random, but lets one process, another one every while, nearly stand still.
#[derive(Clone, Debug)]
pub(crate) struct Stalling;

/// What a walk draws from.
pub(crate) struct Dice {
    random: SplitMix,
    stalled: u64,
}

/// Numbers of processes: writers, pruners, the reader, the keeper; the last ones are nobody's.
const PROCESSES: u64 = 8;
/// Steps between two choices of who stands still, about.
const STALL_STEPS: u64 = 40;
/// One in so many steps of a stalled process is taken.
const STALL_RARITY: u64 = 20;
/// An action that is rare is drawn again so often.
const DRAWS: usize = 4;

impl Chooser<Protocol> for Stalling {
    type State = Dice;

    fn new_state(&self, seed: u64) -> Dice {
        let mut random = SplitMix::new(seed);
        let stalled = random.below(PROCESSES);
        Dice { random, stalled }
    }

    fn choose_initial_state(&self, _dice: &mut Dice, _first: &[State]) -> usize {
        0
    }

    fn choose_action(&self, dice: &mut Dice, _state: &State, actions: &[Action]) -> usize {
        let Dice { random, stalled } = dice;
        if random.below(STALL_STEPS) == 0 {
            *stalled = random.below(PROCESSES);
        }
        let bound = u64::try_from(actions.len()).unwrap_or(1);
        let mut chosen = 0;
        for _ in 0..DRAWS {
            chosen = usize::try_from(random.below(bound)).unwrap_or(0);
            let (process, rarity) = odds(actions[chosen]);
            let rarity = if process == Some(*stalled) { STALL_RARITY } else { rarity };
            if random.below(rarity) == 0 {
                break;
            }
        }
        chosen
    }
}

/// Whose step an action is, and how rare it shall be.
fn odds(action: Action) -> (Option<u64>, u64) {
    let process = |number: usize| u64::try_from(number).ok();
    match action {
        Action::Write(index) => (process(index), 1),
        Action::Prune(index, _) | Action::PruneLittle(index) => (process(2 + index), 1),
        Action::Fence(index, _) => (process(2 + index), 2),
        Action::Read(_) => (process(4), 1),
        Action::Keep => (process(5), 4),
        Action::Forget | Action::LateCommit(_) | Action::Damage => (None, 8),
        Action::CrashWriter(_) | Action::CrashPruner(_) => (None, 100),
    }
}
