//! BLAKE3 of whole contents, for layers that name no hash themselves.

use crate::crypto::hash::Blake3;
use crate::id::Digest;

/// Hashes a content that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContentDigest(Blake3);

impl ContentDigest {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds zeros.
    pub(crate) fn update_zeros(&mut self, length: u64) {
        let zeros = [0; 8192];
        let mut left = length;
        while left > 0 {
            let step = crate::units::to_usize(left).min(zeros.len());
            self.0.update(&zeros[..step]);
            left -= crate::units::to_u64(step);
        }
    }

    /// The digest.
    pub(crate) fn finish(&self) -> Digest {
        self.0.finish()
    }
}
