//! Reads records of the audit log, with what proves them. Spec: format-spec/10-record.md.

use crate::crypto::hash::sha256;
use crate::format::audit::AuditRecord;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::record::Record;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::Sha256;
use crate::repo::error::RepoError;
use crate::repo::joined::at_once;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A record whose signature counts.
#[derive(Debug, Clone)]
pub(crate) struct AuditStatement {
    /// The bytes that were signed.
    pub(crate) body: Vec<u8>,
    /// Which key signed them.
    pub(crate) signer: KeyId,
    /// Its signature.
    pub(crate) signature: [u8; 64],
    /// What they say.
    pub(crate) record: AuditRecord,
}

impl AuditStatement {
    /// What the next record of the client names as the one before.
    pub(crate) fn digest(&self) -> Sha256 {
        sha256(&self.body)
    }
}

/// Reads a record of a client.
pub(crate) fn read_statement(
    repository: &Repository,
    client: ClientId,
    number: u32,
) -> Result<AuditStatement, RepoError> {
    let key = layout::audit_key(client, number);
    let (_bytes, opened) = repository.read_object(ObjectKind::Audit, &key, key.as_str())?;
    let (signer, signature) = (opened.signer(), opened.signature());
    let body = repository.identities.by_client(repository.id(), client, opened)?;
    repository.check_signed_in_time(signer, &key)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let statement = Record::decode(&body).map_err(decode)?;
    statement.check_place(AuditRecord::KIND, repository.id(), key.as_str()).map_err(decode)?;
    let record = AuditRecord::read(&statement).map_err(decode)?;
    Ok(AuditStatement { body, signer, signature, record })
}

/// Reads records of a client, in the order of their numbers; many at once, since each is a request.
pub(crate) fn read_statements(
    repository: &Repository,
    client: ClientId,
    numbers: &BTreeSet<u32>,
) -> impl Iterator<Item = (u32, Result<AuditStatement, RepoError>)> {
    let numbers: Vec<u32> = numbers.iter().copied().collect();
    let count = numbers.len();
    (0..count).step_by(STATEMENTS_AT_ONCE).flat_map(move |start| {
        let batch = numbers.get(start..count.min(start + STATEMENTS_AT_ONCE)).unwrap_or_default();
        at_once(batch, |number| (*number, read_statement(repository, client, *number)))
    })
}

/// The numbers of the stored records of each client.
pub(crate) fn audit_numbers(
    repository: &Repository,
) -> Result<BTreeMap<ClientId, BTreeSet<u32>>, RepoError> {
    let mut numbers = BTreeMap::new();
    list_numbers(repository, &mut numbers)?;
    // A listing may lack the first of two records that are stored meanwhile, and have the second.
    let is_whole = |numbers: &BTreeSet<u32>| {
        numbers.last().is_none_or(|last| to_u64(numbers.len()) == u64::from(*last))
    };
    if !numbers.values().all(is_whole) {
        list_numbers(repository, &mut numbers)?;
    }
    Ok(numbers)
}

fn list_numbers(
    repository: &Repository,
    numbers: &mut BTreeMap<ClientId, BTreeSet<u32>>,
) -> Result<(), RepoError> {
    for key in repository.list_keys(layout::AUDIT)? {
        if let Ok((client, number)) = layout::parse_audit_key(&key) {
            numbers.entry(client).or_default().insert(number);
        }
    }
    Ok(())
}

/// Statements that are in memory at once.
const STATEMENTS_AT_ONCE: usize = 256;
