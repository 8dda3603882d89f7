//! Repairing a repository from what it still has: nothing is deleted, and nothing is changed in place.
//! Spec: format-spec/06-index.md, "Lost segments", and format-spec/09-session.md.

pub(crate) mod index;
pub(crate) mod packs;

use crate::format::outcome::Subject;
use crate::repo::error::RepoError;
use crate::repo::session::Committed;
use crate::repo::write::ChunkStore;

/// Commits what a session wrote that makes no snapshot. If it was fenced, nothing counts.
pub(crate) fn commit(store: &ChunkStore) -> Result<(), RepoError> {
    let durable = store.finish()?;
    match store.take_session()?.commit(Subject::Maintenance, durable)? {
        Committed::Yes => Ok(()),
        Committed::Fenced => Err(RepoError::Fenced { attempts: 1 }),
    }
}
