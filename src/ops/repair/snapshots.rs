//! `repair snapshots`: makes snapshots of what is left of those that lost something.
//! Spec: format-spec/08-manifest.md.
//!
//! Nothing stands in the place of what is lost: a file is whole, or it is left out and named. The
//! snapshot that lost something stays; whoever wants it gone forgets it.

use crate::format::manifest::Actor;
use crate::format::manifest::Manifest;
use crate::format::manifest::PackCommitment;
use crate::format::manifest::RootReference;
use crate::format::manifest::RunSummary;
use crate::format::manifest::SKIPPED_COUNT_MAX;
use crate::format::manifest::SkippedPath;
use crate::format::manifest::SnapshotOrigin;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::SnapshotTimes;
use crate::format::manifest::StatedVerdict;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::check::CheckReport;
use crate::ops::check::trees::TreeCheck;
use crate::ops::commit::Begun;
use crate::ops::commit::Draft;
use crate::ops::commit::Ended;
use crate::ops::commit::commit_tree;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::heal::Watched;
use crate::ops::progress::Progress;
use crate::ops::repair::RepairOptions;
use crate::ops::repair::TREE_CACHE_BYTES;
use crate::ops::repair::check_rights;
use crate::ops::repair::packs::Examined;
use crate::ops::repair::packs::examine;
use crate::ops::repair::rebuild::Rebuilt;
use crate::ops::repair::rebuild::rebuild;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::repair::packs::salvage;
use crate::repo::repository::Repository;
use crate::repo::session::WriterSession;
use crate::repo::write::ChunkStore;
use serde::Serialize;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

/// What snapshots lost, and what was made of it.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct SnapshotsReport {
    /// Whether anything was written.
    pub applied: bool,
    /// Snapshots that were looked at.
    pub looked_at: u64,
    /// Those that lost something.
    pub damaged: Vec<DamagedSnapshot>,
    /// What is lost.
    pub findings: Vec<Finding>,
    /// How much that is in all.
    pub findings_count: u64,
}

/// A snapshot that lost something.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DamagedSnapshot {
    /// The snapshot.
    pub snapshot: String,
    /// Its source.
    pub source: String,
    /// What was done about it.
    pub state: RepairState,
    /// The snapshot of what is left.
    pub repaired: Option<String>,
    /// What that leaves out; at most as many as a manifest lists.
    pub left_out: Vec<LeftOut>,
    /// How much that is in all.
    pub left_out_count: u64,
}

/// A path that a repaired snapshot leaves out.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// The path; bytes outside UTF-8 as `\xHH`.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What became of a snapshot that lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RepairState {
    /// A snapshot of what is left would be made.
    Planned,
    /// A snapshot of what is left was made.
    Repaired,
    /// There was one from an earlier repair.
    Earlier,
    /// Nothing of it is left.
    Nothing,
    /// Its manifest is damaged: what it held is not known.
    Unknown,
}

impl SnapshotsReport {
    /// Whether there is something to do that was not done.
    pub fn is_planned(&self) -> bool {
        self.damaged.iter().any(|damaged| damaged.state == RepairState::Planned)
    }
}

/// Makes snapshots of what is left of those that lost something, or says which those are.
///
/// What is good of damaged packs is stored again first, as `repair packs` does it.
pub fn repair_snapshots(
    repository: &Repository,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<SnapshotsReport, OpError> {
    let what = "cannot repair the snapshots";
    check_rights(repository, options, what)?;
    let Examined { reader, history, found } = examine(repository, options, progress)?;
    let lost: HashSet<ChunkId> = found.lost.iter().map(|(id, _kind)| *id).collect();
    progress.begin("looking for what is lost", 0, 0);
    let mut walk = TreeCheck::new(&reader, &lost, progress);
    let mut losses = CheckReport::default();
    let mut damaged = Vec::new();
    for live in &history.snapshots {
        let before = losses.findings_count;
        walk.walk(live, &mut losses)?;
        if losses.findings_count > before {
            damaged.push(live);
        }
    }
    let ids: HashSet<SnapshotId> = damaged.iter().map(|live| live.snapshot).collect();
    let earlier = earlier_repairs(repository, &history, &ids);
    let mut report = SnapshotsReport { looked_at: losses.snapshots, ..SnapshotsReport::default() };
    if options.apply && damaged.iter().any(|live| !earlier.contains_key(&live.snapshot)) {
        let salvaged = salvage(&reader, &found, &Watched(progress)).during(what)?;
        report.applied = salvaged.blocks > 0;
    }
    for live in damaged {
        let told = match (earlier.get(&live.snapshot), live.manifest(repository)) {
            (_, Err(_damaged)) => told(live, RepairState::Unknown),
            (Some(repaired), Ok(_)) => DamagedSnapshot {
                repaired: Some(repaired.to_string()),
                ..told(live, RepairState::Earlier)
            },
            (None, Ok(manifest)) if options.apply => {
                let told = repair_one(repository, live, &manifest, progress)?;
                report.applied |= told.state == RepairState::Repaired;
                told
            }
            (None, Ok(_)) => told(live, RepairState::Planned),
        };
        report.damaged.push(told);
    }
    (report.findings, report.findings_count) = (losses.findings, losses.findings_count);
    Ok(report)
}

/// Snapshots that lost something and of which there is a sound one already.
fn earlier_repairs(
    repository: &Repository,
    history: &History,
    damaged: &HashSet<SnapshotId>,
) -> HashMap<SnapshotId, SnapshotId> {
    let own = repository.id().to_string();
    let sound = history.snapshots.iter().filter(|live| !damaged.contains(&live.snapshot));
    let origin = |live: &LiveSnapshot| {
        let origin = live.manifest(repository).ok()?.predicate.origin?;
        let snapshot: SnapshotId = origin.snapshot.parse().ok()?;
        (origin.repository == own && damaged.contains(&snapshot))
            .then_some((snapshot, live.snapshot))
    };
    sound.filter_map(origin).collect()
}

fn told(live: &LiveSnapshot, state: RepairState) -> DamagedSnapshot {
    DamagedSnapshot {
        snapshot: live.snapshot.to_string(),
        source: live.source.clone(),
        state,
        repaired: None,
        left_out: Vec::new(),
        left_out_count: 0,
    }
}

fn repair_one(
    repository: &Repository,
    live: &LiveSnapshot,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<DamagedSnapshot, OpError> {
    let Some(root) = manifest.root() else { return Ok(told(live, RepairState::Unknown)) };
    let session = WriterSession::open(repository, &live.source).during("cannot begin a session")?;
    let store = ChunkStore::new(session).during("cannot begin to write")?;
    let done = repair_in(&store, live, manifest, root, progress);
    if !matches!(&done, Ok(told) if told.state == RepairState::Repaired) {
        store.abandon();
    }
    done
}

fn repair_in(
    store: &ChunkStore,
    live: &LiveSnapshot,
    manifest: &Manifest,
    root: (ChunkId, u8),
    progress: &dyn Progress,
) -> Result<DamagedSnapshot, OpError> {
    // The session's index leaves out what is missing or damaged: what it has, the snapshot may rely on.
    let reader = ChunkReader::new(store.repository.without_kept(), store.index(), TREE_CACHE_BYTES);
    let rebuilt = rebuild(&reader, store, root, progress)?;
    let left_out = |skipped: &SkippedPath| LeftOut {
        path: skipped.path.clone(),
        reason: skipped.reason.clone(),
    };
    let mut told = told(live, RepairState::Nothing);
    told.left_out = rebuilt.left_out.iter().map(left_out).collect();
    told.left_out_count = rebuilt.left_out_count;
    if rebuilt.tree.totals == Totals::default() {
        return Ok(told);
    }
    let draft = Draft {
        source: &live.source,
        tree: rebuilt.tree,
        begun: Begun::ThisSession,
        predicate: &|session, packs| predicate(session, store, live, manifest, &rebuilt, packs),
    };
    match commit_tree(store, &draft)? {
        Ended::Committed(snapshot) => {
            told.state = RepairState::Repaired;
            told.repaired = Some(snapshot.to_string());
            Ok(told)
        }
        Ended::Collected(error) => Err(error),
    }
}

/// What the damaged snapshot states, and what of it is left.
fn predicate(
    session: &WriterSession,
    store: &ChunkStore,
    live: &LiveSnapshot,
    manifest: &Manifest,
    rebuilt: &Rebuilt,
    packs: PackCommitment,
) -> SnapshotPredicate {
    let stated = &manifest.predicate;
    let repository = &session.repository;
    let snapshot: SnapshotId = session.reference.session.into();
    let (seconds, nanoseconds) = repository.environment.now();
    let (counters, verdict) = (store.counters(), session.history.verdict);
    let mut skipped = rebuilt.left_out.clone();
    skipped.extend(stated.skipped.iter().cloned());
    skipped.truncate(SKIPPED_COUNT_MAX);
    let tree = rebuilt.tree;
    SnapshotPredicate {
        client: repository.client().to_string(),
        snapshot: snapshot.to_string(),
        tool: TOOL.to_owned(),
        actor: Actor { user_id: rustix::process::getuid().as_raw(), sudo_user: None },
        // The start stays: what changed since then is read again by the next backup.
        times: SnapshotTimes { finished: time_words(seconds, nanoseconds), ..stated.times.clone() },
        parent: None,
        origin: Some(SnapshotOrigin {
            repository: repository.id().to_string(),
            client: live.client.to_string(),
            snapshot: live.snapshot.to_string(),
            manifest: live.manifest.to_string(),
        }),
        root: RootReference { node: tree.node.to_string(), height: tree.height },
        totals: tree.totals.into(),
        run: RunSummary {
            bytes_new: counters.new_bytes.load(Ordering::Relaxed),
            bytes_stored: counters.stored_bytes.load(Ordering::Relaxed),
            files_unchanged: tree.totals.files,
            ..RunSummary::default()
        },
        incomplete: true,
        skipped,
        skipped_count: stated.skipped_count + rebuilt.left_out_count,
        packs,
        verdict: StatedVerdict { number: verdict.number, digest: verdict.digest.to_string() },
        ..stated.clone()
    }
}
