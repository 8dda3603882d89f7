//! Restores that are stopped, killed, refused, or find no room: what is left, and how they go on.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::scratch::Scratch;
use crate::scratch::assert_same;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use sbf_repo::ops::progress::Progress;
use sbf_repo::ops::restore::ReadBack;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::restore::Trust;
use sbf_repo::ops::restore::restore;
use sbf_repo::ops::select::Selector;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;

/// A repository with a file that takes a while to fetch at a limited rate.
fn slow_case() -> (Desk, String) {
    let desk = Desk::with_repository();
    put(desk.path("data/large"), noise(1, 4_000_000));
    check(&desk.run(&["snapshot", "data"]), 0);
    let selector = format!("latest:{}", desk.path("data").display());
    (desk, selector)
}

/// Begins a slow restore, and waits until it writes into `back`.
fn begin(desk: &Desk, selector: &str) -> Child {
    let arguments = ["restore", selector, "--target", "back", "--limit-download", "0.5MiB"];
    let mut command = desk.command(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while temporaries(&desk.path("back")).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        std::thread::yield_now();
    }
    child
}

fn temporaries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_temporary =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".sbf-restore-");
    paths.filter(is_temporary).collect()
}

#[test]
fn a_restore_that_is_stopped_cleans_up_and_says_how_to_go_on() {
    let (desk, selector) = slow_case();
    for (signal, exit) in [("-INT", 130), ("-TERM", 143)] {
        let child = begin(&desk, &selector);
        let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().unwrap();
        check(&output, exit);
        assert!(err(&output).contains("what is restored already is compared and stays"));
        assert!(temporaries(&desk.path("back")).is_empty());
        let large = fs::read(desk.path("back/large")).ok();
        assert!(large.is_none_or(|bytes| bytes == noise(1, 4_000_000)), "it is whole or not there");
        fs::remove_dir_all(desk.path("back")).unwrap();
    }
    check(&desk.run(&["restore", &selector, "--target", "back"]), 0);
    assert!(fs::read(desk.path("back/large")).unwrap() == noise(1, 4_000_000));
}

#[test]
fn what_a_killed_restore_left_is_removed_by_the_next_one() {
    let (desk, selector) = slow_case();
    let mut child = begin(&desk, &selector);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(temporaries(&desk.path("back")).len(), 1);
    assert!(!desk.path("back/large").exists());
    // What only looks like one stays: it is somebody's file.
    put(desk.path("back/.sbf-restore-0123456789abcdef"), b"mine");
    let report = desk.json(&["restore", &selector, "--target", "back"], 0);
    assert_eq!(report["leftovers_removed"], 1);
    let left = temporaries(&desk.path("back"));
    assert_eq!(left, [desk.path("back/.sbf-restore-0123456789abcdef")]);
    assert!(fs::read(desk.path("back/large")).unwrap() == noise(1, 4_000_000));
}

#[test]
fn two_restores_into_one_target_do_not_run_at_once() {
    let (desk, selector) = slow_case();
    let mut child = begin(&desk, &selector);
    let second = desk.run(&["restore", &selector, "--target", "back"]);
    child.kill().unwrap();
    child.wait().unwrap();
    check(&second, 14);
    assert!(err(&second).contains("another restore writes to `back`"), "{}", err(&second));
}

#[test]
fn the_repository_is_no_target_nor_in_one() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    if !desk.path("repo").is_dir() {
        return skip("the repository of this run is in a bucket");
    }
    symlink("repo", desk.path("link")).unwrap();
    let inside = ["repo", "repo/packs", "repo/new/deeper", "link", "link/../repo", "."];
    for target in inside {
        for more in [&[][..], &["--dry-run"]] {
            let refused = desk.run(&[&["restore", "latest", "--target", target], more].concat());
            check(&refused, 14);
            assert!(err(&refused).contains("the repository at"), "{}", err(&refused));
        }
    }
    assert!(!desk.path("repo/new").exists());
    check(&desk.run(&["check"]), 0);
}

#[test]
fn a_target_that_is_a_file_is_refused() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    put(desk.path("file"), b"mine");
    let refused = desk.run(&["restore", "latest", "--target", "file"]);
    check(&refused, 2);
    assert!(err(&refused).contains("the target `file` is no directory"), "{}", err(&refused));
    assert_eq!(fs::read(desk.path("file")).unwrap(), b"mine");
}

/// A small file system in memory; gone with the value.
struct Mount {
    folder: TempDir,
}

impl Mount {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { folder })
    }

    fn remount(&self, how: &str) {
        let mounted = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(self.folder.path())
            .status();
        assert!(mounted.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ignored = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

#[test]
fn a_full_disk_ends_a_restore_which_goes_on_once_there_is_room() {
    let Some(mount) = Mount::new(2_000_000) else {
        return skip("no file system can be mounted here");
    };
    let desk = Desk::with_repository();
    put(desk.path("data/b-large"), noise(1, 4_000_000));
    check(&desk.run(&["snapshot", "data"]), 0);
    let selector = format!("latest:{}", desk.path("data").display());
    let target = mount.folder.path();
    let arguments = ["restore", &selector, "--trusted", "--target", target.to_str().unwrap()];
    let failed = desk.run(&arguments);
    check(&failed, 1);
    assert!(err(&failed).contains("No space left"), "{}", err(&failed));
    assert!(err(&failed).contains("hint: make room"), "{}", err(&failed));
    assert!(temporaries(target).is_empty() && !target.join("b-large").exists());
    mount.remount("size=8000000");
    check(&desk.run(&arguments), 0);
    assert_same(&desk.path("data"), target);
    // A disk that nothing can be written to does for what is equal, and is told of otherwise.
    mount.remount("ro");
    check(&desk.run(&[&arguments[..], &["--dry-run"]].concat()), 0);
    put(desk.path("data/new"), b"new");
    check(&desk.run(&["snapshot", "data"]), 0);
    let failed = desk.run(&arguments);
    check(&failed, 1);
    assert!(err(&failed).contains("Read-only"), "{}", err(&failed));
}

/// Changes the target when it is about to be read back.
#[derive(Debug)]
struct Meddler(Vec<(PathBuf, Vec<u8>)>);

impl Progress for Meddler {
    fn begin(&self, phase: &'static str, _files_expected: u64, _bytes_expected: u64) {
        if phase == "verifying" {
            self.0.iter().for_each(|(path, bytes)| put(path, bytes));
        }
    }

    fn advance(&self, _files: u64, _bytes: u64) {}

    fn warn(&self, _text: &str) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

#[test]
fn reading_back_finds_what_is_not_as_it_was_stored() {
    let scratch = Scratch::new();
    for (number, name) in ["a", "b", "large"].into_iter().enumerate() {
        put(scratch.source().join(name), noise(5, 10 + number * 1_000_000));
    }
    scratch.snapshot();
    let below = scratch.below("restored");
    let mut flipped = noise(5, 2_000_010);
    flipped[1_234_567] ^= 1;
    let meddler = Meddler(vec![(below.join("large"), flipped), (below.join("a"), noise(5, 10))]);
    let repository = scratch.open();
    let selected = Selector::parse(b"latest").unwrap().select(&repository).unwrap();
    let mut options = RestoreOptions::new(scratch.path("restored"));
    options.trust = Trust::Trusted;
    options.read_back = ReadBack::Everything;
    let report = restore(&repository, &selected, &options, &meddler).unwrap();
    let verified = report.verified.unwrap();
    let mut found: Vec<(String, bool)> = verified
        .findings
        .iter()
        .map(|finding| {
            assert_eq!(finding.code, "restore.differs");
            let name = finding.object.rsplit('/').next().unwrap().to_owned();
            (name, finding.effect.contains("content"))
        })
        .collect();
    found.sort();
    // The first was written anew with the same bytes: its time is another.
    assert_eq!(found, [("a".to_owned(), false), ("large".to_owned(), true)]);
    assert_eq!(verified.findings_count, 2);
    // The next restore puts both right.
    scratch.restore("latest", "restored");
    assert_same(&scratch.source(), &below);
}
