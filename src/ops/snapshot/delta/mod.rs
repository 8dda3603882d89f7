//! Deltas: what of an older version stood where something new stands, and whether it may be read.

pub(crate) mod kept;
pub(crate) mod older;
pub(crate) mod predecessor;
pub(crate) mod store;
pub(crate) mod track;

use crate::ops::snapshot::delta::predecessor::Predecessor;
use crate::ops::snapshot::options::DeltaCache;
use crate::ops::snapshot::options::DeltaMode;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::repo::error::RepoError;
use crate::repo::kept_dump::newer::NewKeptDump;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::repo::write::ChunkStore;
use crate::repo::write::bases::BasesFrom;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What became of deltas in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeltaUse {
    /// Nothing was to become one.
    #[default]
    Off,
    /// The role cannot read what is stored.
    RoleCannotRead,
    /// The older version lies behind a network, or the role cannot read it, and this host has not kept it.
    NotOnThisHost,
    /// They were made where an older version was and it paid.
    On {
        /// Plaintext bytes that were stored so.
        bytes: u64,
    },
}

impl DeltaUse {
    /// What became of them in a run that stored into `store`.
    pub(crate) fn of(
        store: &ChunkStore,
        mode: DeltaMode,
        bases: Option<BasesFrom>,
        is_far: bool,
    ) -> Self {
        let bytes = store.counters().delta_bytes.load(Ordering::Relaxed);
        match bases {
            None if mode == DeltaMode::Off => Self::Off,
            None => Self::RoleCannotRead,
            Some(_) if bytes == 0 && is_far => Self::NotOnThisHost,
            Some(_) => Self::On { bytes },
        }
    }
}

/// What this host keeps of the streams of a run, which it can read then though its key cannot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostKeeps {
    /// Nothing: nobody asked for it, the key reads contents anyway, or there was no stream.
    #[default]
    Nothing,
    /// What the next run needs for deltas.
    Kept {
        /// The room that it takes on this host.
        bytes: u64,
    },
    /// Not all of it: there is no room, and what was kept of the version before is removed.
    DoesNotFit {
        /// The room that all dumps of a repository may take together.
        bytes_max: u64,
    },
    /// Not all of it: it could not be written.
    Failed,
}

/// What stood in the place of a content, and what is kept of it for the next time.
#[derive(Debug, Default)]
pub(crate) struct Before<'a> {
    pub(crate) predecessor: Option<Predecessor<'a>>,
    pub(crate) kept: Option<Arc<NewKeptDump>>,
}

impl<'a> Before<'a> {
    /// An older version that is read from the store, if there is one.
    pub(crate) fn stored(predecessor: Option<Predecessor<'a>>) -> Self {
        Self { predecessor, kept: None }
    }

    /// An older version that this host kept, if it did, where it keeps the new one.
    pub(crate) fn kept(kept: Option<Arc<NewKeptDump>>) -> Self {
        let older = kept.as_ref().and_then(|kept| kept.older());
        Self { predecessor: older.map(Arc::clone).map(Predecessor::of_kept), kept }
    }
}

/// Where bases come from in a run; `None` if nothing becomes a delta.
///
/// Errors: [`RepoError::RoleLacks`] if deltas are asked for and the role cannot read contents.
pub(crate) fn bases_from(
    repository: &Repository,
    options: &SnapshotOptions,
) -> Result<Option<BasesFrom>, RepoError> {
    let may_read = Right::ReadContents.roles().contains(&repository.keys.role);
    if may_read {
        return Ok(match options.delta {
            DeltaMode::Off => None,
            DeltaMode::Auto => Some(BasesFrom::ThisHost),
            DeltaMode::On => Some(BasesFrom::Anywhere),
        });
    }
    match (options.delta, options.delta_cache) {
        (DeltaMode::Off, _) | (DeltaMode::Auto, DeltaCache::Off) => Ok(None),
        (DeltaMode::Auto | DeltaMode::On, DeltaCache::Host) => Ok(Some(BasesFrom::KeptDump)),
        (DeltaMode::On, DeltaCache::Off) => Err(repository.keys.lacks(Right::ReadContents)),
    }
}
