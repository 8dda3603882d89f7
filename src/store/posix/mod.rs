//! A store in a directory: one read-only file an object, one directory a key segment.
//! Invariant: a name appears only after its file's bytes are durable. See ARCHITECTURE.md, "Durability".

mod durable;
mod failure;
mod list;
mod os;
mod stage;

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::posix::durable::DurableDirectories;
use crate::store::posix::failure::Failure;
use crate::store::posix::failure::Step;
use crate::store::posix::failure::at;
use crate::store::posix::os::OsVfs;
use crate::store::posix::stage::Staged;
use crate::store::vfs::Entry;
use crate::store::vfs::EntryKind;
use crate::store::vfs::Place;
use crate::store::vfs::Vfs;
use crate::store::vfs::open_path;
use crate::units::to_u64;
use crate::units::to_usize;
use rustix::io::Errno;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Objects as files below one directory.
///
/// Several processes, on one host or through a file system with working locks and links, may use
/// one directory at the same time. New objects are staged in `tmp/`, which is no key's first
/// segment.
pub(crate) struct PosixStore<V: Vfs = OsVfs> {
    vfs: V,
    location: String,
    directories: DurableDirectories,
    staged_count: AtomicU64,
}

impl PosixStore {
    /// Opens the store in the directory `path`. Writes nothing.
    ///
    /// Errors: [`StoreErrorKind::NotFound`] if there is no such directory.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::from_opened(path, OsVfs::open(path))
    }

    /// Opens the store in the directory `path`, which is made, with those above it, if missing.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        Self::from_opened(path, OsVfs::create(path))
    }

    fn from_opened(path: &Path, opened: rustix::io::Result<OsVfs>) -> Result<Self, StoreError> {
        let location = path.display().to_string();
        match opened {
            Ok(vfs) => Ok(Self::over(vfs, location)),
            Err(errno) => {
                let failure = Failure::new(Step::OpenRoot, errno);
                Err(failure.into_store_error(Operation::Open, "", &location))
            }
        }
    }
}

impl<V: Vfs> PosixStore<V> {
    /// A store over any file system; for tests, a simulated one.
    pub(crate) fn over(vfs: V, location: String) -> Self {
        let directories = DurableDirectories::default();
        Self { vfs, location, directories, staged_count: AtomicU64::new(0) }
    }

    /// Removes staged files that no live process holds, left by crashes; returns how many.
    ///
    /// Objects are never touched. A file whose lock cannot be tested stays.
    pub(crate) fn sweep_staged(&self) -> Result<u64, StoreError> {
        stage::sweep(&self.vfs)
            .map_err(|failure| self.error(failure, Operation::Delete, stage::STAGE_DIRECTORY))
    }

    fn create_once(&self, key: &ObjectKey, body: &[u8]) -> Result<(), Failure> {
        let staged = Staged::write(&self.vfs, &self.staged_count, body)?;
        let path = directory_path(key);
        let directory = self.directories.open_made(&self.vfs, path)?;
        let place = Place { directory: &directory, name: file_name(key) };
        if let Err(failure) = staged.publish(place) {
            if failure.errno == Errno::NOENT {
                self.directories.forget();
            }
            return Err(failure);
        }
        // The staged name goes first: one journal commit then covers both directories.
        drop(staged);
        self.directories.sync(&self.vfs, &directory, path)
    }

    fn settle_object(&self, key: &ObjectKey) -> Result<(), Failure> {
        let path = directory_path(key);
        let directory = self.directories.open_existing(&self.vfs, path)?;
        let (file, _) = self.open_file(&directory, key)?;
        self.vfs.sync_file(&file).map_err(at(Step::SyncFile))?;
        self.directories.sync(&self.vfs, &directory, path)
    }

    fn delete_object(&self, key: &ObjectKey) -> Result<(), Failure> {
        let directory = match self.open_directory(directory_path(key)) {
            Err(failure) if failure.errno == Errno::NOENT => return Ok(()),
            opened => opened?,
        };
        match self.vfs.unlink(&directory, file_name(key)) {
            // Another process may have removed the name and not synced the directory yet.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Failure::new(Step::Unlink, errno)),
        }
        self.directories.sync(&self.vfs, &directory, directory_path(key))
    }

    fn open_object(&self, key: &ObjectKey) -> Result<(V::File, Entry), Failure> {
        let directory = self.open_directory(directory_path(key))?;
        self.open_file(&directory, key)
    }

    fn open_file(
        &self,
        directory: &V::Directory,
        key: &ObjectKey,
    ) -> Result<(V::File, Entry), Failure> {
        let file = self.vfs.open_file(directory, file_name(key)).map_err(at(Step::Open))?;
        let entry = self.vfs.inspect_file(&file).map_err(at(Step::Inspect))?;
        if entry.kind != EntryKind::File {
            return Err(Failure::new(Step::Open, Errno::ISDIR));
        }
        Ok((file, entry))
    }

    fn open_directory(&self, path: &str) -> Result<V::Directory, Failure> {
        open_path(&self.vfs, path).map_err(at(Step::OpenDirectory))
    }

    // Fills `buffer` with exactly the bytes `range`, or fewer if the file ends before.
    fn read_exactly(
        &self,
        file: &V::File,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut filled = 0;
        // What a reused buffer holds is overwritten, so only its growth is zeroed.
        buffer.resize(to_usize(range.end.saturating_sub(range.start)), 0);
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let offset = range.start + to_u64(filled);
            match self.vfs.read_at(file, rest, offset) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(errno) => {
                    buffer.clear();
                    return Err(Failure::new(Step::Read, errno));
                }
            }
        }
        buffer.truncate(filled);
        Ok(())
    }

    fn error(&self, failure: Failure, operation: Operation, key: &str) -> StoreError {
        failure.into_store_error(operation, key, &self.location)
    }

    fn wrong_length(&self, key: &ObjectKey, length: u64, wanted: Range<u64>) -> StoreError {
        let source = WrongLength { length, wanted };
        let kind = StoreErrorKind::Corrupt;
        StoreError::new(Operation::Read, key.as_str(), &self.location, kind, source)
    }

    fn check_name(&self, key: &ObjectKey, operation: Operation) -> Result<(), StoreError> {
        if key.segments().next() != Some(stage::STAGE_DIRECTORY) {
            return Ok(());
        }
        let kind = StoreErrorKind::Other;
        Err(StoreError::new(operation, key.as_str(), &self.location, kind, ReservedKey))
    }
}

impl<V: Vfs> Store for PosixStore<V> {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.check_name(key, Operation::Create)?;
        let mut rewrites = 0;
        loop {
            match self.create_once(key, body) {
                Err(failure) if failure.calls_for_rewrite() && rewrites < REWRITES_MAX => {
                    rewrites += 1;
                    tracing::warn!(%key, %failure, "object written again");
                }
                done => {
                    return done
                        .map_err(|error| self.error(error, Operation::Create, key.as_str()));
                }
            }
        }
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.check_name(key, Operation::Read)?;
        let fail = |failure| self.error(failure, Operation::Read, key.as_str());
        let (file, entry) = self.open_object(key).map_err(fail)?;
        if entry.length > length_max {
            return Err(self.wrong_length(key, entry.length, 0..length_max));
        }
        let mut body = Vec::new();
        self.read_exactly(&file, 0..entry.length, &mut body).map_err(fail)?;
        if to_u64(body.len()) != entry.length {
            return Err(self.wrong_length(key, to_u64(body.len()), 0..entry.length));
        }
        Ok(body)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.check_name(key, Operation::Read)?;
        let fail = |failure| self.error(failure, Operation::Read, key.as_str());
        let (file, entry) = self.open_object(key).map_err(fail)?;
        if range.start > range.end || range.end > entry.length {
            return Err(self.wrong_length(key, entry.length, range));
        }
        self.read_exactly(&file, range.clone(), buffer).map_err(fail)?;
        if to_u64(buffer.len()) != range.end.saturating_sub(range.start) {
            return Err(self.wrong_length(key, range.start + to_u64(buffer.len()), range));
        }
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.check_name(key, Operation::Read)?;
        match self.open_object(key) {
            Ok((_, entry)) => Ok(entry.length),
            Err(failure) => Err(self.error(failure, Operation::Read, key.as_str())),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        crate::store::check_prefix(prefix, &self.location)?;
        list::under(&self.vfs, prefix)
            .map_err(|failure| self.error(failure, Operation::List, prefix))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.check_name(key, Operation::Delete)?;
        self.delete_object(key)
            .map_err(|failure| self.error(failure, Operation::Delete, key.as_str()))
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.check_name(key, Operation::Settle)?;
        self.settle_object(key)
            .map_err(|failure| self.error(failure, Operation::Settle, key.as_str()))
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.sweep_staged()
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}

impl<V: Vfs> fmt::Debug for PosixStore<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PosixStore")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the object has {length} bytes, wanted were {}..{}", .wanted.start, .wanted.end)]
struct WrongLength {
    length: u64,
    wanted: Range<u64>,
}

#[derive(Debug, thiserror::Error)]
#[error("`tmp` holds staged files, not objects")]
struct ReservedKey;

fn directory_path(key: &ObjectKey) -> &str {
    key.as_str().rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn file_name(key: &ObjectKey) -> &str {
    key.as_str().rsplit_once('/').map_or(key.as_str(), |(_, name)| name)
}

// Times an object is written to a fresh file after its sync failed.
const REWRITES_MAX: u32 = 1;
