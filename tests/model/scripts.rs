//! What goes wrong too far away for a search: one schedule each, written down.

use crate::choice::Partly;
use crate::config::A;
use crate::config::Config;
use crate::config::D;
use crate::config::Mutation;
use crate::config::THREE;
use crate::model::Action;
use crate::model::Protocol;
use crate::properties::INDEX_TRAILS;
use crate::properties::NO_DANGLING;
use crate::pruner;
use crate::state::PrunerStep;
use crate::state::State;
use crate::state::WriterStep;
use crate::writer;
use stateright::Model as _;

/// Steps after which a process has come where it never will.
const STEPS_MAX: usize = 40;

#[test]
fn a_removed_pack_that_comes_back_is_not_adopted() {
    let config = Config { late_objects: true, pruners: 2, need: [D, A], ..THREE };
    assert_eq!(broken(config), Vec::<&str>::new());
    let without = config.without(Mutation::AdoptRemoved);
    assert_eq!(broken(without), [NO_DANGLING, INDEX_TRAILS]);
}

/// A session is fenced, its pack removed; the doubled request to create it arrives, and a pruner that had
/// rested goes on with the deletes of that verdict. Returns what does not hold at the end.
fn broken(config: Config) -> Vec<&'static str> {
    let mut state = State::first(&config);
    let session = config.writer_session(0, 0);
    write_until(&config, &mut state, WriterStep::Commit);
    prune_until(&config, &mut state, 0, PrunerStep::Drain);
    state = next(config, &state, Action::Fence(0, session));
    prune_until(&config, &mut state, 0, PrunerStep::Idle);
    write_until(&config, &mut state, WriterStep::ReadEpoch);
    prune_until(&config, &mut state, 0, PrunerStep::DeletePacks);
    assert!(state.collections[2].removed.has(session), "{state:?}");
    prune_until(&config, &mut state, 1, PrunerStep::Idle);
    state = next(config, &state, Action::Forget(0));
    prune_until(&config, &mut state, 1, PrunerStep::Idle);
    assert!(state.collections[3].done, "{state:?}");
    state = next(config, &state, Action::LatePack(session));
    write_until(&config, &mut state, WriterStep::Ended);
    prune_until(&config, &mut state, 0, PrunerStep::DeleteOutcomes);
    let model = Protocol(config);
    let properties = model.properties().into_iter();
    let broken = properties.filter(|property| !(property.condition)(&model, &state));
    broken.map(|property| property.name).collect()
}

#[expect(clippy::expect_used, reason = "the action is possible")]
fn next(config: Config, state: &State, action: Action) -> State {
    let model = Protocol(config);
    let mut possible = Vec::new();
    model.actions(state, &mut possible);
    assert!(possible.contains(&action), "{action:?} is not possible in {state:?}");
    model.next_state(state, action).expect("every action leads somewhere")
}

fn write_until(config: &Config, state: &mut State, step: WriterStep) {
    for _ in 0..STEPS_MAX {
        writer::step(config, state, 0);
        if state.writers[0].step == step {
            return;
        }
    }
    unreachable!("{step:?} is not reached: {state:?}");
}

fn prune_until(config: &Config, state: &mut State, index: usize, step: PrunerStep) {
    for _ in 0..STEPS_MAX {
        assert!(pruner::can_step(config, state, index), "{step:?}: {state:?}");
        pruner::step(config, state, index, Partly::Condemned);
        if state.pruners[index].step == step {
            return;
        }
    }
    unreachable!("{step:?} is not reached: {state:?}");
}
