//! Moves chunks from one repository to another: opened, verified, named anew, and stored if they
//! are new there; several blocks at a time.

use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::ops::copy::known::NamedChunk;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::index::ChunkPlace;
use crate::repo::joined::Joined;
use crate::repo::read::ChunkReader;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use crate::units::to_u32;
use crate::units::to_u64;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The threads of a run.
pub(crate) fn threads(source: &ChunkReader, count: usize) -> Result<ThreadPool, OpError> {
    let pool = ThreadPoolBuilder::new().num_threads(source.reading_threads(count.max(1))).build();
    pool.map_err(|_error| OpError::from(RepoError::WorkerLost))
}

/// Moves the chunks of one snapshot.
pub(crate) struct Mover<'a> {
    source: &'a ChunkReader,
    pool: &'a ThreadPool,
    progress: &'a dyn Progress,
    /// One a thread.
    writers: Vec<Mutex<ChunkWriter<'a>>>,
    bytes_read: AtomicU64,
}

/// A chunk and what it is in the other repository, or why it cannot be read.
pub(crate) type Moved = (ChunkId, Result<NamedChunk, Arc<RepoError>>);

/// The chunks of a block that are wanted.
type Blocks = BTreeMap<BlockHandle, Vec<(ChunkId, ChunkPlace)>>;

impl<'a> Mover<'a> {
    /// Moves from `source` into the session of `store`.
    pub(crate) fn new(
        source: &'a ChunkReader,
        store: &'a ChunkStore,
        pool: &'a ThreadPool,
        progress: &'a dyn Progress,
    ) -> Result<Self, OpError> {
        let writer = |_thread| Ok(Mutex::new(store.writer(PackKind::Data)?));
        let writers: Result<_, RepoError> = (0..pool.current_num_threads()).map(writer).collect();
        let writers = writers.during("cannot begin to write")?;
        Ok(Self { source, pool, progress, writers, bytes_read: AtomicU64::new(0) })
    }

    /// Moves chunks, each block that holds some of them opened once.
    ///
    /// Errors: of the other repository, and of a store that fails; what is damaged is in the
    /// result.
    pub(crate) fn move_all(&self, wanted: &[ChunkId]) -> Result<Vec<Moved>, OpError> {
        let mut blocks = Blocks::new();
        let mut moved = Vec::with_capacity(wanted.len());
        for id in wanted {
            match self.source.index.find(id) {
                Some(place) => blocks.entry(place.block).or_default().push((*id, place)),
                // A collection may have moved it: then the index is loaded anew.
                None => moved.push(self.move_alone(id)?),
            }
        }
        let handles: Vec<BlockHandle> = blocks.keys().copied().collect();
        let joined = self.source.join(&handles);
        let from_blocks: Result<Vec<Vec<Moved>>, OpError> = self.pool.install(|| {
            joined.par_iter().map(|joined| self.move_joined(joined, &handles, &blocks)).collect()
        });
        moved.extend(from_blocks?.into_iter().flatten());
        Ok(moved)
    }

    /// Lets every thread store its open block.
    pub(crate) fn flush(&self) -> Result<(), RepoError> {
        self.writers
            .iter()
            .try_for_each(|writer| writer.lock().unwrap_or_else(PoisonError::into_inner).flush())
    }

    /// Plaintext that was read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    fn move_joined(
        &self,
        joined: &Joined,
        handles: &[BlockHandle],
        blocks: &Blocks,
    ) -> Result<Vec<Moved>, OpError> {
        if self.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let fetched = self.source.fetch_joined(joined);
        let mut moved = Vec::new();
        for handle in handles.get(joined.blocks.clone()).unwrap_or_default() {
            let opened = self.source.open_fetched(*handle, fetched.as_ref());
            for (id, place) in blocks.get(handle).into_iter().flatten() {
                let bytes = opened
                    .as_ref()
                    .ok()
                    .and_then(|block| self.source.chunk_of(PackKind::Data, id, *place, block).ok());
                moved.push(match bytes {
                    Some(bytes) => (*id, Ok(self.store(bytes)?)),
                    // Damaged there, or its place is no longer valid: any copy will do.
                    None => self.move_alone(id)?,
                });
            }
        }
        Ok(moved)
    }

    fn move_alone(&self, id: &ChunkId) -> Result<Moved, OpError> {
        match self.source.read(PackKind::Data, id) {
            Ok(bytes) => Ok((*id, Ok(self.store(&bytes)?))),
            Err(error) if self.source.repository.is_damage(&error) => {
                Ok((*id, Err(Arc::new(error))))
            }
            Err(error) => Err(error).during("cannot read the snapshot"),
        }
    }

    fn store(&self, bytes: &[u8]) -> Result<NamedChunk, OpError> {
        self.bytes_read.fetch_add(to_u64(bytes.len()), Ordering::Relaxed);
        self.progress.advance(0, to_u64(bytes.len()));
        let thread = rayon::current_thread_index().unwrap_or(0) % self.writers.len();
        let mut writer = self.writers[thread].lock().unwrap_or_else(PoisonError::into_inner);
        let id = writer.write(bytes).during("cannot store the data")?;
        Ok(NamedChunk { id, length: to_u32(bytes.len()) })
    }
}
