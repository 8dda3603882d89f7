//! What comes about in the end, if those that go on are not disturbed for a while.
//!
//! `Property::eventually` of stateright holds on paths without cycles only, and a state that two paths reach is
//! followed once, with what the first of them has seen; it misses counterexamples. So from every state a fair
//! schedule of bounded length is run instead: writers stand still and a new pruner goes on alone, or one writer
//! goes on alone. What then has not come about is a counterexample in that state.

use crate::choice::Partly;
use crate::config::Config;
use crate::pruner;
use crate::set::Set;
use crate::state::FIRST_FREE;
use crate::state::GENERATIONS;
use crate::state::Outcome;
use crate::state::Pruner;
use crate::state::PrunerStep;
use crate::state::State;
use crate::state::WriterStep;
use crate::writer;

/// Steps that a collection takes at most, fences included.
const COLLECTION_STEPS_MAX: usize = 60;
/// Collections after which nothing is left: one that others began, one that fences, one that deletes.
const COLLECTIONS: usize = 3;
/// Steps of a writer's session at most, when nobody else moves.
const SESSION_STEPS_MAX: usize = 15;

/// I7: no pack of a closed session stays that nothing needs; without open sessions, one collection is enough.
pub(crate) fn reclaims(config: &Config, state: &State) -> bool {
    if !config.fairness {
        return true;
    }
    // The bounds of the run shall not be what ends the schedule.
    let config = Config { generations: GENERATIONS - 1, starts: config.tries, ..*config };
    let mut state = *state;
    state.pruners[0] = Pruner { tries: state.pruners[0].tries, ..Pruner::default() };
    for _ in 0..COLLECTIONS {
        let newest = &state.collections[state.newest_plan()];
        let alone = newest.done && open(&state).is_empty();
        if !collect(&config, &mut state) {
            return false;
        }
        if alone && !garbage(&config, &state).is_empty() {
            return false;
        }
    }
    garbage(&config, &state).is_empty()
}

/// I8: a writer that nobody disturbs commits with its next session at the latest.
pub(crate) fn progresses(config: &Config, state: &State) -> bool {
    !config.fairness || (0..config.writers).all(|index| commits(config, state, index))
}

fn commits(config: &Config, state: &State, index: usize) -> bool {
    let attempt = usize::from(state.writers[index].attempt);
    if state.writers[index].step == WriterStep::Ended || attempt + 1 >= config.attempts {
        return true;
    }
    let mut state = *state;
    for _ in 0..2 * SESSION_STEPS_MAX {
        if writer::can_step(config, &state, index) {
            writer::step(config, &mut state, index);
        }
    }
    let number = writer::session_of(config, &state, index);
    let ended = state.writers[index].step == WriterStep::Ended;
    ended && number <= config.writer_session(index, attempt + 1) && state.reported.has(number)
}

/// Runs one collection to its end, the one that is under way if there is one. Whoever is open is fenced.
fn collect(config: &Config, state: &mut State) -> bool {
    for _ in 0..COLLECTION_STEPS_MAX {
        let began = state.pruners[0].step != PrunerStep::Idle;
        if pruner::can_step(config, state, 0) {
            pruner::step(config, state, 0, Partly::Condemned);
        } else if let Some(session) = pruner::open(state, 0).first() {
            state.sessions[session].outcome = Outcome::Fence;
        } else {
            return true;
        }
        if began && state.pruners[0].step == PrunerStep::Idle {
            return true;
        }
    }
    false
}

fn open(state: &State) -> Set {
    state.announced.only(|number| state.sessions[number].outcome == Outcome::Absent)
}

/// Packs of closed sessions that hold neither a live chunk nor a base.
fn garbage(config: &Config, state: &State) -> Set {
    let base = state.newest_verdict();
    let valid = state.valid(config, base) & state.stored;
    let live = state.chunks_of(state.live(config, base) | state.checkpoints(config, base));
    let bases = Config::bases_of(state.delta_in(valid));
    state.stored.only(|number| {
        let session = &state.sessions[number];
        let closed = number < FIRST_FREE
            || session.outcome != Outcome::Absent
            || !State::is_open_epoch(config, session.epoch, base);
        let pack = state.packs[number];
        let needed = pack.chunks().meets(live) || pack.plain.meets(bases);
        closed && !(valid.has(number) && needed)
    })
}
