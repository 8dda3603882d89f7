//! Builds the nodes of one directory, entry by entry in the order of their names.

use crate::crypto::hash::blake3;
use crate::format::codec;
use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::INLINE_LISTING_BYTES_MAX;
use crate::format::tree::Leaf;
use crate::format::tree::Listing;
use crate::format::tree::NodeReference;
use crate::format::tree::Owner;
use crate::format::tree::Totals;
use crate::format::tree::TreeEntry;
use crate::format::tree::TreeNode;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::write::ChunkWriter;
use std::collections::HashMap;

/// A directory being built. Holds one node a level, however large the directory is.
#[derive(Debug, Default)]
pub(crate) struct DirectoryBuilder {
    leaf: Leaf,
    leaf_bytes: usize,
    owners: HashMap<Owner, u32>,
    levels: Vec<Vec<NodeReference>>,
    totals: Totals,
    scratch: Vec<u8>,
}

impl DirectoryBuilder {
    /// Adds the next entry; `entry.metadata.owner` is set here.
    pub(crate) fn push(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        mut entry: TreeEntry,
        owner: &Owner,
    ) -> Result<(), RepoError> {
        self.totals = self.totals.plus(totals_of(&entry.node));
        entry.metadata.owner = self.owner_number(owner);
        self.scratch.clear();
        codec::encode_into(&entry, &mut self.scratch);
        self.leaf_bytes += self.scratch.len();
        let cut = self.leaf_bytes >= LEAF_BYTES_MAX
            || (self.leaf_bytes >= LEAF_BYTES_MIN && is_border(&entry.name));
        self.leaf.entries.push(entry);
        if cut { self.store_leaf(writer) } else { Ok(()) }
    }

    /// The directory's listing and totals.
    pub(crate) fn finish(
        mut self,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<DirectoryEntry, RepoError> {
        let totals = self.totals;
        if self.levels.is_empty() {
            let bytes = TreeNode::Leaf(self.leaf).encode();
            let listing = if bytes.len() <= INLINE_LISTING_BYTES_MAX {
                Listing::Inline(bytes)
            } else {
                Listing::Node { node: writer.write(&bytes)?, height: 0 }
            };
            return Ok(DirectoryEntry { listing, totals });
        }
        let (node, height) = self.store_top(writer)?;
        Ok(DirectoryEntry { listing: Listing::Node { node, height }, totals })
    }

    /// As [`Self::finish`], for the top of a snapshot, which is always a node of its own.
    pub(crate) fn finish_root(
        mut self,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<(ChunkId, u8, Totals), RepoError> {
        let totals = self.totals;
        let (node, height) = self.store_top(writer)?;
        Ok((node, height, totals))
    }

    fn owner_number(&mut self, owner: &Owner) -> u32 {
        if let Some(number) = self.owners.get(owner) {
            return *number;
        }
        let number = crate::units::to_u32(self.leaf.owners.len());
        self.leaf.owners.push(owner.clone());
        self.owners.insert(owner.clone(), number);
        number
    }

    fn store_leaf(&mut self, writer: &mut ChunkWriter<'_>) -> Result<(), RepoError> {
        let leaf = std::mem::take(&mut self.leaf);
        self.leaf_bytes = 0;
        self.owners.clear();
        let last_name = leaf.entries.last().map(|entry| entry.name.clone()).unwrap_or_default();
        let node = writer.write(&TreeNode::Leaf(leaf).encode())?;
        self.add_reference(writer, 0, NodeReference { last_name, node })
    }

    fn add_reference(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        level: usize,
        reference: NodeReference,
    ) -> Result<(), RepoError> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let border = is_border(reference.node.as_bytes());
        let references = &mut self.levels[level];
        references.push(reference);
        let count = references.len();
        if count < CHILDREN_COUNT_MAX && !(count >= CHILDREN_COUNT_MIN && border) {
            return Ok(());
        }
        self.store_level(writer, level)
    }

    fn store_level(&mut self, writer: &mut ChunkWriter<'_>, level: usize) -> Result<(), RepoError> {
        let children = std::mem::take(&mut self.levels[level]);
        let last_name = children.last().map(|child| child.last_name.clone()).unwrap_or_default();
        let node = writer.write(&TreeNode::Internal(children).encode())?;
        self.add_reference(writer, level + 1, NodeReference { last_name, node })
    }

    /// Stores everything that is open; returns the top node and the levels below it.
    fn store_top(&mut self, writer: &mut ChunkWriter<'_>) -> Result<(ChunkId, u8), RepoError> {
        if self.levels.is_empty() {
            let bytes = TreeNode::Leaf(std::mem::take(&mut self.leaf)).encode();
            return Ok((writer.write(&bytes)?, 0));
        }
        if !self.leaf.entries.is_empty() {
            self.store_leaf(writer)?;
        }
        let mut level = 0;
        loop {
            let is_top = level + 1 == self.levels.len();
            if is_top && self.levels[level].len() == 1 {
                let height = u8::try_from(level).unwrap_or(u8::MAX);
                return Ok((self.levels[level][0].node, height));
            }
            if !self.levels[level].is_empty() {
                self.store_level(writer, level)?;
            }
            level += 1;
        }
    }
}

/// What an entry adds to the totals of the directory that holds it.
pub(crate) fn totals_of(node: &EntryKind) -> Totals {
    match node {
        EntryKind::File(file) => Totals { files: 1, bytes: file.size, ..Totals::default() },
        EntryKind::Directory(directory) => {
            directory.totals.plus(Totals { directories: 1, ..Totals::default() })
        }
        EntryKind::Symlink { .. }
        | EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice(_)
        | EntryKind::BlockDevice(_) => Totals { others: 1, ..Totals::default() },
    }
}

/// Whether a node may end behind this name: depends on the name alone, so that a change moves
/// few borders.
fn is_border(name: &[u8]) -> bool {
    let hash = blake3(name);
    u16::from_le_bytes([hash[0], hash[1]]) & BORDER_MASK == 0
}

const LEAF_BYTES_MIN: usize = 16_384;
const LEAF_BYTES_MAX: usize = 196_608;
const CHILDREN_COUNT_MIN: usize = 64;
const CHILDREN_COUNT_MAX: usize = 1024;
/// One name in 256 is a border.
const BORDER_MASK: u16 = 0x00ff;
