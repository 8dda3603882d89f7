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

/// The copies that are needed and had, by kind of block.
#[derive(Clone, Copy)]
struct Wanted {
    /// Chunks of which any copy will do.
    any: Set,
    /// Bases of live delta blocks, of which only a copy in a plain block will do.
    plain: Set,
}

/// Chooses what the plan condemns. Valid packs of sessions that are still open are not asked for.
pub(crate) fn choose(
    config: &Config,
    state: &mut State,
    index: usize,
    partly: Partly,
) -> PrunerStep {
    let pruner = state.pruners[index];
    let indexed = pruner.draft.segments & state.stored;
    let live = state.chunks_of(pruner.draft.roots);
    let bases = if config.breaks(Mutation::PlainDroppedForDelta) {
        Set::EMPTY
    } else {
        Config::bases_of(live & state.delta_in(indexed))
    };
    let wanted = Wanted { any: live | bases, plain: bases };
    let candidates = candidates(config, state, pruner.closed, usize::from(pruner.number) - 1);
    let mut had = Pack { plain: Set::EMPTY, delta: Set::EMPTY };
    for pack in (indexed - candidates).iter() {
        add(&mut had, state.packs[pack]);
    }
    let mut condemned = Set::EMPTY;
    for number in in_order(config, state, candidates) {
        let pack = state.packs[number];
        let whole = partly == Partly::Kept || pack.chunks().within(wanted.any);
        if indexed.has(number) && whole && !lacking(wanted, had).is_useless(pack) {
            add(&mut had, pack);
        } else {
            condemned |= Set::one(number);
        }
    }
    let lacking = lacking(wanted, had);
    let copied = copy(state, indexed, lacking);
    let pruner = &mut state.pruners[index];
    if !(lacking.any | lacking.plain).within(copied.chunks()) {
        // A live chunk is nowhere: nothing is deleted from a damaged repository.
        pruner.draft.condemned = Set::EMPTY;
        return PrunerStep::CommitOwn;
    }
    pruner.draft.condemned = condemned;
    pruner.copied = copied;
    let repacks = !condemned.is_empty() && !copied.chunks().is_empty();
    if repacks { PrunerStep::Repack } else { PrunerStep::CommitOwn }
}

impl Wanted {
    fn is_useless(self, pack: Pack) -> bool {
        !pack.chunks().meets(self.any) && !pack.plain.meets(self.plain)
    }
}

fn lacking(wanted: Wanted, had: Pack) -> Wanted {
    Wanted { any: wanted.any - had.chunks(), plain: wanted.plain - had.plain }
}

fn add(had: &mut Pack, pack: Pack) {
    had.plain |= pack.plain;
    had.delta |= pack.delta;
}

fn candidates(config: &Config, state: &State, closed: Set, base: usize) -> Set {
    state.stored.only(|number| {
        let old = number >= FIRST_FREE
            && !State::is_open_epoch(config, state.sessions[number].epoch, base);
        config.breaks(Mutation::OpenPacksCondemned) || closed.has(number) || old
    })
}

/// Of two keys with the same bytes the younger one is asked first: it was stored because the older was damaged.
fn in_order(config: &Config, state: &State, candidates: Set) -> Vec<usize> {
    let healed = candidates.only(|number| {
        config.heal
            && number >= FIRST_FREE
            && state.packs[number] == state.packs[0]
            && !config.breaks(Mutation::DamagedKeyPreferred)
    });
    healed.iter().chain((candidates - healed).iter()).collect()
}

/// Blocks are copied as they are: a delta block stays one, and its base is wanted plain anyway.
fn copy(state: &State, indexed: Set, lacking: Wanted) -> Pack {
    let plain = state.plain_in(indexed) & (lacking.any | lacking.plain);
    Pack { plain, delta: (lacking.any - plain) & state.delta_in(indexed) }
}
