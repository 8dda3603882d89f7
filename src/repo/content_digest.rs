//! BLAKE3 of whole contents, for layers that name no hash themselves.

use crate::crypto::hash::Blake3;
use crate::crypto::hash::digest;
use crate::format::codec;
use crate::format::content::Content;
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

/// The name of a content: BLAKE3 of the record that says where its bytes are.
///
/// Contents of one name are the same bytes with the same holes. It is a name within one
/// repository, and a content that was cut by two profiles has two.
pub(crate) fn content_name(content: &Content) -> Digest {
    digest(&codec::encode(content))
}
