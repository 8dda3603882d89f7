//! BLAKE3 in its three modes, and SHA-256.

use crate::crypto::secret::Secret;
use crate::id::ChunkId;
use crate::id::Digest;
use crate::id::Sha256;
use sha2::Digest as _;
use std::fmt;

/// BLAKE3 of `bytes` without a key.
pub(crate) fn blake3(bytes: &[u8]) -> [u8; 32] {
    *::blake3::hash(bytes).as_bytes()
}

/// BLAKE3 of `bytes` as a digest.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::new(blake3(bytes))
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(bytes).into())
}

/// BLAKE3's key derivation: 32 bytes for `context` from the concatenated `material`.
pub(crate) fn derive(context: &str, material: &[&[u8]]) -> Secret {
    let mut hasher = ::blake3::Hasher::new_derive_key(context);
    for part in material {
        hasher.update(part);
    }
    Secret::new(*hasher.finalize().as_bytes())
}

/// BLAKE3's key derivation with an output of any length.
pub(crate) fn derive_long(context: &str, material: &[u8], output: &mut [u8]) {
    let mut hasher = ::blake3::Hasher::new_derive_key(context);
    hasher.update(material);
    hasher.finalize_xof().fill(output);
}

/// BLAKE3 of parts that arrive one after the other.
#[derive(Clone, Default)]
pub(crate) struct Blake3(::blake3::Hasher);

impl Blake3 {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added.
    pub(crate) fn finish(&self) -> Digest {
        Digest::new(*self.0.finalize().as_bytes())
    }
}

impl fmt::Debug for Blake3 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Blake3(..)")
    }
}

/// Names chunks: keyed BLAKE3 of their plaintext.
#[derive(Clone)]
pub(crate) struct ChunkNamer(Secret);

impl ChunkNamer {
    /// Names with this key.
    pub(crate) const fn new(key: Secret) -> Self {
        Self(key)
    }

    /// The name of a chunk.
    pub(crate) fn name(&self, plaintext: &[u8]) -> ChunkId {
        ChunkId::new(*::blake3::keyed_hash(self.0.expose(), plaintext).as_bytes())
    }
}

impl fmt::Debug for ChunkNamer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChunkNamer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivation_separates_contexts() {
        let one = derive("one", &[b"material"]);
        let other = derive("other", &[b"material"]);
        assert_ne!(one.expose(), other.expose());
        assert_eq!(derive("one", &[b"mate", b"rial"]).expose(), one.expose());
    }
}
