//! What a snapshot's manifest states, and what is told of it once it counts.

use crate::format::manifest::Actor;
use crate::format::manifest::PackCommitment;
use crate::format::manifest::RootReference;
use crate::format::manifest::RunSummary;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::SnapshotTimes;
use crate::format::manifest::StatedVerdict;
use crate::id::SnapshotId;
use crate::ops::commit;
use crate::ops::commit::Begun;
use crate::ops::commit::Ended;
use crate::ops::commit::StoredTree;
use crate::ops::commit::commit_tree;
use crate::ops::error::OpError;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::snapshot::parent::Parent;
use crate::ops::snapshot::report::Reported;
use crate::ops::snapshot::report::SnapshotReport;
use crate::ops::snapshot::report::Tally;
use crate::ops::snapshot::source::Produced;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::session::WriterSession;
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

/// Waits until everything is durable, stores the manifest, and decides the session.
pub(crate) fn commit(
    store: &ChunkStore,
    draft: Draft<'_>,
) -> Result<Ended<SnapshotReport>, OpError> {
    let begun = if draft.checkpoints > 0 { Begun::EarlierSession } else { Begun::ThisSession };
    let ended = commit_tree(
        store,
        &commit::Draft {
            source: &draft.options.source,
            tree: draft.tree,
            begun,
            predicate: &|session, packs| predicate(session, store, &draft, packs),
        },
    )?;
    Ok(match ended {
        Ended::Committed(snapshot) => Ended::Committed(report(store, draft, snapshot)),
        Ended::Collected(error) => Ended::Collected(error),
    })
}

fn report(store: &ChunkStore, draft: Draft<'_>, snapshot: SnapshotId) -> SnapshotReport {
    let run = run_summary(store, &draft.tally);
    let of = Reported {
        snapshot: Some(snapshot),
        source: draft.options.source.clone(),
        parent: draft.parent.map(|parent| parent.snapshot),
        totals: draft.tree.totals,
    };
    Tally { run, ..draft.tally }.report(of)
}

fn run_summary(store: &ChunkStore, tally: &Tally) -> RunSummary {
    let counters = store.counters();
    RunSummary {
        bytes_new: counters.new_bytes.load(Ordering::Relaxed),
        bytes_stored: counters.stored_bytes.load(Ordering::Relaxed),
        ..tally.run.clone()
    }
}

fn predicate(
    session: &WriterSession,
    store: &ChunkStore,
    draft: &Draft<'_>,
    packs: PackCommitment,
) -> SnapshotPredicate {
    let Draft { options, started, parent, tree, tally, produced, checkpoints: _ } = draft;
    let repository = &session.repository;
    let snapshot: SnapshotId = session.reference.session.into();
    let (seconds, nanoseconds) = repository.environment.now();
    let started = time_words(started.0, started.1);
    let verdict = session.history.verdict;
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
        streams: produced.streams.clone(),
        parent: parent.map(|parent| parent.snapshot.to_string()),
        origin: None,
        profile: produced.profile.to_owned(),
        root: RootReference { node: tree.node.to_string(), height: tree.height },
        totals: tree.totals.into(),
        run: run_summary(store, tally),
        incomplete: tally.skipped_count > 0,
        skipped: tally.skipped.clone(),
        skipped_count: tally.skipped_count,
        packs,
        verdict: StatedVerdict { number: verdict.number, digest: verdict.digest.to_string() },
    }
}
