//! BLAKE3 of whole contents, for layers that name no hash themselves.

use crate::crypto::hash::Blake3;
use crate::id::Digest;

/// Hashes the bytes of a content that arrive in pieces. Holes add nothing: the extents fix their
/// places and lengths, and hashing eight exbibytes of zeros would take years.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContentDigest(Blake3);

impl ContentDigest {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    pub(crate) fn finish(&self) -> Digest {
        self.0.finish()
    }
}
