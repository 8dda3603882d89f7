//! Directories of a target: made once, opened beneath the target, kept open in a bounded number.

use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::Access;
use crate::localfs::apply::Target;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::path::path_of;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// An open directory of the target.
#[derive(Debug)]
pub(crate) struct DirHandle {
    descriptor: OwnedFd,
    path: TargetPath,
    /// Whether this restore made it: nobody else's files are in it.
    pub(super) created: bool,
    /// As it was when it was opened.
    pub(super) stat: Stat,
    /// Whether new files inherit an ACL.
    pub(super) has_default_acl: bool,
}

/// Open directories by path; the one that was not used for longest goes first.
#[derive(Debug, Default)]
pub(super) struct DirCache {
    handles: HashMap<TargetPath, (Arc<DirHandle>, u64)>,
    uses: u64,
}

impl DirHandle {
    /// Whether this restore made it.
    pub(crate) fn is_new(&self) -> bool {
        self.created
    }

    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        path_of(self.path.as_bytes(), name)
    }

    pub(super) fn wrong(&self, name: &[u8], call: &'static str, errno: Errno) -> LocalError {
        LocalError::new(&self.path_of(name), call, errno)
    }
}

impl AsFd for DirHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl DirCache {
    fn find(&mut self, path: &TargetPath) -> Option<Arc<DirHandle>> {
        self.uses += 1;
        let (handle, used) = self.handles.get_mut(path)?;
        *used = self.uses;
        Some(Arc::clone(handle))
    }

    fn insert(&mut self, handle: &Arc<DirHandle>) {
        if self.handles.len() >= CACHED_MAX {
            let oldest = self.handles.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(path) = oldest.map(|(path, _)| path.clone()) {
                self.handles.remove(&path);
            }
        }
        self.uses += 1;
        self.handles.insert(handle.path.clone(), (Arc::clone(handle), self.uses));
    }
}

impl Target {
    /// Makes the directory and those above it, or opens them if they are there.
    ///
    /// Anything else in the way, symbolic links above all, is unlinked and never followed. A new
    /// directory can be entered by its owner alone until [`Target::finish_directory`].
    pub(crate) fn make_directory(&self, path: &TargetPath) -> Result<Arc<DirHandle>, LocalError> {
        if let Some(handle) = self.cached(path) {
            return Ok(handle);
        }
        let Some((parent_path, name)) = path.split() else { return self.root_directory() };
        let parent = match self.cached(&parent_path) {
            Some(parent) => parent,
            // Evicted: one call opens it again, however deep it is.
            None => match self.open_beneath(&parent_path) {
                Ok(descriptor) => self.adopt(descriptor, parent_path, Made::Unknown)?,
                Err(_) => self.make_directory(&parent_path)?,
            },
        };
        for _ in 0..ATTEMPTS_MAX {
            match Self::make_or_open(&parent, name) {
                Ok((descriptor, made)) => return self.adopt(descriptor, path.clone(), made),
                // Somebody changes the name while it is looked at: look again.
                Err(Errno::EXIST | Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(parent.wrong(name, "make the directory", errno)),
            }
        }
        Err(parent.wrong(name, "make the directory", Errno::EXIST))
    }

    /// Opens a directory that is there, without making or replacing anything.
    pub(crate) fn open_directory(&self, path: &TargetPath) -> Result<Arc<DirHandle>, LocalError> {
        if let Some(handle) = self.cached(path) {
            return Ok(handle);
        }
        if path.as_bytes().is_empty() {
            return self.root_directory();
        }
        let wrong = |errno| LocalError::new(path.as_bytes(), "open", errno);
        let descriptor = self.open_beneath(path).map_err(wrong)?;
        self.adopt(descriptor, path.clone(), Made::Unknown)
    }

    /// Opens a directory if there is one; changes nothing.
    pub(crate) fn find_directory(
        &self,
        path: &TargetPath,
    ) -> Result<Option<Arc<DirHandle>>, LocalError> {
        if self.is_missing {
            return Ok(None);
        }
        if let Some(handle) = self.cached(path) {
            return Ok(Some(handle));
        }
        if path.as_bytes().is_empty() {
            return self.root_directory().map(Some);
        }
        match self.open_beneath(path) {
            Ok(descriptor) => self.adopt(descriptor, path.clone(), Made::Unknown).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => Ok(None),
            Err(errno) => Err(LocalError::new(path.as_bytes(), "open", errno)),
        }
    }

    fn make_or_open(parent: &DirHandle, name: &[u8]) -> Result<(OwnedFd, Made), Errno> {
        let made = match rustix::fs::mkdirat(parent, name, PRIVATE_DIRECTORY) {
            Ok(()) => Made::Now,
            Err(Errno::EXIST) => Made::Unknown,
            Err(errno) => return Err(errno),
        };
        match open_no_follow(parent.as_fd(), name) {
            Ok(descriptor) => Ok((descriptor, made)),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => {
                rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
                Err(Errno::EXIST)
            }
            Err(errno) => Err(errno),
        }
    }

    fn root_directory(&self) -> Result<Arc<DirHandle>, LocalError> {
        let wrong = |errno| LocalError::new(b"", "open", errno);
        let descriptor = open_no_follow(self.root.as_fd(), b".").map_err(wrong)?;
        self.adopt(descriptor, TargetPath::root(), Made::Unknown)
    }

    /// Looks at a directory that was opened, remembers what is needed of it, and caches it.
    fn adopt(
        &self,
        descriptor: OwnedFd,
        path: TargetPath,
        made: Made,
    ) -> Result<Arc<DirHandle>, LocalError> {
        let wrong = |call, errno| LocalError::new(path.as_bytes(), call, errno);
        let stat = Stat::of_descriptor(&descriptor).map_err(|errno| wrong("look at", errno))?;
        let place = (stat.inode.device, stat.inode.inode);
        if self.forbidden == Some(place) {
            return Err(wrong("restore into the repository at", Errno::PERM));
        }
        let mut has_default_acl = has_default_acl(descriptor.as_fd());
        let mut created_here = lock(&self.created);
        // A directory that somebody else put in the new one's place is not ours to trust.
        if made == Made::Now && stat.user_id == self.user_id && stat.mode & OTHERS_BITS == 0 {
            created_here.insert(place);
        }
        let created = created_here.contains(&place);
        drop(created_here);
        if made == Made::Now && has_default_acl {
            // Inherited from above; the entry's own comes when it is finished.
            has_default_acl = rustix::fs::fremovexattr(&descriptor, DEFAULT_ACL).is_err();
        }
        let opens_up = self.access != Access::Look && !self.is_root_user();
        if opens_up && stat.user_id == self.user_id && stat.mode & 0o700 != 0o700 {
            let bits = Mode::from_raw_mode(u32::from(stat.mode | 0o700));
            rustix::fs::fchmod(&descriptor, bits).map_err(|errno| wrong("open up", errno))?;
        }
        let handle = Arc::new(DirHandle { descriptor, path, created, stat, has_default_acl });
        self.note_device(&handle);
        lock(&self.cache).insert(&handle);
        Ok(handle)
    }

    pub(super) fn cached(&self, path: &TargetPath) -> Option<Arc<DirHandle>> {
        lock(&self.cache).find(path)
    }

    /// Remembers one directory of each file system, for the sync at the end.
    fn note_device(&self, handle: &Arc<DirHandle>) {
        if handle.stat.inode.device == self.device {
            return;
        }
        let mut others = lock(&self.other_devices);
        let known = |other: &Arc<DirHandle>| other.stat.inode.device == handle.stat.inode.device;
        if !others.iter().any(known) {
            others.push(Arc::clone(handle));
        }
    }

    pub(super) fn open_beneath(&self, path: &TargetPath) -> Result<OwnedFd, Errno> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let bytes = path.as_bytes();
        let short = !bytes.is_empty() && bytes.len() < PATH_BYTES_MAX;
        if short && self.has_openat2.load(Ordering::Relaxed) {
            match rustix::fs::openat2(&self.root, bytes, DIRECTORY, Mode::empty(), resolve) {
                Err(Errno::NOSYS) => self.has_openat2.store(false, Ordering::Relaxed),
                // The kernel could not exclude a race, or a container forbids the call; opening
                // the names one by one has no race.
                Err(Errno::AGAIN | Errno::PERM) => {}
                other => return other,
            }
        }
        let mut descriptor = open_no_follow(self.root.as_fd(), b".")?;
        for name in path.names() {
            descriptor = open_no_follow(descriptor.as_fd(), name)?;
        }
        Ok(descriptor)
    }
}

/// Whether a directory was made by the call that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Now,
    Unknown,
}

fn open_no_follow(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
}

fn has_default_acl(directory: BorrowedFd<'_>) -> bool {
    rustix::fs::fgetxattr(directory, DEFAULT_ACL, &mut [0_u8; 0]).is_ok()
}

/// Locks what no panic can leave half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;
const OTHERS_BITS: u16 = 0o077;
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// Most directories that are kept open.
const CACHED_MAX: usize = 256;
/// How often a name that somebody else keeps changing is tried.
const ATTEMPTS_MAX: u32 = 32;
/// Longest path that the kernel takes in one call, with its NUL.
const PATH_BYTES_MAX: usize = 4096;
