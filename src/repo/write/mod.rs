//! Writing: known chunks are skipped, new ones go into blocks, blocks into packs, packs into
//! segments; `finish` gives the proof that all of it is durable.

pub(crate) mod bases;
pub(crate) mod block;
pub(crate) mod checkpoint;
pub(crate) mod foreign;
pub(crate) mod pack;
pub(crate) mod salvage;
pub(crate) mod upload;

use crate::compress::Compressor;
use crate::compress::DeltaCompressor;
use crate::crypto::hash::ChunkNamer;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::index::Index;
use crate::repo::leftovers::Leftovers;
use crate::repo::repository::Repository;
use crate::repo::session::AllDurable;
use crate::repo::session::WriterSession;
use crate::repo::write::bases::Prefix;
use crate::repo::write::block::BlockDraft;
use crate::repo::write::block::CompressedBlock;
use crate::repo::write::pack::PackDraft;
use crate::repo::write::pack::Packer;
use crate::repo::write::upload::Uploader;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// What one session writes; shared by its threads.
#[derive(Debug)]
pub(crate) struct ChunkStore {
    pub(crate) repository: Repository,
    index: Arc<Index>,
    fresh: Vec<Mutex<HashSet<ChunkId>>>,
    data: Packer,
    tree: Packer,
    uploader: Uploader,
    counters: Counters,
    session: Mutex<Option<WriterSession>>,
    /// What is backed up, for the announcements of the sessions to come.
    source: String,
}

/// What was new in a session.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Plaintext bytes of new chunks.
    pub(crate) new_bytes: AtomicU64,
    /// New chunks.
    pub(crate) new_chunks: AtomicU64,
    /// Stored bytes of blocks.
    pub(crate) stored_bytes: AtomicU64,
    /// Plaintext bytes of new chunks that are stored as deltas.
    pub(crate) delta_bytes: AtomicU64,
}

impl ChunkStore {
    /// Begins to write in a session.
    pub(crate) fn new(mut session: WriterSession) -> Result<Self, RepoError> {
        let repository = session.repository.clone();
        let index = Arc::new(std::mem::take(&mut session.loaded.index));
        let shards = (0..FRESH_SHARDS).map(|_| Mutex::new(HashSet::new())).collect();
        let uploader = Uploader::new(&repository, session.reference, Arc::clone(&index));
        let limits = &repository.config.limits;
        let data = Packer::new(PackKind::Data, limits.data_pack_bytes);
        let tree = Packer::new(PackKind::Tree, limits.tree_pack_bytes);
        let counters = Counters::default();
        let leftovers = std::mem::take(&mut session.leftovers);
        let source = session.source.clone();
        let session = Mutex::new(Some(session));
        let fresh = shards;
        let store =
            Self { repository, index, fresh, data, tree, uploader, counters, session, source };
        store.adopt(leftovers)?;
        Ok(store)
    }

    /// A writer for one thread.
    pub(crate) fn writer(&self, kind: PackKind) -> Result<ChunkWriter<'_>, RepoError> {
        let limits = &self.repository.config.limits;
        let target = match kind {
            PackKind::Data => limits.data_block_bytes,
            PackKind::Tree => limits.tree_block_bytes,
        };
        Ok(ChunkWriter {
            store: self,
            kind,
            namer: self.repository.keys.namer(kind)?.clone(),
            draft: BlockDraft::new(target),
            delta: BlockDraft::new(0),
            compressor: Compressor::new(limits.compression_level),
        })
    }

    /// Whether a chunk is stored or being stored.
    pub(crate) fn knows(&self, id: &ChunkId) -> bool {
        self.index.contains(id) || self.shard(id).lock().is_ok_and(|shard| shard.contains(id))
    }

    /// The index of everything stored, which grows with every segment of the session.
    pub(crate) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// What was new so far.
    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The packs stored so far, for the commitment in the manifest.
    pub(crate) fn stored_packs(&self) -> Vec<(crate::id::PackId, u64)> {
        self.uploader.stored_packs()
    }

    /// The session, for committing it; what is written afterwards needs another one.
    pub(crate) fn take_session(&self) -> Result<WriterSession, RepoError> {
        let mut session = self.session.lock().map_err(|_poisoned| RepoError::WorkerLost)?;
        session.take().ok_or(RepoError::WorkerLost)
    }

    /// Goes on in a new session after the last one was committed or, if it is named, fenced.
    ///
    /// No thread may be writing meanwhile. Chunks that were known before may be gone now: see
    /// [`crate::repo::closure`].
    pub(crate) fn reopen(&self, fenced: Option<SessionRef>) -> Result<(), RepoError> {
        let mut session =
            WriterSession::open_after(&self.repository, &self.source, fenced.as_slice())?;
        self.index.replace(std::mem::take(&mut session.loaded.index));
        self.uploader.restart(session.reference);
        self.settle_fresh();
        let leftovers = std::mem::take(&mut session.leftovers);
        *self.session.lock().map_err(|_poisoned| RepoError::WorkerLost)? = Some(session);
        self.adopt(leftovers)
    }

    /// Stores what is open and ends the session without a commit; best effort, after an error.
    pub(crate) fn abandon(&self) {
        // What is complete spares the next run its upload.
        let _ignored = self.flush();
        if let Ok(session) = self.take_session() {
            let _ignored = session.abandon();
        }
    }

    /// Keeps packs of data on this host, for the deltas of the next run.
    pub(crate) fn keep_data(&self) {
        self.uploader.keep_data();
    }

    /// Says that the session lives, if nothing was stored for a while.
    pub(crate) fn beat(&self) -> Result<(), RepoError> {
        self.uploader.beat()
    }

    /// Stores everything that is open and waits until all of it is durable.
    pub(crate) fn finish(&self) -> Result<AllDurable, RepoError> {
        let durable = self.flush()?;
        Ok(AllDurable { segments: durable })
    }

    /// Stores what is open, so that a later run can adopt it.
    pub(crate) fn flush(&self) -> Result<Vec<SegmentRef>, RepoError> {
        for packer in [&self.data, &self.tree] {
            if let Some(pack) = packer.close()? {
                self.uploader.send(pack)?;
            }
        }
        self.uploader.finish()
    }

    /// Takes over packs that dead sessions of this client stored.
    fn adopt(&self, leftovers: Leftovers) -> Result<(), RepoError> {
        leftovers.adopt(&self.repository, &mut |pack| {
            for chunk in pack.blocks.iter().flat_map(|block| &block.chunks) {
                self.claim(&chunk.id);
            }
            self.uploader.add_indexed(pack)
        })
    }

    /// Says whether a chunk is new; a chunk is new once.
    fn claim(&self, id: &ChunkId) -> bool {
        if self.index.contains(id) {
            return false;
        }
        self.shard(id).lock().is_ok_and(|mut shard| shard.insert(*id))
    }

    fn shard(&self, id: &ChunkId) -> &Mutex<HashSet<ChunkId>> {
        let number = usize::from(id.as_bytes()[31]) % FRESH_SHARDS;
        &self.fresh[number]
    }

    /// Forgets fresh chunks that a stored segment lists: the index answers for them.
    fn settle_fresh(&self) {
        for shard in &self.fresh {
            if let Ok(mut shard) = shard.lock() {
                shard.retain(|id| !self.index.contains(id));
                shard.shrink_to_fit();
            }
        }
    }
}

/// Turns chunks into blocks; one a thread.
pub(crate) struct ChunkWriter<'a> {
    store: &'a ChunkStore,
    kind: PackKind,
    namer: ChunkNamer,
    draft: BlockDraft,
    /// Empty between calls.
    delta: BlockDraft,
    compressor: Compressor,
}

impl ChunkWriter<'_> {
    /// Stores a chunk unless it is known; returns its name.
    pub(crate) fn write(&mut self, plaintext: &[u8]) -> Result<ChunkId, RepoError> {
        let (id, is_new) = self.claim(plaintext);
        if is_new {
            self.write_claimed(id, plaintext)?;
        }
        Ok(id)
    }

    /// What a chunk is named here.
    pub(crate) fn name(&self, plaintext: &[u8]) -> ChunkId {
        self.namer.name(plaintext)
    }

    /// Names a chunk, and says whether it is new: then whoever asked must store it.
    pub(crate) fn claim(&self, plaintext: &[u8]) -> (ChunkId, bool) {
        let id = self.namer.name(plaintext);
        let is_new = self.store.claim(&id);
        if is_new {
            let counters = &self.store.counters;
            counters.new_bytes.fetch_add(to_u64(plaintext.len()), Ordering::Relaxed);
            counters.new_chunks.fetch_add(1, Ordering::Relaxed);
        }
        (id, is_new)
    }

    /// Stores a chunk that this session claimed.
    pub(crate) fn write_claimed(&mut self, id: ChunkId, plaintext: &[u8]) -> Result<(), RepoError> {
        if self.draft.is_full_for(plaintext.len()) {
            self.flush()?;
        }
        self.draft.push(id, plaintext);
        Ok(())
    }

    /// A compressor for deltas as this writer makes them.
    pub(crate) fn delta_compressor<'a>(&self) -> DeltaCompressor<'a> {
        DeltaCompressor::like(&self.compressor)
    }

    /// Stores chunks that this session claimed as one delta after `prefix` if that pays; says
    /// whether they are stored.
    pub(crate) fn write_delta<'a>(
        &mut self,
        compressor: &mut DeltaCompressor<'a>,
        chunks: &[(ChunkId, &[u8])],
        prefix: &'a Prefix,
    ) -> Result<bool, RepoError> {
        let mut raw_bytes = 0;
        for (id, plaintext) in chunks {
            raw_bytes += plaintext.len();
            self.delta.push(*id, plaintext);
        }
        let plain_bytes = to_u64(raw_bytes).saturating_mul(prefix.stored_per_mille) / 1000;
        let percent_max = if prefix.is_aged { AGED_PERCENT_MAX } else { DELTA_PERCENT_MAX };
        let bytes_max = to_usize(plain_bytes.saturating_mul(percent_max) / 100);
        let Some(block) = self.delta.compress_after(compressor, prefix, bytes_max) else {
            self.delta.discard();
            return Ok(false);
        };
        self.store.counters.delta_bytes.fetch_add(to_u64(raw_bytes), Ordering::Relaxed);
        let full = self.seal(&block, &prefix.bytes)?;
        self.delta.clear(block);
        self.send(full)?;
        Ok(true)
    }

    /// Seals the open block and gives it to the open pack.
    pub(crate) fn flush(&mut self) -> Result<(), RepoError> {
        if self.draft.is_empty() {
            return Ok(());
        }
        let block = self.draft.compress(&mut self.compressor);
        let full = self.seal(&block, &[])?;
        self.draft.clear(block);
        self.send(full)
    }

    /// Gives a block to the open pack; returns the pack if that filled it.
    fn seal(&self, block: &CompressedBlock, prefix: &[u8]) -> Result<Option<PackDraft>, RepoError> {
        let stored = u64::from(block.entry.stored_length);
        self.store.counters.stored_bytes.fetch_add(stored, Ordering::Relaxed);
        let packer = match self.kind {
            PackKind::Data => &self.store.data,
            PackKind::Tree => &self.store.tree,
        };
        packer.add(&self.store.repository, &self.namer, block, prefix)
    }

    fn send(&self, full: Option<PackDraft>) -> Result<(), RepoError> {
        if let Some(pack) = full
            && self.store.uploader.send(pack)?
        {
            self.store.settle_fresh();
        }
        Ok(())
    }
}

/// A delta that is longer than this share of what a plain block would take of the room does not pay:
/// it keeps its bases alive and is slower to read.
const DELTA_PERCENT_MAX: u64 = 60;
/// Where the version before was already a delta after the same bases, deltas grow from version to
/// version: from here on a plain block, which is the next base, is cheaper in the long run.
const AGED_PERCENT_MAX: u64 = 40;
const FRESH_SHARDS: usize = 16;
