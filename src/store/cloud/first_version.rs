//! A bucket of S3 as it was before anybody overwrote or deleted anything: of every object the first
//! version. Objects are created once, so that is the one that counts.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::StoreIdentity;
use crate::store::Traffic;
use crate::store::cloud::CloudStore;
use crate::store::cloud::versions::Version;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

/// The first versions of a bucket's objects; nothing is ever created or deleted.
#[derive(Debug)]
pub(crate) struct FirstVersions {
    store: CloudStore,
    /// Found at the first call.
    versions: OnceLock<BTreeMap<ObjectKey, Version>>,
}

impl FirstVersions {
    /// The first versions in `store`; asks for nothing yet.
    pub(crate) const fn new(store: CloudStore) -> Self {
        Self { store, versions: OnceLock::new() }
    }

    fn versions(&self) -> Result<&BTreeMap<ObjectKey, Version>, StoreError> {
        if let Some(versions) = self.versions.get() {
            return Ok(versions);
        }
        let mut first: BTreeMap<ObjectKey, Version> = BTreeMap::new();
        for (key, version) in self.store.versions()? {
            let is_older = |known: &Version| version.modified <= known.modified;
            if !version.is_delete && first.get(&key).is_none_or(is_older) {
                first.insert(key, version);
            }
        }
        Ok(self.versions.get_or_init(|| first))
    }

    fn version(&self, key: &ObjectKey) -> Result<&Version, StoreError> {
        self.versions()?.get(key).ok_or_else(|| {
            let words = "no version of it is there";
            self.error(Operation::Read, key.as_str(), StoreErrorKind::NotFound, words)
        })
    }

    fn error(
        &self,
        operation: Operation,
        key: &str,
        kind: StoreErrorKind,
        words: &str,
    ) -> StoreError {
        StoreError::new(operation, key, &self.location(), kind, words)
    }

    fn read_only(&self, operation: Operation, key: &ObjectKey) -> StoreError {
        let words =
            "first versions are only read: restore from them, or `mirror --to` another place";
        self.error(operation, key.as_str(), StoreErrorKind::Denied, words)
    }
}

impl Store for FirstVersions {
    fn create(&self, key: &ObjectKey, _body: &[u8]) -> Result<(), StoreError> {
        Err(self.read_only(Operation::Create, key))
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.store.read_version(key, &self.version(key)?.id, length_max)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.store.read_range_of_version(key, &self.version(key)?.id, range, buffer)
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        Ok(self.version(key)?.length)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        crate::store::check_prefix(prefix, &self.location())?;
        let is_below = |key: &ObjectKey| {
            prefix.is_empty()
                || key.as_str().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        };
        let found = self.versions()?.iter().filter(|(key, _version)| is_below(key));
        let listed = found.map(|(key, version)| Listed {
            key: key.clone(),
            length: version.length,
            received: Some(version.modified),
        });
        Ok(listed.collect())
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        Err(self.read_only(Operation::Delete, key))
    }

    fn settle(&self, _key: &ObjectKey) -> Result<(), StoreError> {
        Ok(())
    }

    fn traffic(&self) -> Option<Traffic> {
        self.store.traffic()
    }

    fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        self.store.identity()
    }

    fn location(&self) -> String {
        format!("the first versions in {}", self.store.location())
    }
}
