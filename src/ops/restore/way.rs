//! How a restore treats what is in its target, for everything but the content of files.

use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::Target;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::path::TargetPath;
use crate::ops::restore::Overwrite;
use crate::ops::restore::tally::Action;
use std::io;
use std::sync::Arc;

/// What is done with entries that are there, and whether anything is done at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) overwrite: Overwrite,
    /// Only looked at, never written.
    pub(crate) is_dry: bool,
    /// Files are read from the disk rather than from memory.
    pub(crate) from_disk: bool,
}

/// What stands where an entry is to be.
pub(crate) enum Stands {
    /// Nothing.
    Nothing,
    /// Something that is not to be touched.
    Kept,
    /// Something that is to be compared, or replaced unseen.
    Entry(Arc<DirHandle>, Stat),
}

impl Way {
    /// The directory to put entries into: made if it is missing, unless nothing is written.
    pub(crate) fn directory(
        self,
        target: &Target,
        path: &TargetPath,
    ) -> Result<Option<Arc<DirHandle>>, LocalError> {
        if self.is_dry {
            target.find_directory(path)
        } else {
            target.make_directory(path).map(Some)
        }
    }

    /// What stands at a name.
    ///
    /// Errors if a directory does, which no file replaces.
    pub(crate) fn stands(
        self,
        target: &Target,
        directory: &TargetPath,
        name: &[u8],
    ) -> Result<Stands, LocalError> {
        let Some(handle) = self.directory(target, directory)? else { return Ok(Stands::Nothing) };
        if handle.is_new() {
            return Ok(Stands::Nothing);
        }
        match handle.look(name)? {
            None => Ok(Stands::Nothing),
            Some(_) if self.overwrite == Overwrite::Never => Ok(Stands::Kept),
            Some(stat) if stat.kind == FileKind::Directory => {
                let source = io::Error::from(io::ErrorKind::IsADirectory);
                Err(LocalError::new(directory.join(name)?.as_bytes(), "replace", source))
            }
            Some(stat) => Ok(Stands::Entry(handle, stat)),
        }
    }

    /// Makes an entry that is no regular file, unless it is there; says what that was.
    pub(crate) fn place(
        self,
        target: &Target,
        (directory, name): (&TargetPath, &[u8]),
        is_same: impl Fn(&DirHandle, &Stat) -> bool,
        make: impl FnOnce(&DirHandle) -> Result<(), LocalError>,
    ) -> Result<Action, LocalError> {
        let action = match self.stands(target, directory, name)? {
            Stands::Nothing => Action::Create,
            Stands::Kept => return Ok(Action::Keep),
            Stands::Entry(handle, stat) => {
                if self.overwrite == Overwrite::IfChanged && is_same(&handle, &stat) {
                    return Ok(Action::Unchanged);
                }
                Action::Change
            }
        };
        if !self.is_dry {
            let handle = target.make_directory(directory)?;
            make(&handle)?;
        }
        Ok(action)
    }
}
