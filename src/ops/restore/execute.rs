//! Restores a window: every block is opened once, on some thread, and what lies in it is written.

use crate::format::pack::PackKind;
use crate::localfs::LocalError;
use crate::localfs::apply::Target;
use crate::localfs::apply::file::Placed;
use crate::ops::progress::Progress;
use crate::ops::restore::forecast::Forecast;
use crate::ops::restore::tally::Action;
use crate::ops::restore::tally::Tally;
use crate::ops::restore::way::Way;
use crate::ops::restore::window::ChunkTask;
use crate::ops::restore::window::FileTask;
use crate::ops::restore::window::Shape;
use crate::ops::restore::window::Window;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::joined::Fetched;
use crate::repo::read::ChunkReader;
use crate::repo::read::OpenBlock;
use crate::units::to_usize32;
use rayon::iter::IntoParallelIterator as _;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Why a file was not restored.
#[derive(Debug)]
pub(crate) enum FileError {
    /// The repository.
    Repo(RepoError),
    /// The target.
    Local(LocalError),
}

/// A file that was not restored.
#[derive(Debug)]
pub(crate) struct FailedFile {
    pub(crate) path: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) error: FileError,
}

/// What restoring needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Executor<'a> {
    pub(crate) reader: &'a ChunkReader,
    pub(crate) target: &'a Arc<Target>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) way: Way,
    pub(crate) tally: &'a Tally,
    pub(crate) forecast: &'a Forecast,
}

impl Executor<'_> {
    /// Restores the files of a window; returns those that failed.
    pub(crate) fn run(&self, window: Window) -> Vec<FailedFile> {
        let failed = Mutex::new(Vec::new());
        let at_hand = self.compare(&window, &failed);
        let Window { files, chunks, .. } = window;
        let missing = chunks.into_iter().zip(at_hand).filter(|(_, at_hand)| !at_hand);
        let mut chunks: Vec<ChunkTask> = missing.map(|(task, _)| task).collect();
        chunks.sort_unstable_by_key(|task| (task.place.block, task.place.offset));
        let groups: Vec<&[ChunkTask]> =
            chunks.chunk_by(|left, right| left.place.block == right.place.block).collect();
        let blocks: Vec<BlockHandle> =
            groups.iter().filter_map(|group| Some(group.first()?.place.block)).collect();
        if self.way.is_dry {
            self.forecast.add(self.reader, &chunks, &blocks);
            return failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        self.reader.join(&blocks).par_iter().for_each(|joined| {
            if self.progress.is_cancelled() {
                return;
            }
            let fetched = self.reader.fetch_joined(joined);
            for group in groups.get(joined.blocks.clone()).unwrap_or_default() {
                self.run_block(group, fetched.as_ref(), &failed);
            }
        });
        // Nothing holds these but their own entry: no chunk is missing, or there never was one.
        files.into_par_iter().for_each(|file| self.settle(&file, &failed));
        failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_block(
        &self,
        group: &[ChunkTask],
        fetched: Option<&Fetched>,
        failed: &Mutex<Vec<FailedFile>>,
    ) {
        let Some(first) = group.first() else { return };
        let block = self.open(first.place.block, fetched);
        for task in group {
            if task.file.failed.load(Ordering::Relaxed) {
                continue;
            }
            let written = match &block {
                Some(block) => self.write_from(task, block),
                None => self.write_from_any_copy(task),
            };
            match written {
                Ok(()) => self.progress.advance(0, u64::from(task.place.length)),
                Err(error) => fail(&task.file, error, failed),
            }
        }
    }

    /// The block, or `None` if it is damaged: then each chunk is looked for elsewhere.
    fn open(&self, block: BlockHandle, fetched: Option<&Fetched>) -> Option<OpenBlock> {
        self.reader.open_fetched(block, fetched).ok()
    }

    fn write_from(&self, task: &ChunkTask, block: &OpenBlock) -> Result<(), FileError> {
        match self.reader.chunk_of(PackKind::Data, &task.id, task.place, block) {
            Ok(bytes) => self.write(task, bytes),
            Err(_damaged) => self.write_from_any_copy(task),
        }
    }

    fn write_from_any_copy(&self, task: &ChunkTask) -> Result<(), FileError> {
        let bytes = self.reader.read(PackKind::Data, &task.id).map_err(FileError::Repo)?;
        self.write(task, &bytes)
    }

    pub(crate) fn write(&self, task: &ChunkTask, bytes: &[u8]) -> Result<(), FileError> {
        let file = &task.file;
        if bytes.len() != to_usize32(task.place.length) {
            // The name is right, so that the tree lies about the length: no byte may go where
            // another chunk belongs.
            return Err(FileError::Repo(RepoError::UnknownChunk { chunk: task.id }));
        }
        if file.shape == Shape::Whole {
            let directory =
                self.target.make_directory(&file.directory).map_err(FileError::Local)?;
            let placed = self
                .target
                .put_file((&directory, &file.name), bytes, file.wanted())
                .map_err(FileError::Local)?;
            self.done(file, placed);
            file.remaining.store(DONE, Ordering::Release);
            return Ok(());
        }
        let pending = self.pending(file).map_err(FileError::Local)?;
        pending.write_at(task.offset, bytes).map_err(FileError::Local)?;
        drop(pending);
        file.remaining.fetch_sub(1, Ordering::AcqRel);
        self.finish_if_complete(file).map_err(FileError::Local)
    }

    /// Finishes a file whose chunks were written or that has none.
    fn settle(&self, file: &Arc<FileTask>, failed: &Mutex<Vec<FailedFile>>) {
        if file.failed.load(Ordering::Relaxed) || file.is_settled.load(Ordering::Relaxed) {
            return;
        }
        let settled = if file.shape == Shape::Whole {
            self.settle_whole(file)
        } else {
            file.remaining.fetch_sub(1, Ordering::AcqRel);
            self.finish_if_complete(file)
        };
        if let Err(error) = settled {
            fail(file, FileError::Local(error), failed);
        }
    }

    fn settle_whole(&self, file: &FileTask) -> Result<(), LocalError> {
        if file.size > 0 || file.remaining.load(Ordering::Acquire) == DONE {
            return Ok(());
        }
        let directory = self.target.make_directory(&file.directory)?;
        let placed = self.target.put_file((&directory, &file.name), &[], file.wanted())?;
        self.done(file, placed);
        Ok(())
    }

    fn done(&self, file: &FileTask, placed: Placed) {
        let action = match placed {
            Placed::New => file.action.get().copied().unwrap_or(Action::Create),
            Placed::Kept => Action::Keep,
        };
        self.tally.add(&file.path(), action, file.size);
        self.progress.advance(1, 0);
    }

    fn pending(
        &self,
        file: &Arc<FileTask>,
    ) -> Result<Arc<crate::localfs::apply::file::PendingFile>, LocalError> {
        let mut pending = file.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = &*pending {
            return Ok(Arc::clone(pending));
        }
        let directory = self.target.make_directory(&file.directory)?;
        let made = Arc::new(self.target.create_file(&directory, &file.name)?);
        if file.shape == Shape::Sparse {
            made.set_length(file.size)?;
        }
        *pending = Some(Arc::clone(&made));
        Ok(made)
    }

    fn finish_if_complete(&self, file: &Arc<FileTask>) -> Result<(), LocalError> {
        if file.remaining.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let made = self.pending(file)?;
        drop(made);
        let pending = file.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last one to count down is alone with the file.
        if let Some(pending) = pending.and_then(Arc::into_inner) {
            let placed = pending.finish(file.wanted())?;
            self.done(file, placed);
        }
        Ok(())
    }
}

pub(crate) fn fail(file: &FileTask, error: FileError, failed: &Mutex<Vec<FailedFile>>) {
    if file.failed.swap(true, Ordering::Relaxed) {
        return;
    }
    // Dropping it unlinks it: a file is complete or not there.
    let pending = file.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(pending);
    let failure = FailedFile { path: file.path(), size: file.size, error };
    failed.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
}

/// A whole file that was put.
const DONE: u64 = u64::MAX;
