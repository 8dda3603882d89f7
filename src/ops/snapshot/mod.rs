//! `snapshot`: files, a stream or a command's output become a committed snapshot.

mod beside;
mod commit;
pub mod delta;
mod directory;
pub mod dry;
pub(crate) mod guard;
pub(crate) mod memory;
mod older_directory;
pub mod options;
pub(crate) mod pace;
pub(crate) mod parent;
pub mod postgres;
mod read;
mod recipe;
pub mod report;
pub(crate) mod scratch;
mod source;
mod stream;
mod tree;
pub(crate) mod unwrap;
mod workers;

use crate::chunk::Chunker;
use crate::format::dump::StatedStream;
use crate::localfs::walk::Walk;
use crate::ops::commit::Ended;
use crate::ops::commit::StoredTree;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::commit::Draft;
use crate::ops::snapshot::commit::commit;
use crate::ops::snapshot::delta::DeltaUse;
use crate::ops::snapshot::delta::bases_from;
use crate::ops::snapshot::delta::kept::KeptStreams;
use crate::ops::snapshot::memory::HostMemory;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::snapshot::options::Source;
use crate::ops::snapshot::pace::Pace;
use crate::ops::snapshot::parent::Parent;
use crate::ops::snapshot::report::SnapshotReport;
use crate::ops::snapshot::report::Tally;
use crate::ops::snapshot::source::FILES_PROFILE;
use crate::ops::snapshot::source::Produced;
use crate::ops::snapshot::source::STREAM_PROFILE;
use crate::ops::snapshot::source::StreamRun;
use crate::ops::snapshot::source::entries;
use crate::ops::snapshot::source::store_alone;
use crate::ops::snapshot::source::tally;
use crate::ops::snapshot::tree::TreeRun;
use crate::ops::snapshot::tree::TreeRunParts;
use crate::ops::snapshot::workers::Workers;
use crate::ops::unreadable::history_finding;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::session::WriterSession;
use crate::repo::write::ChunkStore;
use crate::repo::write::bases::BaseFinder;
use crate::repo::write::bases::BasesFrom;
use std::sync::atomic::AtomicBool;

/// Backs up a source and commits a snapshot of it.
///
/// A source that can be read again is, if a collection gave up the run and took what it relied on.
/// Errors: nothing is visible then. The next run on this host uses what was stored and what no
/// collection took meanwhile.
pub fn snapshot(
    repository: &Repository,
    options: &SnapshotOptions,
    source: Source,
    progress: &dyn Progress,
) -> Result<SnapshotReport, OpError> {
    options.check(&source)?;
    repository.check_makes_snapshots().during("cannot begin a session")?;
    let mut source = source;
    let mut attempt = 1;
    loop {
        let again = source.again();
        match run(repository, options, source, progress)? {
            Ended::Committed(report) => return Ok(report),
            Ended::Collected(error) => match again {
                Some(again) if attempt < RUNS_COUNT_MAX => source = again,
                Some(_) | None => return Err(error),
            },
        }
        attempt += 1;
        progress.warn(
            "a collection gave up this run, and removed what it relied on: it begins again, with what it stored",
        );
    }
}

/// Reads the source once.
fn run(
    repository: &Repository,
    options: &SnapshotOptions,
    source: Source,
    progress: &dyn Progress,
) -> Result<Ended<SnapshotReport>, OpError> {
    let started = repository.environment.now();
    let session =
        WriterSession::open(repository, &options.source).during("cannot begin a session")?;
    for at in &session.history.unreadable {
        progress.warn(&history_finding(at).words());
    }
    let bases = bases_from(repository, options).during("cannot store deltas")?;
    let older = Parent::find(repository, &session.history, &options.source);
    let has_files = source.files().is_some();
    let has_streams = !matches!(source, Source::Files(_));
    let kept = if has_streams && bases == Some(BasesFrom::KeptDump) {
        KeptStreams::begin(repository, &session.history, &options.source, progress)
    } else {
        KeptStreams::default()
    };
    let reads_older = bases.is_some_and(BasesFrom::reads_stored);
    let mut memory = if has_files {
        HostMemory::begin(repository, &session.history, &options.source)
    } else {
        HostMemory::default()
    };
    let streams_before = older.as_ref().map(|older| older.streams.clone()).unwrap_or_default();
    let parent = older.clone().filter(|_| has_files);
    let expected =
        parent.as_ref().map_or((0, 0), |parent| (parent.totals.files, parent.totals.bytes));
    progress.begin("backing up", expected.0, expected.1);
    let store = ChunkStore::new(session).during("cannot begin to write")?;
    let pace = Pace::new(&store, &options.source, options.checkpoint_seconds);
    if has_streams && reads_older && repository.is_remote() {
        store.keep_data();
    }
    let before = Before {
        parent: parent.as_ref(),
        older: older.as_ref().filter(|_| reads_older),
        bases,
        kept: &kept,
        memory: &mut memory,
        streams: &streams_before,
    };
    let backed_up = back_up(&store, options, source, before, progress, &pace);
    let (tree, tally, produced) = match backed_up {
        Ok(done) => done,
        Err(error) => {
            store.abandon();
            return Err(error);
        }
    };
    let checkpoints = pace.checkpoint_count();
    let parent = parent.as_ref();
    let draft = Draft { options, started, parent, tree, tally, produced, checkpoints };
    let mut ended = commit(&store, draft);
    if let Ok(Ended::Committed(report)) = &mut ended {
        if let Some(snapshot) = report.snapshot {
            memory.finish(snapshot, started);
            report.host_keeps = kept.finish(snapshot, progress);
        }
    } else {
        store.abandon();
    }
    ended
}

/// What is known of the source from runs before.
struct Before<'a> {
    parent: Option<&'a Parent>,
    /// The same, if what its streams held may stand before deltas.
    older: Option<&'a Parent>,
    bases: Option<BasesFrom>,
    kept: &'a KeptStreams,
    memory: &'a mut HostMemory,
    streams: &'a [StatedStream],
}

fn back_up(
    store: &ChunkStore,
    options: &SnapshotOptions,
    source: Source,
    before: Before<'_>,
    progress: &dyn Progress,
    pace: &Pace<'_>,
) -> Result<(StoredTree, Tally, Produced), OpError> {
    let file_chunker = chunker(store, FILES_PROFILE)?;
    let stream_chunker = chunker(store, STREAM_PROFILE)?;
    let index = store.index();
    let reader = ChunkReader::new(store.repository.clone(), index, PARENT_CACHE_BYTES);
    let Before { parent, older, bases, kept, memory, streams } = before;
    let is_far = AtomicBool::new(false);
    let finder = bases.map(|from| BaseFinder { reader: &reader, from, is_far: &is_far });
    let done = std::thread::scope(|scope| {
        let workers =
            Workers::start(scope, options.threads, store, &file_chunker, finder, progress);
        let streams = StreamRun {
            store,
            workers: &workers,
            chunker: &stream_chunker,
            progress,
            pace,
            guards: &options.guards,
            unwrap: options.unwrap,
            before: streams,
            older: older.map(|older| (older, &reader)),
            kept,
        };
        let done = streams.run(source).and_then(|(taken, produced, files)| {
            let tally = tally(&taken, progress);
            let Some(files) = files else {
                return Ok((store_alone(store, taken)?, tally, produced));
            };
            let walk = Walk::start(files.into_walk(options.threads))?;
            let parts = TreeRunParts {
                store,
                workers: &workers,
                chunker: &file_chunker,
                progress,
                parent: parent.map(|parent| parent.cursor(&reader)),
                deltas: bases.is_some_and(BasesFrom::reads_stored),
                memory,
                pace,
                beside: entries(store, taken),
            };
            let mut run = TreeRun::new(parts).during("cannot build the tree")?;
            run.tally = tally;
            let (tree, tally) = run.run(walk).during("cannot store the files")?;
            Ok((tree, tally, produced))
        });
        // The workers' own error says more than the closed channel that it caused.
        let ended = workers.finish();
        match (done, ended) {
            (Err(OpError::Repo { source, .. }), Err(cause))
                if matches!(*source, RepoError::WorkerLost) =>
            {
                Err(cause).during("cannot store the data")
            }
            (done, ended) => {
                let done = done?;
                ended.during("cannot store the data")?;
                Ok(done)
            }
        }
    });
    done.map(|(tree, tally, produced)| {
        let is_far = is_far.into_inner() || kept.lacks_older();
        let deltas = DeltaUse::of(store, options.delta, bases, is_far);
        (tree, Tally { deltas, ..tally }, produced)
    })
}

fn chunker(store: &ChunkStore, profile: &str) -> Result<Chunker, OpError> {
    let repository = &store.repository;
    let profiles = &repository.config.profiles;
    let profile = repository.config.profile(profile).or(profiles.first());
    let profile = profile.ok_or_else(|| OpError::Refused {
        why: "the repository has no chunker profile".to_owned(),
    })?;
    repository.chunker(profile).during("cannot cut content")
}

/// How often a source is read: a collection that gives up every run is a mistake of its owner.
const RUNS_COUNT_MAX: u32 = 4;
/// Plaintext of the parent's tree that is kept.
const PARENT_CACHE_BYTES: usize = 8 * 1_048_576;
