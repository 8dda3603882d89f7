//! Which sessions were announced, and which commits the others say they saw.
//! Spec: format-spec/09-session.md.

use crate::format::layout;
use crate::format::layout::SessionRef;
use crate::format::outcome::Head;
use crate::format::outcome::Outcome;
use crate::id::SessionId;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::load_outcome;
use crate::repo::history::load_verdict;
use crate::repo::repository::Repository;
use std::collections::HashMap;
use std::collections::HashSet;

/// A commit that another one names and that is not there.
#[derive(Debug)]
pub(crate) struct MissingCommit {
    pub(crate) head: Head,
    pub(crate) named_by: SessionRef,
}

/// The sessions that were announced, whether their announcements read or not.
pub(crate) fn announced(repository: &Repository) -> Result<Vec<SessionRef>, RepoError> {
    let keys = repository.list_keys(layout::SESSIONS)?;
    Ok(keys.iter().filter_map(|key| SessionRef::parse_announcement(key).ok()).collect())
}

/// Commits that a readable commit of the same client names as seen, and that neither count nor
/// were folded by a verdict since; those above the watermark that cannot be read are not missing.
pub(crate) fn missing_commits(
    repository: &Repository,
    history: &History,
) -> Result<Vec<MissingCommit>, RepoError> {
    let mut there: HashSet<SessionId> =
        history.outcomes.iter().map(|outcome| outcome.session).collect();
    let unreadable = history.unreadable.iter();
    let unreadable = unreadable.filter_map(|at| SessionRef::parse_outcome(&at.key).ok());
    there.extend(unreadable.map(|session| session.session));
    let mut named: HashMap<SessionId, MissingCommit> = HashMap::new();
    let mut verdict_min = history.verdict.number;
    for &session in &history.outcomes {
        let Ok((Outcome::Commit(commit), _)) = load_outcome(repository, session) else { continue };
        for head in commit.heads {
            if !there.contains(&head.session) {
                verdict_min = verdict_min.min(commit.verdict.number);
                named.insert(head.session, MissingCommit { head, named_by: session });
            }
        }
    }
    if named.is_empty() {
        return Ok(Vec::new());
    }
    if history.is_behind {
        // What cannot be read may have folded any of them.
        return Ok(Vec::new());
    }
    for number in verdict_min + 1..=history.verdict.number {
        let verdict = match load_verdict(repository, number) {
            Ok((verdict, _register)) => verdict,
            // It may have folded any of them.
            Err(error) if error.is_damage() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        for folded in verdict.folded {
            named.remove(&folded.session);
        }
    }
    let mut missing: Vec<MissingCommit> = named.into_values().collect();
    missing.sort_unstable_by_key(|missing| missing.head.session);
    Ok(missing)
}
