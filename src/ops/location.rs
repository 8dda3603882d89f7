//! From a repository's URL to a repository.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::cache::CacheDirectory;
use crate::repo::environment::Environment;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::slots::Credential;
use crate::repo::state::StateDirectory;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory.
    Local(PathBuf),
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
        match text.split_once("://") {
            Some((scheme, _)) => Err(usage(format!("`{scheme}://` is no store of this version"))),
            None => Ok(Self::Local(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(formatter, "{}", path.display()),
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
    /// The client's memory, if it has one.
    pub state: Option<PathBuf>,
    /// Clock and randomness.
    pub environment: Arc<dyn Environment>,
}

impl OpenOptions {
    /// Opens `location` with this clock and randomness, without cache or memory.
    pub fn new(location: Location, environment: Arc<dyn Environment>) -> Self {
        Self { location, cache: None, state: None, environment }
    }

    /// Keeps disposable things in `path`.
    #[must_use]
    pub fn with_cache(mut self, path: PathBuf) -> Self {
        self.cache = Some(path);
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
    let cache = options.cache.clone().map(CacheDirectory::new);
    let state = options.state.clone().map(StateDirectory::new);
    locate(options)?.open(credential, cache, state).during("cannot open the repository")
}

/// Finds a repository's store without opening it.
pub(crate) fn locate(options: &OpenOptions) -> Result<Located, OpError> {
    let Location::Local(path) = &options.location;
    let environment = Arc::clone(&options.environment);
    Located::at_path(path, environment).during("cannot open the repository")
}

/// Prepares the store of a new repository.
pub(crate) fn locate_new(options: &OpenOptions) -> Result<Located, OpError> {
    let Location::Local(path) = &options.location;
    let environment = Arc::clone(&options.environment);
    Located::create_at_path(path, environment).during("cannot create the repository")
}
