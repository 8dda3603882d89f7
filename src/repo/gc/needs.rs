//! Which copy of each needed chunk stays, and how much of each block is needed then.
//!
//! Invariant: what one collection leaves, the next one leaves, too. A block that is copied as it is
//! takes along chunks that have another copy; so the other copy is the one that goes.

use crate::format::layout::PackRef;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::gc::census::Census;
use crate::repo::gc::census::CopyAt;
use crate::repo::gc::census::PackFacts;
use crate::repo::gc::choose::RepackPolicy;
use crate::repo::gc::choose::is_split;
use crate::repo::gc::live::LiveChunks;
use std::cmp::Reverse;

/// How much of each block and pack is needed, when each chunk is needed once.
#[derive(Debug)]
pub(crate) struct Needs {
    /// For each pack the bytes of needed chunks that no other pack has.
    alone: Vec<u64>,
    /// For each block whether it stays with all that is in it, whatever other copies there are.
    stays_whole: Vec<bool>,
    /// For each block the plaintext bytes of chunks that are kept there.
    pub(crate) live_bytes: Vec<u32>,
    /// For each pack whether a needed chunk of it is kept elsewhere.
    pub(crate) is_double: Vec<bool>,
}

impl Needs {
    /// Decides for each needed chunk which copy is kept.
    ///
    /// Errors: [`RepoError::UnknownChunk`] for a needed chunk that no stored pack has.
    pub(crate) fn new(
        census: &Census,
        live: &LiveChunks,
        policy: &RepackPolicy,
    ) -> Result<Self, RepoError> {
        let mut needs = Self {
            alone: vec![0; census.packs.len()],
            stays_whole: vec![false; census.block_count()],
            live_bytes: vec![0; census.block_count()],
            is_double: vec![false; census.packs.len()],
        };
        if needs.add_single(census, live)? {
            needs.settle_whole(census, live, policy);
            needs.add_copied(census, live);
        }
        Ok(needs)
    }

    /// Whether a copy of a chunk in this block is the one that is kept.
    pub(crate) fn keeps(&self, census: &Census, id: &ChunkId, block: usize) -> bool {
        let copies = census.copies(&census.places_of(id), |_pack| true);
        self.kept_copy(census, &copies).is_some_and(|kept| kept.block == block)
    }

    /// Whether a pack has a chunk that is kept there.
    pub(crate) fn is_needed(&self, pack: &PackFacts) -> bool {
        let blocks = pack.first_block..pack.first_block + pack.block_count;
        self.live_bytes[blocks].iter().any(|&bytes| bytes > 0)
    }

    /// Counts the chunks that stand once; says whether others have copies.
    fn add_single(&mut self, census: &Census, live: &LiveChunks) -> Result<bool, RepoError> {
        let mut lost = None;
        let mut has_copies = false;
        live.visit(&mut |id, places, needed| {
            if !needed {
                return;
            }
            let copies = census.copies(places, |_pack| true);
            let Some((first, rest)) = copies.split_first() else {
                lost = lost.or(Some(*id));
                return;
            };
            if rest.iter().all(|copy| copy.pack == first.pack) {
                self.alone[first.pack] += u64::from(first.length);
            }
            if rest.is_empty() {
                add(&mut self.live_bytes, first);
            } else {
                has_copies = true;
            }
        });
        match lost {
            Some(chunk) => Err(RepoError::UnknownChunk { chunk }),
            None => Ok(has_copies),
        }
    }

    /// Finds the blocks that stay whole.
    ///
    /// From the least of the copies' blocks to the best: a block gives up what any other one still
    /// has, if it is then taken apart or goes; else it stays, and the better ones may count on it.
    /// Each round is right about the blocks on which those of the round before depend.
    fn settle_whole(&mut self, census: &Census, live: &LiveChunks, policy: &RepackPolicy) {
        for _round in 0..ROUNDS_COUNT_MAX {
            let mut live_bytes = self.live_bytes.clone();
            visit_copied(census, live, &mut |copies| {
                let Some(best) = copies.iter().max_by_key(|copy| rank(self, census, copy)) else {
                    return;
                };
                // A plain copy is not given up for one in a delta: deltas need plain bases.
                let is_as_good = |other: &CopyAt| {
                    self.stays_whole[other.block]
                        && census.is_delta(other.block) == census.is_delta(best.block)
                };
                if !copies.iter().any(|other| other.block != best.block && is_as_good(other)) {
                    add(&mut live_bytes, best);
                }
            });
            let stays_whole = whole_blocks(census, &live_bytes, policy);
            if stays_whole == self.stays_whole {
                return;
            }
            self.stays_whole = stays_whole;
        }
    }

    /// Counts the chunks that have copies, each where it is kept.
    fn add_copied(&mut self, census: &Census, live: &LiveChunks) {
        let mut live_bytes = std::mem::take(&mut self.live_bytes);
        let mut is_double = std::mem::take(&mut self.is_double);
        visit_copied(census, live, &mut |copies| {
            let Some(kept) = self.kept_copy(census, copies) else { return };
            add(&mut live_bytes, &kept);
            for copy in copies {
                is_double[copy.pack] |= copy.pack != kept.pack;
            }
        });
        self.live_bytes = live_bytes;
        self.is_double = is_double;
    }

    /// The copy of a needed chunk that is kept: in a plain block, if one has it; else in one that
    /// stays anyway; else where most does.
    fn kept_copy(&self, census: &Census, copies: &[CopyAt]) -> Option<CopyAt> {
        let key = |copy: &&CopyAt| {
            let Rank { is_plain, alone, pack, block } = rank(self, census, copy);
            (is_plain, self.stays_whole[copy.block], alone, pack, block)
        };
        copies.iter().max_by_key(key).copied()
    }
}

/// How good a copy is, if no block stays anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_plain: bool,
    alone: u64,
    pack: Reverse<PackRef>,
    block: Reverse<usize>,
}

fn rank(needs: &Needs, census: &Census, copy: &CopyAt) -> Rank {
    Rank {
        is_plain: !census.is_delta(copy.block),
        alone: needs.alone[copy.pack],
        pack: Reverse(census.packs[copy.pack].reference),
        block: Reverse(copy.block),
    }
}

/// Visits the copies of each needed chunk that has several.
fn visit_copied(census: &Census, live: &LiveChunks, visit: &mut dyn FnMut(&[CopyAt])) {
    live.visit(&mut |_id, places, needed| {
        if needed && places.len() > 1 {
            let copies = census.copies(places, |_pack| true);
            if copies.len() > 1 {
                visit(&copies);
            }
        }
    });
}

/// The blocks that a collection leaves as they are, if so much of each is needed.
fn whole_blocks(census: &Census, live_bytes: &[u32], policy: &RepackPolicy) -> Vec<bool> {
    let mut whole = vec![false; live_bytes.len()];
    for (number, pack) in census.packs.iter().enumerate() {
        for (at, block) in census.blocks_of(number) {
            let live = live_bytes[at];
            whole[at] = live > 0 && !is_split(pack.kind, &block, live, policy);
        }
    }
    whole
}

fn add(live_bytes: &mut [u32], copy: &CopyAt) {
    live_bytes[copy.block] = live_bytes[copy.block].saturating_add(copy.length);
}

/// Blocks that depend on each other in so long a chain are not written by accident; what is kept
/// is kept all the same.
const ROUNDS_COUNT_MAX: u32 = 32;
