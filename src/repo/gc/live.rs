//! Which chunks are needed: three bits a chunk of the index, whatever the snapshots hold.

use crate::id::ChunkId;
use crate::repo::index::run::Run;
use crate::units::to_usize32;
use std::sync::Arc;

/// Marks on the chunks of some runs. A chunk that stands in several runs is marked in the first.
#[derive(Debug)]
pub(crate) struct LiveChunks {
    runs: Vec<Arc<Run>>,
    live: Vec<Bits>,
    trees: Vec<Bits>,
    lists: Vec<Bits>,
}

/// What a chunk is marked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkedAs {
    /// Needed; what its plaintext names, if anything, is marked by others.
    Bytes,
    /// Needed with everything that it names as a tree node.
    Tree,
    /// Needed with everything that it names as a list node.
    List,
}

/// What marking a chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marked {
    /// It was not marked so before.
    First,
    /// It was.
    Again,
    /// No run has it.
    Unknown,
}

impl LiveChunks {
    /// Nothing is marked.
    pub(crate) fn new(runs: Vec<Arc<Run>>) -> Self {
        let bits = || runs.iter().map(|run| Bits::new(run.chunk_count())).collect();
        let (live, trees, lists) = (bits(), bits(), bits());
        Self { runs, live, trees, lists }
    }

    /// Marks a chunk.
    pub(crate) fn mark(&mut self, id: &ChunkId, marked: MarkedAs) -> Marked {
        let mut found = self.runs.iter().enumerate();
        let found = found.find_map(|(run, of)| Some((run, of.find(id)?)));
        let Some((run, index)) = found else { return Marked::Unknown };
        let first = self.live[run].set(index);
        let first = match marked {
            MarkedAs::Bytes => first,
            MarkedAs::Tree => self.trees[run].set(index),
            MarkedAs::List => self.lists[run].set(index),
        };
        if first { Marked::First } else { Marked::Again }
    }

    /// Whether a chunk is needed.
    pub(crate) fn is_live(&self, id: &ChunkId) -> bool {
        let mut runs = self.runs.iter().zip(&self.live);
        let found = runs.find_map(|(run, live)| Some((live, run.find(id)?)));
        found.is_some_and(|(live, index)| live.get(index))
    }

    /// Gives back the memory of what was read of the runs.
    pub(crate) fn release(&self) {
        self.runs.iter().for_each(|run| run.release());
    }

    /// Visits every chunk with all its places, in the order of the names, and whether it is needed.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&ChunkId, &[Copy], bool)) {
        let mut cursors: Vec<usize> = vec![0; self.runs.len()];
        let mut copies = Vec::new();
        let mut visited = 0_usize;
        loop {
            let heads = self.runs.iter().zip(&cursors);
            let heads = heads.filter_map(|(run, &cursor)| Some(run.chunk_at(cursor)?.0));
            let Some(id) = heads.min() else { return };
            copies.clear();
            let mut needed = false;
            for (number, run) in self.runs.iter().enumerate() {
                let mut is_first = true;
                while let Some((found, place)) = run.chunk_at(cursors[number])
                    && found == id
                {
                    needed |= is_first && self.live[number].get(cursors[number]);
                    is_first = false;
                    let (block, length) = (place.block, place.length);
                    copies.push(Copy { run: number, block: to_usize32(block), length });
                    cursors[number] += 1;
                }
            }
            visit(&id, &copies, needed);
            visited += 1;
            if visited.is_multiple_of(RELEASE_EVERY) {
                self.release();
            }
        }
    }
}

/// A place of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Which run.
    pub(crate) run: usize,
    /// Which block of it.
    pub(crate) block: usize,
    /// Length of the chunk.
    pub(crate) length: u32,
}

/// One bit for each of a number of things.
#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn get(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets a bit; says whether it was not set.
    fn set(&mut self, index: usize) -> bool {
        let Some(word) = self.0.get_mut(index / 64) else { return false };
        let before = *word;
        *word |= 1 << (index % 64);
        *word != before
    }
}

/// Chunks after which pages that were read are given back: some 12 MiB of them.
const RELEASE_EVERY: usize = 1 << 18;
