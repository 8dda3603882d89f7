//! A reader, and the command that writes an undo or a hold.

use crate::config::Config;
use crate::config::Reading;
use crate::set::Set;
use crate::state::KeeperStep;
use crate::state::Outcome;
use crate::state::ReaderStep;
use crate::state::State;
use crate::state::small;

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
            state.announce(number, reader.epoch);
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
            let valid = state.valid(config, usize::from(reader.base));
            find(state, valid, state.chunks_of(Set::one(snapshot)));
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

/// Finds the packs to read chunks from. What the newest plan condemns is read only if there is nothing else: only
/// the verdict can tell whether it stays.
fn find(state: &mut State, valid: Set, chunks: Set) {
    let usable = valid - state.reader.condemned;
    let mut needed = Set::EMPTY;
    let mut missing = Set::EMPTY;
    for chunk in chunks.iter() {
        let copy = state.copy_in(usable, chunk).or_else(|| state.copy_in(valid, chunk));
        needed |= copy.map_or(Set::EMPTY, Set::one);
        let delta = copy.is_some_and(|pack| !state.packs[pack].plain.has(chunk));
        let base = Config::base_of(chunk).filter(|_base| delta);
        let plain = base.and_then(|base| {
            let safe = state.plain_copy_in(usable, base);
            safe.or_else(|| state.plain_copy_in(valid, base))
        });
        needed |= plain.map_or(Set::EMPTY, Set::one);
        if copy.is_none() || plain.is_none() && base.is_some() {
            missing |= Set::one(chunk);
        }
    }
    state.reader.needed = needed;
    state.reader.missing = missing;
}

/// Whether what a long reader reads is there, as long as its session is open.
pub(crate) fn held(config: &Config, state: &State) -> bool {
    let number = config.reader_session();
    let open = config.reader == Reading::Long
        && state.reader.step == ReaderStep::Fetch
        && state.announced.has(number)
        && state.sessions[number].outcome != Outcome::Fence
        && usize::from(state.sessions[number].epoch) >= state.newest_verdict();
    !open || (state.reader.needed - state.reader.condemned).within(state.stored)
}

/// A pack that is gone is excused by a newer verdict, or because the snapshot is: the index is loaded again.
fn fetched(config: &Config, state: &State) -> ReaderStep {
    let reader = &state.reader;
    if reader.missing.is_empty() && reader.needed.within(state.stored) {
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
