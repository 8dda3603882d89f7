//! Targets that are refused, and what the snapshot must be to delete anything.

use crate::localfs::LocalError;
use crate::localfs::apply::Access;
use crate::localfs::apply::LOCK;
use crate::localfs::apply::Target;
use crate::ops::error::OpError;
use crate::ops::restore::Delete;
use crate::ops::restore::Overwrite;
use crate::ops::restore::RestoreOptions;
use crate::ops::select::Selected;
use crate::repo::repository::Repository;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens the target for writing, or to look at it alone.
pub(crate) fn open_target(
    repository: &Repository,
    options: &RestoreOptions,
    is_dry: bool,
) -> Result<Arc<Target>, OpError> {
    let forbidden = check_target(repository, &options.target)?;
    let access = match options.overwrite {
        _ if is_dry => Access::Look,
        Overwrite::Never => Access::Add,
        Overwrite::Always | Overwrite::IfChanged => Access::Replace,
    };
    let opened = Target::open_for(&options.target, options.apply_options(), access, forbidden);
    opened.map_err(|error| match error {
        LocalError { call: LOCK, .. } => {
            let target = options.target.display();
            let why = format!("another restore writes to `{target}`; wait until it has ended");
            OpError::Refused { why }
        }
        other => other.into(),
    })
}

/// Refuses what cannot be a target; returns the repository's own directory, if it has one here.
fn check_target(repository: &Repository, target: &Path) -> Result<Option<(u64, u64)>, OpError> {
    let shown = target.display();
    match fs::metadata(target) {
        Ok(found) if !found.is_dir() => {
            let why = format!("the target `{shown}` is no directory");
            return Err(OpError::Usage { why });
        }
        Ok(_) | Err(_) => {}
    }
    if repository.is_remote() {
        return Ok(None);
    }
    let Ok(place) = fs::canonicalize(repository.location()) else { return Ok(None) };
    let resolved = resolve(target)?;
    if resolved.starts_with(&place) {
        let why = format!(
            "the target `{shown}` lies in the repository at `{}`; choose another",
            place.display()
        );
        return Err(OpError::Refused { why });
    }
    // A host is put back whole with its repository mounted somewhere: nothing is written there.
    if place.starts_with(&resolved) && resolved != Path::new("/") {
        let why = format!(
            "the target `{shown}` holds the repository at `{}`; choose one beside it",
            place.display()
        );
        return Err(OpError::Refused { why });
    }
    Ok(fs::metadata(&place).ok().map(|found| (found.dev(), found.ino())))
}

/// Refuses to delete where that is dangerous.
pub(crate) fn check_delete(selected: &Selected, options: &RestoreOptions) -> Result<(), OpError> {
    if options.delete == Delete::Nothing {
        return Ok(());
    }
    let target = resolve(&options.target)?;
    let is_system = SYSTEM.iter().any(|path| target == Path::new(path));
    if is_system {
        let why = format!(
            "nothing is deleted in `{}`: restore a path below it, with a target of its own",
            target.display()
        );
        return Err(OpError::Refused { why });
    }
    if selected.manifest.predicate.incomplete && options.delete != Delete::EvenIfIncomplete {
        let why = format!(
            "snapshot {} is incomplete: what it lacks may only not have been readable; nothing \
             is deleted unless you say `--accept-incomplete`",
            selected.live.snapshot.short()
        );
        return Err(OpError::Refused { why });
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn resolve(path: &Path) -> Result<PathBuf, OpError> {
    let wrong = |source: io::Error| OpError::Local { call: "find", path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(wrong)?;
    for above in absolute.ancestors() {
        if let Ok(found) = fs::canonicalize(above) {
            let rest = absolute.strip_prefix(above).unwrap_or(Path::new(""));
            if rest.components().any(|part| part == Component::ParentDir) {
                let why = format!("`{}` leads through a directory that is missing", path.display());
                return Err(OpError::Usage { why });
            }
            return Ok(found.join(rest));
        }
    }
    Ok(absolute)
}

/// Directories in which nothing is deleted: a host does not run without them.
const SYSTEM: [&str; 12] = [
    "/", "/bin", "/boot", "/dev", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/var",
];
