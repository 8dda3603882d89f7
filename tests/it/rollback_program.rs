//! A repository that was put back to an older state, as the program sees it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use std::fs;
use std::path::Path;
use std::process::Command;

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// A repository that is backed up to, and then put back to what it was before.
fn put_back(prunes: bool) -> Desk {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    copy_folder(&desk.path("repo"), &desk.path("older"));
    desk.put("data/a.txt", b"another");
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    if prunes {
        check(&desk.run(&["forget", "--keep-last", "1", "--accept-policy", "--force"]), 0);
        check(&desk.run(&["prune"]), 0);
    }
    fs::remove_dir_all(desk.path("repo")).unwrap();
    copy_folder(&desk.path("older"), &desk.path("repo"));
    desk
}

fn objects(desk: &Desk) -> usize {
    let listed = Command::new("find").arg(desk.path("repo")).args(["-type", "f"]).output().unwrap();
    out(&listed).lines().filter(|line| !line.contains("/tmp/")).count()
}

#[test]
fn nothing_is_written_to_a_repository_that_went_back() {
    for prunes in [false, true] {
        let desk = put_back(prunes);
        let before = objects(&desk);
        for command in [
            &["hold", "latest", "--reason", "x"][..],
            &["forget", "--keep-last", "1", "--accept-policy"],
            &["prune"],
            &["key", "add", "--role", "reader", "--new-key-file", "reader.key"],
        ] {
            let output = desk.run(command);
            check(&output, 5);
            let said = err(&output);
            assert!(said.contains("went back in time: this host has seen"), "{said}");
            assert!(said.contains("--accept-rollback"), "{said}");
        }
        assert_eq!(objects(&desk), before, "a refused command wrote something");
        let output = desk.run(&["snapshot", "data", "--source", "docs"]);
        check(&output, 5);
        assert!(err(&output).contains("went back in time: this host has seen"), "{}", err(&output));
        assert_eq!(desk.json(&["check"], 5)["findings"][0]["code"], "repository.went_back");
        check(&desk.run(&["audit", "verify"]), 5);
    }
}

#[test]
fn a_store_that_hides_the_last_revocation_is_found_by_whoever_saw_it() {
    let desk = Desk::with_repository();
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "host.key"]), 0);
    let rows = desk.json(&["key", "list"], 0);
    let row =
        rows["slots"].as_array().unwrap().iter().find(|row| row["header"]["role"] == "writer");
    let slot = row.unwrap()["slot"].as_str().unwrap().to_owned();
    check(&desk.run(&["key", "remove", &slot]), 0);
    check(&desk.run(&["snapshots"]), 0);
    let ids = desk.path("repo/ids");
    let mut names: Vec<_> =
        fs::read_dir(&ids).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let last = names.pop().unwrap();
    let kept = fs::read(&last).unwrap();
    fs::remove_file(&last).unwrap();
    let refused = desk.run(&["snapshot", "data", "--source", "docs"]);
    check(&refused, 5);
    let said = err(&refused);
    assert!(said.contains("went back in time") && said.contains("about keys"), "{said}");
    fs::write(&last, kept).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
}

#[test]
fn it_is_read_with_a_warning() {
    let desk = put_back(false);
    let output = desk.run(&["restore", "latest", "--target", "back"]);
    check(&output, 0);
    assert!(err(&output).contains("it went back in time: this host has seen"), "{}", err(&output));
    check(&desk.run(&["snapshots"]), 5);
}

#[test]
fn whoever_put_it_back_on_purpose_says_so_once() {
    for prunes in [false, true] {
        let desk = put_back(prunes);
        let snapshot = ["snapshot", "data", "--source", "docs"];
        let output = desk.run(&[&snapshot[..], &["--accept-rollback"]].concat());
        check(&output, 0);
        assert!(
            err(&output).contains("warning: accepted: the repository went back"),
            "{}",
            err(&output)
        );
        check(&desk.run(&snapshot), 0);
        check(&desk.run(&["check"]), 0);
        check(&desk.run(&["audit", "verify"]), 0);
        let list = desk.json(&["audit", "list", "--operation", "snapshot"], 0);
        let runs = list["runs"].as_array().unwrap();
        let accepted: Vec<_> =
            runs.iter().filter(|run| run["accepted_rollback"].is_string()).collect();
        assert_eq!(accepted.len(), 1, "{runs:?}");
    }
}

#[test]
fn a_host_without_memory_sees_nothing_and_says_so_when_asked() {
    let desk = put_back(false);
    let run = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env("SBF_REPO_STATE_DIR", desk.path("none")).output().unwrap()
    };
    let verified = run(&["audit", "verify"]);
    check(&verified, 0);
    assert!(err(&verified).contains("this host has no memory"), "{}", err(&verified));
    check(&run(&["snapshot", "data", "--source", "docs"]), 0);
}

/// One of the outcomes.
fn outcome(desk: &Desk) -> String {
    let mut find = Command::new("find");
    find.arg(desk.path("repo/outcomes")).args(["-type", "f"]);
    out(&find.output().unwrap()).lines().next().unwrap().to_owned()
}

/// Runs a command on a host that knows nothing of the repository.
fn elsewhere(desk: &Desk, arguments: &[&str]) -> std::process::Output {
    desk.command(arguments).env("SBF_REPO_STATE_DIR", desk.path("none")).output().unwrap()
}

#[test]
fn a_snapshot_that_was_hidden_is_missed_by_its_host_and_by_who_sees_the_next() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let first = outcome(&desk);
    let hidden = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    let output = desk.run(&["snapshot", "data", "--source", "docs"]);
    check(&output, 5);
    assert!(err(&output).contains("the commit of session"), "{}", err(&output));
    fs::write(&first, hidden).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    fs::remove_file(&first).unwrap();
    let mut stranger = desk.command(&["snapshots"]);
    let output = stranger.env("SBF_REPO_STATE_DIR", desk.path("none")).output().unwrap();
    check(&output, 5);
    assert!(err(&output).contains("saw that it was committed"), "{}", err(&output));
}

#[test]
fn a_collection_does_not_make_a_hidden_snapshot_one_that_never_was() {
    let desk = Desk::with_repository();
    let snapshot = ["snapshot", "data", "--source", "docs"];
    check(&desk.run(&snapshot), 0);
    let first = outcome(&desk);
    // Nobody else knows of it: a collection of another host goes on, and the one who made it misses it.
    let kept = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    desk.put("data/more", &vec![7; 100_000]);
    check(&elsewhere(&desk, &snapshot), 0);
    check(&elsewhere(&desk, &["prune", "--max-unused", "0"]), 0);
    let refused = desk.run(&snapshot);
    check(&refused, 5);
    assert!(err(&refused).contains("the commit of session"), "{}", err(&refused));
    drop(kept);
}

#[test]
fn a_prune_refuses_while_a_commit_is_missing_that_another_one_saw() {
    let desk = Desk::with_repository();
    let snapshot = ["snapshot", "data", "--source", "docs"];
    check(&desk.run(&snapshot), 0);
    let first = outcome(&desk);
    // Nothing of the first is needed by the second.
    let command = ["--from-command", "--", "echo", "something else"];
    let stream = [&["snapshot", "--stdin-name", "stream"][..], &command].concat();
    check(&desk.run(&stream), 0);
    fs::remove_file(first).unwrap();
    let refused = elsewhere(&desk, &["prune"]);
    check(&refused, 5);
    assert!(err(&refused).contains("saw it"), "{}", err(&refused));
    check(&elsewhere(&desk, &["prune", "--accept-rollback"]), 0);
}

#[test]
fn what_a_host_did_itself_it_remembers() {
    let desk = Desk::with_repository();
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader.key"]), 0);
    let rows = desk.json(&["key", "list"], 0);
    let row =
        rows["slots"].as_array().unwrap().iter().find(|row| row["header"]["role"] == "reader");
    let slot = row.unwrap()["slot"].as_str().unwrap().to_owned();
    copy_folder(&desk.path("repo/ids"), &desk.path("ids-before"));
    check(&desk.run(&["key", "remove", &slot]), 0);
    fs::remove_dir_all(desk.path("repo/ids")).unwrap();
    copy_folder(&desk.path("ids-before"), &desk.path("repo/ids"));
    let refused = desk.run(&["key", "rotate"]);
    check(&refused, 5);
    assert!(err(&refused).contains("about keys"), "{}", err(&refused));
}

#[test]
fn a_repository_does_not_become_a_mirror_for_whoever_knows_it() {
    let desk = put_back(false);
    fs::create_dir_all(desk.path("repo/amendments/mirror")).unwrap();
    desk.put("repo/amendments/mirror/00000001", b"junk");
    for command in [&["check"][..], &["snapshots"], &["audit", "verify"], &["prune"]] {
        let output = desk.run(command);
        check(&output, 5);
        let said = err(&output) + &out(&output);
        assert!(said.contains("went back in time"), "{command:?}: {said}");
    }
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 5);
}
