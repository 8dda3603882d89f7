//! Makes a mirror a repository of its own. Spec: format-spec/15-mirror.md, "Reading and writing".

use crate::format::config::Change;
use crate::format::config::StoreMode;
use crate::id::Digest;
use crate::id::HistoryId;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::mirror::error::MirrorError;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;

/// Promotes a mirror whose store was found to be of this mode.
///
/// Errors: [`MirrorError::NotAMirror`], [`MirrorError::Promoted`]; [`RepoError::RoleLacks`] without
/// the authority's key.
pub(crate) fn promote(repository: &Repository, mode: StoreMode) -> Result<HistoryId, RepoError> {
    check_promotable(repository)?;
    let first = repository.mirror.as_ref().and_then(|mirror| mirror.first);
    let mirror = first.unwrap_or(Digest::new([0; 32]));
    let history = HistoryId::new(random(repository.environment.as_ref()));
    let mut changes = vec![Change::Promote { history, mirror }];
    if repository.store_mode() != mode {
        changes.push(Change::Store(mode));
    }
    repository.amend(changes)?;
    Ok(history)
}

/// Checks that this is a mirror, and that the key in use can promote it.
pub(crate) fn check_promotable(repository: &Repository) -> Result<(), RepoError> {
    let location = repository.location();
    match &repository.mirror {
        None => return Err(MirrorError::NotAMirror { location }.into()),
        Some(mirror) if mirror.is_promoted => return Err(MirrorError::Promoted { location }.into()),
        Some(_mirror) => {}
    }
    if repository.keys.keys.authority.is_none() {
        return Err(repository.keys.lacks(Right::Amend));
    }
    Ok(())
}
