//! `forget --undo`: what was forgotten counts again, unless a collection was faster.

use crate::format::mark::Undo;
use crate::id::RecordId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::forget::some::select_all;
use crate::ops::moved::is_missing_there;
use crate::ops::moved::unless_moved;
use crate::ops::prune::decide_collection;
use crate::ops::select::Selector;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::is_missing;
use crate::repo::history::load_plan;
use crate::repo::history::verdict_that_forgot;
use crate::repo::mark_writer::store_undo;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;

/// Whether a snapshot was kept in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kept {
    /// It counts.
    Yes,
    /// A collection removed it.
    TooLate {
        /// The collection's number.
        collection: u64,
    },
    /// A collection that began before has not decided yet.
    Undecided {
        /// The collection's number.
        collection: u64,
    },
}

/// Lets the forgotten snapshots that selectors name count again; returns whether they do.
///
/// Errors: [`OpError::TooLate`] if a collection removed one that is named by its id;
/// [`OpError::NoSnapshot`] if no forgotten snapshot is named.
pub fn undo(
    repository: &Repository,
    selectors: &[Selector],
) -> Result<BTreeMap<SnapshotId, Kept>, OpError> {
    unless_moved(repository, || undo_once(repository, selectors), is_missing_there)
}

fn undo_once(
    repository: &Repository,
    selectors: &[Selector],
) -> Result<BTreeMap<SnapshotId, Kept>, OpError> {
    let mut history = History::load(repository).during("cannot read what is valid")?;
    history.check_not_back().during("cannot change what counts")?;
    history.snapshots = std::mem::take(&mut history.forgotten);
    for selector in selectors {
        check_in_time(repository, &history, selector)?;
    }
    let named = select_all(repository, &history, selectors)?;
    let snapshots: Vec<SnapshotId> = named.into_keys().collect();
    let mut undos: BTreeMap<RecordId, Vec<SnapshotId>> = BTreeMap::new();
    for snapshot in &snapshots {
        for (forget, _request) in history.marks.forgets_of(*snapshot) {
            undos.entry(forget).or_default().push(*snapshot);
        }
    }
    for (forget, snapshots) in undos {
        let undo = Undo::new(forget, snapshots);
        store_undo(repository, &undo).during("cannot store the undo")?;
    }
    kept_in_time(repository, &snapshots)
}

/// Finds out whether snapshots that a record was just stored for are kept.
///
/// A plan that lists a forget of one was made before the record: its verdict decides, which reads
/// such records once more. It is helped to that, as far as the role allows and no session runs.
pub(crate) fn kept_in_time(
    repository: &Repository,
    snapshots: &[SnapshotId],
) -> Result<BTreeMap<SnapshotId, Kept>, OpError> {
    let what = "cannot read what is valid";
    let mut running = plans_to_forget(repository, snapshots)?;
    if let Some(&collection) = running.values().next() {
        decide_collection(repository, collection)?;
        running = plans_to_forget(repository, snapshots)?;
    }
    let history = History::load(repository).during(what)?;
    let kept = snapshots.iter().map(|snapshot| {
        let is_live = history.snapshots.iter().any(|live| live.snapshot == *snapshot);
        let kept = match running.get(snapshot) {
            // The verdict may have come since the plan was read.
            Some(collection) if is_live && history.verdict.number < *collection => {
                Kept::Undecided { collection: *collection }
            }
            Some(_) | None if is_live => Kept::Yes,
            Some(_) | None => Kept::TooLate { collection: history.verdict.number },
        };
        (*snapshot, kept)
    });
    Ok(kept.collect())
}

/// Snapshots that a plan without verdict forgets, and the number of its collection.
fn plans_to_forget(
    repository: &Repository,
    snapshots: &[SnapshotId],
) -> Result<BTreeMap<SnapshotId, u64>, OpError> {
    let chain = Chain::load(repository).during(CHAIN_READ)?;
    if chain.plan <= chain.verdict {
        return Ok(BTreeMap::new());
    }
    let plan = match load_plan(repository, chain.plan) {
        // Swept since it was listed: its verdict is there.
        Err(error) if is_missing(&error) => return Ok(BTreeMap::new()),
        plan => plan.during("cannot read the newest plan")?,
    };
    let history = History::load(repository).during("cannot read what is valid")?;
    let is_planned = |snapshot: &&SnapshotId| {
        plan.forgets.iter().any(|forget| history.marks.names(*forget, snapshot))
    };
    Ok(snapshots.iter().filter(is_planned).map(|snapshot| (*snapshot, chain.plan)).collect())
}

/// Errors if a collection removed the snapshot that a selector names by its id.
fn check_in_time(
    repository: &Repository,
    history: &History,
    selector: &Selector,
) -> Result<(), OpError> {
    let Some(digits) = selector.digits() else { return Ok(()) };
    let begins = |snapshot: &SnapshotId| snapshot.to_string().starts_with(digits);
    if history.snapshots.iter().any(|live| live.begins_with(digits)) {
        return Ok(());
    }
    match verdict_that_forgot(repository, history.verdict.number, &begins) {
        Ok(Some((collection, snapshot))) => {
            Err(OpError::TooLate { snapshot: snapshot.short(), collection })
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error).during("cannot read what collections forgot"),
    }
}

const CHAIN_READ: &str = "cannot read the newest plan";
