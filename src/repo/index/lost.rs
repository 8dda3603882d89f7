//! Segments that are missing or damaged: what no other one lists, and when nothing is missed.
//! Spec: format-spec/06-index.md, "Lost segments".
//!
//! Every pack says of itself what it holds. A segment is *superseded* once every stored pack that it
//! may have listed stands in another one: then nothing depends on it any more.

use crate::format::index::IndexedPack;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::repo::damage::damaged_packs;
use crate::repo::error::RepoError;
use crate::repo::history::RepoErrorAt;
use crate::repo::index::load::LoadedIndex;
use crate::repo::index::load::load_without;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

/// The index as the store alone has it.
#[derive(Debug)]
pub(crate) struct Survey {
    /// What can be read, and which segments cannot.
    pub(crate) loaded: LoadedIndex,
    /// Stored packs with their lengths that no segment lists which can be read, and a lost one may have
    /// listed.
    pub(crate) unlisted: BTreeMap<PackRef, u64>,
}

/// Reads the segments from the store, without what this host's cache has of them.
///
/// `excluded` are packs that no segment may list any more; what is of sessions that may still commit
/// and what was found damaged stands in no list either.
pub(crate) fn survey(
    repository: &Repository,
    segments: &BTreeSet<SegmentRef>,
    excluded: &HashSet<PackRef>,
    epoch_min: u64,
    beat: &dyn Fn() -> Result<(), RepoError>,
) -> Result<Survey, RepoError> {
    let repository = &uncached(repository);
    // Outcomes before packs: all packs of a session that is closed here are listed.
    let outcomes = repository.list_keys(layout::OUTCOMES)?;
    let decided: HashSet<SessionRef> =
        outcomes.iter().filter_map(|key| SessionRef::parse_outcome(key).ok()).collect();
    let stored = repository.list_packs()?;
    let damaged = damaged_packs(repository)?;
    let loaded = load_without(repository, segments, excluded, 0, beat)?;
    let runs = loaded.index.runs();
    let listed: HashSet<PackRef> =
        runs.iter().flat_map(|run| run.packs()).map(IndexedPack::reference).collect();
    let is_closed = |session: &SessionRef| session.epoch < epoch_min || decided.contains(session);
    let unlisted = stored.into_iter().filter(|(pack, _length)| {
        is_closed(&pack.session)
            && !listed.contains(pack)
            && !excluded.contains(pack)
            && !damaged.contains(&pack.id)
    });
    Ok(Survey { unlisted: unlisted.collect(), loaded })
}

/// Those of `segments` that cannot be read and are superseded.
///
/// Errors: why one cannot be read that is not.
pub(crate) fn superseded(
    repository: &Repository,
    segments: &BTreeSet<SegmentRef>,
    excluded: &HashSet<PackRef>,
    epoch_min: u64,
    beat: &dyn Fn() -> Result<(), RepoError>,
) -> Result<BTreeSet<SegmentRef>, RepoError> {
    let Survey { loaded, unlisted } = survey(repository, segments, excluded, epoch_min, beat)?;
    let lost: BTreeSet<SegmentRef> =
        loaded.unreadable.iter().filter_map(|at| SegmentRef::parse(&at.key).ok()).collect();
    match loaded.unreadable.into_iter().next() {
        Some(at) if !unlisted.is_empty() => Err(error_of(at)),
        Some(_) | None => Ok(lost),
    }
}

/// Why an object cannot be read.
pub(crate) fn error_of(at: RepoErrorAt) -> RepoError {
    let RepoErrorAt { key, error } = at;
    Arc::try_unwrap(error).unwrap_or_else(|_shared| RepoError::WrongHash { key: key.to_string() })
}

/// The same repository for whoever is to see what the store has of it, and nothing that this host keeps.
pub(crate) fn uncached(repository: &Repository) -> Repository {
    Repository { cache: None, ..repository.without_kept() }
}
