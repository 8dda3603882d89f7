//! The content of one file in order, read ahead of whoever takes it: several blocks at a time.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::ops::error::OpError;
use crate::ops::restore::dump::damaged;
use crate::ops::restore::window::wrong_size;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::index::ChunkPlace;
use crate::repo::read::ChunkReader;
use crate::repo::read::OpenBlock;
use crate::repo::tree::content::visit_extents;
use crate::units::to_u64;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;

/// The next piece of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece<'a> {
    /// A verified chunk.
    Bytes(&'a [u8]),
    /// As many zeros.
    Hole(u64),
}

/// Extents, and the blocks that their chunks lie in as far as those could be opened.
#[derive(Default)]
struct Batch {
    extents: Vec<(Extent, Option<ChunkPlace>)>,
    /// Their bytes.
    bytes: u64,
    /// Plaintext of the blocks.
    block_bytes: u64,
    /// The blocks to be opened, and how much of each is not wanted here.
    wanted: BTreeMap<BlockHandle, u64>,
    blocks: HashMap<BlockHandle, OpenBlock>,
}

/// Calls `take` with every piece of a content, while the next ones are read.
///
/// Errors: of `take`; the chunk that cannot be read, or an extent that goes beyond `size`, after
/// everything before it was taken.
pub(crate) fn read_ahead(
    reader: &ChunkReader,
    content: &Content,
    size: u64,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let threads = reader.reading_threads(threads);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|_error| OpError::from(RepoError::WorkerLost))?;
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        let ahead = scope.spawn(move || send_batches(reader, content, size, &pool, &sender));
        for batch in &receiver {
            batch.give_to(reader, take)?;
        }
        // Ended here at the latest: if `take` failed, its channel is closed.
        ahead.join().unwrap_or_else(|_panic| Err(RepoError::WorkerLost.into()))
    })
}

/// Reads batches and sends them until the end or until nobody takes them.
fn send_batches(
    reader: &ChunkReader,
    content: &Content,
    size: u64,
    pool: &ThreadPool,
    sender: &SyncSender<Batch>,
) -> Result<(), OpError> {
    let is_remote = reader.repository.is_remote();
    let bytes_max = if is_remote { REMOTE_BATCH_BYTES } else { BATCH_BYTES };
    let mut batch = Batch::default();
    let mut seen = 0_u64;
    let send = |batch: &mut Batch| {
        let mut full = std::mem::take(batch);
        pool.install(|| full.open_blocks(reader));
        sender.send(full).map_err(|_closed| OpError::Interrupted)
    };
    let visited = visit_extents(reader, content, &mut |extent| {
        if extent.length() > size - seen {
            // A forged list may go on for longer than anybody can wait.
            return Err(damaged(wrong_size(content)));
        }
        seen += extent.length();
        batch.add(reader, extent);
        if batch.is_full(bytes_max) { send(&mut batch) } else { Ok(()) }
    });
    // What is before a fault is taken before it is told.
    send(&mut batch)?;
    visited
}

impl Batch {
    fn add(&mut self, reader: &ChunkReader, extent: Extent) {
        let place = match &extent {
            Extent::Chunk { id, .. } => reader.index.find(id),
            Extent::Hole { .. } => None,
        };
        if let Some(place) = place {
            self.bytes += u64::from(place.length);
            let rest = self.wanted.entry(place.block).or_insert_with(|| {
                let block = reader.index.block(place.block);
                let bytes = block.map_or(0, |(_run, block)| u64::from(block.raw_length));
                self.block_bytes += bytes;
                bytes
            });
            *rest = rest.saturating_sub(u64::from(place.length));
        }
        self.extents.push((extent, place));
    }

    fn is_full(&self, bytes_max: u64) -> bool {
        self.bytes >= bytes_max
            || self.block_bytes >= bytes_max * BLOCK_BYTES_FACTOR
            || self.extents.len() >= BATCH_EXTENTS_COUNT
    }

    fn open_blocks(&mut self, reader: &ChunkReader) {
        let mut wanted = std::mem::take(&mut self.wanted);
        let kept = wanted.keys().filter_map(|&block| Some((block, reader.kept_block(block)?)));
        self.blocks = kept.collect();
        wanted.retain(|block, _rest| !self.blocks.contains_key(block));
        let handles: Vec<BlockHandle> = wanted.keys().copied().collect();
        let joined = reader.join(&handles);
        let opened = joined.par_iter().flat_map_iter(|joined| {
            let fetched = reader.fetch_joined(joined);
            let blocks = handles.get(joined.blocks.clone()).unwrap_or_default();
            let wanted = &wanted;
            let open = move |&block: &BlockHandle| {
                let open = reader.open_fetched(block, fetched.as_ref()).ok()?;
                if wanted.get(&block).is_some_and(|rest| *rest > 0) {
                    // What comes next has chunks of it, too.
                    reader.keep_block(block, &open);
                }
                Some((block, open))
            };
            blocks.iter().filter_map(open)
        });
        let opened: Vec<_> = opened.collect();
        self.blocks.extend(opened);
    }

    fn give_to(
        &self,
        reader: &ChunkReader,
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        for (extent, place) in &self.extents {
            match extent {
                Extent::Hole { length } => take(Piece::Hole(*length))?,
                Extent::Chunk { id, .. } => {
                    if let Some(bytes) = self.chunk(reader, id, *place) {
                        check_length(id, bytes, extent)?;
                        take(Piece::Bytes(bytes))?;
                        continue;
                    }
                    // Damaged there, or its place is no longer valid: any copy will do.
                    let bytes = reader.read(PackKind::Data, id).map_err(damaged)?;
                    check_length(id, &bytes, extent)?;
                    take(Piece::Bytes(&bytes))?;
                }
            }
        }
        Ok(())
    }

    fn chunk(
        &self,
        reader: &ChunkReader,
        id: &ChunkId,
        place: Option<ChunkPlace>,
    ) -> Option<&[u8]> {
        let place = place?;
        let block = self.blocks.get(&place.block)?;
        reader.chunk_of(PackKind::Data, id, place, block).ok()
    }
}

/// Checks that a chunk is as long as its extent says.
pub(crate) fn check_length(id: &ChunkId, bytes: &[u8], extent: &Extent) -> Result<(), OpError> {
    if to_u64(bytes.len()) == extent.length() {
        return Ok(());
    }
    Err(damaged(RepoError::UnknownChunk { chunk: *id }))
}

/// Plaintext that a batch gives: a few blocks for each processor.
const BATCH_BYTES: u64 = 8 * crate::units::MIB;
/// The same over a network: a few requests at once.
const REMOTE_BATCH_BYTES: u64 = 48 * crate::units::MIB;
/// How much more its blocks may hold.
const BLOCK_BYTES_FACTOR: u64 = 3;
const BATCH_EXTENTS_COUNT: usize = 16_384;
/// Batches that wait while one is taken.
const BATCHES_AHEAD: usize = 1;
