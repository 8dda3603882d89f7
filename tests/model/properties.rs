//! What holds in every state.

use crate::config::Config;
use crate::config::Mutation;
use crate::fairness;
use crate::model::Protocol;
use crate::reader;
use crate::set::Set;
use crate::state::GENERATIONS;
use crate::state::Outcome;
use crate::state::ReaderStep;
use crate::state::State;
use crate::state::Subject;
use crate::state::WriterStep;
use crate::view::ended;
use crate::writer::session_of;
use stateright::Property;

/// I1: every chunk of a live snapshot can be read from packs that are there and valid; a checkpoint's too.
pub(crate) const NO_DANGLING: &str = "I1 NoDangling";
/// I2: what was reported as stored, or as kept, is live until it is forgotten.
pub(crate) const NO_LOST_ACK: &str = "I2 NoLostAck";
/// I3: what an open session relies upon is there.
pub(crate) const DEPS_HELD: &str = "I3 DepsHeld";
/// I4: every valid pack that is not condemned is there.
pub(crate) const INDEX_TRAILS: &str = "I4 IndexTrails";
/// I5: one plan and one verdict a collection, in order.
pub(crate) const ONE_HISTORY: &str = "I5 OneHistory";
/// I6: no key of a pack comes back.
pub(crate) const NO_REUSE: &str = "I6 NoReuse";
/// I7: what nothing needs is deleted.
pub(crate) const RECLAIM: &str = "I7 Reclaim";
/// I8: a writer commits, and a collection comes to its end.
pub(crate) const PROGRESS: &str = "I8 Progress";
/// I9: a reader of a live snapshot fails only until it has loaded the index again.
pub(crate) const READERS: &str = "I9 Readers";
/// I10: every chunk in a valid delta block has its base in a valid plain block, whether it is live or not.
pub(crate) const BASES_HELD: &str = "I10 BasesHeld";
/// I11: a snapshot that was reported as kept stays.
pub(crate) const KEPT_HELD: &str = "I11 KeptHeld";
/// I12: once healing is reported, a live chunk of the damaged pack has a sound copy.
pub(crate) const HEALED: &str = "I12 Healed";

/// All of them.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(NO_DANGLING, |model, state| no_dangling(&model.0, state)),
        Property::always(NO_LOST_ACK, |model, state| no_lost_ack(&model.0, state)),
        Property::always(DEPS_HELD, |model, state| deps_held(&model.0, state)),
        Property::always(INDEX_TRAILS, |model, state| index_trails(&model.0, state)),
        Property::always(ONE_HISTORY, |_, state| one_history(state)),
        Property::always(NO_REUSE, |_, state: &State| !state.key_reused),
        Property::always(RECLAIM, |model, state| fairness::reclaims(&model.0, state)),
        Property::always(PROGRESS, |model, state| fairness::progresses(&model.0, state)),
        Property::always(READERS, |model, state| readers(&model.0, state)),
        Property::always(BASES_HELD, |model, state| bases_held(&model.0, state)),
        Property::always(KEPT_HELD, |model, state| kept_held(&model.0, state)),
        Property::always(HEALED, |model, state| healed(&model.0, state)),
    ]
}

fn roots(config: &Config, state: &State, base: usize) -> Set {
    state.live(config, base) | state.checkpoints(config, base)
}

fn no_dangling(config: &Config, state: &State) -> bool {
    let base = state.newest_verdict();
    let chunks = state.chunks_of(roots(config, state, base));
    chunks.within(state.readable_in(state.valid(config, base) & state.stored))
}

fn no_lost_ack(config: &Config, state: &State) -> bool {
    let base = state.newest_verdict();
    let snapshots = state.with_subject(state.reported, Subject::Snapshot);
    let points = state.with_subject(state.reported, Subject::Checkpoint);
    let points = points.only(|point| !ended(config, point, state.counted));
    let live = state.live(config, base);
    (snapshots - state.forgotten).within(live) && points.within(state.checkpoints(config, base))
}

fn deps_held(config: &Config, state: &State) -> bool {
    let base = state.newest_verdict();
    (0..config.writers).all(|index| {
        let writer = &state.writers[index];
        if !matches!(writer.step, WriterStep::PutPack | WriterStep::Commit) {
            return true;
        }
        let number = session_of(config, state, index);
        let session = &state.sessions[number];
        let open = state.announced.has(number)
            && session.outcome != Outcome::Fence
            && usize::from(session.epoch) >= base;
        !open || writer.needed.within(state.stored)
    })
}

fn index_trails(config: &Config, state: &State) -> bool {
    let valid = state.valid(config, state.newest_verdict());
    (valid - state.condemned()).within(state.stored)
}

fn one_history(state: &State) -> bool {
    (0..GENERATIONS).all(|number| {
        let collection = &state.collections[number];
        let ordered = number == 0 || collection.plans == 0 || state.collections[number - 1].done;
        let whole = collection.plans <= 1 && collection.verdicts <= collection.plans;
        ordered && whole && (!collection.done || collection.verdicts == 1)
    })
}

fn readers(config: &Config, state: &State) -> bool {
    reader::held(config, state) && state.reader.step != ReaderStep::Failed
}

fn bases_held(config: &Config, state: &State) -> bool {
    let valid = state.valid(config, state.newest_verdict()) & state.stored;
    let delta = state.delta_in(valid - state.condemned());
    Config::bases_of(delta).within(state.plain_in(valid))
}

fn kept_held(config: &Config, state: &State) -> bool {
    state.promised.within(state.live(config, state.newest_verdict()))
}

fn healed(config: &Config, state: &State) -> bool {
    if !config.heal || config.breaks(Mutation::HealUnderOldKey) {
        return true;
    }
    let healer = (0..config.attempts).map(|attempt| config.writer_session(1, attempt));
    if !healer.into_iter().any(|session| state.reported.has(session)) {
        return true;
    }
    let base = state.newest_verdict();
    let sound = (state.valid(config, base) & state.stored) - state.damaged;
    let live = state.chunks_of(state.live(config, base)) & state.packs[0].chunks();
    live.within(state.readable_in(sound))
}
