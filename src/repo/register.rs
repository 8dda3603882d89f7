//! Write-once registers: who was first decides. Spec: format-spec/09-session.md.
//! Source: design of the protocol, "Primitives".

use crate::key::ObjectKey;
use crate::repo::create::is_transient;
use crate::repo::error::RepoError;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::units::MIB;

/// Who won a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Won {
    /// This body decides.
    Mine,
    /// Another body was first.
    Theirs(Vec<u8>),
}

/// Creates a register whose body holds a nonce of this process, or finds out who was first.
///
/// Errors leave the outcome unknown: the caller reports neither success nor failure of what the
/// register decides.
pub(crate) fn create_register(
    store: &dyn Store,
    key: &ObjectKey,
    body: &[u8],
) -> Result<Won, RepoError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let Err(error) = store.create(key, body) else { return Ok(Won::Mine) };
        match read_settled(store, key) {
            Ok(Some(found)) if found == body => return Ok(Won::Mine),
            Ok(Some(found)) => return Ok(Won::Theirs(found)),
            // A register that was decided and is gone was swept since: its epoch is over, so that
            // whoever creates it again finds that out from the newest verdict.
            Ok(None) => {
                let may_try =
                    is_transient(error.kind) || error.kind == StoreErrorKind::AlreadyExists;
                if attempt >= REGISTER_ATTEMPTS || !may_try {
                    return Err(error.into());
                }
            }
            Err(read) => return Err(read.into()),
        }
    }
}

/// The register's body, once it is durable; `None` if there is no register, or no longer.
fn read_settled(store: &dyn Store, key: &ObjectKey) -> Result<Option<Vec<u8>>, StoreError> {
    let is_missing = |error: &StoreError| error.kind == StoreErrorKind::NotFound;
    // What another process wrote must be durable before anything follows from it.
    let found = store.read(key, REGISTER_BYTES_MAX);
    match found.and_then(|found| store.settle(key).map(|()| found)) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

const REGISTER_ATTEMPTS: u32 = 8;
const REGISTER_BYTES_MAX: u64 = 64 * MIB;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::testing::FaultStore;
    use std::sync::Arc;

    #[test]
    fn a_register_that_is_swept_while_it_is_read_is_created_again() {
        let key = ObjectKey::new("outcomes/c/0/s").unwrap();
        // Before it is read, and before it is made durable.
        for call in [1, 2] {
            let inner = Arc::new(MemoryStore::new());
            inner.create(&key, b"a fence").unwrap();
            let store = FaultStore::new(Arc::clone(&inner));
            let swept = key.clone();
            store.interleave_at(call, move || {
                inner.remove(&swept);
            });
            let won = create_register(&store, &key, b"a commit").unwrap();
            assert_eq!(won, Won::Mine, "swept before call {call}");
        }
    }
}
