//! The last steps of whatever makes a snapshot: everything durable, the manifest, the register.

use crate::format::manifest::Manifest;
use crate::format::manifest::PackCommitment;
use crate::format::manifest::PackScope;
use crate::format::manifest::SNAPSHOT_PREDICATE;
use crate::format::manifest::STATEMENT_TYPE;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::StatementSubject;
use crate::format::manifest::SubjectDigest;
use crate::format::outcome::Subject;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::closure::check_closure;
use crate::repo::error::RepoError;
use crate::repo::names;
use crate::repo::read::ChunkReader;
use crate::repo::session::AllDurable;
use crate::repo::session::Committed;
use crate::repo::session::WriterSession;
use crate::repo::statement::merkle_root;
use crate::repo::statement::store_manifest;
use crate::repo::write::ChunkStore;

/// The top of a tree that was stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredTree {
    pub(crate) node: ChunkId,
    pub(crate) height: u8,
    pub(crate) totals: Totals,
}

/// What is to be committed.
pub(crate) struct Draft<'a> {
    pub(crate) source: &'a str,
    pub(crate) tree: StoredTree,
    pub(crate) begun: Begun,
    /// What the manifest states, once all packs are stored.
    pub(crate) predicate: &'a dyn Fn(&WriterSession, PackCommitment) -> SnapshotPredicate,
}

/// When a tree was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// In the session that commits it: what it relies on stays.
    ThisSession,
    /// In an earlier session of the run: what it relies on may be gone.
    EarlierSession,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// Its snapshot counts.
    Committed(T),
    /// It was fenced, or had a checkpoint, and something that its tree names is not known to be
    /// there: the source must be read again.
    Collected(OpError),
}

/// Waits until everything is durable, stores the manifest, and decides the session.
///
/// A session that was fenced is followed by another one that adopts what it stored; if everything
/// the tree names is still there, that one commits the same tree.
pub(crate) fn commit_tree(
    store: &ChunkStore,
    draft: &Draft<'_>,
) -> Result<Ended<SnapshotId>, OpError> {
    let mut durable = store.finish().during("cannot store the data")?;
    for attempt in 0..COMMIT_ATTEMPTS {
        if attempt > 0 || draft.begun == Begun::EarlierSession {
            let StoredTree { node, height, totals: _ } = draft.tree;
            let closed = check_closure(&open_reader(store), node, height, &|| store.beat())
                .map_err(|error| outrun(error, attempt.max(1)))
                .during("something this run relied on was collected meanwhile; run it again");
            if let Err(error) = closed {
                return Ok(Ended::Collected(error));
            }
        }
        let session = store.take_session().during("cannot commit the snapshot")?;
        let reference = session.reference;
        if try_commit(session, store, draft, durable)? {
            let snapshot = reference.session.into();
            names::add(&store.repository, snapshot, draft.source);
            return Ok(Ended::Committed(snapshot));
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
    let source = draft.source.to_owned();
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
        predicate: (draft.predicate)(session, PackCommitment { root, count, scope }),
    }
}

/// How often a run goes on in another session after a fence.
const COMMIT_ATTEMPTS: u32 = 4;
const CLOSURE_CACHE_BYTES: usize = 8 * 1_048_576;
