//! The file-system calls the POSIX store makes, so that a simulated disk can take their place.
//! Every name is one path segment below a directory handle; nothing follows a symbolic link.

use rustix::io::Result;
use std::fmt;
use std::time::SystemTime;

/// A file system below one root directory. All calls block and may come from many threads.
pub(crate) trait Vfs: Send + Sync + fmt::Debug {
    /// An open directory.
    type Directory: Clone + Send + Sync;
    /// An open file; its lock ends with it.
    type File: Send + Sync;

    /// The root directory.
    fn root(&self) -> Self::Directory;

    /// Makes the root directory's own name durable.
    fn sync_root_entry(&self) -> Result<()>;

    /// Opens a directory in `parent`.
    fn open_directory(&self, parent: &Self::Directory, name: &str) -> Result<Self::Directory>;

    /// Makes a directory in `parent`; fails with `EEXIST` if the name is taken.
    fn make_directory(&self, parent: &Self::Directory, name: &str) -> Result<()>;

    /// Makes the names in `directory` durable, but not what they name.
    fn sync_directory(&self, directory: &Self::Directory) -> Result<()>;

    /// The names in `directory`, unsorted, without those that are not UTF-8.
    fn names(&self, directory: &Self::Directory) -> Result<Vec<String>>;

    /// What `name` in `directory` is.
    fn inspect(&self, directory: &Self::Directory, name: &str) -> Result<Entry>;

    /// Creates an empty, later read-only file; fails with `EEXIST` if the name is taken.
    fn create_file(&self, directory: &Self::Directory, name: &str) -> Result<Self::File>;

    /// Opens a file for reading and syncing; never waits for a pipe's other end.
    fn open_file(&self, directory: &Self::Directory, name: &str) -> Result<Self::File>;

    /// Locks a file against every other handle; fails with `EAGAIN` if one holds the lock.
    fn lock_file(&self, file: &Self::File) -> Result<()>;

    /// Writes all of `bytes` from the start of an empty file, and may start to store them.
    fn write(&self, file: &Self::File, bytes: &[u8]) -> Result<()>;

    /// Makes a file's bytes and length durable, but none of its names.
    fn sync_file(&self, file: &Self::File) -> Result<()>;

    /// What an open file is.
    fn inspect_file(&self, file: &Self::File) -> Result<Entry>;

    /// Fills the start of `buffer` with what one read at `offset` gives.
    ///
    /// Returns the count; 0 means the end of the file.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Gives the file `from` a second name; fails with `EEXIST` if that is taken.
    fn link(&self, from: Place<'_, Self>, to: Place<'_, Self>) -> Result<()>;

    /// Renames a file; fails with `EEXIST` if the new name is taken.
    fn rename_new(&self, from: Place<'_, Self>, to: Place<'_, Self>) -> Result<()>;

    /// Removes a name of a file.
    fn unlink(&self, directory: &Self::Directory, name: &str) -> Result<()>;
}

/// Opens the directory at `path` below the root; the root itself if `path` is empty.
pub(crate) fn open_path<V: Vfs>(vfs: &V, path: &str) -> Result<V::Directory> {
    let mut directory = vfs.root();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        directory = vfs.open_directory(&directory, name)?;
    }
    Ok(directory)
}

/// A name in a directory.
pub(crate) struct Place<'a, V: Vfs + ?Sized> {
    /// The directory.
    pub(crate) directory: &'a V::Directory,
    /// The name.
    pub(crate) name: &'a str,
}

impl<V: Vfs + ?Sized> Clone for Place<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Vfs + ?Sized> Copy for Place<'_, V> {}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its kind.
    pub(crate) kind: EntryKind,
    /// The length of a file in bytes.
    pub(crate) length: u64,
    /// When it was written, to the second; `None` before 1970.
    pub(crate) modified: Option<SystemTime>,
    /// Whether it has more than one name.
    pub(crate) is_shared: bool,
}

/// The kinds of entries that the store tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a pipe, a device: nothing the store made.
    Foreign,
}
