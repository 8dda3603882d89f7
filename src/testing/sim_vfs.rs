//! A disk in memory that can lose power: any subset of what was not synced survives.
//! Invariant: only a sync moves a change from `pending` to the durable side.

use crate::store::vfs::Entry;
use crate::store::vfs::Place;
use crate::store::vfs::Vfs;
use crate::testing::fault_plan::SplitMix;
use crate::testing::sim_disk::Disk;
use crate::testing::sim_disk::Inode;
use rustix::io::Errno;
use rustix::io::Result;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A simulated disk; clones are handles of the same disk, as of several processes.
#[derive(Clone, Default)]
pub struct SimDisk {
    disk: Arc<Mutex<Disk>>,
}

/// What goes wrong with one call to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// No space is left.
    Full,
    /// The device fails; a failed sync of a file drops the bytes it should have stored.
    Device,
    /// As `Device`, and a failed sync of a directory drops its new names. No process that starts
    /// later can know that; the one that saw the failure must.
    DeviceDropsNames,
}

/// A disk, or a store on it, that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskQuirk {
    /// Syncs of files do nothing and report success.
    IgnoresFileSync,
    /// Syncs of directories do nothing and report success.
    IgnoresDirectorySync,
    /// The file system has no hard links.
    LacksHardLinks,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk with a quirk.
    pub fn with_quirk(quirk: DiskQuirk) -> Self {
        let disk = Self::new();
        disk.set_quirk(quirk);
        disk
    }

    /// Gives the disk a quirk from here on.
    pub fn set_quirk(&self, quirk: DiskQuirk) {
        self.lock().quirk = Some(quirk);
    }

    /// How many calls changed or synced something.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How many of them were syncs.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Fails every change and sync from number `operation` on, counted from 0: the process died.
    pub fn stop_at(&self, operation: u64) {
        self.lock().stop_at = Some(operation);
    }

    /// Fails one change or sync.
    pub fn fail_at(&self, operation: u64, fault: DiskFault) {
        self.lock().faults.insert(operation, fault);
    }

    /// Runs `action` in the middle of things, just before number `operation`.
    pub fn interleave_at(&self, operation: u64, action: impl FnOnce() + Send + 'static) {
        self.lock().interleaved = Some((operation, Box::new(action)));
    }

    /// How many changes a loss of power may take or leave.
    pub fn pending(&self) -> usize {
        self.lock().pending.len()
    }

    /// The disk after power came back; `kept` says of each pending change whether it survived.
    #[must_use]
    pub fn after_power_loss(&self, kept: &[bool]) -> Self {
        Self { disk: Arc::new(Mutex::new(self.lock().after_power_loss(kept))) }
    }

    /// Subsets of the pending changes for [`Self::after_power_loss`]: all of them if there are at
    /// most `cap`, else none, all, each alone, all but each, and others drawn from `seed`.
    pub fn survivors(&self, cap: usize, seed: u64) -> Vec<Vec<bool>> {
        let count = self.pending();
        let every = u32::try_from(count).ok().and_then(|bits| 1_usize.checked_shl(bits));
        if let Some(every) = every.filter(|every| *every <= cap) {
            let bit = |subset: usize, index: usize| subset >> index & 1 == 1;
            return (0..every).map(|subset| (0..count).map(|i| bit(subset, i)).collect()).collect();
        }
        let mut subsets = vec![vec![false; count], vec![true; count]];
        for single in 0..count {
            subsets.push((0..count).map(|index| index == single).collect());
            subsets.push((0..count).map(|index| index != single).collect());
        }
        let mut random = SplitMix::new(seed);
        while subsets.len() < cap {
            subsets.push((0..count).map(|_| random.below(2) == 1).collect());
        }
        subsets
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Counts a change or a sync, and decides whether it may happen.
    fn begin(&self) -> Result<MutexGuard<'_, Disk>> {
        let mut disk = self.lock();
        let number = disk.operations;
        let due = disk.interleaved.take_if(|(at, _)| *at == number);
        if let Some((_, action)) = due {
            drop(disk);
            action();
            disk = self.lock();
        }
        disk.count()?;
        Ok(disk)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimDisk")
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

/// An open file of a [`SimDisk`].
pub(crate) struct SimFile {
    disk: SimDisk,
    inode: usize,
    handle: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.locks.get(&self.inode) == Some(&self.handle) {
            disk.locks.remove(&self.inode);
        }
    }
}

impl SimDisk {
    fn open_inode(&self, disk: &mut Disk, inode: usize) -> SimFile {
        disk.handles += 1;
        SimFile { disk: self.clone(), inode, handle: disk.handles }
    }
}

impl Vfs for SimDisk {
    type Directory = usize;
    type File = SimFile;

    fn root(&self) -> usize {
        0
    }

    fn sync_root_entry(&self) -> Result<()> {
        Ok(())
    }

    fn open_directory(&self, parent: &usize, name: &str) -> Result<usize> {
        let disk = self.lock();
        let inode = disk.find(*parent, name)?;
        match disk.inode(inode)? {
            Inode::Directory { .. } => Ok(inode),
            Inode::File { .. } => Err(Errno::NOTDIR),
        }
    }

    fn make_directory(&self, parent: &usize, name: &str) -> Result<()> {
        let mut disk = self.begin()?;
        let inode = disk.add(Inode::empty_directory());
        disk.enter(*parent, name, inode)
    }

    fn sync_directory(&self, directory: &usize) -> Result<()> {
        let mut disk = self.begin().inspect_err(|_| self.lock().fail_sync(*directory))?;
        if disk.quirk != Some(DiskQuirk::IgnoresDirectorySync) {
            disk.settle(*directory);
        }
        Ok(())
    }

    fn names(&self, directory: &usize) -> Result<Vec<String>> {
        Ok(self.lock().entries(*directory)?.keys().cloned().collect())
    }

    fn inspect(&self, directory: &usize, name: &str) -> Result<Entry> {
        let disk = self.lock();
        disk.describe(disk.find(*directory, name)?)
    }

    fn create_file(&self, directory: &usize, name: &str) -> Result<SimFile> {
        let mut disk = self.begin()?;
        let inode = disk.add(Inode::empty_file());
        disk.enter(*directory, name, inode)?;
        Ok(self.open_inode(&mut disk, inode))
    }

    fn open_file(&self, directory: &usize, name: &str) -> Result<SimFile> {
        let mut disk = self.lock();
        let inode = disk.find(*directory, name)?;
        Ok(self.open_inode(&mut disk, inode))
    }

    fn lock_file(&self, file: &SimFile) -> Result<()> {
        let mut disk = self.lock();
        let holder = *disk.locks.entry(file.inode).or_insert(file.handle);
        if holder == file.handle { Ok(()) } else { Err(Errno::AGAIN) }
    }

    fn write(&self, file: &SimFile, bytes: &[u8]) -> Result<()> {
        self.begin()?.write(file.inode, bytes)
    }

    fn sync_file(&self, file: &SimFile) -> Result<()> {
        let mut disk = self.begin().inspect_err(|_| self.lock().fail_sync(file.inode))?;
        if disk.quirk != Some(DiskQuirk::IgnoresFileSync) {
            disk.settle(file.inode);
        }
        Ok(())
    }

    fn inspect_file(&self, file: &SimFile) -> Result<Entry> {
        self.lock().describe(file.inode)
    }

    fn read_at(&self, file: &SimFile, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.lock().read(file.inode, buffer, offset)
    }

    fn link(&self, from: Place<'_, Self>, to: Place<'_, Self>) -> Result<()> {
        let mut disk = self.begin()?;
        if disk.quirk == Some(DiskQuirk::LacksHardLinks) {
            return Err(Errno::PERM);
        }
        let inode = disk.find(*from.directory, from.name)?;
        disk.enter(*to.directory, to.name, inode)
    }

    fn rename_new(&self, from: Place<'_, Self>, to: Place<'_, Self>) -> Result<()> {
        let mut disk = self.begin()?;
        let inode = disk.find(*from.directory, from.name)?;
        disk.enter(*to.directory, to.name, inode)?;
        disk.remove(*from.directory, from.name)
    }

    fn unlink(&self, directory: &usize, name: &str) -> Result<()> {
        self.begin()?.remove(*directory, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::ObjectKey;
    use crate::testing::stores::PosixHandle;

    #[test]
    fn settling_what_another_program_wrote_makes_it_durable() {
        let disk = SimDisk::new();
        disk.make_directory(&disk.root(), "a").unwrap();
        let directory = disk.open_directory(&disk.root(), "a").unwrap();
        let file = disk.create_file(&directory, "b").unwrap();
        disk.write(&file, b"body").unwrap();
        let key = ObjectKey::new("a/b").unwrap();
        PosixHandle::on(&disk).store().settle(&key).unwrap();
        assert_eq!(disk.pending(), 0);
        let after = PosixHandle::on(&disk.after_power_loss(&[])).store();
        assert_eq!(after.read(&key, 4).unwrap(), b"body");
    }

    #[test]
    fn only_synced_changes_survive_for_certain() {
        let disk = SimDisk::new();
        let file = disk.create_file(&disk.root(), "a").unwrap();
        disk.write(&file, &[1; 600]).unwrap();
        // A name, a length, two sectors.
        assert_eq!(disk.pending(), 4);
        assert_eq!(disk.survivors(16, 0).len(), 16);
        disk.sync_directory(&disk.root()).unwrap();
        let torn = disk.after_power_loss(&[true, false, true]);
        let mut buffer = [9; 600];
        let found = torn.open_file(&torn.root(), "a").unwrap();
        assert_eq!(torn.read_at(&found, &mut buffer, 0).unwrap(), 600);
        assert_eq!((buffer[0], buffer[511], buffer[512]), (0, 0, 1));
        disk.sync_file(&file).unwrap();
        assert_eq!(disk.pending(), 0);
    }
}
