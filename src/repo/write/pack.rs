//! Packs being filled: blocks reserve their place, are sealed outside the lock, and filled in.

use crate::compress::Compressor;
use crate::crypto::aead;
use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::blake3;
use crate::crypto::hash::sha256;
use crate::crypto::secret::Secret;
use crate::format::block::BlockCodec;
use crate::format::block::BlockEntry;
use crate::format::pack;
use crate::format::pack::PackDirectory;
use crate::format::pack::PackHeader;
use crate::format::pack::PackKind;
use crate::format::pack::PackTrailer;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::id::PackUid;
use crate::id::Sha256;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::packkey;
use crate::repo::repository::Repository;
use crate::repo::write::block;
use crate::repo::write::block::BlockPlace;
use crate::repo::write::block::CompressedBlock;
use crate::repo::write::block::Scratch;
use crate::units::to_u32;
use crate::units::to_usize32;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;

/// Fills one pack after the other; shared by threads.
#[derive(Debug)]
pub(crate) struct Packer {
    kind: PackKind,
    target_bytes: usize,
    open: Mutex<Option<Arc<OpenPack>>>,
}

/// A pack whose bytes are complete.
#[derive(Debug)]
pub(crate) struct PackDraft {
    pub(crate) id: PackId,
    pub(crate) sha256: Sha256,
    pub(crate) header: PackHeader,
    pub(crate) header_length: u32,
    pub(crate) blocks: Vec<BlockEntry>,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
struct OpenPack {
    header: PackHeader,
    header_length: usize,
    key: Secret,
    directory_key: Secret,
    content: Mutex<Content>,
    filled: Condvar,
}

#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    blocks: Vec<BlockEntry>,
    /// About how long the directory of the blocks is.
    directory_bytes: usize,
    /// Blocks that have a place and are not yet there.
    pending_count: usize,
}

impl Packer {
    /// A packer that closes packs at `target_bytes`, or when their directory is large.
    pub(crate) fn new(kind: PackKind, target_bytes: u32) -> Self {
        Self { kind, target_bytes: to_usize32(target_bytes), open: Mutex::new(None) }
    }

    /// Seals a block into the open pack; returns the pack if this block filled it.
    ///
    /// `prefix` is what a delta was compressed after; nothing for other blocks.
    pub(crate) fn add(
        &self,
        repository: &Repository,
        namer: &ChunkNamer,
        block: &CompressedBlock,
        prefix: &[u8],
    ) -> Result<Option<PackDraft>, RepoError> {
        let (pack, number, offset, full) = self.reserve(repository, &block.entry)?;
        let place = BlockPlace {
            repository: repository.id(),
            pack_kind: self.kind.number(),
            pack_uid: pack.header.pack_uid,
            key: &pack.key,
            number,
        };
        let sealed = SEALED.with_borrow_mut(|buffers| {
            let (sealed, scratch) = buffers;
            block::seal(place, &block.encoded, sealed);
            if !block::reads_back(place, &block.entry, sealed, prefix, namer, scratch) {
                return Err(RepoError::VerifyFailed { block: number });
            }
            pack.fill(offset, sealed);
            Ok(())
        });
        if sealed.is_err() {
            pack.fill(offset, &[]);
        }
        sealed?;
        if full { Ok(Some(pack.complete(repository)?)) } else { Ok(None) }
    }

    /// Copies a block that was sealed for another pack; returns the pack if this block filled it.
    ///
    /// The entry says where it was sealed, and the bytes are known to be those that were stored.
    pub(crate) fn add_sealed(
        &self,
        repository: &Repository,
        entry: &BlockEntry,
        sealed: &[u8],
    ) -> Result<Option<PackDraft>, RepoError> {
        assert!(entry.origin.is_some(), "a copied block says where it was sealed");
        assert_eq!(sealed.len(), to_usize32(entry.stored_length), "a block is copied whole");
        let (pack, _number, offset, full) = self.reserve(repository, entry)?;
        pack.fill(offset, sealed);
        if full { Ok(Some(pack.complete(repository)?)) } else { Ok(None) }
    }

    /// Closes the open pack, if there is one with blocks.
    pub(crate) fn close(&self) -> Result<Option<Unfinished>, RepoError> {
        let open = lock(&self.open)?.take();
        Ok(open.map(Unfinished))
    }

    fn reserve(
        &self,
        repository: &Repository,
        entry: &BlockEntry,
    ) -> Result<(Arc<OpenPack>, u32, usize, bool), RepoError> {
        let mut open = lock(&self.open)?;
        let pack = match open.take() {
            Some(pack) => pack,
            None => Arc::new(OpenPack::new(repository, self.kind, self.target_bytes)?),
        };
        let (number, offset, is_full) = {
            let mut content = lock(&pack.content)?;
            let number = to_u32(content.blocks.len());
            let offset = content.bytes.len();
            let length = offset + to_usize32(entry.stored_length);
            content.bytes.resize(length, 0);
            content.blocks.push(entry.clone());
            content.directory_bytes += directory_bytes_of(entry);
            content.pending_count += 1;
            let is_full = length >= self.target_bytes
                || content.directory_bytes >= to_usize32(pack::DIRECTORY_BYTES_TARGET);
            (number, offset, is_full)
        };
        if !is_full {
            *open = Some(Arc::clone(&pack));
        }
        Ok((pack, number, offset, is_full))
    }
}

/// A pack that nobody adds to any more.
#[derive(Debug)]
pub(crate) struct Unfinished(Arc<OpenPack>);

impl Unfinished {
    /// Waits for the last block and completes the pack.
    pub(crate) fn complete(&self, repository: &Repository) -> Result<PackDraft, RepoError> {
        self.0.complete(repository)
    }
}

impl OpenPack {
    fn new(
        repository: &Repository,
        kind: PackKind,
        target_bytes: usize,
    ) -> Result<Self, RepoError> {
        let environment = repository.environment.as_ref();
        let keys = &repository.keys;
        let pack_uid = PackUid::new(random(environment));
        let (key, wrapped) = packkey::make(keys, kind, pack_uid, environment)?;
        let generation = keys.newest();
        let directory_key = keys.directory_key(generation, pack_uid)?;
        let directory_generation = generation.generation;
        let header = PackHeader { kind, pack_uid, key: wrapped, directory_generation };
        let front = header.encode();
        let header_length = front.len();
        // Room for the block that passes the target, so that the bytes never move.
        let mut bytes = Vec::with_capacity(target_bytes + target_bytes / 8);
        bytes.extend_from_slice(&front);
        let content =
            Mutex::new(Content { bytes, blocks: Vec::new(), directory_bytes: 0, pending_count: 0 });
        let filled = Condvar::new();
        Ok(Self { header, header_length, key, directory_key, content, filled })
    }

    fn fill(&self, offset: usize, sealed: &[u8]) {
        if let Ok(mut content) = self.content.lock() {
            if let Some(place) = content.bytes.get_mut(offset..offset + sealed.len()) {
                place.copy_from_slice(sealed);
            }
            content.pending_count -= 1;
        }
        self.filled.notify_all();
    }

    /// Waits until every block is in place, then adds directory and trailer.
    fn complete(&self, repository: &Repository) -> Result<PackDraft, RepoError> {
        let mut content = lock(&self.content)?;
        while content.pending_count > 0 {
            content = self.filled.wait(content).map_err(|_poisoned| RepoError::WorkerLost)?;
        }
        let blocks = std::mem::take(&mut content.blocks);
        let mut bytes = std::mem::take(&mut content.bytes);
        drop(content);
        let directory = PackDirectory { blocks };
        let plain = directory.encode();
        let directory_raw_length = to_u32(plain.len());
        let mut sealed = Vec::new();
        if !Compressor::new(DIRECTORY_LEVEL).compress(&plain, &mut sealed) {
            sealed = plain;
        }
        let header = &bytes[..self.header_length];
        let associated_data = pack::directory_associated_data(repository.id(), header);
        aead::seal(&self.directory_key, &[0; 12], &associated_data, &mut sealed);
        let directory_length = to_u32(sealed.len());
        bytes.extend_from_slice(&sealed);
        let trailer = PackTrailer { directory_length, directory_raw_length };
        bytes.extend_from_slice(&trailer.encode());
        Ok(PackDraft {
            id: PackId::new(blake3(&bytes)),
            sha256: sha256(&bytes),
            header: self.header.clone(),
            header_length: to_u32(self.header_length),
            blocks: directory.blocks,
            bytes,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, RepoError> {
    mutex.lock().map_err(|_poisoned| RepoError::WorkerLost)
}

thread_local! {
    static SEALED: RefCell<(Vec<u8>, Scratch)> = RefCell::new((Vec::new(), Scratch::new()));
}

const DIRECTORY_LEVEL: i32 = 3;

/// About how much of a directory an entry takes.
fn directory_bytes_of(entry: &BlockEntry) -> usize {
    let bases = match &entry.codec {
        BlockCodec::Delta { bases } => bases.len() * ChunkId::LENGTH,
        BlockCodec::Raw | BlockCodec::Zstd => 0,
    };
    let origin = entry.origin.as_ref().map_or(0, |_origin| ORIGIN_BYTES);
    entry.chunks.len() * CHUNK_BYTES + bases + origin + ENTRY_BYTES
}

/// A name and a length.
const CHUNK_BYTES: usize = ChunkId::LENGTH + 4;
/// Of an origin with a key that is sealed for readers alone.
const ORIGIN_BYTES: usize = 1250;
/// Lengths and codec.
const ENTRY_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Compressor;
    use crate::format::block::BlockOrigin;
    use crate::format::block::ChunkEntry;
    use crate::format::pack::Wrap;
    use crate::format::pack::WrappedKey;
    use crate::repo::write::block::BlockDraft;
    use crate::store::memory::MemoryStore;
    use crate::testing::FixedEnvironment;
    use crate::testing::init_in;
    use crate::testing::open_in;

    #[test]
    fn the_estimate_of_a_directory_is_near_its_length() {
        let chunk = |number: u8| ChunkEntry { id: ChunkId::new([number; 32]), length: 4000 };
        let sealed = pack::XWING_ENCAPSULATED_LEN;
        let wrap = Wrap::Sealed { encapsulated: vec![1; sealed], sealed: [2; 48] };
        let key = WrappedKey { generation: 1, commitment: [3; 32], wrap };
        let origin = BlockOrigin { pack_uid: PackUid::new([4; 16]), number: 5, key };
        let bases: Vec<ChunkId> = (0..100).map(|number| ChunkId::new([number; 32])).collect();
        for chunk_count in [1, 3, 200] {
            for codec in [BlockCodec::Zstd, BlockCodec::Delta { bases: bases.clone() }] {
                for origin in [None, Some(origin.clone())] {
                    let chunks: Vec<ChunkEntry> = (0..chunk_count).map(chunk).collect();
                    let (stored_length, raw_length, codec) = (70_000, 900_000, codec.clone());
                    let entry = BlockEntry { stored_length, raw_length, codec, origin, chunks };
                    let estimate = directory_bytes_of(&entry);
                    let length = PackDirectory { blocks: vec![entry] }.encode().len();
                    assert!(length.abs_diff(estimate) <= 16 + length / 8, "{length} {estimate}");
                }
            }
        }
    }

    #[test]
    fn a_block_that_does_not_read_back_is_not_stored() {
        // As memory or a library would spoil it between the chunk's name and the pack.
        let store: Arc<dyn crate::store::Store> = Arc::new(MemoryStore::new());
        let environment: Arc<dyn crate::Environment> =
            Arc::new(FixedEnvironment::new(1_700_000_000, 1));
        let key = init_in(&store, &environment, crate::InitOptions::new()).unwrap();
        let repository = open_in(&store, &environment, &key, None).unwrap();
        let namer = repository.keys.namer(PackKind::Data).unwrap();
        let packer = Packer::new(PackKind::Data, 1 << 20);
        let add = |spoilt: &[u8]| {
            let mut draft = BlockDraft::new(1 << 16);
            draft.push(namer.name(b"what was read"), spoilt);
            let block = draft.compress(&mut Compressor::new(3));
            packer.add(&repository, namer, &block, &[])
        };
        assert!(matches!(add(b"what was read"), Ok(None)));
        assert!(matches!(add(b"what was reed"), Err(RepoError::VerifyFailed { block: 1 })));
    }
}
