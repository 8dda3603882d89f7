//! Regular files of a target: under their final name only where nothing can be in the way,
//! otherwise under a temporary one until they are complete.

use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::EntryMetadata;
use crate::localfs::apply::Target;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::leftovers::claim;
use crate::localfs::apply::metadata::Known;
use crate::localfs::apply::path::check_name;
use crate::units::to_u64;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A file that is being written; several threads may write to it.
///
/// Unlinked when it is dropped before [`PendingFile::finish`] succeeded.
#[derive(Debug)]
pub(crate) struct PendingFile {
    target: Arc<Target>,
    directory: Arc<DirHandle>,
    name: Vec<u8>,
    temporary: Option<Vec<u8>>,
    file: OwnedFd,
    /// What the file was made with.
    mode: u16,
    is_finished: bool,
}

/// Whether a finished file got its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It did.
    New,
    /// Somebody else's file has it, and this restore keeps such files.
    Kept,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pieces {
    One,
    Many,
}

impl Target {
    /// Makes an empty file that is to become `name` in `directory`.
    ///
    /// Only its owner can open it until it is finished. In a directory that this restore made, a
    /// name that is there already is an error: the file system takes two names for one.
    pub(crate) fn create_file(
        self: &Arc<Self>,
        directory: &Arc<DirHandle>,
        name: &[u8],
    ) -> Result<PendingFile, LocalError> {
        self.create_with_mode((directory, name), PRIVATE_MODE, Pieces::Many)
    }

    /// Makes a complete file of content that is at hand.
    pub(crate) fn put_file(
        self: &Arc<Self>,
        (directory, name): (&Arc<DirHandle>, &[u8]),
        content: &[u8],
        wanted: EntryMetadata<'_>,
    ) -> Result<Placed, LocalError> {
        let mode = self.mode_at_creation(directory, wanted);
        let file = self.create_with_mode((directory, name), mode, Pieces::One)?;
        file.write_at(0, content)?;
        file.finish(wanted)
    }

    fn create_with_mode(
        self: &Arc<Self>,
        (directory, name): (&Arc<DirHandle>, &[u8]),
        mode: u16,
        pieces: Pieces,
    ) -> Result<PendingFile, LocalError> {
        let wrong = |errno| directory.wrong(name, "make", errno);
        check_name(name).map_err(wrong)?;
        // What is written at once is never seen in part; what is not must not look finished.
        let at_once = directory.created && pieces == Pieces::One;
        let temporary = (!at_once).then(|| self.temporary_name());
        let path = temporary.as_deref().unwrap_or(name);
        let bits = Mode::from_raw_mode(u32::from(mode));
        let file = rustix::fs::openat(directory, path, NEW_FILE, bits).map_err(wrong)?;
        if temporary.is_some() {
            claim(&file);
        }
        let (target, directory) = (Arc::clone(self), Arc::clone(directory));
        let name = name.to_vec();
        Ok(PendingFile { target, directory, name, temporary, file, mode, is_finished: false })
    }
}

impl PendingFile {
    /// Writes all of `content` at `offset`; what is never written reads as zeros.
    pub(crate) fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), LocalError> {
        let mut done = 0;
        while done < content.len() {
            let at = offset.checked_add(to_u64(done)).ok_or(Errno::FBIG);
            match at.and_then(|at| rustix::io::pwrite(&self.file, &content[done..], at)) {
                Ok(0) => return Err(self.wrong("write", Errno::IO)),
                Ok(length) => done += length,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.wrong("write", errno)),
            }
        }
        self.target.writeback.wrote(to_u64(content.len()));
        Ok(())
    }

    /// Sets the length; what lies beyond the bytes that were written is a hole.
    pub(crate) fn set_length(&self, bytes: u64) -> Result<(), LocalError> {
        rustix::fs::ftruncate(&self.file, bytes).map_err(|errno| self.wrong("extend", errno))
    }

    /// Applies the metadata and gives the file its name, in place of any other file there.
    ///
    /// Errors if a directory has the name; the file is unlinked then. What else cannot be
    /// applied is reported by [`Target::finish`].
    pub(crate) fn finish(mut self, wanted: EntryMetadata<'_>) -> Result<Placed, LocalError> {
        let path = || self.directory.path_of(&self.name);
        let known = self.known()?;
        self.target.apply_to_open(self.file.as_fd(), &path, known, wanted);
        if let Some(temporary) = &self.temporary {
            match self.target.rename(&self.directory, temporary, &self.name) {
                Ok(()) => {}
                Err(Errno::EXIST) if !self.directory.created => return Ok(Placed::Kept),
                Err(errno) => return Err(self.wrong("replace", errno)),
            }
        }
        // After the rename: an immutable file cannot be renamed, nor its times be set.
        self.target.apply_flags(self.file.as_fd(), &path, wanted);
        self.is_finished = true;
        Ok(Placed::New)
    }

    fn known(&self) -> Result<Known<'_>, LocalError> {
        match self.target.known_at_creation(&self.directory, self.mode) {
            Some(known) => Ok(known),
            None => Stat::of_descriptor(&self.file)
                .map(|stat| Known::from_stat(&stat, self.directory.has_default_acl))
                .map_err(|errno| self.wrong("look at", errno)),
        }
    }

    fn wrong(&self, call: &'static str, errno: Errno) -> LocalError {
        self.directory.wrong(&self.name, call, errno)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let name = self.temporary.as_deref().unwrap_or(&self.name);
            // Nothing is left to do if this fails: the error that led here is on its way.
            rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()).ok();
        }
    }
}

const NEW_FILE: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const PRIVATE_MODE: u16 = 0o600;
