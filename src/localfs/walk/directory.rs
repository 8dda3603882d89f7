//! A directory of a walk: its path, and its descriptor while the budget allows.

use crate::format::tree::InodeNumber;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::descriptor::Descriptor;
use crate::localfs::descriptor::DescriptorBudget;
use crate::localfs::walk::roots::RootTree;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::OnceLock;

/// A directory that the walk has come to.
#[derive(Debug)]
pub(crate) struct Directory {
    parent: Option<Arc<Directory>>,
    /// Absolute, with a NUL at the end; the root's is the NUL alone.
    path: Box<[u8]>,
    name_start: usize,
    inode: InodeNumber,
    pub(super) scope: Scope,
    /// The places of the directories on the way in their parents: its order in the walk.
    pub(super) key: Box<[u32]>,
    budget: Arc<DescriptorBudget>,
    kept: OnceLock<Arc<Descriptor>>,
}

/// What is wanted of a directory.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// All of it; directories on other devices are not entered if a device is named.
    Everything { device: Option<u64> },
    /// The names that lead to chosen paths.
    Only(Arc<RootTree>),
}

impl Directory {
    /// The directory `/`.
    pub(super) fn root(budget: Arc<DescriptorBudget>, inode: InodeNumber, scope: Scope) -> Self {
        let kept = OnceLock::new();
        let (path, key) = (Box::from([0_u8]), Box::default());
        Self { parent: None, path, name_start: 0, inode, scope, key, budget, kept }
    }

    /// The directory `name` in `parent`, at place `index` of it.
    pub(super) fn child(parent: &Arc<Self>, entry: (&CStr, &Stat), index: u32, s: Scope) -> Self {
        let (name, stat) = entry;
        let path = [parent.path(), b"/", name.to_bytes_with_nul()].concat();
        Self {
            name_start: parent.path().len() + 1,
            parent: Some(Arc::clone(parent)),
            path: path.into_boxed_slice(),
            inode: stat.inode,
            scope: s,
            key: [&parent.key[..], &[index]].concat().into_boxed_slice(),
            budget: Arc::clone(&parent.budget),
            kept: OnceLock::new(),
        }
    }

    /// The absolute path; empty for `/`.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path[..self.path.len() - 1]
    }

    /// The path of `name` in this directory.
    pub(crate) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [self.path(), b"/", name].concat()
    }

    /// Opens the directory, or shares the descriptor that is open already.
    ///
    /// Opens the directories above first if their descriptors were not kept. Errors if one of
    /// them is another directory than the walk came to, or none.
    pub(crate) fn open(&self) -> Result<Arc<Descriptor>, LocalError> {
        if let Some(kept) = self.kept.get() {
            return Ok(Arc::clone(kept));
        }
        let wrong = |errno: Errno| LocalError::new(self.path(), "open", errno);
        let mut descriptor = self.open_to_list()?;
        let stat = Stat::of_descriptor(&descriptor).map_err(wrong)?;
        // A file system that was mounted by opening is no other directory.
        if stat.inode.inode != self.inode.inode && stat.inode.device == self.inode.device {
            return Err(wrong(Errno::STALE));
        }
        let may_keep = descriptor.keep(&self.budget);
        let shared = Arc::new(descriptor);
        if may_keep {
            return Ok(Arc::clone(self.kept.get_or_init(|| shared)));
        }
        Ok(shared)
    }

    /// Opens the directory for one listing, without keeping it.
    pub(super) fn open_to_list(&self) -> Result<Descriptor, LocalError> {
        let opened = match &self.parent {
            None => open_directory(rustix::fs::CWD.as_fd(), c"/", self.open_flags()),
            Some(parent) => open_directory(parent.open()?.as_fd(), self.name(), self.open_flags()),
        };
        opened.map_err(|errno| LocalError::new(self.path(), "open", errno))
    }

    /// Keeps the descriptor for what is below, if the budget allows.
    pub(super) fn keep(&self, mut descriptor: Descriptor) {
        if descriptor.keep(&self.budget) {
            self.kept.get_or_init(|| Arc::new(descriptor));
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.key.len()
    }

    /// Whether the directory was chosen itself, or leads to chosen ones.
    pub(super) fn is_root_or_above(&self) -> bool {
        let below = self.parent.as_ref();
        !below.is_some_and(|parent| matches!(parent.scope, Scope::Everything { .. }))
    }

    fn open_flags(&self) -> OFlags {
        match self.scope {
            Scope::Everything { .. } => OFlags::RDONLY | OFlags::NOFOLLOW,
            // The way to a chosen path may lead over symbolic links, and through directories
            // that can be passed but not read.
            Scope::Only(_) => OFlags::PATH,
        }
    }

    fn name(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.path[self.name_start..]).unwrap_or_default()
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr, more: OFlags) -> Result<Descriptor, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | more;
    // Without the owner's or root's right to leave the access time alone, it changes.
    let quiet = rustix::fs::openat(parent, name, flags | OFlags::NOATIME, Mode::empty());
    let opened = match quiet {
        Err(Errno::PERM) => rustix::fs::openat(parent, name, flags, Mode::empty()),
        other => other,
    };
    opened.map(Descriptor::passing)
}
