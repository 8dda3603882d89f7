//! What was planned, seen, tried and promised, stored without the commands that do.

use crate::format::attest::Attested;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::mark_writer::store_attested;
use crate::repo::repository::Repository;

/// Stores a record as the client of the slot in use.
pub fn attest_in<T: Attested>(
    repository: &Repository,
    attested: &T,
) -> Result<ObjectKey, RepoError> {
    store_attested(repository, attested)
}
