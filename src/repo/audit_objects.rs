//! Opens any object that is no pack, to see whether it is what its key says.
//! Spec: format-spec/01-layout.md.

use crate::crypto::hash::digest;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::audit::AuditRecord;
use crate::format::envelope::Envelope;
use crate::format::envelope::ObjectKind;
use crate::format::gc;
use crate::format::inventory::Inventory;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::manifest::Manifest;
use crate::format::mark::Forget;
use crate::format::mark::check_members;
use crate::format::record::Record;
use crate::format::session::Announcement;
use crate::format::session::Heartbeat;
use crate::id::ClientId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::gc_body_place;
use crate::repo::history::load_outcome;
use crate::repo::index::load::load_segment;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::repo::repository::Repository;

/// Opens an object, checks its signature and its rules; says nothing about what it means.
pub(crate) fn open_any(repository: &Repository, key: &ObjectKey) -> Result<(), RepoError> {
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let misplaced = || decode(FormatError::new("object key", Rule::ObjectKey, 0));
    let parts: Vec<&str> = key.segments().collect();
    let client = |text: &str| text.parse::<ClientId>().map_err(|_source| misplaced());
    match parts.as_slice() {
        [layout::SESSIONS, ..] => {
            let session = SessionRef::parse_announcement(key).map_err(decode)?;
            let body = by_client(repository, ObjectKind::Session, key, session.client)?;
            Announcement::decode(&body).map(|_valid| ()).map_err(decode)
        }
        [layout::HEARTBEATS, owner, ..] => {
            let body = by_client(repository, ObjectKind::Heartbeat, key, client(owner)?)?;
            Heartbeat::decode(&body).map(|_valid| ()).map_err(decode)
        }
        [layout::OUTCOMES, ..] => {
            let session = SessionRef::parse_outcome(key).map_err(decode)?;
            load_outcome(repository, session).map(|_valid| ())
        }
        [layout::INDEX, ..] => {
            let segment = SegmentRef::parse(key).map_err(decode)?;
            load_segment(repository, segment).map(|_valid| ())
        }
        [layout::MANIFESTS, owner, _] => {
            let body = by_client(repository, ObjectKind::Manifest, key, client(owner)?)?;
            Manifest::decode(&body).map(|_valid| ()).map_err(decode)
        }
        [layout::AUDIT, owner, _] => {
            let body = by_client(repository, ObjectKind::Audit, key, client(owner)?)?;
            check_record(repository, AuditRecord::KIND, key, &body).map_err(decode)
        }
        [layout::RECORDS, kind, owner, _] => {
            let body = by_client(repository, ObjectKind::Record, key, client(owner)?)?;
            check_record(repository, kind, key, &body).map_err(decode)
        }
        [layout::FORGET, _] => {
            let object = opened(repository, ObjectKind::Forget, key)?;
            repository.check_signed_in_time(object.signer(), key)?;
            let body = by_maintenance(repository, object)?;
            check_record(repository, Forget::KIND, key, &body).map_err(decode)
        }
        [layout::INVENTORY, _] => {
            let bytes = read(repository, ObjectKind::Inventory, key)?;
            let opened = objects::open_clear(ObjectKind::Inventory, key.as_str(), &bytes)?;
            repository.check_signed_in_time(opened.signer(), key)?;
            let body = by_maintenance(repository, opened)?;
            Inventory::decode(&body).map(|_valid| ()).map_err(decode)
        }
        [layout::GC, ..] => open_gc(repository, key),
        _ => Err(misplaced()),
    }
}

fn check_record(
    repository: &Repository,
    kind: &str,
    key: &ObjectKey,
    body: &[u8],
) -> Result<(), FormatError> {
    let record = Record::decode(body)?;
    record.check_place(kind, repository.id(), key.as_str())?;
    check_members(kind, &record)
}

fn open_gc(repository: &Repository, key: &ObjectKey) -> Result<(), RepoError> {
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let (number, object) = layout::parse_gc_key(key).map_err(decode)?;
    let step = match object {
        GcObject::Plan => gc::Step::Plan,
        GcObject::Verdict => gc::Step::Verdict,
        GcObject::Done => gc::Step::Done,
        GcObject::Body(hash) => {
            let bytes = read(repository, ObjectKind::GcBase, key)?;
            if digest(&bytes) != hash {
                return Err(RepoError::WrongHash { key: key.to_string() });
            }
            let kinds = [ObjectKind::GcPlan, ObjectKind::GcVerdict, ObjectKind::GcBase];
            let kind = kinds.into_iter().find(|kind| Envelope::decode(*kind, &bytes).is_ok());
            let kind = kind.unwrap_or(ObjectKind::GcBase);
            let place = gc_body_place(number);
            let opened = objects::open(kind, &repository.keys, &place, &bytes);
            let opened = opened.map_err(|error| error.stored_at(key))?.stored_at(key);
            let body = by_maintenance(repository, opened)?;
            let decoded = if kind == ObjectKind::GcPlan {
                gc::Plan::decode(&body).map(|_valid| ())
            } else if kind == ObjectKind::GcVerdict {
                gc::Verdict::decode(&body).map(|_valid| ())
            } else {
                gc::Base::decode(&body).map(|_valid| ())
            };
            return decoded.map_err(decode);
        }
    };
    let object = opened(repository, ObjectKind::GcRegister, key)?;
    repository.check_signed_in_time(object.signer(), key)?;
    let body = by_maintenance(repository, object)?;
    let register = gc::Register::decode(&body).map_err(decode)?;
    register.check_place(number, step).map_err(decode)
}

fn by_client(
    repository: &Repository,
    kind: ObjectKind,
    key: &ObjectKey,
    client: ClientId,
) -> Result<Vec<u8>, RepoError> {
    let object = opened(repository, kind, key)?;
    // What a register or a base names by its hash counts with it.
    if matches!(kind, ObjectKind::Audit | ObjectKind::Record) {
        repository.check_signed_in_time(object.signer(), key)?;
    }
    repository.identities.by_client(repository.id(), client, object)
}

fn by_maintenance(repository: &Repository, object: Opened) -> Result<Vec<u8>, RepoError> {
    repository.identities.by_maintenance(repository.id(), object)
}

fn opened(repository: &Repository, kind: ObjectKind, key: &ObjectKey) -> Result<Opened, RepoError> {
    let (_bytes, opened) = repository.read_object(kind, key, key.as_str())?;
    Ok(opened)
}

fn read(repository: &Repository, kind: ObjectKind, key: &ObjectKey) -> Result<Vec<u8>, RepoError> {
    Ok(repository.store.read(key, u64::from(kind.raw_bytes_max()) + 131_072)?)
}

/// Folders whose objects [`open_any`] can open.
pub(crate) const FOLDERS: [&str; 10] = [
    layout::SESSIONS,
    layout::HEARTBEATS,
    layout::OUTCOMES,
    layout::INDEX,
    layout::MANIFESTS,
    layout::FORGET,
    layout::AUDIT,
    layout::RECORDS,
    layout::INVENTORY,
    layout::GC,
];
