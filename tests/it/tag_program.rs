//! `tag`, `note` and what is told of holds, as people and scripts see it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use serde_json::Value;

fn back_up(desk: &Desk, more: &[&str]) -> String {
    let report = desk.json(&[&["snapshot", "data", "--source", "docs"], more].concat(), 0);
    report["snapshot"].as_str().unwrap().to_owned()
}

fn rows(desk: &Desk, more: &[&str]) -> Vec<Value> {
    desk.json(&[&["snapshots"], more].concat(), 0)["snapshots"].as_array().unwrap().clone()
}

/// The tags of each snapshot, as `snapshots` tells them.
#[track_caller]
fn check_tags(desk: &Desk, expected: &[&[&str]]) {
    let tags: Vec<Value> = rows(desk, &[]).iter().map(|row| row["tags"].clone()).collect();
    assert_eq!(Value::from(tags), serde_json::json!(expected));
}

#[test]
fn tags_change_and_manifests_do_not() {
    let desk = Desk::with_repository();
    let first = back_up(&desk, &["--tag", "stated"]);
    let second = back_up(&desk, &[]);
    check(&desk.run(&["tag", &first, &second, "--add", "new"]), 0);
    check_tags(&desk, &[&["stated", "new"], &["new"]]);
    check(&desk.run(&["tag", &first, "--remove", "stated", "--remove", "nothing"]), 0);
    check_tags(&desk, &[&["new"], &["new"]]);
    assert_eq!(rows(&desk, &[])[0]["manifest"]["tags"], serde_json::json!(["stated"]));
    // What was removed can be added again.
    check(&desk.run(&["tag", &first, "--add", "stated"]), 0);
    check(&desk.run(&["tag", &second, "--remove", "new", "--add", "b", "--add", "a"]), 0);
    check_tags(&desk, &[&["new", "stated"], &["a", "b"]]);
    check(&desk.run(&["tag", &first, "--remove", "stated"]), 0);
    check(&desk.run(&["tag", &second, "--set", "b", "--set", "c"]), 0);
    check_tags(&desk, &[&["new"], &["b", "c"]]);
    assert_eq!(rows(&desk, &["--tag", "c"]).len(), 1);
    let found = desk.json(&["find", "a.txt", "--tag", "c"], 0);
    assert_eq!(found["snapshots_searched"], 1);
    assert_eq!(found["entries"][0]["first"]["snapshot"], second.as_str());
    check(&desk.run(&["find", "a.txt", "--tag", "stated"]), 1);
    assert_eq!(rows(&desk, &["--tag", "stated"]).len(), 0);
    let same = desk.json(&["tag", &second, "--set", "b", "--set", "c"], 0);
    assert_eq!(same["snapshots"][0]["added"], serde_json::json!([]));
    let words = desk.run(&["snapshots"]);
    assert!(out(&words).contains("b, c"), "{}", out(&words));
    check(&desk.run(&["check"]), 0);
}

#[test]
fn a_policy_keeps_what_is_tagged_now() {
    let desk = Desk::with_repository();
    let first = back_up(&desk, &["--tag", "keep", "--time", "2024-01-01T00:00:00Z"]);
    let second = back_up(&desk, &["--time", "2024-01-02T00:00:00Z"]);
    back_up(&desk, &["--time", "2024-01-03T00:00:00Z"]);
    check(&desk.run(&["tag", &second, "--add", "keep"]), 0);
    check(&desk.run(&["tag", &first, "--remove", "keep"]), 0);
    let policy = ["forget", "--keep-last", "1", "--keep-tag", "keep", "--accept-policy", "--force"];
    check(&desk.run(&policy), 0);
    let left = rows(&desk, &[]);
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0]["snapshot"], second.as_str());
}

#[test]
fn a_lost_tag_record_stops_a_policy_that_keeps_by_tags() {
    let desk = Desk::with_repository();
    let first = back_up(&desk, &["--time", "2024-01-01T00:00:00Z"]);
    back_up(&desk, &["--time", "2024-01-02T00:00:00Z"]);
    check(&desk.run(&["tag", &first, "--add", "keep"]), 0);
    let record = desk.place.longest("records/tag");
    desk.place.alter(&record, |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let policy = ["forget", "--keep-last", "1", "--keep-tag", "keep", "--accept-policy"];
    let refused = desk.run(&policy);
    check(&refused, 14);
    assert!(err(&refused).contains("so what `--keep-tag` keeps is not known"), "{}", err(&refused));
    desk.json(&["snapshots"], 5);
}

#[test]
fn notes_are_shown_in_their_order() {
    let desk = Desk::with_repository();
    let first = back_up(&desk, &[]);
    check(&desk.run(&["note", &first, "before the migration"]), 0);
    check(&desk.run(&["note", "docs@latest", "restored\u{7} for the auditors"]), 0);
    let row = &rows(&desk, &[])[0];
    let texts: Vec<&str> = row["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["text"].as_str().unwrap())
        .collect();
    assert!(texts.contains(&"before the migration") && texts.len() == 2, "{texts:?}");
    assert_eq!(row["notes"][0]["client"], row["client"]);
    let words = out(&desk.run(&["snapshots"]));
    assert!(words.contains("\u{201c}before the migration\u{201d}"), "{words}");
    assert!(!words.contains('\u{7}'), "control characters are escaped");
    check(&desk.run(&["check"]), 0);
}

#[test]
fn wrong_tags_and_notes_are_refused() {
    let desk = Desk::with_repository();
    let id = back_up(&desk, &[]);
    let long = "a".repeat(257);
    for wrong in [
        vec!["tag", &id],
        vec!["tag", "--add", "x"],
        vec!["tag", &id, "--add", ""],
        vec!["tag", &id, "--add", &long],
        vec!["tag", &id, "--add", "a\nb"],
        vec!["tag", &id, "--add", "a", "--remove", "a"],
        vec!["tag", &id, "--add", "a", "--set", "b"],
        vec!["tag", "latest:/x", "--add", "a"],
        vec!["note", &id, ""],
        vec!["note", &id, &"a".repeat(2049)],
        vec!["note", &id],
    ] {
        check(&desk.run(&wrong), 2);
    }
    check(&desk.run(&["tag", "nobody@latest", "--add", "a"]), 1);
    check_tags(&desk, &[&[]]);
}

#[test]
fn a_writer_removes_only_what_it_gave() {
    let desk = Desk::with_repository();
    let id = back_up(&desk, &["--tag", "stated"]);
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    let writer = |arguments: &[&str]| desk.run(&[&["--key-file", "writer"], arguments].concat());
    check(&writer(&["tag", &id, "--add", "mine"]), 0);
    check(&writer(&["tag", &id, "--remove", "stated"]), 15);
    check_tags(&desk, &[&["stated", "mine"]]);
    check(&writer(&["tag", &id, "--remove", "mine"]), 0);
    check(&desk.run(&["tag", &id, "--add", "theirs"]), 0);
    check(&writer(&["tag", &id, "--remove", "theirs"]), 15);
    check(&writer(&["tag", &id, "--set", "mine"]), 15);
    check_tags(&desk, &[&["stated", "theirs"]]);
    check(&writer(&["tag", &id, "--add", "mine"]), 0);
    check(&desk.run(&["tag", &id, "--set", "last"]), 0);
    check_tags(&desk, &[&["last"]]);
}

#[test]
fn holds_are_told_with_who_and_why_and_whether_they_are_over() {
    let desk = Desk::with_repository();
    let id = back_up(&desk, &[]);
    let other = back_up(&desk, &[]);
    check(&desk.run(&["hold", &id, "--reason", "a lawsuit", "--until", "2020-01-01"]), 0);
    check(&desk.run(&["hold", &other, "--reason", "an audit"]), 0);
    let report = desk.json(&["hold", "--list"], 0);
    let holds = report["holds"].as_array().unwrap();
    assert_eq!(holds.len(), 2, "{report}");
    let row = |id: &str| holds.iter().find(|row| row["snapshot"] == id).unwrap()["hold"].clone();
    assert_eq!(row(&id)["is_over"], true);
    assert_eq!(row(&id)["reason"], "a lawsuit");
    assert_eq!(row(&other)["is_over"], false);
    assert_eq!(row(&id)["client"], rows(&desk, &[])[0]["client"]);
    let words = out(&desk.run(&["hold", "--list"]));
    assert!(words.contains("2020-01-01T23:59:59Z (over; held until released)"), "{words}");
    let words = out(&desk.run(&["snapshots"]));
    assert!(
        words.contains(", which is over: it holds until it is released: a lawsuit (by "),
        "{words}"
    );
    let status = desk.json(&["status"], 0);
    assert_eq!(
        (&status["status"]["holds"], &status["status"]["holds_over"]),
        (&2.into(), &1.into())
    );
    assert!(err(&desk.run(&["status"])).contains("the time of 1 hold is over"));
    // Nothing forgets what is held; a prune with a policy keeps it, too.
    check(&desk.run(&["forget", &other, "--force"]), 14);
    check(&desk.run(&["release", &id, &other]), 0);
    assert_eq!(desk.json(&["hold", "--list"], 0)["holds"].as_array().unwrap().len(), 0);
    check(&desk.run(&["hold", "--list", &id]), 2);
    check(&desk.run(&["hold", "--reason", "x"]), 2);
}

#[test]
fn a_copy_has_tags_notes_and_holds_and_keeps_its_own() {
    let desk = Desk::with_repository();
    check(&desk.run(&["init", "--repo", "other", "--key-file", "other-key"]), 0);
    let there = ["--repo", "other", "--key-file", "other-key"];
    let other = |arguments: &[&str]| desk.json(&[&there, arguments].concat(), 0);
    let copy = || desk.json(&["copy", "--to", "other", "--to-key-file", "other-key"], 0);
    let id = back_up(&desk, &["--tag", "stated"]);
    check(&desk.run(&["tag", &id, "--add", "new", "--remove", "stated"]), 0);
    check(&desk.run(&["note", &id, "before"]), 0);
    check(&desk.run(&["hold", &id, "--reason", "a lawsuit"]), 0);
    let report = copy();
    assert_eq!((&report["notes"], &report["holds"]), (&1.into(), &1.into()));
    let row = || other(&["snapshots"])["snapshots"][0].clone();
    assert_eq!(row()["tags"], serde_json::json!(["new"]));
    assert_eq!(row()["notes"][0]["text"], "before");
    assert_eq!(row()["holds"][0]["reason"], "a lawsuit");
    // Once more carries only what is new, and what was ended there stays ended.
    let name = row()["snapshot"].as_str().unwrap().to_owned();
    other(&["release", &name]);
    check(&desk.run(&["note", &id, "after"]), 0);
    let report = copy();
    assert_eq!((&report["notes"], &report["holds"]), (&1.into(), &0.into()));
    assert_eq!(row()["notes"].as_array().unwrap().len(), 2);
    assert_eq!(row()["holds"].as_array().unwrap().len(), 0);
    // What came from here does not come back.
    other(&["note", &name, "there"]);
    let back = [&there[..], &["copy", "--to", "repo", "--to-key-file", "key"]].concat();
    let report = desk.json(&back, 0);
    assert_eq!(
        (&report["notes"], &report["snapshots"][0]["state"]),
        (&1.into(), &"present".into())
    );
    let texts: Vec<Value> = rows(&desk, &[])[0]["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["text"].clone())
        .collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_eq!(copy()["notes"], 0);
}
