//! Repositories for tests: made, opened, written, restored and checked in one line each.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]
#![expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use sbf_repo::Environment;
use sbf_repo::InitOptions;
use sbf_repo::KeyFile;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::check::CheckOptions;
use sbf_repo::ops::check::CheckReport;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::check::check;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::ops::restore::Ownership;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::restore::RestoreReport;
use sbf_repo::ops::restore::restore;
use sbf_repo::ops::select::Selector;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::ops::snapshot::options::StreamSource;
use sbf_repo::ops::snapshot::report::SnapshotReport;
use sbf_repo::ops::snapshot::snapshot;
use sbf_repo::testing::FixedEnvironment;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use sbf_repo::testing::init_in;
use sbf_repo::testing::open_in;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

/// How many pairs of crashes of one kind are drawn: `usual`, or what `tools/crashpairs` asks for.
/// Changes a bit in the middle of a pack of more than 4 MiB below a folder.
pub(crate) fn damage_large_pack(packs: &Path) {
    let mut open = vec![packs.to_owned()];
    while let Some(path) = open.pop() {
        let status = fs::metadata(&path).unwrap();
        if status.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if status.len() > 4 * 1_048_576 {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::remove_file(&path).unwrap();
            return fs::write(&path, bytes).unwrap();
        }
    }
    panic!("no large pack below {}", packs.display());
}

pub(crate) fn pairs_count(usual: u64) -> u64 {
    let asked = std::env::var("SBF_REPO_CRASH_PAIRS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// What a tree holds: files with their bytes, directories with none.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// An environment of its own for each process that a test plays.
pub(crate) fn environment(seed: u64) -> Arc<dyn Environment> {
    Arc::new(FixedEnvironment::new(1_700_000_000, seed))
}

/// A new repository with small chunks; returns the key file that opens it.
pub(crate) fn init(store: &Arc<dyn Store>, seed: u64) -> Result<KeyFile, RepoError> {
    let mut options = InitOptions::new();
    options.chunk_average_bytes = 1024;
    options.stream_chunk_average_bytes = 1024;
    init_in(store, &environment(seed), options)
}

/// Opens a repository as a process with this seed; `state` is its client's memory.
pub(crate) fn open(
    store: &Arc<dyn Store>,
    key: &KeyFile,
    seed: u64,
    state: Option<&Path>,
) -> Result<Repository, RepoError> {
    open_in(store, &environment(seed), key, state)
}

/// Backs up a directory.
pub(crate) fn back_up(
    repository: &Repository,
    source: &str,
    path: &Path,
) -> Result<SnapshotReport, OpError> {
    let files = Source::Files(FilesSource::new(vec![path.to_path_buf()]));
    snapshot(repository, &snapshot_options(source), files, &NoProgress::new())
}

/// Backs up a stream.
pub(crate) fn back_up_stream(
    repository: &Repository,
    source: &str,
    bytes: &[u8],
) -> Result<SnapshotReport, OpError> {
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let stream = Source::Stream(StreamSource::new(source.to_owned(), input));
    snapshot(repository, &snapshot_options(source), stream, &NoProgress::new())
}

fn snapshot_options(source: &str) -> SnapshotOptions {
    let mut options = SnapshotOptions::new(source.to_owned(), "host".to_owned());
    options.threads = 1;
    options
}

/// Restores a snapshot into a new directory; the bytes are those of the files below it.
pub(crate) fn restore_files(
    repository: &Repository,
    snapshot: SnapshotId,
    keep_going: KeepGoing,
) -> Result<(RestoreReport, Files), OpError> {
    let target = scratch();
    let selected = Selector::parse(snapshot.to_string().as_bytes())?.select(repository)?;
    let mut options = RestoreOptions::new(target.path().join("restored"));
    options.keep_going = keep_going;
    options.ownership = Ownership::Keep;
    options.threads = 1;
    let report = restore(repository, &selected, &options, &NoProgress::new())?;
    Ok((report, files_below(&options.target)))
}

/// Checks a repository, to the last byte or not.
pub(crate) fn check_all(repository: &Repository, depth: Depth) -> Result<CheckReport, OpError> {
    let mut options = CheckOptions::new(depth);
    options.threads = 1;
    check(repository, &options, &NoProgress::new())
}

/// Asserts that nothing is damaged and that each of these snapshots restores to these files, and
/// that there are no others.
#[track_caller]
pub(crate) fn assert_sound(repository: &Repository, expected: &[(SnapshotId, Files)], case: &str) {
    let listed = snapshots(repository, &SnapshotFilter::new()).unwrap();
    let mut found: Vec<_> = listed.rows.iter().map(|row| row.snapshot).collect();
    found.sort_unstable();
    let mut wanted: Vec<_> = expected.iter().map(|(snapshot, _)| *snapshot).collect();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{case}: other snapshots than were acknowledged");
    assert_restores(repository, expected, case);
}

/// Asserts that nothing is damaged and that each of these snapshots restores to these files.
#[track_caller]
pub(crate) fn assert_restores(
    repository: &Repository,
    expected: &[(SnapshotId, Files)],
    case: &str,
) {
    let report = check_all(repository, Depth::ReadData).unwrap();
    assert!(!report.is_damaged(), "{case}: check finds {:?}", report.findings);
    for (snapshot, files) in expected {
        let restored = restore_files(repository, *snapshot, KeepGoing::Stop);
        let (report, restored) =
            restored.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        assert_eq!(report.failed_count, 0, "{case}: {:?}", report.failed);
        assert!(restored == *files, "{case}: snapshot {snapshot} restores to other files");
    }
}

/// An error with its causes.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// A directory that is gone after the test, in memory where the system has that.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if memory.is_dir()
        && let Ok(made) = tempfile::Builder::new().prefix("sbf-").tempdir_in(memory)
    {
        return made;
    }
    builder.tempdir().unwrap()
}

/// Makes files, with the directories that they need.
pub(crate) fn write_files(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Everything below a directory, by path from there.
pub(crate) fn files_below(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_path_buf();
            if path.is_dir() {
                open.push(path);
                files.insert(name, Vec::new());
            } else {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// What a snapshot of `folder` restores to: its files, and the directories that lead there.
pub(crate) fn restored_form(folder: &Path) -> Files {
    let inside = folder.strip_prefix("/").unwrap();
    let mut files: Files =
        files_below(folder).into_iter().map(|(name, bytes)| (inside.join(name), bytes)).collect();
    for parent in inside.ancestors().filter(|parent| !parent.as_os_str().is_empty()) {
        files.insert(parent.to_path_buf(), Vec::new());
    }
    files
}

/// What a snapshot of a stream restores to.
pub(crate) fn stream_form(source: &str, bytes: &[u8]) -> Files {
    Files::from([(PathBuf::from(source), bytes.to_vec())])
}

/// Bytes that a seed repeats: `letters` different ones, so that few letters compress well.
pub(crate) fn bytes_of(seed: u64, length: usize, letters: u64) -> Vec<u8> {
    let mut random = SplitMix::new(seed);
    (0..length).map(|_| random.below(letters).to_le_bytes()[0]).collect()
}

/// Runs a test's cases on all processors; what they return, in no order.
///
/// Plain threads: a case that waits for a thread pool of the library must not begin another case
/// on its own stack meanwhile.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    cases: &[T],
    run: impl Fn(&T) -> Option<R> + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.extend(run(case));
        }
        results
    };
    let count = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Sends a signal to a child.
pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for half a minute until something is there.
#[track_caller]
pub(crate) fn wait_for(path: &Path) {
    for _ in 0..3000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(path.exists(), "{} never came", path.display());
}
