//! Why there are no credentials. Invariant: no secret is ever part of the words.

use crate::store::StoreErrorKind;
use std::error::Error;

/// Why a source of credentials gave none: which source it was, and what helps.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{why}")]
pub(crate) struct CredentialError {
    /// What callers may branch on: [`StoreErrorKind::Unavailable`] where a later try may do.
    pub(crate) kind: StoreErrorKind,
    why: String,
}

impl CredentialError {
    /// The source is not usable as it is.
    pub(crate) fn wrong(why: impl Into<String>) -> Self {
        Self { kind: StoreErrorKind::Unauthenticated, why: why.into() }
    }

    /// The source did not answer, and may later.
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self { kind: StoreErrorKind::Unavailable, why: why.into() }
    }

    /// The same error of something that needed it.
    pub(crate) fn of(self, what: &str) -> Self {
        let Self { kind, why } = self;
        Self { kind, why: format!("{what}: {why}") }
    }

    /// The error as its clients' library carries it.
    pub(crate) fn into_store(self) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: Box::new(self) }
    }

    /// The one that an error carries, if it does.
    pub(crate) fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}
