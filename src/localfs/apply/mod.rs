//! The target of a restore: entries made below one directory, whatever else happens there.
//! Invariant: nothing outside the target is opened, written or changed. Spec: no link is ever
//! followed, and every call on metadata goes to a descriptor of the entry itself.

pub(crate) mod directory;
pub(crate) mod existing;
pub(crate) mod extra;
pub(crate) mod file;
pub(crate) mod leftovers;
mod metadata;
pub(crate) mod path;
pub(crate) mod report;
pub(crate) mod special;
mod writeback;

use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::directory::DirCache;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::directory::lock;
use crate::localfs::apply::report::ApplyReport;
use crate::localfs::apply::report::Collector;
use crate::localfs::apply::writeback::Writeback;
use crate::localfs::names::OwnerNames;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;

/// Whose the restored entries become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The user's who restores.
    Keep,
    /// The recorded numbers'.
    Ids,
    /// The recorded names' where this host knows them, else the recorded numbers'.
    Names,
}

/// Whether the snapshot may give out rights on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// No set-id bits, devices, foreign owners, security attributes and immutable files.
    Untrusted,
    /// Everything that the user who restores may set; without root that is little more.
    Trusted,
}

/// How a restore applies metadata.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApplyOptions {
    /// Whose the entries become.
    pub(crate) ownership: Ownership,
    /// Whether the snapshot may give out rights.
    pub(crate) trust: Trust,
}

/// What a restore may do in its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Make entries, in place of others.
    Replace,
    /// Make entries where there are none.
    Add,
    /// Nothing but look.
    Look,
}

/// What an entry had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryMetadata<'a> {
    /// The entry's record.
    pub(crate) metadata: &'a Metadata,
    /// The owner that the record names by its place.
    pub(crate) owner: &'a Owner,
}

/// The directory that a restore writes to. Any number of threads may use it.
#[derive(Debug)]
pub(crate) struct Target {
    root: OwnedFd,
    device: u64,
    access: Access,
    /// Whether there is no such directory; only where the restore does nothing but look.
    is_missing: bool,
    /// Device and inode of a directory that nothing may be written to: the repository's.
    forbidden: Option<(u64, u64)>,
    options: ApplyOptions,
    names: OwnerNames,
    user_id: u32,
    group_id: u32,
    /// What the process takes from the modes of new files, if it is known.
    umask: Option<u16>,
    has_openat2: AtomicBool,
    /// Makes temporary names that other restores do not have.
    temporary_base: u64,
    temporary_count: AtomicU64,
    cache: Mutex<DirCache>,
    /// Device and inode of each directory that this restore made.
    created: Mutex<HashSet<(u64, u64)>>,
    other_devices: Mutex<Vec<Arc<DirHandle>>>,
    missing: Collector,
    writeback: Writeback,
}

impl Target {
    #[cfg(test)]
    pub(crate) fn open(path: &Path, options: ApplyOptions) -> Result<Arc<Self>, LocalError> {
        Self::open_for(path, options, Access::Replace, None)
    }

    /// Opens the directory, and makes it and those above it if they are missing and not only to be
    /// looked at.
    ///
    /// `path` is the user's choice: symbolic links on the way to it are followed.
    ///
    /// Errors with [`LOCK`] if another restore writes below the directory.
    pub(crate) fn open_for(
        path: &Path,
        options: ApplyOptions,
        access: Access,
        forbidden: Option<(u64, u64)>,
    ) -> Result<Arc<Self>, LocalError> {
        let bytes = path.as_os_str().as_bytes();
        let wrong = |call, source: io::Error| LocalError::new(bytes, call, source);
        let existed = path.is_dir();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let is_missing = access == Access::Look && !existed;
        if access != Access::Look {
            DirBuilder::new().recursive(true).create(path).map_err(|e| wrong("make", e))?;
        }
        // Nothing is looked up below a target that is missing.
        let path = if is_missing { Path::new("/") } else { path };
        let root = rustix::fs::open(path, flags, Mode::empty());
        let root = root.map_err(|errno| wrong("open", errno.into()))?;
        if access != Access::Look {
            leftovers::lock_target(&root).map_err(|errno| wrong(LOCK, errno.into()))?;
        }
        let stat = Stat::of_descriptor(&root).map_err(|errno| wrong("look at", errno.into()))?;
        let temporary_base = getrandom::u64()
            .map_err(|error| wrong("name files in", io::Error::other(error.to_string())))?;
        let place = (stat.inode.device, stat.inode.inode);
        let created = if existed || is_missing { HashSet::new() } else { HashSet::from([place]) };
        let writeback = Writeback::start(&root, access != Access::Look);
        Ok(Arc::new(Self {
            root,
            device: stat.inode.device,
            access,
            is_missing,
            forbidden,
            options,
            names: OwnerNames::load()?,
            user_id: rustix::process::geteuid().as_raw(),
            group_id: rustix::process::getegid().as_raw(),
            umask: metadata::process_umask(),
            has_openat2: AtomicBool::new(true),
            temporary_base,
            temporary_count: AtomicU64::new(0),
            cache: Mutex::default(),
            created: Mutex::new(created),
            other_devices: Mutex::default(),
            missing: Collector::default(),
            writeback,
        }))
    }

    /// Writes everything to the disks, and tells what could not be applied.
    ///
    /// To be called once all files and directories are finished; blocks for as long as the
    /// disks take.
    pub(crate) fn finish(&self) -> Result<ApplyReport, LocalError> {
        let wrong = |errno| LocalError::new(b"", "sync", errno);
        self.writeback.finish().map_err(wrong)?;
        rustix::fs::syncfs(&self.root).map_err(wrong)?;
        for directory in lock(&self.other_devices).drain(..) {
            rustix::fs::syncfs(&directory).map_err(wrong)?;
        }
        Ok(self.missing.take())
    }

    fn is_root_user(&self) -> bool {
        self.user_id == 0
    }

    /// Whether the snapshot may give out rights.
    pub(crate) fn may_grant(&self) -> bool {
        self.is_root_user() && self.options.trust == Trust::Trusted
    }
}

/// What failed if another restore has the target.
pub(crate) const LOCK: &str = "lock";

#[cfg(test)]
mod tests;
