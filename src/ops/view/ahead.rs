//! Threads that open blocks: those that are asked for, and those that are likely to be next.

use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::repo::index::BlockHandle;
use crate::repo::read::ChunkReader;
use rayon::ThreadPool;
use rayon::ThreadPoolBuildError;
use rayon::ThreadPoolBuilder;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Threads that open blocks. What fails ahead of time fails again for whoever asks.
#[derive(Debug)]
pub(crate) struct Ahead {
    pool: ThreadPool,
    /// The block that was read last, whatever file it belongs to.
    last: Mutex<Option<BlockHandle>>,
}

impl Ahead {
    pub(crate) fn new() -> Result<Self, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new().num_threads(THREADS).build()?;
        Ok(Self { pool, last: Mutex::default() })
    }

    /// Reads on one of the threads here: the allocator keeps memory for every thread that opens blocks, and there are fewer of
    /// these than of those that ask.
    pub(crate) fn run<T: Send>(&self, read: impl FnOnce() -> T + Send) -> T {
        self.pool.install(read)
    }

    /// Has the block of a chunk opened.
    pub(crate) fn fetch(&self, reader: &Arc<ChunkReader>, chunk: ChunkId) {
        let reader = Arc::clone(reader);
        self.pool.spawn(move || drop(reader.read(PackKind::Data, &chunk)));
    }

    /// Notes that a block is read, and has those opened that follow it if files are read in about the order in which they were stored.
    pub(crate) fn note(&self, reader: &Arc<ChunkReader>, at: BlockHandle) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(at);
        if last == Some(at) || !last.is_some_and(|last| is_shortly_after(last, at)) {
            return;
        }
        for block in at.block.saturating_add(1)..=at.block.saturating_add(FOLLOWING_COUNT) {
            let (reader, next) = (Arc::clone(reader), BlockHandle { block, ..at });
            self.pool.spawn(move || reader.open_beside(PackKind::Data, at, next));
        }
    }
}

const fn is_shortly_after(last: BlockHandle, at: BlockHandle) -> bool {
    last.run == at.run && at.block > last.block && at.block - last.block <= GAP_COUNT_MAX
}

const THREADS: usize = 4;
/// Blocks that are opened before they are asked for, where files are read one after the other.
const FOLLOWING_COUNT: u32 = 2;
/// Blocks that may be left out between two that are read one after the other.
const GAP_COUNT_MAX: u32 = 4;
