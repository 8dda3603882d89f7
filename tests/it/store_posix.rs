//! What only the store in a directory promises: links, rights, full disks, leftovers.
//! A claim that this machine cannot show is skipped with a printed reason.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use sbf_repo::key::ObjectKey;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::StoreErrorKind;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn skip(reason: &str) {
    eprintln!("skip: {reason}");
}

#[expect(clippy::disallowed_methods, reason = "a foreign file need not be durable")]
fn put(path: impl AsRef<Path>, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

// Another test may be starting a program, whose copy of every open file keeps locks and space for
// a moment.
#[track_caller]
fn eventually(mut happens: impl FnMut() -> bool) {
    let happened = (0..100_000).any(|_| {
        std::thread::yield_now();
        happens()
    });
    assert!(happened, "never happened");
}

fn files_in(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

// A small file system of its own, until dropped.
struct Mounted {
    directory: TempDir,
}

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(directory.path())
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self { directory })
    }

    fn remount(&self, options: &str) -> bool {
        let mount = Command::new("mount").args(["-o", options]).arg(self.directory.path()).output();
        mount.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.directory.path()).output());
    }
}

#[test]
fn a_missing_directory_is_not_found_and_create_makes_it_with_its_parents() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a/b/repository");
    assert_eq!(PosixHandle::open(&path).unwrap_err().kind, StoreErrorKind::NotFound);
    PosixHandle::create(&path).unwrap();
    PosixHandle::create(&path).unwrap();
    assert_eq!(files_in(&path), 0);
    let store = PosixHandle::open(&path).unwrap().store();
    store.create(&key("config"), b"x").unwrap();
    put(directory.path().join("file"), b"");
    let file = directory.path().join("file");
    assert_eq!(PosixHandle::open(&file).unwrap_err().kind, StoreErrorKind::Other);
}

#[test]
fn objects_are_read_only_and_directories_private() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("repository");
    let store = PosixHandle::create(&path).unwrap().store();
    store.create(&key("packs/a/b"), b"x").unwrap();
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let root = path.to_str().unwrap();
    assert_eq!(mode(&format!("{root}/packs/a/b")), 0o400);
    for made in ["", "/packs", "/packs/a", "/tmp"] {
        assert_eq!(mode(&format!("{root}{made}")), 0o700, "{made}");
    }
    assert_eq!(files_in(&path.join("tmp")), 0);
}

#[test]
fn symbolic_links_in_the_repository_are_not_followed() {
    let outside = TempDir::new().unwrap();
    put(outside.path().join("secret"), b"secret");
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    let store = PosixHandle::create(root).unwrap().store();
    store.create(&key("packs/real"), b"x").unwrap();
    symlink(outside.path().join("secret"), root.join("packs/link")).unwrap();
    symlink(outside.path(), root.join("index")).unwrap();
    symlink(outside.path().join("new"), root.join("dangling")).unwrap();

    let listed = store.list("").unwrap();
    assert_eq!(listed.len(), 1);
    assert!(store.list("index").unwrap().is_empty());
    for object in ["packs/link", "index/secret", "dangling"] {
        assert!(store.read(&key(object), 99).is_err(), "read {object}");
        assert!(store.length(&key(object)).is_err(), "length {object}");
        assert!(store.settle(&key(object)).is_err(), "settle {object}");
    }
    for object in ["packs/link", "index/new", "dangling"] {
        let error = store.create(&key(object), b"y").unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Other, "create {object}");
    }
    assert!(store.delete(&key("index/secret")).is_err());
    store.delete(&key("packs/link")).unwrap();
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(files_in(outside.path()), 1);
}

#[test]
fn foreign_files_are_neither_listed_nor_opened() {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    let store = PosixHandle::create(root).unwrap().store();
    store.create(&key("packs/a"), b"x").unwrap();
    for name in [".hidden", "packs/Upper", "packs/with space", "packs/.a.swp"] {
        put(root.join(name), b"x");
    }
    let pipe = Command::new("mkfifo").arg(root.join("packs/pipe")).status();
    assert_eq!(store.list("").unwrap().len(), 1);
    if pipe.is_ok_and(|status| status.success()) {
        assert!(store.read(&key("packs/pipe"), 9).is_err());
    }
    assert!(store.create(&key("tmp/a"), b"x").is_err());
    assert!(store.read(&key("packs"), 9).is_err());
}

#[test]
fn a_vanished_directory_is_made_again() {
    let directory = TempDir::new().unwrap();
    let store = PosixHandle::create(directory.path()).unwrap().store();
    store.create(&key("a/b/1"), b"x").unwrap();
    for gone in ["a", "tmp"] {
        fs::remove_dir_all(directory.path().join(gone)).unwrap();
    }
    store.create(&key("a/b/2"), b"y").unwrap();
    assert_eq!(store.read(&key("a/b/2"), 1).unwrap(), b"y");
}

#[test]
fn a_sweep_removes_what_nobody_stages_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let handle = PosixHandle::create(directory.path()).unwrap();
    assert_eq!(handle.sweep_staged().unwrap(), 0);
    handle.store().create(&key("packs/a"), b"x").unwrap();
    let stage = directory.path().join("tmp");
    put(stage.join(format!("{}-1", std::process::id())), b"half");
    fs::hard_link(directory.path().join("packs/a"), stage.join("linked")).unwrap();
    let held = fs::File::create(stage.join("held")).unwrap();
    held.lock().unwrap();
    // A leftover with this process's own next name is stepped over.
    handle.store().create(&key("packs/b"), b"y").unwrap();
    let mut swept = 0;
    eventually(|| {
        swept += handle.sweep_staged().unwrap();
        swept >= 2
    });
    assert_eq!(swept, 2);
    assert!(stage.join("held").exists());
    held.unlock().unwrap();
    assert_eq!(handle.sweep_staged().unwrap(), 1);
    assert_eq!(handle.store().list("").unwrap().len(), 2);
    assert_eq!(handle.store().read(&key("packs/a"), 9).unwrap(), b"x");
}

#[test]
fn sweeps_during_creates_lose_nothing() {
    let directory = TempDir::new().unwrap();
    let handle = PosixHandle::create(directory.path()).unwrap();
    std::thread::scope(|scope| {
        let creators: Vec<_> = (0..4)
            .map(|thread| {
                let store = handle.store();
                scope.spawn(move || {
                    (0..100)
                        .filter(|number| {
                            let object = key(&format!("a/{thread}-{number}"));
                            store.create(&object, b"body").is_ok()
                        })
                        .count()
                })
            })
            .collect();
        while !creators.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            handle.sweep_staged().unwrap();
        }
        let created: usize = creators.into_iter().map(|thread| thread.join().unwrap()).sum();
        let listed = handle.store().list("a").unwrap();
        assert!(listed.len() >= created && created > 300, "{created}");
        assert!(listed.iter().all(|entry| entry.length == 4));
    });
}

#[test]
fn a_full_disk_is_reported_as_full_and_leaves_no_object() {
    let Some(mounted) = Mounted::new("size=1m") else {
        return skip("no file system could be mounted here");
    };
    let root = mounted.directory.path();
    let store = PosixHandle::create(root).unwrap().store();
    store.create(&key("a/small"), &[1; 1000]).unwrap();
    for _ in 0..3 {
        let error = store.create(&key("a/large"), &vec![2; 2 << 20]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Full, "{}", error.source);
        assert_eq!(store.list("").unwrap().len(), 1);
        assert_eq!(files_in(&root.join("tmp")), 0);
    }
    eventually(|| store.create(&key("a/other"), &[3; 1000]).is_ok());
    assert_eq!(store.read(&key("a/small"), 1000).unwrap(), [1; 1000]);
}

#[test]
fn a_disk_without_free_inodes_is_full() {
    let Some(mounted) = Mounted::new("size=1m,nr_inodes=8") else {
        return skip("no file system could be mounted here");
    };
    let store = PosixHandle::create(mounted.directory.path()).unwrap().store();
    let error = (0..9).find_map(|number| store.create(&key(&format!("{number}")), b"x").err());
    assert_eq!(error.unwrap().kind, StoreErrorKind::Full);
}

#[test]
fn a_read_only_file_system_denies_changes_and_allows_reads() {
    let Some(mounted) = Mounted::new("size=1m") else {
        return skip("no file system could be mounted here");
    };
    let root = mounted.directory.path();
    PosixHandle::create(root).unwrap().store().create(&key("a/b"), b"x").unwrap();
    if !mounted.remount("remount,ro") {
        return skip("the file system could not be mounted read-only");
    }
    let store = PosixHandle::open(root).unwrap().store();
    assert_eq!(store.create(&key("a/c"), b"x").unwrap_err().kind, StoreErrorKind::Denied);
    assert_eq!(store.delete(&key("a/b")).unwrap_err().kind, StoreErrorKind::Denied);
    assert_eq!(store.read(&key("a/b"), 1).unwrap(), b"x");
    assert_eq!(store.list("").unwrap().len(), 1);
}

#[test]
fn a_directory_without_write_permission_denies_creates() {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    let store = PosixHandle::create(root).unwrap().store();
    store.create(&key("a/b"), b"x").unwrap();
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::File::create(root.join("a/probe")).is_ok() {
        return skip("this user may write where the permissions say no");
    }
    assert_eq!(store.create(&key("a/c"), b"x").unwrap_err().kind, StoreErrorKind::Denied);
    assert_eq!(store.delete(&key("a/b")).unwrap_err().kind, StoreErrorKind::Denied);
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
}
