//! Packs that were read and found damaged: what they hold is stored again, and other copies count
//! first. Spec: format-spec/10-record.md, "Damage".

use crate::format::keyslot::Role;
use crate::format::mark::Damage;
use crate::id::PackId;
use crate::repo::error::RepoError;
use crate::repo::mark_writer::store_record;
use crate::repo::marks::Stored;
use crate::repo::marks::load_records;
use crate::repo::repository::Repository;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// The packs that somebody found damaged who may read what they hold.
///
/// A record that cannot be read adds nothing: a pack that is not known to be damaged is treated as
/// any other.
pub(crate) fn damaged_packs(repository: &Repository) -> Result<HashSet<PackId>, RepoError> {
    let (records, _unreadable) = load_records(repository, Damage::KIND, Damage::read)?;
    // Another role cannot know; and a writer that is not to be trusted must not get sound copies
    // replaced by its own.
    let may_know =
        |stored: &Stored<Damage>| matches!(stored.role, Some(Role::Admin | Role::Reader));
    Ok(records.into_iter().filter(may_know).flat_map(|stored| stored.mark.packs).collect())
}

/// Records packs that were found damaged, unless they are known.
///
/// Errors: [`RepoError::RoleLacks`] if the slot in use may not sign; whatever the store says.
pub(crate) fn note_damaged(
    repository: &Repository,
    packs: &BTreeSet<PackId>,
) -> Result<(), RepoError> {
    let known = damaged_packs(repository)?;
    let new: Vec<PackId> = packs.iter().filter(|pack| !known.contains(pack)).copied().collect();
    for packs in new.chunks(RECORD_PACKS_MAX) {
        let damage = Damage { packs: packs.to_vec(), ..Damage::default() };
        store_record(repository, Damage::KIND, |record| damage.write(record))?;
    }
    Ok(())
}

/// Packs that one record names.
const RECORD_PACKS_MAX: usize = 4096;
