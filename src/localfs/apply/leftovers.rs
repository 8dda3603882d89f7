//! Temporary names: recognized when a killed restore left them behind, and locked while their
//! restore lives.

use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::apply::Target;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::existing::c_name;
use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

impl Target {
    /// A name that no file has, in the directory of the one that it is for.
    pub(super) fn temporary_name(&self) -> Vec<u8> {
        let count = self.temporary_count.fetch_add(1, Ordering::Relaxed);
        let number = self.temporary_base.wrapping_add(count.wrapping_mul(TEMPORARY_STEP));
        let number = number >> CHECK_BITS;
        format!("{PREFIX}{number:012x}{:04x}", check_of(number)).into_bytes()
    }

    /// Gives an entry its name: in place of others, if this restore replaces them and the
    /// directory is not its own.
    ///
    /// In a directory of its own, a name that is there already means that the file system takes
    /// two names for one.
    pub(super) fn rename(
        &self,
        directory: &DirHandle,
        temporary: &[u8],
        name: &[u8],
    ) -> Result<(), Errno> {
        if !directory.created && self.access == crate::localfs::apply::Access::Replace {
            return rustix::fs::renameat(directory, temporary, directory, name);
        }
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(directory, temporary, directory, name, flags) {
            // Not every file system has it; a link never replaces anything.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(directory, temporary, directory, name, AtFlags::empty())?;
                rustix::fs::unlinkat(directory, temporary, AtFlags::empty())
            }
            other => other,
        }
    }

    /// Removes what restores that no longer run left in a directory; returns how many names.
    ///
    /// Only names of the form that restores give, with a check number, of this user, and locked by
    /// nobody.
    pub(crate) fn remove_leftovers(&self, directory: &DirHandle) -> Result<u64, LocalError> {
        if directory.created {
            return Ok(0);
        }
        let wrong = |errno| directory.wrong(b"", "list", errno);
        let mut found = Vec::new();
        for entry in Dir::read_from(directory).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let name = entry.file_name().to_bytes();
            if is_temporary(name) {
                found.push(name.to_vec());
            }
        }
        let removed = found.iter().filter(|name| self.remove_leftover(directory, name)).count();
        Ok(crate::units::to_u64(removed))
    }

    fn remove_leftover(&self, directory: &DirHandle, name: &[u8]) -> bool {
        let Ok(c_name) = c_name(name) else { return false };
        let Ok(stat) = crate::localfs::Stat::of_entry(directory, &c_name) else { return false };
        if stat.kind == FileKind::Directory || stat.user_id != self.user_id && !self.is_root_user()
        {
            return false;
        }
        if stat.kind == FileKind::File {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(directory, name, flags, Mode::empty());
            // Its restore lives, or it cannot be told.
            let Ok(file) = file else { return false };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return false;
            }
        }
        rustix::fs::unlinkat(directory, name, AtFlags::empty()).is_ok()
    }
}

/// Locks a temporary file for as long as it is open; where files cannot be locked, its name is
/// protected by the lock on the target alone.
pub(super) fn claim(file: impl AsFd) {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).ok();
}

/// Locks the target for as long as it is open.
///
/// Errors if another restore has it. Where directories cannot be locked, nobody can be told apart.
pub(super) fn lock_target(root: impl AsFd) -> Result<(), Errno> {
    match rustix::fs::flock(root, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(Errno::WOULDBLOCK),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a restore gave this name to a file that was not finished.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX.as_bytes());
    let digits = digits.filter(|digits| digits.len() == DIGITS_COUNT);
    let Some(digits) = digits.and_then(|digits| std::str::from_utf8(digits).ok()) else {
        return false;
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !digits.bytes().all(is_hex) {
        return false;
    }
    let Ok(all) = u64::from_str_radix(digits, 16) else { return false };
    check_of(all >> CHECK_BITS) == all & CHECK_MASK
}

/// Tells names of restores from those of people.
fn check_of(number: u64) -> u64 {
    number.wrapping_mul(TEMPORARY_STEP).rotate_left(23).wrapping_mul(TEMPORARY_STEP) & CHECK_MASK
}

const PREFIX: &str = ".sbf-restore-";
const DIGITS_COUNT: usize = 16;
const CHECK_BITS: u32 = 16;
const CHECK_MASK: u64 = 0xffff;
/// Odd, so that all numbers come up before one comes again.
const TEMPORARY_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_are_not_taken_for_leftovers() {
        let number = 0x1234_5678_9abc_u64;
        let name = format!("{PREFIX}{number:012x}{:04x}", check_of(number));
        assert!(is_temporary(name.as_bytes()));
        let wrong = format!("{PREFIX}{number:012x}{:04x}", check_of(number) ^ 1);
        assert!(!is_temporary(wrong.as_bytes()));
        for name in [".sbf-restore-notes", ".sbf-restore-", "x", ".sbf-restore-00000000000000000"] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
        assert!(!is_temporary(name.to_uppercase().as_bytes()));
    }
}
