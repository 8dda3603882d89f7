//! Stores forgets, undos, holds and releases. Spec: format-spec/10-record.md, "Kinds".

use crate::crypto::hash::digest;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::attest;
use crate::format::attest::Attested;
use crate::format::audit::AuditHeads;
use crate::format::coverage::CheckRecord;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::mark::Damage;
use crate::format::mark::Forget;
use crate::format::mark::Hold;
use crate::format::mark::Release;
use crate::format::mark::Undo;
use crate::format::record::Record;
use crate::id::RecordId;
use crate::key::ObjectKey;
use crate::repo::create::create;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::grant::signs;
use crate::repo::objects;
use crate::repo::own_marks::OwnRecord;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::store::StoreErrorKind;

/// Stores a request to forget; it counts at once.
///
/// Errors: [`RepoError::RoleLacks`] without the maintenance key.
pub(crate) fn store_forget(
    repository: &Repository,
    forget: &Forget,
) -> Result<RecordId, RepoError> {
    let signer = maintenance(repository)?;
    let id = RecordId::new(random(repository.environment.as_ref()));
    let key = layout::forget_key(id);
    let mut record = statement(repository, Forget::KIND, &key);
    forget.write(&mut record);
    let bytes = seal(repository, ObjectKind::Forget, &key, &record, &signer)?;
    create(repository.store.as_ref(), &key, &bytes)?;
    // It is stored, whether this host can remember that or not.
    let _ignored = repository.remember(|memory| memory.add_forget(id, &forget.snapshots));
    Ok(id)
}

/// Stores that a forget no longer holds; it counts unless a verdict folded the forget.
pub(crate) fn store_undo(repository: &Repository, undo: &Undo) -> Result<ObjectKey, RepoError> {
    store_record(repository, Undo::KIND, |record| undo.write(record))
}

/// Stores that snapshots must be kept.
pub(crate) fn store_hold(repository: &Repository, hold: &Hold) -> Result<ObjectKey, RepoError> {
    store_record(repository, Hold::KIND, |record| hold.write(record))
}

/// Stores that holds end.
pub(crate) fn store_release(
    repository: &Repository,
    release: &Release,
) -> Result<ObjectKey, RepoError> {
    store_record(repository, Release::KIND, |record| release.write(record))
}

/// Checks that the slot in use may sign forgets.
pub(crate) fn check_forgets(repository: &Repository) -> Result<(), RepoError> {
    maintenance(repository).map(|_signer| ())
}

/// Stores a record of this client under its next number.
///
/// Errors: [`RepoError::RoleLacks`] if the client of the slot in use has no certificate.
pub(crate) fn store_record(
    repository: &Repository,
    kind: &'static str,
    write: impl Fn(&mut Record),
) -> Result<ObjectKey, RepoError> {
    let keys = &repository.keys;
    let may_sign = match kind {
        // What was read, whoever reads may say.
        Damage::KIND | CheckRecord::KIND | AuditHeads::KIND => {
            repository.identities.certify(keys.signer.id())
        }
        _other => signs(keys.role),
    };
    if !may_sign {
        return Err(keys.lacks(Right::SignRecords));
    }
    store_numbered(repository, kind, write)
}

/// Stores a record of a kind that says itself from which roles it counts.
///
/// Errors: [`RepoError::RoleLacks`] if it does not from the slot in use, [`RepoError::NotARecord`] if no reader would
/// accept it: it would stay, and be damage, for good.
pub(crate) fn store_attested<T: Attested>(
    repository: &Repository,
    attested: &T,
) -> Result<ObjectKey, RepoError> {
    let keys = &repository.keys;
    if !T::ROLES.contains(&keys.role) || !repository.identities.certify(keys.signer.id()) {
        return Err(keys.lacks(Right::SignRecords));
    }
    check_readable(repository, attested)?;
    store_numbered(repository, T::KIND, |record| attest::write(attested, record))
}

/// Reads a record as it will be stored. Its place, which is not known yet, changes nothing of that.
fn check_readable<T: Attested>(repository: &Repository, attested: &T) -> Result<(), RepoError> {
    let mut record = Record::new(T::KIND, &repository.id().to_string(), T::KIND);
    attest::write(attested, &mut record);
    let read = Record::decode(&record.encode()).and_then(|record| attest::read::<T>(&record));
    read.map(|_valid| ()).map_err(|source| RepoError::NotARecord { kind: T::KIND, source })
}

fn store_numbered(
    repository: &Repository,
    kind: &'static str,
    write: impl Fn(&mut Record),
) -> Result<ObjectKey, RepoError> {
    let keys = &repository.keys;
    repository.check_no_mirror()?;
    repository.check_may_sign()?;
    let folder = format!("{}/{kind}/{}", layout::RECORDS, keys.client);
    let listed = repository.list_keys(&folder)?;
    let numbers = listed.iter().filter_map(|key| layout::parse_record_key(kind, key).ok());
    let mut number = numbers.map(|(_client, number)| number).max().unwrap_or(0);
    for _attempt in 0..NUMBER_ATTEMPTS {
        number = number.checked_add(1).ok_or(RepoError::Unsettled { attempts: NUMBER_ATTEMPTS })?;
        let key = layout::record_key(kind, keys.client, number);
        let mut record = statement(repository, kind, &key);
        write(&mut record);
        let bytes = seal(repository, ObjectKind::Record, &key, &record, &keys.signer)?;
        match create(repository.store.as_ref(), &key, &bytes) {
            // Another process of this client took the number.
            Err(RepoError::Store { source }) if source.kind == StoreErrorKind::AlreadyExists => {}
            created => {
                created?;
                let record = OwnRecord { number, digest: digest(&bytes) };
                // It is stored, whether this host can remember that or not.
                let _ignored =
                    repository.remember(|memory| memory.add_record(keys.client, kind, record));
                return Ok(key);
            }
        }
    }
    Err(RepoError::Unsettled { attempts: NUMBER_ATTEMPTS })
}

fn maintenance(repository: &Repository) -> Result<Signer, RepoError> {
    let keys = &repository.keys;
    repository.check_no_mirror()?;
    let seed = keys.keys.maintenance.ok_or_else(|| keys.lacks(Right::Forget))?;
    let signer = Signer::new(&Secret::new(seed));
    repository.check_key_counts(signer.id())?;
    Ok(signer)
}

fn statement(repository: &Repository, kind: &str, key: &ObjectKey) -> Record {
    Record::new(kind, &repository.id().to_string(), key.as_str())
}

fn seal(
    repository: &Repository,
    kind: ObjectKind,
    key: &ObjectKey,
    record: &Record,
    signer: &Signer,
) -> Result<Vec<u8>, RepoError> {
    let Repository { keys, environment, .. } = repository;
    objects::seal(kind, keys, key.as_str(), &record.encode(), signer, environment.as_ref())
}

/// How many processes of one client may store records of a kind at the same time.
const NUMBER_ATTEMPTS: u32 = 64;
