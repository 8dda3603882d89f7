//! What is made once the files it needs are there: links, and what directories get at last.

use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::format::tree::Totals;
use crate::localfs::LocalError;
use crate::localfs::apply::EntryMetadata;
use crate::localfs::apply::Target;
use crate::localfs::apply::path::TargetPath;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::words::path_words;
use crate::repo::tree::reader::OwnedEntry;
use std::sync::Arc;

/// Something that has to wait.
pub(crate) enum After {
    /// A symbolic link, which a file of the snapshot must not be written through.
    Symlink { directory: Arc<TargetPath>, name: Vec<u8>, target: Vec<u8>, meta: Meta },
    /// Another name of an entry; `one` is what it counts for.
    HardLink { directory: Arc<TargetPath>, name: Vec<u8>, existing: TargetPath, one: Totals },
    /// A directory that is full.
    Directory { path: Arc<TargetPath>, meta: Meta },
}

/// The metadata of an entry and whose it is.
pub(crate) struct Meta {
    pub(crate) metadata: Metadata,
    pub(crate) owner: Owner,
}

impl Meta {
    /// As the target takes it.
    pub(crate) fn wanted(&self) -> EntryMetadata<'_> {
        EntryMetadata { metadata: &self.metadata, owner: &self.owner }
    }
}

impl After {
    /// Makes it.
    pub(crate) fn make(&self, target: &Target) -> Result<(), LocalError> {
        match self {
            Self::Symlink { directory, name, target: link, meta } => {
                let directory = target.make_directory(directory)?;
                target.make_symlink((&directory, name), link, meta.wanted())
            }
            Self::HardLink { directory, name, existing, one: _ } => {
                let wrong = |error: LocalError| match directory.join(name) {
                    Ok(path) => LocalError::new(path.as_bytes(), error.call, error.source),
                    Err(error) => error,
                };
                let handle = target.make_directory(directory)?;
                target.make_hard_link(existing, (&handle, name)).map_err(wrong)
            }
            Self::Directory { path, meta } => target.finish_directory(path, meta.wanted()),
        }
    }

    /// Its path below the target.
    pub(crate) fn path(&self) -> Result<TargetPath, LocalError> {
        match self {
            Self::Symlink { directory, name, .. } | Self::HardLink { directory, name, .. } => {
                directory.join(name)
            }
            Self::Directory { path, .. } => Ok(path.as_ref().clone()),
        }
    }

    /// What is not restored if it cannot be made. A directory is there, though not as it was.
    pub(crate) fn one(&self) -> Totals {
        match self {
            Self::Symlink { .. } => Totals { others: 1, ..Totals::default() },
            Self::HardLink { one, .. } => *one,
            Self::Directory { .. } => Totals::default(),
        }
    }
}

/// Says of a name that it is lost because the entry was lost under its first name.
pub(crate) fn lost_with_other_name(
    path: &TargetPath,
    first: &TargetPath,
    severity: Severity,
) -> Finding {
    let object = path_words(path.as_bytes());
    let first = path_words(first.as_bytes());
    let effect = format!("not restored: it is the same file as `{first}`, which is not restored");
    match severity {
        Severity::Loss => Finding::loss("file.damaged", object, effect),
        Severity::Notice => Finding::not_written(object, effect),
    }
}

/// The metadata of an entry of a tree.
pub(crate) fn meta_of(entry: &OwnedEntry) -> Meta {
    Meta { metadata: entry.entry.metadata.clone(), owner: entry.owner() }
}
