//! Tree nodes: pieces of directory listings. Spec: format-spec/07-tree.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::content::Content;
use crate::id::ChunkId;
use crate::id::Digest;
use crate::units::to_u64;

/// A piece of a directory: entries sorted by name, or the nodes below.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TreeNode {
    /// Entries of the directory.
    Leaf(Leaf),
    /// Nodes of the same directory, sorted by name.
    Internal(Vec<NodeReference>),
}

/// The entries of a leaf node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Leaf {
    /// The owners that the entries name by their place in this list.
    pub owners: Vec<Owner>,
    /// Sorted by name, bytewise; names are unique.
    pub entries: Vec<TreeEntry>,
}

/// A node of the same directory below an internal node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NodeReference {
    /// The last name below the node.
    pub last_name: Vec<u8>,
    /// The node's chunk.
    pub node: ChunkId,
}

/// Who owns an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Owner {
    /// Numeric user.
    pub user_id: u32,
    /// Numeric group.
    pub group_id: u32,
    /// Name of the user on the host that was backed up; empty if it had none.
    pub user_name: Vec<u8>,
    /// Name of the group; empty if it had none.
    pub group_name: Vec<u8>,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TreeEntry {
    /// 1 to 255 bytes without `/` and NUL; not `.` or `..`. Not necessarily UTF-8.
    pub name: Vec<u8>,
    /// What the name stands for.
    pub node: EntryKind,
    /// What every kind of entry has.
    pub metadata: Metadata,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum EntryKind {
    /// A regular file.
    File(FileEntry),
    /// A directory.
    Directory(DirectoryEntry),
    /// A symbolic link.
    Symlink {
        /// Where it points; not empty, no NUL.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

impl EntryKind {
    /// The content, if it is a regular file.
    pub const fn file(&self) -> Option<&FileEntry> {
        match self {
            Self::File(file) => Some(file),
            Self::Directory(_)
            | Self::Symlink { .. }
            | Self::Fifo
            | Self::Socket
            | Self::CharacterDevice(_)
            | Self::BlockDevice(_) => None,
        }
    }
}

/// A regular file's content.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FileEntry {
    /// Length in bytes, equal to the sum of the extents.
    pub size: u64,
    /// Where the bytes are.
    pub content: Content,
    /// BLAKE3 of the content, holes left out; present exactly if it has more than one extent.
    pub digest: Option<Digest>,
    /// Whether the file had holes, so that a restore makes them again.
    pub sparse: bool,
}

impl FileEntry {
    /// The record, for what a host keeps of its own.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes what [`FileEntry::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::<Self, TREE_NODE_BYTES_MAX>("file entry", bytes)
    }
}

/// A directory's listing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryEntry {
    /// The listing itself.
    pub listing: Listing,
    /// Totals of everything below, for plans and bounds.
    pub totals: Totals,
}

/// Where a directory's entries are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Listing {
    /// An encoded leaf of at most [`INLINE_LISTING_BYTES_MAX`] bytes.
    Inline(Vec<u8>),
    /// A node and how many levels lie below it (0: it is a leaf).
    Node {
        /// The top node's chunk.
        node: ChunkId,
        /// Levels below the top node.
        height: u8,
    },
}

/// Sums over a directory and everything below it, the directory itself not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Sum of the sizes of regular files.
    pub bytes: u64,
}

/// A device's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DeviceNumber {
    /// Major part.
    pub major: u32,
    /// Minor part.
    pub minor: u32,
}

/// What every kind of entry has.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Metadata {
    /// Permission bits, set-id and sticky bits: `0o7777`.
    pub mode: u16,
    /// Place of the owner in the node's list of owners.
    pub owner: u32,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
    /// Creation, where the file system tells it.
    pub born: Option<Timestamp>,
    /// Device and inode, to recognise the entry in the next snapshot.
    pub inode: InodeNumber,
    /// How many names the inode had; 1 for directories.
    pub links: u32,
    /// File attributes (`chattr`), as the bits of `FS_IOC_GETFLAGS` that can be set again.
    pub flags: u32,
    /// Extended attributes, ACLs and security labels among them, sorted by name.
    pub xattrs: Vec<ExtendedAttribute>,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ExtendedAttribute {
    /// Name with its namespace, as `user.comment`; 1 to 255 bytes without NUL.
    pub name: Vec<u8>,
    /// Value, at most 64 KiB.
    pub value: Vec<u8>,
}

/// Where an inode was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct InodeNumber {
    /// The file system's device number, as the kernel packs it.
    pub device: u64,
    /// The inode's number in it.
    pub inode: u64,
}

/// A time since the epoch of Unix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl TreeNode {
    /// Encodes the node: the plaintext of one tree chunk.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a node and checks every rule that needs no other object.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > TREE_NODE_BYTES_MAX {
            let at = to_u64(TREE_NODE_BYTES_MAX);
            return Err(FormatError::new("tree node", Rule::TreeNodeTooLong, at));
        }
        let node: Self = decode::<Self, TREE_NODE_MEMORY_MAX>("tree node", bytes)?;
        node.check()?;
        Ok(node)
    }

    fn check(&self) -> Result<(), FormatError> {
        match self {
            Self::Leaf(leaf) => check_leaf(leaf),
            Self::Internal(children) => check_children(children),
        }
    }
}

impl Timestamp {
    /// Whether the nanoseconds are below a second.
    pub fn is_valid(&self) -> bool {
        self.nanoseconds < 1_000_000_000
    }
}

impl Totals {
    /// Adds other sums; saturates, since totals are checked against what is found.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            directories: self.directories.saturating_add(other.directories),
            others: self.others.saturating_add(other.others),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Whether a stored name may become a file name.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn check_children(children: &[NodeReference]) -> Result<(), FormatError> {
    let rule = |rule, at: usize| Err(FormatError::new("tree node", rule, to_u64(at)));
    if children.is_empty() {
        return rule(Rule::TreeInternalEmpty, 0);
    }
    let names = children.iter().map(|child| child.last_name.as_slice());
    if let Some(at) = first_unsorted(names) {
        return rule(Rule::TreeOrder, at);
    }
    match children.iter().position(|child| !is_valid_name(&child.last_name)) {
        Some(at) => rule(Rule::TreeName, at),
        None => Ok(()),
    }
}

fn check_leaf(leaf: &Leaf) -> Result<(), FormatError> {
    if let Some(at) = first_unsorted(leaf.entries.iter().map(|entry| entry.name.as_slice())) {
        return Err(FormatError::new("tree node", Rule::TreeOrder, to_u64(at)));
    }
    let mut owners_used = 0_u32;
    for (index, entry) in leaf.entries.iter().enumerate() {
        check_entry(entry).map_err(|rule| FormatError::new("tree node", rule, to_u64(index)))?;
        // Owners stand in the order of their first use, so that a listing has one encoding.
        let owner = entry.metadata.owner;
        if owner > owners_used {
            return Err(FormatError::new("tree node", Rule::TreeOwner, to_u64(index)));
        }
        if owner == owners_used {
            owners_used = owners_used.saturating_add(1);
        }
    }
    if to_u64(leaf.owners.len()) != u64::from(owners_used) {
        return Err(FormatError::new("tree node", Rule::TreeOwner, to_u64(leaf.entries.len())));
    }
    Ok(())
}

fn check_entry(entry: &TreeEntry) -> Result<(), Rule> {
    if !is_valid_name(&entry.name) {
        return Err(Rule::TreeName);
    }
    check_metadata(&entry.metadata)?;
    match &entry.node {
        EntryKind::File(file) => check_file(file),
        EntryKind::Directory(directory) => match &directory.listing {
            Listing::Inline(bytes) if bytes.len() > INLINE_LISTING_BYTES_MAX => {
                Err(Rule::TreeInlineTooLong)
            }
            Listing::Node { height, .. } if *height > NODE_HEIGHT_MAX => Err(Rule::TreeHeight),
            Listing::Inline(_) | Listing::Node { .. } => Ok(()),
        },
        EntryKind::Symlink { target } => {
            let valid = !target.is_empty() && target.len() <= TARGET_BYTES_MAX;
            if valid && !target.contains(&0) { Ok(()) } else { Err(Rule::TreeTarget) }
        }
        EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice(_)
        | EntryKind::BlockDevice(_) => Ok(()),
    }
}

fn check_file(file: &FileEntry) -> Result<(), Rule> {
    let extents = file.content.check(file.size)?;
    if file.digest.is_some() == (extents > 1) { Ok(()) } else { Err(Rule::TreeDigest) }
}

fn check_metadata(metadata: &Metadata) -> Result<(), Rule> {
    if metadata.mode > 0o7777 {
        return Err(Rule::TreeMode);
    }
    let born = metadata.born.unwrap_or_default();
    if ![metadata.modified, metadata.changed, born].iter().all(Timestamp::is_valid) {
        return Err(Rule::TreeTime);
    }
    let names = metadata.xattrs.iter().map(|attribute| attribute.name.as_slice());
    if first_unsorted(names).is_some() || !metadata.xattrs.iter().all(is_valid_attribute) {
        return Err(Rule::TreeXattr);
    }
    Ok(())
}

fn is_valid_attribute(attribute: &ExtendedAttribute) -> bool {
    let name = &attribute.name;
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains(&0)
        && attribute.value.len() <= XATTR_VALUE_BYTES_MAX
}

/// The index of the first name that is not greater than the one before it.
fn first_unsorted<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let mut previous: Option<&[u8]> = None;
    for (index, name) in names.enumerate() {
        if previous.is_some_and(|previous| previous >= name) {
            return Some(index);
        }
        previous = Some(name);
    }
    None
}

/// Longest name in a directory.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest target of a symbolic link.
pub const TARGET_BYTES_MAX: usize = 4096;
/// Longest value of an extended attribute.
pub const XATTR_VALUE_BYTES_MAX: usize = 65_536;
/// Longest encoded node.
pub const TREE_NODE_BYTES_MAX: usize = 1_048_576;
/// Longest listing that stands in its directory's entry.
pub const INLINE_LISTING_BYTES_MAX: usize = 4096;
/// Most levels below the top node of one directory.
pub const NODE_HEIGHT_MAX: u8 = 8;
/// Most memory that decoding one node may take.
const TREE_NODE_MEMORY_MAX: usize = 16 * 1_048_576;
