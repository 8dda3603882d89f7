//! Reads the entries of directories in order, holding one node a level.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::pack::PackKind;
use crate::format::tree::Leaf;
use crate::format::tree::Listing;
use crate::format::tree::NodeReference;
use crate::format::tree::Owner;
use crate::format::tree::TreeEntry;
use crate::format::tree::TreeNode;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::units::to_usize32;
use std::sync::Arc;

/// The entries of one directory, in the order of their names.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    reader: &'a ChunkReader,
    /// Nodes still to read, the next one last.
    open: Vec<OpenNode>,
    owners: Arc<Vec<Owner>>,
    loaded: std::vec::IntoIter<TreeEntry>,
    /// Every name and last name still to come is greater.
    last_name: Option<Vec<u8>>,
    /// Chunk that the entries came from, for messages.
    current: ChunkId,
    failed: bool,
}

#[derive(Debug)]
struct OpenNode {
    node: ChunkId,
    height: u8,
    /// The last name below it, as the node above says.
    last_name: Option<Vec<u8>>,
}

/// An entry with its owner.
#[derive(Debug, Clone)]
pub(crate) struct OwnedEntry {
    pub(crate) entry: TreeEntry,
    owners: Arc<Vec<Owner>>,
}

impl OwnedEntry {
    /// Who owned it.
    pub(crate) fn owner(&self) -> Owner {
        let number = to_usize32(self.entry.metadata.owner);
        self.owners.get(number).cloned().unwrap_or(Owner {
            user_id: 0,
            group_id: 0,
            user_name: Vec::new(),
            group_name: Vec::new(),
        })
    }
}

impl<'a> Entries<'a> {
    /// The entries below a node.
    pub(crate) fn of_node(reader: &'a ChunkReader, node: ChunkId, height: u8) -> Self {
        Self {
            reader,
            open: vec![OpenNode { node, height, last_name: None }],
            owners: Arc::default(),
            loaded: Vec::new().into_iter(),
            last_name: None,
            current: node,
            failed: false,
        }
    }

    /// The entries of a listing.
    ///
    /// Errors if an inline listing breaks the format.
    pub(crate) fn of_listing(
        reader: &'a ChunkReader,
        listing: &Listing,
    ) -> Result<Self, RepoError> {
        match listing {
            Listing::Node { node, height } => Ok(Self::of_node(reader, *node, *height)),
            Listing::Inline(bytes) => {
                let nowhere = ChunkId::new([0; 32]);
                let wrong = |source| RepoError::TreeNode { chunk: nowhere, source };
                let TreeNode::Leaf(leaf) = TreeNode::decode(bytes).map_err(wrong)? else {
                    let source = FormatError::new("inline listing", Rule::TreeHeight, 0);
                    return Err(wrong(source));
                };
                let mut entries = Self::of_node(reader, nowhere, 0);
                entries.open.clear();
                entries.load(leaf);
                Ok(entries)
            }
        }
    }

    fn load(&mut self, leaf: Leaf) {
        self.owners = Arc::new(leaf.owners);
        self.loaded = leaf.entries.into_iter();
    }

    fn step(&mut self) -> Result<Option<TreeEntry>, RepoError> {
        loop {
            if let Some(entry) = self.loaded.next() {
                let sorted = self.last_name.as_ref().is_none_or(|last| *last < entry.name);
                if !sorted {
                    return Err(self.wrong(Rule::TreeOrder));
                }
                self.last_name = Some(entry.name.clone());
                return Ok(Some(entry));
            }
            let Some(next) = self.open.pop() else { return Ok(None) };
            self.current = next.node;
            if let Err(error) = self.open_node(&next) {
                if next.last_name.is_some() {
                    self.last_name = next.last_name;
                }
                return Err(error);
            }
        }
    }

    /// Reads a node; checks that its names lie behind those before it and end where they should.
    ///
    /// Every node moves `last_name` on, so that a node cannot stand in a directory twice: a forged
    /// one would hold more entries than anybody can walk.
    fn open_node(&mut self, next: &OpenNode) -> Result<(), RepoError> {
        let OpenNode { node, height, last_name } = next;
        let bytes = self.reader.read(PackKind::Tree, node)?;
        let decoded = TreeNode::decode(&bytes)
            .map_err(|source| RepoError::TreeNode { chunk: *node, source })?;
        let (first, last) = match &decoded {
            TreeNode::Leaf(leaf) => {
                let name = |entry: &TreeEntry| entry.name.clone();
                (leaf.entries.first().map(name), leaf.entries.last().map(name))
            }
            TreeNode::Internal(children) => {
                let name = |child: &NodeReference| child.last_name.clone();
                (children.first().map(name), children.last().map(name))
            }
        };
        let behind = self.last_name.is_none() || first > self.last_name;
        if !behind || (last_name.is_some() && last != *last_name) {
            return Err(self.wrong(Rule::TreeOrder));
        }
        match (decoded, *height) {
            (TreeNode::Leaf(leaf), 0) => self.load(leaf),
            (TreeNode::Internal(children), 1..) => {
                let below = |child: NodeReference| OpenNode {
                    node: child.node,
                    height: *height - 1,
                    last_name: Some(child.last_name),
                };
                self.open.extend(children.into_iter().rev().map(below));
            }
            (TreeNode::Leaf(_) | TreeNode::Internal(_), _) => {
                return Err(self.wrong(Rule::TreeHeight));
            }
        }
        Ok(())
    }

    fn wrong(&self, rule: Rule) -> RepoError {
        let source = FormatError::new("tree node", rule, 0);
        RepoError::TreeNode { chunk: self.current, source }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<OwnedEntry, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.step() {
            Ok(None) => None,
            Ok(Some(entry)) => Some(Ok(OwnedEntry { entry, owners: Arc::clone(&self.owners) })),
            Err(error) => {
                // What lies behind a damaged node is still there: go on with the next node. Names
                // out of order are no accident, and a node that repeats could go on for ever.
                let forged = matches!(&error, RepoError::TreeNode { source, .. }
                    if source.rule == Rule::TreeOrder);
                self.failed = forged || self.open.is_empty();
                self.loaded = Vec::new().into_iter();
                Some(Err(error))
            }
        }
    }
}
