//! Reads what was planned, seen, tried and promised. Spec: format-spec/19-attest.md. Writing it: `mark_writer.rs`.

use crate::format::attest;
use crate::format::attest::Attested;
use crate::format::layout;
use crate::id::ClientId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::RepoErrorAt;
use crate::repo::marks::Stored;
use crate::repo::marks::load_records;
use crate::repo::marks::read_mark;
use crate::repo::repository::Repository;

/// A record that counts.
#[derive(Debug, Clone)]
pub(crate) struct Attestation<T> {
    /// Its key in the store: what reports call the evidence.
    pub(crate) key: ObjectKey,
    /// Who signed it.
    pub(crate) client: ClientId,
    /// What it says.
    pub(crate) said: T,
}

/// The newest record of a kind of the client in use that `is_wanted`; one that cannot be read is passed over.
pub(crate) fn newest_own<T: Attested>(
    repository: &Repository,
    is_wanted: impl Fn(&T) -> bool,
) -> Result<Option<T>, RepoError> {
    let client = repository.client();
    let listed = repository.list_keys(&format!("{}/{}/{client}", layout::RECORDS, T::KIND))?;
    let numbers = listed.iter().filter_map(|key| layout::parse_record_key(T::KIND, key).ok());
    let mut numbers: Vec<u32> = numbers.map(|(_client, number)| number).collect();
    numbers.sort_unstable();
    for number in numbers.into_iter().rev().take(OWN_COUNT_MAX) {
        match read_mark(repository, T::KIND, client, number, attest::read::<T>) {
            Ok((said, _role)) if is_wanted(&said) => return Ok(Some(said)),
            Ok(_other) => {}
            Err(error) if repository.is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Every record of a kind that counts, by time, client and number; and those that cannot be read.
pub(crate) fn load_attested<T: Attested>(
    repository: &Repository,
) -> Result<(Vec<Attestation<T>>, Vec<RepoErrorAt>), RepoError> {
    let (stored, unreadable) = load_records(repository, T::KIND, attest::read::<T>)?;
    let counts = |stored: Stored<T>| {
        stored.role.filter(|role| T::ROLES.contains(role))?;
        let Stored { key, client, mark: said, .. } = stored;
        Some(Attestation { key, client, said })
    };
    let mut found: Vec<Attestation<T>> = stored.into_iter().filter_map(counts).collect();
    // Stable: a client's records of one time stay in the order of their numbers.
    found.sort_by(|one, other| one.said.time().cmp(other.said.time()));
    Ok((found, unreadable))
}

/// Records of one client that are looked through for one of a host: keys are rarely shared.
const OWN_COUNT_MAX: usize = 16;
