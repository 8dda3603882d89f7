//! Storing the new chunks of a run whose place in an older version is known.

use crate::id::ChunkId;
use crate::ops::snapshot::delta::predecessor::DeltaGroup;
use crate::repo::error::RepoError;
use crate::repo::write::ChunkWriter;
use crate::repo::write::bases::BaseFinder;
use crate::units::to_usize32;
use crossbeam_channel::Sender;

/// Chunks of one content, those that are new not yet stored.
pub(crate) struct StoreRun {
    /// The chunks, back to back.
    pub(crate) bytes: Vec<u8>,
    /// The chunks.
    pub(crate) chunks: Vec<NamedChunk>,
    /// What stood in the place of some of them.
    pub(crate) groups: Vec<DeltaGroup>,
    /// Where the buffer goes, to be used again.
    pub(crate) back: Sender<Vec<u8>>,
}

/// A chunk that has a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedChunk {
    pub(crate) id: ChunkId,
    pub(crate) length: u32,
    /// Whether this run must store it.
    pub(crate) is_new: bool,
}

/// Stores runs; one a thread.
pub(crate) struct DeltaStore<'a> {
    finder: BaseFinder<'a>,
    /// Deltas that did not pay since the last one that did.
    misses: u32,
}

impl<'a> DeltaStore<'a> {
    /// Takes bases from `finder`.
    pub(crate) const fn new(finder: BaseFinder<'a>) -> Self {
        Self { finder, misses: 0 }
    }

    /// Stores the new chunks of a run.
    pub(crate) fn store(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        run: StoreRun,
    ) -> Result<(), RepoError> {
        let StoreRun { bytes, chunks, groups, back } = run;
        let mut pieces = Vec::with_capacity(chunks.len());
        let mut rest = bytes.as_slice();
        for chunk in &chunks {
            let (piece, behind) = rest.split_at(to_usize32(chunk.length));
            pieces.push((chunk.id, piece));
            rest = behind;
        }
        let mut next = 0;
        for group in groups {
            write_plain(writer, &chunks, &pieces, next..group.chunks.start)?;
            next = group.chunks.end;
            if !self.store_group(writer, &pieces[group.chunks.clone()], &group.stood_there)? {
                write_plain(writer, &chunks, &pieces, group.chunks)?;
            }
        }
        write_plain(writer, &chunks, &pieces, next..chunks.len())?;
        // Nobody waits for it any more only if the run has already failed.
        let _ignored = back.send(bytes);
        Ok(())
    }

    /// Says whether the chunks are stored.
    fn store_group(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        pieces: &[(ChunkId, &[u8])],
        stood_there: &[ChunkId],
    ) -> Result<bool, RepoError> {
        self.misses += 1;
        // Where nothing is as it was, only a few are tried.
        if self.misses > MISSES_MAX && !self.misses.is_multiple_of(TRIED_OF_MISSES) {
            return Ok(false);
        }
        let Some(prefix) = self.finder.prefix(stood_there) else { return Ok(false) };
        let pays = writer.write_delta(pieces, &prefix)?;
        if pays {
            self.misses = 0;
        }
        Ok(pays)
    }
}

fn write_plain(
    writer: &mut ChunkWriter<'_>,
    chunks: &[NamedChunk],
    pieces: &[(ChunkId, &[u8])],
    range: std::ops::Range<usize>,
) -> Result<(), RepoError> {
    for (chunk, (id, piece)) in chunks[range.clone()].iter().zip(&pieces[range]) {
        if chunk.is_new {
            writer.write_claimed(*id, piece)?;
        }
    }
    Ok(())
}

const MISSES_MAX: u32 = 8;
const TRIED_OF_MISSES: u32 = 16;
