//! The local cache: index runs, the last survey that found nothing to free, and what
//! [`Kept`](crate::repo::kept::Kept) keeps. Disposable, shared by processes, never a reason to fail.

use crate::id::Digest;
use crate::id::RepoId;
use crate::repo::index::bytes::RunBytes;
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

/// A directory that may vanish at any time.
#[derive(Debug, Clone)]
pub(crate) struct CacheDirectory {
    path: PathBuf,
}

impl CacheDirectory {
    /// A cache below `path`; nothing is made yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The part of one repository.
    pub(crate) fn for_repository(&self, repository: RepoId) -> Self {
        Self { path: self.path.join(repository.to_string()) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a run and maps it; `None` if the cache cannot take it.
    pub(crate) fn store_run(&self, bytes: &[u8]) -> Option<RunBytes> {
        let folder = self.path.join(RUNS);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        let name = Digest::new(crate::crypto::hash::blake3(bytes)).to_string();
        let path = folder.join(format!("{name}.{RUN_EXTENSION}"));
        if !path.exists() && !replace(&path, bytes) {
            return None;
        }
        RunBytes::map(&File::open(&path).ok()?).ok()
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
    let mut staged = path.as_os_str().to_owned();
    let number = STAGED_COUNT.fetch_add(1, Ordering::Relaxed);
    staged.push(format!(".{}-{number}.new", std::process::id()));
    let staged = PathBuf::from(staged);
    let written = write_new(&staged, bytes);
    let is_there = written.and_then(|()| std::fs::rename(&staged, path)).is_ok();
    if !is_there {
        let _ignored = std::fs::remove_file(&staged);
    }
    is_there
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o400).open(path)?;
    file.write_all(bytes)
}

/// Tells files apart that threads of this process write at once.
static STAGED_COUNT: AtomicU64 = AtomicU64::new(0);
const RUNS: &str = "index";
const IDLE: &str = "idle";
const RUN_EXTENSION: &str = "run";
