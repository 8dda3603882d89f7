//! Lists of extents: built while a file is read, walked while it is restored.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::content::INLINE_EXTENTS_MAX;
use crate::format::content::ListNode;
use crate::format::content::ListReference;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::write::ChunkWriter;
use crate::units::to_u64;

/// A content being built. Holds one list node a level, however long the content is.
#[derive(Debug, Default)]
pub(crate) struct ContentBuilder {
    leaf: Vec<Extent>,
    levels: Vec<Vec<ListReference>>,
    extent_count: u64,
    bytes: u64,
}

impl ContentBuilder {
    /// Adds the next extent.
    pub(crate) fn push(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        extent: Extent,
    ) -> Result<(), RepoError> {
        self.extent_count += 1;
        self.bytes += extent.length();
        self.leaf.push(extent);
        let count = self.leaf.len();
        let border = match extent {
            Extent::Chunk { id, .. } => is_border(&id),
            Extent::Hole { .. } => false,
        };
        if count >= LEAF_COUNT_MAX || (count >= LEAF_COUNT_MIN && border) {
            self.store_leaf(writer)?;
        }
        Ok(())
    }

    /// How many bytes the extents cover so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many extents there are so far.
    pub(crate) const fn extent_count(&self) -> u64 {
        self.extent_count
    }

    /// The content.
    pub(crate) fn finish(self, writer: &mut ChunkWriter<'_>) -> Result<Content, RepoError> {
        if self.extent_count <= to_u64(INLINE_EXTENTS_MAX) {
            return Ok(Content::Inline(self.leaf));
        }
        let extents = self.extent_count;
        let (node, height) = self.finish_list(writer)?;
        Ok(Content::List { node, height, extents })
    }

    /// The content as a list, however short it is; there must be at least one extent.
    pub(crate) fn finish_list(
        mut self,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<(ChunkId, u8), RepoError> {
        if !self.leaf.is_empty() {
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

    fn store_leaf(&mut self, writer: &mut ChunkWriter<'_>) -> Result<(), RepoError> {
        let extents = std::mem::take(&mut self.leaf);
        let bytes = extents.iter().map(Extent::length).sum();
        let node = writer.write(&ListNode::Leaf(extents).encode())?;
        self.add_reference(writer, 0, ListReference { node, bytes })
    }

    fn add_reference(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        level: usize,
        reference: ListReference,
    ) -> Result<(), RepoError> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let references = &mut self.levels[level];
        references.push(reference);
        if references.len() >= CHILDREN_COUNT_MAX {
            return self.store_level(writer, level);
        }
        Ok(())
    }

    fn store_level(&mut self, writer: &mut ChunkWriter<'_>, level: usize) -> Result<(), RepoError> {
        let children = std::mem::take(&mut self.levels[level]);
        let bytes = children.iter().map(|child| child.bytes).sum();
        let node = writer.write(&ListNode::Internal(children).encode())?;
        self.add_reference(writer, level + 1, ListReference { node, bytes })
    }
}

/// Visits the extents of a content in order, holding one list node a level.
///
/// Errors: what a list node is damaged by, or what `visit` returned.
pub(crate) fn visit_extents<E: From<RepoError>>(
    reader: &ChunkReader,
    content: &Content,
    visit: &mut dyn FnMut(Extent) -> Result<(), E>,
) -> Result<(), E> {
    match content {
        Content::Inline(extents) => extents.iter().try_for_each(|extent| visit(*extent)),
        Content::List { node, height, .. } => visit_list(reader, node, *height, visit),
    }
}

fn visit_list<E: From<RepoError>>(
    reader: &ChunkReader,
    node: &ChunkId,
    height: u8,
    visit: &mut dyn FnMut(Extent) -> Result<(), E>,
) -> Result<(), E> {
    match read_list_node(reader, node, height)? {
        ListNode::Leaf(extents) => extents.iter().try_for_each(|extent| visit(*extent)),
        ListNode::Internal(children) => {
            for child in &children {
                visit_list(reader, &child.node, height.saturating_sub(1), visit)?;
            }
            Ok(())
        }
    }
}

/// Reads a list node; `height` says how many levels lie below it.
pub(crate) fn read_list_node(
    reader: &ChunkReader,
    id: &ChunkId,
    height: u8,
) -> Result<ListNode, RepoError> {
    use crate::format::FormatError;
    use crate::format::Rule;
    let wrong = |source| RepoError::TreeNode { chunk: *id, source };
    let node = ListNode::decode(&reader.read(PackKind::Tree, id)?).map_err(wrong)?;
    let is_leaf = matches!(node, ListNode::Leaf(_));
    if is_leaf == (height == 0) {
        return Ok(node);
    }
    Err(wrong(FormatError::new("list node", Rule::ContentExtent, u64::from(height))))
}

/// One chunk in 256 is a border: list nodes of two versions of a file agree where chunks do.
fn is_border(id: &ChunkId) -> bool {
    id.as_bytes()[0] == 0
}

const LEAF_COUNT_MIN: usize = 128;
const LEAF_COUNT_MAX: usize = 2048;
const CHILDREN_COUNT_MAX: usize = 1024;
