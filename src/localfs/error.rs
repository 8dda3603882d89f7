//! The error of everything that touches the user's files.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A call on one of the user's files that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {call} {path:?}")]
pub(crate) struct LocalError {
    /// The file, as far as it is known by a path.
    pub(crate) path: PathBuf,
    /// What was attempted, as a verb: `open`, `list`, `set the times of`.
    pub(crate) call: &'static str,
    /// What the system answered.
    pub(crate) source: io::Error,
}

impl LocalError {
    /// Names the file and the call that failed.
    pub(crate) fn new(path: &[u8], call: &'static str, source: impl Into<io::Error>) -> Self {
        let path = PathBuf::from(OsStr::from_bytes(path));
        Self { path, call, source: source.into() }
    }

    /// The same failure again, for a second report of it.
    pub(crate) fn again(&self) -> Self {
        let source = match self.source.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => self.source.kind().into(),
        };
        Self { path: self.path.clone(), call: self.call, source }
    }
}
