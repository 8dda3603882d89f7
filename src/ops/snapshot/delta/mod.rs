//! Deltas: what of an older version stood where something new stands, and whether it may be read.

pub(crate) mod older;
pub(crate) mod predecessor;
pub(crate) mod store;
pub(crate) mod track;

use crate::ops::snapshot::options::DeltaMode;
use crate::repo::error::RepoError;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::repo::write::ChunkStore;
use crate::repo::write::bases::BasesFrom;
use serde::Serialize;
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
    /// The older version lies behind a network, and this host has not kept it.
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

/// Where bases come from in this mode; `None` if nothing becomes a delta.
///
/// Errors: [`RepoError::RoleLacks`] if deltas are asked for and the role cannot read contents.
pub(crate) fn bases_from(
    repository: &Repository,
    mode: DeltaMode,
) -> Result<Option<BasesFrom>, RepoError> {
    let may_read = Right::ReadContents.roles().contains(&repository.keys.role);
    match mode {
        DeltaMode::Off => Ok(None),
        DeltaMode::Auto => Ok(may_read.then_some(BasesFrom::ThisHost)),
        DeltaMode::On if may_read => Ok(Some(BasesFrom::Anywhere)),
        DeltaMode::On => Err(repository.keys.lacks(Right::ReadContents)),
    }
}
