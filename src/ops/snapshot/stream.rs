//! One long content: read and cut on this thread, named and stored by the workers.

use crate::chunk::Chunker;
use crate::format::content::Extent;
use crate::format::pack::PackKind;
use crate::format::tree::FileEntry;
use crate::ops::progress::Progress;
use crate::ops::snapshot::delta::Before;
use crate::ops::snapshot::delta::predecessor::Predecessor;
use crate::ops::snapshot::delta::store::NamedChunk;
use crate::ops::snapshot::delta::store::StoreRun;
use crate::ops::snapshot::pace::Pace;
use crate::ops::snapshot::read::Cut;
use crate::ops::snapshot::read::ReadError;
use crate::ops::snapshot::read::Sink;
use crate::ops::snapshot::read::cut_stream;
use crate::ops::snapshot::workers::ChunkRun;
use crate::ops::snapshot::workers::Done;
use crate::ops::snapshot::workers::Job;
use crate::ops::snapshot::workers::NamedRun;
use crate::ops::snapshot::workers::Workers;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::kept_dump::newer::NewKeptDump;
use crate::repo::tree::content::ContentBuilder;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use crate::units::to_u64;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use std::collections::VecDeque;
use std::sync::Arc;

/// A content on its way through the workers.
pub(crate) struct LongContent<'a, 'scope> {
    workers: &'a Workers<'scope>,
    progress: &'a dyn Progress,
    pace: &'a Pace<'a>,
    tree: ChunkWriter<'a>,
    builder: ContentBuilder,
    digest: ContentDigest,
    /// Buffers that workers gave back.
    spare: Vec<Vec<u8>>,
    waiting: VecDeque<Waiting>,
    sparse: bool,
    predecessor: Option<Predecessor<'a>>,
    /// What this host keeps of it.
    kept: Option<Arc<NewKeptDump>>,
    /// Buffers on their way back from workers that store what has a place in the predecessor.
    back: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

enum Waiting {
    Names(Receiver<NamedRun>),
    Hole(u64),
}

impl<'a, 'scope> LongContent<'a, 'scope> {
    /// Begins a content.
    pub(crate) fn new(
        workers: &'a Workers<'scope>,
        store: &'a ChunkStore,
        (progress, pace): (&'a dyn Progress, &'a Pace<'a>),
        before: Before<'a>,
    ) -> Result<Self, RepoError> {
        let Before { predecessor, kept } = before;
        Ok(Self {
            workers,
            progress,
            pace,
            tree: store.writer(PackKind::Tree)?,
            builder: ContentBuilder::default(),
            digest: ContentDigest::default(),
            spare: Vec::new(),
            waiting: VecDeque::new(),
            sparse: false,
            predecessor,
            kept,
            back: crossbeam_channel::unbounded(),
        })
    }

    /// Reads everything that `read` gives.
    pub(crate) fn take_all(
        &mut self,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize, ReadError>,
        chunker: &Chunker,
    ) -> Result<(), ReadError> {
        let mut buffer = Vec::new();
        cut_stream(read, chunker, &mut buffer, self)
    }

    /// The content, once every chunk has a name; the second value says whether it is one extent.
    pub(crate) fn finish(mut self) -> Result<FileEntry, RepoError> {
        while let Some(next) = self.waiting.pop_front() {
            self.settle(next)?;
        }
        let size = self.builder.bytes();
        let many = self.builder.extent_count() > 1;
        let content = self.builder.finish(&mut self.tree)?;
        self.tree.flush()?;
        let digest = many.then(|| self.digest.finish());
        Ok(FileEntry { size, content, digest, sparse: self.sparse })
    }

    fn send(&mut self, bytes: Vec<u8>, lengths: Vec<u32>) -> Result<(), RepoError> {
        let (reply, names) = crossbeam_channel::bounded(1);
        let is_stored = self.predecessor.is_none() && self.kept.is_none();
        self.give(Job::Run(ChunkRun { bytes, lengths, is_stored, reply }))?;
        self.waiting.push_back(Waiting::Names(names));
        if self.pace.is_due()? {
            self.pause()?;
        }
        while self.waiting.len() > self.workers.count() * RUNS_PER_WORKER {
            if let Some(next) = self.waiting.pop_front() {
                self.settle(next)?;
            }
        }
        Ok(())
    }

    fn give(&self, job: Job) -> Result<(), RepoError> {
        self.workers.jobs.send(job).map_err(|_closed| self.failure())
    }

    fn pause(&mut self) -> Result<(), RepoError> {
        while let Some(next) = self.waiting.pop_front() {
            self.settle(next)?;
        }
        self.tree.flush()?;
        self.workers.flush()?;
        self.pace.checkpoint()
    }

    fn settle(&mut self, next: Waiting) -> Result<(), RepoError> {
        match next {
            Waiting::Hole(length) => {
                if let Some(predecessor) = &mut self.predecessor {
                    predecessor.skip(length);
                }
                self.push(Extent::Hole { length })
            }
            Waiting::Names(names) => {
                let NamedRun { bytes, chunks } = names.recv().map_err(|_closed| self.failure())?;
                for &NamedChunk { id, length, .. } in &chunks {
                    self.push(Extent::Chunk { id, length })?;
                }
                self.spare.extend(self.back.1.try_iter());
                let groups = match &mut self.predecessor {
                    Some(predecessor) => predecessor.locate(&chunks),
                    None => Vec::new(),
                };
                let is_stored =
                    self.predecessor.is_none() || chunks.iter().all(|chunk| !chunk.is_new);
                if is_stored && self.kept.is_none() {
                    self.spare.push(bytes);
                    return Ok(());
                }
                let (kept, back) = (self.kept.clone(), self.back.0.clone());
                self.give(Job::Store(StoreRun { bytes, chunks, groups, kept, back }))
            }
        }
    }

    fn push(&mut self, extent: Extent) -> Result<(), RepoError> {
        if let Some(kept) = &self.kept {
            kept.push(extent);
        }
        self.builder.push(&mut self.tree, extent)
    }

    /// Why the workers ended.
    fn failure(&self) -> RepoError {
        let failed = self.workers.done.try_iter().find_map(|done| match done {
            Done::Failed(error) => Some(error),
            Done::File(..) => None,
        });
        failed.unwrap_or(RepoError::WorkerLost)
    }
}

impl Sink for LongContent<'_, '_> {
    fn chunks(&mut self, cut: Cut<'_>) -> Result<(), ReadError> {
        if self.progress.is_cancelled() {
            return Err(RepoError::Interrupted.into());
        }
        if cut.lengths.is_empty() {
            cut.move_rest_to_front();
            return Ok(());
        }
        let lengths = cut.lengths.to_vec();
        let bytes = cut.exchange(self.spare.pop().unwrap_or_default());
        self.progress.advance(0, to_u64(bytes.len()));
        self.digest.update(&bytes);
        Ok(self.send(bytes, lengths)?)
    }

    fn hole(&mut self, length: u64) -> Result<(), ReadError> {
        self.sparse = true;
        self.waiting.push_back(Waiting::Hole(length));
        Ok(())
    }
}

/// Enough to read on while every worker compresses a long block.
const RUNS_PER_WORKER: usize = 8;
