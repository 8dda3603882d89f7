//! Registers and bodies of garbage collections. Spec: format-spec/11-gc.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::outcome::CheckpointRoot;
use crate::format::outcome::SegmentName;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::PackId;
use crate::id::RecordId;
use crate::id::SessionId;
use crate::id::Sha256;
use crate::id::SnapshotId;

/// A register of a collection: names the body that counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Register {
    /// The collection's number, as in the key.
    pub number: u64,
    /// Which register, as in the key.
    pub step: Step,
    /// BLAKE3 of the stored bytes of the body; zeros for [`Step::Done`].
    pub body: Digest,
    /// Random, so that one's own register is recognised after an unknown outcome.
    pub nonce: [u8; 16],
}

/// The steps of a collection that registers record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Step {
    /// What is condemned.
    Plan,
    /// What is deleted and what is valid.
    Verdict,
    /// Every delete is durable.
    Done,
}

/// A pack as collections name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct PackName {
    /// The client that wrote it.
    pub client: ClientId,
    /// The epoch of the session that wrote it.
    pub epoch: u64,
    /// The session that wrote it.
    pub session: SessionId,
    /// Its number in that session.
    pub sequence: u32,
    /// BLAKE3 of its bytes.
    pub id: PackId,
}

/// The body of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Plan {
    /// The collection's number.
    pub number: u64,
    /// Packs that may go, sorted.
    pub condemned: Vec<PackName>,
    /// Snapshots that were considered as roots, sorted.
    pub roots: Vec<SnapshotId>,
    /// Forget requests that were obeyed, sorted.
    pub forgets: Vec<RecordId>,
}

/// The statement of a verdict, kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Verdict {
    /// The collection's number.
    pub number: u64,
    /// BLAKE3 of the stored bytes of the plan's body.
    pub plan: Digest,
    /// BLAKE3 of the stored bytes of the verdict before; zeros for the first.
    pub previous: Digest,
    /// BLAKE3 of the stored bytes of the base.
    pub base: Digest,
    /// Packs that go, sorted.
    pub removed: Vec<PackName>,
    /// Snapshots that were forgotten, sorted.
    pub forgotten: Vec<SnapshotId>,
    /// Outcomes that are folded into the base, sorted by session.
    pub folded: Vec<FoldedOutcome>,
    /// Sessions of an epoch below this one are closed; only the folded ones counted.
    pub epoch_min: u64,
}

/// An outcome that a verdict folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct FoldedOutcome {
    /// The session.
    pub session: SessionId,
    /// Its client.
    pub client: ClientId,
    /// Its epoch.
    pub epoch: u64,
    /// BLAKE3 of the outcome's stored bytes.
    pub digest: Digest,
    /// When the store received it, in seconds since 1970.
    pub received: i64,
}

/// What is valid after a verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Base {
    /// The collection's number.
    pub number: u64,
    /// Live snapshots, sorted.
    pub snapshots: Vec<BaseSnapshot>,
    /// Checkpoints that no later commit ended, sorted by session.
    pub checkpoints: Vec<BaseCheckpoint>,
    /// Valid segments, sorted.
    pub segments: Vec<SegmentName>,
}

/// A live snapshot of a base.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct BaseSnapshot {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its client.
    pub client: ClientId,
    /// SHA-256 of its manifest's statement.
    pub manifest: Sha256,
    /// Name of its source.
    pub source: String,
    /// When the store received its outcome, in seconds since 1970.
    pub received: i64,
}

/// A checkpoint of a base.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BaseCheckpoint {
    /// The session that committed it.
    pub session: SessionId,
    /// Its client.
    pub client: ClientId,
    /// Name of its source.
    pub source: String,
    /// The chunks it keeps.
    pub roots: Vec<CheckpointRoot>,
    /// When the store received its outcome, in seconds since 1970.
    pub received: i64,
}

macro_rules! record {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The body's bytes.
            pub fn encode(&self) -> Vec<u8> {
                encode(self)
            }

            /// Decodes a body and checks its rules.
            pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
                let record = decode::<Self, GC_MEMORY_MAX>($what, bytes)?;
                if record.is_sorted() {
                    return Ok(record);
                }
                Err(FormatError::new($what, Rule::ListOrder, 0))
            }
        }
    };
}

record!(Plan, "plan");
record!(Verdict, "verdict");
record!(Base, "base");

impl Register {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::<Self, 4096>("register", bytes)
    }

    /// Checks that the register belongs under its key.
    pub fn check_place(&self, number: u64, step: Step) -> Result<(), FormatError> {
        if self.number == number && self.step == step {
            return Ok(());
        }
        Err(FormatError::new("register", Rule::GcNumber, number))
    }
}

impl Plan {
    fn is_sorted(&self) -> bool {
        strictly(&self.condemned) && strictly(&self.roots) && strictly(&self.forgets)
    }
}

impl Verdict {
    fn is_sorted(&self) -> bool {
        let folded = self.folded.is_sorted_by(|left, right| left.session < right.session);
        strictly(&self.removed) && strictly(&self.forgotten) && folded
    }
}

impl Base {
    fn is_sorted(&self) -> bool {
        let snapshots = self.snapshots.is_sorted_by(|left, right| left.snapshot < right.snapshot);
        let checkpoints = self.checkpoints.is_sorted_by(|left, right| left.session < right.session);
        snapshots && checkpoints && strictly(&self.segments)
    }
}

fn strictly<T: PartialOrd>(list: &[T]) -> bool {
    list.is_sorted_by(|left, right| left < right)
}

const GC_MEMORY_MAX: usize = 192 * 1_048_576;
