//! The place of a mirror: found or begun. Spec: format-spec/15-mirror.md.

use crate::format::config::Config;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::mirror::MirrorNote;
use crate::format::mirror::Receipt;
use crate::format::pack::PackHeader;
use crate::format::pack::PackKind;
use crate::key::ObjectKey;
use crate::repo::amendments;
use crate::repo::create::create;
use crate::repo::create::create_in;
use crate::repo::error::RepoError;
use crate::repo::mirror::error::MirrorError;
use crate::repo::mirror::part::Part;
use crate::repo::mirror::state::MirrorState;
use crate::repo::mode::Effort;
use crate::repo::objects;
use crate::repo::repository::CONFIG_BYTES_MAX;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreErrorKind;
use crate::units::to_u32;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every object of a place with its length.
pub(crate) type Objects = BTreeMap<ObjectKey, u64>;

/// Finds the mirror of `source` in `located`, or begins it where nothing is; returns it under the
/// keys of its source.
///
/// Errors: [`MirrorError::NotAMirror`], [`MirrorError::Promoted`], [`MirrorError::OtherRepository`],
/// [`RepoError::NotEmpty`]; [`RepoError::RoleLacks`] if the client in use has no certificate.
pub(crate) fn open_place(source: &Repository, located: &Located) -> Result<Repository, RepoError> {
    if !crate::repo::grant::signs(source.role()) {
        return Err(source.keys.lacks(Right::SignNotes));
    }
    let store = located.store();
    let objects = objects_of(located)?;
    let mut place =
        Repository { mirror: None, cache: None, state: None, ..source.over(Arc::clone(store)) };
    let location = store.location();
    if objects.keys().all(|key| key.is_under(PROBES)) {
        located.probe(Effort::SMALL)?;
        let time = source.environment.now().0;
        let note = MirrorNote { number: 1, time, source: source.location(), receipts: vec![] };
        store_note(&place, &note)?;
    } else if !objects.keys().any(|key| layout::parse_mirror_key(key).is_ok()) {
        let has_config = objects.contains_key(&layout::config_key());
        return Err(if has_config {
            MirrorError::NotAMirror { location }.into()
        } else {
            RepoError::NotEmpty { location }
        });
    }
    check_same_config(source, &place, &objects)?;
    let mut config = Config::clone(&source.config);
    let amended = amendments::apply(store.as_ref(), &mut config)?;
    let state = MirrorState::load(store.as_ref(), &place.keys, &place.identities, &amended)?;
    if state.as_ref().is_some_and(|state| state.is_promoted) {
        return Err(MirrorError::Promoted { location }.into());
    }
    place.mirror = state.map(Arc::new);
    Ok(place)
}

/// Every object of a place.
pub(crate) fn objects_of(located: &Located) -> Result<Objects, RepoError> {
    let listed = located.store().list("")?;
    Ok(listed.into_iter().map(|listed| (listed.key, listed.length)).collect())
}

/// Says that the mirror shows its source as it was at `time`; earlier notes but the first go.
pub(crate) fn note_complete(
    source: &Repository,
    place: &Repository,
    time: i64,
    mut receipts: Vec<Receipt>,
) -> Result<(), RepoError> {
    let newest = place.mirror.as_ref().map_or(1, |mirror| mirror.newest);
    receipts.sort_unstable();
    receipts.dedup_by_key(|receipt| receipt.session);
    receipts.truncate(RECEIPTS_COUNT_MAX);
    let source = source.location();
    for number in (newest.saturating_add(1)..).take(NUMBER_ATTEMPTS) {
        let note = MirrorNote { number, time, source: source.clone(), receipts: receipts.clone() };
        match store_note(place, &note) {
            // Somebody else mirrors at the same time.
            Err(RepoError::Store { source }) if source.kind == StoreErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                for older in 2.max(newest.saturating_sub(NOTES_BEFORE))..number {
                    // What stays is a few bytes, where nothing can be deleted.
                    let _ignored = place.store.delete(&layout::mirror_key(older));
                }
                return Ok(());
            }
        }
    }
    Err(RepoError::Unsettled { attempts: to_u32(NUMBER_ATTEMPTS) })
}

/// Creates an object of a mirror; a store that refuses conditions is used without.
pub(crate) fn put(place: &Repository, key: &ObjectKey, bytes: &[u8]) -> Result<(), RepoError> {
    let create = |store: &dyn Store| match class_of(key, bytes) {
        Some(class) => create_in(store, key, bytes, class),
        None => create(store, key, bytes),
    };
    match create(place.store.as_ref()) {
        Err(RepoError::Store { source }) if source.kind == StoreErrorKind::Unsupported => {
            place.store.give_up_conditions();
            create(place.store.as_ref())
        }
        created => created,
    }
}

/// The storage class of an object, as whoever stored it first chose it.
fn class_of(key: &ObjectKey, bytes: &[u8]) -> Option<StorageClass> {
    match Part::of(key) {
        Some(Part::Pack(_)) => match PackHeader::decode(bytes).ok()?.0.kind {
            PackKind::Data => Some(StorageClass::Data),
            PackKind::Tree => Some(StorageClass::Metadata),
        },
        Some(Part::Segment(_)) => Some(StorageClass::Metadata),
        Some(_) | None => None,
    }
}

fn store_note(place: &Repository, note: &MirrorNote) -> Result<(), RepoError> {
    let key = layout::mirror_key(note.number);
    let Repository { keys, environment, .. } = place;
    let body = note.encode();
    let kind = ObjectKind::Mirror;
    let bytes = objects::seal(kind, keys, key.as_str(), &body, &keys.signer, environment.as_ref())?;
    put(place, &key, &bytes)
}

/// Checks that a place that has a config has that of the source.
fn check_same_config(
    source: &Repository,
    place: &Repository,
    objects: &Objects,
) -> Result<(), RepoError> {
    let key = layout::config_key();
    let Some(&length) = objects.get(&key) else { return Ok(()) };
    let own = source.store.read(&key, CONFIG_BYTES_MAX)?;
    let there = place.store.read(&key, length.min(CONFIG_BYTES_MAX))?;
    let is_other = |bytes: &[u8]| {
        let opened = objects::open_clear(ObjectKind::Config, key.as_str(), bytes).ok();
        // A damaged one is told when it is copied.
        opened.is_some_and(|opened| opened.verified(source.id(), &source.config.authority).is_err())
    };
    if own != there && is_other(&there) {
        return Err(MirrorError::OtherRepository { location: place.location() }.into());
    }
    Ok(())
}

const PROBES: &str = "probe";
/// Receipts of a note: about half of what fits.
const RECEIPTS_COUNT_MAX: usize = 65_536;
const NUMBER_ATTEMPTS: usize = 16;
/// How far a run looks back for notes that earlier ones could not delete.
const NOTES_BEFORE: u32 = 2;
