//! What comes back from a snapshot: every kind of entry, and random trees.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::assert_same;
use crate::scratch::assert_same_trees;
use crate::scratch::expect_code;
use crate::scratch::is_root;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use crate::scratch::tree;
use proptest::collection::btree_map;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::XattrFlags;
use sbf_repo::ops::restore::RestoreOptions;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Backs the source up, restores it as root would, and compares.
#[track_caller]
fn check_round_trip(scratch: &Scratch) {
    let report = scratch.snapshot();
    assert_eq!(report.skipped_count, 0, "{:?}", report.skipped);
    let restored = scratch.restore("latest", "restored");
    assert_eq!(restored.failed_count, 0, "{:?}", restored.failed);
    assert_eq!(restored.totals, report.totals);
    assert_same(&scratch.source(), &scratch.below("restored"));
    scratch.check_is_clean();
}

fn mode(path: &Path, mode: u32) {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn make_node(path: &Path, kind: FileType, device: u64) -> bool {
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::from_raw_mode(0o640), device).is_ok()
}

fn named(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(name))
}

#[test]
fn hard_links_across_directories_stay_one_file() {
    let scratch = Scratch::new();
    let source = scratch.source();
    for folder in ["a", "b/c"] {
        fs::create_dir_all(source.join(folder)).unwrap();
    }
    put(source.join("b/c/first"), noise(1, 300_000));
    fs::hard_link(source.join("b/c/first"), source.join("a/second")).unwrap();
    fs::hard_link(source.join("b/c/first"), source.join("z")).unwrap();
    put(source.join("a/empty"), "");
    fs::hard_link(source.join("a/empty"), source.join("b/empty")).unwrap();
    symlink("anywhere", source.join("a/link")).unwrap();
    make_node(&source.join("a/pipe"), FileType::Fifo, 0);
    make_node(&source.join("a/socket"), FileType::Socket, 0);
    // Only root makes devices.
    make_node(&source.join("a/device"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    for name in ["link", "pipe", "socket", "device"] {
        let (first, second) = (source.join("a").join(name), source.join("b").join(name));
        if fs::symlink_metadata(&first).is_ok() {
            fs::hard_link(first, second).unwrap();
        }
    }
    let expected = tree(&source);
    let report = scratch.snapshot();
    assert!(report.run.bytes_read < 310_000, "one inode is read once: {:?}", report.run);
    scratch.restore("latest", "restored");
    assert_same_trees(&expected, &tree(&scratch.below("restored")));
    // Onto what is there: each name is replaced.
    scratch.restore("latest", "restored");
    assert_same_trees(&expected, &tree(&scratch.below("restored")));
    // Also when nothing is read.
    scratch.snapshot();
    scratch.restore("latest", "again");
    let again = fs::metadata(scratch.below("again").join("z")).unwrap();
    assert_eq!(again.nlink(), 3);
}

#[test]
fn holes_come_back_as_holes() {
    let scratch = Scratch::new();
    let make = |name: &str, length: u64, writes: &[(u64, usize)]| {
        let file = File::create(scratch.source().join(name)).unwrap();
        file.set_len(length).unwrap();
        for (offset, count) in writes {
            file.write_all_at(&noise(*offset, *count), *offset).unwrap();
        }
    };
    make("only-a-hole", 1 << 43, &[]);
    make("between", 256 << 20, &[(0, 70_000), (100 << 20, 5), ((256 << 20) - 3, 3)]);
    make("hole-at-the-end", 64 << 20, &[(4096, 100)]);
    let many: Vec<(u64, usize)> = (0..60).map(|number| (number * 131_072, 4096)).collect();
    make("many-holes", 60 * 131_072, &many);
    // A file that holds zeros has no holes, and comes back full of them all the same.
    put(scratch.source().join("zeros"), vec![0; 200_000]);
    let big = scratch.source().join("only-a-hole");
    scratch.snapshot();
    scratch.restore("latest", "restored");
    for name in ["between", "hole-at-the-end", "many-holes", "zeros"] {
        let (left, right) = (scratch.source().join(name), scratch.below("restored").join(name));
        assert!(fs::read(&left).unwrap() == fs::read(&right).unwrap(), "{name}");
        let blocks = |path: &Path| fs::metadata(path).unwrap().blocks();
        assert!(blocks(&right) <= blocks(&left) + 16, "{name} takes {} blocks", blocks(&right));
    }
    let restored = fs::metadata(scratch.below("restored").join("only-a-hole")).unwrap();
    assert_eq!((restored.len(), restored.blocks()), (1 << 43, fs::metadata(big).unwrap().blocks()));
}

#[test]
fn links_pipes_and_sockets_come_back() {
    let scratch = Scratch::new();
    let source = scratch.source();
    symlink("/absolute/and/missing", source.join("absolute")).unwrap();
    symlink("../..", source.join("up")).unwrap();
    symlink("self", source.join("self")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\n"), source.join("bytes")).unwrap();
    symlink("a/".repeat(2047), source.join("long")).unwrap();
    set_time(&source.join("up"), -5, 1);
    assert!(make_node(&source.join("pipe"), FileType::Fifo, 0));
    assert!(make_node(&source.join("socket"), FileType::Socket, 0));
    mode(&source.join("pipe"), 0o615);
    set_time(&source.join("pipe"), 1, 999_999_999);
    check_round_trip(&scratch);
}

#[test]
fn devices_come_back_to_root_who_trusts_the_snapshot() {
    let scratch = Scratch::new();
    let source = scratch.source();
    let number = rustix::fs::makedev(1, 3);
    if !make_node(&source.join("null"), FileType::CharacterDevice, number)
        || !make_node(&source.join("block"), FileType::BlockDevice, rustix::fs::makedev(7, 200))
    {
        return skip("devices can be made by root only");
    }
    check_round_trip(&scratch);
    let options = RestoreOptions::new(scratch.path("untrusted"));
    let report = scratch.try_restore("latest", &options).unwrap();
    assert!(report.not_applied_count >= 2, "{:?}", report.not_applied);
    assert!(!scratch.below("untrusted").join("null").exists());
}

#[test]
fn names_of_all_bytes_and_lengths_come_back() {
    let scratch = Scratch::new();
    let source = scratch.source();
    for byte in (1..=255_u8).filter(|byte| *byte != b'/' && *byte != b'.') {
        put(named(&source, &[byte]), [byte]);
    }
    let all: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    put(named(&source, &all), "all");
    put(named(&source, &[b'x'; 255]), "long");
    put(named(&source, b"..."), "dots");
    put(named(&source, b" \n-rf"), "odd");
    fs::create_dir(named(&source, b"\xc3\x28")).unwrap();
    check_round_trip(&scratch);
    let listed = scratch.run(&["ls", "latest"], 0).stdout;
    assert!(listed.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~' | 0x80..)));
}

#[test]
fn paths_as_long_as_the_system_takes_come_back() {
    let scratch = Scratch::new();
    let name = [b'd'; 200];
    let mut path = scratch.source();
    while path.as_os_str().len() < 3800 {
        path = named(&path, &name);
    }
    fs::create_dir_all(&path).unwrap();
    put(path.join("file"), "deep");
    check_round_trip(&scratch);
}

#[test]
fn directories_deeper_than_any_path_come_back() {
    let scratch = Scratch::new();
    let mut folder = File::open(scratch.source()).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&folder, "some-name", Mode::from_raw_mode(0o755)).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, "some-name", flags, Mode::empty()).unwrap().into();
    }
    check_round_trip(&scratch);
    // `TempDir` cannot remove what is deeper than a path.
    let done = std::process::Command::new("rm").arg("-rf").arg(scratch.source()).status();
    assert!(done.unwrap().success());
    let done = std::process::Command::new("rm").arg("-rf").arg(scratch.path("restored")).status();
    assert!(done.unwrap().success());
}

#[test]
fn times_modes_and_owners_come_back() {
    let scratch = Scratch::new();
    let source = scratch.source();
    let times =
        [(-1, 0), (-2_000_000_000, 1), (0, 0), (981_173_106, 123_456_789), (4_102_444_800, 7)];
    for (number, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        let path = source.join(format!("time-{number}"));
        put(&path, "x");
        set_time(&path, seconds, nanoseconds);
    }
    for bits in [0o000, 0o001, 0o200, 0o444, 0o777, 0o1777, 0o2755, 0o4755, 0o6711] {
        let path = source.join(format!("file-{bits:o}"));
        put(&path, "x");
        mode(&path, bits);
        let path = source.join(format!("folder-{bits:o}"));
        fs::create_dir(&path).unwrap();
        put(path.join("inside"), "x");
        set_time(&path, 1_000_000, 5);
        mode(&path, bits);
    }
    if !is_root() {
        return skip("only root can read and give every mode and owner");
    }
    for (number, user) in [1, 1000, 65_534, 4_000_000_000].into_iter().enumerate() {
        let path = source.join(format!("owner-{number}"));
        put(&path, "x");
        std::os::unix::fs::lchown(&path, Some(user), Some(user / 2)).unwrap();
        let path = source.join(format!("owned-link-{number}"));
        symlink("x", &path).unwrap();
        std::os::unix::fs::lchown(&path, Some(user), Some(user / 2)).unwrap();
    }
    check_round_trip(&scratch);
}

#[test]
fn attributes_and_access_lists_come_back() {
    let scratch = Scratch::new();
    let source = scratch.source();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
    };
    let (file, folder) = (source.join("file"), source.join("folder"));
    put(&file, "x");
    fs::create_dir(&folder).unwrap();
    if !set(&file, "user.comment", b"\0bytes\xff") || !set(&folder, "user.empty", b"") {
        return skip("the file system has no attributes");
    }
    set(&file, "user.long", &noise(1, 3000));
    set(&file, "trusted.of-root", b"x");
    // Version 2; the owner, user 1000, the group, the mask, others.
    let list = |rights: [u8; 5]| {
        let tags = [(1_u16, u32::MAX), (2, 1000), (4, u32::MAX), (16, u32::MAX), (32, u32::MAX)];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for ((tag, id), right) in tags.into_iter().zip(rights) {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(u16::from(right).to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    };
    set(&file, "system.posix_acl_access", &list([6, 4, 4, 6, 0]));
    set(&folder, "system.posix_acl_default", &list([7, 5, 5, 7, 1]));
    put(folder.join("inherits"), "x");
    fs::create_dir(folder.join("plain")).unwrap();
    rustix::fs::removexattr(folder.join("plain"), "system.posix_acl_default").ok();
    check_round_trip(&scratch);
}

#[test]
fn empty_and_chunk_sized_files_come_back() {
    let scratch = Scratch::new();
    for length in [0, 1, 16_383, 16_384, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 17 << 20] {
        put(scratch.source().join(format!("noise-{length}")), noise(1, length));
        put(scratch.source().join(format!("zeros-{length}")), vec![0; length]);
    }
    fs::create_dir(scratch.source().join("empty")).unwrap();
    check_round_trip(&scratch);
}

#[test]
fn directories_of_many_entries_come_back() {
    let scratch = Scratch::new();
    for number in 0..20_000_u32 {
        put(scratch.source().join(format!("file with a rather long name {number:08}")), "");
    }
    check_round_trip(&scratch);
    let report = scratch.snapshot();
    assert_eq!(report.run.files_unchanged, 20_000);
    put(scratch.source().join("file with a rather long name 00007777x"), "new");
    let report = scratch.snapshot();
    assert!(report.run.bytes_new < 500_000, "few nodes are new: {:?}", report.run);
}

#[test]
fn random_trees_come_back_exactly() {
    let name = proptest::sample::select(vec!["a", "b", "c", "long name", "\u{e9}", "Z"]);
    let path = vec(name, 1..5);
    let content = (any::<u64>(), 0..150_000_usize, any::<bool>());
    let trees = btree_map(path, content, 0..25);
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, cases: 24, ..Config::default() });
    let result = runner.run(&(trees.clone(), trees), |(first, second)| {
        let scratch = Scratch::new();
        for model in [first, second] {
            let model: Model = model.into_iter().collect();
            fs::remove_dir_all(scratch.source()).unwrap();
            fs::create_dir(scratch.source()).unwrap();
            let written = write_model(&scratch.source(), &model);
            let target = format!("restored-{}", scratch.snapshot().snapshot.unwrap());
            scratch.restore("latest", &target);
            for (path, bytes) in &written {
                assert!(fs::read(scratch.below(&target).join(path)).unwrap() == *bytes, "{path:?}");
            }
            assert_same(&scratch.source(), &scratch.below(&target));
        }
        scratch.check_is_clean();
        Ok(())
    });
    result.unwrap();
}

type Model = BTreeMap<Vec<&'static str>, (u64, usize, bool)>;

/// Makes the files whose paths no other file is in the way of.
fn write_model(source: &Path, model: &Model) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut written = BTreeMap::new();
    for (names, (seed, length, noisy)) in model {
        let path: PathBuf = names.iter().collect();
        let parent = source.join(&path).parent().unwrap().to_owned();
        if fs::create_dir_all(&parent).is_err() || source.join(&path).exists() {
            continue;
        }
        let bytes = if *noisy { noise(*seed, *length) } else { vec![0x61; *length] };
        put(source.join(&path), &bytes);
        written.insert(path, bytes);
    }
    written
}

#[test]
fn one_path_of_a_snapshot_can_be_restored_alone() {
    let scratch = Scratch::new();
    let folder = scratch.source().join("folder");
    fs::create_dir(&folder).unwrap();
    put(folder.join("file"), "file");
    put(scratch.source().join("other"), "other");
    scratch.snapshot();
    let selector = format!("latest:{}", folder.display());
    scratch.restore(&selector, "restored");
    assert_same(&folder, &scratch.path("restored"));
    let selector = format!("latest:{}/other", scratch.source().display());
    scratch.restore(&selector, "single");
    assert_eq!(fs::read(scratch.path("single/other")).unwrap(), b"other");
    let missing = format!("latest:{}/nothing", scratch.source().display());
    let target = scratch.path("nothing");
    scratch.run(&["restore", &missing, "--target", target.to_str().unwrap()], 1);
}

#[test]
fn filters_choose_what_is_restored() {
    let scratch = Scratch::new();
    for path in ["a/x.txt", "a/y.bin", "b/x.txt"] {
        fs::create_dir_all(scratch.source().join(path).parent().unwrap()).unwrap();
        put(scratch.source().join(path), path);
    }
    scratch.snapshot();
    let mut options = RestoreOptions::new(scratch.path("restored"));
    options.filter = Some(Arc::new(|path, is_directory| is_directory || path.ends_with(b".txt")));
    scratch.try_restore("latest", &options).unwrap();
    let names: Vec<String> = tree(&scratch.below("restored"))
        .keys()
        .map(|path| String::from_utf8(path.clone()).unwrap())
        .collect();
    assert_eq!(names, ["", "/a", "/a/x.txt", "/b", "/b/x.txt"]);
}

#[test]
fn a_restore_replaces_files_and_links_and_keeps_the_rest() {
    let scratch = Scratch::new();
    put(scratch.source().join("file"), "from the snapshot");
    put(scratch.source().join("linked"), "from the snapshot");
    fs::create_dir(scratch.source().join("folder")).unwrap();
    put(scratch.source().join("folder/inside"), "from the snapshot");
    scratch.snapshot();
    let sentinel = scratch.path("sentinel");
    fs::create_dir(&sentinel).unwrap();
    put(sentinel.join("inside"), "untouched");
    let target = scratch.below("restored");
    fs::create_dir_all(&target).unwrap();
    put(target.join("file"), "older");
    put(target.join("extra"), "extra");
    symlink(sentinel.join("inside"), target.join("linked")).unwrap();
    symlink(&sentinel, target.join("folder")).unwrap();
    scratch.restore("latest", "restored");
    assert_eq!(fs::read(target.join("extra")).unwrap(), b"extra");
    fs::remove_file(target.join("extra")).unwrap();
    let (expected, mut restored) = (tree(&scratch.source()), tree(&target));
    restored.get_mut(b"".as_slice()).unwrap().modified = expected[b"".as_slice()].modified;
    assert_same_trees(&expected, &restored);
    assert_eq!(fs::read(sentinel.join("inside")).unwrap(), b"untouched");
}

#[test]
fn a_plain_user_restores_read_only_directories_and_their_links() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let scratch = Scratch::new();
    // More directories than a restore keeps open, so that the first must be opened again.
    for number in 0..400 {
        let folder = scratch.source().join(format!("{number:03}"));
        fs::create_dir(&folder).unwrap();
        put(folder.join("own"), "own");
        fs::hard_link(scratch.source().join("000/own"), folder.join("linked")).unwrap();
        mode(&folder, 0o555);
    }
    scratch.snapshot();
    let target = scratch.path("restored");
    let output =
        scratch.run_as_nobody(&["restore", "latest", "--target", target.to_str().unwrap()]);
    expect_code(&output, 0);
    for number in 0..400 {
        let folder = scratch.below("restored").join(format!("{number:03}"));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o555, "{number}");
        assert_eq!(fs::metadata(folder.join("linked")).unwrap().nlink(), 401);
    }
}

#[test]
fn the_program_restores_what_the_program_stored() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.source().join("folder")).unwrap();
    put(scratch.source().join("folder/file"), noise(5, 200_000));
    symlink("folder/file", scratch.source().join("link")).unwrap();
    let (source, target) = (scratch.source(), scratch.path("restored"));
    scratch.run(&["snapshot", source.to_str().unwrap(), "--source", "docs"], 0);
    let arguments = ["restore", "docs@latest", "--trusted", "--target", target.to_str().unwrap()];
    scratch.run(&arguments, 0);
    assert_same(&source, &scratch.below("restored"));
    scratch.run(&["check", "--read-data"], 0);
    let path = format!("latest:{}/folder/file", source.display());
    assert!(scratch.run(&["dump", &path], 0).stdout == noise(5, 200_000));
}
