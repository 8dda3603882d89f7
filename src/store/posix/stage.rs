//! Staged files: written and synced in `tmp/`, then given their key's name.
//! Invariant: a staged file is locked while its process works on it, so a sweep leaves it alone.

use crate::store::posix::failure::Failure;
use crate::store::posix::failure::Step;
use crate::store::posix::failure::at;
use crate::store::vfs::EntryKind;
use crate::store::vfs::Place;
use crate::store::vfs::Vfs;
use crate::units::to_u64;
use rustix::io::Errno;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A complete, durable file without a key; removed from `tmp/` when dropped.
pub(super) struct Staged<'a, V: Vfs> {
    vfs: &'a V,
    directory: V::Directory,
    name: String,
    file: V::File,
}

impl<'a, V: Vfs> Staged<'a, V> {
    /// Writes `body` to a fresh file and syncs it. `counter` makes its name new in this process.
    pub(super) fn write(vfs: &'a V, counter: &AtomicU64, body: &[u8]) -> Result<Self, Failure> {
        let staged = Self::make(vfs, counter).map_err(at(Step::Stage))?;
        vfs.write(&staged.file, body).map_err(at(Step::Write))?;
        let entry = vfs.inspect_file(&staged.file).map_err(at(Step::CheckLength))?;
        if entry.length != to_u64(body.len()) {
            return Err(Failure::new(Step::CheckLength, Errno::IO));
        }
        vfs.sync_file(&staged.file).map_err(at(Step::SyncFile))?;
        Ok(staged)
    }

    /// Gives the file the name `place`, which must be free.
    pub(super) fn publish(&self, place: Place<'_, V>) -> Result<(), Failure> {
        let outcome = match self.vfs.link(self.place(), place) {
            // No hard links here, or none to files of this owner.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV) => {
                self.vfs.rename_new(self.place(), place)
            }
            linked => linked,
        };
        match outcome {
            Err(Errno::EXIST) => self.who_took(place),
            other => other.map_err(at(Step::Publish)),
        }
    }

    // A network file system may repeat a call whose answer was lost: the name is then this file's.
    fn who_took(&self, place: Place<'_, V>) -> Result<(), Failure> {
        let fail = at(Step::Publish);
        if self.vfs.inspect_file(&self.file).map_err(&fail)?.is_shared {
            return Ok(());
        }
        match self.vfs.inspect(place.directory, place.name) {
            Ok(entry) if entry.kind != EntryKind::File => Err(fail(Errno::ISDIR)),
            _ => Err(fail(Errno::EXIST)),
        }
    }

    fn make(vfs: &'a V, counter: &AtomicU64) -> Result<Self, Errno> {
        let directory = open_stage(vfs)?;
        for _ in 0..NAME_TRIES_MAX {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}", std::process::id());
            match vfs.create_file(&directory, &name) {
                // A process of another host, container or time had the same number.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
                Ok(file) => {
                    // Without locks nothing is ever swept; the file is as good.
                    if let Err(errno) = vfs.lock_file(&file) {
                        tracing::debug!(name, %errno, "staged file without a lock");
                    }
                    return Ok(Self { vfs, directory, name, file });
                }
            }
        }
        Err(Errno::EXIST)
    }

    fn place(&self) -> Place<'_, V> {
        Place { directory: &self.directory, name: &self.name }
    }
}

impl<V: Vfs> Drop for Staged<'_, V> {
    fn drop(&mut self) {
        match self.vfs.unlink(&self.directory, &self.name) {
            Ok(()) | Err(Errno::NOENT) => {}
            // The next sweep finds it.
            Err(errno) => tracing::debug!(name = self.name, %errno, "staged file stays"),
        }
    }
}

/// Removes staged files that nobody holds a lock on; returns how many.
pub(super) fn sweep<V: Vfs>(vfs: &V) -> Result<u64, Failure> {
    let directory = match vfs.open_directory(&vfs.root(), STAGE_DIRECTORY) {
        Err(Errno::NOENT) => return Ok(0),
        opened => opened.map_err(at(Step::OpenDirectory))?,
    };
    let mut swept = 0;
    for name in vfs.names(&directory).map_err(at(Step::Walk))? {
        match sweep_file(vfs, &directory, &name) {
            Ok(true) => swept += 1,
            Ok(false) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Failure::new(Step::Unlink, errno)),
        }
    }
    Ok(swept)
}

fn sweep_file<V: Vfs>(vfs: &V, directory: &V::Directory, name: &str) -> Result<bool, Errno> {
    if vfs.inspect(directory, name)?.kind != EntryKind::File {
        return Ok(false);
    }
    let file = vfs.open_file(directory, name)?;
    // Held until the name is gone: a process that just made the file finds it missing, and
    // writes another.
    if vfs.lock_file(&file).is_err() {
        return Ok(false);
    }
    vfs.unlink(directory, name)?;
    Ok(true)
}

fn open_stage<V: Vfs>(vfs: &V) -> Result<V::Directory, Errno> {
    let root = vfs.root();
    match vfs.open_directory(&root, STAGE_DIRECTORY) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    match vfs.make_directory(&root, STAGE_DIRECTORY) {
        Ok(()) | Err(Errno::EXIST) => vfs.open_directory(&root, STAGE_DIRECTORY),
        Err(errno) => Err(errno),
    }
}

/// The directory of staged files, in the root.
pub(super) const STAGE_DIRECTORY: &str = "tmp";
// Leftovers of one process number that a new process steps over.
const NAME_TRIES_MAX: u32 = 100_000;
