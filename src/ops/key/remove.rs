//! `key remove`: a slot goes, and what its client signs no longer counts.

use crate::format::keyslot::Role;
use crate::format::keyslot::Slot;
use crate::id::ClientId;
use crate::key::ObjectKey;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::key::name;
use crate::ops::words::time_words;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::repository::Repository;
use crate::repo::repository::StoredSlot;
use crate::repo::revoke::Revoked;
use crate::repo::rights::Right;
use serde::Serialize;

/// Whether a removal may take the slot in use or the last admin's, or snapshots that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guard {
    /// It is refused.
    On,
    /// It is done.
    Off,
}

/// What is removed, and since when its client is not trusted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoveOptions {
    /// The first four or more digits of the slot's id.
    pub slot: String,
    /// What may not happen.
    pub guard: Guard,
    /// From when on signatures of its client no longer count; from now on if it is not said.
    pub revoke_from: Option<i64>,
    /// Why, for people.
    pub reason: String,
}

impl RemoveOptions {
    /// Removes the slot whose id begins with these digits; what is stored still counts.
    pub fn new(slot: String) -> Self {
        Self { slot, guard: Guard::On, revoke_from: None, reason: String::new() }
    }
}

/// A slot that was removed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Removed {
    /// Its id.
    pub slot: String,
    /// The word of its role, if it could be read.
    pub role: Option<&'static str>,
    /// How many keys were revoked; none if it could not be read, or if its client has another slot.
    pub revoked_keys: usize,
    /// From when on their signatures no longer count, RFC 3339 in UTC.
    pub revoked_from: Option<String>,
    /// Snapshots that no longer count.
    pub refused: Vec<String>,
}

/// Removes a slot, and revokes the keys of its client if that has no other one.
///
/// Errors: [`OpError::Refused`] if the guard holds it; [`OpError::Usage`] if no slot or several
/// fit.
pub fn remove(repository: &Repository, options: &RemoveOptions) -> Result<Removed, OpError> {
    let what = "cannot remove a key slot";
    if repository.role() != Role::Admin {
        return Err(repository.keys.lacks(Right::RemoveSlots)).during(what);
    }
    History::check_as_known(repository).during(what)?;
    let slots = repository.located().slots().during("cannot read the key slots")?;
    let (key, slot) = find(&slots, &options.slot)?;
    if options.guard == Guard::On {
        check_guarded(repository, &slots, key, slot)?;
    }
    let client = slot.as_ref().ok().map(|slot| slot.header.client);
    let is_last = |client: &ClientId| {
        let of_client = |slot: &Result<Slot, RepoError>| {
            slot.as_ref().is_ok_and(|slot| slot.header.client == *client)
        };
        slots.iter().filter(|(_key, slot)| of_client(slot)).count() == 1
    };
    // First the keys, then the slot: cut off in between, it can be removed again.
    let revoked = match client.filter(is_last) {
        Some(client) => Some(revoke(repository, client, options)?),
        None => None,
    };
    repository.remove_slot(key).during(what)?;
    let revoked = revoked.unwrap_or_default();
    Ok(Removed {
        slot: name(key),
        role: slot.as_ref().ok().map(|slot| slot.header.role.word()),
        revoked_keys: revoked.keys_count,
        revoked_from: revoked.from.map(|from| time_words(from, 0)),
        refused: revoked.refused.iter().map(ToString::to_string).collect(),
    })
}

fn find<'a>(
    slots: &'a [StoredSlot],
    digits: &str,
) -> Result<(&'a ObjectKey, &'a Result<Slot, RepoError>), OpError> {
    let fits = |key: &ObjectKey| digits.len() >= 4 && name(key).starts_with(digits);
    let found: Vec<_> = slots.iter().filter(|(key, _slot)| fits(key)).collect();
    let [(key, slot)] = found.as_slice() else {
        let many = if found.is_empty() { "no key slot" } else { "more than one key slot" };
        return Err(OpError::Usage { why: format!("`{digits}` begins the id of {many}") });
    };
    Ok((key, slot))
}

fn check_guarded(
    repository: &Repository,
    slots: &[StoredSlot],
    key: &ObjectKey,
    slot: &Result<Slot, RepoError>,
) -> Result<(), OpError> {
    let refused = |why: &str| Err(OpError::Refused { why: why.to_owned() });
    let admins = slots.iter().filter(|(_key, slot)| is_admin(slot)).count();
    if is_admin(slot) && admins == 1 {
        return refused("this is the last slot of an admin: nobody could add keys any more");
    }
    if name(key) == repository.keys.slot.to_string() {
        return refused("this slot opened the repository for this command");
    }
    Ok(())
}

fn revoke(
    repository: &Repository,
    client: ClientId,
    options: &RemoveOptions,
) -> Result<Revoked, OpError> {
    let what = "cannot revoke the keys of the slot";
    let from = options.revoke_from;
    let plan = repository.plan_revocation(client, from, &options.reason).during(what)?;
    if options.guard == Guard::On && !plan.refused.is_empty() {
        let many = plan.refused.len();
        let why = format!(
            "{many} snapshot{} that its client committed since then would no longer count",
            if many == 1 { "" } else { "s" }
        );
        return Err(OpError::Refused { why });
    }
    repository.store_revocations(plan).during(what)
}

fn is_admin(slot: &Result<Slot, RepoError>) -> bool {
    slot.as_ref().is_ok_and(|slot| slot.header.role == Role::Admin)
}
