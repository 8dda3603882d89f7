//! Repositories in buckets.

use crate::repo::environment::Environment;
use crate::repo::error::RepoError;
use crate::repo::folders::FIRST_FOLDERS;
use crate::repo::repository::Located;
use crate::store::Store;
use crate::store::cloud::CloudStore;
use crate::store::cloud::first_version::FirstVersions;
use std::sync::Arc;

pub use crate::store::cloud::location::CloudLocation;
pub use crate::store::cloud::settings::CloudSettings;
pub use crate::store::cloud::settings::Limits;
pub use crate::store::cloud::settings::VARIABLE_PREFIXES;

impl Located {
    /// The repository in a bucket. Asks the store for nothing yet.
    pub(crate) fn in_bucket(
        location: &CloudLocation,
        settings: &CloudSettings,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, RepoError> {
        let store = CloudStore::connect(location, settings)?;
        let store: Arc<dyn Store> = if location.is_of_first_versions() {
            Arc::new(FirstVersions::new(store))
        } else {
            Arc::new(store)
        };
        Ok(Self::new(store, environment))
    }

    /// A place for a repository in a bucket, which must exist: where nothing is, or only what an
    /// interrupted `init` left.
    pub(crate) fn new_in_bucket(
        location: &CloudLocation,
        settings: &CloudSettings,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, RepoError> {
        let store = CloudStore::connect(location, settings)?;
        let is_foreign = |key: &crate::key::ObjectKey| {
            let folder = key.segments().next().unwrap_or_default();
            !FIRST_FOLDERS.contains(&folder)
        };
        if store.list("")?.iter().any(|listed| is_foreign(&listed.key)) {
            return Err(RepoError::NotEmpty { location: store.location() });
        }
        Ok(Self::new(Arc::new(store), environment))
    }
}
