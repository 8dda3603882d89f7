//! The state of a simulated disk: what a running system sees, and what is durable.
//! Invariant: the durable side plus `pending`, applied in order, is what the system sees.

use crate::store::vfs::Entry;
use crate::store::vfs::EntryKind;
use crate::testing::sim_vfs::DiskFault;
use crate::testing::sim_vfs::DiskQuirk;
use crate::units::to_u64;
use crate::units::to_usize;
use rustix::io::Errno;
use rustix::io::Result;
use std::collections::BTreeMap;

/// Inode 0 is the root directory.
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    pub(crate) pending: Vec<Change>,
    pub(crate) locks: BTreeMap<usize, u64>,
    pub(crate) handles: u64,
    pub(crate) operations: u64,
    pub(crate) syncs: u64,
    pub(crate) stop_at: Option<u64>,
    pub(crate) faults: BTreeMap<u64, DiskFault>,
    failed: Option<DiskFault>,
    pub(crate) quirk: Option<DiskQuirk>,
    pub(crate) interleaved: Option<(u64, Action)>,
}

/// What runs in the middle of another process's work.
pub(crate) type Action = Box<dyn FnOnce() + Send>;

/// A file or directory, as seen and as durable.
#[derive(Clone)]
pub(crate) enum Inode {
    File { seen: Vec<u8>, durable: Vec<u8> },
    Directory { seen: BTreeMap<String, usize>, durable: BTreeMap<String, usize> },
}

/// A change that is not durable.
#[derive(Clone)]
pub(crate) enum Change {
    /// A file grew, with zeros.
    Length { inode: usize, length: usize },
    /// One sector of a file was written.
    Sector { inode: usize, offset: usize, bytes: Vec<u8> },
    /// A name was added to a directory.
    Enter { directory: usize, name: String, inode: usize },
    /// A name was removed.
    Remove { directory: usize, name: String },
}

impl Default for Disk {
    fn default() -> Self {
        Self::with_inodes(vec![Inode::empty_directory()], None)
    }
}

impl Inode {
    pub(crate) fn empty_file() -> Self {
        Self::File { seen: Vec::new(), durable: Vec::new() }
    }

    pub(crate) fn empty_directory() -> Self {
        Self::Directory { seen: BTreeMap::new(), durable: BTreeMap::new() }
    }

    // What a system sees that starts with only the durable side.
    fn restarted(&self) -> Self {
        match self.clone() {
            Self::File { seen: _, durable } => Self::File { seen: durable.clone(), durable },
            Self::Directory { seen: _, durable } => {
                Self::Directory { seen: durable.clone(), durable }
            }
        }
    }
}

impl Disk {
    fn with_inodes(inodes: Vec<Inode>, quirk: Option<DiskQuirk>) -> Self {
        Self {
            inodes,
            pending: Vec::new(),
            locks: BTreeMap::new(),
            handles: 0,
            operations: 0,
            syncs: 0,
            stop_at: None,
            faults: BTreeMap::new(),
            failed: None,
            quirk,
            interleaved: None,
        }
    }

    pub(crate) fn count(&mut self) -> Result<()> {
        let number = self.operations;
        self.operations += 1;
        self.failed = None;
        if self.stop_at.is_some_and(|stop| number >= stop) {
            return Err(Errno::IO);
        }
        self.failed = self.faults.remove(&number);
        match self.failed {
            Some(DiskFault::Full) => Err(Errno::NOSPC),
            Some(DiskFault::Device | DiskFault::DeviceDropsNames) => Err(Errno::IO),
            None => Ok(()),
        }
    }

    /// A failed sync drops what it could not store: a second one would find nothing to do.
    pub(crate) fn fail_sync(&mut self, inode: usize) {
        let is_file = matches!(self.inode(inode), Ok(Inode::File { .. }));
        let drops = match self.failed {
            Some(DiskFault::Device) => is_file,
            Some(DiskFault::DeviceDropsNames) => true,
            Some(DiskFault::Full) | None => false,
        };
        if drops {
            self.pending.retain(|change| change.owner() != inode);
        }
    }

    pub(crate) fn inode(&self, inode: usize) -> Result<&Inode> {
        self.inodes.get(inode).ok_or(Errno::BADF)
    }

    pub(crate) fn add(&mut self, inode: Inode) -> usize {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    pub(crate) fn entries(&self, directory: usize) -> Result<&BTreeMap<String, usize>> {
        match self.inode(directory)? {
            Inode::Directory { seen, durable: _ } => Ok(seen),
            Inode::File { .. } => Err(Errno::NOTDIR),
        }
    }

    pub(crate) fn find(&self, directory: usize, name: &str) -> Result<usize> {
        self.entries(directory)?.get(name).copied().ok_or(Errno::NOENT)
    }

    pub(crate) fn enter(&mut self, directory: usize, name: &str, inode: usize) -> Result<()> {
        if self.find(directory, name).is_ok() {
            return Err(Errno::EXIST);
        }
        self.change(Change::Enter { directory, name: name.to_owned(), inode });
        Ok(())
    }

    pub(crate) fn remove(&mut self, directory: usize, name: &str) -> Result<()> {
        self.find(directory, name)?;
        self.change(Change::Remove { directory, name: name.to_owned() });
        Ok(())
    }

    pub(crate) fn write(&mut self, inode: usize, bytes: &[u8]) -> Result<()> {
        self.inode(inode)?;
        self.change(Change::Length { inode, length: bytes.len() });
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let offset = index * SECTOR_BYTES;
            self.change(Change::Sector { inode, offset, bytes: sector.to_vec() });
        }
        Ok(())
    }

    pub(crate) fn read(&self, inode: usize, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let Inode::File { seen, durable: _ } = self.inode(inode)? else {
            return Err(Errno::ISDIR);
        };
        let rest = seen.get(to_usize(offset)..).unwrap_or_default();
        // Short reads are legal, so a caller sees one in every object of more than a few bytes.
        let count = rest.len().min(buffer.len()).min(READ_BYTES_MAX);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    pub(crate) fn describe(&self, inode: usize) -> Result<Entry> {
        let (kind, length) = match self.inode(inode)? {
            Inode::File { seen, durable: _ } => (EntryKind::File, to_u64(seen.len())),
            Inode::Directory { .. } => (EntryKind::Directory, 0),
        };
        let names = self.inodes.iter().map(|holder| match holder {
            Inode::Directory { seen, durable: _ } => {
                seen.values().filter(|named| **named == inode).count()
            }
            Inode::File { .. } => 0,
        });
        Ok(Entry { kind, length, modified: None, is_shared: names.sum::<usize>() > 1 })
    }

    /// Makes the pending changes of one file or directory durable.
    pub(crate) fn settle(&mut self, inode: usize) {
        self.syncs += 1;
        let pending = std::mem::take(&mut self.pending);
        for change in pending {
            if change.owner() == inode {
                change.apply(&mut self.inodes, Side::Durable);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// The disk after a loss of power that the pending changes marked in `kept` survived.
    pub(crate) fn after_power_loss(&self, kept: &[bool]) -> Self {
        let mut inodes: Vec<Inode> = self.inodes.clone();
        for (change, _) in self.pending.iter().zip(kept).filter(|(_, kept)| **kept) {
            change.clone().apply(&mut inodes, Side::Durable);
        }
        Self::with_inodes(inodes.iter().map(Inode::restarted).collect(), self.quirk)
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.inodes, Side::Seen);
        self.pending.push(change);
    }
}

#[derive(Clone, Copy)]
enum Side {
    Seen,
    Durable,
}

impl Change {
    // The inode whose sync makes the change durable.
    fn owner(&self) -> usize {
        match self {
            Self::Length { inode, length: _ } | Self::Sector { inode, offset: _, bytes: _ } => {
                *inode
            }
            Self::Enter { directory, name: _, inode: _ } | Self::Remove { directory, name: _ } => {
                *directory
            }
        }
    }

    fn apply(self, inodes: &mut [Inode], side: Side) {
        let Some(owner) = inodes.get_mut(self.owner()) else { return };
        match (self, owner) {
            (Self::Length { inode: _, length }, Inode::File { seen, durable }) => {
                let bytes = side.of(seen, durable);
                bytes.resize(bytes.len().max(length), 0);
            }
            (Self::Sector { inode: _, offset, bytes: sector }, Inode::File { seen, durable }) => {
                let bytes = side.of(seen, durable);
                bytes.resize(bytes.len().max(offset + sector.len()), 0);
                if let Some(place) = bytes.get_mut(offset..offset + sector.len()) {
                    place.copy_from_slice(&sector);
                }
            }
            (Self::Enter { directory: _, name, inode }, Inode::Directory { seen, durable }) => {
                side.of(seen, durable).insert(name, inode);
            }
            (Self::Remove { directory: _, name }, Inode::Directory { seen, durable }) => {
                side.of(seen, durable).remove(&name);
            }
            (_, Inode::File { .. } | Inode::Directory { .. }) => {}
        }
    }
}

impl Side {
    fn of<'a, T>(self, seen: &'a mut T, durable: &'a mut T) -> &'a mut T {
        match self {
            Self::Seen => seen,
            Self::Durable => durable,
        }
    }
}

const SECTOR_BYTES: usize = 512;
const READ_BYTES_MAX: usize = 700;
