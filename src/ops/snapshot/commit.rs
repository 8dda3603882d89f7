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
use crate::repo::error::RepoError;
use crate::repo::session::Committed;
use crate::repo::session::TOOL;
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
}

/// Waits until everything is durable, stores the manifest, and decides the session.
pub(crate) fn commit(
    session: WriterSession,
    store: &ChunkStore,
    mut draft: Draft<'_>,
) -> Result<SnapshotReport, OpError> {
    let durable = store.finish().during("cannot store the data")?;
    let counters = store.counters();
    draft.tally.run.bytes_new = counters.new_bytes.load(Ordering::Relaxed);
    draft.tally.run.bytes_stored = counters.stored_bytes.load(Ordering::Relaxed);
    let manifest = manifest(&session, store, &draft);
    let repository = session.repository.clone();
    let digest = store_manifest(&repository, session.reference, &manifest)
        .during("cannot store the manifest")?;
    let source = draft.options.source.clone();
    let subject = Subject::Snapshot { manifest: digest, source: source.clone() };
    let snapshot: SnapshotId = session.reference.session.into();
    match session.commit(subject, durable).during("cannot commit the snapshot")? {
        Committed::Yes => {}
        Committed::Fenced => {
            return Err(RepoError::Fenced { attempts: 1 }).during("cannot commit the snapshot");
        }
    }
    let Tally { run, skipped, skipped_count } = draft.tally;
    let parent = draft.parent.map(|parent| parent.snapshot);
    let totals = draft.tree.totals;
    let snapshot = Some(snapshot);
    Ok(SnapshotReport { snapshot, source, parent, totals, run, skipped, skipped_count })
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
    let Draft { options, started, parent, tree, tally, produced } = draft;
    let repository = &session.repository;
    let snapshot: SnapshotId = session.reference.session.into();
    let (seconds, nanoseconds) = repository.environment.now();
    let started = time_words(started.0, started.1);
    let verdict = session.history.verdict;
    let profile = match produced.kind {
        crate::format::manifest::SourceKind::Files => "default",
        _ => "stream",
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
