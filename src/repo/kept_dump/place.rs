//! Where kept dumps are: a folder each, with a list, files of sealed chunks, and a lock for the run that uses it.

use crate::id::Digest;
use crate::id::to_hex;
use crate::repo::cache::CacheDirectory;
use crate::repo::kept_dump::list::FileName;
use crate::units::to_usize;
use rustix::fs::FallocateFlags;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// The folder of one dump.
#[derive(Debug, Clone)]
pub(crate) struct DumpFolder {
    path: PathBuf,
    dump: Digest,
}

impl DumpFolder {
    /// The folder of the dump of this name; nothing is made yet.
    pub(crate) fn new(cache: &CacheDirectory, dump: Digest) -> Self {
        Self { path: folder_of_all(cache).join(dump.to_string()), dump }
    }

    /// The dump's name.
    pub(crate) const fn dump(&self) -> &Digest {
        &self.dump
    }

    /// The file of the list.
    pub(crate) fn list(&self) -> PathBuf {
        self.path.join(LIST)
    }

    /// A file of sealed chunks.
    pub(crate) fn chunks(&self, name: FileName) -> PathBuf {
        self.path.join(to_hex(&name))
    }

    /// Makes the folder and locks it; `None` if another run has it.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let lock = create(&self.path.join(LOCK))?;
        Ok(lock.try_lock().is_ok().then_some(lock))
    }

    /// Makes an empty file of sealed chunks.
    pub(crate) fn create_chunks(&self, name: FileName) -> io::Result<File> {
        create(&self.chunks(name))
    }

    /// Replaces the list, durably: a crash leaves the old or the new one.
    pub(crate) fn replace_list(&self, bytes: &[u8]) -> io::Result<()> {
        let staged = self.path.join(STAGED);
        let mut file = create(&staged)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&staged, self.list())?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes every file but the lock, the list, and these; whoever calls this holds the lock.
    pub(crate) fn keep_only(&self, names: &[FileName]) {
        let kept: Vec<PathBuf> = names.iter().map(|name| self.chunks(*name)).collect();
        let stays = |path: &PathBuf| {
            *path == self.list() || *path == self.path.join(LOCK) || kept.contains(path)
        };
        for path in files_in(&self.path).into_iter().filter(|path| !stays(path)) {
            let _ignored = std::fs::remove_file(path);
        }
    }

    /// Removes what is kept; whoever calls this holds the lock.
    pub(crate) fn clear(&self) {
        // Without its list nothing else says anything.
        let _ignored = std::fs::remove_file(self.list());
        self.keep_only(&[]);
    }

    /// Whether there is a list.
    pub(crate) fn has_list(&self) -> bool {
        self.list().exists()
    }

    /// The room that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let room = |path: PathBuf| Some(path.metadata().ok()?.blocks() * BLOCK_BYTES);
        files_in(&self.path).into_iter().filter_map(room).sum()
    }
}

/// Every folder of a dump in a cache's part of one repository.
pub(crate) fn folders(cache: &CacheDirectory) -> Vec<DumpFolder> {
    let of = |path: PathBuf| {
        let dump = path.file_name()?.to_str()?.parse().ok()?;
        Some(DumpFolder { path, dump })
    };
    files_in(&folder_of_all(cache)).into_iter().filter_map(of).collect()
}

/// Takes bytes out of a file, and gives their room back where the file system can.
pub(crate) fn blank(path: &Path, range: &Range<u64>) {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return };
    let length = range.end.saturating_sub(range.start);
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if rustix::fs::fallocate(&file, how, range.start, length).is_err() {
        let _ignored = file.write_all_at(&vec![0; to_usize(length)], range.start);
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn folder_of_all(cache: &CacheDirectory) -> PathBuf {
    cache.path().join(DUMPS)
}

const DUMPS: &str = "dumps";
const LIST: &str = "list";
const STAGED: &str = "list.new";
const LOCK: &str = "lock";
/// What systems count room in.
const BLOCK_BYTES: u64 = 512;
