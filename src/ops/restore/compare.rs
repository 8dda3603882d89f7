//! Compares files of the target with chunks of the snapshot, by the chunks' names.

use crate::id::ChunkId;
use crate::localfs::apply::existing::ExistingFile;
use crate::ops::restore::window::ChunkTask;
use crate::repo::read::ChunkReader;
use crate::units::to_usize;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::cell::RefCell;

/// A part of a file as it should be: a chunk, or zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// None for zeros.
    pub(crate) chunk: Option<ChunkId>,
}

impl Part {
    pub(crate) fn of_task(task: &ChunkTask) -> Self {
        let length = u64::from(task.place.length);
        Self { offset: task.offset, length, chunk: Some(task.id) }
    }

    /// Whether the file has it.
    pub(crate) fn is_in(&self, reader: &ChunkReader, file: &ExistingFile) -> bool {
        let end = self.offset.saturating_add(self.length);
        if end > file.stat.size {
            return false;
        }
        match &self.chunk {
            None => file.is_zero(self.offset..end),
            Some(id) => {
                with_chunk(reader, file, (self.offset, self.length), id, |_bytes| ()).is_some()
            }
        }
    }
}

/// Reads a part of a file and, if it is this chunk, gives the bytes that were compared.
pub(crate) fn with_chunk<T>(
    reader: &ChunkReader,
    file: &ExistingFile,
    (offset, length): (u64, u64),
    id: &ChunkId,
    take: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    // Taken, not borrowed: whatever `take` does, it finds this free.
    let mut buffer = BUFFER.take();
    let length = to_usize(length);
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let part = buffer.get_mut(..length);
    let read = part.and_then(|part| file.read_at(offset, part).then_some(&*part));
    let taken = read.filter(|bytes| reader.is_chunk(id, bytes)).map(take);
    BUFFER.set(buffer);
    taken
}

/// The zeros between the chunks of a complete file, and behind them.
pub(crate) fn gaps(chunks: &[ChunkTask], size: u64) -> Vec<Part> {
    let mut found = Vec::new();
    let mut at = 0;
    let ends = chunks.iter().map(|task| (task.offset, u64::from(task.place.length)));
    for (offset, length) in ends.chain([(size, 0)]) {
        if offset > at {
            found.push(Part { offset: at, length: offset - at, chunk: None });
        }
        at = offset.saturating_add(length);
    }
    found
}

/// Whether a file has all of these parts. Runs on the threads of the pool that calls it.
pub(crate) fn all_in(reader: &ChunkReader, file: &ExistingFile, parts: &[Part]) -> bool {
    parts.par_iter().all(|part| part.is_in(reader, file))
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
