//! A repository with sources that share some of their files, for tests of collections.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::support::Files;
use crate::support::assert_sound;
use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::init;
use crate::support::open;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::id::RecordId;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneReport;
use sbf_repo::ops::prune::prune;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Store;
use sbf_repo::testing::forget_in;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A snapshot and what it restores to.
pub(crate) type Kept = (SnapshotId, Files);

/// A repository in memory and the key of its first admin.
pub(crate) struct Desk {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) key: KeyFile,
}

impl Desk {
    /// An empty repository.
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let key = init(&shared(&store), 1).unwrap();
        Self { store, key }
    }

    /// A repository of its own with the same objects.
    pub(crate) fn branch(&self) -> Self {
        Self { store: Arc::new(self.store.snapshot()), key: self.key.clone() }
    }

    /// The store.
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        shared(&self.store)
    }

    /// Backs up one of the sources; each seed is another process.
    #[track_caller]
    pub(crate) fn back_up(&self, seed: u64, number: usize) -> Kept {
        let written = write(&self.shared(), &self.key, seed, number);
        written.unwrap_or_else(|error| panic!("{}", words(&error)))
    }

    /// Asks for snapshots to be forgotten.
    pub(crate) fn forget(&self, seed: u64, snapshots: &[SnapshotId]) -> RecordId {
        forget_in(&open(&self.shared(), &self.key, seed, None).unwrap(), snapshots).unwrap()
    }

    /// Prunes with the usual options.
    #[track_caller]
    pub(crate) fn prune(&self, seed: u64) -> PruneReport {
        self.prune_with(seed, &PruneOptions::new())
    }

    /// Prunes.
    #[track_caller]
    pub(crate) fn prune_with(&self, seed: u64, options: &PruneOptions) -> PruneReport {
        let report = prune_in(&self.shared(), &self.key, seed, options);
        report.unwrap_or_else(|error| panic!("{}", words(&error)))
    }

    /// Stored bytes of packs.
    pub(crate) fn pack_bytes(&self) -> usize {
        let objects = self.store.objects().into_iter();
        objects.filter(|(key, _)| key.is_under("packs")).map(|(_, body)| body.len()).sum()
    }

    /// How many objects a folder has.
    pub(crate) fn count(&self, folder: &str) -> usize {
        self.store.objects().keys().filter(|key| key.is_under(folder)).count()
    }

    /// Asserts that these snapshots and no others are there, whole, and that nothing is damaged.
    #[track_caller]
    pub(crate) fn assert_sound(&self, seed: u64, expected: &[Kept], case: &str) {
        let reader = open(&self.shared(), &self.key, seed, None).unwrap();
        assert_sound(&reader, expected, case);
    }
}

/// A store in memory as any store.
pub(crate) fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::<MemoryStore>::clone(store)
}

/// Backs up one of the sources into a store.
pub(crate) fn write(
    store: &Arc<dyn Store>,
    key: &KeyFile,
    seed: u64,
    number: usize,
) -> Result<Kept, OpError> {
    let path = source(number);
    let repository = open(store, key, seed, None)?;
    let report = back_up(&repository, &format!("source{number}"), path)?;
    Ok((report.snapshot.unwrap(), restored_form(path)))
}

/// Prunes in a store.
pub(crate) fn prune_in(
    store: &Arc<dyn Store>,
    key: &KeyFile,
    seed: u64,
    options: &PruneOptions,
) -> Result<PruneReport, OpError> {
    let repository = open(store, key, seed, None)?;
    prune(&repository, options, &NoProgress::new())
}

/// A directory that shares a file with the others and has one of its own.
pub(crate) fn source(number: usize) -> &'static Path {
    static SOURCES: OnceLock<Vec<TempDir>> = OnceLock::new();
    let sources = SOURCES.get_or_init(|| {
        let folders: Vec<TempDir> = (0..3).map(|_| scratch()).collect();
        for (number, folder) in folders.iter().enumerate() {
            let seed = u64::try_from(number).unwrap() + 100;
            let own = bytes_of(seed, OWN_BYTES, 256);
            let files = [("common", bytes_of(9, COMMON_BYTES, 256)), ("d/own", own)];
            write_files(folder.path(), &files);
        }
        folders
    });
    sources[number].path()
}

/// Bytes that every source has.
pub(crate) const COMMON_BYTES: usize = 30_000;
/// Bytes that no other source has.
pub(crate) const OWN_BYTES: usize = 20_000;
