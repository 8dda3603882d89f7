//! Reads a pack back in full: its hash, its directory, every block, the name of every chunk.

use crate::compress::Decompressor;
use crate::crypto::aead;
use crate::crypto::hash::blake3;
use crate::crypto::secret::Secret;
use crate::format::block;
use crate::format::block::BlockCodec;
use crate::format::block::BlockEntry;
use crate::format::index::IndexedPack;
use crate::format::layout::PackRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::id::ChunkId;
use crate::repo::base_bytes::BasesError;
use crate::repo::error::BlockError;
use crate::repo::error::RepoError;
use crate::repo::packkey;
use crate::repo::read::ChunkReader;
use crate::repo::write::salvage;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;

/// What reading a pack back came to.
#[derive(Debug, Default)]
pub(crate) struct PackVerdict {
    /// Bytes that were read.
    pub(crate) stored_bytes: u64,
    /// Plaintext bytes of chunks that were named again.
    pub(crate) plain_bytes: u64,
    /// Chunks whose bytes are right.
    pub(crate) good_count: u64,
    /// Chunks that this pack no longer gives.
    pub(crate) bad: Vec<ChunkId>,
    /// What is wrong with it.
    pub(crate) problems: Vec<RepoError>,
    /// Whether all of that is that bases of its deltas cannot be read: its own bytes are as they should be.
    pub(crate) lacks_only_bases: bool,
}

/// Buffers of one thread.
pub(crate) struct VerifyBuffers {
    block: Vec<u8>,
    plaintext: Vec<u8>,
    decompressor: Decompressor,
}

impl VerifyBuffers {
    /// Empty buffers.
    pub(crate) fn new() -> Self {
        let decompressor = Decompressor::new();
        Self { block: Vec::new(), plaintext: Vec::new(), decompressor }
    }
}

/// Reads a pack back; `indexed` is what the index has of it.
///
/// Errors only if the store cannot be read at all; damage is in the verdict.
pub(crate) fn verify_pack(
    reader: &ChunkReader,
    reference: PackRef,
    indexed: &IndexedPack,
    buffers: &mut VerifyBuffers,
) -> Result<PackVerdict, RepoError> {
    let repository = &reader.repository;
    let key = reference.key();
    let mut verdict = PackVerdict::default();
    let mut bytes = Vec::new();
    // A bad cable or memory cell is no damage of the store: read again before condemning.
    for _attempt in 0..READ_ATTEMPTS {
        match repository.store.read(&key, PACK_BYTES_MAX) {
            Ok(read) => bytes = read,
            Err(error) => {
                let error = RepoError::from(error);
                if !repository.is_damage(&error) {
                    return Err(error);
                }
                verdict.problems.push(error);
                verdict.bad.extend(chunk_ids(&indexed.blocks));
                return Ok(verdict);
            }
        }
        verdict.stored_bytes += to_u64(bytes.len());
        if blake3(&bytes) == *reference.id.as_bytes() {
            break;
        }
    }
    let intact = blake3(&bytes) == *reference.id.as_bytes();
    if !intact {
        verdict.problems.push(RepoError::WrongHash { key: key.to_string() });
    }
    match salvage::index_of(repository, reference, &bytes) {
        Ok(own) => {
            // Of a damaged pack, what its bytes say of themselves says nothing of the index.
            let agrees = own.blocks == indexed.blocks
                && own.sha256 == indexed.sha256
                && own.header == indexed.header
                && own.length == indexed.length;
            if intact && !agrees {
                verdict.problems.push(RepoError::IndexDiffers { key: key.to_string() });
            }
            verify_blocks(reader, &own, &bytes, buffers, &mut verdict);
        }
        Err(error) => {
            verdict.problems.push(error);
            verdict.bad.extend(chunk_ids(&indexed.blocks));
        }
    }
    Ok(verdict)
}

fn verify_blocks(
    reader: &ChunkReader,
    pack: &IndexedPack,
    bytes: &[u8],
    buffers: &mut VerifyBuffers,
    verdict: &mut PackVerdict,
) {
    let key = match unwrap_key(reader, pack, None) {
        Ok(key) => key,
        Err(error) => {
            verdict.problems.push(error);
            verdict.bad.extend(chunk_ids(&pack.blocks));
            return;
        }
    };
    let mut start = u64::from(pack.header_length);
    for (number, block) in pack.blocks.iter().enumerate() {
        let end = start + u64::from(block.stored_length);
        let stored = bytes.get(to_usize(start)..to_usize(end)).unwrap_or_default();
        start = end;
        let opened = open_block(reader, pack, &key, (to_u32(number), block), stored, buffers);
        let named = opened.and_then(|()| name_chunks(reader, pack, block, buffers, verdict));
        if let Err(error) = named {
            let before = verdict.problems.is_empty() || verdict.lacks_only_bases;
            verdict.lacks_only_bases = before && lacks_bases(reader, pack, block);
            verdict.problems.push(error);
            verdict.bad.extend(block.chunks.iter().map(|chunk| chunk.id));
        }
    }
}

/// Whether what a block was made after cannot be read.
fn lacks_bases(reader: &ChunkReader, pack: &IndexedPack, block: &BlockEntry) -> bool {
    let BlockCodec::Delta { bases } = &block.codec else { return false };
    matches!(reader.base_bytes(pack.header.kind, bases), Err(BasesError::Repo(_)))
}

fn open_block(
    reader: &ChunkReader,
    pack: &IndexedPack,
    own_key: &Secret,
    (number, block): (u32, &BlockEntry),
    stored: &[u8],
    buffers: &mut VerifyBuffers,
) -> Result<(), RepoError> {
    let wrong = |source| RepoError::OpenBlock { pack: pack.id, block: number, source };
    let (key, uid, sealed_number) = match &block.origin {
        Some(origin) => (unwrap_key(reader, pack, Some(block))?, origin.pack_uid, origin.number),
        None => (own_key.clone(), pack.header.pack_uid, number),
    };
    let kind = pack.header.kind.number();
    let place = block::associated_data(reader.repository.id(), kind, uid, sealed_number);
    let VerifyBuffers { block: opened, plaintext, decompressor } = buffers;
    opened.clear();
    opened.extend_from_slice(stored);
    aead::open(&key, &block::nonce(sealed_number), &place, opened)
        .map_err(|source| wrong(source.into()))?;
    let raw_length = to_usize32(block.raw_length);
    match &block.codec {
        BlockCodec::Raw => std::mem::swap(plaintext, opened),
        BlockCodec::Zstd => decompressor
            .decompress(opened, raw_length, plaintext)
            .map_err(|source| wrong(source.into()))?,
        BlockCodec::Delta { bases } => {
            let prefix = reader
                .base_bytes(pack.header.kind, bases)
                .map_err(|error| error.into_repo_error(pack.id, number))?;
            decompressor
                .decompress_after(prefix.as_slice(), opened, raw_length, plaintext)
                .map_err(|source| wrong(source.into()))?;
        }
    }
    if plaintext.len() == raw_length { Ok(()) } else { Err(wrong(BlockError::Range)) }
}

fn name_chunks(
    reader: &ChunkReader,
    pack: &IndexedPack,
    block: &BlockEntry,
    buffers: &VerifyBuffers,
    verdict: &mut PackVerdict,
) -> Result<(), RepoError> {
    let namer = reader.repository.keys.namer(pack.header.kind)?;
    let mut rest = buffers.plaintext.as_slice();
    for chunk in &block.chunks {
        let length = to_usize32(chunk.length).min(rest.len());
        let (front, behind) = rest.split_at(length);
        rest = behind;
        if namer.name(front) == chunk.id {
            verdict.good_count += 1;
            verdict.plain_bytes += to_u64(length);
        } else {
            verdict.bad.push(chunk.id);
            verdict.problems.push(RepoError::WrongChunk { chunk: chunk.id, pack: pack.id });
        }
    }
    Ok(())
}

fn unwrap_key(
    reader: &ChunkReader,
    pack: &IndexedPack,
    foreign: Option<&BlockEntry>,
) -> Result<Secret, RepoError> {
    let keys = &reader.repository.keys;
    let place = pack.reference().key();
    let kind = pack.header.kind;
    match foreign.and_then(|block| block.origin.as_ref()) {
        Some(origin) => packkey::unwrap(keys, kind, origin.pack_uid, &origin.key, &place),
        None => packkey::unwrap(keys, kind, pack.header.pack_uid, &pack.header.key, &place),
    }
}

fn chunk_ids(blocks: &[BlockEntry]) -> impl Iterator<Item = ChunkId> {
    blocks.iter().flat_map(|block| &block.chunks).map(|chunk| chunk.id)
}

/// The numbers of the blocks of a pack whose bytes are what they should be, whatever else of it is not.
///
/// `indexed` is what the index has of it, with all blocks.
/// Errors: [`RepoError::RoleLacks`] if the slot in use may not read what the pack holds.
pub(crate) fn sound_blocks(
    reader: &ChunkReader,
    indexed: &IndexedPack,
    bytes: &[u8],
    buffers: &mut VerifyBuffers,
) -> Result<Vec<usize>, RepoError> {
    let key = unwrap_key(reader, indexed, None)?;
    let mut sound = Vec::new();
    let mut start = u64::from(indexed.header_length);
    for (number, block) in indexed.blocks.iter().enumerate() {
        let end = start + u64::from(block.stored_length);
        let stored = bytes.get(to_usize(start)..to_usize(end));
        start = end;
        let Some(stored) = stored else { continue };
        let place = (to_u32(number), block);
        let mut named = PackVerdict::default();
        let opened = open_block(reader, indexed, &key, place, stored, buffers)
            .and_then(|()| name_chunks(reader, indexed, block, buffers, &mut named));
        match opened {
            Ok(()) if named.bad.is_empty() => sound.push(number),
            Ok(()) => {}
            Err(error) if reader.repository.is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sound)
}

const READ_ATTEMPTS: u32 = 3;
