//! Index segments: the directories of packs, gathered. Spec: format-spec/06-index.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::block::BlockEntry;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::layout::PackRef;
use crate::format::layout::SessionRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::format::pack::PackHeader;
use crate::id::ClientId;
use crate::id::PackId;
use crate::id::SessionId;
use crate::id::Sha256;
use crate::units::to_u64;

/// An index segment: what a reader must know of some packs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Segment {
    /// The packs, each once, sorted by their keys.
    pub packs: Vec<IndexedPack>,
}

/// What the index knows of one pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct IndexedPack {
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
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub length: u64,
    /// Its header, so that a block can be opened without reading the pack's front.
    pub header: PackHeader,
    /// Length of the header's bytes: where the first block begins.
    pub header_length: u32,
    /// Its blocks in order.
    pub blocks: Vec<BlockEntry>,
}

impl IndexedPack {
    /// Where the pack is stored.
    pub fn reference(&self) -> PackRef {
        let Self { client, epoch, session, sequence, id, .. } = *self;
        PackRef { session: SessionRef { client, epoch, session }, sequence, id }
    }
}

impl Segment {
    /// The segment's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body and checks every rule that needs no other object.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let segment = decode::<Self, SEGMENT_MEMORY_MAX>("index segment", bytes)?;
        let mut previous: Option<PackRef> = None;
        for (index, pack) in segment.packs.iter().enumerate() {
            let wrong = || FormatError::new("index segment", Rule::SegmentPacks, to_u64(index));
            let reference = pack.reference();
            if previous.is_some_and(|previous| previous >= reference) {
                return Err(wrong());
            }
            previous = Some(reference);
            let stored = pack.blocks.iter().fold(u64::from(pack.header_length), |sum, block| {
                sum.saturating_add(u64::from(block.stored_length))
            });
            let header_length = to_u64(pack.header.encode().len());
            if stored > pack.length
                || pack.length > PACK_BYTES_MAX
                || u64::from(pack.header_length) != header_length
            {
                return Err(wrong());
            }
            pack.header.key.check()?;
            for (number, block) in pack.blocks.iter().enumerate() {
                block.check(number)?;
            }
        }
        Ok(segment)
    }
}

/// How many chunks a writer gathers in one segment before it stores it.
pub const SEGMENT_CHUNKS_TARGET: usize = 262_144;
const SEGMENT_MEMORY_MAX: usize = 192 * 1_048_576;
