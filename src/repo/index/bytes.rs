//! The bytes of a run: a vector, or a mapped file that nobody changes.
//! The only module with `unsafe`.

use memmap2::Mmap;
use memmap2::UncheckedAdvice;
use std::fs::File;
use std::io;

/// The bytes of a run.
#[derive(Debug)]
pub(crate) enum RunBytes {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file.
    Mapped(Mmap),
}

impl RunBytes {
    /// Maps a file of the cache.
    #[expect(unsafe_code, reason = "see the comment on the block")]
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: files of the cache are written under another name, made read-only, renamed, and
        // never written or truncated again, only unlinked; the directory belongs to this user.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self::Mapped(map))
    }

    /// Gives back the memory of a mapped file; what is used again is read again.
    #[expect(unsafe_code, reason = "see the comment on the block")]
    pub(crate) fn release(&self) {
        if let Self::Mapped(map) = self {
            // SAFETY: the map is shared with a file and never written to: pages that are dropped
            // come back from the file with the same bytes.
            let _best_effort = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }

    /// All bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}
