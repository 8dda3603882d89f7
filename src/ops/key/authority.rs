//! `key authority export`: the key that certifies all others, in a file of its own.

use crate::format::keyslot::Role;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::repository::Repository;

pub use crate::repo::key_file::AuthorityFile;

/// Gives the authority key to `keep`; returns the ids of the slots of admins, which may hold it too.
pub fn export(
    repository: &Repository,
    keep: &mut dyn FnMut(&AuthorityFile) -> Result<(), OpError>,
) -> Result<Vec<String>, OpError> {
    let what = "cannot export the authority key";
    let file = repository.authority_file().during(what)?;
    let slots = repository.located().slots().during("cannot read the key slots")?;
    keep(&file)?;
    let headers = slots.into_iter().filter_map(|(_key, slot)| Some(slot.ok()?.header));
    let admins = headers.filter(|header| header.role == Role::Admin);
    Ok(admins.map(|header| header.slot.to_string()).collect())
}
