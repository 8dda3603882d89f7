//! `key`: slots are listed, added and removed.

use crate::format::keyslot::PassphraseCost;
use crate::format::keyslot::Role;
use crate::format::keyslot::Slot;
use crate::format::keyslot::Unlock;
use crate::id::SlotId;
use crate::key::ObjectKey;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::init::FirstSecret;
use crate::ops::init::check_label;
use crate::ops::words::time_words;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::grant::Grant;
use crate::repo::grant::Holder;
use crate::repo::repository::Repository;
use crate::repo::slots::KeyFile;
use crate::repo::slots::NewSecret;
use crate::repo::slots::Passphrase;
use serde::Serialize;

/// A slot as `key list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SlotRow {
    /// The slot's id as its name says; the whole name if it is none.
    pub slot: String,
    /// Whether the slot opened the repository for this command.
    pub in_use: bool,
    /// What the slot says of itself.
    #[serde(flatten)]
    pub content: SlotContent,
}

/// What a slot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlotContent {
    /// A slot that decodes.
    Header {
        /// The word for what its keys allow.
        role: &'static str,
        /// What opens it.
        kind: &'static str,
        /// The words of the person who made it.
        label: String,
        /// When it was made, RFC 3339 in UTC.
        created: String,
        /// What trying a passphrase costs.
        cost: Option<Cost>,
    },
    /// A slot that opens nothing any more, and why.
    Damaged(String),
}

/// What trying a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// Lists the slots.
pub fn list(repository: &Repository) -> Result<Vec<SlotRow>, OpError> {
    let slots = repository.located().slots().during("cannot read the key slots")?;
    Ok(slots.into_iter().map(|(key, slot)| row(repository, &key, slot)).collect())
}

/// A slot to be added.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AddOptions {
    /// What its holder may do.
    pub role: Role,
    /// Words for `key list`.
    pub label: String,
    /// What opens it.
    pub secret: FirstSecret,
}

impl AddOptions {
    /// A slot of this role that this secret opens.
    pub fn new(role: Role, label: String, secret: FirstSecret) -> Self {
        Self { role, label, secret }
    }
}

/// Adds a slot for a new client; a key file is given to `keep` before the slot exists.
pub fn add(
    repository: &Repository,
    options: &AddOptions,
    keep: &mut dyn FnMut(&KeyFile) -> Result<(), OpError>,
) -> Result<SlotId, OpError> {
    let slot = SlotId::new(random(repository.environment.as_ref()));
    let AddOptions { role, label, secret } = options;
    check_label(label)?;
    let grant = Grant { slot, holder: Holder::New(*role), label: label.clone() };
    let granted = match secret {
        FirstSecret::Passphrase(passphrase, cost) => {
            check_passphrase(passphrase)?;
            repository.grant(grant, NewSecret::Passphrase(passphrase, *cost))
        }
        FirstSecret::KeyFile => {
            if repository.keys.keys.authority.is_none() {
                let lacks = repository.keys.lacks("certifying clients");
                return Err(lacks).during("cannot add a key slot");
            }
            let file = KeyFile::generate(repository.id(), slot, repository.environment.as_ref());
            keep(&file)?;
            repository.grant(grant, NewSecret::KeyFile(&file))
        }
    };
    granted.during("cannot add a key slot")?;
    Ok(slot)
}

/// Replaces the slot in use by one that another passphrase opens.
pub fn change_passphrase(
    repository: &Repository,
    passphrase: &Passphrase,
    cost: PassphraseCost,
) -> Result<SlotId, OpError> {
    check_passphrase(passphrase)?;
    let old = repository.keys.slot;
    let slots = repository.located().slots().during("cannot read the key slots")?;
    let header = slots.into_iter().filter_map(|(_key, slot)| Some(slot.ok()?.header));
    let header = header.into_iter().find(|header| header.slot == old);
    let header = header.ok_or_else(|| OpError::Refused {
        why: format!("the slot in use, {old}, is no longer there"),
    })?;
    if !matches!(header.unlock, Unlock::Passphrase(_)) {
        let why = "the key in use is a key file; `key add` and `key remove` replace it".to_owned();
        return Err(OpError::Usage { why });
    }
    let slot = SlotId::new(random(repository.environment.as_ref()));
    let grant = Grant { slot, holder: Holder::Same, label: header.label };
    let secret = NewSecret::Passphrase(passphrase, cost);
    repository.grant(grant, secret).during("cannot store the new key slot")?;
    // The new slot is durable: from here on a crash leaves two slots, never none.
    let old = crate::format::layout::slot_key(old);
    repository.remove_slot(&old).during("cannot remove the old key slot")?;
    Ok(slot)
}

/// Whether a removal may take the slot in use or the last admin's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guard {
    /// It is refused.
    On,
    /// It is done.
    Off,
}

/// Removes the slot whose id begins with `digits`.
///
/// Errors: [`OpError::Refused`] if the guard holds it; [`OpError::Usage`] if no slot or several
/// fit.
pub fn remove(repository: &Repository, digits: &str, guard: Guard) -> Result<String, OpError> {
    if repository.role() != Role::Admin {
        return Err(repository.keys.lacks("removing key slots")).during("cannot remove a key slot");
    }
    let slots = repository.located().slots().during("cannot read the key slots")?;
    let admins = slots.iter().filter(|(_key, slot)| is_admin(slot)).count();
    let name = |key: &ObjectKey| key.segments().last().unwrap_or_default().to_owned();
    let fits = |key: &ObjectKey| digits.len() >= 4 && name(key).starts_with(digits);
    let found: Vec<_> = slots.iter().filter(|(key, _slot)| fits(key)).collect();
    let [(key, slot)] = found.as_slice() else {
        let many = if found.is_empty() { "no key slot" } else { "more than one key slot" };
        return Err(OpError::Usage { why: format!("`{digits}` begins the id of {many}") });
    };
    let refused = |why: &str| Err(OpError::Refused { why: why.to_owned() });
    if guard == Guard::On && is_admin(slot) && admins == 1 {
        return refused("this is the last slot of an admin: nobody could add keys any more");
    }
    if guard == Guard::On && name(key) == repository.keys.slot.to_string() {
        return refused("this slot opened the repository for this command");
    }
    repository.remove_slot(key).during("cannot remove a key slot")?;
    Ok(name(key))
}

fn is_admin(slot: &Result<Slot, RepoError>) -> bool {
    slot.as_ref().is_ok_and(|slot| slot.header.role == Role::Admin)
}

fn check_passphrase(passphrase: &Passphrase) -> Result<(), OpError> {
    if passphrase.is_empty() {
        return Err(OpError::Usage { why: "the passphrase is empty".to_owned() });
    }
    Ok(())
}

fn row(repository: &Repository, key: &ObjectKey, slot: Result<Slot, RepoError>) -> SlotRow {
    let name = key.segments().last().unwrap_or_default().to_owned();
    let in_use = name == repository.keys.slot.to_string();
    let content = match slot {
        Err(error) => SlotContent::Damaged(chain_words(&error)),
        Ok(Slot { header, .. }) => {
            let (kind, cost) = match header.unlock {
                Unlock::Passphrase(cost) => ("passphrase", Some(Cost::from(cost))),
                Unlock::KeyFile => ("key file", None),
                Unlock::PublicKey { .. } => ("public key", None),
            };
            let created = time_words(header.created, 0);
            SlotContent::Header {
                role: header.role.word(),
                kind,
                label: header.label,
                created,
                cost,
            }
        }
    };
    SlotRow { slot: name, in_use, content }
}

impl From<PassphraseCost> for Cost {
    fn from(cost: PassphraseCost) -> Self {
        let PassphraseCost { memory_kib, passes, lanes } = cost;
        Self { memory_kib, passes, lanes }
    }
}
