//! A bounded number of files that are restored together.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::id::ChunkId;
use crate::localfs::apply::EntryMetadata;
use crate::localfs::apply::existing::ExistingFile;
use crate::localfs::apply::file::PendingFile;
use crate::localfs::apply::path::TargetPath;
use crate::ops::restore::tally::Action;
use crate::repo::error::RepoError;
use crate::repo::index::ChunkPlace;
use crate::units::to_u64;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;

/// Files whose chunks are to be fetched, and the chunks.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) files: Vec<Arc<FileTask>>,
    /// The chunks of each of the files, in the order of the files.
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) chunks: Vec<ChunkTask>,
    /// Files of more than one chunk: each may be open at the same time as the others.
    pub(crate) open_count: usize,
    pub(crate) bytes: u64,
    /// Where the chunks of the file that is being listed begin.
    begin: usize,
}

/// A file to restore.
#[derive(Debug)]
pub(crate) struct FileTask {
    pub(crate) directory: Arc<TargetPath>,
    pub(crate) name: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) metadata: Metadata,
    pub(crate) owner: Owner,
    pub(crate) shape: Shape,
    /// Chunks that are still to be written, and one more while the list is being read.
    pub(crate) remaining: AtomicU64,
    pub(crate) pending: Mutex<Option<Arc<PendingFile>>>,
    pub(crate) failed: AtomicBool,
    /// Whether the file is settled without being written.
    pub(crate) is_settled: AtomicBool,
    /// What happens to it.
    pub(crate) action: OnceLock<Action>,
    /// Of a file that is compared before its chunks are listed: what was there, if it may give some.
    pub(crate) base: OnceLock<Option<ExistingFile>>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// At once: no chunk, or one that is all of it.
    Whole,
    /// Chunk by chunk.
    Pieces,
    /// Chunk by chunk, with holes between.
    Sparse,
}

/// A chunk to write into a file.
#[derive(Debug)]
pub(crate) struct ChunkTask {
    pub(crate) place: ChunkPlace,
    pub(crate) id: ChunkId,
    pub(crate) file: Arc<FileTask>,
    /// Where in the file.
    pub(crate) offset: u64,
}

impl FileTask {
    /// What the file gets beside its content.
    pub(crate) fn wanted(&self) -> EntryMetadata<'_> {
        EntryMetadata { metadata: &self.metadata, owner: &self.owner }
    }

    /// Says what happens to the file; what was said first counts.
    pub(crate) fn decide(&self, action: Action) {
        self.action.set(action).ok();
    }

    /// The file's path below the target.
    pub(crate) fn path(&self) -> Vec<u8> {
        let directory = self.directory.as_bytes();
        if directory.is_empty() {
            return self.name.clone();
        }
        [directory, b"/", &self.name].concat()
    }
}

impl Window {
    /// The chunks that are added next belong to one file.
    pub(crate) fn begin(&mut self) {
        self.begin = self.chunks.len();
    }

    /// Adds the file whose chunks were added.
    pub(crate) fn end(&mut self, file: Arc<FileTask>) {
        self.files.push(file);
        self.ranges.push(self.begin..self.chunks.len());
    }

    /// Whether a file fits beside what is there, so that all its chunks are in one window.
    pub(crate) fn has_room(&self, bytes: u64, extents: u64) -> bool {
        self.bytes.saturating_add(bytes) < BYTES_MAX
            && to_u64(self.chunks.len()).saturating_add(extents) < to_u64(CHUNKS_COUNT_MAX)
    }

    /// Whether the window is to be restored before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.files.len() >= FILES_COUNT_MAX
            || self.chunks.len() >= CHUNKS_COUNT_MAX
            || self.open_count >= OPEN_COUNT_MAX
            || self.bytes >= BYTES_MAX
    }
}

/// Whether a file has more chunks than one window takes.
pub(crate) fn is_large(bytes: u64, extents: u64) -> bool {
    !Window::default().has_room(bytes, extents)
}

/// How a content of these extents is written.
pub(crate) fn shape_of(extents: Option<&[Extent]>) -> Shape {
    match extents {
        Some([] | [Extent::Chunk { .. }]) => Shape::Whole,
        Some(extents) if extents.iter().all(|extent| matches!(extent, Extent::Chunk { .. })) => {
            Shape::Pieces
        }
        // A list may have holes, whatever the entry says of itself.
        Some(_) | None => Shape::Sparse,
    }
}

/// The extents of a file are not as long as the file.
pub(crate) fn wrong_size(content: &Content) -> RepoError {
    let chunk = match content {
        Content::List { node, .. } => *node,
        Content::Inline(_) => ChunkId::new([0; 32]),
    };
    RepoError::TreeNode { chunk, source: FormatError::new("content", Rule::ContentSize, 0) }
}

const FILES_COUNT_MAX: usize = 16_384;
const CHUNKS_COUNT_MAX: usize = 65_536;
/// Below the usual limit of 1024 descriptors, with the directories' 256.
const OPEN_COUNT_MAX: usize = 300;
const BYTES_MAX: u64 = crate::units::GIB;
