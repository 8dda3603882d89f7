//! Reading from copies of a repository what its own store does not give.
//!
//! A copy has the same bytes under the same keys, as mirrors have; everything is verified as always.

use crate::crypto::hash::blake3;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::repo::error::RepoError;
use crate::repo::mirror::error::MirrorError;
use crate::repo::repository::CONFIG_BYTES_MAX;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::store::Store;
use crate::store::fallback::FallbackStore;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// How often a copy gave what the first store did not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Helped {
    count: Arc<AtomicU64>,
}

impl Helped {
    /// How often.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Located {
    /// The same place, whose objects are read from `copies` where it does not give them.
    pub(crate) fn with_copies(&self, copies: &[Self], helped: &Helped) -> Self {
        let stores = copies.iter().map(|copy| Arc::clone(copy.store())).collect();
        let first = Arc::clone(self.store());
        let store: Arc<dyn Store> =
            Arc::new(FallbackStore::new(first, stores, Arc::clone(&helped.count)));
        self.over(store)
    }

    /// Checks that this holds the same repository as `other`, as far as both can be read.
    ///
    /// Errors: [`MirrorError::OtherRepository`].
    pub(crate) fn check_same(&self, other: &Repository) -> Result<(), RepoError> {
        let config = layout::config_key();
        let there = self.store().read(&config, CONFIG_BYTES_MAX)?;
        if let Ok(own) = other.store.read(&config, CONFIG_BYTES_MAX)
            && own != there
        {
            return Err(MirrorError::OtherRepository { location: self.store().location() }.into());
        }
        Ok(())
    }

    /// Whether this has a pack whole, by the hash in its name.
    pub(crate) fn has_whole(&self, pack: &PackRef) -> bool {
        let key = pack.key();
        let length = self.store().length(&key);
        let bytes = length.and_then(|length| self.store().read(&key, length.min(PACK_BYTES_MAX)));
        bytes.is_ok_and(|bytes| blake3(&bytes) == *pack.id.as_bytes())
    }
}
