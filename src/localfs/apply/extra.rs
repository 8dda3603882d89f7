//! What a target holds and a snapshot lacks: listed and removed, never through a link, never on
//! another mount.

use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::Target;
use crate::localfs::apply::existing::c_name;
use crate::localfs::apply::path::TargetPath;
use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// A directory of the target on the same mount as the target itself.
#[derive(Debug)]
pub(crate) struct OpenListing {
    descriptor: OwnedFd,
    path: TargetPath,
    /// The names in it and what they stand for, in order.
    pub(crate) names: Vec<(Vec<u8>, FileKind)>,
}

impl OpenListing {
    /// Removes a name of a directory; a directory must be empty.
    pub(crate) fn remove(&self, name: &[u8], kind: FileKind) -> Result<(), LocalError> {
        let flags = match kind {
            FileKind::Directory => AtFlags::REMOVEDIR,
            FileKind::File
            | FileKind::Symlink
            | FileKind::Fifo
            | FileKind::Socket
            | FileKind::CharacterDevice
            | FileKind::BlockDevice => AtFlags::empty(),
        };
        let path = self.path.join(name)?;
        let wrong = |errno| LocalError::new(path.as_bytes(), "delete", errno);
        let name = c_name(name).map_err(wrong)?;
        match rustix::fs::unlinkat(&self.descriptor, &name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(wrong(errno)),
        }
    }
}

impl Target {
    /// Lists a directory; none if it is not there or lies on another mount.
    pub(crate) fn list(&self, path: &TargetPath) -> Result<Option<OpenListing>, LocalError> {
        if self.is_missing {
            return Ok(None);
        }
        let wrong = |call, errno| LocalError::new(path.as_bytes(), call, errno);
        let descriptor = match self.open_same_mount(path) {
            Ok(descriptor) => descriptor,
            Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(wrong("open", errno)),
        };
        let stat = Stat::of_descriptor(&descriptor).map_err(|errno| wrong("look at", errno))?;
        let place = (stat.inode.device, stat.inode.inode);
        if stat.inode.device != self.device || self.forbidden == Some(place) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&descriptor).map_err(|errno| wrong("list", errno))? {
            let entry = entry.map_err(|errno| wrong("list", errno))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            match Stat::of_entry(&descriptor, entry.file_name()) {
                Ok(stat) => names.push((name.to_vec(), stat.kind)),
                // Gone meanwhile.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(wrong("look at", errno)),
            }
        }
        names.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        Ok(Some(OpenListing { descriptor, path: path.clone(), names }))
    }

    /// Lets the user who restores remove names of a directory of theirs; to be finished anew after.
    pub(crate) fn open_up(&self, listing: &OpenListing) {
        let Ok(stat) = Stat::of_descriptor(&listing.descriptor) else { return };
        if !self.is_root_user() && stat.user_id == self.user_id && stat.mode & 0o700 != 0o700 {
            let bits = Mode::from_raw_mode(u32::from(stat.mode | 0o700));
            // If it fails, so does what is removed, which is told.
            rustix::fs::fchmod(&listing.descriptor, bits).ok();
        }
    }

    /// Opens a directory without leaving the mount of the target; bind mounts count as others.
    fn open_same_mount(&self, path: &TargetPath) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let bytes = path.as_bytes();
        let bytes = if bytes.is_empty() { b"." } else { bytes };
        match rustix::fs::openat2(&self.root, bytes, flags, Mode::empty(), resolve) {
            // Too long for one call, or a kernel or container without it: the device is compared.
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::NAMETOOLONG) => {
                self.open_beneath(path)
            }
            other => other,
        }
    }
}
