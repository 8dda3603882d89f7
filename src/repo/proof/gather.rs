//! Signed messages of a repository, each with the signature that was checked when it was read.

use crate::crypto::hash::derive;
use crate::crypto::sign::key_id;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::id::ClientId;
use crate::id::Sha256;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::LiveSnapshot;
use crate::repo::history::gc_body_place;
use crate::repo::history::load_verdict;
use crate::repo::identities::Identities;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::trust::Trust;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;
use crate::repo::rights::Right;

/// Every certificate and revocation with its number.
pub(crate) fn identities(repository: &Repository) -> Result<Vec<(u32, SignedMessage)>, RepoError> {
    let authority = repository.keys.keys.authority_public;
    let mut found = Vec::new();
    for number in 1..=repository.identities.count {
        let key = layout::identity_key(number);
        if repository.identities.foreign.contains(&key)
            || repository.identities.missing.contains(&key)
        {
            continue;
        }
        let kind = ObjectKind::Identity;
        let message = repository.read_kept(&key, length_max(kind), |bytes| {
            let opened = objects::open_clear(kind, key.as_str(), bytes)?;
            if opened.signer() != key_id(&authority) {
                return Err(opened.refused());
            }
            opened.clone().verified(repository.id(), &authority)?;
            Ok(opened.into_message(repository.id(), authority))
        })?;
        found.push((number, message));
    }
    Ok(found)
}

/// The statement of a snapshot, as its client signed it.
pub(crate) fn manifest(
    repository: &Repository,
    live: &LiveSnapshot,
) -> Result<SignedMessage, RepoError> {
    let key = layout::manifest_key(live.client, live.snapshot);
    let message = by_client(repository, ObjectKind::Manifest, &key, live.client)?;
    if message.sha256() != live.manifest {
        return Err(RepoError::WrongHash { key: key.to_string() });
    }
    Ok(message)
}

/// The outcome of a session.
pub(crate) fn outcome(
    repository: &Repository,
    session: SessionRef,
) -> Result<SignedMessage, RepoError> {
    by_client(repository, ObjectKind::Outcome, &session.outcome_key(), session.client)
}

/// The base of a verdict, with the key of its body.
pub(crate) fn base(
    repository: &Repository,
    number: u64,
) -> Result<(ObjectKey, SignedMessage), RepoError> {
    let (verdict, _digest) = load_verdict(repository, number)?;
    let key = layout::gc_key(number, GcObject::Body(verdict.base));
    let place = gc_body_place(number);
    let (_bytes, opened) = repository.read_object(ObjectKind::GcBase, &key, &place)?;
    let message = checked(repository, opened, |identities, opened| {
        identities.by_maintenance(repository.id(), opened)
    })?;
    Ok((key, message))
}

/// The newest inventory that can be read, with its number.
pub(crate) fn inventory(
    repository: &Repository,
) -> Result<Option<(u64, SignedMessage)>, RepoError> {
    let mut keys = repository.list_keys(layout::INVENTORY)?;
    keys.sort_unstable();
    for key in keys.iter().rev() {
        let Some(number) = layout::parse_inventory_key(key) else { continue };
        match inventory_at(repository, key) {
            Err(error) if error.is_damage() => {}
            message => return message.map(|message| Some((number, message))),
        }
    }
    Ok(None)
}

fn inventory_at(repository: &Repository, key: &ObjectKey) -> Result<SignedMessage, RepoError> {
    let kind = ObjectKind::Inventory;
    let bytes = repository.store.read(key, length_max(kind))?;
    let opened = objects::open_clear(kind, key.as_str(), &bytes)?;
    checked(repository, opened, |identities, opened| {
        identities.by_maintenance(repository.id(), opened)
    })
}

/// The keys of all records of the repository but manifests: forgets, and records of every kind.
pub(crate) fn record_keys(repository: &Repository) -> Result<Vec<ObjectKey>, RepoError> {
    let mut keys = repository.list_keys(layout::FORGET)?;
    keys.extend(repository.list_keys(layout::RECORDS)?);
    keys.sort_unstable();
    Ok(keys)
}

/// A record as it was signed.
pub(crate) fn record(repository: &Repository, key: &ObjectKey) -> Result<SignedMessage, RepoError> {
    let parts: Vec<&str> = key.segments().collect();
    if let [layout::RECORDS, _kind, client, _number] = parts.as_slice() {
        let client = client.parse::<ClientId>().map_err(|_source| misplaced(key))?;
        return by_client(repository, ObjectKind::Record, key, client);
    }
    let (_bytes, opened) = repository.read_object(ObjectKind::Forget, key, key.as_str())?;
    checked(repository, opened, |identities, opened| {
        identities.by_maintenance(repository.id(), opened)
    })
}

/// Checks that the signatures of this client count.
pub(crate) fn check_signs(repository: &Repository, trust: &Trust) -> Result<(), RepoError> {
    let own = repository.keys.signer.public();
    if trust.certificates().any(|certificate| certificate.public_key == own) {
        return Ok(());
    }
    Err(repository.keys.lacks(Right::SignEvidence))
}

/// Signs a message of this client's for a purpose of its own.
pub(crate) fn sign(repository: &Repository, namespace: &str, message: Vec<u8>) -> SignedMessage {
    SignedMessage::new(message, namespace, &repository.keys.signer)
}

/// A digest that stands for a text, the same for everything in this repository, which only those can
/// compute who hold the manifest key.
pub(crate) fn text_digest(repository: &Repository, text: &str) -> Result<Sha256, RepoError> {
    let keys = &repository.keys;
    let first = keys.keys.generations.iter().find_map(|generation| generation.manifest);
    let master = first.ok_or_else(|| keys.lacks(Right::Statements))?;
    let digest = derive("sbf-repo 1 text digest", &[&master, text.as_bytes()]);
    Ok(Sha256::new(*digest.expose()))
}

fn by_client(
    repository: &Repository,
    kind: ObjectKind,
    key: &ObjectKey,
    client: ClientId,
) -> Result<SignedMessage, RepoError> {
    repository.read_kept(key, length_max(kind), |bytes| {
        let opened = repository.open_object(kind, key, key.as_str(), bytes)?;
        checked(repository, opened, |identities, opened| {
            identities.by_client(repository.id(), client, opened)
        })
    })
}

fn checked(
    repository: &Repository,
    opened: Opened,
    check: impl FnOnce(&Identities, Opened) -> Result<Vec<u8>, RepoError>,
) -> Result<SignedMessage, RepoError> {
    let refused = opened.refused();
    check(&repository.identities, opened.clone())?;
    let public = repository.identities.public_key_of(opened.signer()).ok_or(refused)?;
    Ok(opened.into_message(repository.id(), public))
}

fn misplaced(key: &ObjectKey) -> RepoError {
    use crate::format::FormatError;
    use crate::format::Rule;
    let source = FormatError::new("object key", Rule::ObjectKey, 0);
    RepoError::Decode { key: key.to_string(), source }
}
