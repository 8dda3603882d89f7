//! Reading from copies of a repository what its own store does not give.
//!
//! A copy has the same bytes under the same keys, as mirrors have; everything is verified as always.

use crate::crypto::hash::blake3;
use crate::format::config::Config;
use crate::format::envelope;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::key::ObjectKey;
use crate::repo::amendments;
use crate::repo::error::RepoError;
use crate::repo::mirror::error::MirrorError;
use crate::repo::mirror::state::first_note;
use crate::repo::objects::open_clear;
use crate::repo::repository::CONFIG_BYTES_MAX;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::repository::verified_by_authority;
use crate::store::Store;
use crate::store::fallback::CopyStore;
use crate::store::fallback::FallbackStore;
use crate::store::fallback::Joining;
use crate::store::on_demand::OnDemandStore;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// How often a copy gave what the first store did not.
#[derive(Debug, Clone)]
pub(crate) struct Helped {
    pub(crate) location: String,
    count: Arc<AtomicU64>,
}

impl Helped {
    /// By the copy at `location`, not yet.
    pub(crate) fn new(location: String) -> Self {
        Self { location, count: Arc::default() }
    }

    /// How often.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The copy in this place, counted here.
    pub(crate) fn counting(&self, copy: &Located) -> CopyStore {
        CopyStore { store: Arc::clone(copy.store()), helped: Arc::clone(&self.count) }
    }

    /// A copy that `find` finds when it is first needed, counted here.
    pub(crate) fn counting_on_demand(
        &self,
        find: impl Fn() -> Option<Located> + Send + Sync + 'static,
    ) -> CopyStore {
        let open = move || find().map(|found| Arc::clone(found.store()));
        let store = Arc::new(OnDemandStore::new(self.location.clone(), open));
        CopyStore { store, helped: Arc::clone(&self.count) }
    }
}

impl Located {
    /// The same place, whose objects are read from `copies` where it does not give them.
    pub(crate) fn with_copies(&self, copies: Vec<CopyStore>) -> Self {
        self.with(copies, None)
    }

    /// As [`Self::with_copies`]; small objects that only a copy has are listed, too.
    pub(crate) fn joined_with_copies(&self, copies: Vec<CopyStore>) -> Self {
        // The notes of a mirror would make a mirror of it.
        let takes = |key: &ObjectKey| layout::parse_mirror_key(key).is_err();
        self.with(copies, Some(Joining { folders: JOINED_FOLDERS, takes }))
    }

    fn with(&self, copies: Vec<CopyStore>, joining: Option<Joining>) -> Self {
        let first = Arc::clone(self.store());
        self.over(Arc::new(FallbackStore::new(first, copies, joining)))
    }

    /// Checks that this holds the same repository as `other` and its history, as far as both can be
    /// read.
    ///
    /// Errors: [`MirrorError::OtherRepository`], [`MirrorError::Promoted`].
    pub(crate) fn check_same(&self, other: &Self) -> Result<(), RepoError> {
        let config = layout::config_key();
        let there = self.store().read(&config, CONFIG_BYTES_MAX)?;
        if let Ok(own) = other.store().read(&config, CONFIG_BYTES_MAX)
            && own != there
            && whole_config(&own).is_some()
            && whole_config(&there).is_some()
        {
            return Err(MirrorError::OtherRepository { location: self.store().location() }.into());
        }
        let here = Lineage::of(other).unwrap_or_default();
        let there = Lineage::of(self)?;
        let location = self.store().location();
        if there.is_promoted {
            return Err(MirrorError::Promoted { location }.into());
        }
        // What was committed there since the promotion belongs to another history.
        if there.promotions_count < here.promotions_count {
            return Err(MirrorError::OtherRepository { location }.into());
        }
        Ok(())
    }

    /// The bytes of a pack, if they have the hash in its name.
    pub(crate) fn whole_pack(&self, pack: &PackRef) -> Option<Vec<u8>> {
        let key = pack.key();
        let length = self.store().length(&key).ok()?;
        let bytes = self.store().read(&key, length.min(PACK_BYTES_MAX)).ok()?;
        (blake3(&bytes) == *pack.id.as_bytes()).then_some(bytes)
    }
}

impl Repository {
    /// The same repository without copies: what the store in this place has.
    pub(crate) fn alone_at(&self, place: &Located) -> Self {
        self.over(Arc::clone(place.store()))
    }
}

/// Of which history a place is.
#[derive(Debug, Clone, Copy, Default)]
struct Lineage {
    /// Promotions of mirrors that made it what it is.
    promotions_count: usize,
    /// Whether it is a mirror that was promoted itself.
    is_promoted: bool,
}

impl Lineage {
    fn of(place: &Located) -> Result<Self, RepoError> {
        let store = place.store().as_ref();
        let bytes = store.read(&layout::config_key(), CONFIG_BYTES_MAX)?;
        // A damaged one says nothing.
        let Some(mut config) = whole_config(&bytes) else { return Ok(Self::default()) };
        let amended = amendments::apply(store, &mut config)?;
        let is_promoted = match first_note(store) {
            _ if amended.notes.is_empty() => false,
            Some(first) => amended.promoted.iter().any(|(mirror, _history)| *mirror == first),
            None => !amended.promoted.is_empty(),
        };
        Ok(Self { promotions_count: amended.promoted.len(), is_promoted })
    }
}

/// Reads from a store, or from the first of its copies that has it undamaged; the error is that of
/// the store.
pub(crate) fn read_or_copy<T>(
    store: &dyn Store,
    read: impl Fn(&dyn Store) -> Result<T, RepoError>,
) -> Result<T, RepoError> {
    match read(store) {
        Err(error) if error.is_damage() => read_copy(store, read).ok_or(error),
        read => read,
    }
}

/// Reads from the first copy of a store that has something undamaged.
pub(crate) fn read_copy<T>(
    store: &dyn Store,
    read: impl Fn(&dyn Store) -> Result<T, RepoError>,
) -> Option<T> {
    let mut copies = store.copies().iter().enumerate();
    let (number, found) =
        copies.find_map(|(number, copy)| Some((number, read(copy.as_ref()).ok()?)))?;
    store.note_help(number);
    Some(found)
}

/// A config that its own authority signed: if it is not the same, it is of another repository, and not
/// damaged.
fn whole_config(bytes: &[u8]) -> Option<Config> {
    let body = envelope::decode_clear(ObjectKind::Config, bytes).ok()?.body;
    let config = Config::decode(body).ok()?;
    let opened = open_clear(ObjectKind::Config, layout::CONFIG, bytes).ok()?;
    verified_by_authority(opened, config.repository, &config.authority).ok()?;
    Some(config)
}

/// Folders of small objects that are created once and authenticated: one that has no place in what
/// counts is passed over by whoever reads it.
const JOINED_FOLDERS: &[&str] = &[
    layout::AMENDMENTS,
    layout::FORGET,
    layout::GC,
    layout::IDENTITIES,
    layout::KEYS,
    layout::MANIFESTS,
    layout::OUTCOMES,
    layout::RECORDS,
];
