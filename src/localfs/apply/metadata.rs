//! Owners, modes, attributes, times and flags, in the order in which one does not undo another:
//! owner (clears set-id bits), attributes (need the right to write), mode, times, flags.

use crate::format::tree::ExtendedAttribute;
use crate::format::tree::Owner;
use crate::format::tree::Timestamp;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::EntryMetadata;
use crate::localfs::apply::Ownership;
use crate::localfs::apply::Target;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::report::Aspect;
use crate::localfs::apply::report::NotApplied;
use crate::localfs::apply::report::Reason;
use crate::localfs::attributes::xattrs_of_descriptor;
use rustix::fs::Gid;
use rustix::fs::IFlags;
use rustix::fs::Mode;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::UTIME_OMIT;
use rustix::fs::Uid;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// What an entry has before anything is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) user_id: u32,
    pub(super) group_id: u32,
    pub(super) mode: u16,
    /// Whether it took an ACL from its directory.
    pub(super) inherited_acl: bool,
    /// The last change, if it need not be set where it is right.
    pub(super) modified: Option<Timestamp>,
    /// Attributes that it has.
    pub(super) xattrs: &'a [ExtendedAttribute],
}

/// Makes the path of an entry, relative to the target; only called when something fails.
pub(super) type PathOf<'a> = &'a dyn Fn() -> Vec<u8>;

impl<'a> Known<'a> {
    pub(super) fn from_stat(stat: &Stat, inherited_acl: bool) -> Self {
        let Stat { user_id, group_id, mode, .. } = *stat;
        Self { user_id, group_id, mode, inherited_acl, modified: None, xattrs: &[] }
    }

    /// Of an entry that was there before: what is right already is left alone.
    pub(super) fn of_existing(stat: &Stat, xattrs: &'a [ExtendedAttribute]) -> Self {
        let modified = Some(stat.modified);
        Self { modified, xattrs, ..Self::from_stat(stat, false) }
    }
}

impl Target {
    /// Applies a directory's metadata. To be called after its contents and before the directory
    /// above it.
    pub(crate) fn finish_directory(
        &self,
        path: &TargetPath,
        wanted: EntryMetadata<'_>,
    ) -> Result<(), LocalError> {
        let directory = self.open_directory(path)?;
        let stat = Stat::of_descriptor(&directory)
            .map_err(|errno| LocalError::new(path.as_bytes(), "look at", errno))?;
        let path = || path.as_bytes().to_vec();
        let xattrs = xattrs_of_descriptor(&directory).unwrap_or_default();
        let known = Known::of_existing(&stat, &xattrs);
        self.apply_to_open(directory.as_fd(), &path, known, wanted);
        self.apply_flags(directory.as_fd(), &path, wanted);
        Ok(())
    }

    /// Applies everything but the flags.
    pub(super) fn apply_to_open(
        &self,
        file: BorrowedFd<'_>,
        path: PathOf<'_>,
        known: Known<'_>,
        wanted: EntryMetadata<'_>,
    ) {
        let change = |user, group| rustix::fs::fchown(file, user, group);
        let is_owner_right = self.apply_owner(path, known, wanted.owner, change);
        let set = |attribute: &ExtendedAttribute| {
            let ExtendedAttribute { name, value } = attribute;
            rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty())
        };
        let missing = wanted.metadata.xattrs.iter();
        let missing = missing.filter(|attribute| !known.xattrs.contains(attribute));
        let set_acl = self.apply_attributes(path, missing, set);
        if known.inherited_acl && !set_acl {
            self.note(path, Aspect::Attribute, remove_acl(file));
        }
        let mode = self.mode_to_set(path, wanted.metadata.mode, is_owner_right);
        let owner_changed = (known.user_id, known.group_id) != self.owner_to_set(wanted.owner);
        let special = mode & 0o7000 != 0 && owner_changed;
        if mode != known.mode || special || set_acl || known.inherited_acl {
            let bits = Mode::from_raw_mode(u32::from(mode));
            self.note(path, Aspect::Mode, rustix::fs::fchmod(file, bits));
        }
        if known.modified != Some(wanted.metadata.modified) {
            self.note(path, Aspect::Times, rustix::fs::futimens(file, &times(wanted)));
        }
    }

    /// Sets the flags that `chattr` sets; no other change is possible after an immutable one.
    pub(super) fn apply_flags(
        &self,
        file: BorrowedFd<'_>,
        path: PathOf<'_>,
        wanted: EntryMetadata<'_>,
    ) {
        let recorded = IFlags::from_bits_retain(wanted.metadata.flags);
        let mut flags = recorded & (FREE_FLAGS | GRANTED_FLAGS);
        if !self.may_grant() && flags.intersects(GRANTED_FLAGS) {
            self.miss(path, Aspect::Flags, Reason::Untrusted);
            flags = flags.difference(GRANTED_FLAGS);
        }
        if flags.is_empty() {
            return;
        }
        let set = rustix::fs::ioctl_getflags(file)
            .and_then(|current| rustix::fs::ioctl_setflags(file, current | flags));
        self.note(path, Aspect::Flags, set);
    }

    /// Changes the owner if it must and may be; returns whether the owner is the recorded one.
    pub(super) fn apply_owner(
        &self,
        path: PathOf<'_>,
        known: Known<'_>,
        owner: &Owner,
        change: impl FnOnce(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> bool {
        let (user, group) = self.owner_to_set(owner);
        if (user, group) == (known.user_id, known.group_id) {
            return true;
        }
        if self.options.ownership == Ownership::Keep {
            return false;
        }
        let own_file = user == known.user_id && !self.is_root_user();
        if !self.may_grant() && !own_file {
            self.miss(path, Aspect::Ownership, Reason::Untrusted);
            return false;
        }
        // The number that means "leave it" is nobody's.
        let (Some(user), Some(group)) = (valid_id(user), valid_id(group)) else {
            self.note(path, Aspect::Ownership, Err(Errno::INVAL));
            return false;
        };
        let user = (user != known.user_id).then(|| Uid::from_raw(user));
        let changed = change(user, Some(Gid::from_raw(group)));
        self.note(path, Aspect::Ownership, changed);
        changed.is_ok()
    }

    /// Sets what may be set; returns whether an access ACL was among it.
    pub(super) fn apply_attributes<'a>(
        &self,
        path: PathOf<'_>,
        attributes: impl Iterator<Item = &'a ExtendedAttribute>,
        set: impl Fn(&ExtendedAttribute) -> Result<(), Errno>,
    ) -> bool {
        let mut set_acl = false;
        for attribute in attributes {
            let done = if is_free(attribute) || self.may_grant() {
                set(attribute).map_err(|errno| Reason::Refused(errno.into()))
            } else {
                Err(Reason::Untrusted)
            };
            match done {
                Ok(()) => set_acl |= attribute.name == ACCESS_ACL.as_bytes(),
                Err(why) => {
                    let name = Some(attribute.name.clone());
                    self.miss_named(path, (Aspect::Attribute, name), why);
                }
            }
        }
        set_acl
    }

    /// The mode without the set-id bits, unless they may be given and count for the right owner.
    pub(super) fn mode_to_set(&self, path: PathOf<'_>, mode: u16, is_owner_right: bool) -> u16 {
        if mode & SET_ID_BITS == 0 || (self.may_grant() && is_owner_right) {
            return mode & 0o7777;
        }
        let why = if self.may_grant() { Reason::OtherOwner } else { Reason::Untrusted };
        self.miss(path, Aspect::SetId, why);
        mode & 0o7777 & !SET_ID_BITS
    }

    /// What a new file has for certain, as far as the directory does not decide on it.
    pub(super) fn known_at_creation(&self, directory: &DirHandle, mode: u16) -> Option<Known<'_>> {
        let mode = mode & !self.umask?;
        // A directory of ours also shows that this file system does not choose owners itself.
        let (user_id, group_id) = (self.user_id, self.group_id);
        let ours = (directory.stat.user_id, directory.stat.group_id) == (user_id, group_id);
        let plain = ours && !directory.has_default_acl;
        let inherited_acl = false;
        plain.then_some(Known {
            user_id,
            group_id,
            mode,
            inherited_acl,
            modified: None,
            xattrs: &[],
        })
    }

    /// The mode to make a file with: the final one if nobody can gain by it before the end.
    pub(super) fn mode_at_creation(&self, dir: &DirHandle, wanted: EntryMetadata<'_>) -> u16 {
        let Some(known) = self.known_at_creation(dir, wanted.metadata.mode) else { return 0o600 };
        let keeps = self.options.ownership == Ownership::Keep
            || (known.user_id, known.group_id) == self.owner_to_set(wanted.owner);
        let plain = keeps && wanted.metadata.xattrs.is_empty();
        if plain { wanted.metadata.mode & 0o777 } else { 0o600 }
    }

    pub(super) fn note(&self, path: PathOf<'_>, aspect: Aspect, done: Result<(), Errno>) {
        if let Err(errno) = done {
            self.miss(path, aspect, Reason::Refused(errno.into()));
        }
    }

    pub(super) fn miss(&self, path: PathOf<'_>, aspect: Aspect, why: Reason) {
        self.miss_named(path, (aspect, None), why);
    }

    fn miss_named(&self, path: PathOf<'_>, what: (Aspect, Option<Vec<u8>>), why: Reason) {
        let path = PathBuf::from(OsStr::from_bytes(&path()));
        let (aspect, attribute) = what;
        self.missing.add(NotApplied { path, aspect, attribute, why });
    }

    pub(super) fn owner_to_set(&self, owner: &Owner) -> (u32, u32) {
        match self.options.ownership {
            Ownership::Names => self.names.ids_by_name(owner),
            Ownership::Ids | Ownership::Keep => (owner.user_id, owner.group_id),
        }
    }
}

/// The recorded time of change; the time of access is left as it is.
pub(super) fn times(wanted: EntryMetadata<'_>) -> Timestamps {
    let modified = wanted.metadata.modified;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: i64::from(modified.nanoseconds),
        },
    }
}

/// What this process takes from the modes of new files; none where the kernel does not tell.
pub(super) fn process_umask() -> Option<u16> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u16::from_str_radix(value.trim(), 8).ok()
}

fn remove_acl(file: BorrowedFd<'_>) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(file, ACCESS_ACL) {
        Err(Errno::NODATA) => Ok(()),
        other => other,
    }
}

pub(super) fn valid_id(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// Whether an attribute gives nobody a right beyond the restored files.
pub(super) fn is_free(attribute: &ExtendedAttribute) -> bool {
    FREE_PREFIXES.iter().any(|prefix| attribute.name.starts_with(prefix))
}

pub(super) const SET_ID_BITS: u16 = 0o6000;
const ACCESS_ACL: &str = "system.posix_acl_access";
/// Attributes that give nobody a right beyond the restored files.
const FREE_PREFIXES: [&[u8]; 2] = [b"user.", b"system.posix_acl_"];
/// Flags that an owner may set.
pub(super) const FREE_FLAGS: IFlags = IFlags::NODUMP.union(IFlags::COMPRESSED);
/// Flags that keep even the owner from removing a file.
pub(super) const GRANTED_FLAGS: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);
