//! What a restore could not set: counted in full, named up to a bound.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Everything that was restored with less than it had.
#[derive(Debug, Default)]
pub(crate) struct ApplyReport {
    /// The first [`NAMED_MAX`] of them.
    pub(crate) named: Vec<NotApplied>,
    /// How many there are of each aspect.
    pub(crate) counts: BTreeMap<Aspect, u64>,
    /// The entries that miss something, as [`path_hash`] gives them.
    pub(crate) paths: HashSet<u64>,
}

/// One thing that an entry had and the restored one lacks.
#[derive(Debug)]
pub(crate) struct NotApplied {
    /// Relative to the target.
    pub(crate) path: PathBuf,
    /// What is missing.
    pub(crate) aspect: Aspect,
    /// Which extended attribute, if it is one.
    pub(crate) attribute: Option<Vec<u8>>,
    /// Why it is missing.
    pub(crate) why: Reason,
}

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Aspect {
    /// User and group.
    Ownership,
    /// The set-user-id and set-group-id bits.
    SetId,
    /// The other permission bits.
    Mode,
    /// An extended attribute, ACLs among them.
    Attribute,
    /// File attributes (`chattr`).
    Flags,
    /// Time of the last change.
    Times,
    /// The entry itself, which is a device.
    Device,
}

/// Why something was not applied.
#[derive(Debug)]
pub(crate) enum Reason {
    /// Only a trusted restore as root sets it.
    Untrusted,
    /// The set-id bits would have counted for another owner than the recorded one.
    OtherOwner,
    /// The system refused.
    Refused(io::Error),
}

/// The report while several threads add to it.
#[derive(Debug, Default)]
pub(super) struct Collector {
    report: Mutex<ApplyReport>,
}

impl ApplyReport {
    /// Whether everything was applied.
    #[cfg(test)]
    pub(crate) fn is_complete(&self) -> bool {
        self.counts.is_empty()
    }
}

impl Collector {
    pub(super) fn add(&self, missing: NotApplied) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.paths.insert(path_hash(missing.path.as_os_str().as_bytes()));
        *report.counts.entry(missing.aspect).or_default() += 1;
        if report.named.len() < NAMED_MAX {
            report.named.push(missing);
        }
    }

    pub(super) fn take(&self) -> ApplyReport {
        std::mem::take(&mut *self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A path in few bytes: millions may have to be remembered.
pub(crate) fn path_hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Most entries that a report names; a restore of millions as a plain user misses millions.
pub(crate) const NAMED_MAX: usize = 1000;
