//! File content: extents, inline or in lists that are stored as tree chunks.
//! Spec: format-spec/07-tree.md, "Content".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::id::ChunkId;
use crate::units::to_u64;

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// At most [`INLINE_EXTENTS_MAX`] extents in order.
    Inline(Vec<Extent>),
    /// A list of extents in tree chunks.
    List {
        /// The top list node's chunk.
        node: ChunkId,
        /// Levels below the top node (0: it is a leaf).
        height: u8,
        /// How many extents there are in all; more than [`INLINE_EXTENTS_MAX`].
        extents: u64,
    },
}

/// A run of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Extent {
    /// A stored chunk.
    Chunk {
        /// Its name.
        id: ChunkId,
        /// Its length in bytes, 1 to [`CHUNK_BYTES_MAX`].
        length: u32,
    },
    /// Zeros that are not stored.
    Hole {
        /// How many, at least 1.
        length: u64,
    },
}

/// A piece of a list of extents.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ListNode {
    /// Extents in order.
    Leaf(Vec<Extent>),
    /// Nodes in order.
    Internal(Vec<ListReference>),
}

/// A list node below another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ListReference {
    /// The node's chunk.
    pub node: ChunkId,
    /// How many bytes of the file its extents cover.
    pub bytes: u64,
}

impl Extent {
    /// How many bytes of the file it covers.
    pub fn length(&self) -> u64 {
        match self {
            Self::Chunk { length, .. } => u64::from(*length),
            Self::Hole { length } => *length,
        }
    }

    fn is_valid(&self) -> bool {
        match self {
            Self::Chunk { length, .. } => (1..=CHUNK_BYTES_MAX).contains(length),
            Self::Hole { length } => *length > 0,
        }
    }
}

impl Content {
    /// Checks the rules that need no other object; returns how many extents there are.
    pub(crate) fn check(&self, size: u64) -> Result<u64, Rule> {
        match self {
            Self::Inline(extents) => {
                if extents.len() > INLINE_EXTENTS_MAX || !extents.iter().all(Extent::is_valid) {
                    return Err(Rule::ContentExtent);
                }
                if total_length(extents) != Some(size) {
                    return Err(Rule::ContentSize);
                }
                Ok(to_u64(extents.len()))
            }
            Self::List { height, extents, .. } => {
                if *height > LIST_HEIGHT_MAX || *extents <= to_u64(INLINE_EXTENTS_MAX) {
                    return Err(Rule::ContentExtent);
                }
                Ok(*extents)
            }
        }
    }
}

impl ListNode {
    /// Encodes the node: the plaintext of one tree chunk.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a node and checks every rule that needs no other object.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let wrong = |rule| FormatError::new("list node", rule, 0);
        if bytes.len() > LIST_NODE_BYTES_MAX {
            return Err(wrong(Rule::ListNodeTooLong));
        }
        let node = decode::<Self, LIST_NODE_MEMORY_MAX>("list node", bytes)?;
        let valid = match &node {
            Self::Leaf(extents) => {
                !extents.is_empty()
                    && extents.iter().all(Extent::is_valid)
                    && total_length(extents).is_some()
            }
            Self::Internal(children) => {
                !children.is_empty() && children.iter().all(|child| child.bytes > 0)
            }
        };
        if valid { Ok(node) } else { Err(wrong(Rule::ContentExtent)) }
    }
}

/// The sum of the lengths, if 64 bits hold it.
pub fn total_length(extents: &[Extent]) -> Option<u64> {
    extents.iter().try_fold(0_u64, |sum, extent| sum.checked_add(extent.length()))
}

/// Longest chunk.
pub const CHUNK_BYTES_MAX: u32 = 16 * 1_048_576;
/// Most extents that stand in the file's entry.
pub const INLINE_EXTENTS_MAX: usize = 8;
/// Most levels below the top list node.
pub const LIST_HEIGHT_MAX: u8 = 8;
/// Longest encoded list node.
pub const LIST_NODE_BYTES_MAX: usize = 262_144;
/// Most memory that decoding one list node may take.
const LIST_NODE_MEMORY_MAX: usize = 4 * 1_048_576;
