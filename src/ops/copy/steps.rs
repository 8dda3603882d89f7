//! A window: steps that build a tree, in their order, and the chunks that they wait for.

use crate::format::content::Extent;
use crate::format::tree::Owner;
use crate::format::tree::TreeEntry;
use crate::id::ChunkId;
use crate::ops::copy::known::NamedChunk;
use crate::repo::error::RepoError;
use crate::units::MIB;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// One step of building a tree.
#[derive(Debug)]
pub(crate) enum Step {
    /// A directory begins.
    Enter,
    /// It ends; the entry is its own, as the source has it.
    Leave { entry: TreeEntry, owner: Owner },
    /// An entry as it stands in the copy.
    Ready { entry: TreeEntry, owner: Owner },
    /// The next extents of the file that comes, as the source has them.
    Extents(Vec<Extent>),
    /// A file whose extents came before, as the source has it.
    File { entry: TreeEntry, owner: Owner, path: Vec<u8> },
}

/// The chunks of a window as the other repository names them.
pub(crate) type Named = HashMap<ChunkId, NamedChunk>;

/// Steps that wait for chunks.
#[derive(Debug, Default)]
pub(crate) struct Window {
    steps: Vec<Step>,
    extents_count: usize,
    wanted: Vec<ChunkId>,
    wanted_set: HashSet<ChunkId>,
    wanted_bytes: u64,
    named: Named,
    /// The file whose extents go on in the next window.
    pub(crate) path: Vec<u8>,
}

impl Window {
    /// Whether the window is to be settled before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.steps.len() >= STEPS_COUNT_MAX
            || self.extents_count >= EXTENTS_COUNT_MAX
            || self.wanted_bytes >= WANTED_BYTES_MAX
    }

    /// Adds a step.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Adds an extent of the file that comes.
    pub(crate) fn push_extent(&mut self, extent: Extent) {
        self.extents_count += 1;
        if let Some(Step::Extents(extents)) = self.steps.last_mut() {
            extents.push(extent);
        } else {
            self.steps.push(Step::Extents(vec![extent]));
        }
    }

    /// Whether a chunk has its name or is wanted already.
    pub(crate) fn has(&self, id: &ChunkId) -> bool {
        self.named.contains_key(id) || self.wanted_set.contains(id)
    }

    /// Wants a chunk.
    pub(crate) fn want(&mut self, id: ChunkId, length: u32) {
        self.wanted.push(id);
        self.wanted_set.insert(id);
        self.wanted_bytes += u64::from(length);
    }

    /// Notes what a chunk is named.
    pub(crate) fn note(&mut self, id: ChunkId, named: NamedChunk) {
        self.named.insert(id, named);
    }

    /// What is wanted, in the order in which it was.
    pub(crate) fn take_wanted(&mut self) -> Vec<ChunkId> {
        self.wanted_bytes = 0;
        self.wanted_set = HashSet::new();
        std::mem::take(&mut self.wanted)
    }

    /// The files that name one of these chunks, or one that is not as long as they say, and why
    /// that cannot be copied.
    pub(crate) fn damaged_paths(
        &self,
        damaged: Vec<(ChunkId, Arc<RepoError>)>,
    ) -> Vec<(Vec<u8>, Arc<RepoError>)> {
        let damaged: HashMap<ChunkId, Arc<RepoError>> = damaged.into_iter().collect();
        let wrong = |extent: &Extent| match extent {
            Extent::Hole { .. } => None,
            Extent::Chunk { id, length } => damaged.get(id).cloned().or_else(|| {
                let is_right = self.named.get(id).is_some_and(|named| named.length == *length);
                (!is_right).then(|| Arc::new(RepoError::UnknownChunk { chunk: *id }))
            }),
        };
        let mut paths = Vec::new();
        let mut error = None;
        for step in &self.steps {
            match step {
                Step::Extents(extents) => error = error.or_else(|| extents.iter().find_map(wrong)),
                Step::File { path, .. } => {
                    paths.extend(error.take().map(|error| (path.clone(), error)));
                }
                Step::Enter | Step::Leave { .. } | Step::Ready { .. } => {}
            }
        }
        paths.extend(error.map(|error| (self.path.clone(), error)));
        paths
    }

    /// The steps, whose chunks all have names now.
    pub(crate) fn take(&mut self) -> (Vec<Step>, Named) {
        let Self { steps, named, .. } = std::mem::take(self);
        (steps, named)
    }
}

const STEPS_COUNT_MAX: usize = 16_384;
const EXTENTS_COUNT_MAX: usize = 65_536;
/// Plaintext of chunks that are read together; never held in memory at one time.
const WANTED_BYTES_MAX: u64 = 128 * MIB;
