//! Making and opening key slots. Spec: format-spec/04-keyslot.md.

use crate::crypto::CryptoError;
use crate::crypto::aead;
use crate::crypto::hash::blake3;
use crate::crypto::hash::derive;
use crate::crypto::kdf;
use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::keyslot::PassphraseCost;
use crate::format::keyslot::Role;
use crate::format::keyslot::Slot;
use crate::format::keyslot::SlotHeader;
use crate::format::keyslot::SlotKeys;
use crate::format::keyslot::Unlock;
use crate::format::layout;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::key::ObjectKey;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::key_file::KeyFile;
use crate::repo::key_file::PublicKey;
use crate::repo::repository::StoredSlot;
use std::fmt;
use zeroize::Zeroizing;

/// A passphrase as a person typed it.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes over the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(..)")
    }
}

/// Decodes a slot that is stored under `key`, and checks that it belongs there.
pub(crate) fn decode_slot(key: &ObjectKey, bytes: &[u8]) -> Result<Slot, RepoError> {
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let slot = Slot::decode(bytes, blake3).map_err(decode)?;
    if layout::parse_slot_key(key) == Ok(slot.header.slot) {
        return Ok(slot);
    }
    Err(decode(FormatError::new("key slot", Rule::ObjectKey, 0)))
}

/// What opens a repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credential {
    /// A passphrase; every passphrase slot is tried.
    Passphrase(Passphrase),
    /// A key file.
    KeyFile(KeyFile),
}

/// What a new slot will be opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NewSecret<'a> {
    /// A passphrase and what deriving its key costs.
    Passphrase(&'a Passphrase, PassphraseCost),
    /// A key file made for the slot.
    KeyFile(&'a KeyFile),
    /// The public key of a pair whose seed is in somebody's key file.
    PublicKey(&'a PublicKey),
}

/// What a new slot is.
#[derive(Debug, Clone)]
pub(crate) struct NewSlot {
    pub(crate) repository: RepoId,
    pub(crate) slot: SlotId,
    pub(crate) role: Role,
    pub(crate) label: String,
}

/// The bytes of a new slot that wraps `keys`.
pub(crate) fn make_slot(
    new: NewSlot,
    secret: NewSecret<'_>,
    keys: &SlotKeys,
    environment: &dyn Environment,
) -> Result<Vec<u8>, RepoError> {
    let salt = random(environment);
    let slot = new.slot;
    let open = |source| RepoError::OpenSlot { slot, source };
    let (unlock, secret) = match secret {
        NewSecret::Passphrase(passphrase, cost) => {
            let key = passphrase_secret(passphrase, &salt, cost).map_err(open)?;
            (Unlock::Passphrase(cost), key)
        }
        NewSecret::KeyFile(file) => (Unlock::KeyFile, file.secret.clone()),
        NewSecret::PublicKey(public) => return seal_slot(new, public, salt, keys, environment),
    };
    let mut header = header(new, unlock, salt, keys, environment);
    let wrapped = wrap(&mut header, &secret, keys);
    encode_slot(header, wrapped)
}

/// The bytes of a slot whose secret is sealed for somebody's pair.
fn seal_slot(
    new: NewSlot,
    public: &PublicKey,
    salt: [u8; 32],
    keys: &SlotKeys,
    environment: &dyn Environment,
) -> Result<Vec<u8>, RepoError> {
    let (slot, secret) = (new.slot, Secret::new(random(environment)));
    let unlock = Unlock::PublicKey { encapsulated: Vec::new() };
    let mut header = header(new, unlock, salt, keys, environment);
    header.commitment = wrapping_key(&secret, &salt).1;
    let mut fill = |bytes: &mut [u8]| environment.fill_random(bytes);
    let sealed = seal::seal_secret_in(
        &public.public,
        SLOT_SEAL_INFO,
        |encapsulated| {
            header.unlock = Unlock::PublicKey { encapsulated: encapsulated.to_vec() };
            header.encode()
        },
        &secret,
        &mut fill,
    )
    .map_err(|source| RepoError::OpenSlot { slot, source })?;
    let wrapped = wrap(&mut header, &secret, keys);
    encode_slot(header, [sealed.sealed.as_slice(), &wrapped].concat())
}

fn header(
    new: NewSlot,
    unlock: Unlock,
    salt: [u8; 32],
    keys: &SlotKeys,
    environment: &dyn Environment,
) -> SlotHeader {
    let NewSlot { repository, slot, role, label } = new;
    SlotHeader {
        repository,
        slot,
        client: keys.client_id(),
        role,
        label,
        created: environment.now().0,
        unlock,
        salt,
        commitment: [0; 32],
        nonce: random(environment),
    }
}

/// Wraps the keys; the header gets the commitment to what wraps them.
fn wrap(header: &mut SlotHeader, secret: &Secret, keys: &SlotKeys) -> Vec<u8> {
    let (wrapping, commitment) = wrapping_key(secret, &header.salt);
    header.commitment = commitment;
    let mut wrapped = keys.encode();
    aead::seal_random(&wrapping, &header.nonce, &header.encode(), &mut wrapped);
    wrapped
}

fn encode_slot(header: SlotHeader, wrapped: Vec<u8>) -> Result<Vec<u8>, RepoError> {
    let (slot, associated_data) = (header.slot, header.encode());
    let bytes = Slot { header, associated_data, wrapped }.encode(blake3);
    // A slot that nobody can open would take the only way in with it.
    Slot::decode(&bytes, blake3)
        .map_err(|source| RepoError::Decode { key: layout::slot_key(slot).to_string(), source })?;
    Ok(bytes)
}

/// What trying a credential on a slot came to.
pub(crate) enum Unlocked {
    /// The slot's keys.
    Keys(Box<SlotKeys>),
    /// Another credential opens this slot.
    OtherSecret,
}

/// Tries a credential on a slot.
pub(crate) fn unlock(slot: &Slot, credential: &Credential) -> Result<Unlocked, RepoError> {
    let id = slot.header.slot;
    let open = |source| RepoError::OpenSlot { slot: id, source };
    let mut wrapped = slot.wrapped.as_slice();
    let secret = match (&slot.header.unlock, credential) {
        (Unlock::Passphrase(cost), Credential::Passphrase(passphrase)) => {
            passphrase_secret(passphrase, &slot.header.salt, *cost).map_err(open)?
        }
        (Unlock::KeyFile, Credential::KeyFile(file)) if file.slot == id => file.secret.clone(),
        (Unlock::PublicKey { encapsulated }, Credential::KeyFile(file)) if file.slot == id => {
            let sealed;
            (sealed, wrapped) = wrapped
                .split_first_chunk::<SEALED_SECRET_LEN>()
                .ok_or(CryptoError::Malformed)
                .map_err(open)?;
            let data = &slot.associated_data;
            match seal::open_secret(&file.secret, SLOT_SEAL_INFO, data, encapsulated, sealed) {
                Ok(secret) => secret,
                Err(_other_seed) => return Ok(Unlocked::OtherSecret),
            }
        }
        _ => return Ok(Unlocked::OtherSecret),
    };
    let (wrapping, commitment) = wrapping_key(&secret, &slot.header.salt);
    if commitment != slot.header.commitment {
        return Ok(Unlocked::OtherSecret);
    }
    let mut keys = Zeroizing::new(wrapped.to_vec());
    aead::open_random(&wrapping, &slot.header.nonce, &slot.associated_data, &mut keys)
        .map_err(open)?;
    let keys = SlotKeys::decode(&keys)
        .map_err(|source| RepoError::Decode { key: format!("keys/{id}"), source })?;
    check_keys(slot, credential, &keys)?;
    Ok(Unlocked::Keys(Box::new(keys)))
}

/// Checks that the keys are those that the header and the key file speak of: whoever knows a
/// public key can seal a slot for it.
fn check_keys(slot: &Slot, credential: &Credential, keys: &SlotKeys) -> Result<(), RepoError> {
    let id = slot.header.slot;
    if keys.client_id() != slot.header.client {
        return Err(RepoError::OpenSlot { slot: id, source: CryptoError::Malformed });
    }
    let Credential::KeyFile(file) = credential else { return Ok(()) };
    if file.authority.is_some_and(|authority| authority != keys.authority_public) {
        return Err(RepoError::OtherAuthority { slot: id });
    }
    Ok(())
}

/// Refuses a key file for another repository than the one that every slot speaks of.
pub(crate) fn check_repository(
    credential: &Credential,
    slots: &[StoredSlot],
) -> Result<(), RepoError> {
    let Credential::KeyFile(file) = credential else { return Ok(()) };
    let named = file.repository;
    let mut opened = slots
        .iter()
        .filter_map(|(_key, slot)| slot.as_ref().ok())
        .map(|slot| slot.header.repository);
    match opened.next() {
        Some(first) if first != named && opened.all(|other| other != named) => {
            Err(RepoError::OtherRepository { named, opened: first })
        }
        Some(_) | None => Ok(()),
    }
}

fn passphrase_secret(
    passphrase: &Passphrase,
    salt: &[u8; 32],
    cost: PassphraseCost,
) -> Result<Secret, CryptoError> {
    let PassphraseCost { memory_kib, passes, lanes } = cost;
    kdf::passphrase_key(&passphrase.0, salt, kdf::Cost { memory_kib, passes, lanes })
}

/// The key that wraps a slot's keys, and the commitment to it.
fn wrapping_key(secret: &Secret, salt: &[u8; 32]) -> (Secret, [u8; 32]) {
    let material: [&[u8]; 2] = [secret.expose(), salt];
    let commitment = derive("sbf-repo 1 slot commitment", &material);
    (derive("sbf-repo 1 slot wrap", &material), *commitment.expose())
}

const SLOT_SEAL_INFO: &str = "sbf-repo 1 slot seal";
/// A sealed secret stands before the wrapped keys.
const SEALED_SECRET_LEN: usize = 48;
