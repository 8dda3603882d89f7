//! The last steps of a snapshot: everything durable, the manifest, the register.

use crate::format::manifest::Actor;
use crate::format::manifest::Manifest;
use crate::format::manifest::PackCommitment;
use crate::format::manifest::PackScope;
use crate::format::manifest::RootReference;
use crate::format::manifest::RunSummary;
use crate::format::manifest::SNAPSHOT_PREDICATE;
use crate::format::manifest::STATEMENT_TYPE;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::SnapshotTimes;
use crate::format::manifest::SourceKind;
use crate::format::manifest::StatedVerdict;
use crate::format::manifest::StatementSubject;
use crate::format::manifest::SubjectDigest;
use crate::format::outcome::Subject;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::snapshot::parent::Parent;
use crate::ops::snapshot::report::SnapshotReport;
use crate::ops::snapshot::report::Tally;
use crate::ops::snapshot::source::Produced;
use crate::ops::snapshot::tree::StoredTree;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::closure::check_closure;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::session::AllDurable;
use crate::repo::session::Committed;
use crate::repo::session::WriterSession;
use crate::repo::statement::merkle_root;
use crate::repo::statement::store_manifest;
use crate::repo::write::ChunkStore;
use std::sync::atomic::Ordering;

/// A snapshot whose tree is built and whose packs may still be on their way.
pub(crate) struct Draft<'a> {
    pub(crate) options: &'a SnapshotOptions,
    pub(crate) started: (i64, u32),
    pub(crate) parent: Option<&'a Parent>,
    pub(crate) tree: StoredTree,
    pub(crate) tally: Tally,
    pub(crate) produced: Produced,
    /// How many sessions the run has had before its last one.
    pub(crate) checkpoints: u32,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its snapshot counts.
    Committed(SnapshotReport),
    /// It was fenced, or had a checkpoint, and something that its tree names is not known to be
    /// there: the source must be read again.
    Collected(OpError),
}

/// Waits until everything is durable, stores the manifest, and decides the session.
///
/// A session that was fenced is followed by another one that adopts what it stored; if everything
/// the tree names is still there, that one commits the same tree.
pub(crate) fn commit(store: &ChunkStore, mut draft: Draft<'_>) -> Result<Ended, OpError> {
    let mut durable = store.finish().during("cannot store the data")?;
    let counters = store.counters();
    draft.tally.run.bytes_new = counters.new_bytes.load(Ordering::Relaxed);
    draft.tally.run.bytes_stored = counters.stored_bytes.load(Ordering::Relaxed);
    for attempt in 0..COMMIT_ATTEMPTS {
        if attempt > 0 || draft.checkpoints > 0 {
            let (node, height) = (draft.tree.node, draft.tree.height);
            let closed = check_closure(&open_reader(store), node, height, &|| store.beat())
                .map_err(|error| outrun(error, attempt.max(1)))
                .during("something this run relied on was collected meanwhile; run it again");
            if let Err(error) = closed {
                return Ok(Ended::Collected(error));
            }
        }
        let session = store.take_session().during("cannot commit the snapshot")?;
        let reference = session.reference;
        if try_commit(session, store, &draft, durable)? {
            return Ok(Ended::Committed(report(draft, reference.session.into())));
        }
        store.reopen(Some(reference)).during("cannot begin another session")?;
        durable = store.finish().during("cannot store the data")?;
    }
    Err(RepoError::Fenced { attempts: COMMIT_ATTEMPTS }).during("cannot commit the snapshot")
}

/// Stores the manifest and decides the session; says whether it counts.
fn try_commit(
    session: WriterSession,
    store: &ChunkStore,
    draft: &Draft<'_>,
    durable: AllDurable,
) -> Result<bool, OpError> {
    let manifest = manifest(&session, store, draft);
    let digest = store_manifest(&store.repository, session.reference, &manifest)
        .during("cannot store the manifest")?;
    let source = draft.options.source.clone();
    let subject = Subject::Snapshot { manifest: digest, source };
    let committed = session.commit(subject, durable).during("cannot commit the snapshot")?;
    Ok(matches!(committed, Committed::Yes))
}

/// What is missing after a fence, or cannot be looked for with this key, was no damage: a collection
/// was faster.
fn outrun(error: RepoError, attempts: u32) -> RepoError {
    let was_faster = matches!(error, RepoError::UnknownChunk { .. } | RepoError::RoleLacks { .. });
    if was_faster { RepoError::Fenced { attempts } } else { error }
}

fn open_reader(store: &ChunkStore) -> ChunkReader {
    ChunkReader::new(store.repository.clone(), store.index(), CLOSURE_CACHE_BYTES)
}

fn report(draft: Draft<'_>, snapshot: SnapshotId) -> SnapshotReport {
    let Tally { run, skipped, skipped_count } = draft.tally;
    let parent = draft.parent.map(|parent| parent.snapshot);
    let totals = draft.tree.totals;
    let source = draft.options.source.clone();
    let snapshot = Some(snapshot);
    SnapshotReport { snapshot, source, parent, totals, run, skipped, skipped_count }
}

fn manifest(session: &WriterSession, store: &ChunkStore, draft: &Draft<'_>) -> Manifest {
    let packs = store.stored_packs();
    let root = merkle_root(&packs).to_string();
    let snapshot: SnapshotId = session.reference.session.into();
    let subject = StatementSubject {
        name: format!("snapshot:{snapshot}"),
        digest: SubjectDigest { sha256: root.clone() },
    };
    let scope = PackScope::Session;
    let count = crate::units::to_u64(packs.len());
    Manifest {
        statement_type: STATEMENT_TYPE.to_owned(),
        subject: vec![subject],
        predicate_type: SNAPSHOT_PREDICATE.to_owned(),
        predicate: predicate(session, draft, PackCommitment { root, count, scope }),
    }
}

fn predicate(
    session: &WriterSession,
    draft: &Draft<'_>,
    packs: PackCommitment,
) -> SnapshotPredicate {
    let Draft { options, started, parent, tree, tally, produced, checkpoints: _ } = draft;
    let repository = &session.repository;
    let snapshot: SnapshotId = session.reference.session.into();
    let (seconds, nanoseconds) = repository.environment.now();
    let started = time_words(started.0, started.1);
    let verdict = session.history.verdict;
    let profile = match produced.kind {
        SourceKind::Files => "default",
        SourceKind::Stream | SourceKind::Command => "stream",
    };
    SnapshotPredicate {
        repository: repository.id().to_string(),
        client: repository.keys.client.to_string(),
        snapshot: snapshot.to_string(),
        source: options.source.clone(),
        kind: produced.kind,
        paths: produced.paths.clone(),
        tags: options.tags.clone(),
        host: options.host.clone(),
        tool: TOOL.to_owned(),
        actor: Actor {
            user_id: rustix::process::getuid().as_raw(),
            sudo_user: options.sudo_user.clone(),
        },
        times: SnapshotTimes {
            data: options.time.clone().unwrap_or_else(|| started.clone()),
            started,
            finished: time_words(seconds, nanoseconds),
        },
        command: produced.command.clone(),
        parent: parent.map(|parent| parent.snapshot.to_string()),
        profile: profile.to_owned(),
        root: RootReference { node: tree.node.to_string(), height: tree.height },
        totals: tree.totals.into(),
        run: RunSummary { ..tally.run.clone() },
        incomplete: tally.skipped_count > 0,
        skipped: tally.skipped.clone(),
        skipped_count: tally.skipped_count,
        packs,
        verdict: StatedVerdict { number: verdict.number, digest: verdict.digest.to_string() },
    }
}

/// How often a run goes on in another session after a fence.
const COMMIT_ATTEMPTS: u32 = 4;
const CLOSURE_CACHE_BYTES: usize = 8 * 1_048_576;
