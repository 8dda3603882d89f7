//! What happened to each entry of a target, or would.

use crate::localfs::apply::report::path_hash;
use crate::ops::words::path_words;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// What happens to an entry of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// It is made; nothing had its name.
    Create,
    /// Something else had its name, or it had another content.
    Change,
    /// Its content is right; owner, mode, times or attributes are set.
    Metadata,
    /// It is as it was in the snapshot.
    Unchanged,
    /// Something has its name, which is not to be touched.
    Keep,
    /// The snapshot lacks it, and it is removed.
    Delete,
}

/// An entry of the target and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// Below the target.
    pub path: String,
    /// What happens.
    pub action: Action,
    /// Length of a file's content.
    pub bytes: u64,
}

/// How many entries there are of each action, and how much of their content came from where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Entries that were made.
    pub created: u64,
    /// Entries that took the place of others.
    pub changed: u64,
    /// Entries of which only the metadata was set.
    pub metadata: u64,
    /// Entries that were as they should be.
    pub unchanged: u64,
    /// Entries that were left as they were, whatever they are.
    pub kept: u64,
    /// Entries that the snapshot lacks, which were removed.
    pub deleted: u64,
    /// Bytes of files that were written.
    pub bytes_written: u64,
    /// Bytes of those that the target had already, in the file that was replaced.
    pub bytes_reused: u64,
    /// Bytes of files that stayed.
    pub bytes_unchanged: u64,
}

/// Gathers actions; used by several threads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
    /// Whether entries are named, too.
    pub(crate) names: bool,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    changes: Vec<(Vec<u8>, Action, u64)>,
    unnamed_count: u64,
    kept: HashSet<u64>,
    /// Entries that are made anew, if names are kept.
    made: HashSet<u64>,
}

impl Tally {
    /// One that names what happens, or only counts it.
    pub(crate) fn new(names: bool) -> Self {
        Self { inner: Mutex::default(), names }
    }

    /// Notes what happened to an entry.
    pub(crate) fn add(&self, path: &[u8], action: Action, bytes: u64) {
        let mut inner = self.lock();
        let counts = &mut inner.counts;
        match action {
            Action::Create => {
                counts.created += 1;
                counts.bytes_written += bytes;
            }
            Action::Change => {
                counts.changed += 1;
                counts.bytes_written += bytes;
            }
            Action::Metadata => {
                counts.metadata += 1;
                counts.bytes_unchanged += bytes;
            }
            Action::Unchanged => {
                counts.unchanged += 1;
                counts.bytes_unchanged += bytes;
            }
            Action::Keep => counts.kept += 1,
            Action::Delete => counts.deleted += 1,
        }
        if action == Action::Keep {
            inner.kept.insert(path_hash(path));
        }
        if !self.names || action == Action::Unchanged {
            return;
        }
        if matches!(action, Action::Create | Action::Change) {
            inner.made.insert(path_hash(path));
        }
        if inner.changes.len() < CHANGES_COUNT_MAX {
            inner.changes.push((path.to_vec(), action, bytes));
        } else {
            inner.unnamed_count += 1;
        }
    }

    /// Notes bytes that the target had already.
    pub(crate) fn reused(&self, bytes: u64) {
        self.lock().counts.bytes_reused += bytes;
    }

    /// Whether an entry was left as it was.
    pub(crate) fn is_kept(&self, path: &[u8]) -> bool {
        self.lock().kept.contains(&path_hash(path))
    }

    /// The sums so far.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// What was named, by path, and how many entries were not.
    pub(crate) fn take_changes(&self) -> (Vec<Change>, u64) {
        let mut inner = self.lock();
        let mut changes = std::mem::take(&mut inner.changes);
        changes.sort_unstable();
        let named = |(path, action, bytes): (Vec<u8>, Action, u64)| {
            let path = path_words(&path);
            Change { path, action, bytes }
        };
        (changes.into_iter().map(named).collect(), inner.unnamed_count)
    }

    /// The same, as bytes.
    pub(crate) fn take_raw(&self) -> (Vec<(Vec<u8>, Action)>, u64) {
        let mut inner = self.lock();
        let mut changes = std::mem::take(&mut inner.changes);
        changes.sort_unstable();
        let named = changes.into_iter().map(|(path, action, _bytes)| (path, action));
        (named.collect(), inner.unnamed_count)
    }

    /// Whether an entry would be made anew, as far as names are kept.
    pub(crate) fn is_made(&self, path: &[u8]) -> bool {
        self.lock().made.contains(&path_hash(path))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most entries that a plan names; the others are counted.
pub const CHANGES_COUNT_MAX: usize = 1_000_000;
