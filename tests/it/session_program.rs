//! `session` as people and scripts see it, with processes that are stopped and killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::concurrent::count;
use crate::concurrent::start;
use crate::concurrent::start_endless;
use crate::scratch::Scratch;
use crate::scratch::assert_same;
use crate::scratch::expect_code;
use crate::scratch::noise;
use crate::scratch::put;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::WaitOptions;
use rustix::process::kill_process;
use rustix::process::waitpid;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::process::Child;
use std::process::Output;
use std::process::Stdio;

fn json(scratch: &Scratch, arguments: &[&str], code: i32) -> Value {
    let output = scratch.run(&[arguments, &["--json"]].concat(), code);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn only(scratch: &Scratch) -> Value {
    let listed = json(scratch, &["session", "list"], 0);
    let rows = listed["sessions"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{listed}");
    rows[0].clone()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Stops a process, and waits until it stands.
fn stop(child: &Child) {
    kill_process(pid(child), Signal::STOP).unwrap();
    let (_pid, status) = waitpid(Some(pid(child)), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "it ended before it was stopped: {status:?}");
}

/// The first digits of a session's id.
fn digits(row: &Value) -> String {
    row["session"].as_str().unwrap()[..8].to_owned()
}

#[test]
fn a_stopped_backup_is_listed_and_refused_and_survives_an_abort_by_force() {
    let scratch = Scratch::new();
    let bytes = noise(1, 40 << 20);
    let mut victim = start_endless(&scratch, &bytes, "packs");
    stop(&victim);
    let row = only(&scratch);
    assert_eq!((&row["kind"], &row["source"]), (&"backup".into(), &"dump".into()), "{row}");
    assert_eq!((&row["process"], &row["process_state"]), (&victim.id().into(), &"alive".into()));
    assert!(row["stored_bytes"].as_u64().unwrap() > 1_000_000, "{row}");
    let listed = scratch.run(&["session", "list"], 0);
    for word in [digits(&row), victim.id().to_string(), "dump".into(), "alive".into()] {
        assert!(out(&listed).contains(&word), "{word}: {}", out(&listed));
    }
    let refused = scratch.run(&["session", "abort", &digits(&row)], 14);
    assert!(err(&refused).contains("`--force`"), "{}", err(&refused));
    assert_eq!(only(&scratch)["session"], row["session"]);
    let forced = scratch.run(&["session", "abort", &digits(&row), "--force"], 0);
    for words in ["can never commit", "stay until the next prune", "its process lives"] {
        assert!(err(&forced).contains(words), "{}", err(&forced));
    }
    let none = scratch.run(&["session", "list"], 0);
    assert!(out(&none).is_empty() && err(&none).contains("no session"), "{}", err(&none));
    let again = json(&scratch, &["session", "abort", &digits(&row)], 0);
    assert_eq!(again["ending"]["how"], "given_up_by_client", "{again}");
    // It goes on in another session, with what it stored in the first.
    let packs = count(&scratch, "packs");
    kill_process(pid(&victim), Signal::CONT).unwrap();
    victim.stdin.take().unwrap().write_all(b"the end").unwrap();
    expect_code(&victim.wait_with_output().unwrap(), 0);
    let dumped = scratch.run(&["dump", "dump@latest:/dump"], 0);
    assert!(dumped.stdout == [&bytes[..], b"the end"].concat(), "the dump has other bytes");
    let added = count(&scratch, "packs") - packs;
    assert!(added <= 3, "{added} packs were added");
    let listed = json(&scratch, &["session", "list"], 0);
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 0, "{listed}");
    scratch.check_is_clean();
}

#[test]
fn a_stopped_backup_whose_uploads_are_aborted_and_pruned_reads_its_files_again() {
    let scratch = Scratch::new();
    for number in 0..24 {
        put(scratch.source().join(number.to_string()), noise(number, 4 << 20));
    }
    let mut victim = start(&scratch, &scratch.source(), "files", None);
    for _look in 0..LOOKS_MAX {
        if count(&scratch, "packs") > 0 {
            break;
        }
        assert_eq!(victim.try_wait().unwrap(), None, "it ended before it was stopped");
        std::thread::yield_now();
    }
    stop(&victim);
    let row = only(&scratch);
    scratch.run(&["session", "abort", &digits(&row), "--force"], 0);
    let pruned = json(&scratch, &["prune"], 0);
    assert_eq!(pruned["state"], "done", "{pruned}");
    assert!(pruned["removed_packs"].as_u64().unwrap() > 0, "{pruned}");
    kill_process(pid(&victim), Signal::CONT).unwrap();
    let ended = victim.wait_with_output().unwrap();
    expect_code(&ended, 0);
    assert!(err(&ended).contains("it begins again"), "{}", err(&ended));
    scratch.restore("files@latest", "back");
    assert_same(&scratch.source(), &scratch.below("back"));
    scratch.check_is_clean();
}

#[test]
fn a_killed_backup_is_aborted_and_a_prune_frees_at_once_what_it_left() {
    let scratch = Scratch::new();
    put(scratch.source().join("gone"), noise(2, 9_000_000));
    scratch.snapshot();
    let snapshots = json(&scratch, &["snapshots"], 0);
    let gone = snapshots["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    let bytes = noise(3, 40 << 20);
    let mut victim = start_endless(&scratch, &bytes, "packs");
    victim.kill().unwrap();
    victim.wait().unwrap();
    scratch.run(&["forget", &gone, "--force"], 0);
    let waiting = json(&scratch, &["prune"], 0);
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    let row = only(&scratch);
    assert_eq!((&row["process_state"], &row["holds_up"]), (&"ended".into(), &true.into()), "{row}");
    let listed = scratch.run(&["session", "list"], 0);
    for words in ["its process ended", "holds up collection 1"] {
        assert!(out(&listed).contains(words), "{}", out(&listed));
    }
    assert!(err(&listed).contains("collection 1 deletes nothing"), "{}", err(&listed));
    let report = json(&scratch, &["session", "abort", &digits(&row)], 0);
    assert_eq!((&report["ending"]["how"], &report["exit_code"]), (&"aborted".into(), &0.into()));
    // The plan that waited, then one with what the killed backup left.
    let done = json(&scratch, &["prune"], 0);
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(count(&scratch, "packs"), 0);
    scratch.check_is_clean();
}

#[test]
fn what_cannot_be_aborted_has_its_exit_code() {
    let scratch = Scratch::new();
    put(scratch.source().join("file"), b"content");
    for key in ["writer", "reader"] {
        let file = scratch.path(key);
        let file = file.to_str().unwrap();
        scratch.run(&["key", "add", "--role", key, "--new-key-file", file], 0);
    }
    scratch.snapshot();
    let snapshots = json(&scratch, &["snapshots"], 0);
    let snapshot = snapshots["snapshots"][0]["snapshot"].as_str().unwrap();
    let late = json(&scratch, &["session", "abort", snapshot], 1);
    assert_eq!(late["error"]["code"], "session.committed", "{late}");
    scratch.run(&["session", "abort", "abc"], 2);
    scratch.run(&["session", "abort", "0123456789"], 2);
    scratch.run(&["session"], 2);
    let mut victim = start_endless(&scratch, b"", "sessions");
    let row = only(&scratch);
    for key in ["writer", "reader"] {
        let file = scratch.path(key);
        let with_key = ["--key-file", file.to_str().unwrap()];
        let abort = ["session", "abort", &digits(&row), "--force"];
        scratch.run(&[&with_key[..], &abort].concat(), 15);
        scratch.run(&[&with_key[..], &["session", "list"]].concat(), 0);
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    // Another user's memory does not know it: the number of the process tells.
    let mut elsewhere = scratch.command(&["session", "list", "--json"]);
    elsewhere.env("SBF_REPO_STATE_DIR", scratch.path("other")).stdin(Stdio::null());
    let listed: Value = serde_json::from_slice(&elsewhere.output().unwrap().stdout).unwrap();
    assert_eq!(listed["sessions"][0]["process_state"], "ended", "{listed}");
    let quiet = scratch.run(&["session", "abort", &digits(&row), "--quiet"], 0);
    assert!(out(&quiet).is_empty() && err(&quiet).is_empty(), "{}", err(&quiet));
    assert!(fs::exists(scratch.path("repository/outcomes")).unwrap());
}

/// How often a folder is looked at; each look takes some system calls.
const LOOKS_MAX: u32 = 1_000_000;
