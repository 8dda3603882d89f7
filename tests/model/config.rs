//! What a run of the model has in it: processes, generations, content, and the one rule that it breaks.

use crate::set::Set;
use crate::state::FIRST_FREE;
use crate::state::GENERATIONS;
use crate::state::SLOTS;

/// A rule of the protocol that a run leaves out. Each must be refuted, but for M9 where nothing is healed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// The protocol as it is.
    None,
    /// M1: the index is read before the session is announced.
    IndexBeforeAnnounce,
    /// M2: open sessions are passed over after a while, as with a grace period.
    TimeoutInsteadOfFence,
    /// M3: no look for a newer plan after the announcement (W2).
    NoEpochRecheck,
    /// M4: no look at the newest verdict after the commit (W5).
    NoRecheckAfterCommit,
    /// M5: a verdict can be written twice.
    VerdictOverwritable,
    /// M6: new snapshots keep no condemned pack.
    NoRemark,
    /// M7: packs are named by their content alone, so that a key comes back.
    ReusablePackKeys,
    /// M8: outcomes of closed epochs go on counting.
    NoWatermark,
    /// M9: packs of open sessions may be condemned. The verdict keeps what is used, so that this is harmless
    /// until a healed pack of a session that has not committed counts as a copy of the damaged one.
    OpenPacksCondemned,
    /// M10: packs of sessions without outcome count as stored.
    DedupUncommitted,
    /// M11: the verdict is not looked at again after the outcomes were listed (W4).
    NoSeqlock,
    /// M12: packs of fenced sessions are adopted without listing them (W6).
    AdoptUnlisted,
    /// M13: a copy in a plain block goes as a duplicate of one in a delta block.
    PlainDroppedForDelta,
    /// M14: the verdict takes the undos that were listed before its plan was visible.
    UndoListedBeforePlan,
    /// M15: checkpoints are no roots.
    CheckpointIgnored,
    /// M16: healing stores the bytes under their old key.
    HealUnderOldKey,
    /// M17: bases are kept for those delta blocks alone that a snapshot needs today.
    DeadDeltasLoseBases,
    /// M18: the verdict keeps packs of new snapshots, but not those of the bases of what stays.
    KeepWithoutBases,
    /// M19: of two keys with the same bytes a collection keeps the older one, which was found damaged.
    DamagedKeyPreferred,
    /// M20: the verdict keeps condemned packs that no valid segment names, and makes them valid so.
    OrphansKept,
    /// M21: packs of fenced sessions are adopted although the bases of their delta blocks may be gone.
    AdoptWithoutBases,
    /// M22: packs that no segment names are not looked for.
    OrphansOverlooked,
    /// M23: a writer that was fenced goes on under the same session.
    FencedSessionReused,
    /// M24: packs of fenced sessions are adopted although a verdict has removed them, if they are there again.
    AdoptRemoved,
    /// M25: a verdict counts the commits of all sessions that it finds announced, however old.
    ClosedCommitsCounted,
}

/// The bounds of a run.
#[expect(clippy::struct_excessive_bools, reason = "each part of a run is there or not")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// How many writers.
    pub(crate) writers: usize,
    /// How many processes that collect.
    pub(crate) pruners: usize,
    /// How many sessions a writer opens at most.
    pub(crate) attempts: usize,
    /// How many collections there are at most.
    pub(crate) generations: usize,
    /// How many sessions a pruner has, and how many of them it may use before a fair schedule begins.
    pub(crate) tries: usize,
    pub(crate) starts: usize,
    /// The chunks that each writer's snapshot needs.
    pub(crate) need: [Set; 2],
    /// Chunks that a writer stores as deltas if their base counts as stored.
    pub(crate) delta: [Set; 2],
    /// Chunks that a writer's first session commits as a checkpoint; none: no checkpoint.
    pub(crate) checkpoint: [Set; 2],
    /// Which snapshots may be forgotten, at any moment.
    pub(crate) forget: Forgetting,
    /// Whether an undo, or a hold, of the first snapshot may be written at any moment.
    pub(crate) undo: bool,
    /// Whether a doubled commit request may arrive once more at any moment.
    pub(crate) late_commits: bool,
    /// Whether a doubled request for a pack or an announcement may arrive once more at any moment.
    pub(crate) late_objects: bool,
    /// Whether a collection may keep packs that are dead in part.
    pub(crate) partly_dead: bool,
    /// Whether the second writer heals: the first pack is found damaged, and its bytes are stored again.
    pub(crate) heal: bool,
    /// Whether processes may end at any moment and start again.
    pub(crate) crashes: bool,
    /// Whether the first pack has `c`, and `a` as a delta of it, and a second pack `a` in a plain block.
    pub(crate) delta_twin: bool,
    /// Which kind of reader there is.
    pub(crate) reader: Reading,
    /// Whether a fair schedule is run from every state.
    pub(crate) fairness: bool,
    /// The rule left out.
    pub(crate) mutation: Mutation,
}

/// Which snapshots may be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Forgetting {
    /// The first one.
    First,
    /// Any that is live.
    Any,
}

/// Kinds of readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// No reader.
    None,
    /// One that announces nothing, and loads the index again when a pack is gone.
    Short,
    /// One that opens a session, so that nothing it reads is deleted.
    Long,
}

/// Chunk `a`.
pub(crate) const A: Set = Set::one(0);
/// Chunk `b`, whose base is `a`.
pub(crate) const B: Set = Set::one(1);
/// Chunk `c`, which is the base of `a`.
pub(crate) const C: Set = Set::one(2);
/// Chunk `d`, which has none and is none.
pub(crate) const D: Set = Set::one(3);

/// One writer, one pruner, two collections; the writer needs the chunk that is garbage.
pub(crate) const SMALL: Config = Config {
    writers: 1,
    pruners: 1,
    attempts: 2,
    generations: 2,
    tries: 2,
    starts: 2,
    need: [B, A],
    delta: [Set::EMPTY; 2],
    checkpoint: [Set::EMPTY; 2],
    forget: Forgetting::First,
    undo: false,
    late_commits: true,
    late_objects: false,
    partly_dead: false,
    heal: false,
    crashes: false,
    delta_twin: false,
    reader: Reading::None,
    fairness: false,
    mutation: Mutation::None,
};

/// The same with three collections and three attempts.
pub(crate) const THREE: Config =
    Config { generations: 3, attempts: 3, tries: 3, starts: 3, ..SMALL };

/// One writer that stores `b` as a delta of `a`, of which there is a copy in a delta block too.
pub(crate) const DELTA: Config = Config { delta_twin: true, delta: [B, B], ..SMALL };

/// A writer and one that heals, once each.
pub(crate) const HEALING: Config =
    Config { heal: true, writers: 2, attempts: 1, tries: 1, generations: 1, ..SMALL };

/// One writer with a session to spare, and from every state fair schedules.
pub(crate) const FAIR: Config = Config { fairness: true, attempts: 3, tries: 5, ..SMALL };

impl Config {
    /// The session of a writer's attempt; its pack has the same number.
    pub(crate) const fn writer_session(&self, writer: usize, attempt: usize) -> usize {
        FIRST_FREE + writer * self.attempts + attempt
    }

    /// The session of a pruner's attempt.
    pub(crate) const fn pruner_session(&self, pruner: usize, attempt: usize) -> usize {
        FIRST_FREE + self.writers * self.attempts + pruner * self.tries + attempt
    }

    /// The session of the long reader.
    pub(crate) const fn reader_session(&self) -> usize {
        self.pruner_session(self.pruners, 0)
    }

    /// The same with a rule left out.
    pub(crate) const fn without(self, mutation: Mutation) -> Self {
        Self { mutation, ..self }
    }

    /// Whether the rule is left out.
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == mutation
    }

    /// The base of a chunk when it is stored as a delta: one step, so that bases are plain.
    pub(crate) const fn base_of(chunk: usize) -> Option<usize> {
        match chunk {
            0 => Some(2),
            1 => Some(0),
            _ => None,
        }
    }

    /// The bases of some chunks.
    pub(crate) fn bases_of(chunks: Set) -> Set {
        chunks.union(|chunk| Self::base_of(chunk).map_or(Set::EMPTY, Set::one))
    }

    /// Stops if the run does not fit the state.
    pub(crate) fn assert_fits(&self) {
        let readers = usize::from(self.reader == Reading::Long);
        assert!(self.reader_session() + readers <= SLOTS, "too many sessions: {self:?}");
        assert!(self.generations < GENERATIONS, "too many collections: {self:?}");
        assert!(self.writers <= 2 && self.pruners <= 2, "too many processes: {self:?}");
    }
}
