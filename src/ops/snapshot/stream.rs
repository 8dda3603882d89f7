//! One long content: read and cut on this thread, named and stored by the workers.

use crate::chunk::Chunker;
use crate::format::content::Extent;
use crate::format::pack::PackKind;
use crate::format::tree::FileEntry;
use crate::id::ChunkId;
use crate::ops::progress::Progress;
use crate::ops::snapshot::pace::Pace;
use crate::ops::snapshot::read::ReadError;
use crate::ops::snapshot::read::Sink;
use crate::ops::snapshot::workers::ChunkRun;
use crate::ops::snapshot::workers::Done;
use crate::ops::snapshot::workers::Job;
use crate::ops::snapshot::workers::Workers;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::tree::content::ContentBuilder;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use crate::units::to_u32;
use crate::units::to_u64;
use crossbeam_channel::Receiver;
use std::collections::VecDeque;

/// A content on its way through the workers.
pub(crate) struct LongContent<'a, 'scope> {
    workers: &'a Workers<'scope>,
    progress: &'a dyn Progress,
    pace: &'a Pace<'a>,
    tree: ChunkWriter<'a>,
    builder: ContentBuilder,
    digest: ContentDigest,
    bytes: Vec<u8>,
    lengths: Vec<u32>,
    waiting: VecDeque<Waiting>,
    sparse: bool,
}

enum Waiting {
    Names(Receiver<Result<Vec<(ChunkId, u32)>, RepoError>>),
    Hole(u64),
}

impl<'a, 'scope> LongContent<'a, 'scope> {
    /// Begins a content.
    pub(crate) fn new(
        workers: &'a Workers<'scope>,
        store: &'a ChunkStore,
        progress: &'a dyn Progress,
        pace: &'a Pace<'a>,
    ) -> Result<Self, RepoError> {
        Ok(Self {
            workers,
            progress,
            pace,
            tree: store.writer(PackKind::Tree)?,
            builder: ContentBuilder::default(),
            digest: ContentDigest::default(),
            bytes: Vec::new(),
            lengths: Vec::new(),
            waiting: VecDeque::new(),
            sparse: false,
        })
    }

    /// Reads everything that `read` gives.
    pub(crate) fn take_all(
        &mut self,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize, ReadError>,
        chunker: &Chunker,
    ) -> Result<(), ReadError> {
        let mut buffer = Vec::new();
        crate::ops::snapshot::read::cut_stream(read, chunker, &mut buffer, &mut |bytes| {
            self.chunk(bytes)
        })
    }

    /// The content, once every chunk has a name; the second value says whether it is one extent.
    pub(crate) fn finish(mut self) -> Result<FileEntry, RepoError> {
        self.send()?;
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

    fn send(&mut self) -> Result<(), RepoError> {
        if self.lengths.is_empty() {
            return Ok(());
        }
        let (reply, names) = crossbeam_channel::bounded(1);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(RUN_BYTES));
        let lengths = std::mem::take(&mut self.lengths);
        let job = Job::Run(ChunkRun { bytes, lengths, reply });
        if self.workers.jobs.send(job).is_err() {
            return Err(self.failure());
        }
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

    fn pause(&mut self) -> Result<(), RepoError> {
        while let Some(next) = self.waiting.pop_front() {
            self.settle(next)?;
        }
        self.tree.flush()?;
        self.pace.checkpoint(self.workers)
    }

    fn settle(&mut self, next: Waiting) -> Result<(), RepoError> {
        match next {
            Waiting::Hole(length) => self.builder.push(&mut self.tree, Extent::Hole { length }),
            Waiting::Names(names) => {
                let names = names.recv().map_err(|_closed| self.failure())??;
                for (id, length) in names {
                    self.builder.push(&mut self.tree, Extent::Chunk { id, length })?;
                }
                Ok(())
            }
        }
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
    fn chunk(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        if self.progress.is_cancelled() {
            return Err(RepoError::Interrupted.into());
        }
        self.progress.advance(0, to_u64(bytes.len()));
        self.digest.update(bytes);
        self.bytes.extend_from_slice(bytes);
        self.lengths.push(to_u32(bytes.len()));
        if self.bytes.len() >= RUN_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn hole(&mut self, length: u64) -> Result<(), ReadError> {
        self.send()?;
        self.sparse = true;
        self.waiting.push_back(Waiting::Hole(length));
        Ok(())
    }
}

/// Bytes that a worker gets at once.
const RUN_BYTES: usize = 1_048_576;
const RUNS_PER_WORKER: usize = 3;
