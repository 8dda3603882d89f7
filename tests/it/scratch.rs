//! A repository with room around it for one test, and file trees as values that can be compared.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::servers::place::Place;
use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use sbf_repo::Credential;
use sbf_repo::Environment;
use sbf_repo::InitOptions;
use sbf_repo::KeyFile;
use sbf_repo::Repository;
use sbf_repo::SystemEnvironment;
use sbf_repo::ops::check::CheckOptions;
use sbf_repo::ops::check::CheckReport;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::restore::RestoreReport;
use sbf_repo::ops::restore::Trust;
use sbf_repo::ops::select::Selector;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::ops::snapshot::report::SnapshotReport;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// A repository that a key file opens, and a directory for everything else.
pub(crate) struct Scratch {
    folder: TempDir,
    /// Where the repository is.
    pub(crate) place: Place,
}

/// A clock that is ahead.
#[derive(Debug)]
pub(crate) struct LaterEnvironment {
    system: SystemEnvironment,
    seconds: i64,
}

impl LaterEnvironment {
    /// A clock that is so many seconds ahead.
    pub(crate) const fn new(seconds: i64) -> Self {
        Self { system: SystemEnvironment::new(), seconds }
    }
}

impl Environment for LaterEnvironment {
    fn now(&self) -> (i64, u32) {
        let (seconds, nanoseconds) = self.system.now();
        (seconds + self.seconds, nanoseconds)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.system.fill_random(buffer);
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let scratch = Self::without_repository();
        let mut keep = |key: &KeyFile| {
            put(scratch.path("key"), key.to_text().as_bytes());
            Ok(())
        };
        let options = scratch.open_options();
        sbf_repo::ops::init::init(&options, InitOptions::new(), &FirstSecret::KeyFile, &mut keep)
            .unwrap();
        scratch
    }

    pub(crate) fn without_repository() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::fresh(&folder.path().join("repository"));
        let scratch = Self { folder, place };
        fs::create_dir(scratch.source()).unwrap();
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The directory that is backed up.
    pub(crate) fn source(&self) -> PathBuf {
        self.path("source")
    }

    /// Where a snapshot of [`Self::source`] is found below the target of a restore.
    pub(crate) fn below(&self, target: &str) -> PathBuf {
        self.path(target).join(self.source().strip_prefix("/").unwrap())
    }

    fn open_options(&self) -> OpenOptions {
        // So that no file changed too lately to be trusted.
        let environment = LaterEnvironment::new(100);
        self.place
            .open_options(Arc::new(environment))
            .with_cache(self.path("cache"))
            .with_state(self.path("state"))
    }

    pub(crate) fn open(&self) -> Repository {
        let key = KeyFile::parse(&fs::read_to_string(self.path("key")).unwrap()).unwrap();
        sbf_repo::ops::location::open(&self.open_options(), &Credential::KeyFile(key)).unwrap()
    }

    #[track_caller]
    pub(crate) fn snapshot(&self) -> SnapshotReport {
        self.try_snapshot(Source::Files(FilesSource::new(vec![self.source()]))).unwrap()
    }

    pub(crate) fn try_snapshot(&self, source: Source) -> Result<SnapshotReport, OpError> {
        sbf_repo::ops::snapshot::snapshot(
            &self.open(),
            &SnapshotOptions::new("test".to_owned(), "host".to_owned()),
            source,
            &NoProgress::new(),
        )
    }

    /// Restores as an administrator would.
    #[track_caller]
    pub(crate) fn restore(&self, selector: &str, target: &str) -> RestoreReport {
        let mut options = RestoreOptions::new(self.path(target));
        options.trust = Trust::Trusted;
        self.try_restore(selector, &options).unwrap()
    }

    pub(crate) fn try_restore(
        &self,
        selector: &str,
        options: &RestoreOptions,
    ) -> Result<RestoreReport, OpError> {
        let repository = self.open();
        let selected = Selector::parse(selector.as_bytes())?.select(&repository)?;
        sbf_repo::ops::restore::restore(&repository, &selected, options, &NoProgress::new())
    }

    #[track_caller]
    pub(crate) fn check(&self) -> CheckReport {
        let options = CheckOptions::new(Depth::ReadData);
        sbf_repo::ops::check::check(&self.open(), &options, &NoProgress::new()).unwrap()
    }

    #[track_caller]
    pub(crate) fn check_is_clean(&self) {
        let report = self.check();
        assert!(!report.is_damaged(), "{:?}", report.findings);
    }

    /// How many snapshots there are.
    pub(crate) fn snapshot_count(&self) -> usize {
        let filter = sbf_repo::ops::look::SnapshotFilter::new();
        let list = sbf_repo::ops::look::snapshots(&self.open(), &filter).unwrap();
        assert!(list.findings.is_empty(), "{:?}", list.findings);
        list.rows.len()
    }

    /// The program, with this repository in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command
            .args(arguments)
            .env("SBF_REPO_KEY_FILE", self.path("key"))
            .env("SBF_REPO_CACHE_DIR", self.path("cache"))
            .env("SBF_REPO_STATE_DIR", self.path("state"));
        self.place.tell(&mut command);
        command
    }

    /// Runs the program; the exit code must be this one.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.command(arguments).output().unwrap();
        expect_code(&output, code);
        output
    }

    /// Runs the program as a user who is nobody else and owns all but the source.
    pub(crate) fn run_as_nobody(&self, arguments: &[&str]) -> Output {
        for name in ["repository", "cache", "state", "key"] {
            fs::create_dir_all(self.path(name)).ok();
            let mut command = Command::new("chown");
            command.args(["-R", "65534:65534"]).arg(self.path(name));
            assert!(command.status().unwrap().success());
        }
        rustix::fs::chmod(self.folder.path(), Mode::from_raw_mode(0o777)).unwrap();
        // The place where programs are built may be closed to others.
        let program = self.path("program");
        fs::copy(env!("CARGO_BIN_EXE_sbf-repo"), &program).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(&program).args(arguments);
        for (name, value) in self.command(&[]).get_envs() {
            command.env(name, value.unwrap());
        }
        command.output().unwrap()
    }
}

#[track_caller]
pub(crate) fn expect_code(output: &Output, code: i32) {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{}\n{out}\n{err}", output.status);
}

#[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
pub(crate) fn put(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn skip(reason: &str) {
    eprintln!("skip: {reason}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// An entry of a file tree, with everything that a restore must bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: (i64, i64),
    pub(crate) size: u64,
    /// Hash of a file's content, or a link's target.
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) device: u64,
    /// The first path of the same inode, if there are several.
    pub(crate) same_as: Option<Vec<u8>>,
}

/// Everything below a directory, by path; the directory itself is the empty path.
pub(crate) type Tree = BTreeMap<Vec<u8>, Entry>;

/// Looks at a tree, however deep it is.
pub(crate) fn tree(path: &Path) -> Tree {
    let mut found = Tree::new();
    let mut inodes = BTreeMap::new();
    let root = open_directory(rustix::fs::CWD, path.as_os_str().as_encoded_bytes());
    let own = entry(root.as_fd(), b".", b"", &mut inodes);
    found.insert(Vec::new(), own);
    let mut open = vec![(root, Vec::new())];
    while let Some((directory, prefix)) = open.pop() {
        let mut names: Vec<Vec<u8>> = Dir::read_from(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        names.sort();
        for name in names {
            let path = [prefix.as_slice(), b"/", &name].concat();
            let found_here = entry(directory.as_fd(), &name, &path, &mut inodes);
            if found_here.kind == "Directory" {
                open.push((open_directory(directory.as_fd(), &name), path.clone()));
            }
            found.insert(path, found_here);
        }
        // Directories are visited in the order of their paths: the first path of an inode is
        // the same for two equal trees.
        open.sort_by(|left, right| right.1.cmp(&left.1));
    }
    found
}

fn entry(
    directory: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    inodes: &mut BTreeMap<u64, Vec<u8>>,
) -> Entry {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let kind = FileType::from_raw_mode(stat.st_mode);
    let content = match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(directory, name, flags, Mode::empty()).unwrap();
            let mut hasher = blake3::Hasher::new();
            let mut file = fs::File::from(file);
            let mut buffer = vec![0; 1 << 18];
            loop {
                let length = file.read(&mut buffer).unwrap();
                if length == 0 {
                    break;
                }
                hasher.update(&buffer[..length]);
            }
            hasher.finalize().as_bytes().to_vec()
        }
        FileType::Symlink => {
            rustix::fs::readlinkat(directory, name, Vec::new()).unwrap().into_bytes()
        }
        FileType::Directory
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Vec::new(),
    };
    let same_as = if kind != FileType::Directory && stat.st_nlink > 1 {
        Some(inodes.entry(stat.st_ino).or_insert_with(|| path.to_vec()).clone())
    } else {
        None
    };
    Entry {
        kind: format!("{kind:?}"),
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap()),
        size: if kind == FileType::Directory { 0 } else { u64::try_from(stat.st_size).unwrap() },
        content,
        xattrs: xattrs(directory, name),
        device: stat.st_rdev,
        same_as,
    }
}

fn xattrs(directory: BorrowedFd<'_>, name: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    let mut buffer = vec![0_u8; 65_536];
    let length = rustix::fs::llistxattr(path.as_slice(), &mut buffer).unwrap_or(0);
    let names: Vec<Vec<u8>> = buffer[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let value = |name: Vec<u8>| {
        let mut value = vec![0_u8; 65_536];
        let length = rustix::fs::lgetxattr(path.as_slice(), name.as_slice(), &mut value).unwrap();
        value.truncate(length);
        (name, value)
    };
    names.into_iter().map(value).collect()
}

fn open_directory(parent: impl AsFd, name: &[u8]) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).unwrap()
}

/// Two trees must be the same; the first few differences are shown.
#[track_caller]
pub(crate) fn assert_same(expected: &Path, restored: &Path) {
    assert_same_trees(&tree(expected), &tree(restored));
}

#[track_caller]
pub(crate) fn assert_same_trees(expected: &Tree, restored: &Tree) {
    let mut wrong = Vec::new();
    for path in expected.keys().chain(restored.keys().filter(|path| !expected.contains_key(*path)))
    {
        let (left, right) = (expected.get(path), restored.get(path));
        if left != right {
            let name = String::from_utf8_lossy(path);
            wrong.push(format!("{name}:\n  expected {left:?}\n  restored {right:?}"));
        }
    }
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sets a flag when it is dropped: a thread that waits for it also ends when a claim fails.
pub(crate) struct SetAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
