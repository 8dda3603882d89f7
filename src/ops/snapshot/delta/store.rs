//! Storing the new chunks of a run whose place in an older version is known.

use crate::id::ChunkId;
use crate::ops::snapshot::delta::predecessor::DeltaGroup;
use crate::repo::error::RepoError;
use crate::repo::write::ChunkWriter;
use crate::repo::write::bases::BaseFinder;
use crate::repo::write::bases::Prefix;
use crate::units::to_usize32;
use crossbeam_channel::Sender;
use std::cell::OnceCell;

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
    groups: u32,
    /// Deltas that did not pay since the last one that did.
    misses: u32,
}

impl<'a> DeltaStore<'a> {
    /// Takes bases from `finder`.
    pub(crate) const fn new(finder: BaseFinder<'a>) -> Self {
        Self { finder, groups: 0, misses: 0 }
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
            pieces.push(chunk.is_new.then_some((chunk.id, piece)));
            rest = behind;
        }
        // The compressor borrows the prefixes of all groups, so that it can keep its tables.
        let prefixes: Vec<OnceCell<Prefix>> = groups.iter().map(|_group| OnceCell::new()).collect();
        let mut compressor = writer.delta_compressor();
        let mut next = 0;
        for (group, prefix) in groups.into_iter().zip(&prefixes) {
            write_plain(writer, pieces[next..group.chunks.start].iter().flatten())?;
            next = group.chunks.end;
            let new: Vec<(ChunkId, &[u8])> =
                pieces[group.chunks].iter().flatten().copied().collect();
            let found = self.prefix(&group.stood_there);
            let stored = match found.map(|found| prefix.get_or_init(|| found)) {
                Some(prefix) => writer.write_delta(&mut compressor, &new, prefix)?,
                None => false,
            };
            if stored {
                self.misses = 0;
            } else {
                write_plain(writer, &new)?;
            }
        }
        write_plain(writer, pieces[next..].iter().flatten())?;
        // Nobody waits for it any more only if the run has already failed.
        let _ignored = back.send(bytes);
        Ok(())
    }

    /// What stands before a delta, if it is worth a try: where none pays, fewer and fewer are tried.
    fn prefix(&mut self, stood_there: &[ChunkId]) -> Option<Prefix> {
        self.groups += 1;
        let one_of = if self.misses < MISSES_FEW { 1 } else { self.misses.min(TRIED_OF_MAX) / 4 };
        if !self.groups.is_multiple_of(one_of) {
            return None;
        }
        self.misses += 1;
        self.finder.prefix(stood_there)
    }
}

fn write_plain<'a>(
    writer: &mut ChunkWriter<'_>,
    chunks: impl IntoIterator<Item = &'a (ChunkId, &'a [u8])>,
) -> Result<(), RepoError> {
    for (id, bytes) in chunks {
        writer.write_claimed(*id, bytes)?;
    }
    Ok(())
}

/// After so many tries without success some groups are not tried, at last all but one of sixteen.
const MISSES_FEW: u32 = 8;
const TRIED_OF_MAX: u32 = 64;
