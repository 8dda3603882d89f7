//! A run in the order of its packs: what the directory of each pack should say.

use crate::format::block::BlockEntry;
use crate::format::block::ChunkEntry;
use crate::repo::index::run::Run;
use crate::units::to_u32;
use crate::units::to_usize32;

/// Where the chunks of each block are in a run's sorted list. Takes 4 bytes a chunk.
#[derive(Debug)]
pub(crate) struct RunOrder {
    /// Indexes of chunks, sorted by place.
    chunks: Vec<u32>,
    /// For each pack its first block, and the number of blocks at the end.
    first_blocks: Vec<u32>,
}

impl RunOrder {
    /// Sorts a run. O(n log n) in its chunks.
    pub(crate) fn new(run: &Run) -> Self {
        let mut chunks: Vec<u32> = (0..to_u32(run.chunk_count())).collect();
        let place = |index: &u32| run.chunk_at(to_usize32(*index)).map(|(_id, place)| place);
        chunks.sort_unstable_by_key(place);
        let block_count = to_u32(run.block_count());
        let mut first_blocks = vec![block_count; run.packs().len() + 1];
        for number in (0..block_count).rev() {
            if let Some(block) = run.block(number)
                && let Some(first) = first_blocks.get_mut(to_usize32(block.pack))
            {
                *first = number;
            }
        }
        Self { chunks, first_blocks }
    }

    /// The blocks of a pack, in order.
    pub(crate) fn blocks_of(&self, run: &Run, pack: usize) -> Vec<BlockEntry> {
        let Some(&first) = self.first_blocks.get(pack) else { return Vec::new() };
        (first..to_u32(run.block_count()))
            .map_while(|number| self.block_of(run, pack, number))
            .collect()
    }

    fn block_of(&self, run: &Run, pack: usize, number: u32) -> Option<BlockEntry> {
        let block = run.block(number).filter(|block| to_usize32(block.pack) == pack)?;
        let place = |index: &u32| run.chunk_at(to_usize32(*index)).map(|(_id, place)| place.block);
        let start = self.chunks.partition_point(|index| place(index) < Some(number));
        let chunks = self.chunks[start..]
            .iter()
            .map_while(|index| run.chunk_at(to_usize32(*index)))
            .take_while(|(_id, place)| place.block == number)
            .map(|(id, place)| ChunkEntry { id, length: place.length })
            .collect();
        let stored = block.range.end.saturating_sub(block.range.start);
        Some(BlockEntry {
            stored_length: u32::try_from(stored).unwrap_or(u32::MAX),
            raw_length: block.raw_length,
            codec: block.codec,
            origin: block.origin,
            chunks,
        })
    }
}
