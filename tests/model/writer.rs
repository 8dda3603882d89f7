//! A writer: announce, look, store, commit, look again. Rules W1 to W6; "Write order" of format-spec/09-session.md.

use crate::config::Config;
use crate::config::Mutation;
use crate::set::Set;
use crate::state::Outcome;
use crate::state::State;
use crate::state::Subject;
use crate::state::Writer;
use crate::state::WriterStep;
use crate::state::small;

/// What a writer's current session commits.
pub(crate) struct Goal {
    pub(crate) subject: Subject,
    pub(crate) chunks: Set,
}

/// Whether the writer stores a damaged pack's bytes again.
pub(crate) fn heals(config: &Config, index: usize) -> bool {
    config.heal && index == 1
}

/// What the writer's session of this attempt commits.
pub(crate) fn goal(config: &Config, state: &State, index: usize) -> Goal {
    let first = state.writers[index].attempt == 0;
    if heals(config, index) {
        return Goal { subject: Subject::Maintenance, chunks: state.packs[0].chunks() };
    }
    if first && !config.checkpoint[index].is_empty() {
        return Goal { subject: Subject::Checkpoint, chunks: config.checkpoint[index] };
    }
    Goal { subject: Subject::Snapshot, chunks: config.need[index] }
}

/// The number of the writer's current session.
pub(crate) fn session_of(config: &Config, state: &State, index: usize) -> usize {
    config.writer_session(index, usize::from(state.writers[index].attempt))
}

/// Whether the writer has a step to take.
pub(crate) fn can_step(config: &Config, state: &State, index: usize) -> bool {
    let writer = &state.writers[index];
    // Healing begins when damage was found.
    let idle = heals(config, index) && state.damaged.is_empty();
    writer.step != WriterStep::Ended && !idle
}

/// Takes the writer's next step.
pub(crate) fn step(config: &Config, state: &mut State, index: usize) {
    let number = session_of(config, state, index);
    let reads_first = config.breaks(Mutation::IndexBeforeAnnounce);
    let writer = state.writers[index];
    let next = match writer.step {
        WriterStep::ReadEpoch => {
            state.writers[index].epoch = small(state.newest_plan());
            if reads_first { WriterStep::RecheckEpoch } else { WriterStep::Announce }
        }
        WriterStep::Announce => {
            state.announce(number, writer.epoch);
            if reads_first { after_look(&writer) } else { WriterStep::RecheckEpoch }
        }
        WriterStep::RecheckEpoch => {
            let moved = state.newest_plan() != usize::from(writer.epoch);
            if moved && !config.breaks(Mutation::NoEpochRecheck) {
                return retry(config, state, index);
            }
            state.writers[index].condemned = state.condemned();
            WriterStep::ReadVerdict
        }
        WriterStep::ReadVerdict => {
            state.writers[index].base = small(state.newest_verdict());
            WriterStep::ListOutcomes
        }
        WriterStep::ListOutcomes => {
            look(config, state, index);
            if reads_first { WriterStep::Announce } else { WriterStep::RecheckVerdict }
        }
        WriterStep::RecheckVerdict => {
            let moved = state.newest_verdict() != usize::from(writer.base);
            if moved && !config.breaks(Mutation::NoSeqlock) {
                state.writers[index].condemned = state.condemned();
                WriterStep::ReadVerdict
            } else {
                after_look(&writer)
            }
        }
        WriterStep::PutPack => {
            put_pack(config, state, index);
            WriterStep::Commit
        }
        WriterStep::Commit => return commit(config, state, index),
        WriterStep::RecheckAfterCommit => {
            let base = state.newest_verdict();
            let folded = match goal(config, state, index).subject {
                Subject::Maintenance => state.base().segments,
                Subject::Snapshot | Subject::Checkpoint => {
                    state.base().snapshots | state.base().checkpoints
                }
            };
            let closed = !State::is_open_epoch(config, state.sessions[number].epoch, base);
            if closed && !folded.has(number) {
                return retry(config, state, index);
            }
            WriterStep::Report
        }
        WriterStep::Report => return report(config, state, index),
        WriterStep::Ended => WriterStep::Ended,
    };
    state.writers[index].step = next;
}

/// Gives the session up, as if it was fenced, and begins another if there is one left.
pub(crate) fn retry(config: &Config, state: &mut State, index: usize) {
    let writer = &mut state.writers[index];
    if config.breaks(Mutation::FencedSessionReused) {
        writer.step = WriterStep::ReadEpoch;
        return;
    }
    writer.attempt += 1;
    let left = usize::from(writer.attempt) < config.attempts;
    writer.step = if left { WriterStep::ReadEpoch } else { WriterStep::Ended };
}

fn after_look(writer: &Writer) -> WriterStep {
    if writer.missing.is_empty() { WriterStep::Commit } else { WriterStep::PutPack }
}

/// Finds which chunks are stored, in which packs, and which are missing.
fn look(config: &Config, state: &mut State, index: usize) {
    let wanted = goal(config, state, index).chunks;
    let writer = state.writers[index];
    let mut usable = state.valid(config, usize::from(writer.base));
    if config.breaks(Mutation::DedupUncommitted) {
        usable |= state.stored;
    }
    usable -= writer.condemned;
    usable |= adoptable(config, state, &writer, usable);
    if heals(config, index) {
        // What is stored elsewhere today may be dropped as a duplicate of the damaged pack tomorrow.
        usable = Set::EMPTY;
    }
    let mut found = Set::EMPTY;
    let mut needed = Set::EMPTY;
    for chunk in wanted.iter() {
        if let Some(pack) = state.copy_in(usable, chunk) {
            found |= Set::one(chunk);
            needed |= Set::one(pack);
        }
    }
    let missing = wanted - found;
    let mut delta = Set::EMPTY;
    for chunk in (missing & config.delta[index]).iter() {
        let base = Config::base_of(chunk);
        if let Some(pack) = base.and_then(|base| state.plain_copy_in(usable, base)) {
            // A base edge is a dependency of the session that writes it.
            needed |= Set::one(pack);
            delta |= Set::one(chunk);
        }
    }
    let segments = needed & writer.uploaded;
    state.writers[index] = Writer { needed, segments, missing, delta, ..writer };
}

/// W6: the packs of own sessions that were fenced, if a collection has not deleted them. Nothing kept the bases
/// of their delta blocks meanwhile, so that these must count as stored by themselves.
fn adoptable(config: &Config, state: &State, writer: &Writer, usable: Set) -> Set {
    if config.breaks(Mutation::AdoptUnlisted) {
        return writer.uploaded - writer.condemned;
    }
    let mut listed = (writer.uploaded & state.stored) - writer.condemned;
    if !config.breaks(Mutation::AdoptRemoved) {
        // One that is there although a verdict removed it was created again by a doubled request, and a pruner
        // that rested since may delete it once more.
        for collection in &state.collections {
            listed -= collection.removed;
        }
    }
    if config.breaks(Mutation::AdoptWithoutBases) {
        return listed;
    }
    let plain = state.plain_in(usable);
    listed.only(|pack| Config::bases_of(state.packs[pack].delta).within(plain))
}

fn put_pack(config: &Config, state: &mut State, index: usize) {
    let writer = state.writers[index];
    let by_content = config.breaks(Mutation::ReusablePackKeys)
        && writer.missing == state.packs[0].plain
        && writer.delta.is_empty();
    let old_key = heals(config, index) && config.breaks(Mutation::HealUnderOldKey);
    let number = if by_content || old_key { 0 } else { session_of(config, state, index) };
    if old_key {
        // To store under a key that is taken, what is there must go first.
        state.stored -= Set::one(0);
        state.damaged = Set::EMPTY;
    }
    state.put_pack(number);
    let pack = Set::one(number);
    if number != 0 {
        state.packs[number].plain = writer.missing - writer.delta;
        state.packs[number].delta = writer.delta;
    }
    let writer = &mut state.writers[index];
    writer.needed |= pack;
    writer.segments |= pack;
    if number != 0 {
        writer.uploaded |= pack;
    }
}

fn commit(config: &Config, state: &mut State, index: usize) {
    let number = session_of(config, state, index);
    let goal = goal(config, state, index);
    state.requested |= Set::one(number);
    let session = &mut state.sessions[number];
    if session.outcome == Outcome::Fence {
        return retry(config, state, index);
    }
    session.subject = goal.subject;
    session.roots = if goal.subject == Subject::Maintenance { Set::EMPTY } else { goal.chunks };
    session.segments = state.writers[index].segments;
    state.put_commit(config, number);
    state.writers[index].step = if config.breaks(Mutation::NoRecheckAfterCommit) {
        WriterStep::Report
    } else {
        WriterStep::RecheckAfterCommit
    };
}

fn report(config: &Config, state: &mut State, index: usize) {
    let checkpoint = goal(config, state, index).subject == Subject::Checkpoint;
    state.reported |= Set::one(session_of(config, state, index));
    if checkpoint {
        return retry(config, state, index);
    }
    state.writers[index].step = WriterStep::Ended;
}
