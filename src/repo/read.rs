//! Reading chunks: block by block, verified before anything is handed out.

use crate::compress::Decompressor;
use crate::crypto::aead;
use crate::crypto::secret::Secret;
use crate::format::block;
use crate::format::block::BlockCodec;
use crate::format::index::IndexedPack;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::id::PackUid;
use crate::repo::block_cache::BlockCache;
use crate::repo::error::BlockError;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::is_missing;
use crate::repo::index::BlockHandle;
use crate::repo::index::ChunkPlace;
use crate::repo::index::Index;
use crate::repo::index::run::Run;
use crate::repo::index::run::RunBlock;
use crate::repo::packkey;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use crate::store::Store;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;
use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Reads chunks of one repository; shared by threads.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    pub(crate) repository: Repository,
    pub(crate) index: Arc<Index>,
    pack_keys: Mutex<HashMap<(PackUid, PackKind), Secret>>,
    blocks: Mutex<BlockCache>,
    /// Blocks that deltas were made after: apart, since one is long and serves many deltas.
    bases: Mutex<BlockCache>,
    /// Held while a block is opened, so that threads that want the same one open it once.
    opening: [Mutex<()>; OPENING_COUNT],
    /// The same for deltas: while one is opened, plain blocks are, and no other delta.
    opening_deltas: [Mutex<()>; OPENING_COUNT],
    /// The verdict at which the index was loaded, if it may be loaded anew.
    loaded_at: Option<Mutex<u64>>,
}

/// The plaintext of a block whose bytes were authentic. Its chunks are not yet named.
#[derive(Debug, Clone)]
pub(crate) struct OpenBlock {
    pub(crate) pack: PackId,
    pub(crate) plaintext: Arc<Vec<u8>>,
}

impl OpenBlock {
    fn bytes_at(&self, place: ChunkPlace) -> Option<&[u8]> {
        let start = to_usize32(place.offset);
        self.plaintext.get(start..start.saturating_add(to_usize32(place.length)))
    }
}

/// Where the stored bytes of a block come from.
#[derive(Clone, Copy)]
struct Source<'a> {
    store: &'a dyn Store,
    /// The bytes, if they were read already.
    given: Option<&'a [u8]>,
}

impl ChunkReader {
    /// A reader that keeps blocks of at most `cache_bytes` of plaintext.
    pub(crate) fn new(repository: Repository, index: Arc<Index>, cache_bytes: usize) -> Self {
        let [blocks, bases] = [cache_bytes, BASES_CACHE_BYTES]
            .map(|bytes_max| Mutex::new(BlockCache::new(bytes_max)));
        let pack_keys = Mutex::new(HashMap::new());
        let [opening, opening_deltas] =
            [(), ()].map(|()| std::array::from_fn(|_number| Mutex::new(())));
        let loaded_at = None;
        Self { repository, index, pack_keys, blocks, bases, opening, opening_deltas, loaded_at }
    }

    /// The same reader, which loads the index anew when a pack is gone: its index was that of
    /// `verdict`, and nobody else writes to it.
    pub(crate) fn reloading(self, verdict: u64) -> Self {
        Self { loaded_at: Some(Mutex::new(verdict)), ..self }
    }

    /// The plaintext of a chunk, verified; other copies are tried if one is damaged.
    pub(crate) fn read(&self, kind: PackKind, id: &ChunkId) -> Result<Vec<u8>, RepoError> {
        let read = self.read_known(kind, id);
        match &read {
            Err(error) if is_missing(error) && self.reload()? => self.read_known(kind, id),
            Ok(_) | Err(_) => read,
        }
    }

    /// Loads the index anew if a verdict came since it was loaded; says whether one did.
    fn reload(&self) -> Result<bool, RepoError> {
        let Some(loaded_at) = &self.loaded_at else { return Ok(false) };
        let mut loaded_at = loaded_at.lock().unwrap_or_else(PoisonError::into_inner);
        if Chain::load(&self.repository)?.verdict == *loaded_at {
            return Ok(false);
        }
        *loaded_at = self.load_anew()?;
        Ok(true)
    }

    /// Loads the index anew, which may be loaded so: it is to have what was committed since.
    pub(crate) fn renew(&self) -> Result<(), RepoError> {
        let Some(loaded_at) = &self.loaded_at else { return Ok(()) };
        let mut loaded_at = loaded_at.lock().unwrap_or_else(PoisonError::into_inner);
        *loaded_at = self.load_anew()?;
        Ok(())
    }

    /// Returns the number of the verdict that the new index is of.
    fn load_anew(&self) -> Result<u64, RepoError> {
        let (history, loaded) = load_valid(&self.repository)?;
        self.index.replace(loaded.index);
        Ok(history.verdict.number)
    }

    fn read_known(&self, kind: PackKind, id: &ChunkId) -> Result<Vec<u8>, RepoError> {
        let mut first_error = None;
        for place in self.index.find_all(id) {
            match self.read_at(kind, id, place) {
                Ok(plaintext) => return Ok(plaintext),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(RepoError::UnknownChunk { chunk: *id }))
    }

    /// Opens a block without looking into the cache or keeping it there.
    pub(crate) fn open_block(
        &self,
        kind: PackKind,
        at: BlockHandle,
    ) -> Result<OpenBlock, RepoError> {
        self.open_block_into(kind, at, Vec::new())
    }

    /// As [`Self::open_block`], into memory that is free again.
    fn open_block_into(
        &self,
        kind: PackKind,
        at: BlockHandle,
        memory: Vec<u8>,
    ) -> Result<OpenBlock, RepoError> {
        // Whichever store is asked first takes it.
        let memory = Cell::new(memory);
        self.repository.read_or_copy(|store| {
            self.open_from(Source { store, given: None }, kind, at, memory.take())
        })
    }

    /// As [`Self::open_block`], from stored bytes that were read already if any are `given`.
    pub(crate) fn open_block_given(
        &self,
        kind: PackKind,
        at: BlockHandle,
        given: Option<&[u8]>,
    ) -> Result<OpenBlock, RepoError> {
        if given.is_none() {
            return self.open_block(kind, at);
        }
        let store = self.repository.store.as_ref();
        self.open_from(Source { store, given }, kind, at, Vec::new())
    }

    fn open_from(
        &self,
        from: Source<'_>,
        kind: PackKind,
        at: BlockHandle,
        mut plaintext: Vec<u8>,
    ) -> Result<OpenBlock, RepoError> {
        let (run, block) = self.index.block(at).ok_or(RepoError::WorkerLost)?;
        let pack = self.open_into(from, kind, &run, &block, &mut plaintext)?;
        Ok(OpenBlock { pack, plaintext: Arc::new(plaintext) })
    }

    /// A chunk of an open block, verified.
    pub(crate) fn chunk_of<'a>(
        &self,
        kind: PackKind,
        id: &ChunkId,
        place: ChunkPlace,
        block: &'a OpenBlock,
    ) -> Result<&'a [u8], RepoError> {
        let bytes = block.bytes_at(place);
        let wrong = || RepoError::WrongChunk { chunk: *id, pack: block.pack };
        let bytes = bytes.ok_or_else(wrong)?;
        if self.repository.keys.namer(kind)?.name(bytes) == *id { Ok(bytes) } else { Err(wrong()) }
    }

    /// Whether bytes from elsewhere are this chunk of data.
    pub(crate) fn is_chunk(&self, id: &ChunkId, bytes: &[u8]) -> bool {
        let namer = self.repository.keys.namer(PackKind::Data);
        namer.is_ok_and(|namer| namer.name(bytes) == *id)
    }

    fn read_at(
        &self,
        kind: PackKind,
        id: &ChunkId,
        place: ChunkPlace,
    ) -> Result<Vec<u8>, RepoError> {
        let block = self.cached_block(kind, place.block)?;
        Ok(self.chunk_of(kind, id, place, &block)?.to_vec())
    }

    /// Has a block in the cache if it lies in the same pack as another one.
    pub(crate) fn open_beside(&self, kind: PackKind, at: BlockHandle, next: BlockHandle) {
        let pack = |handle| self.index.block(handle).map(|(_run, block)| block.pack);
        if pack(next).is_some_and(|next| pack(at) == Some(next)) {
            // Whoever asks for it sees the error.
            let _ignored = self.cached_block(kind, next);
        }
    }

    /// A block from the cache, or opened and kept there.
    fn cached_block(&self, kind: PackKind, handle: BlockHandle) -> Result<OpenBlock, RepoError> {
        self.block_in(&self.blocks, kind, handle)
    }

    /// A base chunk of a delta, verified.
    pub(crate) fn read_base(
        &self,
        kind: PackKind,
        id: &ChunkId,
        place: ChunkPlace,
        prefix: &mut Vec<u8>,
    ) -> Result<(), RepoError> {
        let block = self.base_block(kind, place.block)?;
        prefix.extend_from_slice(self.chunk_of(kind, id, place, &block)?);
        Ok(())
    }

    /// A block that is kept with those that deltas were made after.
    pub(crate) fn kept_block(&self, handle: BlockHandle) -> Option<OpenBlock> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner).find(handle)
    }

    /// Keeps a block that will be wanted again: by what comes next, or as base of a delta.
    pub(crate) fn keep_block(&self, handle: BlockHandle, block: &OpenBlock) {
        if !self.is_delta(handle) {
            self.bases.lock().unwrap_or_else(PoisonError::into_inner).keep(handle, block);
        }
    }

    /// A plain block that is a base, from the cache or opened and kept there.
    pub(super) fn base_block(
        &self,
        kind: PackKind,
        handle: BlockHandle,
    ) -> Result<OpenBlock, RepoError> {
        self.block_in(&self.bases, kind, handle)
    }

    fn block_in(
        &self,
        cache: &Mutex<BlockCache>,
        kind: PackKind,
        handle: BlockHandle,
    ) -> Result<OpenBlock, RepoError> {
        let lock = || cache.lock().unwrap_or_else(PoisonError::into_inner);
        let find = || lock().find(handle);
        if let Some(block) = find() {
            return Ok(block);
        }
        let mut hasher = std::hash::DefaultHasher::new();
        handle.hash(&mut hasher);
        let stripe = to_usize(hasher.finish() % to_u64(OPENING_COUNT));
        let opening = if self.is_delta(handle) { &self.opening_deltas } else { &self.opening };
        let _opening = opening[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = find() {
            return Ok(block);
        }
        let memory = lock().take_spare();
        let block = self.open_block_into(kind, handle, memory)?;
        lock().keep(handle, &block);
        Ok(block)
    }

    pub(super) fn is_delta(&self, handle: BlockHandle) -> bool {
        let block = self.index.block(handle);
        block.is_some_and(|(_run, block)| matches!(block.codec, BlockCodec::Delta { .. }))
    }

    /// Whether a block of data can be read without a request of a store behind a network.
    pub(crate) fn is_on_this_host(&self, handle: BlockHandle) -> bool {
        if !self.repository.is_remote() {
            return true;
        }
        let (Some(kept), Some((run, block))) = (&self.repository.kept, self.index.block(handle))
        else {
            return false;
        };
        let pack = run.packs().get(to_usize32(block.pack));
        pack.is_some_and(|pack| kept.holds_pack(pack))
    }

    fn open_into(
        &self,
        from: Source<'_>,
        kind: PackKind,
        run: &Run,
        block: &RunBlock,
        plaintext: &mut Vec<u8>,
    ) -> Result<PackId, RepoError> {
        let pack = run.packs().get(to_usize32(block.pack)).ok_or(RepoError::WorkerLost)?;
        let reference = pack.reference();
        let wrong = |source| RepoError::OpenBlock { pack: pack.id, block: block.number, source };
        let key =
            self.pack_key(&reference, pack.header.kind, pack.header.pack_uid, block, || {
                pack.header.key.clone()
            })?;
        let (sealed_uid, number) = match &block.origin {
            Some(origin) => (origin.pack_uid, origin.number),
            None => (pack.header.pack_uid, block.number),
        };
        let kind_number = pack.header.kind.number();
        let place = block::associated_data(self.repository.id(), kind_number, sealed_uid, number);
        let raw_length = to_usize32(block.raw_length);
        let is_delta = matches!(block.codec, BlockCodec::Delta { .. });
        // Taken, not borrowed: whatever a store does within a read, it finds this free.
        let scratch = if is_delta { &DELTA_SCRATCH } else { &SCRATCH };
        let taken = scratch.take();
        let (mut stored, mut decompressor) =
            taken.unwrap_or_else(|| (Vec::new(), Decompressor::new()));
        let open = |stored: &mut Vec<u8>| {
            aead::open(&key, &block::nonce(number), &place, stored)
                .map_err(|source| wrong(source.into()))
        };
        match from.given {
            Some(given) => {
                stored.clear();
                stored.extend_from_slice(given);
                open(&mut stored)?;
            }
            None => self.open_stored(from.store, pack, &block.range, &mut stored, &open)?,
        }
        match &block.codec {
            BlockCodec::Zstd => decompressor
                .decompress(&stored, raw_length, plaintext)
                .map_err(|source| wrong(source.into()))?,
            BlockCodec::Raw => std::mem::swap(plaintext, &mut stored),
            BlockCodec::Delta { bases } => {
                // Bases are plain, so that opening them wants nothing of this.
                let prefix = self
                    .base_bytes(kind, bases)
                    .map_err(|error| error.into_repo_error(pack.id, block.number))?;
                decompressor
                    .decompress_after(prefix.as_slice(), &stored, raw_length, plaintext)
                    .map_err(|source| wrong(source.into()))?;
            }
        }
        scratch.set(Some((stored, decompressor)));
        if plaintext.len() != raw_length {
            return Err(wrong(BlockError::Range));
        }
        Ok(pack.id)
    }

    /// Reads the stored bytes of a block, from what is kept on this host if `open` takes that.
    fn open_stored(
        &self,
        store: &dyn Store,
        pack: &IndexedPack,
        range: &Range<u64>,
        stored: &mut Vec<u8>,
        open: &dyn Fn(&mut Vec<u8>) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        if let Some(kept) = &self.repository.kept
            && kept.pack_part(pack, range, stored)
        {
            match open(stored) {
                Ok(()) => return Ok(()),
                Err(_not_what_it_should_be) => kept.drop_pack(pack),
            }
        }
        match pack.header.kind {
            PackKind::Data => store.read_range(&pack.reference().key(), range.clone(), stored)?,
            PackKind::Tree => self.repository.fetch_tree_part(store, pack, range, stored)?,
        }
        open(stored)
    }

    fn pack_key(
        &self,
        reference: &crate::format::layout::PackRef,
        kind: PackKind,
        pack_uid: PackUid,
        block: &RunBlock,
        own: impl Fn() -> crate::format::pack::WrappedKey,
    ) -> Result<Secret, RepoError> {
        let (pack_uid, wrapped) = match &block.origin {
            Some(origin) => (origin.pack_uid, origin.key.clone()),
            None => (pack_uid, own()),
        };
        let mut keys = self.pack_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&(pack_uid, kind)) {
            return Ok(key.clone());
        }
        let place = reference.key();
        let key = packkey::unwrap(&self.repository.keys, kind, pack_uid, &wrapped, &place)?;
        if keys.len() >= PACK_KEYS_COUNT_MAX {
            keys.clear();
        }
        keys.insert((pack_uid, kind), key.clone());
        Ok(key)
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<(Vec<u8>, Decompressor)>> = const { RefCell::new(None) };
    /// That of deltas, whose bases are opened while it is in use.
    static DELTA_SCRATCH: RefCell<Option<(Vec<u8>, Decompressor)>> = const { RefCell::new(None) };
}

/// A few of the longest blocks for every thread.
const BASES_CACHE_BYTES: usize = 64 * 1_048_576;
const PACK_KEYS_COUNT_MAX: usize = 65_536;
/// Blocks that are opened at the same time at most, give or take chance.
const OPENING_COUNT: usize = 64;
