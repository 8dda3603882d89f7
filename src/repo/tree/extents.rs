//! The extents of a content one after the other, for whoever reads them beside something else.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::content::ListNode;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::content::read_list_node;
use std::vec::IntoIter;

/// Gives the extents of a content in order. Holds one list node a level.
#[derive(Debug)]
pub(crate) struct Extents<'a> {
    reader: &'a ChunkReader,
    leaf: IntoIter<Extent>,
    /// Nodes still to be read, by level, the lowest last; each with the levels below it.
    open: Vec<IntoIter<(ChunkId, u8)>>,
}

impl<'a> Extents<'a> {
    /// Those of a content.
    pub(crate) fn new(reader: &'a ChunkReader, content: &Content) -> Self {
        let (leaf, open) = match content {
            Content::Inline(extents) => (extents.clone().into_iter(), Vec::new()),
            Content::List { node, height, .. } => {
                (Vec::new().into_iter(), vec![vec![(*node, *height)].into_iter()])
            }
        };
        Self { reader, leaf, open }
    }

    /// The next extent; nothing after the last one.
    pub(crate) fn advance(&mut self) -> Result<Option<Extent>, RepoError> {
        loop {
            if let Some(extent) = self.leaf.next() {
                return Ok(Some(extent));
            }
            let Some(level) = self.open.last_mut() else { return Ok(None) };
            let Some((node, height)) = level.next() else {
                self.open.pop();
                continue;
            };
            match read_list_node(self.reader, &node, height)? {
                ListNode::Leaf(extents) => self.leaf = extents.into_iter(),
                ListNode::Internal(children) => {
                    let below = height.saturating_sub(1);
                    let children: Vec<_> =
                        children.iter().map(|child| (child.node, below)).collect();
                    self.open.push(children.into_iter());
                }
            }
        }
    }
}
