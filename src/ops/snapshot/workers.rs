//! Threads that read, cut, name, compress and seal; each does a whole batch alone, so that
//! nothing is handed from core to core but results.

use crate::chunk::Chunker;
use crate::format::pack::PackKind;
use crate::localfs::LocalError;
use crate::localfs::walk::WalkEntry;
use crate::ops::progress::Progress;
use crate::ops::snapshot::delta::store::DeltaStore;
use crate::ops::snapshot::delta::store::NamedChunk;
use crate::ops::snapshot::delta::store::StoreRun;
use crate::ops::snapshot::read;
use crate::ops::snapshot::read::Buffers;
use crate::ops::snapshot::read::FileRead;
use crate::ops::snapshot::read::ReadError;
use crate::repo::error::RepoError;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use crate::repo::write::bases::BaseFinder;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use std::thread::Scope;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// What a worker is given.
pub(crate) enum Job {
    /// Files to read, each alone.
    Files(Vec<(u64, WalkEntry)>),
    /// Consecutive chunks of one content that another thread reads and cuts.
    Run(ChunkRun),
    /// The same chunks, once it is known what stood in their place.
    Store(StoreRun),
    /// Store the open block, say so, and wait until the channel closes.
    Flush(Sender<()>, Receiver<()>),
}

/// Consecutive chunks of one content.
pub(crate) struct ChunkRun {
    /// The chunks, back to back.
    pub(crate) bytes: Vec<u8>,
    /// Their lengths.
    pub(crate) lengths: Vec<u32>,
    /// Whether those that are new are to be stored; if not, whoever asked stores them later.
    pub(crate) is_stored: bool,
    /// Where their names go; closed without them if the worker failed.
    pub(crate) reply: Sender<NamedRun>,
}

/// A run whose chunks have names.
pub(crate) struct NamedRun {
    /// The run's buffer, to be used again.
    pub(crate) bytes: Vec<u8>,
    /// The chunks.
    pub(crate) chunks: Vec<NamedChunk>,
}

/// What a worker gives back.
pub(crate) enum Done {
    /// A file was read, or could not be.
    File(u64, Result<Box<FileRead>, LocalError>),
    /// Nothing can go on.
    Failed(RepoError),
}

/// The threads and their channels.
pub(crate) struct Workers<'scope> {
    pub(crate) jobs: Sender<Job>,
    pub(crate) done: Receiver<Done>,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Workers<'scope> {
    /// Starts `count` threads.
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        count: usize,
        store: &'env ChunkStore,
        chunker: &'env Chunker,
        finder: Option<BaseFinder<'env>>,
        progress: &'env dyn Progress,
    ) -> Self {
        let (jobs, queue) = crossbeam_channel::bounded(count * JOBS_PER_WORKER);
        let (results, done) = crossbeam_channel::unbounded();
        let start = |_number| {
            let (queue, results): (Receiver<Job>, Sender<Done>) = (queue.clone(), results.clone());
            scope.spawn(move || {
                let env = (store, chunker, finder);
                if let Err(error) = work(env, progress, &queue, &results) {
                    // Nobody listens any more only if the run has already failed.
                    let _ignored = results.send(Done::Failed(error));
                }
            })
        };
        let threads = (0..count).map(start).collect();
        Self { jobs, done, threads }
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Lets every thread store its open block, and waits until all have: then none is writing.
    pub(crate) fn flush(&self) -> Result<(), RepoError> {
        let (stored, flushed) = crossbeam_channel::bounded(self.count());
        // Each worker waits for the release, so that none takes two of these jobs.
        let (_release, released) = crossbeam_channel::bounded(0);
        for _thread in &self.threads {
            let job = Job::Flush(stored.clone(), released.clone());
            self.jobs.send(job).map_err(|_closed| RepoError::WorkerLost)?;
        }
        let mut waiting = self.count();
        while waiting > 0 {
            match flushed.recv_timeout(FLUSH_POLL) {
                Ok(()) => waiting -= 1,
                Err(_none) if self.threads.iter().any(ScopedJoinHandle::is_finished) => {
                    return Err(RepoError::WorkerLost);
                }
                Err(_none) => {}
            }
        }
        Ok(())
    }

    /// Lets the threads store their open blocks and end.
    pub(crate) fn finish(self) -> Result<(), RepoError> {
        let Self { jobs, done, threads } = self;
        drop(jobs);
        for thread in threads {
            thread.join().map_err(|_panic| RepoError::WorkerLost)?;
        }
        let failed = done.try_iter().find_map(|done| match done {
            Done::Failed(error) => Some(error),
            Done::File(..) => None,
        });
        failed.map_or(Ok(()), Err)
    }
}

fn work(
    (store, chunker, finder): (&ChunkStore, &Chunker, Option<BaseFinder<'_>>),
    progress: &dyn Progress,
    queue: &Receiver<Job>,
    results: &Sender<Done>,
) -> Result<(), RepoError> {
    let mut writer = store.writer(PackKind::Data)?;
    let mut buffers = Buffers::default();
    let mut deltas = finder.map(DeltaStore::new);
    for job in queue {
        match job {
            Job::Files(files) => {
                for (ticket, entry) in files {
                    if progress.is_cancelled() {
                        writer.flush()?;
                        return Err(RepoError::Interrupted);
                    }
                    let read = read::read_file(&entry, chunker, &mut writer, &mut buffers);
                    let read = match read {
                        Ok(read) => {
                            progress.advance(1, read.stat.size);
                            Ok(Box::new(read))
                        }
                        Err(ReadError::Local(error)) => Err(error),
                        Err(ReadError::Repo(error)) => return Err(error),
                    };
                    if results.send(Done::File(ticket, read)).is_err() {
                        return Ok(());
                    }
                }
            }
            Job::Run(run) => name_run(&mut writer, run)?,
            Job::Store(run) => match &mut deltas {
                Some(deltas) => deltas.store(&mut writer, run)?,
                None => return Err(RepoError::WorkerLost),
            },
            Job::Flush(stored, released) => {
                writer.flush()?;
                let _ignored = stored.send(());
                // Closed, not sent to: that is the release.
                let _ignored = released.recv();
            }
        }
    }
    writer.flush()
}

fn name_run(writer: &mut ChunkWriter<'_>, run: ChunkRun) -> Result<(), RepoError> {
    let ChunkRun { bytes, lengths, is_stored, reply } = run;
    let mut chunks = Vec::with_capacity(lengths.len());
    let mut rest = bytes.as_slice();
    for length in lengths {
        let (chunk, behind) = rest.split_at(crate::units::to_usize32(length));
        let (id, is_new) = writer.claim(chunk);
        if is_new && is_stored {
            writer.write_claimed(id, chunk)?;
        }
        chunks.push(NamedChunk { id, length, is_new });
        rest = behind;
    }
    // Nobody waits any more only if the run has already failed.
    let _ignored = reply.send(NamedRun { bytes, chunks });
    Ok(())
}

/// Batches that wait for each worker.
const JOBS_PER_WORKER: usize = 8;
/// How often it is looked whether a worker ended instead of storing its block.
const FLUSH_POLL: Duration = Duration::from_millis(200);
