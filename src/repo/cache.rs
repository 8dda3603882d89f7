//! The local cache: index runs, the last survey that found nothing to free, and what
//! [`Kept`](crate::repo::kept::Kept) keeps. Disposable, shared by processes, never a reason to fail.

use crate::id::Digest;
use crate::id::RepoId;
use crate::repo::index::bytes::RunBytes;
use crate::repo::index::run;
use crate::repo::index::run::Run;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A directory that may vanish at any time.
#[derive(Debug, Clone)]
pub(crate) struct CacheDirectory {
    path: PathBuf,
    bytes_max: u64,
}

impl CacheDirectory {
    /// A cache below `path`; nothing is made yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, bytes_max: CACHE_BYTES_MAX }
    }

    /// The same cache, which keeps so many bytes of each repository, index runs not counted.
    #[must_use]
    pub(crate) fn with_bytes_max(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// The part of one repository.
    pub(crate) fn for_repository(&self, repository: RepoId) -> Self {
        Self { path: self.path.join(repository.to_string()), bytes_max: self.bytes_max }
    }

    /// How many bytes of a repository are kept beside index runs.
    pub(crate) const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a run and maps it; `None` if the cache cannot take it.
    pub(crate) fn store_run(&self, bytes: &[u8]) -> Option<RunBytes> {
        let path = self.run_path(run::checksum_in(bytes)?)?;
        if !path.exists() && !replace(&path, bytes) {
            return None;
        }
        RunBytes::map(&File::open(&path).ok()?).ok()
    }

    /// Maps a run that `write` writes into an empty file; `None` if the cache cannot take it.
    pub(crate) fn write_run(
        &self,
        write: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Option<RunBytes> {
        self.drop_abandoned();
        let staged = staged_beside(&self.run_path([0; 32])?);
        let written = open_new(&staged).and_then(|file| {
            write(&file)?;
            RunBytes::map(&file)
        });
        let mapped = written.ok().and_then(|bytes| {
            let path = self.run_path(run::checksum_in(bytes.as_slice())?)?;
            std::fs::rename(&staged, path).ok()?;
            Some(bytes)
        });
        if mapped.is_none() {
            let _ignored = std::fs::remove_file(&staged);
        }
        mapped
    }

    /// Removes what processes that were killed had begun to write.
    fn drop_abandoned(&self) {
        let Ok(entries) = std::fs::read_dir(self.path.join(RUNS)) else { return };
        for entry in entries.flatten() {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED_AGE));
            if is_old && entry.path().extension().is_some_and(|end| end == STAGED_EXTENSION) {
                let _ignored = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Where a run with this checksum is.
    fn run_path(&self, checksum: [u8; 32]) -> Option<PathBuf> {
        let folder = self.path.join(RUNS);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        Some(folder.join(format!("{}.{RUN_EXTENSION}", Digest::new(checksum))))
    }

    /// Every run of the cache.
    pub(crate) fn runs(&self) -> Vec<RunBytes> {
        let mapped = |path: PathBuf| RunBytes::map(&File::open(path).ok()?).ok();
        self.run_paths().into_iter().filter_map(mapped).collect()
    }

    /// Drops runs that `is_stale`, and runs that do not open.
    pub(crate) fn drop_runs(&self, repository: RepoId, is_stale: impl Fn(&Run) -> bool) {
        for path in self.run_paths() {
            let bytes = File::open(&path).ok().and_then(|file| RunBytes::map(&file).ok());
            let run = bytes.and_then(|bytes| Run::open(repository, bytes));
            if run.is_none_or(|run| is_stale(&run)) {
                let _ignored = std::fs::remove_file(path);
            }
        }
    }

    /// The last survey that found nothing to free.
    pub(crate) fn idle(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path.join(IDLE)).ok()
    }

    /// Keeps the last survey that found nothing to free, if the cache can take it.
    pub(crate) fn store_idle(&self, bytes: &[u8]) {
        if DirBuilder::new().recursive(true).mode(0o700).create(&self.path).is_ok() {
            replace(&self.path.join(IDLE), bytes);
        }
    }

    fn run_paths(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path.join(RUNS)) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_run = |path: &PathBuf| path.extension().is_some_and(|end| end == RUN_EXTENSION);
        let mut paths: Vec<PathBuf> = paths.filter(is_run).collect();
        paths.sort();
        paths
    }
}

/// Puts a file in its place at once; says whether that worked.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> bool {
    let staged = staged_beside(path);
    let written = open_new(&staged).and_then(|mut file| file.write_all(bytes));
    let is_there = written.and_then(|()| std::fs::rename(&staged, path)).is_ok();
    if !is_there {
        let _ignored = std::fs::remove_file(&staged);
    }
    is_there
}

/// A name that no other thread or process uses.
fn staged_beside(path: &Path) -> PathBuf {
    let mut staged = path.as_os_str().to_owned();
    let number = STAGED_COUNT.fetch_add(1, Ordering::Relaxed);
    staged.push(format!(".{}-{number}.{STAGED_EXTENSION}", std::process::id()));
    PathBuf::from(staged)
}

fn open_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o400).open(path)
}

/// Tells files apart that threads of this process write at once.
static STAGED_COUNT: AtomicU64 = AtomicU64::new(0);
/// How many bytes of a repository are kept beside index runs, unless somebody says otherwise.
pub const CACHE_BYTES_MAX: u64 = 2176 * crate::units::MIB;
const RUNS: &str = "index";
const IDLE: &str = "idle";
const RUN_EXTENSION: &str = "run";
const STAGED_EXTENSION: &str = "new";
/// A file of the cache that is being written, and is not, for so long, is nobody's.
const ABANDONED_AGE: Duration = Duration::from_hours(24);
