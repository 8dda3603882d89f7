//! Outputs of several commands, and paths beside them: one snapshot or none; and how their ends are guarded.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::scratch::skip;
use std::fs;
use std::process::Command;

fn count(desk: &Desk) -> usize {
    desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len()
}

fn content(desk: &Desk, path: &str) -> Vec<u8> {
    let output = desk.run(&["dump", &format!("latest:{path}")]);
    check(&output, 0);
    output.stdout
}

#[test]
fn commands_and_paths_are_one_snapshot() {
    let desk = Desk::with_repository();
    let arguments =
        ["snapshot", "data", "--stream", "zz=printf 'two  words'", "--stream", "0=echo 0"];
    let report = desk.json(&[&arguments[..], &["--source", "all"]].concat(), 0);
    assert_eq!(report["totals"]["files"], 4);
    assert_eq!(
        (content(&desk, "/zz"), content(&desk, "/0")),
        (b"two  words".into(), b"0\n".into())
    );
    let inside = desk.path("data/a.txt").display().to_string();
    assert_eq!(content(&desk, &inside), b"first");
    let stated = desk.json(&["manifest", "show", "latest"], 0)["manifest"]["predicate"].clone();
    assert_eq!(stated["kind"], "several");
    assert_eq!(stated["streams"][0]["command"]["argv"][1], "two  words");
    assert_eq!(stated["paths"][2], desk.path("data").display().to_string());
    // Files that did not change are not read again beside streams, either.
    let again = desk.json(&[&arguments[..], &["--source", "all"]].concat(), 0);
    assert_eq!(
        (&again["run"]["files_unchanged"], &again["run"]["files_new"]),
        (&2.into(), &2.into())
    );
    check(&desk.run(&["check", "--read-data"]), 0);
    check(&desk.run(&["restore", "latest", "--target", "back"]), 0);
    assert_eq!(fs::read(desk.path("back/zz")).unwrap(), b"two  words");
}

#[test]
fn a_command_that_fails_leaves_nothing_of_the_others() {
    let desk = Desk::with_repository();
    let output = desk.run(&["snapshot", "data", "--stream", "a=echo fine", "--stream", "b=false"]);
    check(&output, 4);
    assert!(err(&output).contains("false, for b: it exited with code 1"), "{}", err(&output));
    let fails = ["--stream", "a=echo", "--stdin-name", "b", "--from-command", "--", "false"];
    check(&desk.run(&[&["snapshot"], &fails[..]].concat()), 4);
    let missing = desk.path("missing").display().to_string();
    check(&desk.run(&["snapshot", &missing, "--stream", "a=echo fine"]), 1);
    assert_eq!(count(&desk), 0);
}

#[test]
fn names_that_clash_and_commands_that_are_none_are_refused() {
    let desk = Desk::with_repository();
    let folder = desk.path("").display().to_string();
    let top = format!("{}=echo", folder.split('/').nth(1).unwrap());
    let wrong: [&[&str]; 8] = [
        &["data", "--stream", &top],
        &["--stream", "a=echo", "--stream", "a=echo"],
        &["--stream", "a/b=echo"],
        &["--stream", "a"],
        &["--stream", "a= "],
        &["--stream", "a='secret", "--json"],
        &["--stream", "a=echo", "--stdin-name", "b"],
        &["--stream", "a=echo", "--dry-run"],
    ];
    for arguments in wrong {
        let output = desk.run(&[&["snapshot"], arguments].concat());
        check(&output, 2);
        assert!(!(out(&output) + &err(&output)).contains("secret"), "{}", out(&output));
    }
    assert_eq!(count(&desk), 0);
}

#[test]
fn dumps_without_their_last_line_are_refused() {
    let desk = Desk::with_repository();
    let stream = |text: &str, arguments: &[&str], exit: i32| {
        let stream = format!("x=printf '{text}'");
        let output = desk.run(&[&["snapshot", "--stream", &stream], arguments].concat());
        check(&output, exit);
        err(&output)
    };
    let words = stream("-- MySQL dump 10.13\\nINSERT INTO a VALUES (1);\\n", &[], 4);
    assert!(words.contains("-- Dump completed"), "{words}");
    stream("/*M!999999 x */;\\n-- MariaDB dump 10.19\\n-- Dump compl", &[], 4);
    stream("-- MariaDB dump 10.19\\n-- Dump completed on 2026-11-26\\n", &[], 0);
    stream("-- MySQL dump 10.13\\nINSERT", &["--accept-cut-off"], 0);
    let end = ["--expect-trailer", "COMMIT;"];
    let words = stream("BEGIN;\\nROLLBACK;\\n", &end, 4);
    assert!(words.contains("ends with the line `ROLLBACK;` and not with `COMMIT;`"), "{words}");
    stream("BEGIN;\\nCOMMIT;\\n\\n", &end, 0);
    stream("", &end, 4);
    assert_eq!(count(&desk), 3);
    let words = stream("\\037\\213 gzip", &[], 0);
    assert!(words.contains("compressed with gzip"), "{words}");
}

#[test]
fn each_stream_may_have_a_last_line_of_its_own() {
    let desk = Desk::with_repository();
    let streams = ["snapshot", "--stream", "a=printf 'x\\nCOMMIT;'", "--stream", "b=echo done=yes"];
    let snapshot = |arguments: &[&str], exit: i32| {
        let output = desk.run(&[&streams[..], arguments].concat());
        check(&output, exit);
        err(&output)
    };
    let words = snapshot(&["--expect-trailer", "COMMIT;"], 4);
    assert!(words.contains("b ends with the line `done=yes` and not with `COMMIT;`"), "{words}");
    snapshot(&["--expect-trailer", "COMMIT;", "--expect-trailer-of", "b=done=y"], 0);
    snapshot(&["--expect-trailer-of", "a=COMMIT;", "--expect-trailer-of", "b=done"], 0);
    let words = snapshot(&["--expect-trailer-of", "a=done", "--expect-trailer-of", "b=done"], 4);
    assert!(words.contains("a ends with the line"), "{words}");
    // Text that looks like a stream's is for all of them.
    snapshot(&["--expect-trailer", "a=COMMIT;"], 4);
    let last =
        ["--stdin-name", "c", "--expect-trailer-of", "c=end", "--from-command", "--", "echo"];
    snapshot(&[&last[..], &["end"]].concat(), 0);
    snapshot(&[&last[..], &["enough"]].concat(), 4);
    for wrong in ["a", "c=x", "=x"] {
        let words = snapshot(&["--expect-trailer-of", wrong], 2);
        assert!(words.contains("--stream"), "{words}");
    }
    snapshot(&["--expect-trailer-of", "a=x", "--expect-trailer-of", "a=y"], 2);
    assert_eq!(count(&desk), 3);
}

#[test]
fn databases_of_sqlite_come_back() {
    let found = Command::new("sqlite3").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip("there is no sqlite3");
    }
    let desk = Desk::with_repository();
    let sqlite = |database: &str, arguments: &[&str]| {
        let path = desk.path(database);
        let output = Command::new("sqlite3").arg(path).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        output.stdout
    };
    sqlite("app.db", &["CREATE TABLE t(x); INSERT INTO t VALUES ('it''s'), (x'00ff'), (NULL)"]);
    let dump = format!("app.sql=sqlite3 '{}' .dump", desk.path("app.db").display());
    check(&desk.run(&["snapshot", "--expect-trailer", "COMMIT;", "--stream", &dump]), 0);
    let back = desk.path("back.db").display().to_string();
    let arguments = ["restore", "latest:/app.sql", "--to-command", "--", "sqlite3", "-bail", &back];
    check(&desk.run(&arguments), 0);
    assert_eq!(sqlite("back.db", &[".dump"]), sqlite("app.db", &[".dump"]));
    // A file that is damaged gives a dump that ends otherwise.
    desk.put("app.db", b"this is no database, and longer than a header of one would have to be");
    check(&desk.run(&["snapshot", "--expect-trailer", "COMMIT;", "--stream", &dump]), 4);
}
