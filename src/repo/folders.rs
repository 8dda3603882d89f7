//! Directories that may become a repository or a mirror: what may be in them before.

use crate::format::layout;
use crate::repo::error::RepoError;
use std::path::Path;

/// Refuses a directory that has entries of other names.
pub(crate) fn refuse_others(path: &Path, folders: &[&str]) -> Result<(), RepoError> {
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let mut names = entries.map(|entry| entry.file_name());
    if names.any(|name| !folders.iter().any(|folder| name == *folder)) {
        return Err(RepoError::NotEmpty { location: path.display().to_string() });
    }
    Ok(())
}

/// What an interrupted `init` may have left.
pub(crate) const FIRST_FOLDERS: &[&str] = &[layout::KEYS, layout::IDENTITIES, "tmp"];
/// What the directory of a mirror has.
pub(crate) const MIRROR_FOLDERS: &[&str] = &[
    layout::CONFIG,
    layout::AMENDMENTS,
    layout::KEYS,
    layout::IDENTITIES,
    layout::PACKS,
    layout::INDEX,
    layout::MANIFESTS,
    layout::OUTCOMES,
    layout::FORGET,
    layout::AUDIT,
    layout::RECORDS,
    layout::INVENTORY,
    layout::GC,
    layout::SESSIONS,
    layout::HEARTBEATS,
    "probe",
    "tmp",
];
