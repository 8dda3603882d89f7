//! Why a command cannot go on.

use crate::localfs::LocalError;
use crate::repo::error::RepoError;
use std::io;
use std::path::PathBuf;

/// A command cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// The repository failed.
    #[error("{what}")]
    Repo {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: Box<RepoError>,
    },
    /// One of the user's files failed.
    #[error("cannot {call} {path:?}")]
    Local {
        /// What was tried.
        call: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An entry of a snapshot cannot be restored.
    #[error("cannot restore `{path}`")]
    Restore {
        /// The entry's path in the snapshot.
        path: String,
        /// Why.
        source: Box<RepoError>,
    },
    /// A snapshot cannot be made anew, since something in it cannot be taken over.
    #[error("cannot take over `{path}`")]
    Rewrite {
        /// The entry's path in the snapshot.
        path: String,
        /// Why.
        source: Box<RepoError>,
    },
    /// The caller asked to stop; what was stored is used by the next run.
    #[error("interrupted")]
    Interrupted,
    /// What was asked for is refused.
    #[error("{why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// What was asked for makes no sense.
    #[error("{why}")]
    Usage {
        /// Why.
        why: String,
    },
    /// The command that produces the data failed; there is no snapshot.
    #[error("the source command failed: {how}")]
    SourceCommand {
        /// How it ended.
        how: String,
    },
    /// The recipe of a compressed stream does not give it back; there is no snapshot.
    #[error(
        "what {name} was unwrapped to does not give it back: no snapshot was made; without `--unwrap` it is stored as it is"
    )]
    NotUnwrapped {
        /// The stream.
        name: String,
    },
    /// What the source gave is less than it should be; there is no snapshot.
    #[error("{why}")]
    Guard {
        /// What is less, and than what.
        why: String,
        /// What lets it pass if it is meant.
        remedy: String,
    },
    /// The command that receives the data failed.
    #[error("the command that receives the data failed: {how}")]
    TargetCommand {
        /// How it ended.
        how: String,
    },
    /// No snapshot fits.
    #[error("no snapshot fits `{selector}`")]
    NoSnapshot {
        /// What was asked for.
        selector: String,
    },
    /// No snapshot fits, and one that does may hide behind an outcome that cannot be read.
    #[error("no snapshot that can be read fits `{selector}`, and `{key}` cannot be read: {why}")]
    Hidden {
        /// What was asked for.
        selector: String,
        /// The outcome.
        key: String,
        /// Why it cannot be read.
        why: String,
        /// What can be done.
        remedy: String,
    },
    /// A snapshot that may be the newest of those that fit has a damaged manifest.
    #[error("the manifest of snapshot {snapshot}, which may be the one that is meant, is damaged")]
    MayBeMeant {
        /// The snapshot.
        snapshot: String,
        /// What is wrong with its manifest.
        source: Box<RepoError>,
    },
    /// The snapshot that fits was forgotten, and is still stored.
    #[error("snapshot {snapshot} was forgotten")]
    Forgotten {
        /// The snapshot.
        snapshot: String,
    },
    /// A collection removed what was forgotten.
    #[error("it is too late: collection {collection} removed snapshot {snapshot}")]
    TooLate {
        /// The snapshot.
        snapshot: String,
        /// The collection's number.
        collection: u64,
    },
    /// A session that was to be aborted had committed before.
    #[error("session {session} is not aborted: it has committed {what}")]
    Committed {
        /// The session.
        session: String,
        /// What it committed.
        what: String,
    },
    /// A path is not in a snapshot.
    #[error("snapshot {snapshot} has no `{path}`")]
    NoPath {
        /// The snapshot.
        snapshot: String,
        /// The path in it.
        path: String,
    },
}

impl From<RepoError> for OpError {
    fn from(source: RepoError) -> Self {
        if matches!(source, RepoError::Interrupted) {
            return Self::Interrupted;
        }
        Self::Repo { what: "the repository cannot be used", source: source.into() }
    }
}

impl From<LocalError> for OpError {
    fn from(error: LocalError) -> Self {
        let LocalError { path, call, source } = error;
        Self::Local { call, path, source }
    }
}

/// Says what was being done when a repository failed.
pub(crate) trait During<T> {
    /// The same result, with what was being done.
    fn during(self, what: &'static str) -> Result<T, OpError>;
}

impl<T> During<T> for Result<T, RepoError> {
    fn during(self, what: &'static str) -> Result<T, OpError> {
        self.map_err(|source| {
            if matches!(source, RepoError::Interrupted) {
                return OpError::Interrupted;
            }
            OpError::Repo { what, source: source.into() }
        })
    }
}
