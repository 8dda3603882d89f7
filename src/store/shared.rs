//! A store behind a shared pointer is a store: several repositories can be open on one.
//! Invariant: every call goes through unchanged.

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

impl<S: Store + ?Sized> Store for Arc<S> {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.as_ref().create(key, body)
    }

    fn create_in(
        &self,
        key: &ObjectKey,
        body: &[u8],
        class: StorageClass,
    ) -> Result<(), StoreError> {
        self.as_ref().create_in(key, body, class)
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.as_ref().read(key, length_max)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.as_ref().read_range(key, range, buffer)
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.as_ref().length(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.as_ref().list(prefix)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.as_ref().delete(key)
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.as_ref().settle(key)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.as_ref().sweep()
    }

    fn traffic(&self) -> Option<Traffic> {
        self.as_ref().traffic()
    }

    fn features(&self) -> Result<StoreFeatures, StoreError> {
        self.as_ref().features()
    }

    fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        self.as_ref().identity()
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        self.as_ref().versioned()
    }

    fn give_up_conditions(&self) {
        self.as_ref().give_up_conditions();
    }

    fn copies(&self) -> &[Arc<dyn Store>] {
        self.as_ref().copies()
    }

    fn note_help(&self, copy: usize) {
        self.as_ref().note_help(copy);
    }

    fn location(&self) -> String {
        self.as_ref().location()
    }
}
