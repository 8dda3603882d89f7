//! A repository that was put back on purpose.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::audit::chain::known_head;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::memory::Memory;
use crate::repo::memory::WentBack;
use crate::repo::repository::Repository;

/// Finds out whether the repository lacks what this host has seen of it.
pub(crate) fn went_back(repository: &Repository) -> Result<Option<WentBack>, OpError> {
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    if history.went_back.is_some() {
        return Ok(history.went_back);
    }
    audit_went_back(repository)
}

/// The same of the audit log of the client in use.
pub(crate) fn audit_went_back(repository: &Repository) -> Result<Option<WentBack>, OpError> {
    match known_head(repository) {
        Err(RepoError::WentBack { source }) => Ok(Some(source)),
        // Damage is told where it matters.
        Err(error) if !error.is_damage() => Err(error).during("cannot read the audit log"),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Forgets what this host has seen, if the repository lacks some of it; returns what.
///
/// Whoever calls this records it.
pub fn accept_rollback(repository: &Repository) -> Result<Option<WentBack>, OpError> {
    let back = went_back(repository)?;
    if back.is_some() {
        let forget = |memory: &mut Memory| *memory = Memory::default();
        repository.remember(forget).during("cannot change this host's memory")?;
    }
    Ok(back)
}
