//! `rewrite`: snapshots without some paths stand for those that have them.

mod one;
pub(crate) mod tree;

use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::forget::guard::Consent;
use crate::ops::forget::record_finding;
use crate::ops::forget::some::execute_some;
use crate::ops::forget::some::plan_some;
use crate::ops::hold::held_words;
use crate::ops::hold::is_over;
use crate::ops::progress::Progress;
use crate::ops::restore::Filter;
use crate::ops::restore::open_reader;
use crate::ops::rewrite::one::Rewriter;
use crate::ops::rewrite::tree::TreeRewrite;
use crate::ops::rewrite::tree::Unchanged;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::ops::tag::select_snapshots;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::labels::Labels;
use crate::repo::mark_writer::check_forgets;
use crate::repo::marks::Marks;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

/// How to rewrite snapshots.
#[derive(Clone)]
#[non_exhaustive]
pub struct RewriteOptions {
    /// Says of a path, which begins with a slash, and whether it is a directory, that it goes.
    pub exclude: Filter,
    /// Whether anything is stored.
    pub run: Run,
    /// What becomes of the old snapshots.
    pub old: Old,
    /// Why, for people.
    pub reason: Option<String>,
    /// Who called `sudo`, for the manifests.
    pub sudo_user: Option<String>,
}

/// Whether anything is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Run {
    /// Snapshots are made.
    Rewrite,
    /// It is only told what would be.
    Dry,
}

/// What becomes of the old snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Old {
    /// They stay.
    Keep,
    /// They are forgotten, once the new ones count.
    Forget,
}

impl RewriteOptions {
    /// Leaves out what `exclude` says, and keeps the old snapshots.
    pub fn new(exclude: Filter) -> Self {
        Self { exclude, run: Run::Rewrite, old: Old::Keep, reason: None, sudo_user: None }
    }
}

impl fmt::Debug for RewriteOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RewriteOptions").field("run", &self.run).finish_non_exhaustive()
    }
}

/// What rewriting did.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct RewriteReport {
    /// The snapshots that were named.
    pub snapshots: Vec<Rewritten>,
    /// Snapshots of their sources that have what is excluded, forgotten ones among them.
    pub still: Vec<StillHolds>,
    /// What could not be looked at.
    pub findings: Vec<Finding>,
}

/// One snapshot that was named.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Rewritten {
    /// The snapshot.
    pub snapshot: String,
    /// Its source.
    pub source: String,
    /// The time of its data, RFC 3339 in UTC.
    pub time: String,
    /// What became of it.
    pub state: RewriteState,
    /// The snapshot that stands for it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Entries that are left out, those below directories counted.
    pub entries: u64,
    /// Bytes of the files among them.
    pub bytes: u64,
}

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RewriteState {
    /// Another one stands for it.
    Rewritten,
    /// Another one would.
    WouldRewrite,
    /// Another one did already.
    Present,
    /// It has nothing of what is excluded.
    Unchanged,
}

/// A snapshot that has something of what is excluded.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct StillHolds {
    /// The snapshot.
    pub snapshot: String,
    /// Its source.
    pub source: String,
    /// The time of its data, RFC 3339 in UTC.
    pub time: String,
    /// Whether it was forgotten: then a prune removes it.
    pub is_forgotten: bool,
}

impl RewriteReport {
    /// How many snapshots have this state.
    pub fn count(&self, state: RewriteState) -> usize {
        self.snapshots.iter().filter(|one| one.state == state).count()
    }
}

/// Makes for each of the snapshots that selectors name one without what is excluded, with the same
/// source, time and tags. Everything else is shared, and nothing of it is read.
///
/// Errors: [`OpError::Refused`] if the old ones are to be forgotten and something holds one; damage
/// of a tree. Snapshots that were made until then count.
pub fn rewrite(
    repository: &Repository,
    selectors: &[Selector],
    options: &RewriteOptions,
    progress: &dyn Progress,
) -> Result<RewriteReport, OpError> {
    if options.run == Run::Rewrite {
        repository.check_makes_snapshots().during("cannot begin a session")?;
    }
    let selected = select_snapshots(repository, selectors)?;
    if options.old == Old::Forget {
        check_forgettable(repository, &selected)?;
    }
    let labels = Labels::load(repository).during("cannot read tags and notes")?;
    let mut report = RewriteReport::default();
    report.findings.extend(labels.unreadable.iter().map(record_finding));
    let mut unchanged = Unchanged::default();
    progress.begin("rewriting", crate::units::to_u64(selected.len()), 0);
    let mut oldest_first: Vec<&Selected> = selected.values().collect();
    oldest_first.sort_by_key(|one| (&one.manifest.predicate.times.data, one.live.received));
    let rewriter = Rewriter { repository, labels: &labels, options, progress };
    for one in oldest_first {
        report.snapshots.push(rewriter.rewrite(one, &mut unchanged)?);
        progress.advance(1, 0);
    }
    if options.run == Run::Rewrite && options.old == Old::Forget {
        forget_old(repository, &report, options)?;
    }
    still_hold(repository, options, progress, &mut report)?;
    Ok(report)
}

/// Checks before anything is made that the old snapshots may be forgotten.
fn check_forgettable(
    repository: &Repository,
    selected: &BTreeMap<SnapshotId, Selected>,
) -> Result<(), OpError> {
    check_forgets(repository).during("cannot forget snapshots")?;
    let marks = Marks::load(repository).during("cannot read the marks on snapshots")?;
    let now = repository.environment.now().0;
    for snapshot in selected.keys() {
        let holds = marks.held_by(snapshot);
        if let Some(held) = holds.iter().find(|held| !is_over(&held.hold, now)) {
            let held = held_words(&held.hold);
            let why = format!("snapshot {} is {held}; nothing was rewritten", snapshot.short());
            return Err(OpError::Refused { why });
        }
    }
    Ok(())
}

/// Forgets snapshots for which others stand.
fn forget_old(
    repository: &Repository,
    report: &RewriteReport,
    options: &RewriteOptions,
) -> Result<(), OpError> {
    let replaced = report.snapshots.iter().filter(|one| one.new.is_some());
    let selectors: Result<Vec<Selector>, OpError> =
        replaced.map(|one| Selector::parse(one.snapshot.as_bytes())).collect();
    let selectors = selectors?;
    if selectors.is_empty() {
        return Ok(());
    }
    let plan = plan_some(repository, &selectors, Consent::None)?;
    execute_some(repository, &plan, options.reason.clone()).map(|_record| ())
}

/// Looks for what is excluded in all snapshots of the sources, forgotten ones among them.
fn still_hold(
    repository: &Repository,
    options: &RewriteOptions,
    progress: &dyn Progress,
    report: &mut RewriteReport,
) -> Result<(), OpError> {
    let sources: BTreeSet<String> = report.snapshots.iter().map(|one| one.source.clone()).collect();
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    let reader = open_reader(repository)?;
    let mut unchanged = Unchanged::default();
    let live = history.snapshots.iter().map(|live| (live, false));
    let forgotten = history.forgotten.iter().map(|live| (live, true));
    for (live, is_forgotten) in live.chain(forgotten) {
        if !sources.contains(&live.source) {
            continue;
        }
        let looked = look(repository, live, |root, roots| {
            let walk = TreeRewrite::new(&reader, &options.exclude, roots, &mut unchanged, progress);
            walk.run(root)
        });
        match looked {
            Ok((time, true)) => report.still.push(StillHolds {
                snapshot: live.snapshot.to_string(),
                source: live.source.clone(),
                time,
                is_forgotten,
            }),
            Ok((_time, false)) => {}
            Err(OpError::Interrupted) => return Err(OpError::Interrupted),
            Err(error) => {
                let effect = format!("it is not known what it holds: {}", chain_words(&error));
                let object = format!("snapshot {}", live.snapshot);
                report.findings.push(Finding::loss("tree.damaged", object, effect));
            }
        }
    }
    Ok(())
}

/// The time of a snapshot's data, and whether a walk leaves something out of it.
fn look<T>(
    repository: &Repository,
    live: &LiveSnapshot,
    walk: impl FnOnce((crate::id::ChunkId, u8), &[String]) -> Result<(T, tree::LeftOut), OpError>,
) -> Result<(String, bool), OpError> {
    let manifest = live.manifest(repository).during("cannot read a manifest")?;
    let time = manifest.predicate.times.data.clone();
    let Some(root) = manifest.root() else { return Ok((time, false)) };
    let (_tree, left_out) = walk(root, &manifest.predicate.paths)?;
    Ok((time, left_out != tree::LeftOut::default()))
}
