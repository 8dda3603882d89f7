//! Blocks: runs of chunks that are compressed and sealed together, as directories describe them.
//! Spec: format-spec/05-pack.md, "Blocks".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::id::ChunkId;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::units::to_u64;

/// One block of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BlockEntry {
    /// Stored length, the tag included.
    pub stored_length: u32,
    /// Length of the plaintext: the sum of the chunks' lengths.
    pub raw_length: u32,
    /// How the plaintext is encoded.
    pub codec: BlockCodec,
    /// Where the block was sealed, if it was copied from another pack.
    pub origin: Option<BlockOrigin>,
    /// The chunks, in order, back to back.
    pub chunks: Vec<ChunkEntry>,
}

/// How a block's plaintext is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BlockCodec {
    /// As it is.
    Raw,
    /// One zstd frame.
    Zstd,
    /// One zstd frame with the plaintext of other chunks, in order, as prefix.
    Delta {
        /// The chunks before it; 1 to [`BASES_COUNT_MAX`], at most [`BASE_BYTES_MAX`] bytes.
        bases: Vec<ChunkId>,
    },
}

/// Where a copied block was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BlockOrigin {
    /// `pack_uid` of the pack it was sealed in.
    pub pack_uid: PackUid,
    /// Its number there.
    pub number: u32,
    /// How that pack's key is wrapped.
    pub key: crate::format::pack::WrappedKey,
}

/// One chunk of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ChunkEntry {
    /// Its name.
    pub id: ChunkId,
    /// Its length in bytes, at least 1.
    pub length: u32,
}

impl BlockEntry {
    /// Checks the rules that need no other object; `at` is the block's number.
    pub(crate) fn check(&self, at: usize) -> Result<(), FormatError> {
        let wrong = |rule| FormatError::new("block entry", rule, to_u64(at));
        let sealed_length = u64::from(self.stored_length);
        let raw_length = u64::from(self.raw_length);
        let tag = to_u64(crate::format::envelope::TAG_LEN);
        let lengths = self.raw_length <= BLOCK_RAW_BYTES_MAX
            && raw_length > 0
            && sealed_length > tag
            && match self.codec {
                BlockCodec::Raw => sealed_length == raw_length.saturating_add(tag),
                BlockCodec::Zstd | BlockCodec::Delta { .. } => {
                    sealed_length < raw_length.saturating_add(tag)
                }
            };
        if !lengths {
            return Err(wrong(Rule::BlockLengths));
        }
        let sum: u64 =
            self.chunks.iter().fold(0, |sum, chunk| sum.saturating_add(u64::from(chunk.length)));
        if sum != raw_length || self.chunks.iter().any(|chunk| chunk.length == 0) {
            return Err(wrong(Rule::BlockChunks));
        }
        match &self.codec {
            BlockCodec::Delta { bases } if !(1..=BASES_COUNT_MAX).contains(&bases.len()) => {
                Err(wrong(Rule::BlockBases))
            }
            BlockCodec::Raw | BlockCodec::Zstd | BlockCodec::Delta { .. } => Ok(()),
        }?;
        self.origin.as_ref().map_or(Ok(()), |origin| origin.key.check())
    }
}

/// Associated data of a block: repository, kind of pack, the pack's random number, the block's
/// number in it.
pub fn associated_data(
    repository: RepoId,
    pack_kind: u8,
    pack_uid: PackUid,
    number: u32,
) -> [u8; 37] {
    let mut bytes = [0; 37];
    let fields = repository.as_bytes().iter().chain([&pack_kind]).chain(pack_uid.as_bytes());
    for (place, byte) in bytes.iter_mut().zip(fields.copied().chain(number.to_le_bytes())) {
        *place = byte;
    }
    bytes
}

/// Nonce of a block: its number in the pack it was sealed in. The key is the pack's own.
pub fn nonce(number: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (place, byte) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *place = byte;
    }
    bytes
}

/// Longest plaintext of a block: one longest chunk beyond the largest target.
pub const BLOCK_RAW_BYTES_MAX: u32 = 16 * 1_048_576;
/// Most base chunks of a delta block.
pub const BASES_COUNT_MAX: usize = 4096;
/// Most plaintext of base chunks of a delta block.
pub const BASE_BYTES_MAX: u64 = 4 * 1_048_576;
