//! Which directories of a repository this process knows to be durable.
//! Invariant: a path is in `known` only after its name and all above it were synced by this process.

use crate::store::posix::failure::Failure;
use crate::store::posix::failure::Step;
use crate::store::posix::failure::at;
use crate::store::vfs::Vfs;
use rustix::io::Errno;
use std::collections::HashSet;
use std::sync::PoisonError;
use std::sync::RwLock;

/// The directories' state, shared by all threads.
#[derive(Debug, Default)]
pub(super) struct DurableDirectories {
    // The empty path is the root.
    known: RwLock<HashSet<String>>,
    // Directories that could not be synced once: a later sync may succeed and mean nothing.
    broken: RwLock<HashSet<String>>,
}

impl DurableDirectories {
    /// Opens the directory `path`, made if missing, and makes its name durable.
    ///
    /// Costs one sync for each level that this process sees for the first time.
    pub(super) fn open_made<V: Vfs>(&self, vfs: &V, path: &str) -> Result<V::Directory, Failure> {
        self.walk(vfs, path, |parent, name| match vfs.make_directory(parent, name) {
            Err(Errno::EXIST) => Ok(()),
            made => made.map_err(at(Step::MakeDirectory)),
        })
    }

    /// Opens the directory `path`, which exists, and makes its name durable.
    pub(super) fn open_existing<V: Vfs>(
        &self,
        vfs: &V,
        path: &str,
    ) -> Result<V::Directory, Failure> {
        self.walk(vfs, path, |_, _| Ok(()))
    }

    /// Makes the names in the directory at `path` durable.
    pub(super) fn sync<V: Vfs>(
        &self,
        vfs: &V,
        directory: &V::Directory,
        path: &str,
    ) -> Result<(), Failure> {
        let fail = at(Step::SyncDirectory);
        if contains(&self.broken, path) {
            return Err(fail(Errno::IO));
        }
        vfs.sync_directory(directory).map_err(|errno| {
            insert(&self.broken, path);
            fail(errno)
        })
    }

    /// Forgets everything known below the root, after a directory vanished.
    pub(super) fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn walk<V: Vfs>(
        &self,
        vfs: &V,
        path: &str,
        make: impl Fn(&V::Directory, &str) -> Result<(), Failure>,
    ) -> Result<V::Directory, Failure> {
        if !contains(&self.known, "") {
            vfs.sync_root_entry().map_err(at(Step::SyncDirectory))?;
            insert(&self.known, "");
        }
        let mut directory = vfs.root();
        let mut above = "";
        for level in levels(path) {
            let name = level.rsplit('/').next().unwrap_or(level);
            let known = contains(&self.known, level);
            if !known {
                make(&directory, name)?;
            }
            let opened = match vfs.open_directory(&directory, name) {
                Err(Errno::NOENT) if known => {
                    self.forget();
                    make(&directory, name)?;
                    vfs.open_directory(&directory, name)
                }
                other => other,
            };
            let opened = opened.map_err(at(Step::OpenDirectory))?;
            if !contains(&self.known, level) {
                self.sync(vfs, &directory, above)?;
                insert(&self.known, level);
            }
            directory = opened;
            above = level;
        }
        Ok(directory)
    }
}

// Every directory on the way to `path` and `path` itself, as paths from the root.
fn levels(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(index, _)| index).chain([path.len()]);
    ends.filter_map(|end| path.get(..end)).filter(|level| !level.is_empty())
}

fn contains(set: &RwLock<HashSet<String>>, path: &str) -> bool {
    set.read().unwrap_or_else(PoisonError::into_inner).contains(path)
}

fn insert(set: &RwLock<HashSet<String>>, path: &str) {
    set.write().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_a_path_is_visited_once() {
        assert_eq!(levels("a/b/c").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(levels("").count(), 0);
    }
}
