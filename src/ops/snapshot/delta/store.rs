//! Storing the new chunks of a run whose place in an older version is known.

use crate::id::ChunkId;
use crate::ops::snapshot::delta::predecessor::DeltaGroup;
use crate::repo::error::RepoError;
use crate::repo::kept_dump::newer::NewKeptDump;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::write::ChunkWriter;
use crate::repo::write::bases::BaseFinder;
use crate::repo::write::bases::Prefix;
use crate::units::to_usize32;
use crossbeam_channel::Sender;
use std::cell::OnceCell;
use std::sync::Arc;

/// Chunks of one content, those that are new not yet stored.
pub(crate) struct StoreRun {
    /// The chunks, back to back.
    pub(crate) bytes: Vec<u8>,
    /// The chunks.
    pub(crate) chunks: Vec<NamedChunk>,
    /// What stood in the place of some of them.
    pub(crate) groups: Vec<DeltaGroup>,
    /// What this host keeps of the content, if anything.
    pub(crate) kept: Option<Arc<NewKeptDump>>,
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
        let StoreRun { bytes, chunks, groups, kept, back } = run;
        let kept = kept.as_deref();
        let mut pieces = Vec::with_capacity(chunks.len());
        let mut rest = bytes.as_slice();
        for chunk in &chunks {
            let (piece, behind) = rest.split_at(to_usize32(chunk.length));
            if let Some(kept) = kept.filter(|_| !chunk.is_new) {
                self.keep_known(kept, &chunk.id, piece);
            }
            pieces.push(chunk.is_new.then_some((chunk.id, piece)));
            rest = behind;
        }
        // The compressor borrows the prefixes of all groups, so that it can keep its tables.
        let prefixes: Vec<OnceCell<Prefix>> = groups.iter().map(|_group| OnceCell::new()).collect();
        let mut compressor = writer.delta_compressor();
        let mut next = 0;
        for (group, prefix) in groups.into_iter().zip(&prefixes) {
            write_plain(writer, kept, pieces[next..group.chunks.start].iter().flatten())?;
            next = group.chunks.end;
            let new: Vec<(ChunkId, &[u8])> =
                pieces[group.chunks].iter().flatten().copied().collect();
            let older = kept.and_then(NewKeptDump::older).map(Arc::as_ref);
            let found = self.prefix(&group.stood_there, older);
            let stored = match found.map(|found| prefix.get_or_init(|| found)) {
                Some(prefix) if writer.write_delta(&mut compressor, &new, prefix)? => {
                    keep_bases(kept, &prefix.bases);
                    true
                }
                Some(_) | None => false,
            };
            if stored {
                self.misses = 0;
            } else {
                write_plain(writer, kept, &new)?;
            }
        }
        write_plain(writer, kept, pieces[next..].iter().flatten())?;
        // Nobody waits for it any more only if the run has already failed.
        let _ignored = back.send(bytes);
        Ok(())
    }

    /// Keeps a chunk that is stored already, or what it rests on.
    fn keep_known(&self, kept: &NewKeptDump, id: &ChunkId, bytes: &[u8]) {
        if !self.finder.reader.index.contains(id) {
            // This run stores or adopts it, and most of that lies in plain blocks.
            kept.put(id, bytes);
            return;
        }
        for plain in self.finder.plain_chunks_of(id) {
            if plain == *id {
                kept.put(id, bytes);
            } else {
                kept.retain(&plain);
            }
        }
    }

    /// What stands before a delta, if it is worth a try: where none pays, fewer and fewer are tried.
    fn prefix(&mut self, stood_there: &[ChunkId], older: Option<&KeptDump>) -> Option<Prefix> {
        self.groups += 1;
        let one_of = if self.misses < MISSES_FEW { 1 } else { self.misses.min(TRIED_OF_MAX) / 4 };
        if !self.groups.is_multiple_of(one_of) {
            return None;
        }
        self.misses += 1;
        self.finder.prefix(stood_there, older)
    }
}

fn keep_bases(kept: Option<&NewKeptDump>, bases: &[ChunkId]) {
    for base in bases {
        kept.map(|kept| kept.retain(base));
    }
}

fn write_plain<'a>(
    writer: &mut ChunkWriter<'_>,
    kept: Option<&NewKeptDump>,
    chunks: impl IntoIterator<Item = &'a (ChunkId, &'a [u8])>,
) -> Result<(), RepoError> {
    for (id, bytes) in chunks {
        if let Some(kept) = kept {
            kept.put(id, bytes);
        }
        writer.write_claimed(*id, bytes)?;
    }
    Ok(())
}

/// After so many tries without success some groups are not tried, at last all but one of sixteen.
const MISSES_FEW: u32 = 8;
const TRIED_OF_MAX: u32 = 64;
