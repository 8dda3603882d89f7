//! Full and read-only stores, and programs that are killed: a snapshot fails as a whole, nothing
//! that was there is lost, and the next one goes on where the failed one stopped.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::support::Files;
use crate::support::assert_restores;
use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::files_below;
use crate::support::init;
use crate::support::open;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::StoreErrorKind;
use sbf_repo::id::SnapshotId;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreError;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;

/// The store's error among the causes, if there is one.
fn store_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a StoreError> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<StoreError>() {
            return Some(found);
        }
        // A boxed cause is one more step.
        if let Some(boxed) = cause.downcast_ref::<Box<sbf_repo::RepoError>>() {
            return store_error(boxed.as_ref());
        }
        next = cause.source();
    }
    None
}

/// A store with one snapshot, a client's memory, and data that has grown since.
struct Prepared {
    store: Arc<MemoryStore>,
    key: KeyFile,
    state: TempDir,
    source: TempDir,
    first: (SnapshotId, Files),
}

fn prepared() -> Prepared {
    let store = Arc::new(MemoryStore::new());
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
    let key = init(&shared, 1).unwrap();
    let (state, source) = (scratch(), scratch());
    write_files(source.path(), &[("a", bytes_of(1, 9_000, 256))]);
    let repository = open(&shared, &key, 2, Some(state.path())).unwrap();
    let report = back_up(&repository, "files", source.path()).unwrap();
    let first = (report.snapshot.unwrap(), restored_form(source.path()));
    write_files(source.path(), &[("d/b", bytes_of(2, 20_000, 256))]);
    Prepared { store, key, state, source, first }
}

/// Lets each change to the store fail in turn; returns how many there are.
fn fail_each_change(kind: StoreErrorKind) -> u64 {
    for change in 0.. {
        let Prepared { store, key, state, source, first } = prepared();
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let case = format!("{kind:?} at change {change}");
        let faulty = FaultStore::new(Arc::clone(&shared));
        let faulty: Arc<dyn Store> =
            Arc::new(faulty.with_fault_on_change(change, Fault::Fail(kind)));
        let repository = open(&faulty, &key, 3, Some(state.path())).unwrap();
        let result = back_up(&repository, "files", source.path());
        drop(repository);
        let Err(error) = result else { return change };
        let found = store_error(&error).unwrap_or_else(|| panic!("{case}: {}", words(&error)));
        assert_eq!(found.kind, kind, "{case}: {}", words(&error));
        let repository = open(&shared, &key, 4, Some(state.path())).unwrap();
        assert_restores(&repository, std::slice::from_ref(&first), &case);
        let report = back_up(&repository, "files", source.path()).unwrap();
        let second = (report.snapshot.unwrap(), restored_form(source.path()));
        assert_restores(&repository, &[first, second], &case);
    }
    0
}

#[test]
fn a_full_store_fails_a_snapshot_at_any_change_and_loses_nothing() {
    assert!(fail_each_change(StoreErrorKind::Full) >= 6);
}

#[test]
fn a_denied_change_fails_a_snapshot_at_any_change_and_loses_nothing() {
    assert!(fail_each_change(StoreErrorKind::Denied) >= 6);
}

/// A file system of its own in memory; gone with the value.
struct Mount {
    folder: TempDir,
}

impl Mount {
    fn new(bytes: u64) -> Option<Self> {
        let folder = scratch();
        let size = format!("size={bytes}");
        let arguments = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { folder })
    }

    /// Leaves so many bytes of room.
    fn fill_but(&self, free: u64) {
        let mut file = fs::File::create(self.path("ballast")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(free)).unwrap();
    }

    fn remount_read_only(&self) -> bool {
        let arguments = ["-o", "remount,ro"];
        let mounted = Command::new("mount").args(arguments).arg(self.folder.path()).output();
        mounted.is_ok_and(|output| output.status.success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ignored = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

#[expect(clippy::print_stdout, reason = "says what was not covered")]
fn skip(why: &str) {
    println!("skip: {why}");
}

fn skip_unless(is_so: bool, why: &str) {
    if !is_so {
        skip(why);
    }
}

#[test]
fn a_snapshot_on_a_full_disk_fails_and_works_once_there_is_room() {
    let Some(mount) = Mount::new(2_000_000) else {
        return skip("no file system can be mounted here");
    };
    let store = PosixHandle::create(&mount.path("repo")).unwrap().store();
    let key = init(&store, 1).unwrap();
    let (state, source) = (scratch(), scratch());
    write_files(source.path(), &[("a", bytes_of(1, 50_000, 256))]);
    let repository = open(&store, &key, 2, Some(state.path())).unwrap();
    let report = back_up(&repository, "files", source.path()).unwrap();
    let first = (report.snapshot.unwrap(), restored_form(source.path()));
    write_files(source.path(), &[("b", bytes_of(2, 400_000, 256))]);
    for (seed, free) in (10..).zip([0, 4_096, 8_192, 16_384, 32_768, 65_536, 200_000, 390_000]) {
        let case = format!("{free} bytes free");
        mount.fill_but(free);
        let error = back_up(&repository, "files", source.path()).unwrap_err();
        let found = store_error(&error).unwrap_or_else(|| panic!("{case}: {}", words(&error)));
        assert_eq!(found.kind, StoreErrorKind::Full, "{case}");
        let reader = open(&store, &key, seed, None).unwrap();
        assert_restores(&reader, std::slice::from_ref(&first), &case);
        fs::remove_file(mount.path("ballast")).unwrap();
    }
    let report = back_up(&repository, "files", source.path()).unwrap();
    let second = (report.snapshot.unwrap(), restored_form(source.path()));
    assert_restores(&repository, &[first, second], "with room again");
}

#[test]
fn a_read_only_store_restores_and_refuses_a_snapshot() {
    let Some(mount) = Mount::new(2_000_000) else {
        return skip("no file system can be mounted here");
    };
    let store = PosixHandle::create(&mount.path("repo")).unwrap().store();
    let key = init(&store, 1).unwrap();
    let source = scratch();
    write_files(source.path(), &[("a", bytes_of(1, 50_000, 256))]);
    let repository = open(&store, &key, 2, None).unwrap();
    let report = back_up(&repository, "files", source.path()).unwrap();
    let first = (report.snapshot.unwrap(), restored_form(source.path()));
    drop(store);
    assert!(mount.remount_read_only());
    let store = PosixHandle::open(&mount.path("repo")).unwrap().store();
    let repository = open(&store, &key, 3, None).unwrap();
    assert_restores(&repository, &[first], "read-only");
    let error = back_up(&repository, "files", source.path()).unwrap_err();
    let found = store_error(&error).unwrap_or_else(|| panic!("{}", words(&error)));
    assert!(found.to_string().contains("sessions/"), "{}", words(&error));
}

/// The program with a repository of its own.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        for (name, value) in [
            ("SBF_REPO_REPOSITORY", "repo"),
            ("SBF_REPO_KEY_FILE", "key"),
            ("SBF_REPO_CACHE_DIR", "cache"),
            ("SBF_REPO_STATE_DIR", "state"),
        ] {
            command.env(name, self.folder.path().join(value));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(&[arguments, &["--json"]].concat()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Bytes of everything in the store, also of what is still being written.
    fn stored_bytes(&self) -> u64 {
        bytes_below(&self.folder.path().join("repo"))
    }

    fn pack_bytes(&self) -> u64 {
        bytes_below(&self.folder.path().join("repo/packs"))
    }

    /// Kills the child once the store has grown by so much; says whether it was still running.
    fn kill_after(&self, mut child: Child, bytes: u64) -> bool {
        let start = self.stored_bytes();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.stored_bytes().saturating_sub(start) >= bytes {
                child.kill().unwrap();
                return !child.wait().unwrap().success();
            }
            std::thread::yield_now();
        }
    }
}

/// Files come and go meanwhile.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_gone) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}

#[test]
fn a_program_that_is_killed_again_and_again_loses_nothing() {
    let desk = Desk { folder: scratch() };
    let data = desk.folder.path().join("data");
    desk.run(&["init"]);
    let mut random = SplitMix::new(KILL_SEED);
    let (mut killed_count, mut adopted_count) = (0, 0);
    let mut committed = 0;
    for round in 0..KILL_ROUNDS {
        let name = format!("round/{round}");
        write_files(&data, &[(&name, bytes_of(round, KILL_BYTES, 256))]);
        let packs = desk.pack_bytes();
        let child = desk.command(&["snapshot", "data", "--source", "docs"]).spawn().unwrap();
        let killed = desk.kill_after(child, random.below(KILL_BYTES_MAX));
        killed_count += u32::from(killed);
        desk.run(&["check", "--read-data"]);
        let survived = desk.pack_bytes() - packs >= KILL_BYTES.try_into().unwrap();
        adopted_count += u32::from(killed && survived);
        let before = desk.stored_bytes();
        desk.run(&["snapshot", "data", "--source", "docs"]);
        let grown = desk.stored_bytes().saturating_sub(before);
        let most = if survived { SMALL_BYTES } else { KILL_BYTES_MAX };
        assert!(grown < most, "seed {KILL_SEED}, round {round}: {grown} bytes stored");
        let listed = desk.run(&["snapshots"])["snapshots"].as_array().unwrap().len();
        assert!(listed > committed, "seed {KILL_SEED}, round {round}: a snapshot is gone");
        committed = listed;
    }
    assert!(killed_count > 0, "seed {KILL_SEED}: no run was still alive");
    skip_unless(adopted_count > 0, "no run was killed between its packs and its commit");
    desk.run(&["check", "--read-data"]);
    let target = desk.folder.path().join("restored");
    desk.run(&["restore", "docs@latest", "--target", target.to_str().unwrap()]);
    let inside = target.join(data.strip_prefix("/").unwrap());
    assert!(files_below(&inside) == files_below(&data), "seed {KILL_SEED}: other files");
}

const KILL_SEED: u64 = 31;
const KILL_ROUNDS: u64 = 20;
/// New data of a round.
const KILL_BYTES: usize = 300_000;
/// What a round stores at most.
const KILL_BYTES_MAX: u64 = 400_000;
/// What a round stores if its data is there.
const SMALL_BYTES: u64 = 60_000;
