//! `forget`, `hold` and `release` as people and scripts see them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::expect_code;
use crate::scratch::put;
use crate::scratch::skip;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The program, with daily snapshots of one source that it made.
fn program(days: u32) -> Scratch {
    let scratch = Scratch::without_repository();
    scratch.run(&["init"], 0);
    put(scratch.source().join("file"), b"content");
    for day in 1..=days {
        let time = format!("2024-05-{day:02}T02:00:00Z");
        let source = scratch.source();
        let arguments = ["snapshot", source.to_str().unwrap(), "--source", "db", "--time", &time];
        scratch.run(&arguments, 0);
    }
    scratch
}

fn json(scratch: &Scratch, arguments: &[&str], code: i32) -> Value {
    let output = scratch.run(&[arguments, &["--json"]].concat(), code);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_program_plans_exactly_what_it_does_and_says_why() {
    let scratch = program(4);
    let keep = ["forget", "--keep-daily", "2", "--timezone", "America/New_York"];
    let refused = scratch.run(&keep, 14);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("no policy was accepted for this source yet"), "{words}");
    let accepted = [&keep[..], &["--accept-policy"]].concat();
    let mut dry = json(&scratch, &[&accepted[..], &["--dry-run"]].concat(), 0);
    assert_eq!(scratch.snapshot_count(), 4);
    let mut done = json(&scratch, &accepted, 0);
    assert_eq!(scratch.snapshot_count(), 2);
    assert!(done["sources"][0]["record"].is_string());
    for report in [&mut dry, &mut done] {
        report["audit"] = Value::Null;
        report["dry_run"] = Value::Null;
        report["sources"][0]["record"] = Value::Null;
    }
    assert_eq!(dry, done);
    let kept = &done["sources"][0]["kept"][0];
    assert_eq!(kept["time"], "2024-05-03T22:00:00-04:00");
    assert_eq!(kept["reasons"], serde_json::json!(["daily 2024-05-03"]));
    assert_eq!(done["policy"]["timezone"], "America/New_York");
    let shown = scratch.run(&keep, 0);
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(table.contains("daily 2024-05-02") && table.contains("times are in America/New_York"));
    assert!(scratch.run(&[&keep[..], &["--quiet"]].concat(), 0).stdout.is_empty());
}

#[test]
fn the_program_forgets_holds_and_brings_back_what_is_named() {
    let scratch = program(3);
    scratch.run(&["hold", "db@2024-05-01", "--reason", "lawsuit", "--until", "2999-12-31"], 0);
    let list = String::from_utf8(scratch.run(&["snapshots"], 0).stdout).unwrap();
    assert!(list.contains("held until 2999-12-31T23:59:59Z: lawsuit"), "{list}");
    scratch.run(&["forget", "db@2024-05-01", "--force"], 14);
    scratch.run(&["forget", "db@2024-05-02", "--reason", "too large"], 0);
    let list = json(&scratch, &["snapshots", "--forgotten"], 0);
    let gone = list["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    let marks = list["snapshots"][0]["marks"].to_string();
    assert!(marks.contains("too large"), "{marks}");
    scratch.run(&["ls", &gone], 1);
    let kept = json(&scratch, &["forget", "--undo", &gone], 0);
    assert_eq!(kept["snapshots"][0]["kept"]["state"], "yes");
    scratch.run(&["ls", &gone], 0);
    scratch.run(&["release", "db@2024-05-01"], 0);
    scratch.run(&["forget", "db@2024-05-01"], 0);
    scratch.run(&["forget", "db@2024-05-02", "db@2024-05-03"], 14);
    scratch.run(&["forget", "db@2024-05-02", "db@2024-05-03", "--force"], 0);
    assert_eq!(scratch.snapshot_count(), 0);
}

#[test]
fn wrong_uses_of_forget_are_refused_as_such() {
    let scratch = program(1);
    for arguments in [
        &["forget"][..],
        &["forget", "--keep-daily", "0"],
        &["forget", "--keep-within", "soon"],
        &["forget", "--keep-daily", "1", "--timezone", "Mars/Olympus"],
        &["forget", "latest", "--keep-daily", "1"],
        &["forget", "--undo"],
        &["forget", "--simulate"],
        &["hold", "latest"],
        &["hold", "latest", "--reason", "x", "--until", "later"],
        &["release", "latest"],
    ] {
        scratch.run(arguments, 2);
    }
}

#[test]
fn a_policy_is_tried_without_a_repository() {
    let scratch = Scratch::without_repository();
    let arguments = ["forget", "--simulate", "--days", "400", "--keep-daily", "7"];
    let report = json(&scratch, &arguments, 0);
    assert_eq!(report["left"].as_array().unwrap().len(), 7);
    assert_eq!(report["kept_by_day"].as_array().unwrap().len(), 400);
    let words = String::from_utf8(scratch.run(&arguments, 0).stdout).unwrap();
    assert!(words.contains("400  7\n"), "{words}");
    scratch
        .run(&["forget", "--simulate", "--keep-last", "1", "--every", "1h", "--days", "9999"], 2);
}

#[test]
fn a_forget_may_prune_and_then_an_undo_is_too_late() {
    let scratch = program(3);
    let arguments = ["forget", "--keep-last", "1", "--accept-policy", "--prune"];
    let report = json(&scratch, &arguments, 0);
    assert_eq!(report["forgotten_count"], 2);
    assert_eq!(report["prune"]["forgotten_snapshots"], 2);
    let gone = report["sources"][0]["forgotten"][0]["snapshot"].as_str().unwrap().to_owned();
    let failed = json(&scratch, &["forget", "--undo", &gone], 1);
    assert_eq!(failed["error"]["code"], "forget.too_late");
    scratch.check_is_clean();
}

/// A Python that has what the other reader needs.
#[expect(clippy::disallowed_methods, reason = "tests are told where a Python is")]
fn python() -> Option<PathBuf> {
    let chosen = std::env::var_os("SBF_TEST_PYTHON").map(PathBuf::from);
    let python = chosen.unwrap_or_else(|| PathBuf::from(".venv/bin/python"));
    let help = Command::new(&python).args(["tools/reader.py", "--help"]).output();
    if help.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skip("no Python with the packages of tools/requirements.txt; see SBF_TEST_PYTHON");
    None
}

#[test]
fn the_other_reader_sees_the_same_snapshots() {
    let Some(python) = python() else { return };
    let scratch = program(5);
    scratch.run(&["hold", "db@2024-05-01", "db@2024-05-02", "--reason", "x"], 0);
    scratch.run(&["release", "db@2024-05-02"], 0);
    scratch.run(&["forget", "--keep-last", "1", "--accept-policy"], 0);
    let gone = json(&scratch, &["snapshots", "--forgotten"], 0);
    assert_eq!(gone["snapshots"].as_array().unwrap().len(), 3);
    scratch.run(&["forget", "--undo", gone["snapshots"][1]["snapshot"].as_str().unwrap()], 0);
    let ours = json(&scratch, &["snapshots"], 0);
    let mut ours: Vec<Value> =
        ours["snapshots"].as_array().unwrap().iter().map(|row| row["snapshot"].clone()).collect();
    let read = |command: &str| {
        let mut reader = Command::new(&python);
        reader.arg("tools/reader.py").arg(scratch.path("repository"));
        reader.arg("--key-file").arg(scratch.path("key")).arg(command);
        let output = reader.output().unwrap();
        expect_code(&output, 0);
        String::from_utf8(output.stdout).unwrap()
    };
    let theirs = read("snapshots");
    let theirs = theirs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut theirs: Vec<Value> = theirs.map(|row| row["snapshot"].clone()).collect();
    let text = |value: &Value| value.to_string();
    ours.sort_by_key(text);
    theirs.sort_by_key(text);
    assert_eq!((theirs.len(), &theirs), (3, &ours));
    read("check");
}
