//! `key rotate`: what is stored afterwards needs keys that nobody who left has, and nothing else changes.

use crate::identities::receive;
use crate::keys::Desk;
use crate::reader::python;
use crate::scratch::expect_code;
use crate::scratch::put;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

const ROLES: [&str; 5] = ["admin", "writer", "reader", "pruner", "auditor"];

#[test]
fn snapshots_before_and_after_a_rotation_restore_with_every_slot_as_it_is() {
    let desk = Desk::new();
    for role in ROLES {
        desk.add(role, role, &[]);
    }
    put(desk.path("passphrase"), "correct horse");
    let add = ["key", "add", "--role", "reader", "--new-password-file", "passphrase"];
    desk.run("first", &[&add[..], &["--argon2-memory", "65536"]].concat(), 0);
    put(
        desk.path("public"),
        desk.run("none", &["key", "pair", "--new-key-file", "pair"], 0).stdout,
    );
    desk.run("first", &["key", "add", "--role", "reader", "--public-key", "public"], 0);
    let before = desk.snapshot("writer", "the first content");
    let slots = desk.objects("keys");
    let report = desk.json("first", &["key", "rotate"], 0);
    assert_eq!(
        (&report["generation"], report["renewed"].as_array().unwrap().len()),
        (&2.into(), 8)
    );
    assert_eq!(desk.objects("keys"), slots, "no slot is touched");
    let after = desk.snapshot("writer", "the second content");
    assert_eq!(desk.generations_of("packs"), [1, 2].into());
    for key in ["first", "admin", "reader", "pair"] {
        assert_eq!(desk.restored(key, &before), "the first content", "{key}");
        assert_eq!(desk.restored(key, &after), "the second content", "{key}");
    }
    let by_passphrase = ["dump", &desk.inside(&after), "--password-file", "passphrase"];
    assert_eq!(desk.run("first", &by_passphrase, 0).stdout, b"the second content");
    for key in ["first", "admin", "reader"] {
        desk.run(key, &["check", "--read-data"], 0);
    }
    // The auditor reads statements of both generations, the pruner collects both.
    assert_eq!(desk.snapshots("auditor").len(), 2);
    desk.run("pruner", &["forget", &before, "--force"], 0);
    desk.run("pruner", &["prune", "--max-unused", "0"], 0);
    assert_eq!(desk.generations_of("packs"), [2].into());
    assert_eq!(desk.restored("reader", &after), "the second content");
    // A second one: a slot takes all generations that it lacks.
    desk.run("admin", &["key", "rotate"], 0);
    let third = desk.snapshot("writer", "the third content");
    assert_eq!(desk.restored("pair", &third), "the third content");
    assert_eq!(desk.restored("pair", &after), "the second content");
}

#[test]
fn a_removed_slot_opens_nothing_that_was_stored_after_the_rotation() {
    let desk = Desk::new();
    let slot = desk.add("reader", "leaver", &[]);
    let before = desk.snapshot("first", "what the leaver may know");
    let copy = desk.path("copy-of-slot");
    let stored = desk.path("repository/keys").join(&slot);
    fs::copy(&stored, &copy).unwrap();
    let removed = desk.run("first", &["key", "remove", &slot, "--rotate"], 0);
    let said = String::from_utf8(removed.stderr).unwrap();
    assert!(said.contains("has a copy of it") && said.contains("old version"), "{said}");
    let after = desk.snapshot("first", "what the leaver must not know");
    // The leaver brings the slot's copy, and the store lets them read everything.
    fs::copy(&copy, &stored).unwrap();
    assert_eq!(desk.restored("leaver", &before), "what the leaver may know");
    let refused = desk.command("leaver", &["dump", &desk.inside(&after)]).output().unwrap();
    assert!(matches!(refused.status.code(), Some(1 | 5 | 12)), "{refused:?}");
    assert!(refused.stdout.is_empty());
    // Not even the statements of later sessions, nor the index.
    let listed = desk.command("leaver", &["snapshots", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let shown = listed["snapshots"].as_array().unwrap();
    assert!(shown.iter().all(|row| row["snapshot"] == before.as_str()), "{listed}");
    // And a slot that somebody brings back gets nothing of a later generation either.
    let report = desk.json("first", &["key", "rotate"], 0);
    assert_eq!(report["left_out"], serde_json::json!([slot]));
    assert_eq!(desk.restored("first", &after), "what the leaver must not know");
}

#[test]
fn a_writer_that_runs_during_a_rotation_commits_what_everybody_reads() {
    let desk = Desk::new();
    desk.add("writer", "writer", &[]);
    desk.snapshot("writer", "before");
    let mut command = desk.command("writer", &["snapshot", "--stdin-name", "stream", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stream = child.stdin.take().unwrap();
    stream.write_all(&crate::scratch::noise(1, 3 << 20)).unwrap();
    stream.flush().unwrap();
    desk.wait_for_session(2);
    desk.run("first", &["key", "rotate"], 0);
    // Somebody with the new keys writes, too: the writer meets a generation that it did not have.
    desk.snapshot("first", "meanwhile");
    stream.write_all(b"the end").unwrap();
    drop(stream);
    let output = child.wait_with_output().unwrap();
    expect_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let snapshot = report["snapshot"].as_str().unwrap();
    let dumped = desk.run("first", &["dump", &format!("{snapshot}:stream")], 0).stdout;
    assert_eq!(dumped.len(), (3 << 20) + 7);
    desk.run("first", &["check", "--read-data"], 0);
    assert_eq!(desk.snapshots("writer").len(), 3);
}

#[test]
fn a_collection_by_new_keys_does_not_stop_a_writer_of_the_old_ones() {
    let desk = Desk::new();
    desk.add("writer", "writer", &[]);
    let gone = desk.snapshot("writer", "before");
    let mut command = desk.command("writer", &["snapshot", "--stdin-name", "stream"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stream = child.stdin.take().unwrap();
    stream.write_all(&crate::scratch::noise(1, 1 << 20)).unwrap();
    desk.wait_for_session(2);
    desk.run("first", &["key", "rotate"], 0);
    desk.run("first", &["forget", &gone, "--force"], 0);
    // It gives the writer up: that one has to read a verdict of the new generation to find out.
    desk.run("first", &["prune", "--fence-now"], 0);
    drop(stream);
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    desk.run("first", &["check", "--read-data"], 0);
    desk.snapshot("writer", "afterwards");
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn a_rotation_that_was_cut_off_is_finished_by_the_next_one() {
    let desk = Desk::new();
    let slots = ["second", "third"].map(|key| desk.add("reader", key, &[]));
    let known = desk.objects("ids").len();
    desk.run("first", &["key", "rotate"], 0);
    // As if it had been cut off after the first of the three renewals.
    let ids = desk.objects("ids");
    for key in ids.iter().skip(known + 1) {
        fs::remove_file(desk.path("repository").join(key)).unwrap();
    }
    // The host would remember the others.
    fs::remove_dir_all(desk.path("host-first/state")).unwrap();
    let after = desk.snapshot("first", "content");
    let states = desk.states();
    assert_eq!(states.values().filter(|state| *state == "behind").count(), 2, "{states:?}");
    let refused = desk.command("second", &["dump", &desk.inside(&after)]).output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let report = desk.json("first", &["key", "rotate"], 0);
    assert_eq!(report["generation"], 3);
    let states = desk.states();
    assert!(slots.iter().all(|slot| states[slot] == "valid"), "{states:?}");
    assert_eq!(desk.restored("second", &after), "content");
    assert_eq!(desk.restored("third", &after), "content");
}

#[test]
fn another_reader_follows_a_rotation() {
    let python = python();
    let desk = Desk::new();
    desk.add("reader", "reader", &[]);
    desk.snapshot("first", "before");
    desk.run("first", &["key", "rotate"], 0);
    desk.snapshot("first", "after");
    for key in ["first", "reader"] {
        let mut command = Command::new(&python);
        command.args(["tools/reader.py"]).arg(desk.path("repository"));
        let output = command.arg("--key-file").arg(desk.path(key)).arg("check").output().unwrap();
        expect_code(&output, 0);
    }
    // And the bounds of keys.
    let slot = desk.add("writer", "writer", &[]);
    desk.snapshot("writer", "by a writer");
    desk.run("first", &["key", "remove", &slot], 0);
    let check = |code: i32| {
        let mut command = Command::new(&python);
        command.args(["tools/reader.py"]).arg(desk.path("repository"));
        let output =
            command.arg("--key-file").arg(desk.path("first")).arg("check").output().unwrap();
        expect_code(&output, code);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    check(0);
    for outcome in desk.objects("outcomes") {
        receive(&desk, &outcome, 100);
    }
    let said = check(5);
    assert!(said.contains("after its signer was revoked"), "{said}");
}
