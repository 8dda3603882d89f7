//! What is in the target already: looked at, read and kept where it is right.

use crate::format::tree::ExtendedAttribute;
use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::EntryMetadata;
use crate::localfs::apply::Ownership;
use crate::localfs::apply::Target;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::metadata::FREE_FLAGS;
use crate::localfs::apply::metadata::GRANTED_FLAGS;
use crate::localfs::apply::metadata::Known;
use crate::localfs::apply::metadata::SET_ID_BITS;
use crate::localfs::apply::metadata::is_free;
use crate::localfs::apply::metadata::valid_id;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::attributes::xattrs_of_descriptor;
use crate::localfs::attributes::xattrs_of_name;
use crate::units::to_u64;
use crate::units::to_usize;
use rustix::fs::Advice;
use rustix::fs::IFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::ffi::CString;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;

/// A regular file of the target, open for reading.
#[derive(Debug)]
pub(crate) struct ExistingFile {
    file: OwnedFd,
    /// As it was when it was opened.
    pub(crate) stat: Stat,
    xattrs: Vec<ExtendedAttribute>,
}

impl ExistingFile {
    /// Fills `buffer` from `offset` on; false if the file cannot be read so far.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = offset.checked_add(to_u64(done)) else { return false };
            match rustix::io::pread(&self.file, &mut buffer[done..], at) {
                Ok(0) => return false,
                Ok(length) => done += length,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether the file holds nothing but zeros there; holes are passed over.
    pub(crate) fn is_zero(&self, range: Range<u64>) -> bool {
        let mut buffer = vec![0; ZERO_BYTES];
        let mut at = range.start;
        while at < range.end {
            match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) if data >= range.end => return true,
                Ok(data) => at = data.max(at),
                // No data from here on.
                Err(Errno::NXIO) => return true,
                // The file system does not know of holes.
                Err(_) => {}
            }
            let length = to_usize((range.end - at).min(to_u64(buffer.len())));
            let Some(part) = buffer.get_mut(..length) else { return false };
            if !self.read_at(at, part) || part.iter().any(|byte| *byte != 0) {
                return false;
            }
            at += to_u64(length);
        }
        true
    }

    /// Asks the system to forget what it keeps of the file, so that it is read from the disk.
    pub(crate) fn drop_cache(&self) {
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed).ok();
    }
}

impl DirHandle {
    /// What has the name, without following it.
    pub(crate) fn look(&self, name: &[u8]) -> Result<Option<Stat>, LocalError> {
        let wrong = |errno| self.wrong(name, "look at", errno);
        match Stat::of_entry(self, &c_name(name).map_err(wrong)?) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(wrong(errno)),
        }
    }

    /// Opens a regular file; none if it is something else or cannot be read.
    pub(crate) fn open_existing(&self, name: &[u8]) -> Option<ExistingFile> {
        let flags = OFlags::RDONLY
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::NOATIME
            | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(self, name, flags, Mode::empty());
        // Only the owner may leave the time of access alone.
        let file = open(flags).or_else(|_| open(flags.difference(OFlags::NOATIME))).ok()?;
        let stat = Stat::of_descriptor(&file).ok()?;
        if stat.kind != FileKind::File {
            return None;
        }
        let xattrs = xattrs_of_descriptor(&file).ok()?;
        Some(ExistingFile { file, stat, xattrs })
    }

    /// Where a symbolic link leads to; none if it cannot be read.
    pub(crate) fn link_target(&self, name: &[u8]) -> Option<Vec<u8>> {
        let found = rustix::fs::readlinkat(self, name, Vec::new());
        found.ok().map(CString::into_bytes)
    }
}

impl Target {
    /// What stands at a path; none if that cannot be seen.
    ///
    /// Does not open the directory up: it may be finished, and nobody would take the rights away
    /// again.
    pub(crate) fn stat_at(&self, path: &TargetPath) -> Option<Stat> {
        let (parent, name) = path.split()?;
        if self.is_missing {
            return None;
        }
        if let Some(handle) = self.cached(&parent) {
            return handle.look(name).ok()?;
        }
        let parent = self.open_beneath(&parent).ok()?;
        Stat::of_entry(&parent, &c_name(name).ok()?).ok()
    }

    /// Whether a file of the right content can stay, and whether it must be touched for that.
    ///
    /// A file with other names is not changed: they may lie outside the target. One that has
    /// attributes that the wanted one lacks is better made anew.
    pub(crate) fn fit(&self, file: &ExistingFile, wanted: EntryMetadata<'_>) -> Fit {
        let differs = self.differs(&file.stat, &file.xattrs, wanted);
        let names = |attribute: &ExtendedAttribute| {
            wanted.metadata.xattrs.iter().any(|other| other.name == attribute.name)
        };
        let has_more = file.xattrs.iter().any(|attribute| is_free(attribute) && !names(attribute));
        let is_linked = file.stat.links > 1;
        match (has_more, is_linked, differs) {
            (true, _, _) | (_, true, true) => Fit::Replace,
            (false, true, false) if wanted.metadata.links <= 1 => Fit::Replace,
            (false, _, false) => Fit::Right,
            (false, false, true) => Fit::Touch,
        }
    }

    /// Applies what differs to a file that stays.
    pub(crate) fn refresh(
        &self,
        (directory, name): (&DirHandle, &[u8]),
        file: &ExistingFile,
        wanted: EntryMetadata<'_>,
    ) {
        let path = || directory.path_of(name);
        let known = Known::of_existing(&file.stat, &file.xattrs);
        self.apply_to_open(file.file.as_fd(), &path, known, wanted);
        self.apply_flags(file.file.as_fd(), &path, wanted);
    }

    /// Whether a directory has other metadata than it would get.
    pub(crate) fn directory_differs(
        &self,
        directory: &DirHandle,
        wanted: EntryMetadata<'_>,
    ) -> bool {
        let xattrs = xattrs_of_descriptor(directory).unwrap_or_default();
        let stat = Stat::of_descriptor(directory).unwrap_or(directory.stat);
        self.differs(&stat, &xattrs, wanted)
    }

    /// Whether an entry that is no file has other metadata than it would get.
    pub(crate) fn entry_differs(
        &self,
        (directory, name): (&DirHandle, &[u8]),
        stat: &Stat,
        wanted: EntryMetadata<'_>,
    ) -> bool {
        let xattrs = xattrs_of_name(directory, name).unwrap_or_default();
        self.differs(stat, &xattrs, wanted)
    }

    /// Whether anything that may be set differs.
    fn differs(
        &self,
        stat: &Stat,
        xattrs: &[ExtendedAttribute],
        wanted: EntryMetadata<'_>,
    ) -> bool {
        let metadata = wanted.metadata;
        let (user, group) = self.owner_to_set(wanted.owner);
        let same_owner = (user, group) == (stat.user_id, stat.group_id);
        let own_file = user == stat.user_id && !self.is_root_user();
        let may_own = self.options.ownership != Ownership::Keep
            && (self.may_grant() || own_file)
            && valid_id(user).is_some()
            && valid_id(group).is_some();
        let keeps_set_id = self.may_grant() && (same_owner || may_own);
        let mask = if keeps_set_id { 0o7777 } else { 0o7777 & !SET_ID_BITS };
        let other_mode = stat.kind != FileKind::Symlink && metadata.mode & mask != stat.mode;
        let lacks = |attribute: &ExtendedAttribute| {
            (is_free(attribute) || self.may_grant()) && !xattrs.contains(attribute)
        };
        let granted = if self.may_grant() { GRANTED_FLAGS } else { IFlags::empty() };
        let flags = IFlags::from_bits_retain(metadata.flags) & (FREE_FLAGS | granted);
        let has_flags = IFlags::from_bits_retain(stat.flags).contains(flags);
        (!same_owner && may_own)
            || other_mode
            || stat.modified != metadata.modified
            || metadata.xattrs.iter().any(lacks)
            || !(has_flags || stat.kind == FileKind::Symlink)
    }
}

/// What is to be done with a file that has the right content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Nothing.
    Right,
    /// Its metadata is set.
    Touch,
    /// It is made anew.
    Replace,
}

/// A name as the system takes it.
pub(super) fn c_name(name: &[u8]) -> Result<CString, Errno> {
    CString::new(name).map_err(|_nul| Errno::INVAL)
}

/// What is read at once to see whether it is zero.
const ZERO_BYTES: usize = 64 * 1024;
