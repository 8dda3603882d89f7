//! Several processes at one repository, and processes that are killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a wait that has no end fails the test")]

use crate::scratch::Scratch;
use crate::scratch::assert_same;
use crate::scratch::expect_code;
use crate::scratch::noise;
use crate::scratch::put;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Child;
use std::process::Stdio;

/// Fills a directory: some files are the same in every tree, some are its own.
fn fill(folder: &Path, seed: u64, count: u64) {
    fs::create_dir_all(folder.join("shared")).unwrap();
    fs::create_dir_all(folder.join("own")).unwrap();
    for number in 0..count {
        put(folder.join(format!("shared/{number}")), noise(number, 40_000));
        put(folder.join(format!("own/{number}")), noise(seed * 1_000_000 + number, 30_000));
    }
}

/// Starts a snapshot; with a `host`, as a process of another host that has the same key.
pub(crate) fn start(scratch: &Scratch, folder: &Path, source: &str, host: Option<&str>) -> Child {
    let mut command = scratch.command(&["snapshot", folder.to_str().unwrap(), "--source", source]);
    if let Some(host) = host {
        command.env("SBF_REPO_STATE_DIR", scratch.path(&format!("state-{host}")));
        command.env("SBF_REPO_CACHE_DIR", scratch.path(&format!("cache-{host}")));
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn restores(scratch: &Scratch, folder: &Path, source: &str) {
    let target = format!("restored-{source}");
    scratch.restore(&format!("{source}@latest"), &target);
    let restored = scratch.path(&target);
    assert_same(folder, &restored.join(folder.strip_prefix("/").unwrap()));
    fs::remove_dir_all(restored).unwrap();
}

#[track_caller]
fn check_rounds(hosts: [Option<&str>; 2]) {
    let scratch = Scratch::new();
    let folders = [scratch.path("one"), scratch.path("two")];
    for round in 0..3 {
        for (seed, folder) in (1..).zip(&folders) {
            fill(folder, seed * 100 + round, 20 + round * 10);
        }
        let children: Vec<Child> = folders
            .iter()
            .zip(hosts)
            .zip(["one", "two"])
            .map(|((folder, host), source)| start(&scratch, folder, source, host))
            .collect();
        for child in children {
            expect_code(&child.wait_with_output().unwrap(), 0);
        }
        restores(&scratch, &folders[0], "one");
        restores(&scratch, &folders[1], "two");
    }
    assert_eq!(scratch.snapshot_count(), 6);
    scratch.check_is_clean();
}

#[test]
fn two_processes_of_one_host_back_up_at_once() {
    check_rounds([None, None]);
}

#[test]
fn two_hosts_back_up_at_once() {
    check_rounds([Some("a"), Some("b")]);
}

#[test]
fn two_processes_back_up_the_same_tree_at_once() {
    let scratch = Scratch::new();
    fill(&scratch.source(), 1, 50);
    let children: Vec<Child> = ["one", "two", "three"]
        .into_iter()
        .map(|source| start(&scratch, &scratch.source(), source, None))
        .collect();
    for child in children {
        expect_code(&child.wait_with_output().unwrap(), 0);
    }
    for source in ["one", "two", "three"] {
        restores(&scratch, &scratch.source(), source);
    }
    scratch.check_is_clean();
}

/// How many objects a folder of the repository holds.
pub(crate) fn count(scratch: &Scratch, folder: &str) -> usize {
    let mut count = 0;
    let mut folders = vec![scratch.path("repository").join(folder)];
    while let Some(folder) = folders.pop() {
        // What another process removes meanwhile is not there.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    count
}

/// Backs up a stream that does not end; killed once a folder holds more than it did.
///
/// Returns the process once it has got there: it waits for more of the stream, so it cannot end.
pub(crate) fn start_endless(scratch: &Scratch, bytes: &[u8], folder: &str) -> Child {
    let before = count(scratch, folder);
    let mut command = scratch.command(&["snapshot", "--stdin-name", "dump", "--source", "dump"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    for _look in 0..LOOKS_MAX {
        if count(scratch, folder) > before {
            return child;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it cannot end before its input");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    panic!("nothing was stored in {folder}");
}

/// How often a folder is looked at until it holds more; each look takes some system calls.
const LOOKS_MAX: u32 = 1_000_000;

#[test]
fn a_killed_process_harms_neither_the_other_nor_the_next() {
    let scratch = Scratch::new();
    fill(&scratch.source(), 2, 50);
    // More than a pack, so that something is stored before the end.
    let bytes = noise(500, 40 << 20);
    // Killed at another moment in each round: announced, or with a pack stored.
    for (folder, length) in [("sessions", 0), ("packs", bytes.len())] {
        put(scratch.source().join("changing"), noise(u64::try_from(length).unwrap(), 1_000_000));
        let mut victim = start_endless(&scratch, &bytes[..length], folder);
        let survivor = start(&scratch, &scratch.source(), "files", None);
        victim.kill().unwrap();
        assert_eq!(victim.wait().unwrap().signal(), Some(9));
        expect_code(&survivor.wait_with_output().unwrap(), 0);
        restores(&scratch, &scratch.source(), "files");
        scratch.check_is_clean();
    }
    assert_eq!(scratch.snapshot_count(), 2);
    let packs = count(&scratch, "packs");
    let mut command = scratch.command(&["snapshot", "--stdin-name", "dump", "--source", "dump"]);
    let mut next = command.arg("--quiet").stdin(Stdio::piped()).spawn().unwrap();
    next.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(next.wait().unwrap().success());
    let dumped = scratch.run(&["dump", "dump@latest:/dump"], 0);
    assert!(dumped.stdout == bytes, "the dump has other bytes");
    // What the killed processes had stored is not stored again.
    let added = count(&scratch, "packs") - packs;
    assert!(added <= 3, "{added} packs were added");
    restores(&scratch, &scratch.source(), "files");
    scratch.check_is_clean();
}
