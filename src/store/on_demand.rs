//! A store that is looked for when it is first asked for something: a copy that is seldom needed costs
//! nothing until then. Invariant: it only reads.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::OnceLock;

/// A store that may not be there.
pub(crate) struct OnDemandStore {
    location: String,
    open: Box<dyn Fn() -> Option<Arc<dyn Store>> + Send + Sync>,
    opened: OnceLock<Option<Arc<dyn Store>>>,
}

impl OnDemandStore {
    /// The store that `open` opens, once; `None` if it cannot be used.
    pub(crate) fn new(
        location: String,
        open: impl Fn() -> Option<Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Self {
        Self { location, open: Box::new(open), opened: OnceLock::new() }
    }

    fn store(&self, operation: Operation, key: &str) -> Result<&dyn Store, StoreError> {
        match self.opened.get_or_init(|| (self.open)()) {
            Some(store) => Ok(store.as_ref()),
            None => Err(self.error(operation, key, StoreErrorKind::Unavailable)),
        }
    }

    fn error(&self, operation: Operation, key: &str, kind: StoreErrorKind) -> StoreError {
        StoreError::new(operation, key, &self.location, kind, "this copy cannot be used")
    }
}

impl fmt::Debug for OnDemandStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OnDemandStore({})", self.location)
    }
}

impl Store for OnDemandStore {
    fn create(&self, key: &ObjectKey, _body: &[u8]) -> Result<(), StoreError> {
        Err(self.error(Operation::Create, key.as_str(), StoreErrorKind::Unsupported))
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.store(Operation::Read, key.as_str())?.read(key, length_max)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.store(Operation::Read, key.as_str())?.read_range(key, range, buffer)
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.store(Operation::Read, key.as_str())?.length(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.store(Operation::List, prefix)?.list(prefix)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        Err(self.error(Operation::Delete, key.as_str(), StoreErrorKind::Unsupported))
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.store(Operation::Settle, key.as_str())?.settle(key)
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}
