//! From a repository's URL to a repository.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
#[cfg(feature = "cloud")]
use crate::repo::bucket::CloudLocation;
#[cfg(feature = "cloud")]
use crate::repo::bucket::CloudSettings;
use crate::repo::cache::CacheDirectory;
use crate::repo::environment::Environment;
use crate::repo::error::RepoError;
use crate::repo::keyring::KeyRing;
use crate::repo::repository::Located;
use crate::repo::repository::Rates;
use crate::repo::repository::Repository;
use crate::repo::slots::Credential;
use crate::repo::state::StateDirectory;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "cloud")]
pub use crate::repo::bucket::VARIABLE_PREFIXES;
pub use crate::repo::cache::CACHE_BYTES_MAX;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory.
    Local(PathBuf),
    /// A bucket of S3, Google Cloud Storage or Azure.
    #[cfg(feature = "cloud")]
    Cloud(CloudLocation),
}

impl FromStr for Location {
    type Err = OpError;

    fn from_str(text: &str) -> Result<Self, OpError> {
        let usage = |why: String| OpError::Usage { why };
        if text.is_empty() {
            return Err(usage("the repository's location is empty".to_owned()));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::Local(PathBuf::from(path)));
        }
        if !text.contains("://") {
            return Ok(Self::Local(PathBuf::from(text)));
        }
        #[cfg(feature = "cloud")]
        let located = text
            .parse::<CloudLocation>()
            .map(Self::Cloud)
            .map_err(|error| usage(error.to_string()));
        #[cfg(not(feature = "cloud"))]
        let located =
            Err(usage("this program was built without stores but directories".to_owned()));
        located
    }
}

impl Location {
    /// The same place, but of every object its first version.
    ///
    /// Errors: a place that keeps no versions, or none that this program knows.
    pub fn of_first_versions(self) -> Result<Self, OpError> {
        match self {
            Self::Local(path) => {
                let path = path.display();
                let why = format!("{path} keeps no versions: buckets of S3 may (`s3://…`)");
                Err(OpError::Usage { why })
            }
            #[cfg(feature = "cloud")]
            Self::Cloud(location) => {
                let first = location.of_first_versions();
                first.map(Self::Cloud).map_err(|error| OpError::Usage { why: error.to_string() })
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(formatter, "{}", path.display()),
            #[cfg(feature = "cloud")]
            Self::Cloud(location) => write!(formatter, "{location}"),
        }
    }
}

/// What a repository is opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Where it is.
    pub location: Location,
    /// The disposable cache, if there is one.
    pub cache: Option<PathBuf>,
    /// How many bytes of each repository the cache keeps, index runs not counted.
    pub cache_bytes_max: u64,
    /// The client's memory, if it has one.
    pub state: Option<PathBuf>,
    /// Read it as it was before the collection after this verdict.
    pub at_verdict: Option<u64>,
    /// Clock and randomness.
    pub environment: Arc<dyn Environment>,
    /// How fast bytes may go.
    pub rates: Rates,
    /// How buckets are reached.
    #[cfg(feature = "cloud")]
    pub cloud: CloudSettings,
}

impl OpenOptions {
    /// Opens `location` with this clock and randomness, without cache or memory.
    pub fn new(location: Location, environment: Arc<dyn Environment>) -> Self {
        Self {
            location,
            cache: None,
            cache_bytes_max: CACHE_BYTES_MAX,
            state: None,
            at_verdict: None,
            environment,
            rates: Rates::default(),
            #[cfg(feature = "cloud")]
            cloud: CloudSettings::default(),
        }
    }

    /// Keeps disposable things in `path`.
    #[must_use]
    pub fn with_cache(mut self, path: PathBuf) -> Self {
        self.cache = Some(path);
        self
    }

    /// Keeps so many bytes of each repository in the cache, index runs not counted.
    #[must_use]
    pub fn with_cache_bytes_max(mut self, bytes_max: u64) -> Self {
        self.cache_bytes_max = bytes_max;
        self
    }

    /// The cache, if there is one.
    pub(crate) fn cache_directory(&self) -> Option<CacheDirectory> {
        let cache = CacheDirectory::new(self.cache.clone()?);
        Some(cache.with_bytes_max(self.cache_bytes_max))
    }

    /// Moves no more bytes a second than these.
    #[must_use]
    pub fn with_rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        #[cfg(feature = "cloud")]
        {
            self.cloud.limits.rates = rates;
        }
        self
    }

    /// Keeps the client's memory in `path`.
    #[must_use]
    pub fn with_state(mut self, path: PathBuf) -> Self {
        self.state = Some(path);
        self
    }
}

/// Opens a repository.
pub fn open(options: &OpenOptions, credential: &Credential) -> Result<Repository, OpError> {
    let cache = options.cache_directory();
    let state = options.state.clone().map(StateDirectory::new);
    let opened = locate(options)?.open(credential, cache, state);
    Ok(opened.during("cannot open the repository")?.at(options.at_verdict))
}

/// Opens a repository with keys that a slot of it gave.
pub(crate) fn open_with_keys(
    options: &OpenOptions,
    located: &Located,
    keys: KeyRing,
) -> Result<Repository, OpError> {
    let cache = options.cache.clone().map(CacheDirectory::new);
    let state = options.state.clone().map(StateDirectory::new);
    located.open_with_keys(keys, cache, state).during("cannot open the repository")
}

/// Opens a repository anew with the keys of the slot that opened it before.
pub(crate) fn reopen(
    options: &OpenOptions,
    repository: &Repository,
) -> Result<Repository, OpError> {
    let keys = repository.keys.again();
    open_with_keys(options, &repository.located(), keys)
}

/// Finds a repository's store without opening it.
pub(crate) fn locate(options: &OpenOptions) -> Result<Located, OpError> {
    let located = place(options, Located::at_path, InBucket::Found);
    located.during("cannot open the repository")
}

/// Prepares the store of a new repository.
pub(crate) fn locate_new(options: &OpenOptions) -> Result<Located, OpError> {
    let located = place(options, Located::create_at_path, InBucket::New);
    located.during("cannot create the repository")
}

/// Prepares the store of a mirror, or finds it.
pub(crate) fn locate_mirror(options: &OpenOptions) -> Result<Located, OpError> {
    let located = place(options, Located::mirror_at_path, InBucket::Found);
    located.during("cannot use the mirror")
}

/// What a place in a bucket is to be.
#[derive(Debug, Clone, Copy)]
enum InBucket {
    /// What was put there.
    Found,
    /// Empty.
    New,
}

/// The place that is meant, with the limits that are asked for.
fn place(
    options: &OpenOptions,
    at_path: fn(&Path, Arc<dyn Environment>) -> Result<Located, RepoError>,
    #[cfg_attr(not(feature = "cloud"), expect(unused_variables, reason = "there are no buckets"))]
    in_bucket: InBucket,
) -> Result<Located, RepoError> {
    let environment = Arc::clone(&options.environment);
    match &options.location {
        Location::Local(path) => Ok(at_path(path, environment)?.paced(options.rates)),
        #[cfg(feature = "cloud")]
        Location::Cloud(location) => match in_bucket {
            InBucket::Found => Located::in_bucket(location, &options.cloud, environment),
            InBucket::New => Located::new_in_bucket(location, &options.cloud, environment),
        },
    }
}
