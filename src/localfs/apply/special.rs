//! Everything that is neither a file nor a directory: links, pipes, sockets, devices.

use crate::format::tree::DeviceNumber;
use crate::format::tree::ExtendedAttribute;
use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::EntryMetadata;
use crate::localfs::apply::Target;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::metadata::Known;
use crate::localfs::apply::metadata::PathOf;
use crate::localfs::apply::metadata::times;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::path::check_name;
use crate::localfs::apply::report::Aspect;
use crate::localfs::apply::report::Reason;
use crate::localfs::attributes::path_by_descriptor;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;

/// An entry that has no content of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

impl Target {
    /// Makes a symbolic link, in place of any file there. Best made after all files.
    pub(crate) fn make_symlink(
        &self,
        (directory, name): (&DirHandle, &[u8]),
        link_target: &[u8],
        wanted: EntryMetadata<'_>,
    ) -> Result<(), LocalError> {
        let make = |name: &[u8]| rustix::fs::symlinkat(link_target, directory, name);
        let apply = |name: &[u8]| self.apply_to_entry(directory, name, FileKind::Symlink, wanted);
        self.place(directory, name, make, apply)
    }

    /// Makes a pipe, a socket or a device, in place of any file there.
    ///
    /// Devices are made by trusted restores as root only; others report them.
    pub(crate) fn make_special(
        &self,
        (directory, name): (&DirHandle, &[u8]),
        special: Special,
        wanted: EntryMetadata<'_>,
    ) -> Result<(), LocalError> {
        let (file_type, kind, number) = match special {
            Special::Fifo => (FileType::Fifo, FileKind::Fifo, None),
            Special::Socket => (FileType::Socket, FileKind::Socket, None),
            Special::CharacterDevice(number) => {
                (FileType::CharacterDevice, FileKind::CharacterDevice, Some(number))
            }
            Special::BlockDevice(number) => {
                (FileType::BlockDevice, FileKind::BlockDevice, Some(number))
            }
        };
        if number.is_some() && !self.may_grant() {
            self.miss(&|| directory.path_of(name), Aspect::Device, Reason::Untrusted);
            return Ok(());
        }
        let device = number.map_or(0, |number| rustix::fs::makedev(number.major, number.minor));
        let make = |name: &[u8]| rustix::fs::mknodat(directory, name, file_type, PRIVATE, device);
        let apply = |name: &[u8]| self.apply_to_entry(directory, name, kind, wanted);
        self.place(directory, name, make, apply)
    }

    /// Gives a file that this restore finished another name, in place of any file there.
    pub(crate) fn make_hard_link(
        &self,
        existing: &TargetPath,
        (directory, name): (&DirHandle, &[u8]),
    ) -> Result<(), LocalError> {
        let wrong = |errno| LocalError::new(existing.as_bytes(), "link", errno);
        let (parent, existing_name) = existing.split().ok_or_else(|| wrong(Errno::ISDIR))?;
        // Not opened up: the directory may be finished, and nobody would take the rights away again.
        let cached = self.cached(&parent);
        let opened;
        let parent = if let Some(handle) = &cached {
            handle.as_fd()
        } else {
            opened = self.open_beneath(&parent).map_err(wrong)?;
            opened.as_fd()
        };
        let make = |name: &[u8]| {
            rustix::fs::linkat(parent, existing_name, directory, name, AtFlags::empty())
        };
        self.place(directory, name, make, |_| Ok(()))
    }

    /// Makes an entry under its name where nothing can be in the way, else under a temporary one.
    fn place(
        &self,
        directory: &DirHandle,
        name: &[u8],
        make: impl Fn(&[u8]) -> Result<(), Errno>,
        apply: impl Fn(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), LocalError> {
        let wrong = |errno| directory.wrong(name, "make", errno);
        check_name(name).map_err(wrong)?;
        if directory.created {
            return make(name).and_then(|()| apply(name)).map_err(wrong);
        }
        let temporary = self.temporary_name();
        make(&temporary).map_err(wrong)?;
        let renamed = apply(&temporary).and_then(|()| self.rename(directory, &temporary, name));
        // Also after a rename: between two names of one inode it does nothing.
        let unlinked = rustix::fs::unlinkat(directory, temporary.as_slice(), AtFlags::empty());
        renamed.map_err(wrong)?;
        match unlinked {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(wrong(errno)),
        }
    }

    /// Applies metadata through a descriptor of the entry itself, which nothing can replace.
    fn apply_to_entry(
        &self,
        directory: &DirHandle,
        name: &[u8],
        kind: FileKind,
        wanted: EntryMetadata<'_>,
    ) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        let stat = Stat::of_descriptor(&entry)?;
        // Somebody put another entry in its place: it must not get this one's owner.
        if stat.kind != kind || stat.links != 1 {
            return Err(Errno::STALE);
        }
        let path = || directory.path_of(name);
        let known = Known::from_stat(&stat, directory.has_default_acl);
        let change =
            |user, group| rustix::fs::chownat(&entry, c"", user, group, AtFlags::EMPTY_PATH);
        let is_owner_right = self.apply_owner(&path, known, wanted.owner, change);
        let by_descriptor = path_by_descriptor(directory, name);
        let set = |attribute: &ExtendedAttribute| {
            let ExtendedAttribute { name, value } = attribute;
            let path = by_descriptor.as_slice();
            rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty())
        };
        self.apply_attributes(&path, wanted.metadata.xattrs.iter(), set);
        if kind != FileKind::Symlink {
            let mode = self.mode_to_set(&path, wanted.metadata.mode, is_owner_right);
            self.note(&path, Aspect::Mode, change_mode(entry.as_fd(), mode));
        }
        self.apply_entry_times(entry.as_fd(), (directory, name), &path, wanted);
        Ok(())
    }

    fn apply_entry_times(
        &self,
        entry: BorrowedFd<'_>,
        (directory, name): (&DirHandle, &[u8]),
        path: PathOf<'_>,
        wanted: EntryMetadata<'_>,
    ) {
        let times = times(wanted);
        let set = match rustix::fs::utimensat(entry, c"", &times, AtFlags::EMPTY_PATH) {
            // Kernels before 5.8 take only names here; a time harms nobody.
            Err(Errno::INVAL | Errno::NOENT) => {
                rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
            other => other,
        };
        self.note(path, Aspect::Times, set);
    }
}

/// The mode of what cannot be opened: the descriptor's own entry in `/proc` leads to it.
fn change_mode(entry: BorrowedFd<'_>, mode: u16) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(u32::from(mode)))
}

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
