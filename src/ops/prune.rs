//! `prune`: deletes what no snapshot needs; goes on with what another process began.

use crate::key::ObjectKey;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::forget::checkpoints::CheckpointRow;
use crate::ops::forget::checkpoints::checkpoints;
use crate::ops::progress::NoProgress;
use crate::ops::progress::Progress;
use crate::ops::words::time_words;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::chain::Step;
use crate::repo::gc::choose::RepackPolicy;
use crate::repo::gc::choose::UnusedMax;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::collector::Ended;
use crate::repo::gc::collector::FenceAfter;
use crate::repo::gc::collector::OpenSession;
use crate::repo::gc::collector::Policy;
use crate::repo::gc::collector::Watch;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::start::Tally;
use crate::repo::history::History;
use crate::repo::locks::OldVersions;
use crate::repo::locks::extend_locks;
use crate::repo::locks::free_time;
use crate::repo::locks::lock_end;
use crate::repo::locks::old_versions;
use crate::repo::memory::WentBack;
use crate::repo::repository::Repository;
use crate::repo::roster::MissingCommit;
use crate::repo::roster::missing_commits;
use serde::Serialize;
use std::time::Duration;
use std::time::SystemTime;

/// How to prune.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    /// How many unused bytes may stay in packs that are needed in part.
    pub unused: UnusedLimit,
    /// Bytes of packs that may be read to copy what is needed of them.
    pub repack_bytes_max: u64,
    /// When a session that has no outcome is given up.
    pub fence: FenceLimit,
    /// Objects that cannot be read and that are gone on without: outcomes, registers of collections.
    pub give_up: Vec<ObjectKey>,
    /// Go on though a commit is missing that another one saw.
    pub accept_missing: bool,
}

/// How many unused bytes may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusedLimit {
    /// In hundredths of a percent of what stays.
    Share(u32),
    /// In bytes.
    Bytes(u64),
}

/// When a session that has no outcome is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FenceLimit {
    /// When it has stored nothing for so long, by the store's clock.
    Idle(Duration),
    /// At once: whoever runs it must begin again.
    Now,
}

impl PruneOptions {
    /// Tolerates five percent of waste, and waits a day for sessions that store nothing.
    pub const fn new() -> Self {
        Self {
            unused: UnusedLimit::Share(UNUSED_SHARE),
            repack_bytes_max: u64::MAX,
            fence: FenceLimit::Idle(FENCE_AFTER),
            give_up: Vec::new(),
            accept_missing: false,
        }
    }

    fn policy(&self, repository: &Repository) -> Policy {
        let unused_max = match self.unused {
            UnusedLimit::Share(parts) => UnusedMax::Share(parts),
            UnusedLimit::Bytes(bytes) => UnusedMax::Bytes(bytes),
        };
        let fence = match self.fence {
            FenceLimit::Idle(limit) => FenceAfter::Idle(limit),
            FenceLimit::Now => FenceAfter::Now,
        };
        let splits_data = repository.keys.newest().data.is_some();
        let repack_bytes_max = self.repack_bytes_max;
        Policy { fence, repack: RepackPolicy { unused_max, repack_bytes_max, splits_data } }
    }
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What pruning did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// How far it got.
    pub state: PruneState,
    /// A collection that another process began and that is finished first.
    pub unfinished: Option<u64>,
    /// Collections that were finished.
    pub collections: Vec<u64>,
    /// What becomes of every stored byte, if this process made a plan.
    pub plan: Option<PrunePlan>,
    /// Packs that were deleted.
    pub removed_packs: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Packs that the plan condemned and that snapshots made meanwhile need.
    pub rescued_packs: u64,
    /// Forgotten snapshots that are gone for good.
    pub forgotten_snapshots: u64,
    /// Sessions that were given up.
    pub fenced: Vec<String>,
    /// Sessions that the collection waits for.
    pub waiting: Vec<WaitingSession>,
    /// Packs that could not be copied because they are damaged.
    pub damaged: Vec<String>,
    /// What a person should know: what was found damaged, and what follows.
    pub warnings: Vec<String>,
    /// Checkpoints that no snapshot followed, and that keep what they stored.
    pub checkpoints: Vec<CheckpointRow>,
    /// Objects whose locks were extended.
    pub locks_extended: u64,
    /// What the bucket keeps of what was deleted, if it keeps versions and says so.
    pub old_versions: Option<OldVersionsKept>,
    /// Keys of the records that say what was deleted.
    pub certificates: Vec<String>,
}

/// What a bucket keeps of objects that were deleted or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OldVersionsKept {
    /// How many versions.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// After how many days the bucket's own rules free them; `None` if no rule does.
    pub end_after_days: Option<u32>,
    /// When the last of them goes by that rule, in UTC; a lock may keep it longer.
    pub free_at: Option<String>,
    /// Until when at the latest locks keep some of them, in UTC; `None` if objects are not locked.
    pub locked_until: Option<String>,
}

/// How far pruning got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PruneState {
    /// Everything that could be deleted is.
    #[default]
    Done,
    /// There was nothing to do.
    Nothing,
    /// Sessions may still commit what uses condemned packs; the next run goes on.
    Waiting,
    /// Nothing was done: this is what would be.
    Planned,
}

/// What becomes of every stored byte of packs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PrunePlan {
    /// Snapshots that stay.
    pub snapshots: u64,
    /// Snapshots whose forgets are carried out.
    pub forgotten_snapshots: u64,
    /// Packs that stay as they are.
    pub kept_packs: u64,
    /// Their bytes that snapshots need.
    pub live_bytes: u64,
    /// Their bytes that nobody needs and that are tolerated.
    pub tolerated_bytes: u64,
    /// Their bytes that nobody needs, in blocks that are not taken apart.
    pub bound_bytes: u64,
    /// Packs without anything that is needed.
    pub dead_packs: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Packs whose needed chunks are stored elsewhere, too.
    pub duplicate_packs: u64,
    /// Their bytes.
    pub duplicate_bytes: u64,
    /// Packs of sessions that came to nothing.
    pub orphaned_packs: u64,
    /// Their bytes.
    pub orphaned_bytes: u64,
    /// Packs of sessions that may still commit: they stay.
    pub open_packs: u64,
    /// Their bytes.
    pub open_bytes: u64,
    /// Packs that are replaced by copies of what is needed of them.
    pub repacked_packs: u64,
    /// Their bytes.
    pub repacked_bytes: u64,
    /// About how many bytes the copies have.
    pub copied_bytes: u64,
    /// About how many bytes are freed.
    pub freed_bytes: u64,
}

/// A session that a collection waits for.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct WaitingSession {
    /// The session.
    pub session: String,
    /// Whose it is.
    pub client: String,
    /// Seconds since it last stored something, by the store's clock, if that says.
    pub idle_seconds: Option<u64>,
}

/// Checks that nothing is missing that this host has seen, nor a commit that a later one saw: a collection would make that look as if
/// it had never been.
fn check_nothing_hidden(repository: &Repository, options: &PruneOptions) -> Result<(), RepoError> {
    let history = History::load_readable(repository)?;
    history.check_not_back()?;
    let missing = missing_commits(repository, &history)?;
    match missing.first().filter(|_missing| !options.accept_missing) {
        Some(MissingCommit { head, named_by }) => {
            let known = format!("the commit of session {}", head.session);
            let found = format!("only that session {} saw it", named_by.session);
            Err(RepoError::WentBack { source: WentBack::new(known, found) })
        }
        None => Ok(()),
    }
}

/// Deletes what no snapshot needs.
///
/// Finishes the collection that another process began, if there is one, then makes one of its own.
/// Errors: [`crate::RepoError::RoleLacks`] if the role may not prune.
pub fn prune(
    repository: &Repository,
    options: &PruneOptions,
    progress: &dyn Progress,
) -> Result<PruneReport, OpError> {
    check_nothing_hidden(repository, options).during("cannot prune")?;
    let signals = Signals(progress);
    let (phase, warn, is_cancelled) = signals.calls();
    let watch = Watch { phase: &phase, warn: &warn, is_cancelled: &is_cancelled };
    let collector = Collector::new(repository, options.policy(repository), watch);
    let mut collector = collector.during("cannot prune")?;
    collector.give_up(&options.give_up).during("cannot give up an object")?;
    let ended = collector.run().during("cannot prune")?;
    progress.begin("extending locks", 0, 0);
    let beat = || if progress.is_cancelled() { Err(RepoError::Interrupted) } else { Ok(()) };
    let now = time_of(repository.environment.now().0);
    let locks_extended =
        extend_locks(repository, now, &beat).during("cannot extend the locks of what stays")?;
    let mut summary = collector.summary;
    let old_versions = match summary.old_versions {
        Some(old) => Some(OldVersionsKept::of(repository, &old)),
        None => old_versions_known(repository, &mut summary.warnings),
    };
    let (state, waiting) = match ended {
        Ended::Nothing if summary.collections.is_empty() => (PruneState::Nothing, Vec::new()),
        Ended::Done | Ended::Nothing => (PruneState::Done, Vec::new()),
        Ended::Waiting(open) => (PruneState::Waiting, open),
    };
    Ok(PruneReport {
        state,
        unfinished: None,
        collections: summary.collections,
        plan: summary.tally.map(PrunePlan::from),
        removed_packs: summary.removed,
        removed_bytes: summary.removed_bytes,
        rescued_packs: summary.rescued,
        forgotten_snapshots: summary.forgotten,
        fenced: summary.fenced.iter().map(|fenced| fenced.session.to_string()).collect(),
        waiting: waiting.into_iter().map(WaitingSession::from).collect(),
        damaged: summary.damaged,
        warnings: summary.warnings,
        checkpoints: checkpoints_known(repository, options)?,
        locks_extended,
        old_versions,
        certificates: summary.certificates.iter().map(ObjectKey::to_string).collect(),
    })
}

/// What a bucket keeps of what was deleted; that it does not tell is no reason to fail.
fn old_versions_known(
    repository: &Repository,
    warnings: &mut Vec<String>,
) -> Option<OldVersionsKept> {
    match old_versions(repository) {
        Ok(kept) => kept.map(|old| OldVersionsKept::of(repository, &old)),
        Err(error) => {
            let words = chain_words(&error);
            warnings
                .push(format!("what the bucket keeps of deleted objects is not known: {words}"));
            None
        }
    }
}

fn time_of(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The checkpoints; none if what is given up still hides some, since a session is waited for.
fn checkpoints_known(
    repository: &Repository,
    options: &PruneOptions,
) -> Result<Vec<CheckpointRow>, OpError> {
    match checkpoints(repository) {
        Err(OpError::Repo { source, .. }) if source.is_damage() && !options.give_up.is_empty() => {
            Ok(Vec::new())
        }
        found => found,
    }
}

/// Says what [`prune`] would do. Changes nothing.
pub fn plan_prune(
    repository: &Repository,
    options: &PruneOptions,
    progress: &dyn Progress,
) -> Result<PruneReport, OpError> {
    let signals = Signals(progress);
    let (phase, warn, is_cancelled) = signals.calls();
    let watch = Watch { phase: &phase, warn: &warn, is_cancelled: &is_cancelled };
    let collector = Collector::new(repository, options.policy(repository), watch);
    let collector = collector.during("cannot prune")?;
    let chain = GcChain::load(repository).during("cannot read the collections")?;
    collector.check_stray(chain).during("cannot plan")?;
    let unfinished = match chain.step() {
        Step::Start(_) => None,
        Step::Drain(number) | Step::Sweep(number) => Some(number),
    };
    let pulse = Pulse::watched(collector.watch);
    let look = collector.look(chain.plan + 1, pulse).during("cannot plan")?;
    let tally = match collector.known(&look) {
        Some(tally) => tally,
        None => collector.survey(look, pulse).during("cannot plan")?.tally,
    };
    let plan = Some(PrunePlan::from(tally));
    let checkpoints = checkpoints(repository)?;
    let state = PruneState::Planned;
    let mut report = PruneReport { state, unfinished, plan, checkpoints, ..PruneReport::default() };
    report.old_versions = old_versions_known(repository, &mut report.warnings);
    Ok(report)
}

/// Helps collection `number`, which runs, to its verdict; without the right to do so, it is left.
pub(crate) fn decide_collection(repository: &Repository, number: u64) -> Result<(), OpError> {
    let progress = NoProgress::new();
    let signals = Signals(&progress);
    let (phase, warn, is_cancelled) = signals.calls();
    let watch = Watch { phase: &phase, warn: &warn, is_cancelled: &is_cancelled };
    let policy = PruneOptions::new().policy(repository);
    match Collector::new(repository, policy, watch) {
        Ok(mut collector) => {
            collector.run_to_verdict(number).during("cannot finish the collection that runs")
        }
        Err(RepoError::RoleLacks { .. }) => Ok(()),
        Err(error) => Err(error).during("cannot finish the collection that runs"),
    }
}

/// A progress as collections call it.
struct Signals<'a>(&'a dyn Progress);

impl<'a> Signals<'a> {
    fn calls(
        &self,
    ) -> (
        impl Fn(&'static str) + Sync + use<'a>,
        impl Fn(&str) + Sync + use<'a>,
        impl Fn() -> bool + Sync + use<'a>,
    ) {
        let progress = self.0;
        (
            move |phase| progress.begin(phase, 0, 0),
            move |text: &str| progress.warn(text),
            move || progress.is_cancelled(),
        )
    }
}

impl From<Tally> for PrunePlan {
    fn from(tally: Tally) -> Self {
        Self {
            snapshots: tally.snapshots,
            forgotten_snapshots: tally.forgotten,
            kept_packs: tally.kept_packs,
            live_bytes: tally.live_bytes,
            tolerated_bytes: tally.tolerated_bytes,
            bound_bytes: tally.bound_bytes,
            dead_packs: tally.dead_packs,
            dead_bytes: tally.dead_bytes,
            duplicate_packs: tally.double_packs,
            duplicate_bytes: tally.double_bytes,
            orphaned_packs: tally.orphaned_packs,
            orphaned_bytes: tally.orphaned_bytes,
            open_packs: tally.open_packs,
            open_bytes: tally.open_bytes,
            repacked_packs: tally.repacked_packs,
            repacked_bytes: tally.repacked_bytes,
            copied_bytes: tally.copied_bytes,
            freed_bytes: tally.freed_bytes(),
        }
    }
}

impl OldVersionsKept {
    fn of(repository: &Repository, old: &OldVersions) -> Self {
        let &OldVersions { count, bytes, newest: _, end_after_days } = old;
        let free_at = free_time(old).map(|at| time_words(at, 0));
        let locked_until = lock_end(repository, old).map(|at| time_words(at, 0));
        Self { count, bytes, end_after_days, free_at, locked_until }
    }
}

impl From<OpenSession> for WaitingSession {
    fn from(open: OpenSession) -> Self {
        Self {
            session: open.session.session.to_string(),
            client: open.session.client.to_string(),
            idle_seconds: open.idle.map(|idle| idle.as_secs()),
        }
    }
}

/// Five percent.
const UNUSED_SHARE: u32 = 500;
const FENCE_AFTER: Duration = Duration::from_hours(24);
