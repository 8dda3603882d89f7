//! Locks of objects, which end: whoever prunes extends those of everything that stays.

use crate::format::attest::state::StatedStore;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::joined::at_once;
use crate::repo::repository::Repository;
use crate::store::Versioned;
use crate::store::probe::PROBE_FOLDER;
use std::time::Duration;
use std::time::SystemTime;

pub(crate) use crate::store::OldVersions;

/// Locks every object of the repository anew whose lock ends within half of the time for which
/// objects are locked; returns how many. Calls `beat` now and then.
///
/// Errors: whatever the store refuses; [`RepoError::Interrupted`] if `beat` says so.
pub(crate) fn extend_locks(
    repository: &Repository,
    now: SystemTime,
    beat: &dyn Fn() -> Result<(), RepoError>,
) -> Result<u64, RepoError> {
    let Some(store) = repository.store.versioned() else { return Ok(0) };
    let Some(days) = store.lock_days() else { return Ok(0) };
    let period = DAY * days;
    let mut extended = 0;
    for some in aged(repository, now, period)?.chunks(OBJECTS_COUNT_MAX) {
        beat()?;
        for locked in at_once(some, |key| extend(store, key, now, period)) {
            extended += u64::from(locked?);
        }
    }
    Ok(extended)
}

/// What the store keeps of what was deleted or replaced; `None` if it keeps nothing.
pub(crate) fn old_versions(repository: &Repository) -> Result<Option<OldVersions>, RepoError> {
    let keeps = repository.store.features()?.versioning == Some(true);
    let Some(store) = repository.store.versioned().filter(|_| keeps) else { return Ok(None) };
    Ok(Some(store.old_versions()?))
}

/// What the store does with what is deleted, as far as it tells these credentials.
pub(crate) fn stated_store(repository: &Repository) -> StatedStore {
    let store = &repository.store;
    StatedStore {
        kind: store_kind(&store.location()).to_owned(),
        // What a store does not tell is not known.
        versions: store.features().unwrap_or_default().versioning,
        locked_days: store.versioned().and_then(Versioned::lock_days),
    }
}

/// Of which kind the store of a location is, in the word of states.
pub(crate) fn store_kind(location: &str) -> &'static str {
    let scheme = location.split_once("://").map(|(scheme, _place)| scheme);
    let buckets = ["s3", "gs", "az"].into_iter().find(|kind| scheme == Some(*kind));
    buckets.unwrap_or("directory")
}

/// When the last old version goes by the store's own rules, in seconds since 1970.
pub(crate) fn free_time(old: &OldVersions) -> Option<i64> {
    days_after(old.newest?, old.end_after_days?)
}

/// For how many days objects are locked when they are stored, if they are.
pub(crate) fn lock_days(repository: &Repository) -> Option<u32> {
    repository.store.versioned()?.lock_days()
}

/// When the last lock of an old version ends at the latest, in seconds since 1970: whoever prunes extends a lock to
/// as many days from then at most, and only while the object is there.
pub(crate) fn lock_end(repository: &Repository, old: &OldVersions) -> Option<i64> {
    days_after(old.newest?, lock_days(repository)?)
}

fn days_after(time: SystemTime, days: u32) -> Option<i64> {
    let since = (time + DAY * days).duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Objects whose first lock may end soon: younger ones were locked when they were stored.
fn aged(
    repository: &Repository,
    now: SystemTime,
    period: Duration,
) -> Result<Vec<ObjectKey>, RepoError> {
    let is_young = |received: Option<SystemTime>| {
        received.is_some_and(|at| now.duration_since(at).unwrap_or_default() < period / 2)
    };
    let listed = repository.store.list("")?.into_iter();
    let aged = listed.filter(|listed| {
        !is_young(listed.received) && listed.key.segments().next() != Some(PROBE_FOLDER)
    });
    Ok(aged.map(|listed| listed.key).collect())
}

fn extend(
    store: &dyn Versioned,
    key: &ObjectKey,
    now: SystemTime,
    period: Duration,
) -> Result<bool, RepoError> {
    if store.locked_until(key)?.is_some_and(|until| until > now + period / 2) {
        return Ok(false);
    }
    store.lock_until(key, now + period)?;
    Ok(true)
}

const DAY: Duration = Duration::from_hours(24);
/// Objects that are looked at between two signs of life.
const OBJECTS_COUNT_MAX: usize = 256;
