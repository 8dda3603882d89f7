//! Blocks being made: chunks are gathered, compressed together, sealed, and read back.

use crate::compress::Compressor;
use crate::compress::Decompressor;
use crate::compress::DeltaCompressor;
use crate::crypto::aead;
use crate::crypto::hash::ChunkNamer;
use crate::crypto::secret::Secret;
use crate::format::block;
use crate::format::block::BlockCodec;
use crate::format::block::BlockEntry;
use crate::format::block::ChunkEntry;
use crate::format::envelope::TAG_LEN;
use crate::id::ChunkId;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::repo::write::bases::Prefix;
use crate::units::to_u32;
use crate::units::to_usize32;

/// Chunks that will be one block.
#[derive(Debug)]
pub(crate) struct BlockDraft {
    /// What the repository's config asks for.
    least_bytes: usize,
    /// Where the next block is closed: see [`Self::compress`].
    target_bytes: usize,
    plaintext: Vec<u8>,
    chunks: Vec<ChunkEntry>,
    spare: Vec<u8>,
}

/// A block that is compressed and not yet sealed.
#[derive(Debug)]
pub(crate) struct CompressedBlock {
    /// What the directory will say.
    pub(crate) entry: BlockEntry,
    /// The encoded plaintext; room for the tag behind it.
    pub(crate) encoded: Vec<u8>,
}

/// Where a block is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPlace<'a> {
    pub(crate) repository: RepoId,
    pub(crate) pack_kind: u8,
    pub(crate) pack_uid: PackUid,
    pub(crate) key: &'a Secret,
    pub(crate) number: u32,
}

impl BlockDraft {
    /// An empty draft that is closed before it passes `target_bytes`, or several times as much
    /// where content compresses very well.
    pub(crate) fn new(target_bytes: u32) -> Self {
        let target_bytes = to_usize32(target_bytes);
        let plaintext = Vec::with_capacity(target_bytes);
        let (chunks, spare) = (Vec::new(), Vec::new());
        Self { least_bytes: target_bytes, target_bytes, plaintext, chunks, spare }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether a chunk of this length belongs into the next block.
    pub(crate) fn is_full_for(&self, length: usize) -> bool {
        !self.chunks.is_empty() && self.plaintext.len() + length > self.target_bytes
    }

    /// Adds a chunk.
    pub(crate) fn push(&mut self, id: ChunkId, plaintext: &[u8]) {
        self.plaintext.extend_from_slice(plaintext);
        self.chunks.push(ChunkEntry { id, length: to_u32(plaintext.len()) });
    }

    /// Compresses what is in it; it is stored as it is where that is no shorter.
    ///
    /// Each block begins without knowing what came before. Where little is left of a block, the
    /// next ones take more: what is read at once stays small, and less is said twice.
    pub(crate) fn compress(&mut self, compressor: &mut Compressor) -> CompressedBlock {
        let mut encoded = std::mem::take(&mut self.spare);
        let codec = if compressor.compress(&self.plaintext, &mut encoded) {
            BlockCodec::Zstd
        } else {
            encoded.clear();
            encoded.extend_from_slice(&self.plaintext);
            BlockCodec::Raw
        };
        let shrunk = encoded.len().saturating_mul(GROWTH) <= self.plaintext.len();
        let growth = if shrunk { GROWTH } else { 1 };
        self.target_bytes = (self.least_bytes * growth).min(self.least_bytes.max(GROWN_BYTES_MAX));
        let entry = BlockEntry {
            stored_length: to_u32(encoded.len() + TAG_LEN),
            raw_length: to_u32(self.plaintext.len()),
            codec,
            origin: None,
            chunks: std::mem::take(&mut self.chunks),
        };
        CompressedBlock { entry, encoded }
    }

    /// Compresses what is in it as a delta after `prefix`; `None` if that would be longer than
    /// `encoded_bytes_max`. The draft is as it was then.
    pub(crate) fn compress_after<'a>(
        &mut self,
        compressor: &mut DeltaCompressor<'a>,
        prefix: &'a Prefix,
        encoded_bytes_max: usize,
    ) -> Option<CompressedBlock> {
        let mut encoded = std::mem::take(&mut self.spare);
        let is_shorter = compressor.compress(&prefix.bytes, &self.plaintext, &mut encoded);
        if !is_shorter || encoded.len() > encoded_bytes_max {
            self.spare = encoded;
            return None;
        }
        let entry = BlockEntry {
            stored_length: to_u32(encoded.len() + TAG_LEN),
            raw_length: to_u32(self.plaintext.len()),
            codec: BlockCodec::Delta { bases: prefix.bases.clone() },
            origin: None,
            chunks: std::mem::take(&mut self.chunks),
        };
        Some(CompressedBlock { entry, encoded })
    }

    /// Forgets what is in it.
    pub(crate) fn discard(&mut self) {
        self.chunks.clear();
        self.plaintext.clear();
    }

    /// Empties the draft and takes the block's buffer back for the next one.
    pub(crate) fn clear(&mut self, block: CompressedBlock) {
        self.plaintext.clear();
        self.spare = block.encoded;
    }
}

/// Seals a block for its place: encrypts it and appends the tag.
pub(crate) fn seal(place: BlockPlace<'_>, encoded: &[u8], sealed: &mut Vec<u8>) {
    let BlockPlace { repository, pack_kind, pack_uid, key, number } = place;
    sealed.clear();
    sealed.reserve(encoded.len() + TAG_LEN);
    sealed.extend_from_slice(encoded);
    let associated_data = block::associated_data(repository, pack_kind, pack_uid, number);
    aead::seal(key, &block::nonce(number), &associated_data, sealed);
}

/// Reads a sealed block back as a reader would and names every chunk again; a fault of the
/// machine between hashing and sealing shows here, while the data can still be read again.
pub(crate) fn reads_back(
    place: BlockPlace<'_>,
    entry: &BlockEntry,
    sealed: &[u8],
    prefix: &[u8],
    namer: &ChunkNamer,
    scratch: &mut Scratch,
) -> bool {
    let BlockPlace { repository, pack_kind, pack_uid, key, number } = place;
    let Scratch { opened, plaintext, decompressor } = scratch;
    opened.clear();
    opened.extend_from_slice(sealed);
    let associated_data = block::associated_data(repository, pack_kind, pack_uid, number);
    if aead::open(key, &block::nonce(number), &associated_data, opened).is_err() {
        return false;
    }
    let raw_length = to_usize32(entry.raw_length);
    let plain: &[u8] = match entry.codec {
        BlockCodec::Raw => opened,
        BlockCodec::Zstd => {
            if decompressor.decompress(opened, raw_length, plaintext).is_err() {
                return false;
            }
            plaintext
        }
        BlockCodec::Delta { .. } => {
            if decompressor.decompress_after(prefix, opened, raw_length, plaintext).is_err() {
                return false;
            }
            plaintext
        }
    };
    let mut rest = plain;
    for chunk in &entry.chunks {
        let Some((front, behind)) = rest.split_at_checked(to_usize32(chunk.length)) else {
            return false;
        };
        if namer.name(front) != chunk.id {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// Buffers for reading back.
pub(crate) struct Scratch {
    opened: Vec<u8>,
    plaintext: Vec<u8>,
    decompressor: Decompressor,
}

impl Scratch {
    /// Empty buffers.
    pub(crate) fn new() -> Self {
        Self { opened: Vec::new(), plaintext: Vec::new(), decompressor: Decompressor::new() }
    }
}

/// How many times more a block takes where the one before shrank to this part or less.
const GROWTH: usize = 8;
const GROWN_BYTES_MAX: usize = 8 * 1_048_576;
