//! Ending a session from outside: a fence decides its register, so that it can never commit.
//! Spec: format-spec/09-session.md.

use crate::format::layout::SessionRef;
use crate::format::outcome::FenceReason;
use crate::format::outcome::Outcome;
use crate::format::outcome::Subject;
use crate::id::ClientId;
use crate::repo::announce::give_up;
use crate::repo::error::RepoError;
use crate::repo::gc::maintenance::Maintenance;
use crate::repo::grant::signs;
use crate::repo::history::Chain;
use crate::repo::history::is_missing;
use crate::repo::history::load_outcome;
use crate::repo::history::open_outcome;
use crate::repo::register::Won;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::repo::session::counts_still;

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was given up and can never commit.
    Fenced(FenceReason),
    /// It committed, and that counts; what is not known if a collection folded it.
    Committed(Option<Subject>),
    /// This collection closed it: whatever it commits never counts.
    Closed(u64),
}

/// How a session ended; `None` as long as it may still commit.
pub(crate) fn ending_of(
    repository: &Repository,
    session: SessionRef,
) -> Result<Option<Ending>, RepoError> {
    let outcome = match load_outcome(repository, session) {
        Ok((outcome, _digest)) => Some(outcome),
        Err(error) if is_missing(&error) => None,
        Err(error) => return Err(error),
    };
    judge(repository, session, outcome)
}

/// Checks that the role in use may end the sessions of this client.
pub(crate) fn check_ends(repository: &Repository, client: ClientId) -> Result<(), RepoError> {
    let keys = &repository.keys;
    let is_own = keys.client == client && signs(keys.role);
    if is_own || keys.keys.maintenance.is_some() {
        return Ok(());
    }
    Err(keys.lacks(Right::EndSessionsOfOthers))
}

/// Gives a session up, unless it ended before; returns how it ended, and whether that is our doing.
///
/// Errors: [`RepoError::RoleLacks`] if the session is another client's and the role has no
/// maintenance key. Others leave it unknown whether the session has ended.
pub(crate) fn end(
    repository: &Repository,
    session: SessionRef,
) -> Result<(Ending, bool), RepoError> {
    repository.check_writable()?;
    check_ends(repository, session.client)?;
    // A register of a closed epoch means nothing: none is made.
    if let Some(ending) = ending_of(repository, session)? {
        return Ok((ending, false));
    }
    let (reason, won) = if session.client == repository.keys.client {
        (FenceReason::Own, give_up(repository, session)?)
    } else {
        // The collection that may have to wait for it, whether it has begun or not.
        let number = session.epoch + 1;
        let won = Maintenance::new(repository)?.fence(session, number)?;
        (FenceReason::Collection { number }, won)
    };
    let Won::Theirs(bytes) = won else {
        // Ours may stand where a sweep removed the commit that decided before.
        return Ok(match judge(repository, session, None)? {
            Some(committed @ Ending::Committed(_)) => (committed, false),
            Some(Ending::Fenced(_) | Ending::Closed(_)) | None => (Ending::Fenced(reason), true),
        });
    };
    let theirs = open_outcome(repository, session, &bytes)?;
    let ending = judge(repository, session, Some(theirs))?;
    Ok((ending.unwrap_or(Ending::Fenced(reason)), false))
}

/// What an outcome came to: of a closed epoch only what its verdict folded counts.
fn judge(
    repository: &Repository,
    session: SessionRef,
    outcome: Option<Outcome>,
) -> Result<Option<Ending>, RepoError> {
    let is_closed = Chain::load(repository)?.verdict > session.epoch;
    let is_folded = is_closed && counts_still(repository, session)?;
    Ok(match outcome {
        Some(Outcome::Commit(commit)) if is_folded || !is_closed => {
            Some(Ending::Committed(Some(commit.subject)))
        }
        // The register that was folded is swept, and another one may stand in its place.
        Some(Outcome::Fence(_)) | None if is_folded => Some(Ending::Committed(None)),
        Some(Outcome::Fence(fence)) => Some(Ending::Fenced(fence.reason)),
        Some(Outcome::Commit(_)) => Some(Ending::Closed(session.epoch + 1)),
        None => is_closed.then_some(Ending::Closed(session.epoch + 1)),
    })
}
