//! What a plan condemns, and what it copies first.

use crate::config::Config;
use crate::config::Mutation;
use crate::set::Set;
use crate::state::FIRST_FREE;
use crate::state::Pack;
use crate::state::PrunerStep;
use crate::state::State;

/// What happens to packs that are dead in part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Partly {
    /// Their live chunks are copied, and they are condemned.
    Condemned,
    /// They stay if they are of use.
    Kept,
}

/// What stays and what is copied, for a choice of bases.
#[derive(Clone, Copy)]
struct Choice {
    condemned: Set,
    copied: Pack,
    /// The delta blocks of all that stays or is copied.
    delta: Set,
    /// Whether every wanted chunk stays or is copied.
    whole: bool,
}

/// Chooses what the plan condemns. Valid packs of sessions that are still open are not asked for.
pub(crate) fn choose(
    config: &Config,
    state: &mut State,
    index: usize,
    partly: Partly,
) -> PrunerStep {
    let pruner = state.pruners[index];
    let live = state.chunks_of(pruner.draft.roots);
    let mut bases = Set::EMPTY;
    let choice = loop {
        let choice = choose_with(config, state, index, bases, partly);
        // The bases of every delta block that stays, needed or not: the next writer may need it.
        let wanted = if config.breaks(Mutation::DeadDeltasLoseBases) {
            Config::bases_of(choice.delta & live)
        } else {
            Config::bases_of(choice.delta)
        };
        if wanted.within(bases) {
            break choice;
        }
        bases |= wanted;
    };
    let pruner = &mut state.pruners[index];
    if !choice.whole {
        // A live chunk is nowhere: nothing is deleted from a damaged repository.
        pruner.draft.condemned = Set::EMPTY;
        return PrunerStep::CommitOwn;
    }
    pruner.draft.condemned = choice.condemned;
    pruner.copied = choice.copied;
    let repacks = !choice.condemned.is_empty() && !choice.copied.chunks().is_empty();
    if repacks { PrunerStep::Repack } else { PrunerStep::CommitOwn }
}

/// Chooses so that a plain copy of each of `bases` stays, beside a copy of each live chunk.
fn choose_with(config: &Config, state: &State, index: usize, bases: Set, partly: Partly) -> Choice {
    let pruner = &state.pruners[index];
    let indexed = pruner.draft.segments & state.stored;
    let live = state.chunks_of(pruner.draft.roots);
    let mut candidates = candidates(config, state, pruner.closed, usize::from(pruner.number) - 1);
    if config.breaks(Mutation::OrphansOverlooked) {
        candidates = candidates & indexed;
    }
    let mut stays = indexed - candidates;
    for number in state.younger_first(config, candidates) {
        let pack = state.packs[number];
        let whole = pack.plain.within(live | bases) && pack.delta.within(live);
        let wanted = live - state.plain_in(stays) - state.delta_in(stays);
        let useful = pack.chunks().meets(wanted) || pack.plain.meets(bases - state.plain_in(stays));
        if indexed.has(number) && useful && (whole || partly == Partly::Kept) {
            stays |= Set::one(number);
        }
    }
    let lacking_bases = bases - state.bases_in(config, stays);
    let lacking = (live - state.plain_in(stays) - state.delta_in(stays)) | lacking_bases;
    // Blocks are copied as they are: a delta block stays one.
    let plain = state.plain_in(indexed) & lacking;
    let copied = Pack { plain, delta: (lacking - plain) & state.delta_in(indexed) };
    Choice {
        condemned: candidates - stays,
        copied,
        delta: state.delta_in(stays) | copied.delta,
        whole: lacking.within(copied.chunks()) && lacking_bases.within(copied.plain),
    }
}

fn candidates(config: &Config, state: &State, closed: Set, base: usize) -> Set {
    state.stored.only(|number| {
        let old = number >= FIRST_FREE
            && !State::is_open_epoch(config, state.sessions[number].epoch, base);
        config.breaks(Mutation::OpenPacksCondemned) || closed.has(number) || old
    })
}
