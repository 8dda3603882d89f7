//! A reader, and the command that writes an undo or a hold.

use crate::config::Config;
use crate::config::Reading;
use crate::set::Set;
use crate::state::KeeperStep;
use crate::state::Outcome;
use crate::state::ReaderStep;
use crate::state::State;
use crate::state::small;
use crate::writer::hit;

/// Whether the reader has a step to take.
pub(crate) fn can_read(config: &Config, state: &State) -> bool {
    config.reader != Reading::None
        && !matches!(state.reader.step, ReaderStep::Ended | ReaderStep::Failed)
}

/// Takes the reader's next step. Which live snapshot it reads is its own choice: `snapshot`.
pub(crate) fn read(config: &Config, state: &mut State, snapshot: usize) {
    let long = config.reader == Reading::Long;
    let number = config.reader_session();
    let reader = state.reader;
    let next = match reader.step {
        ReaderStep::ReadEpoch => {
            state.reader.epoch = small(state.newest_plan());
            if long { ReaderStep::Announce } else { ReaderStep::RecheckEpoch }
        }
        ReaderStep::Announce => {
            state.announced |= Set::one(number);
            state.sessions[number].epoch = reader.epoch;
            ReaderStep::RecheckEpoch
        }
        ReaderStep::RecheckEpoch => {
            if long && state.newest_plan() != usize::from(reader.epoch) {
                ReaderStep::Ended
            } else {
                state.reader.condemned = if long { state.condemned() } else { Set::EMPTY };
                ReaderStep::ReadVerdict
            }
        }
        ReaderStep::ReadVerdict => {
            state.reader.base = small(state.newest_verdict());
            ReaderStep::ListOutcomes
        }
        ReaderStep::ListOutcomes => {
            state.reader.snapshot = small(snapshot);
            let usable = state.valid(config, usize::from(reader.base)) - reader.condemned;
            let chunks = state.chunks_of(Set::one(snapshot));
            state.reader.needed =
                chunks.union(|chunk| hit(config, state, usable, chunk).unwrap_or(Set::EMPTY));
            ReaderStep::RecheckVerdict
        }
        ReaderStep::RecheckVerdict => {
            if state.newest_verdict() == usize::from(reader.base) {
                ReaderStep::Fetch
            } else {
                ReaderStep::RecheckEpoch
            }
        }
        ReaderStep::Fetch => fetched(config, state),
        ReaderStep::Failed | ReaderStep::Ended => reader.step,
    };
    state.reader.step = next;
}

/// Whether a long reader's session is open: what it reads must be there.
pub(crate) fn holds(config: &Config, state: &State) -> bool {
    let number = config.reader_session();
    config.reader == Reading::Long
        && state.reader.step == ReaderStep::Fetch
        && state.announced.has(number)
        && state.sessions[number].outcome != Outcome::Fence
        && usize::from(state.sessions[number].epoch) >= state.newest_verdict()
}

/// A pack that is gone is excused by a newer verdict, or because the snapshot is: the index is loaded again.
fn fetched(config: &Config, state: &State) -> ReaderStep {
    let reader = &state.reader;
    if reader.needed.within(state.stored) {
        return ReaderStep::Ended;
    }
    let base = state.newest_verdict();
    if !state.live(config, base).has(usize::from(reader.snapshot)) {
        return ReaderStep::Ended;
    }
    if base == usize::from(reader.base) { ReaderStep::Failed } else { ReaderStep::RecheckEpoch }
}

/// Whether the command that keeps the first snapshot has a step to take.
pub(crate) fn can_keep(config: &Config, state: &State) -> bool {
    let newest = &state.collections[state.newest_plan()];
    match state.keeper {
        // With a plan that obeys the forget and has no verdict yet, it helps the collection on.
        KeeperStep::ReadPlan => newest.verdicts > 0 || !newest.forgets.has(0),
        KeeperStep::PutRecord => config.undo,
        KeeperStep::ReadHistory => true,
        KeeperStep::Ended => false,
    }
}

/// Takes the next step of the command that keeps the first snapshot.
pub(crate) fn keep(config: &Config, state: &mut State) {
    state.keeper = match state.keeper {
        KeeperStep::PutRecord => {
            state.undone |= Set::one(0);
            KeeperStep::ReadPlan
        }
        KeeperStep::ReadPlan => KeeperStep::ReadHistory,
        KeeperStep::ReadHistory | KeeperStep::Ended => {
            let live = state.live(config, state.newest_verdict());
            state.promised |= live & Set::one(0);
            KeeperStep::Ended
        }
    };
}
