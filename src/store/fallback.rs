//! A store with copies: what cannot be read in the first is read in the next one that has it.
//! Invariant: nothing is ever created or deleted in a copy.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::StoreFeatures;
use crate::store::StoreIdentity;
use crate::store::Traffic;
use crate::store::Versioned;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A store whose objects are stored elsewhere, too, under the same keys.
#[derive(Debug)]
pub(crate) struct FallbackStore {
    first: Arc<dyn Store>,
    copies: Vec<Arc<dyn Store>>,
    /// For each copy how often it gave something.
    helped: Vec<Arc<AtomicU64>>,
    joining: Option<Joining>,
    /// The first store failed as a whole: asking it again would take its time again.
    is_lost: AtomicBool,
}

/// A copy, and how often it gave what the first store did not.
#[derive(Debug, Clone)]
pub(crate) struct CopyStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) helped: Arc<AtomicU64>,
}

/// Which listings show what any of the stores has; all others show what the first one has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joining {
    /// First parts of prefixes.
    pub(crate) folders: &'static [&'static str],
    /// Which objects of the copies are shown.
    pub(crate) takes: fn(&ObjectKey) -> bool,
}

impl FallbackStore {
    /// The store `first` with these copies.
    pub(crate) fn new(
        first: Arc<dyn Store>,
        copies: Vec<CopyStore>,
        joining: Option<Joining>,
    ) -> Self {
        let (copies, helped) = copies.into_iter().map(|copy| (copy.store, copy.helped)).unzip();
        Self { first, copies, helped, joining, is_lost: AtomicBool::new(false) }
    }

    /// Adds to a listing what copies have beside.
    fn add_listed(&self, prefix: &str, takes: fn(&ObjectKey) -> bool, listed: &mut Vec<Listed>) {
        for (number, copy) in self.copies.iter().enumerate() {
            let Ok(others) = copy.list(prefix) else { continue };
            let known: HashSet<ObjectKey> = listed.iter().map(|one| one.key.clone()).collect();
            let count = listed.len();
            let is_new = |one: &Listed| takes(&one.key) && !known.contains(&one.key);
            listed.extend(others.into_iter().filter(is_new));
            if listed.len() > count {
                self.note_help(number);
            }
        }
        listed.sort_by(|one, other| one.key.cmp(&other.key));
    }

    /// Asks the first store, then each copy; the error is that of the first.
    fn ask<T>(
        &self,
        mut ask: impl FnMut(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.is_lost.load(Ordering::Relaxed)
            && let Some(answer) = self.ask_copies(&mut ask)
        {
            return Ok(answer);
        }
        let error = match ask(self.first.as_ref()) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if error.kind == StoreErrorKind::Unavailable {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        self.ask_copies(&mut ask).ok_or(error)
    }

    fn ask_copies<T>(
        &self,
        ask: &mut impl FnMut(&dyn Store) -> Result<T, StoreError>,
    ) -> Option<T> {
        let mut copies = self.copies.iter().enumerate();
        let (number, answer) =
            copies.find_map(|(number, copy)| Some((number, ask(copy.as_ref()).ok()?)))?;
        self.note_help(number);
        Some(answer)
    }
}

impl Store for FallbackStore {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.first.create(key, body)
    }

    fn create_in(
        &self,
        key: &ObjectKey,
        body: &[u8],
        class: StorageClass,
    ) -> Result<(), StoreError> {
        self.first.create_in(key, body, class)
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.ask(|store| store.read(key, length_max))
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.ask(|store| store.read_range(key, range.clone(), buffer))
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.ask(|store| store.length(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.ask(|store| store.list(prefix))?;
        let folder = prefix.split('/').next().unwrap_or_default();
        if let Some(Joining { folders, takes }) = self.joining
            && folders.contains(&folder)
        {
            self.add_listed(prefix, takes, &mut listed);
        }
        Ok(listed)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.first.delete(key)
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.first.settle(key)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.first.sweep()
    }

    fn traffic(&self) -> Option<Traffic> {
        self.first.traffic()
    }

    fn features(&self) -> Result<StoreFeatures, StoreError> {
        self.first.features()
    }

    fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        self.first.identity()
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        self.first.versioned()
    }

    fn give_up_conditions(&self) {
        self.first.give_up_conditions();
    }

    fn copies(&self) -> &[Arc<dyn Store>] {
        &self.copies
    }

    fn note_help(&self, copy: usize) {
        if let Some(helped) = self.helped.get(copy) {
            helped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn location(&self) -> String {
        self.first.location()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::testing::FaultStore;

    #[test]
    fn a_store_that_is_lost_is_asked_once_and_never_written_elsewhere() {
        let key = ObjectKey::new("packs/a").unwrap();
        let copy = Arc::new(MemoryStore::new());
        copy.create(&key, b"body").unwrap();
        let lost = Arc::new(FaultStore::crash_at(MemoryStore::new(), 0));
        let helped = Arc::new(AtomicU64::new(0));
        let copies = vec![CopyStore {
            store: Arc::<MemoryStore>::clone(&copy),
            helped: Arc::clone(&helped),
        }];
        let first: Arc<dyn Store> = Arc::<FaultStore<MemoryStore>>::clone(&lost);
        let store = FallbackStore::new(first, copies, None);
        for _read in 0..3 {
            assert_eq!(store.read(&key, 9).unwrap(), b"body");
        }
        assert_eq!((lost.operations(), helped.load(Ordering::Relaxed)), (1, 3));
        assert!(store.create(&ObjectKey::new("packs/b").unwrap(), b"").is_err());
        assert!(store.delete(&key).is_err());
        assert_eq!(copy.objects().len(), 1);
    }
}
