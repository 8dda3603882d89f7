//! Write-once registers: who was first decides. Spec: format-spec/09-session.md.
//! Source: design of the protocol, "Primitives".

use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::repository::is_transient;
use crate::store::Store;
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
        match store.read(key, REGISTER_BYTES_MAX) {
            Ok(found) => {
                // What another process wrote must be durable before anything follows from it.
                store.settle(key)?;
                return Ok(if found == body { Won::Mine } else { Won::Theirs(found) });
            }
            Err(read) if read.kind == StoreErrorKind::NotFound => {
                // It was there and a sweep took it before it was read: what decides it again counts
                // for nothing, and whoever asked looks at the newest verdict.
                let may_succeed =
                    is_transient(error.kind) || error.kind == StoreErrorKind::AlreadyExists;
                if attempt >= REGISTER_ATTEMPTS || !may_succeed {
                    return Err(error.into());
                }
            }
            Err(read) => return Err(read.into()),
        }
    }
}

const REGISTER_ATTEMPTS: u32 = 8;
const REGISTER_BYTES_MAX: u64 = 64 * MIB;
