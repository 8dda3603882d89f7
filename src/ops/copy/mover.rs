//! Moves chunks from one repository to another: opened, verified, named anew, and stored if they
//! are new there; several blocks at a time.

use crate::format::block::BlockCodec;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::ops::copy::known::NamedChunk;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::index::ChunkPlace;
use crate::repo::index::Index;
use crate::repo::joined::Joined;
use crate::repo::read::ChunkReader;
use crate::repo::read::OpenBlock;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use crate::repo::write::bases::Prefix;
use crate::units::to_u32;
use crate::units::to_u64;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
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
    /// What the other repository has.
    index: Arc<Index>,
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
        let (index, bytes_read) = (store.index(), AtomicU64::new(0));
        Ok(Self { source, pool, progress, writers, index, bytes_read })
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
            let wanted = blocks.get(handle).map(Vec::as_slice).unwrap_or_default();
            if let (Ok(block), Some(bases)) = (&opened, self.bases_of(*handle))
                && let Some(delta) = self.move_delta(block, &bases, wanted)?
            {
                moved.extend(delta);
                continue;
            }
            for (id, place) in wanted {
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

    fn bases_of(&self, handle: BlockHandle) -> Option<Vec<ChunkId>> {
        match self.source.index.block(handle)?.1.codec {
            BlockCodec::Delta { bases } => Some(bases),
            BlockCodec::Raw | BlockCodec::Zstd => None,
        }
    }

    /// Moves the chunks of a delta, again after its bases if the other repository has those; `None`
    /// if one of them is damaged.
    fn move_delta(
        &self,
        block: &OpenBlock,
        bases: &[ChunkId],
        wanted: &[(ChunkId, ChunkPlace)],
    ) -> Result<Option<Vec<Moved>>, OpError> {
        let chunk = |(id, place): &(ChunkId, ChunkPlace)| {
            self.source.chunk_of(PackKind::Data, id, *place, block).ok()
        };
        let Some(chunks) = wanted.iter().map(chunk).collect::<Option<Vec<&[u8]>>>() else {
            return Ok(None);
        };
        let mut writer = self.writer();
        let mut moved = Vec::with_capacity(chunks.len());
        let mut new = Vec::new();
        for ((source_id, _place), bytes) in wanted.iter().zip(chunks) {
            self.count(bytes);
            let (id, is_new) = writer.claim(bytes);
            moved.push((*source_id, Ok(NamedChunk { id, length: to_u32(bytes.len()) })));
            new.extend(is_new.then_some((id, bytes)));
        }
        let prefix = if new.is_empty() { None } else { self.prefix(&writer, bases) };
        let what = "cannot store the data";
        let is_stored = match prefix {
            Some(prefix) => {
                let mut compressor = writer.delta_compressor();
                writer.write_delta(&mut compressor, &new, &prefix).during(what)?
            }
            None => false,
        };
        if !is_stored {
            new.iter().try_for_each(|(id, bytes)| writer.write_claimed(*id, bytes)).during(what)?;
        }
        Ok(Some(moved))
    }

    /// What stands before a delta, by the names of the other repository.
    fn prefix(&self, writer: &ChunkWriter<'_>, bases: &[ChunkId]) -> Option<Prefix> {
        let (mut bytes, mut names) = (Vec::new(), Vec::with_capacity(bases.len()));
        for base in bases {
            let place = self.source.index.find_plain(base)?;
            let start = bytes.len();
            self.source.read_base(PackKind::Data, base, place, &mut bytes).ok()?;
            names.push(writer.name(&bytes[start..]));
        }
        Prefix::of_known(&self.index, names, bytes)
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
        self.count(bytes);
        let id = self.writer().write(bytes).during("cannot store the data")?;
        Ok(NamedChunk { id, length: to_u32(bytes.len()) })
    }

    fn count(&self, bytes: &[u8]) {
        self.bytes_read.fetch_add(to_u64(bytes.len()), Ordering::Relaxed);
        self.progress.advance(0, to_u64(bytes.len()));
    }

    /// The writer of this thread.
    fn writer(&self) -> MutexGuard<'_, ChunkWriter<'a>> {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.writers.len();
        self.writers[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
