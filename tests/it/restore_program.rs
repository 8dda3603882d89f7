//! `restore` into a target that is not empty, as people use it: in place, planned, deleting,
//! verified, interrupted and refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::scratch::assert_same;
use crate::scratch::assert_same_trees;
use crate::scratch::is_root;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use crate::scratch::tree;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

/// A snapshot of a small tree of many kinds, and a target that holds a restore of it.
struct Case {
    desk: Desk,
    selector: String,
}

impl Case {
    fn new() -> Self {
        let desk = Desk::with_repository();
        put(desk.path("data/large"), noise(1, 3_000_000));
        put(desk.path("data/empty"), b"");
        fs::create_dir_all(desk.path("data/deep/er")).unwrap();
        put(desk.path("data/deep/er/file"), b"deep");
        fs::hard_link(desk.path("data/large"), desk.path("data/deep/linked")).unwrap();
        symlink("../large", desk.path("data/deep/symbolic")).unwrap();
        let sparse = File::create(desk.path("data/sparse")).unwrap();
        sparse.set_len(2_000_000).unwrap();
        sparse.write_all_at(&noise(2, 5000), 1_000_000).unwrap();
        let case = Self { selector: format!("latest:{}", desk.path("data").display()), desk };
        check(&case.desk.run(&["snapshot", "data"]), 0);
        case.restore(&[], 0);
        case
    }

    /// Restores into the target, and returns the report.
    #[track_caller]
    fn restore(&self, more: &[&str], exit: i32) -> Value {
        let first = ["restore", &self.selector, "--trusted", "--target", "back"];
        self.desk.json(&[&first, more].concat(), exit)
    }

    fn back(&self, name: &str) -> PathBuf {
        self.desk.path("back").join(name)
    }

    #[track_caller]
    fn assert_restored(&self) {
        assert_same(&self.desk.path("data"), &self.desk.path("back"));
    }
}

fn counts(report: &Value) -> BTreeMap<String, u64> {
    let counts = report["counts"].as_object().unwrap();
    let count = |(name, value): (&String, &Value)| (name.clone(), value.as_u64().unwrap());
    counts.iter().map(count).filter(|(_, value)| *value > 0).collect()
}

fn inodes(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (stat.ino(), stat.ctime(), stat.ctime_nsec()));
    }
    found
}

fn names_of(report: &Value, action: &str) -> Vec<String> {
    let changes = report["changes"].as_array().unwrap().iter();
    let of_action = changes.filter(|change| change["action"] == action);
    of_action.map(|change| change["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_equal_tree_is_not_touched_at_all() {
    let case = Case::new();
    case.assert_restored();
    let before = inodes(&case.desk.path("back"));
    let report = case.restore(&["--delete"], 0);
    assert_eq!(inodes(&case.desk.path("back")), before, "not even a time of change is another");
    let counts = counts(&report);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["bytes_unchanged", "unchanged"]);
    // `always` makes every file anew.
    case.restore(&["--overwrite", "always"], 0);
    case.assert_restored();
    assert_ne!(inodes(&case.back("large")), inodes(&case.back("x").with_file_name("empty")));
    assert_ne!(before[&case.back("a.txt")].0, fs::metadata(case.back("a.txt")).unwrap().ino());
}

#[test]
fn of_a_changed_file_only_the_changed_chunks_are_fetched() {
    let case = Case::new();
    let file = File::options().write(true).open(case.back("large")).unwrap();
    file.write_all_at(b"changed", 1_500_000).unwrap();
    drop(file);
    let plan = case.restore(&["--dry-run"], 0);
    assert_eq!(names_of(&plan, "change"), ["deep/linked", "large"]);
    let fetched = plan["fetch"]["chunk_bytes"].as_u64().unwrap();
    assert!(fetched > 0 && fetched < 1_500_000, "{fetched}");
    let report = case.restore(&[], 0);
    case.assert_restored();
    let reused = report["counts"]["bytes_reused"].as_u64().unwrap();
    assert_eq!(reused + fetched, 3_000_000);
    assert_eq!(counts(&plan), counts(&report), "the plan was exact");
}

#[test]
fn a_file_that_only_lost_its_times_or_mode_keeps_its_inode() {
    let case = Case::new();
    let inode = fs::metadata(case.back("a.txt")).unwrap().ino();
    fs::set_permissions(case.back("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    File::open(case.back("inner/b.txt")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let plan = case.restore(&["--dry-run"], 0);
    assert_eq!(names_of(&plan, "metadata"), ["a.txt", "inner/b.txt"]);
    let report = case.restore(&[], 0);
    assert_eq!((report["counts"]["metadata"].as_u64(), counts(&plan)), (Some(2), counts(&report)));
    assert_eq!(fs::metadata(case.back("a.txt")).unwrap().ino(), inode);
    case.assert_restored();
}

#[test]
fn a_name_outside_the_target_of_a_file_inside_keeps_what_it_has() {
    let case = Case::new();
    let outside = case.desk.path("outside");
    fs::hard_link(case.back("a.txt"), &outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
    put(&outside, b"other");
    case.restore(&[], 0);
    case.assert_restored();
    assert_eq!(fs::read(&outside).unwrap(), b"other");
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn whatever_was_done_to_the_target_is_undone_and_planned_exactly() {
    let case = Case::new();
    let sentinel = case.desk.path("sentinel");
    put(&sentinel, b"untouched");
    fs::remove_file(case.back("a.txt")).unwrap();
    symlink(&sentinel, case.back("a.txt")).unwrap();
    fs::remove_dir_all(case.back("deep/er")).unwrap();
    put(case.back("deep/er"), b"a file in the way");
    put(case.back("empty"), b"no longer");
    let sparse = File::options().write(true).open(case.back("sparse")).unwrap();
    sparse.write_all_at(b"in a hole", 100).unwrap();
    fs::remove_file(case.back("deep/symbolic")).unwrap();
    symlink("elsewhere", case.back("deep/symbolic")).unwrap();
    File::options().write(true).open(case.back("large")).unwrap().set_len(1_000_000).unwrap();
    let before = tree(&case.desk.path("back"));
    let plan = case.restore(&["--dry-run"], 0);
    assert_same_trees(&before, &tree(&case.desk.path("back")));
    let report = case.restore(&[], 0);
    case.assert_restored();
    assert_eq!(counts(&plan), counts(&report));
    assert_eq!(fs::read(&sentinel).unwrap(), b"untouched");
    assert_eq!(names_of(&plan, "create"), ["deep/er/file"]);
    let changed = ["a.txt", "deep/er", "deep/linked", "deep/symbolic", "empty", "large", "sparse"];
    assert_eq!(names_of(&plan, "change"), changed);
}

#[test]
fn never_leaves_what_is_there_and_restores_what_is_missing() {
    let case = Case::new();
    put(case.back("a.txt"), b"mine");
    fs::remove_file(case.back("inner/b.txt")).unwrap();
    fs::remove_file(case.back("deep/linked")).unwrap();
    put(case.back("large"), b"mine too");
    fs::set_permissions(case.back("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    let plan = case.restore(&["--overwrite", "never", "--dry-run"], 0);
    let report = case.restore(&["--overwrite", "never", "--verify"], 0);
    assert_eq!(counts(&plan), counts(&report));
    assert_eq!(names_of(&plan, "create"), ["deep/linked", "inner/b.txt"]);
    assert_eq!(fs::read(case.back("a.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(case.back("large")).unwrap(), b"mine too");
    assert!(fs::read(case.back("deep/linked")).unwrap() == noise(1, 3_000_000));
    assert_eq!(fs::metadata(case.back("deep")).unwrap().mode() & 0o777, 0o700);
    // Six entries, and two directories that were changed since.
    assert_eq!(report["counts"]["kept"], 8, "{report}");
}

#[test]
fn delete_removes_what_the_snapshot_lacks_and_nothing_else() {
    let case = Case::new();
    let sentinel = case.desk.path("sentinel");
    fs::create_dir(&sentinel).unwrap();
    put(sentinel.join("inside"), b"untouched");
    fs::create_dir_all(case.back("extra/more/yet")).unwrap();
    put(case.back("extra/more/file"), b"x");
    put(case.back("extra/keep.log"), b"x");
    put(case.back("deep/file"), b"x");
    symlink(&sentinel, case.back("link")).unwrap();
    let plan = case.restore(&["--delete", "--exclude", "*.log", "--dry-run"], 0);
    assert!(case.back("deep/file").exists());
    let report = case.restore(&["--delete", "--exclude", "*.log"], 0);
    assert_eq!(counts(&plan), counts(&report));
    let deleted = ["deep/file", "extra/more", "extra/more/file", "extra/more/yet", "link"];
    assert_eq!(names_of(&plan, "delete"), deleted);
    assert_eq!(fs::read(case.back("extra/keep.log")).unwrap(), b"x");
    case.restore(&["--delete"], 0);
    case.assert_restored();
    assert_eq!(fs::read(sentinel.join("inside")).unwrap(), b"untouched");
}

#[test]
fn delete_stays_within_what_was_backed_up() {
    let case = Case::new();
    let target = case.desk.path("whole");
    let whole = ["restore", "latest", "--target", "whole", "--delete"];
    check(&case.desk.run(&whole), 0);
    // The snapshot has no more of the directories above than the way to `data`.
    put(target.join("beside"), b"x");
    let data = target.join(case.desk.path("data").strip_prefix("/").unwrap());
    put(data.parent().unwrap().join("beside"), b"x");
    put(data.join("extra"), b"x");
    check(&case.desk.run(&whole), 0);
    assert!(target.join("beside").exists() && data.parent().unwrap().join("beside").exists());
    assert!(!data.join("extra").exists());
}

#[test]
fn delete_is_refused_for_incomplete_snapshots_and_whole_hosts() {
    let case = Case::new();
    let refused = case.desk.run(&["restore", "latest", "--target", "/", "--delete", "--dry-run"]);
    check(&refused, 14);
    assert!(err(&refused).contains("nothing is deleted in `/`"), "{}", err(&refused));
    check(&case.desk.run(&["restore", "latest", "--target", "t", "--accept-incomplete"]), 2);
    if !is_root() {
        return skip("only root can become another user");
    }
    let scratch = crate::scratch::Scratch::new();
    put(scratch.source().join("read"), b"x");
    put(scratch.source().join("unread"), b"x");
    fs::set_permissions(scratch.source(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scratch.source().join("unread"), fs::Permissions::from_mode(0o000))
        .unwrap();
    let source = scratch.source();
    let made = scratch.run_as_nobody(&["snapshot", source.to_str().unwrap()]);
    check(&made, 3);
    let back = scratch.below("back");
    fs::create_dir_all(&back).unwrap();
    put(back.join("unread"), b"precious");
    let target = scratch.path("back");
    let restore = ["restore", "latest", "--target", target.to_str().unwrap(), "--delete"];
    let refused = scratch.run(&restore, 14);
    assert!(err(&refused).contains("--accept-incomplete"), "{}", err(&refused));
    assert_eq!(fs::read(back.join("unread")).unwrap(), b"precious");
    assert!(!back.join("read").exists(), "it is refused before anything is done");
    scratch.run(&[&restore[..], &["--accept-incomplete"]].concat(), 0);
    assert!(!back.join("unread").exists() && back.join("read").exists());
}

#[test]
fn nothing_is_deleted_after_a_failure() {
    let case = Case::new();
    put(case.back("extra"), b"x");
    fs::remove_file(case.back("a.txt")).unwrap();
    fs::create_dir(case.back("a.txt")).unwrap();
    put(case.back("a.txt/inside"), b"x");
    let plan = case.restore(&["--delete", "--dry-run"], 3);
    assert_eq!(plan["failed"][0]["object"], "a.txt");
    assert!(names_of(&plan, "delete").is_empty());
    case.restore(&["--delete", "--keep-going"], 3);
    assert!(case.back("extra").exists() && case.back("a.txt/inside").exists());
    case.restore(&["--delete"], 1);
    assert!(case.back("extra").exists());
}

#[test]
fn a_plan_says_what_is_fetched_and_how_long_that_may_take() {
    let case = Case::new();
    let fresh = ["restore", &case.selector, "--target", "fresh", "--plan"];
    let plan = case.desk.json(&fresh, 0);
    assert!(!case.desk.path("fresh").exists());
    let fetch = &plan["fetch"];
    let chunk_bytes = fetch["chunk_bytes"].as_u64().unwrap();
    assert!(chunk_bytes > 3_000_000 && chunk_bytes < 3_100_000, "{plan}");
    assert!(
        fetch["requests"].as_u64().unwrap() > 0 && fetch["bytes"].as_u64().unwrap() > 3_000_000
    );
    assert!(fetch["seconds"].as_f64().unwrap() > 0.0, "{plan}");
    assert!(plan["changes"].as_array().unwrap().is_empty(), "only `--dry-run` names entries");
    let words = case.desk.run(&fresh);
    assert!(err(&words).contains("by way of trial") || out(&words).contains("by way of trial"));
    let nothing = case.restore(&["--plan"], 0);
    assert_eq!(nothing["fetch"]["requests"], 0);
}

#[test]
fn verify_reads_back_what_was_restored() {
    let case = Case::new();
    let report = case.restore(&["--verify"], 0);
    assert_eq!(report["verified"]["findings_count"], 0, "{report}");
    let entries = u64::try_from(tree(&case.desk.path("data")).len()).unwrap();
    assert_eq!(report["verified"]["entries"], entries);
    assert!(report["verified"]["bytes"].as_u64().unwrap() > 5_000_000);
    let fresh = ["restore", &case.selector, "--target", "fresh", "--verify"];
    assert_eq!(case.desk.json(&fresh, 0)["verified"]["findings_count"], 0);
}
