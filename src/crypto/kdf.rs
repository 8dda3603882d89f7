//! Argon2id: keys from passphrases. Blocks for as long as the cost asks for.

use crate::crypto::CryptoError;
use crate::crypto::secret::Secret;
use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;

/// What a derivation costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Memory in KiB.
    pub(crate) memory_kib: u32,
    /// Passes over it.
    pub(crate) passes: u32,
    /// Lanes.
    pub(crate) lanes: u32,
}

/// Argon2id, version 1.3, 32 bytes of output.
pub(crate) fn passphrase_key(
    passphrase: &[u8],
    salt: &[u8; 32],
    cost: Cost,
) -> Result<Secret, CryptoError> {
    let Cost { memory_kib, passes, lanes } = cost;
    let parameters = Params::new(memory_kib, passes, lanes, Some(32))
        .map_err(|_source| CryptoError::Malformed)?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(passphrase, salt, &mut key)
        .map_err(|_source| CryptoError::Malformed)?;
    Ok(Secret::new(key))
}
