//! The state of the model: what the store holds, and what each process knows.
//!
//! A session stores at most one pack, which has the session's number. Session 0 made the first snapshot,
//! session 1 the second pack of the runs that have one. Numbers are small: a run keeps millions of states.

use crate::config::A;
use crate::config::B;
use crate::config::C;
use crate::config::Config;
use crate::set::Set;

/// How many sessions there can be.
pub(crate) const SLOTS: usize = 16;
/// The first session that a process may open.
pub(crate) const FIRST_FREE: usize = 2;
/// How many collections there can be, the finished number 0 included.
pub(crate) const GENERATIONS: usize = 6;

/// What an outcome register holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum Outcome {
    /// Nothing: never created, or deleted.
    #[default]
    Absent,
    Commit,
    Fence,
}

/// What a commit commits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum Subject {
    #[default]
    Maintenance,
    Snapshot,
    Checkpoint,
}

/// A session's objects but its pack. What a commit says stays when its register is deleted: a doubled
/// request brings it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Session {
    pub(crate) epoch: u8,
    pub(crate) outcome: Outcome,
    pub(crate) subject: Subject,
    /// The chunks that the snapshot or checkpoint needs.
    pub(crate) roots: Set,
    /// The packs whose segments the commit names.
    pub(crate) segments: Set,
}

/// What a pack holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Pack {
    /// Chunks in blocks that are not delta.
    pub(crate) plain: Set,
    /// Chunks in delta blocks.
    pub(crate) delta: Set,
}

impl Pack {
    /// All chunks.
    pub(crate) fn chunks(self) -> Set {
        self.plain | self.delta
    }
}

/// The objects of one collection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Collection {
    pub(crate) plans: u8,
    pub(crate) condemned: Set,
    /// Snapshots and checkpoints that the plan considered.
    pub(crate) roots: Set,
    /// Forgotten snapshots that the plan obeyed.
    pub(crate) forgets: Set,
    pub(crate) verdicts: u8,
    pub(crate) removed: Set,
    /// Base: live snapshots.
    pub(crate) snapshots: Set,
    /// Base: checkpoints.
    pub(crate) checkpoints: Set,
    /// Base: valid segments, by pack.
    pub(crate) segments: Set,
    pub(crate) done: bool,
}

/// Where a writer is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum WriterStep {
    #[default]
    ReadEpoch,
    Announce,
    RecheckEpoch,
    ReadVerdict,
    ListOutcomes,
    RecheckVerdict,
    PutPack,
    Commit,
    RecheckAfterCommit,
    Report,
    Ended,
}

/// What a writer knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Writer {
    pub(crate) step: WriterStep,
    pub(crate) attempt: u8,
    pub(crate) epoch: u8,
    pub(crate) base: u8,
    pub(crate) condemned: Set,
    /// Packs that its commit will need, its own included.
    pub(crate) needed: Set,
    /// Packs whose segments its commit will name.
    pub(crate) segments: Set,
    pub(crate) missing: Set,
    /// Those of `missing` that go into delta blocks.
    pub(crate) delta: Set,
    /// Packs of all its sessions.
    pub(crate) uploaded: Set,
}

/// Where a pruner is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum PrunerStep {
    #[default]
    Idle,
    Announce,
    ListClosed,
    ReadBase,
    Choose,
    Repack,
    CommitOwn,
    CreatePlan,
    ListRoster,
    Drain,
    Decide,
    CreateVerdict,
    DeletePacks,
    DeleteOutcomes,
    DeleteSessions,
    CreateDone,
}

/// What a pruner knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Pruner {
    pub(crate) step: PrunerStep,
    pub(crate) number: u8,
    pub(crate) tries: u8,
    pub(crate) session: u8,
    pub(crate) closed: Set,
    pub(crate) roster: Set,
    pub(crate) undone: Set,
    /// The live chunks that it copies.
    pub(crate) copied: Pack,
    /// What it is about to create: plan or verdict.
    pub(crate) draft: Collection,
}

/// Where a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum ReaderStep {
    #[default]
    ReadEpoch,
    Announce,
    RecheckEpoch,
    ReadVerdict,
    ListOutcomes,
    RecheckVerdict,
    Fetch,
    /// A chunk of a live snapshot could not be read with an index that was current.
    Failed,
    Ended,
}

/// What a reader knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Reader {
    pub(crate) step: ReaderStep,
    pub(crate) epoch: u8,
    pub(crate) base: u8,
    pub(crate) condemned: Set,
    pub(crate) snapshot: u8,
    /// The packs that it reads.
    pub(crate) needed: Set,
    /// Chunks that it found nowhere.
    pub(crate) missing: Set,
}

/// Where the command that writes an undo or a hold is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum KeeperStep {
    #[default]
    PutRecord,
    ReadPlan,
    ReadHistory,
    Ended,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    /// Sessions that are announced, and all that ever were.
    pub(crate) announced: Set,
    pub(crate) began: Set,
    pub(crate) sessions: [Session; SLOTS],
    /// Packs in the store.
    pub(crate) stored: Set,
    /// Packs that were ever stored, and whether one came back after it was deleted.
    pub(crate) created: Set,
    pub(crate) key_reused: bool,
    /// Packs whose bytes are damaged, unknown to collections.
    pub(crate) damaged: Set,
    pub(crate) packs: [Pack; SLOTS],
    pub(crate) collections: [Collection; GENERATIONS],
    pub(crate) forgotten: Set,
    /// Snapshots that an undo or a hold names.
    pub(crate) undone: Set,
    /// Those of them that were reported as kept.
    pub(crate) promised: Set,
    /// Sessions whose commit was reported.
    pub(crate) reported: Set,
    /// Sessions whose commit was requested, and those whose request came twice.
    pub(crate) requested: Set,
    /// Sessions whose commit has counted at some time.
    pub(crate) counted: Set,
    pub(crate) doubled: Set,
    pub(crate) doubled_packs: Set,
    pub(crate) doubled_announcements: Set,
    pub(crate) writers: [Writer; 2],
    pub(crate) pruners: [Pruner; 2],
    pub(crate) reader: Reader,
    pub(crate) keeper: KeeperStep,
}

impl State {
    /// A repository with one snapshot, of the first chunk of a pack with others.
    pub(crate) fn first(config: &Config) -> Self {
        let first = Set::one(0);
        let mut state = Self {
            announced: Set::EMPTY,
            began: Set::EMPTY,
            sessions: [Session::default(); SLOTS],
            stored: first,
            created: first,
            key_reused: false,
            damaged: Set::EMPTY,
            packs: [Pack::default(); SLOTS],
            collections: [Collection::default(); GENERATIONS],
            forgotten: Set::EMPTY,
            undone: Set::EMPTY,
            promised: Set::EMPTY,
            reported: first,
            requested: Set::EMPTY,
            counted: Set::EMPTY,
            doubled: Set::EMPTY,
            doubled_packs: Set::EMPTY,
            doubled_announcements: Set::EMPTY,
            writers: [Writer::default(); 2],
            pruners: [Pruner::default(); 2],
            reader: Reader::default(),
            keeper: KeeperStep::default(),
        };
        state.sessions[0] = Session { subject: Subject::Snapshot, roots: A, ..Session::default() };
        state.packs[0] = Pack { plain: A | B, delta: Set::EMPTY };
        if config.delta_twin {
            state.sessions[0].roots = A | C;
            state.packs[0] = Pack { plain: C, delta: A };
            state.packs[1] = Pack { plain: A, delta: Set::EMPTY };
            state.stored |= Set::one(1);
            state.created |= Set::one(1);
        }
        state.collections[0] = Collection {
            plans: 1,
            verdicts: 1,
            done: true,
            snapshots: first,
            segments: state.stored,
            ..Collection::default()
        };
        state
    }
}

/// A number of the state, which are all small.
pub(crate) fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
