//! Listings of a store in a directory: a walk that follows no link and skips what is no object.
//! Invariant: a name that was there before the walk and stays is found, whatever else changes.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::posix::failure::Failure;
use crate::store::posix::failure::Step;
use crate::store::posix::failure::at;
use crate::store::posix::stage::STAGE_DIRECTORY;
use crate::store::vfs::EntryKind;
use crate::store::vfs::Vfs;
use crate::store::vfs::open_path;
use rustix::io::Errno;

/// Every object under `prefix`, sorted. Opens one directory at a time.
pub(super) fn under<V: Vfs>(vfs: &V, prefix: &str) -> Result<Vec<Listed>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![prefix.to_owned()];
    while let Some(path) = waiting.pop() {
        let walked = open_path(vfs, &path)
            .and_then(|directory| walk(vfs, &directory, &path, &mut found, &mut waiting));
        match walked {
            // It vanished meanwhile, or was never a directory.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(at(Step::Walk)(errno)),
        }
    }
    found.sort_unstable_by(|one: &Listed, other| one.key.cmp(&other.key));
    Ok(found)
}

fn walk<V: Vfs>(
    vfs: &V,
    directory: &V::Directory,
    path: &str,
    found: &mut Vec<Listed>,
    waiting: &mut Vec<String>,
) -> Result<(), Errno> {
    for name in vfs.names(directory)? {
        let text = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let Ok(key) = ObjectKey::new(text) else { continue };
        if key.segments().next() == Some(STAGE_DIRECTORY) {
            continue;
        }
        let entry = match vfs.inspect(directory, &name) {
            Err(Errno::NOENT) => continue,
            entry => entry?,
        };
        match entry.kind {
            EntryKind::File => {
                found.push(Listed { key, length: entry.length, received: entry.modified });
            }
            EntryKind::Directory => waiting.push(key.as_str().to_owned()),
            EntryKind::Foreign => tracing::warn!(%key, "neither file nor directory: ignored"),
        }
    }
    Ok(())
}
