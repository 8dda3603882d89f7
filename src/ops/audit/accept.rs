//! A repository that was put back on purpose.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::unreadable::rollback_finding;
use crate::repo::audit::chain::known_head;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::memory::Memory;
use crate::repo::memory::WentBack;
use crate::repo::memory::verdict_is_missing;
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

/// What a reader is warned of, found with two small reads at most and no listing: those that load what is valid find
/// more.
///
/// Errors: the store fails.
pub fn warning(repository: &Repository) -> Result<Option<Finding>, OpError> {
    if let Some(back) = audit_went_back(repository)? {
        return Ok(Some(rollback_finding(&back)));
    }
    let back = verdict_is_missing(repository).during("cannot read the last collection")?;
    Ok(back.as_ref().map(rollback_finding))
}

/// Forgets what this host has seen, if the repository lacks some of it; returns what.
///
/// Whoever calls this records it.
pub fn accept_rollback(repository: &Repository) -> Result<Option<WentBack>, OpError> {
    let back = went_back(repository)?;
    if back.is_some() {
        let accepted_gaps = repository.identities.gaps().collect();
        let forget = |memory: &mut Memory| *memory = Memory { accepted_gaps, ..Memory::default() };
        repository.remember(forget).during("cannot change this host's memory")?;
    }
    Ok(back)
}
