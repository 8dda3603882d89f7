//! Lists the chunks of files into windows.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::tree::FileEntry;
use crate::localfs::apply::existing::ExistingFile;
use crate::localfs::apply::path::TargetPath;
use crate::ops::error::OpError;
use crate::ops::restore::after::Meta;
use crate::ops::restore::compare::Part;
use crate::ops::restore::compare::all_in;
use crate::ops::restore::execute::Executor;
use crate::ops::restore::execute::FailedFile;
use crate::ops::restore::execute::FileError;
use crate::ops::restore::tally::Action;
use crate::ops::restore::tree::TreeRestore;
use crate::ops::restore::window::ChunkTask;
use crate::ops::restore::window::FileTask;
use crate::ops::restore::window::Shape;
use crate::ops::restore::window::is_large;
use crate::ops::restore::window::shape_of;
use crate::ops::restore::window::wrong_size;
use crate::repo::error::RepoError;
use crate::repo::tree::content::visit_extents;
use crate::units::to_u64;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

impl TreeRestore<'_> {
    pub(super) fn executor(&self) -> Executor<'_> {
        Executor {
            reader: self.reader,
            target: &self.target,
            progress: self.progress,
            way: self.way,
            tally: &self.tally,
            forecast: &self.forecast,
        }
    }

    pub(super) fn file(
        &mut self,
        directory: Arc<TargetPath>,
        name: Vec<u8>,
        meta: Meta,
        file: &FileEntry,
    ) -> Result<(), OpError> {
        let inline = match &file.content {
            Content::Inline(extents) => Some(extents.as_slice()),
            Content::List { .. } => None,
        };
        let mut shape = shape_of(inline);
        if file.sparse && shape != Shape::Whole {
            shape = Shape::Sparse;
        }
        let Meta { metadata, owner } = meta;
        let task = Arc::new(FileTask {
            directory,
            name,
            size: file.size,
            metadata,
            owner,
            shape,
            remaining: AtomicU64::new(1),
            pending: Mutex::default(),
            failed: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            action: OnceLock::new(),
            base: OnceLock::new(),
        });
        let extents = match &file.content {
            Content::Inline(extents) => to_u64(extents.len()),
            Content::List { extents, .. } => *extents,
        };
        if is_large(file.size, extents) {
            if self.settle_large(file, &task)? {
                return Ok(());
            }
        } else if !self.window.has_room(file.size, extents) {
            self.flush_files()?;
        }
        self.window.begin();
        let listed = self.list_chunks(file, &task)?;
        if let Err(error) = listed {
            task.failed.store(true, Ordering::Relaxed);
            let (path, size) = (task.path(), task.size);
            return self.failed(vec![FailedFile { path, size, error: FileError::Repo(error) }]);
        }
        self.window.open_count += usize::from(shape != Shape::Whole);
        self.window.end(task);
        if self.window.is_full() { self.flush() } else { Ok(()) }
    }

    /// Adds a file's chunks to the window. A file with more chunks than a window holds is restored
    /// in several; it is open meanwhile.
    fn list_chunks(
        &mut self,
        file: &FileEntry,
        task: &Arc<FileTask>,
    ) -> Result<Result<(), RepoError>, OpError> {
        let reader = self.reader;
        let mut offset = 0_u64;
        let visited = visit_extents(reader, &file.content, &mut |extent| {
            let length = extent.length();
            let at = offset;
            offset = offset.saturating_add(length);
            if offset > file.size {
                return Err(ListError::WrongLength);
            }
            let Extent::Chunk { id, .. } = extent else { return Ok(()) };
            let place = reader.index.find(&id).ok_or(RepoError::UnknownChunk { chunk: id })?;
            if u64::from(place.length) != length {
                return Err(ListError::WrongLength);
            }
            task.remaining.fetch_add(1, Ordering::Relaxed);
            let file = Arc::clone(task);
            self.window.chunks.push(ChunkTask { place, id, file, offset: at });
            self.window.bytes += length;
            if self.window.is_full() {
                self.flush_files().map_err(ListError::Op)?;
            }
            Ok(())
        });
        match visited {
            Ok(()) if offset == file.size => Ok(Ok(())),
            Ok(()) | Err(ListError::WrongLength | ListError::Different) => {
                Ok(Err(wrong_size(&file.content)))
            }
            Err(ListError::Repo(error)) => Ok(Err(error)),
            Err(ListError::Op(error)) => Err(error),
        }
    }

    /// Compares a file that is too large for a window before its chunks are listed; says whether
    /// nothing is to be written.
    fn settle_large(&mut self, file: &FileEntry, task: &Arc<FileTask>) -> Result<bool, OpError> {
        let found = match self.executor().find_existing(task) {
            Ok(found) => found,
            Err(error) => {
                task.failed.store(true, Ordering::Relaxed);
                let (path, size) = (task.path(), task.size);
                let error = FileError::Local(error);
                return self.failed(vec![FailedFile { path, size, error }]).map(|()| true);
            }
        };
        if task.is_settled.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let Some(existing) = found else {
            task.base.set(None).ok();
            return Ok(false);
        };
        if existing.stat.size == file.size && self.is_whole(file, &existing)? {
            match self.executor().stay(task, &existing) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => return self.refused(error).map(|()| true),
            }
        }
        task.decide(Action::Change);
        self.executor().tally_if_dry(task);
        task.base.set(Some(existing)).ok();
        Ok(false)
    }

    /// Whether an existing file has all of a content; it is read up to the first difference.
    fn is_whole(&self, file: &FileEntry, existing: &ExistingFile) -> Result<bool, OpError> {
        let mut parts = Vec::new();
        let (mut offset, mut bytes) = (0_u64, 0_u64);
        let compare = |parts: &mut Vec<Part>| {
            let part = std::mem::take(parts);
            if self.progress.is_cancelled() {
                return Err(ListError::Op(OpError::Interrupted));
            }
            let equal = self.pool.install(|| all_in(self.reader, existing, &part));
            if equal { Ok(()) } else { Err(ListError::Different) }
        };
        let visited = visit_extents(self.reader, &file.content, &mut |extent| {
            let length = extent.length();
            let chunk = match extent {
                Extent::Chunk { id, .. } => Some(id),
                Extent::Hole { .. } => None,
            };
            parts.push(Part { offset, length, chunk });
            offset = offset.saturating_add(length);
            bytes += if chunk.is_some() { length } else { 0 };
            if parts.len() >= PARTS_COUNT_MAX || bytes >= PARTS_BYTES_MAX {
                bytes = 0;
                compare(&mut parts)?;
            }
            Ok(())
        });
        match visited.and_then(|()| compare(&mut parts)) {
            Ok(()) => Ok(offset == file.size),
            // What is damaged is told when it is to be written.
            Err(ListError::Different | ListError::WrongLength | ListError::Repo(_)) => Ok(false),
            Err(ListError::Op(error)) => Err(error),
        }
    }
}

enum ListError {
    Repo(RepoError),
    Op(OpError),
    WrongLength,
    Different,
}

impl From<RepoError> for ListError {
    fn from(error: RepoError) -> Self {
        Self::Repo(error)
    }
}

/// Parts of a large file that are compared together.
const PARTS_COUNT_MAX: usize = 16_384;
const PARTS_BYTES_MAX: u64 = 256 * crate::units::MIB;
