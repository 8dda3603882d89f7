//! The POSIX store for tests outside the library, on a real directory or a simulated disk.
//! Invariant: nothing is added to what the library itself uses.

use crate::store::Store;
use crate::store::StoreError;
use crate::store::posix::PosixStore;
use crate::testing::sim_vfs::SimDisk;
use std::path::Path;
use std::sync::Arc;

/// A POSIX store, with what the trait [`Store`] leaves out.
#[derive(Debug, Clone)]
pub struct PosixHandle {
    store: Arc<dyn Store>,
}

impl PosixHandle {
    /// Opens the store in the directory `path`.
    ///
    /// Errors: [`crate::testing::StoreErrorKind::NotFound`] if there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(PosixStore::open(path)?) })
    }

    /// Opens the store in the directory `path`, which is made if missing.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(PosixStore::create(path)?) })
    }

    /// Opens the store on a simulated disk, as a process that just started would.
    pub fn on(disk: &SimDisk) -> Self {
        Self { store: Arc::new(PosixStore::over(disk.clone(), "simulated disk".to_owned())) }
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Removes staged files that no live process holds; returns how many.
    pub fn sweep_staged(&self) -> Result<u64, StoreError> {
        self.store.sweep()
    }
}
