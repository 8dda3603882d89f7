//! The only place that names a cipher, a hash, a signature or a key derivation.
//! Knows no record of the format. Spec: format-spec/13-crypto.md.

pub(crate) mod aead;
pub(crate) mod hash;
pub(crate) mod kdf;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod sign;

/// A cryptographic operation failed. Says no more: the bytes are hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The bytes were not sealed with this key for this place.
    #[error("authentication failed")]
    Unauthentic,
    /// The key is not the one that was committed to.
    #[error("the key does not match its commitment")]
    WrongKey,
    /// The signature does not belong to the message and key.
    #[error("the signature is not valid")]
    BadSignature,
    /// A key or parameter cannot be used at all.
    #[error("a key or parameter is malformed")]
    Malformed,
}
