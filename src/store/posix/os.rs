//! The operating system's file system below one directory, by calls relative to its handle.
//! `O_NOFOLLOW` everywhere: a symbolic link inside the repository is never followed.

use crate::store::vfs::Entry;
use crate::store::vfs::EntryKind;
use crate::store::vfs::Place;
use crate::store::vfs::Vfs;
use crate::units::to_u64;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::io::retry_on_intr;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

/// A real directory.
#[derive(Debug)]
pub(crate) struct OsVfs {
    root: Arc<OwnedFd>,
}

impl OsVfs {
    /// Opens the directory at `path`, which may itself be a symbolic link.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?;
        Ok(Self { root: Arc::new(root) })
    }

    /// Opens the directory at `path` and makes it, and those above it, where they are missing.
    ///
    /// Each new level is durable when the call returns.
    pub(super) fn create(path: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Self::create(parent)?;
        }
        accept_existing(rustix::fs::mkdirat(CWD, path, DIRECTORY_MODE))?;
        let made = Self::open(path)?;
        made.sync_root_entry()?;
        Ok(made)
    }
}

impl Vfs for OsVfs {
    type Directory = Arc<OwnedFd>;
    type File = OwnedFd;

    fn root(&self) -> Self::Directory {
        Arc::clone(&self.root)
    }

    fn sync_root_entry(&self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(&self.root, "..", flags, Mode::empty())) {
            Ok(parent) => sync_names(&parent),
            // The directory above belongs to somebody else and cannot be opened, only passed.
            Err(Errno::ACCESS | Errno::PERM) => sync_file_system(&self.root),
            Err(error) => Err(error),
        }
    }

    fn open_directory(&self, parent: &Self::Directory, name: &str) -> Result<Self::Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| rustix::fs::openat(parent, name, flags, Mode::empty()))?;
        Ok(Arc::new(opened))
    }

    fn make_directory(&self, parent: &Self::Directory, name: &str) -> Result<()> {
        rustix::fs::mkdirat(parent, name, DIRECTORY_MODE)
    }

    fn sync_directory(&self, directory: &Self::Directory) -> Result<()> {
        sync_names(directory)
    }

    fn names(&self, directory: &Self::Directory) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn inspect(&self, directory: &Self::Directory, name: &str) -> Result<Entry> {
        let stat =
            retry_on_intr(|| rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW))?;
        Ok(entry(&stat))
    }

    fn create_file(&self, directory: &Self::Directory, name: &str) -> Result<Self::File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(directory, name, flags, FILE_MODE))
    }

    fn open_file(&self, directory: &Self::Directory, name: &str) -> Result<Self::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(directory, name, flags, Mode::empty()))
    }

    fn lock_file(&self, file: &Self::File) -> Result<()> {
        retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive))
    }

    fn write(&self, file: &Self::File, bytes: &[u8]) -> Result<()> {
        let mut offset = 0;
        for part in bytes.chunks(WRITE_BACK_BYTES) {
            write_part(file, part, offset)?;
            if part.len() == WRITE_BACK_BYTES {
                start_write_back(file, offset);
            }
            offset += to_u64(part.len());
        }
        Ok(())
    }

    fn sync_file(&self, file: &Self::File) -> Result<()> {
        sync(file)
    }

    fn inspect_file(&self, file: &Self::File) -> Result<Entry> {
        Ok(entry(&rustix::fs::fstat(file)?))
    }

    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> Result<usize> {
        retry_on_intr(|| rustix::io::pread(file, &mut *buffer, offset))
    }

    fn link(&self, from: Place<'_, Self>, to: Place<'_, Self>) -> Result<()> {
        rustix::fs::linkat(from.directory, from.name, to.directory, to.name, AtFlags::empty())
    }

    fn rename_new(&self, from: Place<'_, Self>, to: Place<'_, Self>) -> Result<()> {
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(from.directory, from.name, to.directory, to.name, flags)
    }

    fn unlink(&self, directory: &Self::Directory, name: &str) -> Result<()> {
        rustix::fs::unlinkat(directory, name, AtFlags::empty())
    }
}

fn accept_existing(made: Result<()>) -> Result<()> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn write_part(file: &OwnedFd, part: &[u8], start: u64) -> Result<()> {
    let mut rest = part;
    let mut offset = start;
    while !rest.is_empty() {
        let written = retry_on_intr(|| rustix::io::pwrite(file, rest, offset))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        rest = rest.get(written..).ok_or(Errno::IO)?;
        offset += to_u64(written);
    }
    Ok(())
}

// Written pages go to the disk while the next ones are copied. Only advice: a failure means
// nothing, and the sync that follows decides.
#[cfg(target_os = "linux")]
fn start_write_back(file: &OwnedFd, offset: u64) {
    let length = std::num::NonZeroU64::new(to_u64(WRITE_BACK_BYTES));
    if rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::DontNeed).is_err() {
        tracing::trace!("no early write-back");
    }
}

#[cfg(not(target_os = "linux"))]
fn start_write_back(_: &OwnedFd, _: u64) {}

fn sync_names(directory: &OwnedFd) -> Result<()> {
    match sync(directory) {
        // Some network file systems cannot sync one directory.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => sync_file_system(directory),
        other => other,
    }
}

#[cfg(target_vendor = "apple")]
fn sync(file: impl AsFd) -> Result<()> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::fcntl_fullfsync(file))
}

#[cfg(not(target_vendor = "apple"))]
fn sync(file: impl AsFd) -> Result<()> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::fsync(file))
}

#[cfg(target_os = "linux")]
fn sync_file_system(directory: &OwnedFd) -> Result<()> {
    retry_on_intr(|| rustix::fs::syncfs(directory))
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &OwnedFd) -> Result<()> {
    Err(Errno::OPNOTSUPP)
}

fn entry(stat: &Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => EntryKind::Foreign,
    };
    let seconds = u64::try_from(stat.st_mtime).ok();
    Entry {
        kind,
        length: u64::try_from(stat.st_size).unwrap_or(0),
        modified: seconds
            .and_then(|value| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(value))),
        is_shared: stat.st_nlink > 1,
    }
}

// Bytes after which the disk is asked to start.
const WRITE_BACK_BYTES: usize = 4 << 20;
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR;
