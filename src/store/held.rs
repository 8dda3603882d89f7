//! A store of one object, held in memory: for looking at bytes that were read from elsewhere.
//! Invariant: nothing can be created or deleted.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::units::to_u64;
use crate::units::to_usize;
use std::ops::Range;

/// One object, as if it were stored at `location`.
#[derive(Debug)]
pub(crate) struct HeldObject {
    location: String,
    key: ObjectKey,
    bytes: Vec<u8>,
}

impl HeldObject {
    /// These bytes under this key.
    pub(crate) fn new(location: String, key: ObjectKey, bytes: Vec<u8>) -> Self {
        Self { location, key, bytes }
    }

    fn error(&self, operation: Operation, key: &str, kind: StoreErrorKind) -> StoreError {
        StoreError::new(operation, key, &self.location, kind, "only one object is held")
    }

    fn bytes(&self, key: &ObjectKey) -> Result<&[u8], StoreError> {
        if *key == self.key {
            return Ok(&self.bytes);
        }
        Err(self.error(Operation::Read, key.as_str(), StoreErrorKind::NotFound))
    }
}

impl Store for HeldObject {
    fn create(&self, key: &ObjectKey, _body: &[u8]) -> Result<(), StoreError> {
        Err(self.error(Operation::Create, key.as_str(), StoreErrorKind::Unsupported))
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.bytes(key)?;
        if to_u64(bytes.len()) > length_max {
            return Err(self.error(Operation::Read, key.as_str(), StoreErrorKind::Corrupt));
        }
        Ok(bytes.to_vec())
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        buffer.clear();
        let part = self.bytes(key)?.get(to_usize(range.start)..to_usize(range.end));
        let corrupt = || self.error(Operation::Read, key.as_str(), StoreErrorKind::Corrupt);
        buffer.extend_from_slice(part.ok_or_else(corrupt)?);
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        Ok(to_u64(self.bytes(key)?.len()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Err(self.error(Operation::List, prefix, StoreErrorKind::Unsupported))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        Err(self.error(Operation::Delete, key.as_str(), StoreErrorKind::Unsupported))
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.bytes(key).map(|_bytes| ())
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}
