//! Packs and blocks of the index, and how much of each is needed.

use crate::format::block::BlockCodec;
use crate::format::layout::PackRef;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::repo::gc::live::Copy;
use crate::repo::index::run::Run;
use crate::repo::index::run::RunBlock;
use crate::units::to_u32;
use crate::units::to_usize32;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// Every pack of the index once, although several segments may list it.
#[derive(Debug)]
pub(crate) struct Census {
    pub(crate) packs: Vec<PackFacts>,
    by_reference: HashMap<PackRef, usize>,
    runs: Vec<Arc<Run>>,
    /// For each block of each run the pack and the number among all blocks.
    places: Vec<Vec<BlockPlace>>,
    /// For each block whether it is a delta.
    deltas: Vec<bool>,
    damaged: HashSet<PackId>,
}

/// A pack of the index.
#[derive(Debug)]
pub(crate) struct PackFacts {
    pub(crate) reference: PackRef,
    pub(crate) kind: PackKind,
    /// Length in bytes, as the index says.
    pub(crate) length: u64,
    /// Whether it is stored with that length.
    pub(crate) is_stored: bool,
    /// Whether somebody read it and found other bytes than its name says.
    is_damaged: bool,
    /// Where it is listed: the run, and its first block there.
    run: usize,
    run_block: u32,
    /// Number of its first block among all blocks, and how many it has.
    pub(crate) first_block: usize,
    pub(crate) block_count: usize,
}

#[derive(Debug, Clone, Copy)]
struct BlockPlace {
    pack: u32,
    block: u32,
}

/// A copy of a chunk: in which pack, and in which of all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopyAt {
    pub(crate) pack: usize,
    pub(crate) block: usize,
    pub(crate) length: u32,
}

impl Census {
    /// Counts the packs of some runs; `stored` says which packs the store lists, how long, and
    /// `damaged` which hold other bytes than they should.
    pub(crate) fn new(
        runs: &[Arc<Run>],
        stored: &HashMap<PackRef, u64>,
        damaged: HashSet<PackId>,
    ) -> Self {
        let mut census = Self {
            packs: Vec::new(),
            by_reference: HashMap::new(),
            runs: runs.to_vec(),
            places: Vec::new(),
            deltas: Vec::new(),
            damaged,
        };
        for (number, run) in runs.iter().enumerate() {
            let places = census.add_run(number, run, stored);
            census.places.push(places);
        }
        census
    }

    fn add_run(
        &mut self,
        number: usize,
        run: &Run,
        stored: &HashMap<PackRef, u64>,
    ) -> Vec<BlockPlace> {
        let mut places = Vec::with_capacity(run.block_count());
        let mut at = 0;
        let block_count = to_u32(run.block_count());
        for (run_pack, pack) in run.packs().iter().enumerate() {
            let run_block = at;
            let mut deltas = Vec::new();
            while at < block_count
                && let Some(block) = run.block(at)
                && to_usize32(block.pack) == run_pack
            {
                deltas.push(matches!(block.codec, BlockCodec::Delta { .. }));
                at += 1;
            }
            let reference = pack.reference();
            let known = self.by_reference.get(&reference).copied();
            let known = known.unwrap_or_else(|| {
                let facts = PackFacts {
                    reference,
                    kind: pack.header.kind,
                    length: pack.length,
                    is_stored: stored.get(&reference) == Some(&pack.length),
                    is_damaged: self.damaged.contains(&pack.id),
                    run: number,
                    run_block,
                    first_block: self.deltas.len(),
                    block_count: deltas.len(),
                };
                self.deltas.extend_from_slice(&deltas);
                self.packs.push(facts);
                self.by_reference.insert(reference, self.packs.len() - 1);
                self.packs.len() - 1
            });
            let first = self.packs[known].first_block;
            let place = |block| BlockPlace { pack: to_u32(known), block: to_u32(first + block) };
            places.extend((0..deltas.len()).map(place));
        }
        places
    }

    /// The number of a pack.
    pub(crate) fn find(&self, reference: &PackRef) -> Option<usize> {
        self.by_reference.get(reference).copied()
    }

    /// The blocks of a pack with their numbers among all blocks.
    pub(crate) fn blocks_of(&self, pack: usize) -> impl Iterator<Item = (usize, RunBlock)> {
        let PackFacts { run, run_block, first_block, block_count, .. } = self.packs[pack];
        let run = &self.runs[run];
        (0..block_count)
            .filter_map(move |at| Some((first_block + at, run.block(run_block + to_u32(at))?)))
    }

    /// The copies of a chunk in packs that are stored and that `accept` lets through, each once.
    ///
    /// Those in damaged packs only if there are no others: else the sound one might go.
    pub(crate) fn copies(&self, places: &[Copy], accept: impl Fn(usize) -> bool) -> Vec<CopyAt> {
        let mut copies: Vec<CopyAt> = Vec::new();
        for place in places {
            let BlockPlace { pack, block } = self.places[place.run][place.block];
            let pack = to_usize32(pack);
            let copy = CopyAt { pack, block: to_usize32(block), length: place.length };
            if self.packs[pack].is_stored && accept(pack) && !copies.contains(&copy) {
                copies.push(copy);
            }
        }
        if copies.iter().any(|copy| !self.packs[copy.pack].is_damaged) {
            copies.retain(|copy| !self.packs[copy.pack].is_damaged);
        }
        copies
    }

    /// Whether a block is a delta: then it serves as no base.
    pub(crate) fn is_delta(&self, block: usize) -> bool {
        self.deltas[block]
    }

    /// How many blocks all packs have.
    pub(crate) const fn block_count(&self) -> usize {
        self.deltas.len()
    }

    /// Whether there is any delta.
    pub(crate) fn has_deltas(&self) -> bool {
        self.deltas.contains(&true)
    }

    /// Every place of a chunk.
    pub(crate) fn places_of(&self, id: &ChunkId) -> Vec<Copy> {
        let mut places = Vec::new();
        for (number, run) in self.runs.iter().enumerate() {
            let here = run.locations(id).map(|place| Copy {
                run: number,
                block: to_usize32(place.block),
                length: place.length,
            });
            places.extend(here);
        }
        places
    }
}
