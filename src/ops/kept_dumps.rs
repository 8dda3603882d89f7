//! What this host keeps of dumps, and can read though its key cannot: told, and removed.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::kept_dump;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use serde::Serialize;

/// What this host keeps of a repository's dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptDumps {
    /// How many dumps; of one that is a directory, each large file counts.
    pub dumps: u64,
    /// The room that they take.
    pub bytes: u64,
}

/// What there is, whether more is to be kept or not.
pub fn kept_dumps(repository: &Repository) -> KeptDumps {
    let kept_dump::Survey { dumps, bytes } = kept_dump::survey(repository);
    KeptDumps { dumps, bytes }
}

/// Whether a host with this key has a use for them: its key stores dumps, and cannot read them.
pub fn needs_kept_dumps(repository: &Repository) -> bool {
    let role = repository.role();
    Right::SignSnapshots.roles().contains(&role) && !Right::ReadContents.roles().contains(&role)
}

/// Removes the key that they are sealed with, after which nothing opens them.
pub fn remove_dump_key(repository: &Repository) -> Result<(), OpError> {
    kept_dump::remove_key(repository).during("cannot remove what opens the kept dumps")
}
