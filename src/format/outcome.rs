//! Outcome registers: what decides a session. Spec: format-spec/09-session.md, "Outcomes".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::id::ChunkId;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::SegmentId;
use crate::id::SessionId;
use crate::id::Sha256;

/// What a session came to. Write-once: the first body under the key decides.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The session's segments are valid, and what it commits exists.
    Commit(Commit),
    /// The session came to nothing; whatever it stored is invisible.
    Fence(Fence),
}

/// A committed session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Commit {
    /// What is committed.
    pub subject: Subject,
    /// Segments that become valid: the session's own.
    pub segments: Vec<SegmentName>,
    /// The heads of the same client that the session saw, sorted by session.
    pub heads: Vec<Head>,
    /// The newest verdict that the session saw.
    pub verdict: VerdictSeen,
    /// Random, so that one's own register is recognised after an unknown outcome.
    pub nonce: [u8; 16],
}

/// What a commit adds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Subject {
    /// A snapshot.
    Snapshot {
        /// SHA-256 of the manifest's statement.
        manifest: Sha256,
        /// Name of the source; ends the client's checkpoint of that source.
        source: String,
    },
    /// Uploaded chunks that a later commit of the same client and source will use.
    Checkpoint {
        /// Name of the source.
        source: String,
        /// List nodes whose extents are the chunks to keep.
        roots: Vec<CheckpointRoot>,
    },
    /// Segments only: repacked data, or a merged index.
    Maintenance,
}

/// The top of a list of chunks that a checkpoint keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointRoot {
    /// The list node.
    pub node: ChunkId,
    /// Levels below it.
    pub height: u8,
    /// Whether the chunks are data or tree chunks.
    pub kind: crate::format::pack::PackKind,
}

/// The name of a segment, as records write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct SegmentName {
    /// The client that wrote it.
    pub client: ClientId,
    /// The epoch of the session that wrote it.
    pub epoch: u64,
    /// The session that wrote it.
    pub session: SessionId,
    /// Its number in that session.
    pub sequence: u32,
    /// BLAKE3 of its bytes.
    pub id: SegmentId,
}

/// An outcome of the same client that a session saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Head {
    /// The session.
    pub session: SessionId,
    /// BLAKE3 of the outcome's stored bytes.
    pub digest: Digest,
}

/// The newest verdict that a session saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct VerdictSeen {
    /// Its number; 0 before the first.
    pub number: u64,
    /// BLAKE3 of the stored bytes of its body; zeros before the first.
    pub digest: Digest,
}

impl VerdictSeen {
    /// No verdict yet.
    pub const NONE: Self = Self { number: 0, digest: Digest::new([0; 32]) };
}

impl Default for VerdictSeen {
    fn default() -> Self {
        Self::NONE
    }
}

/// A session that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Fence {
    /// Why.
    pub reason: FenceReason,
    /// Random, so that one's own register is recognised after an unknown outcome.
    pub nonce: [u8; 16],
}

/// Why a session was fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum FenceReason {
    /// Its own client gave it up.
    Own,
    /// A collection had to go on.
    Collection {
        /// The collection's number.
        number: u64,
    },
}

impl Outcome {
    /// The outcome's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let outcome = decode::<Self, OUTCOME_MEMORY_MAX>("outcome", bytes)?;
        if let Self::Commit(commit) = &outcome {
            commit.check()?;
        }
        Ok(outcome)
    }
}

impl Commit {
    fn check(&self) -> Result<(), FormatError> {
        let sorted = self.segments.is_sorted_by(|left, right| left < right)
            && self.heads.is_sorted_by(|left, right| left.session < right.session);
        if !sorted {
            return Err(FormatError::new("outcome", Rule::ListOrder, 0));
        }
        let source_length = match &self.subject {
            Subject::Snapshot { source, .. } | Subject::Checkpoint { source, .. } => source.len(),
            Subject::Maintenance => 1,
        };
        if (1..=SOURCE_BYTES_MAX).contains(&source_length) {
            return Ok(());
        }
        Err(FormatError::new("outcome", Rule::OutcomeBody, 0))
    }
}

impl From<SegmentRef> for SegmentName {
    fn from(segment: SegmentRef) -> Self {
        let SegmentRef { session: SessionRef { client, epoch, session }, sequence, id } = segment;
        Self { client, epoch, session, sequence, id }
    }
}

impl From<SegmentName> for SegmentRef {
    fn from(name: SegmentName) -> Self {
        let SegmentName { client, epoch, session, sequence, id } = name;
        Self { session: SessionRef { client, epoch, session }, sequence, id }
    }
}

/// Longest name of a source in bytes.
pub const SOURCE_BYTES_MAX: usize = 255;
const OUTCOME_MEMORY_MAX: usize = 32 * 1_048_576;
