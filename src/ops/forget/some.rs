//! `forget SNAPSHOT…`: snapshots that a person names no longer count.

use crate::format::mark;
use crate::id::RecordId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::forget::check_keeps_known;
use crate::ops::forget::guard::Consent;
use crate::ops::forget::record_finding;
use crate::ops::hold::held_words;
use crate::ops::hold::is_over;
use crate::ops::hold::release_over;
use crate::ops::moved::is_missing_there;
use crate::ops::moved::unless_moved;
use crate::ops::select::Selector;
use crate::ops::words::time_words;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::mark_writer::check_forgets;
use crate::repo::mark_writer::store_forget;
use crate::repo::marks::Marks;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;

/// Snapshots that are to be forgotten.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SomePlan {
    /// Which, with their sources.
    pub snapshots: BTreeMap<SnapshotId, String>,
    /// What is damaged.
    pub findings: Vec<Finding>,
    marks: Marks,
}

/// Finds the snapshots that selectors name and checks that they may be forgotten.
///
/// Errors: [`OpError::Refused`] if something holds one of them, and, without force, if a source
/// would have no complete snapshot any more.
pub fn plan_some(
    repository: &Repository,
    selectors: &[Selector],
    consent: Consent,
) -> Result<SomePlan, OpError> {
    let (history, named) = select_live(repository, selectors)?;
    let marks = Marks::load(repository).during("cannot read the marks on snapshots")?;
    check_keeps_known(&marks, consent)?;
    let now = repository.environment.now().0;
    for snapshot in named.keys() {
        let holds = marks.held_by(snapshot);
        if let Some(held) = holds.iter().find(|held| !is_over(&held.hold, now)) {
            let why = format!("snapshot {} is {}", snapshot.short(), held_words(&held.hold));
            return Err(OpError::Refused { why });
        }
    }
    if consent != Consent::Force {
        check_left(repository, &history, &named)?;
    }
    let findings = marks.unreadable.iter().map(record_finding).collect();
    Ok(SomePlan { snapshots: named, findings, marks })
}

/// Forgets the snapshots that were planned.
pub fn execute_some(
    repository: &Repository,
    plan: &SomePlan,
    reason: Option<String>,
) -> Result<RecordId, OpError> {
    check_forgets(repository).during("cannot forget snapshots")?;
    let snapshots: Vec<SnapshotId> = plan.snapshots.keys().copied().collect();
    release_over(repository, &plan.marks, &snapshots)?;
    let time = Some(time_words(repository.environment.now().0, 0));
    let forget = mark::Forget { snapshots, reason, time, ..mark::Forget::default() };
    store_forget(repository, &forget).during("cannot store the forget")
}

/// What is valid, and the snapshots of it that selectors name, with their sources.
pub(crate) fn select_live(
    repository: &Repository,
    selectors: &[Selector],
) -> Result<(History, BTreeMap<SnapshotId, String>), OpError> {
    let select = || {
        let history = History::load(repository).during("cannot read what is valid")?;
        history.check_not_back().during("cannot change what counts")?;
        let named = select_all(repository, &history, selectors)?;
        Ok((history, named))
    };
    unless_moved(repository, select, is_missing_there)
}

/// The snapshots that selectors name, with their sources.
pub(crate) fn select_all(
    repository: &Repository,
    history: &History,
    selectors: &[Selector],
) -> Result<BTreeMap<SnapshotId, String>, OpError> {
    let mut named = BTreeMap::new();
    for selector in selectors {
        if selector.has_path() {
            let why = "a path in a snapshot cannot be meant here; name the snapshot".to_owned();
            return Err(OpError::Usage { why });
        }
        let selected = selector.select_in(repository, history)?;
        named.insert(selected.live.snapshot, selected.live.source);
    }
    Ok(named)
}

/// Checks that each source keeps a complete snapshot if it has one.
fn check_left(
    repository: &Repository,
    history: &History,
    named: &BTreeMap<SnapshotId, String>,
) -> Result<(), OpError> {
    let mut sources: Vec<&String> = named.values().collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        let of_source = history.snapshots.iter().filter(|live| live.source == *source);
        let (gone, left): (Vec<_>, Vec<_>) =
            of_source.partition(|live| named.contains_key(&live.snapshot));
        let any_complete = |lives: &[&LiveSnapshot]| {
            lives.iter().any(|live| {
                live.manifest(repository).is_ok_and(|manifest| !manifest.predicate.incomplete)
            })
        };
        if left.is_empty() || (!any_complete(&left) && any_complete(&gone)) {
            let why = format!("source `{source}` would have no complete snapshot any more");
            return Err(OpError::Refused { why });
        }
    }
    Ok(())
}
