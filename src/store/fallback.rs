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
    helped: Arc<AtomicU64>,
    /// The first store failed as a whole: asking it again would take its time again.
    is_lost: AtomicBool,
}

impl FallbackStore {
    /// The store `first` with these copies; `helped` counts what a copy gave.
    pub(crate) fn new(
        first: Arc<dyn Store>,
        copies: Vec<Arc<dyn Store>>,
        helped: Arc<AtomicU64>,
    ) -> Self {
        Self { first, copies, helped, is_lost: AtomicBool::new(false) }
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
        let answer = self.copies.iter().find_map(|copy| ask(copy.as_ref()).ok());
        if answer.is_some() {
            self.note_help();
        }
        answer
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
        self.ask(|store| store.list(prefix))
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

    fn note_help(&self) {
        self.helped.fetch_add(1, Ordering::Relaxed);
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
        let copies: Vec<Arc<dyn Store>> = vec![Arc::<MemoryStore>::clone(&copy)];
        let first: Arc<dyn Store> = Arc::<FaultStore<MemoryStore>>::clone(&lost);
        let store = FallbackStore::new(first, copies, Arc::clone(&helped));
        for _read in 0..3 {
            assert_eq!(store.read(&key, 9).unwrap(), b"body");
        }
        assert_eq!((lost.operations(), helped.load(Ordering::Relaxed)), (1, 3));
        assert!(store.create(&ObjectKey::new("packs/b").unwrap(), b"").is_err());
        assert!(store.delete(&key).is_err());
        assert_eq!(copy.objects().len(), 1);
    }
}
