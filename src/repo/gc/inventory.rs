//! Inventories: what a base lists, in clear. Spec: format-spec/12-inventory.md.

use crate::format::envelope::ObjectKind;
use crate::format::gc::Base;
use crate::format::inventory::Inventory;
use crate::format::inventory::InventoryLine;
use crate::format::layout;
use crate::format::layout::SegmentRef;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::gc::maintenance::Maintenance;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::start::reader_of;
use crate::repo::objects;
use crate::repo::register::Won;
use crate::repo::register::create_register;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::collections::BTreeSet;

/// Stores the inventory of a base, unless the newest one says the same; says whether it fits into
/// an object.
pub(crate) fn store_inventory(
    repository: &Repository,
    maintenance: &Maintenance<'_>,
    base: &Base,
    pulse: Pulse<'_>,
) -> Result<bool, RepoError> {
    let packs = lines_of(repository, base, pulse)?;
    for _attempt in 0..NUMBER_ATTEMPTS {
        let newest = repository.list_keys(layout::INVENTORY)?.into_iter().max();
        let number = newest.as_ref().and_then(layout::parse_inventory_key).unwrap_or(0);
        if let Some(key) = &newest
            && says(repository, key, &packs)?
        {
            return Ok(true);
        }
        let number = number + 1;
        let inventory = Inventory { repository: repository.id(), number, packs: packs.clone() };
        let body = inventory.encode();
        if to_u64(body.len()) + SIGNED_BYTES > u64::from(ObjectKind::Inventory.raw_bytes_max()) {
            return Ok(false);
        }
        let key = layout::inventory_key(number);
        let bytes = maintenance.sign_clear(ObjectKind::Inventory, &key, &body);
        if create_register(repository.store.as_ref(), &key, &bytes)? == Won::Mine {
            return Ok(true);
        }
    }
    Err(RepoError::Unsettled { attempts: NUMBER_ATTEMPTS })
}

fn lines_of(
    repository: &Repository,
    base: &Base,
    pulse: Pulse<'_>,
) -> Result<Vec<InventoryLine>, RepoError> {
    let segments: BTreeSet<SegmentRef> = base.segments.iter().map(|&name| name.into()).collect();
    let mut lines = Vec::new();
    for run in reader_of(repository, &segments, pulse)?.index.runs() {
        lines.extend(run.packs().iter().map(|pack| {
            let key = pack.reference().key();
            let (sha256, id, length) = (pack.sha256, pack.id, pack.length);
            InventoryLine { sha256, id, length, key }
        }));
    }
    lines.sort_unstable_by(|left, right| left.key.cmp(&right.key));
    lines.dedup_by(|left, right| left.key == right.key);
    Ok(lines)
}

/// Whether an inventory that counts lists exactly these packs.
fn says(
    repository: &Repository,
    key: &ObjectKey,
    packs: &[InventoryLine],
) -> Result<bool, RepoError> {
    let length_max = u64::from(ObjectKind::Inventory.raw_bytes_max()) + 4096;
    let bytes = repository.store.read(key, length_max)?;
    let body =
        objects::open_clear(ObjectKind::Inventory, key.as_str(), &bytes).and_then(|opened| {
            repository.check_signed_in_time(opened.signer(), key)?;
            repository.identities.by_maintenance(repository.id(), opened)
        });
    let Ok(body) = body else { return Ok(false) };
    Ok(Inventory::decode(&body).is_ok_and(|inventory| inventory.packs == packs))
}

const NUMBER_ATTEMPTS: u32 = 16;
/// Signer and signature before the text.
const SIGNED_BYTES: u64 = 80;
