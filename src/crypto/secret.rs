//! Secret bytes: wiped when dropped, never printed.

use std::fmt;
use zeroize::Zeroize as _;

/// A 32-byte secret.
#[derive(Clone)]
pub(crate) struct Secret([u8; 32]);

impl Secret {
    /// Takes over the bytes.
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the operation that needs them.
    pub(crate) const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}
