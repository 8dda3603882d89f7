//! Which entries are meant.

use crate::format::tree::EntryKind;
use crate::format::tree::TreeEntry;
use crate::ops::find::FindOptions;
use crate::ops::look::content_of;

/// A bound of a file's size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeBound {
    /// So many.
    Exactly(u64),
    /// So many or more.
    AtLeast(u64),
    /// So many or fewer.
    AtMost(u64),
}

impl SizeBound {
    const fn holds(self, size: u64) -> bool {
        match self {
            Self::Exactly(bound) => size == bound,
            Self::AtLeast(bound) => size >= bound,
            Self::AtMost(bound) => size <= bound,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

impl EntryType {
    /// The type of an entry.
    pub const fn of(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::File(_) => Self::File,
            EntryKind::Directory(_) => Self::Directory,
            EntryKind::Symlink { .. } => Self::Symlink,
            EntryKind::Fifo => Self::Fifo,
            EntryKind::Socket => Self::Socket,
            EntryKind::CharacterDevice(_) => Self::CharacterDevice,
            EntryKind::BlockDevice(_) => Self::BlockDevice,
        }
    }
}

/// Whether an entry is what is looked for; `path` is its own, without a slash at the beginning.
pub(crate) fn is_meant(options: &FindOptions, path: &[u8], entry: &TreeEntry) -> bool {
    let FindOptions {
        filter,
        newer,
        older,
        sizes,
        types,
        content,
        sources: _,
        tags: _,
        selectors: _,
    } = options;
    let modified = entry.metadata.modified.seconds;
    if !types.is_empty() && !types.contains(&EntryType::of(&entry.node))
        || newer.is_some_and(|since| modified < since)
        || older.is_some_and(|until| modified >= until)
    {
        return false;
    }
    if !sizes.is_empty() {
        let EntryKind::File(file) = &entry.node else { return false };
        if !sizes.iter().all(|bound| bound.holds(file.size)) {
            return false;
        }
    }
    if let Some(digits) = content {
        let name = content_of(&entry.node);
        if !name.is_some_and(|name| name.to_string().starts_with(digits)) {
            return false;
        }
    }
    let is_directory = matches!(entry.node, EntryKind::Directory(_));
    filter.as_ref().is_none_or(|filter| filter(&[b"/", path].concat(), is_directory))
}
