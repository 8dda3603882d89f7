//! Making and opening key slots. Spec: format-spec/04-keyslot.md.

use crate::crypto::CryptoError;
use crate::crypto::aead;
use crate::crypto::hash::blake3;
use crate::crypto::hash::derive;
use crate::crypto::kdf;
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
use crate::id::from_hex;
use crate::id::to_hex;
use crate::key::ObjectKey;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
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

/// What is in a key file: which slot of which repository it opens, and the secret that does.
#[derive(Clone)]
pub struct KeyFile {
    /// The repository.
    pub repository: RepoId,
    /// The slot.
    pub slot: SlotId,
    secret: Secret,
}

impl KeyFile {
    /// A new key file for a slot.
    pub(crate) fn generate(
        repository: RepoId,
        slot: SlotId,
        environment: &dyn Environment,
    ) -> Self {
        Self { repository, slot, secret: Secret::new(random(environment)) }
    }

    /// The file's text. Secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(to_hex(self.secret.expose()));
        Zeroizing::new(format!(
            "{KEY_FILE_TITLE}\nrepository {}\nslot {}\nsecret {}\n",
            self.repository,
            self.slot,
            secret.as_str()
        ))
    }

    /// Parses a file's text.
    pub fn parse(text: &str) -> Result<Self, RepoError> {
        Self::parse_lines(text).ok_or(RepoError::KeyFile)
    }

    fn parse_lines(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        if lines.next()? != KEY_FILE_TITLE {
            return None;
        }
        let repository = lines.next()?.strip_prefix("repository ")?.parse().ok()?;
        let slot = lines.next()?.strip_prefix("slot ")?.parse().ok()?;
        let mut secret = [0; 32];
        from_hex(lines.next()?.strip_prefix("secret ")?, &mut secret).ok()?;
        lines.next().is_none().then_some(Self { repository, slot, secret: Secret::new(secret) })
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyFile(slot {})", self.slot)
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
    let (unlock, secret) = match secret {
        NewSecret::Passphrase(passphrase, cost) => {
            let key = passphrase_secret(passphrase, &salt, cost)
                .map_err(|source| RepoError::OpenSlot { slot, source })?;
            (Unlock::Passphrase(cost), key)
        }
        NewSecret::KeyFile(file) => (Unlock::KeyFile, file.secret.clone()),
    };
    let (wrapping, commitment) = wrapping_key(&secret, &salt);
    let NewSlot { repository, slot, role, label } = new;
    let created = environment.now().0;
    let nonce = random(environment);
    let header =
        SlotHeader { repository, slot, role, label, created, unlock, salt, commitment, nonce };
    let associated_data = header.encode();
    let mut wrapped = keys.encode();
    aead::seal_random(&wrapping, &nonce, &associated_data, &mut wrapped);
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
    let secret = match (&slot.header.unlock, credential) {
        (Unlock::Passphrase(cost), Credential::Passphrase(passphrase)) => {
            passphrase_secret(passphrase, &slot.header.salt, *cost)
                .map_err(|source| RepoError::OpenSlot { slot: id, source })?
        }
        (Unlock::KeyFile, Credential::KeyFile(file)) if file.slot == id => file.secret.clone(),
        _ => return Ok(Unlocked::OtherSecret),
    };
    let (wrapping, commitment) = wrapping_key(&secret, &slot.header.salt);
    if commitment != slot.header.commitment {
        return Ok(Unlocked::OtherSecret);
    }
    let mut keys = Zeroizing::new(slot.wrapped.clone());
    aead::open_random(&wrapping, &slot.header.nonce, &slot.associated_data, &mut keys)
        .map_err(|source| RepoError::OpenSlot { slot: id, source })?;
    let keys = SlotKeys::decode(&keys)
        .map_err(|source| RepoError::Decode { key: format!("keys/{id}"), source })?;
    Ok(Unlocked::Keys(Box::new(keys)))
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

const KEY_FILE_TITLE: &str = "sbf-repo key file 1";
