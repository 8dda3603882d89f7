//! What the file system says about an entry, without its content, link target and attributes.

use crate::format::tree::DeviceNumber;
use crate::format::tree::ExtendedAttribute;
use crate::format::tree::InodeNumber;
use crate::format::tree::Metadata;
use crate::format::tree::Timestamp;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::IFlags;
use rustix::fs::Statx;
use rustix::fs::StatxAttributes;
use rustix::fs::StatxFlags;
use rustix::fs::StatxTimestamp;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::AsFd;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
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

/// What one `statx` call tells about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// What the name stands for.
    pub(crate) kind: FileKind,
    /// Permission bits, set-id and sticky bits: `0o7777`.
    pub(crate) mode: u16,
    /// Numeric user.
    pub(crate) user_id: u32,
    /// Numeric group.
    pub(crate) group_id: u32,
    /// How many names the inode has.
    pub(crate) links: u32,
    /// The settable bits of `FS_IOC_GETFLAGS` that `statx` tells.
    pub(crate) flags: u32,
    /// Length of the content in bytes.
    pub(crate) size: u64,
    /// Space that the content takes, in units of 512 bytes.
    pub(crate) blocks: u64,
    /// Last change of the content.
    pub(crate) modified: Timestamp,
    /// Last change of the inode.
    pub(crate) changed: Timestamp,
    /// Creation, where the file system tells it.
    pub(crate) born: Option<Timestamp>,
    /// Device and inode.
    pub(crate) inode: InodeNumber,
    /// Which device a device node stands for.
    pub(crate) device: DeviceNumber,
}

impl Stat {
    /// Asks about `name` in `directory`; a symbolic link is not followed.
    pub(crate) fn of_entry(directory: impl AsFd, name: &CStr) -> Result<Self, Errno> {
        statx(directory, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Asks about what `name` in `directory` leads to, through any symbolic links.
    pub(crate) fn of_destination(directory: impl AsFd, name: &CStr) -> Result<Self, Errno> {
        statx(directory, name, AtFlags::empty())
    }

    /// Asks about an open file; `O_PATH` descriptors will do.
    pub(crate) fn of_descriptor(descriptor: impl AsFd) -> Result<Self, Errno> {
        statx(descriptor, c"", AtFlags::EMPTY_PATH)
    }

    /// Whether the content may have changed between two looks at an inode.
    pub(crate) fn content_differs(&self, other: &Self) -> bool {
        let look = |stat: &Self| (stat.inode, stat.size, stat.modified, stat.changed);
        self.kind != other.kind || look(self) != look(other)
    }

    /// Whether the file takes less space than its length: it may have holes.
    pub(crate) fn may_be_sparse(&self) -> bool {
        self.kind == FileKind::File && self.blocks.saturating_mul(STAT_BLOCK_BYTES) < self.size
    }

    /// The record for the tree; `owner` is a place in the node's list of owners.
    pub(crate) fn metadata(&self, owner: u32, xattrs: Vec<ExtendedAttribute>) -> Metadata {
        let links = if self.kind == FileKind::Directory { 1 } else { self.links };
        Metadata {
            mode: self.mode,
            owner,
            modified: self.modified,
            changed: self.changed,
            born: self.born,
            inode: self.inode,
            links,
            flags: self.flags,
            xattrs,
        }
    }
}

fn statx(directory: impl AsFd, name: &CStr, at: AtFlags) -> Result<Stat, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let answer = rustix::fs::statx(directory, name, at | AtFlags::NO_AUTOMOUNT, wanted)?;
    Ok(stat_from(&answer))
}

fn stat_from(answer: &Statx) -> Stat {
    let told = StatxFlags::from_bits_retain(answer.stx_mask);
    let device = rustix::fs::makedev(answer.stx_dev_major, answer.stx_dev_minor);
    Stat {
        kind: kind_from(FileType::from_raw_mode(u32::from(answer.stx_mode))),
        mode: answer.stx_mode & MODE_BITS,
        user_id: answer.stx_uid,
        group_id: answer.stx_gid,
        links: answer.stx_nlink,
        flags: flags_from(answer.stx_attributes),
        size: answer.stx_size,
        blocks: answer.stx_blocks,
        modified: timestamp_from(answer.stx_mtime),
        changed: timestamp_from(answer.stx_ctime),
        born: told.contains(StatxFlags::BTIME).then(|| timestamp_from(answer.stx_btime)),
        inode: InodeNumber { device, inode: answer.stx_ino },
        device: DeviceNumber { major: answer.stx_rdev_major, minor: answer.stx_rdev_minor },
    }
}

fn kind_from(kind: FileType) -> FileKind {
    match kind {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        // `statx` always tells the kind; the kernel has had no other kinds since Unix.
        FileType::RegularFile | FileType::Unknown => FileKind::File,
    }
}

fn timestamp_from(time: StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

fn flags_from(attributes: StatxAttributes) -> u32 {
    let pairs = [
        (StatxAttributes::COMPRESSED, IFlags::COMPRESSED),
        (StatxAttributes::IMMUTABLE, IFlags::IMMUTABLE),
        (StatxAttributes::APPEND, IFlags::APPEND),
        (StatxAttributes::NODUMP, IFlags::NODUMP),
    ];
    let set = pairs.into_iter().filter(|(attribute, _)| attributes.contains(*attribute));
    set.fold(0, |flags, (_, flag)| flags | flag.bits())
}

/// Permission, set-id and sticky bits.
pub(crate) const MODE_BITS: u16 = 0o7777;
/// The unit of `Stat::blocks`, whatever the file system's block size is.
const STAT_BLOCK_BYTES: u64 = 512;
