//! The index: which block of which pack holds a chunk. Spec: format-spec/06-index.md.

pub(crate) mod bytes;
pub(crate) mod load;
pub(crate) mod lost;
mod merge;
pub(crate) mod order;
pub(crate) mod run;

use crate::format::index::IndexedPack;
use crate::format::layout::PackRef;
use crate::id::ChunkId;
use crate::repo::index::run::Run;
use crate::repo::index::run::RunBlock;
use crate::repo::index::run::RunLocation;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Where a chunk is: a block of one of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockHandle {
    /// Which run.
    pub(crate) run: u32,
    /// Which block of it.
    pub(crate) block: u32,
}

/// A chunk's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) block: BlockHandle,
    /// Where it begins in the block's plaintext.
    pub(crate) offset: u32,
    /// Its length.
    pub(crate) length: u32,
}

/// Runs that count, without the packs that are condemned.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// A run keeps its number for ever; one that no longer counts leaves its place empty.
    runs: RwLock<Vec<Option<Arc<Run>>>>,
    condemned: RwLock<HashSet<PackRef>>,
    has_gaps: AtomicBool,
}

impl Index {
    /// An index of these runs.
    pub(crate) fn new(runs: Vec<Arc<Run>>, condemned: HashSet<PackRef>) -> Self {
        let runs = RwLock::new(runs.into_iter().map(Some).collect());
        Self { runs, condemned: RwLock::new(condemned), has_gaps: AtomicBool::new(false) }
    }

    /// Replaces everything that counts by what counts in `newer`.
    pub(crate) fn replace(&self, newer: Self) {
        let newer_runs = newer.runs();
        self.has_gaps.fetch_or(newer.has_gaps(), Ordering::Relaxed);
        if let (Ok(mut runs), Ok(mut condemned)) = (self.runs.write(), self.condemned.write()) {
            runs.iter_mut().for_each(|run| *run = None);
            runs.extend(newer_runs.into_iter().map(Some));
            *condemned = newer.condemned.into_inner().unwrap_or_default();
        }
    }

    /// Leaves packs out that are not stored as the runs have them.
    pub(crate) fn leave_out(&self, is_stored: impl Fn(&IndexedPack) -> bool) {
        let runs = self.runs();
        let lost = runs.iter().flat_map(|run| run.packs()).filter(|pack| !is_stored(pack));
        if let Ok(mut condemned) = self.condemned.write() {
            let before = condemned.len();
            condemned.extend(lost.map(IndexedPack::reference));
            self.has_gaps.fetch_or(condemned.len() > before, Ordering::Relaxed);
        }
    }

    /// Whether packs were left out: a chunk that is stored may name some that are not.
    pub(crate) fn has_gaps(&self) -> bool {
        self.has_gaps.load(Ordering::Relaxed)
    }

    /// Adds the run of a segment that this process stored.
    pub(crate) fn add(&self, run: Arc<Run>) {
        if let Ok(mut runs) = self.runs.write() {
            runs.push(Some(run));
        }
    }

    /// Whether a chunk is stored in a pack that stays.
    pub(crate) fn contains(&self, id: &ChunkId) -> bool {
        self.find_where(id, |_run, _place| true).is_some()
    }

    /// A place of a chunk.
    pub(crate) fn find(&self, id: &ChunkId) -> Option<ChunkPlace> {
        self.find_where(id, |_run, _place| true)
    }

    /// A place of a chunk in a block that is no delta.
    pub(crate) fn find_plain(&self, id: &ChunkId) -> Option<ChunkPlace> {
        use crate::format::block::BlockCodec;
        self.find_where(id, |run, place| {
            run.block(place.block)
                .is_some_and(|block| matches!(block.codec, BlockCodec::Raw | BlockCodec::Zstd))
        })
    }

    /// Every place of a chunk.
    pub(crate) fn find_all(&self, id: &ChunkId) -> Vec<ChunkPlace> {
        let mut places = Vec::new();
        let Ok(runs) = self.runs.read() else { return places };
        for (number, run) in runs.iter().enumerate() {
            let Some(run) = run else { continue };
            let here = run.locations(id).filter(|place| self.counts(run, place.block));
            places.extend(here.map(|place| chunk_place(number, place)));
        }
        places
    }

    /// What is known of a block, with its run for the pack's data.
    pub(crate) fn block(&self, handle: BlockHandle) -> Option<(Arc<Run>, RunBlock)> {
        let runs = self.runs.read().ok()?;
        let run = runs.get(crate::units::to_usize32(handle.run))?.clone()?;
        drop(runs);
        let block = run.block(handle.block)?;
        Some((run, block))
    }

    /// The runs.
    pub(crate) fn runs(&self) -> Vec<Arc<Run>> {
        let runs = self.runs.read();
        runs.map(|runs| runs.iter().flatten().cloned().collect()).unwrap_or_default()
    }

    fn find_where(
        &self,
        id: &ChunkId,
        accept: impl Fn(&Run, RunLocation) -> bool,
    ) -> Option<ChunkPlace> {
        let runs = self.runs.read().ok()?;
        for (number, run) in runs.iter().enumerate() {
            let Some(run) = run else { continue };
            let found = run
                .locations(id)
                .find(|place| self.counts(run, place.block) && accept(run, *place));
            if let Some(place) = found {
                return Some(chunk_place(number, place));
            }
        }
        None
    }

    fn counts(&self, run: &Run, block: u32) -> bool {
        let Ok(condemned) = self.condemned.read() else { return false };
        if condemned.is_empty() {
            return true;
        }
        let pack = run.block(block).and_then(|block| {
            run.packs().get(crate::units::to_usize32(block.pack)).map(IndexedPack::reference)
        });
        pack.is_some_and(|pack| !condemned.contains(&pack))
    }
}

fn chunk_place(run: usize, place: RunLocation) -> ChunkPlace {
    let RunLocation { block, offset, length } = place;
    ChunkPlace { block: BlockHandle { run: crate::units::to_u32(run), block }, offset, length }
}
