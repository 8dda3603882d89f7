//! Failed steps of a file-system call, and what they mean for a caller of the store.

use crate::store::Operation;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use rustix::io::Errno;
use std::io;

/// A step of a store call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    OpenRoot,
    Stage,
    Write,
    CheckLength,
    SyncFile,
    MakeDirectory,
    OpenDirectory,
    SyncDirectory,
    Publish,
    Open,
    Read,
    Inspect,
    Walk,
    Unlink,
}

/// A step that failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{} failed", step_words(*.step))]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: Errno,
    #[source]
    source: CallError,
}

/// The operating system's answer, with its words.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{}", io::Error::from(*.0))]
struct CallError(Errno);

impl Failure {
    pub(super) fn new(step: Step, errno: Errno) -> Self {
        Self { step, errno, source: CallError(errno) }
    }

    /// Whether writing the object again, to a fresh file, can help.
    ///
    /// After a failed sync the kernel may have dropped the pages, and a second sync of the same
    /// file would succeed without them. A staged file or directory that vanished was swept.
    pub(super) fn calls_for_rewrite(self) -> bool {
        match self.step {
            Step::SyncFile => !is_full(self.errno),
            Step::Publish => self.errno == Errno::NOENT,
            Step::OpenRoot
            | Step::Stage
            | Step::Write
            | Step::CheckLength
            | Step::MakeDirectory
            | Step::OpenDirectory
            | Step::SyncDirectory
            | Step::Open
            | Step::Read
            | Step::Inspect
            | Step::Walk
            | Step::Unlink => false,
        }
    }

    /// The store's error for this failure.
    pub(super) fn into_store_error(
        self,
        operation: Operation,
        key: &str,
        location: &str,
    ) -> StoreError {
        let kind = match (operation, self.step) {
            (Operation::Create, Step::Publish) if self.errno == Errno::EXIST => {
                StoreErrorKind::AlreadyExists
            }
            // Part of the repository vanished under a create: not that the object is missing.
            (Operation::Create, _) if self.errno == Errno::NOENT => StoreErrorKind::Unavailable,
            (Operation::Read, _) => read_kind(self.errno),
            _ => kind(self.errno),
        };
        StoreError::new(operation, key, location, kind, self)
    }
}

/// Names the step of a failed call.
pub(super) fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure::new(step, errno)
}

fn kind(errno: Errno) -> StoreErrorKind {
    match errno {
        Errno::NOENT => StoreErrorKind::NotFound,
        Errno::NOSPC | Errno::DQUOT => StoreErrorKind::Full,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => StoreErrorKind::Denied,
        Errno::IO
        | Errno::AGAIN
        | Errno::BUSY
        | Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::STALE
        | Errno::TIMEDOUT
        | Errno::NOTCONN
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Other,
    }
}

fn read_kind(errno: Errno) -> StoreErrorKind {
    match errno {
        // A link, a directory or a device stands where the object was, or where its directory was.
        Errno::LOOP | Errno::ISDIR | Errno::NOTDIR | Errno::NXIO => StoreErrorKind::Corrupt,
        // A bad sector, or the file system's own records or checksums are damaged.
        Errno::IO | Errno::BADMSG => StoreErrorKind::Unreadable,
        #[cfg(target_os = "linux")]
        Errno::UCLEAN => StoreErrorKind::Unreadable,
        _ => kind(errno),
    }
}

fn is_full(errno: Errno) -> bool {
    kind(errno) == StoreErrorKind::Full
}

fn step_words(step: Step) -> &'static str {
    match step {
        Step::OpenRoot => "opening the repository's directory",
        Step::Stage => "making a file in `tmp`",
        Step::Write => "writing the staged file",
        Step::CheckLength => "checking the staged file's length",
        Step::SyncFile => "syncing the file",
        Step::MakeDirectory => "making its directory",
        Step::OpenDirectory => "opening its directory",
        Step::SyncDirectory => "syncing its directory",
        Step::Publish => "giving the staged file its name",
        Step::Open => "opening the file",
        Step::Read => "reading the file",
        Step::Inspect => "inspecting the file",
        Step::Walk => "listing a directory",
        Step::Unlink => "removing the name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(operation: Operation, step: Step, errno: Errno, kind: StoreErrorKind) {
        let error = Failure::new(step, errno).into_store_error(operation, "packs/a", "/r");
        assert_eq!(error.kind, kind, "{operation:?} {step:?} {errno:?}");
    }

    #[test]
    fn a_bad_sector_under_one_object_is_not_a_store_that_failed() {
        check(Operation::Read, Step::Read, Errno::IO, StoreErrorKind::Unreadable);
        check(Operation::Read, Step::Open, Errno::IO, StoreErrorKind::Unreadable);
        check(Operation::Read, Step::Read, Errno::BADMSG, StoreErrorKind::Unreadable);
        check(Operation::Read, Step::Open, Errno::STALE, StoreErrorKind::Unavailable);
        check(Operation::Read, Step::Open, Errno::MFILE, StoreErrorKind::Unavailable);
        check(Operation::List, Step::Walk, Errno::IO, StoreErrorKind::Unavailable);
        check(Operation::Create, Step::Write, Errno::IO, StoreErrorKind::Unavailable);
    }
}
