//! Marks everything that snapshots and checkpoints name, in bounded memory.
//! Spec: format-spec/07-tree.md; design: level by level, each batch sorted by where its nodes lie.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::content::ListNode;
use crate::format::gc::BaseCheckpoint;
use crate::format::gc::BaseSnapshot;
use crate::format::pack::PackKind;
use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::format::tree::TreeNode;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::gc::live::LiveChunks;
use crate::repo::gc::live::Marked;
use crate::repo::gc::live::MarkedAs;
use crate::repo::gc::pulse::Pulse;
use crate::repo::history::LiveSnapshot;
use crate::repo::index::BlockHandle;
use crate::repo::read::ChunkReader;
use crate::repo::tree::content::read_list_node;

/// Walks trees and lists of extents; every node once.
pub(crate) struct Marker<'a> {
    reader: &'a ChunkReader,
    live: &'a mut LiveChunks,
    pulse: Pulse<'a>,
    /// Nodes that are marked and not yet read.
    pending: Vec<Pending>,
    /// Chunks that are not yet marked: sorted before, so that the index is read in order.
    chunks: Vec<ChunkId>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    id: ChunkId,
    height: u8,
    names: Names,
}

/// What a node names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Entries of a directory.
    Entries,
    /// Extents.
    Extents,
}

impl<'a> Marker<'a> {
    /// A marker that adds to `live`, whose runs are those of the reader's index.
    pub(crate) fn new(reader: &'a ChunkReader, live: &'a mut LiveChunks, pulse: Pulse<'a>) -> Self {
        Self { reader, live, pulse, pending: Vec::new(), chunks: Vec::new() }
    }

    /// Marks what a snapshot names, with those added before, once [`Self::finish`] runs.
    pub(crate) fn add_snapshot(&mut self, snapshot: &BaseSnapshot) -> Result<(), RepoError> {
        self.pulse.beat()?;
        let manifest = LiveSnapshot::from(snapshot.clone()).manifest(&self.reader.repository)?;
        let Some((node, height)) = manifest.root() else { return Ok(()) };
        self.push(node, height, Names::Entries)
    }

    /// Marks what a checkpoint keeps: its lists, and the chunks that they name.
    pub(crate) fn add_checkpoint(&mut self, checkpoint: &BaseCheckpoint) -> Result<(), RepoError> {
        for root in &checkpoint.roots {
            self.push(root.node, root.height, Names::Extents)?;
        }
        Ok(())
    }

    /// Reads every node that was reached, and marks what it names.
    pub(crate) fn finish(mut self) -> Result<(), RepoError> {
        while !self.pending.is_empty() {
            // A level at a time while that is small; else depth first, so that it stays small.
            let count = if self.pending.len() > PENDING_COUNT_MAX {
                BATCH_COUNT_MIN
            } else {
                self.pending.len()
            };
            let rest = self.pending.len() - count;
            let mut batch = self.pending.split_off(rest);
            let mut looked_up = 0_usize;
            batch.sort_by_cached_key(|pending| {
                self.release_after(&mut looked_up, LOOKUPS_COUNT_MAX);
                self.place_of(pending)
            });
            for pending in batch {
                self.pulse.beat()?;
                self.release_after(&mut looked_up, LOOKUPS_COUNT_MAX);
                self.expand(pending)?;
            }
        }
        self.flush_chunks()
    }

    /// Counts, and gives pages of the index back whenever so many chunks were looked up.
    fn release_after(&self, count: &mut usize, count_max: usize) {
        *count += 1;
        if *count >= count_max {
            self.live.release();
            *count = 0;
        }
    }

    fn place_of(&self, pending: &Pending) -> Option<(BlockHandle, u32)> {
        let place = self.reader.index.find(&pending.id)?;
        Some((place.block, place.offset))
    }

    fn expand(&mut self, pending: Pending) -> Result<(), RepoError> {
        let Pending { id, height, names } = pending;
        match names {
            Names::Entries => self.expand_tree(id, height),
            Names::Extents => match read_list_node(self.reader, &id, height)? {
                ListNode::Leaf(extents) => self.push_extents(&extents),
                ListNode::Internal(children) => children.iter().try_for_each(|child| {
                    self.push(child.node, height.saturating_sub(1), Names::Extents)
                }),
            },
        }
    }

    fn expand_tree(&mut self, id: ChunkId, height: u8) -> Result<(), RepoError> {
        let bytes = self.reader.read(PackKind::Tree, &id)?;
        let wrong = |source| RepoError::TreeNode { chunk: id, source };
        match (TreeNode::decode(&bytes).map_err(wrong)?, height) {
            (TreeNode::Leaf(leaf), 0) => self.push_entries(leaf.entries),
            (TreeNode::Internal(children), 1..) => children
                .into_iter()
                .try_for_each(|child| self.push(child.node, height - 1, Names::Entries)),
            (TreeNode::Leaf(_) | TreeNode::Internal(_), _) => Err(wrong(wrong_height(height))),
        }
    }

    fn push_entries(
        &mut self,
        entries: Vec<crate::format::tree::TreeEntry>,
    ) -> Result<(), RepoError> {
        // Listings inside of listings: no recursion, since a forged one may go deep.
        let mut open = vec![entries];
        while let Some(entries) = open.pop() {
            for entry in entries {
                match entry.node {
                    EntryKind::Directory(directory) => match directory.listing {
                        Listing::Node { node, height } => {
                            self.push(node, height, Names::Entries)?;
                        }
                        Listing::Inline(bytes) => open.push(inline_entries(&bytes)?),
                    },
                    EntryKind::File(file) => match file.content {
                        Content::Inline(extents) => self.push_extents(&extents)?,
                        Content::List { node, height, .. } => {
                            self.push(node, height, Names::Extents)?;
                        }
                    },
                    EntryKind::Symlink { .. }
                    | EntryKind::Fifo
                    | EntryKind::Socket
                    | EntryKind::CharacterDevice(_)
                    | EntryKind::BlockDevice(_) => {}
                }
            }
        }
        Ok(())
    }

    fn push_extents(&mut self, extents: &[Extent]) -> Result<(), RepoError> {
        self.chunks.extend(extents.iter().filter_map(|extent| match extent {
            Extent::Chunk { id, .. } => Some(*id),
            Extent::Hole { .. } => None,
        }));
        if self.chunks.len() >= CHUNKS_COUNT_MAX { self.flush_chunks() } else { Ok(()) }
    }

    fn flush_chunks(&mut self) -> Result<(), RepoError> {
        self.chunks.sort_unstable();
        self.chunks.dedup();
        let mut marked = 0;
        let mut chunks = std::mem::take(&mut self.chunks);
        for id in chunks.drain(..) {
            self.release_after(&mut marked, IN_ORDER_COUNT_MAX);
            if self.live.mark(&id, MarkedAs::Bytes) == Marked::Unknown {
                return Err(RepoError::UnknownChunk { chunk: id });
            }
        }
        self.chunks = chunks;
        Ok(())
    }

    fn push(&mut self, id: ChunkId, height: u8, names: Names) -> Result<(), RepoError> {
        let marked = match names {
            Names::Entries => MarkedAs::Tree,
            Names::Extents => MarkedAs::List,
        };
        match self.live.mark(&id, marked) {
            Marked::First => self.pending.push(Pending { id, height, names }),
            Marked::Again => {}
            Marked::Unknown => return Err(RepoError::UnknownChunk { chunk: id }),
        }
        Ok(())
    }
}

fn inline_entries(bytes: &[u8]) -> Result<Vec<crate::format::tree::TreeEntry>, RepoError> {
    let nowhere = ChunkId::new([0; 32]);
    let wrong = |source| RepoError::TreeNode { chunk: nowhere, source };
    match TreeNode::decode(bytes).map_err(wrong)? {
        TreeNode::Leaf(leaf) => Ok(leaf.entries),
        TreeNode::Internal(_) => Err(wrong(wrong_height(0))),
    }
}

fn wrong_height(height: u8) -> crate::format::FormatError {
    use crate::format::FormatError;
    use crate::format::Rule;
    FormatError::new("tree node", Rule::TreeHeight, u64::from(height))
}

/// Nodes that may wait before the walk goes depth first: 40 MiB of them.
const PENDING_COUNT_MAX: usize = 1 << 20;
const BATCH_COUNT_MIN: usize = 64;
/// Chunks in the order of the index that may be looked up before its pages are given back.
const IN_ORDER_COUNT_MAX: usize = 1 << 17;
/// Chunks anywhere in the index: each brings 64 KiB of pages or more.
const LOOKUPS_COUNT_MAX: usize = 128;
/// Chunks that are sorted at once: 64 MiB of names.
const CHUNKS_COUNT_MAX: usize = 1 << 21;
