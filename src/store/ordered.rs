//! A store whose listings name each object once, in the order of keys, however the store within
//! cuts, repeats or shuffles its pages. Invariant: every other call goes through unchanged.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreFeatures;
use crate::store::StoreIdentity;
use crate::store::Traffic;
use crate::store::Versioned;
use std::ops::Range;
use std::sync::Arc;

/// What a repository uses: nobody above has to think of repeated entries.
///
/// An outcome that names a head twice is one that no reader accepts, and nothing would say so
/// when it is committed.
#[derive(Debug)]
pub(crate) struct OrderedStore {
    inner: Arc<dyn Store>,
}

impl OrderedStore {
    /// The store `inner` with its listings in order.
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }
}

impl Store for OrderedStore {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.inner.create(key, body)
    }

    fn create_in(
        &self,
        key: &ObjectKey,
        body: &[u8],
        class: StorageClass,
    ) -> Result<(), StoreError> {
        self.inner.create_in(key, body, class)
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.read(key, length_max)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.inner.read_range(key, range, buffer)
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.inner.length(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.inner.list(prefix)?;
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        listed.dedup_by(|one, other| one.key == other.key);
        Ok(listed)
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
