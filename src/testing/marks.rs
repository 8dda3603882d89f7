//! Marks on snapshots, stored without the policies and guards of the commands; and what records say of them.

use crate::format::attest::deletion::Deletion;
use crate::format::mark::Forget;
use crate::format::mark::Hold;
use crate::format::mark::Undo;
use crate::id::RecordId;
use crate::id::SnapshotId;
use crate::repo::attest::load_attested;
use crate::repo::error::RepoError;
use crate::repo::mark_writer::store_forget;
use crate::repo::mark_writer::store_hold;
use crate::repo::mark_writer::store_undo;
use crate::repo::repository::Repository;

/// Stores a forget of these snapshots.
pub fn forget_in(repository: &Repository, snapshots: &[SnapshotId]) -> Result<RecordId, RepoError> {
    store_forget(repository, &Forget { snapshots: sorted(snapshots), ..Forget::default() })
}

/// Stores that a forget no longer holds.
pub fn undo_in(repository: &Repository, forget: RecordId) -> Result<(), RepoError> {
    store_undo(repository, &Undo { forget, snapshots: Vec::new() }).map(|_key| ())
}

/// Stores that these snapshots must be kept.
pub fn hold_in(repository: &Repository, snapshots: &[SnapshotId]) -> Result<(), RepoError> {
    let hold = Hold { snapshots: sorted(snapshots), ..Hold::default() };
    store_hold(repository, &hold).map(|_key| ())
}

/// Every certificate of a deletion that counts, with its key, by time.
pub fn deletions_in(repository: &Repository) -> Result<Vec<(String, Deletion)>, RepoError> {
    let (found, _unreadable) = load_attested::<Deletion>(repository)?;
    Ok(found.into_iter().map(|found| (found.key.to_string(), found.said)).collect())
}

fn sorted(snapshots: &[SnapshotId]) -> Vec<SnapshotId> {
    let mut sorted = snapshots.to_vec();
    sorted.sort_unstable();
    sorted
}
