//! Adds records to the chain of this client. Spec: format-spec/10-record.md, "Audit log".

use crate::crypto::hash::sha256;
use crate::format::audit::AuditEvent;
use crate::format::audit::AuditRecord;
use crate::format::config::StoreMode;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::record::Record;
use crate::repo::audit::read::read_statement;
use crate::repo::create::create;
use crate::repo::error::RepoError;
use crate::repo::history::is_missing;
use crate::repo::memory::AuditHead;
use crate::repo::memory::WentBack;
use crate::repo::memory::compare_cheaply;
use crate::repo::objects;
use crate::repo::repository::Repository;
use crate::store::StoreErrorKind;

/// Why records of this run cannot go into the repository at all, if they cannot.
pub(crate) fn obstacle(repository: &Repository) -> Option<&'static str> {
    if repository.is_mirror() {
        return Some("only `mirror` writes to a mirror");
    }
    if repository.check_may_sign().is_err() {
        // A record that does not count would stand in the way of those that do.
        return Some("the key in use signs no more");
    }
    let is_certified = repository.identities.certify(repository.keys.signer.id());
    (!is_certified).then_some("the key in use has no certificate to sign with")
}

/// The end of this client's chain that this host remembers, once it is found in the store.
///
/// Errors: [`RepoError::WentBack`] if it is not there.
pub(crate) fn known_head(repository: &Repository) -> Result<Option<AuditHead>, RepoError> {
    let client = repository.keys.client;
    let memory = repository.memory();
    if let Some(source) = compare_cheaply(repository, &memory)? {
        return Err(RepoError::WentBack { source });
    }
    let Some(known) = memory.audit.get(&client).copied() else { return Ok(None) };
    let went_back = |found: &str| {
        let known = format!("record {} of the audit log of client {client}", known.seq);
        Err(RepoError::WentBack { source: WentBack::new(known, found) })
    };
    match read_statement(repository, client, known.seq) {
        Ok(statement) if statement.digest() == known.digest => Ok(Some(known)),
        Ok(_another) => went_back("another one of that number"),
        Err(error) if is_missing(&error) => went_back("no such record"),
        Err(error) => Err(error),
    }
}

/// Stores a record as the next one of this client; `known` is a record of its chain, better a
/// late one.
///
/// Another process of the client may be faster: then the record follows that one's.
pub(crate) fn append(
    repository: &Repository,
    known: Option<AuditHead>,
    event: &AuditEvent,
    delivered: Option<&str>,
) -> Result<AuditHead, RepoError> {
    let keys = &repository.keys;
    // Where a create may replace what is there, only a listing tells what is.
    let may_try = repository.config.store == StoreMode::Registers;
    let mut head = match known.filter(|_known| may_try) {
        Some(known) => known,
        None => last_of(repository)?,
    };
    for attempt in 0..ATTEMPTS {
        let seq = head.seq.checked_add(1).ok_or(RepoError::Unsettled { attempts: ATTEMPTS })?;
        let key = layout::audit_key(keys.client, seq);
        let mut statement =
            Record::new(AuditRecord::KIND, &repository.id().to_string(), key.as_str());
        let mut record = AuditRecord::new(seq, head.digest, event.clone());
        record.delivered = delivered.map(str::to_owned);
        record.write(&mut statement);
        let body = statement.encode();
        let environment = repository.environment.as_ref();
        let (kind, place) = (ObjectKind::Audit, key.as_str());
        let bytes = objects::seal(kind, keys, place, &body, &keys.signer, environment)?;
        match create(repository.store.as_ref(), &key, &bytes) {
            Ok(()) => {
                let head = AuditHead { seq, digest: sha256(&body) };
                // The record is stored, whether this host can remember that or not.
                let _ignored = repository.remember(|memory| memory.add_audit(keys.client, head));
                return Ok(head);
            }
            Err(RepoError::Store { source }) if source.kind == StoreErrorKind::AlreadyExists => {
                head = if attempt < STEPS {
                    let digest = read_statement(repository, keys.client, seq)?.digest();
                    AuditHead { seq, digest }
                } else {
                    last_of(repository)?
                };
            }
            Err(error) => return Err(error),
        }
    }
    Err(RepoError::Unsettled { attempts: ATTEMPTS })
}

/// The end of this client's chain, found by listing it.
fn last_of(repository: &Repository) -> Result<AuditHead, RepoError> {
    let client = repository.keys.client;
    let listed = repository.list_keys(&format!("{}/{client}", layout::AUDIT))?;
    let numbers = listed.iter().filter_map(|key| layout::parse_audit_key(key).ok());
    let Some(seq) = numbers.map(|(_client, number)| number).max() else {
        return Ok(AuditHead::NONE);
    };
    let digest = read_statement(repository, client, seq)?.digest();
    Ok(AuditHead { seq, digest })
}

/// How many processes of one client may add records at the same time.
const ATTEMPTS: u32 = 64;
/// How many records of others are followed one by one before the chain is listed.
const STEPS: u32 = 8;
