//! Creating objects where a store may apply a request and lose its answer.

use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::units::to_u64;

/// Creates an object that only this process can want to create.
///
/// A store may apply a create and lose the answer; then the object is there with our bytes.
pub(crate) fn create(store: &dyn Store, key: &ObjectKey, body: &[u8]) -> Result<(), RepoError> {
    create_by(store, key, body, || store.create(key, body))
}

/// [`create`] in a class of storage.
pub(crate) fn create_in(
    store: &dyn Store,
    key: &ObjectKey,
    body: &[u8],
    class: StorageClass,
) -> Result<(), RepoError> {
    create_by(store, key, body, || store.create_in(key, body, class))
}

fn create_by(
    store: &dyn Store,
    key: &ObjectKey,
    body: &[u8],
    create: impl Fn() -> Result<(), StoreError>,
) -> Result<(), RepoError> {
    let mut last = None;
    for _attempt in 0..CREATE_ATTEMPTS {
        let Err(error) = create() else { return Ok(()) };
        match store.read(key, to_u64(body.len())) {
            Ok(found) if found == body => return Ok(store.settle(key)?),
            Err(read) if read.kind == StoreErrorKind::NotFound && is_transient(error.kind) => {
                last = Some(error);
            }
            _ => return Err(error.into()),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Whether a later try may succeed.
pub(crate) fn is_transient(kind: StoreErrorKind) -> bool {
    match kind {
        StoreErrorKind::Throttled | StoreErrorKind::Unavailable => true,
        StoreErrorKind::NotFound
        | StoreErrorKind::AlreadyExists
        | StoreErrorKind::Denied
        | StoreErrorKind::Unauthenticated
        | StoreErrorKind::Full
        | StoreErrorKind::Corrupt
        | StoreErrorKind::Unreadable
        | StoreErrorKind::Unsupported
        | StoreErrorKind::Other => false,
    }
}

/// How often an object is tried whose creation had an unknown outcome.
const CREATE_ATTEMPTS: u32 = 4;
