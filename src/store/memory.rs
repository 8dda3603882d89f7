//! A store in memory, for tests. Bodies are shared between snapshots of it.
//! Invariant: a body never changes, except through the test hooks `replace` and `remove`.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use std::time::SystemTime;

/// Objects in a map.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: RwLock<Contents>,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    objects: BTreeMap<ObjectKey, Object>,
    clock: Option<SystemTime>,
}

#[derive(Debug, Clone)]
struct Object {
    body: Arc<[u8]>,
    received: Option<SystemTime>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store of its own with the same objects. Copies no body.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { contents: RwLock::new(self.read_contents().clone()) }
    }

    /// Every object with its body, by key.
    pub fn objects(&self) -> BTreeMap<ObjectKey, Arc<[u8]>> {
        let objects = &self.read_contents().objects;
        objects.iter().map(|(key, object)| (key.clone(), Arc::clone(&object.body))).collect()
    }

    /// Puts `body` at `key`, whatever is there: damage, or an older state.
    pub fn replace(&self, key: &ObjectKey, body: &[u8]) {
        let mut contents = self.write_contents();
        let received = contents.clock;
        contents.objects.insert(key.clone(), Object { body: body.into(), received });
    }

    /// Removes the object at `key`; says whether there was one.
    pub fn remove(&self, key: &ObjectKey) -> bool {
        self.write_contents().objects.remove(key).is_some()
    }

    /// Sets the store's clock: the `received` of objects created from here on.
    pub fn set_clock(&self, time: Option<SystemTime>) {
        self.write_contents().clock = time;
    }

    fn body(&self, key: &ObjectKey) -> Result<Arc<[u8]>, StoreError> {
        let found = self.read_contents().objects.get(key).map(|object| Arc::clone(&object.body));
        found.ok_or_else(|| error(Operation::Read, key, StoreErrorKind::NotFound))
    }

    fn read_contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_contents(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        let mut contents = self.write_contents();
        if contents.objects.contains_key(key) {
            return Err(error(Operation::Create, key, StoreErrorKind::AlreadyExists));
        }
        let received = contents.clock;
        contents.objects.insert(key.clone(), Object { body: body.into(), received });
        Ok(())
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        let body = self.body(key)?;
        if to_u64(body.len()) > length_max {
            return Err(error(Operation::Read, key, StoreErrorKind::Corrupt));
        }
        Ok(body.to_vec())
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        buffer.clear();
        let body = self.body(key)?;
        let part = body
            .get(to_usize(range.start)..to_usize(range.end))
            .ok_or_else(|| error(Operation::Read, key, StoreErrorKind::Corrupt))?;
        buffer.extend_from_slice(part);
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        Ok(to_u64(self.body(key)?.len()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        crate::store::check_prefix(prefix, LOCATION)?;
        let contents = self.read_contents();
        let under = contents
            .objects
            .iter()
            .filter(|(key, _)| prefix.is_empty() || key.is_under(prefix))
            .map(|(key, object)| Listed {
                key: key.clone(),
                length: to_u64(object.body.len()),
                received: object.received,
            });
        Ok(under.collect())
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.remove(key);
        Ok(())
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        if self.read_contents().objects.contains_key(key) {
            return Ok(());
        }
        Err(error(Operation::Settle, key, StoreErrorKind::NotFound))
    }

    fn location(&self) -> String {
        LOCATION.to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the map answered {0:?}")]
struct MapAnswer(StoreErrorKind);

fn error(operation: Operation, key: &ObjectKey, kind: StoreErrorKind) -> StoreError {
    StoreError::new(operation, key.as_str(), LOCATION, kind, MapAnswer(kind))
}

const LOCATION: &str = "memory";
