//! `hold` and `release`: snapshots that nothing forgets.

use crate::format::mark::Hold;
use crate::format::mark::Release;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::forget::some::select_live;
use crate::ops::forget::undo::Kept;
use crate::ops::forget::undo::kept_in_time;
use crate::ops::select::Selector;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::mark_writer::store_hold;
use crate::repo::mark_writer::store_release;
use crate::repo::marks::HeldBy;
use crate::repo::marks::Marks;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Holds the snapshots that selectors name.
///
/// `until` is when a forget may release it, RFC 3339; returns whether each was held in time.
pub fn hold(
    repository: &Repository,
    selectors: &[Selector],
    reason: &str,
    until: Option<String>,
) -> Result<BTreeMap<SnapshotId, Kept>, OpError> {
    let (history, named) = select_live(repository, selectors)?;
    history.check_not_back().during("cannot change what counts")?;
    let snapshots: Vec<SnapshotId> = named.into_keys().collect();
    let hold = Hold {
        snapshots: snapshots.clone(),
        reason: Some(reason.to_owned()),
        time: Some(time_words(repository.environment.now().0, 0)),
        until,
        origin: None,
    };
    store_hold(repository, &hold).during("cannot store the hold")?;
    kept_in_time(repository, &snapshots)
}

/// A hold of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnapshotHold {
    /// Why.
    pub reason: Option<String>,
    /// When it was placed, RFC 3339 in UTC, by the clock of whoever did.
    pub time: Option<String>,
    /// When a forget may end it; until then and after it, it holds.
    pub until: Option<String>,
    /// Whether that time is over. The hold goes on until a release or a forget ends it.
    pub is_over: bool,
    /// Who placed it.
    pub client: String,
    /// The record that says it.
    pub record: String,
}

impl SnapshotHold {
    /// `held until 2026-12-31T23:59:59Z: lawsuit (by 1a2b3c4d)`.
    pub fn words(&self) -> String {
        let until = self.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        let over = if self.is_over { ", which is over: it holds until it is released" } else { "" };
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let by: String = self.client.chars().take(SHORT_DIGITS).collect();
        format!("held{until}{over}{reason} (by {by})")
    }
}

/// What holds a snapshot.
pub(crate) fn holds_of(
    repository: &Repository,
    marks: &Marks,
    snapshot: SnapshotId,
) -> Vec<SnapshotHold> {
    let now = repository.environment.now().0;
    let hold = |held: &HeldBy| SnapshotHold {
        reason: held.hold.reason.clone(),
        time: held.hold.time.clone(),
        until: held.hold.until.clone(),
        is_over: is_over(&held.hold, now),
        client: held.client.to_string(),
        record: held.place.clone(),
    };
    marks.held_by(&snapshot).iter().map(hold).collect()
}

/// Ends every hold of the snapshots that selectors name.
///
/// Returns the snapshots, and how many holds of each ended. Errors: [`OpError::Refused`] if nothing
/// holds one of them.
pub fn release(
    repository: &Repository,
    selectors: &[Selector],
    reason: Option<String>,
) -> Result<BTreeMap<SnapshotId, usize>, OpError> {
    let (history, named) = select_live(repository, selectors)?;
    history.check_not_back().during("cannot change what counts")?;
    let marks = Marks::load(repository).during("cannot read the marks on snapshots")?;
    let mut released = BTreeMap::new();
    let mut holds = BTreeSet::new();
    for snapshot in named.into_keys() {
        let held = marks.held_by(&snapshot);
        if held.is_empty() {
            let why = format!("nothing holds snapshot {}", snapshot.short());
            return Err(OpError::Usage { why });
        }
        for HeldBy { place, client, .. } in held {
            repository.check_releases(*client).during("cannot release a snapshot")?;
            holds.insert(place.clone());
        }
        released.insert(snapshot, held.len());
    }
    let release = Release {
        snapshots: released.keys().copied().collect(),
        holds: holds.into_iter().collect(),
        reason,
        time: Some(time_words(repository.environment.now().0, 0)),
    };
    store_release(repository, &release).during("cannot store the release")?;
    Ok(released)
}

/// Whether a hold may be released without asking whoever placed it.
pub(crate) fn is_over(hold: &Hold, now: i64) -> bool {
    let until = hold.until.as_deref().and_then(parse_time);
    until.is_some_and(|(seconds, _nanoseconds)| seconds < now)
}

/// `held until 2026-12-31T23:59:59Z: lawsuit`.
pub(crate) fn held_words(hold: &Hold) -> String {
    let until = hold.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    let reason = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("held{until}{reason}")
}

/// Releases holds of these snapshots whose time is over; the others are left.
pub(crate) fn release_over(
    repository: &Repository,
    marks: &Marks,
    snapshots: &[SnapshotId],
) -> Result<(), OpError> {
    let now = repository.environment.now().0;
    let mut over = BTreeSet::new();
    let mut holds = BTreeSet::new();
    for snapshot in snapshots {
        for held in marks.held_by(snapshot).iter().filter(|held| is_over(&held.hold, now)) {
            over.insert(*snapshot);
            holds.insert(held.place.clone());
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    let release = Release {
        snapshots: over.into_iter().collect(),
        holds: holds.into_iter().collect(),
        reason: Some("the time of the hold is over".to_owned()),
        time: Some(time_words(now, 0)),
    };
    store_release(repository, &release).during("cannot store the release")?;
    Ok(())
}

/// Digits of an id for people.
const SHORT_DIGITS: usize = 8;
