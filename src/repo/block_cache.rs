//! Blocks that were opened lately.

use crate::repo::index::BlockHandle;
use crate::repo::read::OpenBlock;
use std::collections::HashMap;
use std::sync::Arc;

/// Keeps plaintexts of blocks up to a number of bytes; the one that was longest not asked for goes
/// first.
#[derive(Debug)]
pub(crate) struct BlockCache {
    bytes_max: usize,
    held_bytes: usize,
    blocks: HashMap<BlockHandle, Held>,
    /// How often a block was asked for or kept.
    moment: u64,
    /// Memory of blocks that were dropped: given back to the allocator by whichever thread drops it
    /// and taken by another, it would lie about in pieces.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Held {
    block: OpenBlock,
    used: u64,
}

impl BlockCache {
    /// An empty cache.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (blocks, spare) = (HashMap::new(), Vec::new());
        Self { bytes_max, held_bytes: 0, blocks, moment: 0, spare }
    }

    /// A block that is kept.
    pub(crate) fn find(&mut self, handle: BlockHandle) -> Option<OpenBlock> {
        self.moment += 1;
        let held = self.blocks.get_mut(&handle)?;
        held.used = self.moment;
        Some(held.block.clone())
    }

    /// Memory that a block was in, or none.
    pub(crate) fn take_spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps a block, and drops others if there is no room.
    pub(crate) fn keep(&mut self, handle: BlockHandle, block: &OpenBlock) {
        self.moment += 1;
        let held = Held { block: block.clone(), used: self.moment };
        if self.blocks.insert(handle, held).is_none() {
            self.held_bytes += block.plaintext.capacity();
        }
        while self.held_bytes > self.bytes_max {
            let oldest = self.blocks.iter().min_by_key(|(_handle, held)| held.used);
            let Some((&oldest, _held)) = oldest else { break };
            if let Some(Held { block, .. }) = self.blocks.remove(&oldest) {
                self.held_bytes -= block.plaintext.capacity();
                let is_usual = block.plaintext.capacity() <= SPARE_BYTES_MAX;
                if is_usual && self.spare.len() < SPARE_COUNT_MAX {
                    self.spare.extend(Arc::into_inner(block.plaintext));
                }
            }
        }
    }
}

const SPARE_COUNT_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 8 * 1_048_576;
