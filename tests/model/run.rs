//! Runs the checker and says what it found.

#![expect(clippy::print_stdout, reason = "the counts are what a run is for")]
#![expect(clippy::panic, reason = "a refuted property is shown with its trace")]

use crate::config::Config;
use crate::config::Mutation;
use crate::model::Action;
use crate::model::Protocol;
use crate::state::Pack;
use crate::state::SLOTS;
use crate::state::Session;
use crate::state::State;
use crate::walks::Stalling;
use stateright::Checker;
use stateright::HasDiscoveries;
use stateright::Model as _;
use stateright::Path;
use std::collections::BTreeSet;

/// States at which a search for a counterexample gives up.
const REFUTATION_STATES_MAX: usize = 2_000_000;

/// Visits every state that can be reached; fails with a trace if a property is refuted, and returns how many
/// states there are.
#[track_caller]
pub(crate) fn holds_everywhere(name: &str, config: Config) -> usize {
    // One thread, so that the order, and with it a trace, is the same every time.
    let checker = Protocol(config).checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, all; {} transitions", checker.state_count());
    assert_nothing_found(name, &checker);
    states
}

/// Visits the states nearest to the first, until about `transitions` were taken.
#[track_caller]
pub(crate) fn holds_nearby(name: &str, config: Config, transitions: usize) {
    let search = Protocol(config).checker().target_state_count(transitions);
    let checker = search.spawn_bfs().join();
    let states = checker.unique_state_count();
    let reached = if checker.state_count() < transitions { "all" } else { "the nearest" };
    println!("{name}: {states} states, {reached}; {} transitions", checker.state_count());
    assert_nothing_found(name, &checker);
}

/// Walks from the first state to an end, again and again, until about `steps` were taken.
#[track_caller]
pub(crate) fn holds_on_walks(name: &str, config: Config, steps: usize, seed: u64) {
    let search = Protocol(config).checker().target_state_count(steps);
    let checker = search.spawn_simulation(seed, Stalling).join();
    let (steps, depth) = (checker.state_count(), checker.max_depth());
    println!("{name}: {steps} steps of walks of up to {depth}, seed {seed}");
    assert_nothing_found(name, &checker);
}

/// Leaves a rule out: the property must be refuted.
#[track_caller]
pub(crate) fn refuted(mutation: Mutation, config: Config, property: &'static str) {
    let checker = Protocol(config.without(mutation))
        .checker()
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])))
        .target_state_count(REFUTATION_STATES_MAX)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(property) else {
        panic!("{mutation:?}: {property} is not refuted in {states} states");
    };
    let steps = path.into_actions().len();
    println!("{mutation:?}: {property} refuted in {steps} steps; {states} states");
}

/// Leaves a rule out: some property must be refuted by walks that are not led there.
#[track_caller]
pub(crate) fn refuted_on_walks(mutation: Mutation, config: Config, seed: u64) {
    let checker = Protocol(config.without(mutation))
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(REFUTATION_STATES_MAX)
        .spawn_simulation(seed, Stalling)
        .join();
    let steps = checker.state_count();
    let Some((property, _path)) = checker.discoveries().into_iter().min_by_key(|found| found.0)
    else {
        panic!("{mutation:?} is not refuted in {steps} steps of walks, seed {seed}");
    };
    println!("{mutation:?}: {property} refuted after {steps} steps of walks, seed {seed}");
}

/// Fails with the trace of a property that was refuted.
#[track_caller]
pub(crate) fn assert_nothing_found(name: &str, checker: &impl Checker<Protocol>) {
    if let Some((property, path)) = checker.discoveries().into_iter().min_by_key(|found| found.0) {
        panic!("{name}: {property} is refuted\n{}", trace(path));
    }
}

fn trace(path: Path<State, Action>) -> String {
    let last = *path.last_state();
    let actions = path.into_actions();
    let lines = actions.iter().enumerate().map(|(n, action)| format!("{:>4} {action:?}\n", n + 1));
    lines.chain([what_there_is(&last)]).collect()
}

/// The parts of a state that are not as they were made.
fn what_there_is(state: &State) -> String {
    let mut lines = vec![format!("stored {:?}, reported {:?}", state.stored, state.reported)];
    for number in 0..SLOTS {
        let (session, pack) = (state.sessions[number], state.packs[number]);
        if session != Session::default() {
            lines.push(format!("{number}: {session:?}"));
        }
        if pack != Pack::default() {
            lines.push(format!("{number}: {pack:?}"));
        }
    }
    let collections = state.collections.iter().enumerate();
    for (number, collection) in collections.filter(|(_number, collection)| collection.plans > 0) {
        lines.push(format!("{number}: {collection:?}"));
    }
    lines.extend(state.writers.iter().map(|writer| format!("{writer:?}")));
    lines.extend(state.pruners.iter().map(|pruner| format!("{pruner:?}")));
    lines.push(format!("{:?}", state.reader));
    lines.join("\n")
}
