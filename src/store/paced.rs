//! A store whose bytes go no faster than they may. Invariant: every call goes through unchanged.
//! For stores without requests; those over a network limit their own.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreFeatures;
use crate::store::StoreIdentity;
use crate::store::Traffic;
use crate::store::Versioned;
use crate::store::pace::Pace;
use crate::store::pace::Rates;
use std::ops::Range;
use std::sync::Arc;

/// A store with limits that all threads share.
#[derive(Debug)]
pub(crate) struct PacedStore {
    inner: Arc<dyn Store>,
    up: Pace,
    down: Pace,
}

impl PacedStore {
    /// The store `inner` with these limits.
    pub(crate) fn new(inner: Arc<dyn Store>, rates: Rates) -> Self {
        let up = Pace::new(rates.upload_bytes_per_second);
        Self { inner, up, down: Pace::new(rates.download_bytes_per_second) }
    }
}

impl Store for PacedStore {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.up.wait(body.len());
        self.inner.create(key, body)
    }

    fn create_in(
        &self,
        key: &ObjectKey,
        body: &[u8],
        class: StorageClass,
    ) -> Result<(), StoreError> {
        self.up.wait(body.len());
        self.inner.create_in(key, body, class)
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.inner.read(key, length_max)?;
        self.down.wait(bytes.len());
        Ok(bytes)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.inner.read_range(key, range, buffer)?;
        self.down.wait(buffer.len());
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.inner.length(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key)
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.settle(key)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep()
    }

    fn traffic(&self) -> Option<Traffic> {
        self.inner.traffic()
    }

    fn features(&self) -> Result<StoreFeatures, StoreError> {
        self.inner.features()
    }

    fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        self.inner.identity()
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        self.inner.versioned()
    }

    fn give_up_conditions(&self) {
        self.inner.give_up_conditions();
    }

    fn copies(&self) -> &[Arc<dyn Store>] {
        self.inner.copies()
    }

    fn note_help(&self, copy: usize) {
        self.inner.note_help(copy);
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
