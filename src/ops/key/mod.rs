//! `key`: who can open the repository, and what each may do.

pub mod add;
pub mod authority;
pub mod kit;
pub mod pair;
pub mod remove;
pub mod rotate;

use crate::format::keyslot::PassphraseCost;
use crate::format::keyslot::SlotHeader;
use crate::format::keyslot::Unlock;
use crate::id::ClientId;
use crate::key::ObjectKey;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::words::time_words;
use crate::repo::repository::Repository;
use crate::repo::repository::StoredSlot;
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
        /// Whose slot it is.
        client: String,
        /// What the authority says of its client.
        state: State,
        /// When its signatures stop counting, RFC 3339 in UTC.
        valid_until: Option<String>,
        /// Since when they no longer count.
        revoked_from: Option<String>,
    },
    /// A slot that opens nothing any more, and why.
    Damaged(String),
}

/// What the authority says of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Its slot allows what its role allows.
    Valid,
    /// Its certificate has ended: it still reads what its role reads.
    Expired,
    /// It is revoked: it still reads what was stored before the next `key rotate`.
    Revoked,
    /// It lacks the newest generation of keys: a `key rotate` was cut off.
    Behind,
    /// The authority does not know it.
    Unknown,
}

impl State {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Behind => "behind",
            Self::Unknown => "unknown",
        }
    }
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
    Ok(slots.into_iter().map(|slot| row(repository, slot)).collect())
}

fn row(repository: &Repository, (key, slot): StoredSlot) -> SlotRow {
    let slot_name = name(&key);
    let in_use = slot_name == repository.keys.slot.to_string();
    let content = match slot {
        Err(error) => SlotContent::Damaged(chain_words(&error)),
        Ok(slot) => content(repository, slot.header),
    };
    SlotRow { slot: slot_name, in_use, content }
}

fn content(repository: &Repository, header: SlotHeader) -> SlotContent {
    let (kind, cost) = match header.unlock {
        Unlock::Passphrase(cost) => ("passphrase", Some(cost.into())),
        Unlock::KeyFile => ("key file", None),
        Unlock::PublicKey { .. } => ("public key", None),
    };
    let (state, valid_until, revoked_from) = standing(repository, header.client);
    SlotContent::Header {
        role: header.role.word(),
        kind,
        label: header.label,
        created: time_words(header.created, 0),
        cost,
        client: header.client.to_string(),
        state,
        valid_until: valid_until.map(|until| time_words(until, 0)),
        revoked_from: revoked_from.map(|from| time_words(from, 0)),
    }
}

/// What the authority says of a client: its state, when it ends, when it was revoked.
fn standing(repository: &Repository, client: ClientId) -> (State, Option<i64>, Option<i64>) {
    let identities = &repository.identities;
    let keys = identities.keys_of(client);
    let revoked = keys.iter().filter_map(|key| identities.revoked_from(*key)).min();
    let certificates = keys.iter().flat_map(|key| identities.certificates_of(*key));
    let until = certificates.map(|found| found.valid_until.unwrap_or(i64::MAX)).max();
    let until = until.filter(|&until| until != i64::MAX);
    let state = if revoked.is_some() || identities.is_removed(client) {
        State::Revoked
    } else {
        let now = repository.environment.now().0;
        match identities.holder(client) {
            _ if until.is_some_and(|until| until < now) => State::Expired,
            Some(holder) if !identities.has_generation(holder, identities.newest_generation()) => {
                State::Behind
            }
            Some(_holder) => State::Valid,
            None => State::Unknown,
        }
    };
    (state, until, revoked)
}

/// The slot's id as its key says.
fn name(key: &ObjectKey) -> String {
    key.segments().last().unwrap_or_default().to_owned()
}

impl From<PassphraseCost> for Cost {
    fn from(cost: PassphraseCost) -> Self {
        let PassphraseCost { memory_kib, passes, lanes } = cost;
        Self { memory_kib, passes, lanes }
    }
}
