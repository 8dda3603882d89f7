//! What a verdict removes. The sessions that the plan could not know of are closed by then.

use crate::config::Config;
use crate::config::Mutation;
use crate::set::Set;
use crate::state::Collection;
use crate::state::Outcome;
use crate::state::Pruner;
use crate::state::State;
use crate::state::Subject;
use crate::view::ended;

/// Decides about the collection that the pruner drained.
pub(crate) fn decide(config: &Config, state: &State, pruner: &Pruner) -> Collection {
    let number = usize::from(pruner.number);
    let plan = state.collections[number];
    let before = state.collections[number - 1];
    // A session of an older epoch was closed by an earlier verdict: what is there of it came back.
    let counts = |s: usize| {
        config.breaks(Mutation::ClosedCommitsCounted)
            || State::is_open_epoch(config, state.sessions[s].epoch, number - 1)
    };
    let committed =
        pruner.roster.only(|s| state.sessions[s].outcome == Outcome::Commit && counts(s));
    let snapshots = before.snapshots | state.with_subject(committed, Subject::Snapshot);
    let points = before.checkpoints | state.with_subject(committed, Subject::Checkpoint);
    let checkpoints = points.only(|point| !ended(config, point, committed | before.snapshots));
    let segments = before.segments | committed.union(|s| state.sessions[s].segments);

    // Listed after the plan was visible: an undo that is written later finds the plan.
    let undone =
        if config.breaks(Mutation::UndoListedBeforePlan) { pruner.undone } else { state.undone };
    let forgets = plan.forgets - undone;
    let mut roots = (snapshots | checkpoints) - plan.roots - forgets;
    if config.breaks(Mutation::CheckpointIgnored) {
        roots -= checkpoints;
    }
    let kept = keep(config, state, &plan, segments, state.chunks_of(roots));
    let removed = plan.condemned - kept;
    Collection {
        removed,
        snapshots: snapshots - forgets,
        checkpoints,
        segments: (segments | kept) - removed,
        ..plan
    }
}

/// The condemned packs that stay after all: a copy of each chunk of the new roots, and plain copies of the bases
/// of every delta block that stays, if there are none elsewhere.
fn keep(config: &Config, state: &State, plan: &Collection, segments: Set, wanted: Set) -> Set {
    if config.breaks(Mutation::NoRemark) {
        return Set::EMPTY;
    }
    // Only packs that a valid segment names: one that was kept beside them would enter the index, and with it
    // perhaps a delta block whose base is gone.
    let condemned = if config.breaks(Mutation::OrphansKept) {
        plan.condemned
    } else {
        plan.condemned & segments
    };
    let mut stays = segments - plan.condemned;
    for chunk in wanted.iter() {
        if state.copy_in(stays, chunk).is_none() {
            let mut order = state.younger_first(config, condemned).into_iter();
            let kept = order.find(|pack| state.packs[*pack].chunks().has(chunk));
            stays |= kept.map_or(Set::EMPTY, Set::one);
        }
    }
    while !config.breaks(Mutation::KeepWithoutBases) {
        let mut delta = state.delta_in(stays);
        if config.breaks(Mutation::DeadDeltasLoseBases) {
            delta = delta & wanted;
        }
        let lacking = Config::bases_of(delta) - state.bases_in(config, stays);
        let copies = lacking.iter().filter_map(|base| state.plain_copy_in(condemned, base));
        let Some(pack) = copies.into_iter().next() else { break };
        stays |= Set::one(pack);
    }
    stays & plan.condemned
}
