//! Files that are in the target already: kept, touched, or taken over chunk by chunk into new ones.
//! Nothing is written but bytes that were compared with a chunk's name in memory.

use crate::localfs::LocalError;
use crate::localfs::apply::existing::ExistingFile;
use crate::localfs::apply::existing::Fit;
use crate::ops::restore::Overwrite;
use crate::ops::restore::compare::Part;
use crate::ops::restore::compare::all_in;
use crate::ops::restore::compare::gaps;
use crate::ops::restore::compare::with_chunk;
use crate::ops::restore::execute::Executor;
use crate::ops::restore::execute::FailedFile;
use crate::ops::restore::execute::FileError;
use crate::ops::restore::execute::fail;
use crate::ops::restore::tally::Action;
use crate::ops::restore::way::Stands;
use crate::ops::restore::window::ChunkTask;
use crate::ops::restore::window::FileTask;
use crate::ops::restore::window::Window;
use rayon::iter::IndexedParallelIterator as _;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

impl Executor<'_> {
    /// Looks which chunks of a window the target has; writes those of files that are made anew.
    ///
    /// Returns for each chunk whether it needs not be fetched.
    pub(crate) fn compare(&self, window: &Window, failed: &Mutex<Vec<FailedFile>>) -> Vec<bool> {
        let at_hand: Vec<AtomicBool> =
            window.chunks.iter().map(|_chunk| AtomicBool::new(false)).collect();
        window.files.par_iter().zip(&window.ranges).for_each(|(file, range)| {
            if self.progress.is_cancelled() || file.failed.load(Ordering::Relaxed) {
                return;
            }
            let chunks = window.chunks.get(range.clone()).unwrap_or_default();
            let at_hand = at_hand.get(range.clone()).unwrap_or_default();
            let settled = if file.base.get().is_some() {
                self.salvage_all(chunks, at_hand)
            } else {
                self.settle_existing(file, chunks, at_hand)
            };
            if let Err(error) = settled {
                fail(file, error, failed);
            }
        });
        // Those of a file whose list goes on in the next window.
        let rest = window.ranges.last().map_or(0, |range| range.end);
        let chunks = window.chunks.get(rest..).unwrap_or_default();
        chunks.par_iter().zip(at_hand.get(rest..).unwrap_or_default()).for_each(|(task, flag)| {
            let one = std::slice::from_ref(task);
            if let Err(error) = self.salvage_all(one, std::slice::from_ref(flag)) {
                fail(&task.file, error, failed);
            }
        });
        at_hand.into_iter().map(AtomicBool::into_inner).collect()
    }

    /// Decides on a file all of whose chunks are in this window.
    fn settle_existing(
        &self,
        file: &FileTask,
        chunks: &[ChunkTask],
        at_hand: &[AtomicBool],
    ) -> Result<(), FileError> {
        let Some(existing) = self.find_existing(file).map_err(FileError::Local)? else {
            if file.is_settled.load(Ordering::Relaxed) {
                all_at_hand(at_hand);
            }
            return Ok(());
        };
        let equal: Vec<bool> = chunks
            .par_iter()
            .map(|task| Part::of_task(task).is_in(self.reader, &existing))
            .collect();
        let all = existing.stat.size == file.size
            && equal.iter().all(|equal| *equal)
            && all_in(self.reader, &existing, &gaps(chunks, file.size));
        if all && self.stay(file, &existing).map_err(FileError::Local)? {
            all_at_hand(at_hand);
            return Ok(());
        }
        file.decide(Action::Change);
        self.tally_if_dry(file);
        for ((task, flag), _) in chunks.iter().zip(at_hand).zip(equal).filter(|(_, equal)| *equal) {
            self.salvage(task, &existing, flag)?;
        }
        Ok(())
    }

    /// Opens what stands where a file is to be, if it is to be compared; decides on the file if not.
    pub(crate) fn find_existing(
        &self,
        file: &FileTask,
    ) -> Result<Option<ExistingFile>, LocalError> {
        match self.way.stands(self.target, &file.directory, &file.name)? {
            Stands::Nothing => file.decide(Action::Create),
            Stands::Kept => {
                file.is_settled.store(true, Ordering::Relaxed);
                self.tally.add(&file.path(), Action::Keep, file.size);
                self.progress.advance(1, file.size);
                return Ok(None);
            }
            Stands::Entry(directory, _stat) => {
                if self.way.overwrite == Overwrite::IfChanged
                    && let Some(existing) = directory.open_existing(&file.name)
                {
                    if self.way.from_disk {
                        existing.drop_cache();
                    }
                    return Ok(Some(existing));
                }
                file.decide(Action::Change);
            }
        }
        self.tally_if_dry(file);
        Ok(None)
    }

    /// Keeps a file whose content is right; says if it cannot be kept for what else it has.
    pub(crate) fn stay(
        &self,
        file: &FileTask,
        existing: &ExistingFile,
    ) -> Result<bool, LocalError> {
        let action = match self.target.fit(existing, file.wanted()) {
            Fit::Replace => return Ok(false),
            Fit::Right => Action::Unchanged,
            Fit::Touch => Action::Metadata,
        };
        if !self.way.is_dry {
            // Also one that is right: what cannot be set is told of each restore.
            let directory = self.target.make_directory(&file.directory)?;
            self.target.refresh((&directory, &file.name), existing, file.wanted());
        }
        file.is_settled.store(true, Ordering::Relaxed);
        self.tally.add(&file.path(), action, file.size);
        self.progress.advance(1, file.size);
        Ok(true)
    }

    /// Counts a file that would be written; one that is written counts when it is finished.
    pub(crate) fn tally_if_dry(&self, file: &FileTask) {
        if self.way.is_dry
            && let Some(action) = file.action.get()
        {
            self.tally.add(&file.path(), *action, file.size);
        }
    }

    fn salvage_all(&self, chunks: &[ChunkTask], at_hand: &[AtomicBool]) -> Result<(), FileError> {
        chunks.par_iter().zip(at_hand).try_for_each(|(task, flag)| match task.file.base.get() {
            Some(Some(base)) if !self.progress.is_cancelled() => self.salvage(task, base, flag),
            Some(Some(_) | None) | None => Ok(()),
        })
    }

    /// Takes a chunk from the file that is to be replaced, if it is there.
    ///
    /// What is written is what was compared: the file may change meanwhile.
    fn salvage(
        &self,
        task: &ChunkTask,
        existing: &ExistingFile,
        at_hand: &AtomicBool,
    ) -> Result<(), FileError> {
        let length = u64::from(task.place.length);
        if task.offset.saturating_add(length) > existing.stat.size {
            return Ok(());
        }
        let take = |bytes: &[u8]| if self.way.is_dry { Ok(()) } else { self.write(task, bytes) };
        let taken = with_chunk(self.reader, existing, (task.offset, length), &task.id, take);
        let Some(taken) = taken else { return Ok(()) };
        taken?;
        at_hand.store(true, Ordering::Relaxed);
        self.tally.reused(length);
        self.progress.advance(0, length);
        Ok(())
    }
}

fn all_at_hand(at_hand: &[AtomicBool]) {
    for flag in at_hand {
        flag.store(true, Ordering::Relaxed);
    }
}
