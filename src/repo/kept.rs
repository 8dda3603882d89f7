//! What is kept on this host of a repository that is read over a network: objects that never
//! change, and packs of trees.

use crate::crypto::hash::blake3;
use crate::format::config::StoreMode;
use crate::format::envelope::ObjectKind;
use crate::format::index::IndexedPack;
use crate::format::layout;
use crate::format::pack::PackKind;
use crate::id::Digest;
use crate::id::PackId;
use crate::key::ObjectKey;
use crate::repo::cache::CacheDirectory;
use crate::repo::error::RepoError;
use crate::repo::history::LiveSnapshot;
use crate::repo::joined::at_once;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;
use crate::repo::shelf::Shelf;
use crate::store::Store;
use crate::store::StoreError;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// What is kept of one repository; shared by its clones.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Objects of a few KiB, by BLAKE3 of their keys.
    objects: Option<Shelf>,
    /// Packs of trees as they are stored, by name.
    trees: Option<Shelf>,
    /// Packs of data that this host stored, as they are stored, by name: bases of deltas to come.
    data: Option<Shelf>,
    /// The pack of trees that was fetched last, if no shelf could take it. Locked while one is
    /// fetched: others are likely to want the same.
    last: Mutex<Option<(PackId, Vec<u8>)>>,
}

impl Kept {
    /// What is kept below the cache's part of one repository.
    pub(crate) fn new(cache: Option<&CacheDirectory>) -> Self {
        let shelf = |name: &str, share: fn(u64) -> u64| {
            let bytes_max = share(cache?.bytes_max());
            Some(Shelf::new(Path::join(cache?.path(), name), bytes_max))
        };
        Self {
            objects: shelf(OBJECTS, |bytes_max| bytes_max / OBJECTS_SHARE),
            trees: shelf(TREES, packs_bytes_max),
            data: shelf(DATA, packs_bytes_max),
            last: Mutex::new(None),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(PackId, Vec<u8>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn packs(&self, kind: PackKind) -> Option<&Shelf> {
        match kind {
            PackKind::Tree => self.trees.as_ref(),
            PackKind::Data => self.data.as_ref(),
        }
    }

    /// Reads a part of a pack that is kept; says whether it is.
    pub(crate) fn pack_part(
        &self,
        pack: &IndexedPack,
        range: &Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> bool {
        let packs = self.packs(pack.header.kind);
        packs.is_some_and(|packs| packs.part(&pack.id.to_string(), range, buffer))
    }

    /// Whether a pack is kept.
    pub(crate) fn holds_pack(&self, pack: &IndexedPack) -> bool {
        self.packs(pack.header.kind).is_some_and(|packs| packs.holds(&pack.id.to_string()))
    }

    /// Forgets a pack that is not what it should be.
    pub(crate) fn drop_pack(&self, pack: &IndexedPack) {
        if let Some(packs) = self.packs(pack.header.kind) {
            packs.remove(&pack.id.to_string());
        }
    }
}

impl Repository {
    /// Reads an object that is written once: what is kept of it, if `accept` takes that, or else
    /// what the store has, which is kept then.
    ///
    /// Errors: whatever the store or `accept` says of what the store has.
    pub(crate) fn read_kept<T>(
        &self,
        key: &ObjectKey,
        length_max: u64,
        accept: impl Fn(&[u8]) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        let Some(objects) = self.kept.as_ref().and_then(|kept| kept.objects.as_ref()) else {
            return self.read_or_copy(|store| accept(&store.read(key, length_max)?));
        };
        let name = shelf_name(key);
        if let Some(bytes) = objects.whole(&name) {
            match accept(&bytes) {
                Ok(accepted) => return Ok(accepted),
                Err(_not_what_it_should_be) => objects.remove(&name),
            }
        }
        self.read_or_copy(|store| {
            let bytes = store.read(key, length_max)?;
            let accepted = accept(&bytes)?;
            objects.put(&name, &bytes);
            Ok(accepted)
        })
    }

    /// Keeps an object that was stored just now, since it is read soon.
    pub(crate) fn keep(&self, key: &ObjectKey, bytes: &[u8]) {
        if let Some(objects) = self.kept.as_ref().and_then(|kept| kept.objects.as_ref()) {
            objects.put(&shelf_name(key), bytes);
        }
    }

    /// Keeps a pack that was stored just now.
    pub(crate) fn keep_pack(&self, kind: PackKind, id: PackId, bytes: &[u8]) {
        if let Some(packs) = self.kept.as_ref().and_then(|kept| kept.packs(kind)) {
            packs.put(&id.to_string(), bytes);
        }
    }

    /// Fetches objects that are read soon and that this host does not keep, several at a time.
    ///
    /// What cannot be had is told by whoever reads it.
    pub(crate) fn keep_ahead(&self, keys: impl Iterator<Item = ObjectKey>, length_max: u64) {
        let Some(objects) = self.kept.as_ref().and_then(|kept| kept.objects.as_ref()) else {
            return;
        };
        let is_new = |key: &ObjectKey| !objects.holds(&shelf_name(key));
        let missing: Vec<ObjectKey> = keys.filter(is_new).collect();
        if missing.len() < 2 {
            return;
        }
        at_once(&missing, |key| {
            if let Ok(bytes) = self.store.read(key, length_max) {
                objects.put(&shelf_name(key), &bytes);
            }
        });
    }

    /// Fetches the manifests of snapshots, for whoever reads them one by one.
    pub(crate) fn keep_manifests_ahead(&self, lives: &[LiveSnapshot]) {
        let key = |live: &LiveSnapshot| layout::manifest_key(live.client, live.snapshot);
        self.keep_ahead(lives.iter().map(key), length_max(ObjectKind::Manifest));
    }

    /// Whether an outcome stays what it is once it is there: only then it is kept.
    pub(crate) fn has_final_outcomes(&self) -> bool {
        self.config.store == StoreMode::Registers
    }

    /// Reads a part of a pack of trees from the store, and keeps the whole pack: the next node that
    /// is wanted lies in it more often than not.
    pub(crate) fn fetch_tree_part(
        &self,
        store: &dyn Store,
        pack: &IndexedPack,
        range: &Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let key = pack.reference().key();
        let Some(kept) = self.kept.as_ref().filter(|_| pack.length <= WHOLE_BYTES_MAX) else {
            return store.read_range(&key, range.clone(), buffer);
        };
        let mut last = kept.last();
        // Another thread may have been faster.
        if kept.pack_part(pack, range, buffer) {
            return Ok(());
        }
        if let Some((held, bytes)) = &*last
            && *held == pack.id
            && copy_part(bytes, range, buffer)
        {
            return Ok(());
        }
        let whole = store.read(&key, pack.length)?;
        let is_whole = blake3(&whole) == *pack.id.as_bytes();
        if !is_whole || !copy_part(&whole, range, buffer) {
            // Damaged somewhere, perhaps elsewhere: what is wanted is judged by itself.
            return store.read_range(&key, range.clone(), buffer);
        }
        let on_shelf =
            kept.trees.as_ref().is_some_and(|trees| trees.put(&pack.id.to_string(), &whole));
        *last = (!on_shelf).then_some((pack.id, whole));
        Ok(())
    }

    /// Whether the store is asked over a network, where it pays to ask rarely and for many things
    /// at once.
    pub(crate) fn is_remote(&self) -> bool {
        self.store.traffic().is_some()
    }

    /// The same repository for whoever is to see what the store has, and nothing else.
    pub(crate) fn without_kept(&self) -> Self {
        Self { kept: None, parity: None, ..self.clone() }
    }

    /// The same keys over another store, of which nothing is kept: what is kept of this one says
    /// nothing about it.
    pub(crate) fn over(&self, store: Arc<dyn Store>) -> Self {
        Self { store, receipts: Arc::default(), ..self.without_kept() }
    }
}

/// How many bytes of packs of data are kept in a cache of a repository, or what stands in their place where they
/// cannot be read.
pub(crate) const fn data_bytes_max(cache: &CacheDirectory) -> u64 {
    packs_bytes_max(cache.bytes_max())
}

const fn packs_bytes_max(bytes_max: u64) -> u64 {
    bytes_max / OBJECTS_SHARE * PACKS_SHARE
}

/// The name of an object's file: keys have slashes.
fn shelf_name(key: &ObjectKey) -> String {
    Digest::new(blake3(key.as_str().as_bytes())).to_string()
}

fn copy_part(whole: &[u8], range: &Range<u64>, buffer: &mut Vec<u8>) -> bool {
    let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let Some(part) = bounds.and_then(|(start, end)| whole.get(start..end)) else { return false };
    buffer.clear();
    buffer.extend_from_slice(part);
    true
}

const OBJECTS: &str = "objects";
const TREES: &str = "trees";
const DATA: &str = "data";
/// Objects get a seventeenth of the cache: of 2176 MiB 128 MiB, some 100 000 objects.
const OBJECTS_SHARE: u64 = 17;
/// Packs of trees and packs of data get eight seventeenths each: 1 GiB.
const PACKS_SHARE: u64 = 8;
/// Longer packs are read block by block.
const WHOLE_BYTES_MAX: u64 = 64 * crate::units::MIB;
