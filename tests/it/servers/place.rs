//! Where the repository of a test is: in a directory, or where `SBF_TEST_STORE` says.
//! `tools/test stores` runs the tests of the program in buckets, too.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::servers::Bucket;
use crate::servers::gcs;
use crate::servers::weed;
use sbf_repo::CloudSettings;
use sbf_repo::Environment;
use sbf_repo::Location;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::Store;
use sbf_repo::testing::bucket_store;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A place for one repository.
#[derive(Debug)]
pub(crate) struct Place {
    url: String,
    variables: Vec<(String, String)>,
}

impl Place {
    /// A place of the kind that is tested: this directory, or a bucket.
    #[expect(clippy::disallowed_methods, reason = "tests are told where to store")]
    pub(crate) fn fresh(directory: &Path) -> Self {
        let chosen = std::env::var("SBF_TEST_STORE").unwrap_or_default();
        let in_bucket = |bucket: Bucket| {
            let Bucket { url, variables } = bucket;
            Self { url: format!("{url}/place"), variables }
        };
        match chosen.as_str() {
            "" => Self { url: directory.to_str().unwrap().to_owned(), variables: Vec::new() },
            "s3" => in_bucket(weed::bucket()),
            "gs" => in_bucket(gcs::bucket()),
            other => unreachable!("SBF_TEST_STORE is `{other}`, neither `s3` nor `gs`"),
        }
    }

    /// Its location.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Tells a program where it is.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("SBF_REPO_REPOSITORY", &self.url);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// What the library opens it with.
    pub(crate) fn open_options(&self, environment: Arc<dyn Environment>) -> OpenOptions {
        let location: Location = self.url.parse().unwrap();
        let mut options = OpenOptions::new(location, environment);
        options.cloud =
            CloudSettings { variables: self.variables.clone(), ..CloudSettings::default() };
        options
    }

    /// Whether it is no directory.
    pub(crate) fn is_bucket(&self) -> bool {
        self.url.contains("://")
    }

    /// Its store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        if self.url.contains("://") {
            return bucket_store(&self.url, &self.variables).unwrap();
        }
        PosixHandle::open(Path::new(&self.url)).unwrap().store()
    }

    /// The keys under a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<ObjectKey> {
        let listed = self.store().list(prefix).unwrap();
        listed.into_iter().map(|listed| listed.key).collect()
    }

    /// The bytes of all objects under a prefix.
    pub(crate) fn bytes_below(&self, prefix: &str) -> u64 {
        self.store().list(prefix).unwrap().iter().map(|listed| listed.length).sum()
    }

    /// The longest object under a prefix.
    pub(crate) fn longest(&self, prefix: &str) -> ObjectKey {
        let listed = self.store().list(prefix).unwrap();
        listed.into_iter().max_by_key(|listed| listed.length).unwrap().key
    }

    /// Removes an object, or all under a prefix.
    pub(crate) fn remove(&self, prefix: &str) {
        let store = self.store();
        let mut keys = self.keys(prefix);
        if keys.is_empty() {
            keys.push(ObjectKey::new(prefix).unwrap());
        }
        for key in keys {
            assert!(store.length(&key).is_ok(), "there is no {key}");
            store.delete(&key).unwrap();
        }
    }

    /// Puts other bytes into the place of an object.
    pub(crate) fn alter(&self, key: &ObjectKey, alter: impl FnOnce(&mut Vec<u8>)) {
        let store = self.store();
        let mut bytes = store.read(key, u64::MAX).unwrap();
        alter(&mut bytes);
        store.delete(key).unwrap();
        store.create(key, &bytes).unwrap();
    }
}
