//! Old versions and locks of a bucket of S3, below the repository's prefix.

use crate::key::ObjectKey;
use crate::store::OldVersions;
use crate::store::Operation;
use crate::store::StoreError;
use crate::store::Versioned;
use crate::store::cloud::CloudStore;
use crate::store::cloud::failure::Failure;
use crate::store::cloud::notes::ObjectLock;
use crate::store::cloud::s3_calls::S3Calls;
use crate::store::cloud::versions::Version;
use crate::store::cloud::versions::time_words;
use crate::store::probe::PROBE_FOLDER;
use std::ops::Range;
use std::time::Duration;
use std::time::SystemTime;

impl CloudStore {
    /// How an object is locked that is created now. What probes store is not worth a lock.
    #[expect(clippy::disallowed_methods, reason = "the store compares with its own clock")]
    pub(super) fn lock_of(&self, key: &ObjectKey) -> Option<ObjectLock> {
        let days = self.location.lock_days()?;
        if key.segments().next() == Some(PROBE_FOLDER) {
            return None;
        }
        let until = SystemTime::now() + DAY * days;
        Some(ObjectLock { mode: self.location.lock_mode(), until: time_words(until) })
    }

    /// Every version of the repository's objects, the newest of each first.
    pub(crate) fn versions(&self) -> Result<Vec<(ObjectKey, Version)>, StoreError> {
        let root = self.root();
        let versions = self.calls().and_then(|calls| calls.versions(&root));
        let versions = versions.map_err(|failure| self.error(failure, Operation::List, ""))?;
        let own = versions.into_iter().filter_map(|version| {
            let key = ObjectKey::new(version.name.strip_prefix(&root)?).ok()?;
            Some((key, version))
        });
        Ok(own.collect())
    }

    /// Reads a version of an object.
    pub(crate) fn read_version(
        &self,
        key: &ObjectKey,
        version: &str,
        length_max: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let got = self.get(key, Some(version), length_max);
        got.map(Vec::from).map_err(|failure| self.error(failure, Operation::Read, key.as_str()))
    }

    /// Reads a part of a version of an object.
    pub(crate) fn read_range_of_version(
        &self,
        key: &ObjectKey,
        version: &str,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        buffer.clear();
        let got = self.get_range(key, Some(version), range);
        let got = got.map_err(|failure| self.error(failure, Operation::Read, key.as_str()))?;
        buffer.extend_from_slice(&got);
        Ok(())
    }

    fn calls(&self) -> Result<&S3Calls, Failure> {
        self.s3.as_ref().ok_or_else(Failure::unreadable_answer)
    }

    /// What the names of all objects begin with.
    fn root(&self) -> String {
        let prefix = self.location.prefix.as_str();
        if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
    }

    fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.root())
    }
}

impl Versioned for CloudStore {
    fn old_versions(&self) -> Result<OldVersions, StoreError> {
        let mut old = OldVersions::default();
        // The newest of a name comes first: when that came is when the next one became old.
        let mut newer: Option<(ObjectKey, SystemTime)> = None;
        for (key, version) in self.versions()? {
            let replaced = newer.filter(|(of, _at)| *of == key).map(|(_of, at)| at);
            if !version.is_newest && !version.is_delete {
                old.count += 1;
                old.bytes += version.length;
                old.newest = old.newest.max(replaced);
            }
            newer = Some((key, version.modified));
        }
        let days = self.calls().and_then(|calls| calls.old_versions_end_after(&self.root()));
        old.end_after_days = days.map_err(|failure| self.error(failure, Operation::Open, ""))?;
        Ok(old)
    }

    fn lock_days(&self) -> Option<u32> {
        self.location.lock_days()
    }

    fn locked_until(&self, key: &ObjectKey) -> Result<Option<SystemTime>, StoreError> {
        let until = self.calls().and_then(|calls| calls.locked_until(&self.name(key)));
        until.map_err(|failure| self.error(failure, Operation::Read, key.as_str()))
    }

    fn lock_until(&self, key: &ObjectKey, until: SystemTime) -> Result<(), StoreError> {
        let mode = self.location.lock_mode();
        let locked = self
            .calls()
            .and_then(|calls| calls.lock_until(&self.name(key), mode, &time_words(until)));
        locked.map_err(|failure| self.error(failure, Operation::Lock, key.as_str()))
    }
}

const DAY: Duration = Duration::from_hours(24);
