//! A private directory for what a program can only write into files; gone when it is dropped.

use crate::ops::error::OpError;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A directory that only its owner can look into.
///
/// Locked for as long as it is used: what a process left behind that was killed is not locked, and the
/// next one that wants a directory beside it removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    is_removed: bool,
    _lock: File,
}

impl Scratch {
    /// Makes one in `parent`, and removes those there that nobody uses any more.
    pub(crate) fn make(parent: &Path) -> Result<Self, OpError> {
        Self::named(parent, PREFIX)
    }

    /// The same with a name that begins so.
    pub(crate) fn named(parent: &Path, prefix: &str) -> Result<Self, OpError> {
        let wrong = |source| OpError::Local {
            call: "make a scratch directory in",
            path: parent.to_owned(),
            source,
        };
        let parent = fs::canonicalize(parent).map_err(wrong)?;
        remove_leftovers(&parent, prefix).map_err(wrong)?;
        let mut number = 0;
        loop {
            let path = parent.join(format!("{prefix}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    if let Some(lock) = claim(&path).map_err(wrong)? {
                        return Ok(Self { path, is_removed: false, _lock: lock });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(wrong(error)),
            }
            number += 1;
            if number == TRIES_COUNT_MAX {
                return Err(wrong(io::ErrorKind::AlreadyExists.into()));
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written into it; `None` where the system does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let space = rustix::fs::statvfs(&self.path).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(mut self) -> Result<(), OpError> {
        self.is_removed = true;
        fs::remove_dir_all(&self.path).map_err(|source| OpError::Local {
            call: "remove",
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_removed {
            // Something failed already, which is told. What stays is removed by the next run.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// Locks a directory that was just made; `None` if it was taken for a leftover meanwhile.
fn claim(path: &Path) -> io::Result<Option<File>> {
    let Ok(lock) = open(path) else { return Ok(None) };
    match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
        // Where directories cannot be locked, leftovers cannot be told, and none is removed.
        Ok(()) | Err(_) => {}
    }
    let inode = lock.metadata()?.ino();
    Ok(fs::symlink_metadata(path).is_ok_and(|found| found.ino() == inode).then_some(lock))
}

/// Removes what this user's processes left behind that live no more.
fn remove_leftovers(parent: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = open(&path) else { continue };
        let is_own =
            lock.metadata().is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw());
        if is_own && rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Whoever else finds it goes on without it, too.
            fs::remove_dir_all(&path).ok();
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

const PREFIX: &str = "sbf-repo-dump-";
/// Names of one process that may be taken, by others who had its number.
const TRIES_COUNT_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_private_and_gone_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(parent.path()).unwrap();
        let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        File::create(scratch.path().join("x")).unwrap();
        assert!(scratch.free_bytes().is_some_and(|free| free > 0));
        let other = Scratch::make(parent.path()).unwrap();
        assert!(scratch.path().exists(), "another one removed it");
        drop(scratch);
        other.remove().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        assert!(Scratch::make(&parent.path().join("missing")).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(format!("{PREFIX}1-0"));
        let other = parent.path().join("other");
        let link = parent.path().join(format!("{PREFIX}2-0"));
        for folder in [&left, &other] {
            fs::create_dir(folder).unwrap();
            File::create(folder.join("x")).unwrap();
        }
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let scratch = Scratch::make(parent.path()).unwrap();
        assert!(!left.exists() && other.join("x").exists() && link.exists());
        drop(scratch);
    }
}
