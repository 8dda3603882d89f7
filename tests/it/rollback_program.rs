//! A repository that was put back to an older state, as the program sees it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
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

/// The files below a folder of the repository, sorted.
fn files_in(desk: &Desk, folder: &str) -> Vec<PathBuf> {
    let mut find = Command::new("find");
    let listed = find.arg(desk.path("repo").join(folder)).args(["-type", "f"]).output().unwrap();
    let mut files: Vec<PathBuf> = out(&listed).lines().map(PathBuf::from).collect();
    files.sort();
    files
}

/// What its host says if the newest record in a folder is removed; then it is put back.
fn misses(desk: &Desk, folder: &str) {
    let last = files_in(desk, folder).pop().unwrap();
    let kept = fs::read(&last).unwrap();
    fs::remove_file(&last).unwrap();
    for command in [
        &["hold", "latest", "--reason", "x"][..],
        &["snapshot", "data", "--source", "docs"],
        &["prune"],
        &["check"],
        &["audit", "verify"],
        &["snapshots"],
    ] {
        let output = desk.run(command);
        check(&output, 5);
        let said = err(&output) + &out(&output);
        assert!(said.contains("this host has seen its own record"), "{command:?}: {said}");
    }
    let stranger = elsewhere(desk, &["snapshots"]);
    check(&stranger, 0);
    fs::write(&last, kept).unwrap();
    check(&desk.run(&["check"]), 0);
}

#[test]
fn a_removed_record_is_missed_by_the_host_that_stored_it() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    desk.put("data/a.txt", b"another");
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["hold", "latest", "--reason", "trial"]), 0);
    misses(&desk, "records/hold");
    check(&desk.run(&["release", "latest"]), 0);
    misses(&desk, "records/release");
    check(&desk.run(&["forget", "--keep-last", "1", "--accept-policy", "--force"]), 0);
    misses(&desk, "forget");
    let forgotten = desk.json(&["snapshots", "--forgotten"], 0);
    let id = forgotten["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    check(&desk.run(&["forget", "--undo", &id]), 0);
    misses(&desk, "records/undo");
}

#[test]
fn a_forget_that_a_collection_carried_out_is_not_missed() {
    let desk = Desk::with_repository();
    for content in ["1", "2", "3"] {
        desk.put("data/a.txt", content.as_bytes());
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    }
    check(&desk.run(&["forget", "--keep-last", "2", "--accept-policy", "--force"]), 0);
    check(&desk.run(&["prune"]), 0);
    assert!(files_in(&desk, "forget").is_empty());
    for command in [&["check"][..], &["audit", "verify"], &["snapshots"]] {
        check(&desk.run(command), 0);
    }
    let memory = memory_text(&desk);
    assert!(!memory.contains("forget "), "{memory}");
    // One that somebody removes, so that a collection keeps what it named.
    check(&desk.run(&["forget", "--keep-last", "1", "--accept-policy", "--force"]), 0);
    let forget = files_in(&desk, "forget").pop().unwrap();
    fs::remove_file(forget).unwrap();
    check(&elsewhere(&desk, &["prune", "--max-unused", "0"]), 0);
    let refused = desk.run(&["snapshot", "data", "--source", "docs"]);
    check(&refused, 5);
    assert!(err(&refused).contains("its own record forget/"), "{}", err(&refused));
}

/// The file of what the host remembers.
fn memory_file(desk: &Desk) -> PathBuf {
    let mut find = Command::new("find");
    find.arg(desk.path("state")).args(["-name", "memory", "-type", "f"]);
    PathBuf::from(out(&find.output().unwrap()).trim())
}

fn memory_text(desk: &Desk) -> String {
    fs::read_to_string(memory_file(desk)).unwrap()
}

#[test]
fn a_damaged_memory_is_no_empty_one() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let file = memory_file(&desk);
    let whole = memory_text(&desk);
    let cut = whole.rfind("sha256 ").unwrap();
    let first_line = whole.find('\n').unwrap() + 1;
    for damaged in
        ["", "nonsense\n", &whole[..cut], &whole[first_line..], &whole[..whole.len() - 1]]
    {
        fs::write(&file, damaged).unwrap();
        let refused = desk.run(&["snapshot", "data", "--source", "docs"]);
        check(&refused, 5);
        let said = err(&refused);
        assert!(
            said.contains("memory of it is damaged") && said.contains("--accept-rollback"),
            "{said}"
        );
        check(&desk.run(&["prune"]), 5);
        let read = desk.run(&["restore", "latest", "--target", "back"]);
        assert!(err(&read).contains("memory of it is damaged"), "{}", err(&read));
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged, "it was written over");
        let list = desk.json(&["key", "list"], 0);
        assert_eq!(list["findings"][0]["code"], "memory.damaged");
    }
    check(&desk.run(&["snapshot", "data", "--source", "docs", "--accept-rollback"]), 0);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["audit", "verify"]), 0);
}

#[test]
fn whatever_reads_warns() {
    let desk = put_back(false);
    // Only its log tells this host: as one that never committed.
    let kept: Vec<String> = memory_text(&desk)
        .lines()
        .filter(|line| line.starts_with("audit ") || line.starts_with("place "))
        .map(str::to_owned)
        .collect();
    let text = kept.iter().fold(String::new(), |text, line| text + line + "\n");
    let sum = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | sha256sum", "sh", &text])
        .output()
        .unwrap();
    let sum = out(&sum)[..64].to_owned();
    fs::write(memory_file(&desk), format!("{text}sha256 {sum}\n")).unwrap();
    for (command, exit) in [
        (&["snapshots"][..], 5),
        (&["ls", "latest"], 5),
        (&["stats"], 5),
        (&["status"], 5),
        (&["manifest", "verify"], 5),
        (&["audit", "list"], 5),
        (&["find", "a.txt"], 5),
        (&["key", "list"], 0),
        (&["session", "list"], 0),
        (&["hold", "--list"], 5),
        (&["evidence", "public-key"], 0),
        (&["restore", "latest", "--target", "back"], 0),
    ] {
        let output = desk.run(&[command, &["--json"]].concat());
        check(&output, exit);
        let told = err(&output).matches("it went back in time: this host has seen").count();
        assert_eq!(told, 1, "{command:?}: {}", err(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = value["findings"].as_array().unwrap();
        let told = findings.iter().filter(|finding| finding["code"] == "repository.went_back");
        assert_eq!(told.count(), 1, "{command:?}: {findings:?}");
        check(&desk.run(command), exit);
        fs::remove_dir_all(desk.path("back")).ok();
    }
}

#[test]
fn a_statement_of_the_authority_that_is_missing_in_the_middle_is_acted_on() {
    let desk = Desk::with_repository();
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "host.key"]), 0);
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader.key"]), 0);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let mut ids = files_in(&desk, "ids");
    let gap = ids.remove(ids.len() - 2);
    fs::remove_file(&gap).unwrap();
    // With a memory and without.
    for command in
        [&["snapshot", "data", "--source", "docs"][..], &["prune"], &["forget", "latest"]]
    {
        for output in [desk.run(command), elsewhere(&desk, command)] {
            check(&output, 5);
            assert!(err(&output).contains("may be a revocation"), "{command:?}: {}", err(&output));
        }
    }
    check(&desk.run(&["check"]), 5);
    check(&desk.run(&["audit", "verify"]), 5);
    let read = elsewhere(&desk, &["key", "list"]);
    check(&read, 0);
    assert!(err(&read).contains("may be a revocation"), "{}", err(&read));
    check(&elsewhere(&desk, &["snapshot", "data", "--source", "docs", "--accept-rollback"]), 0);
    check(&elsewhere(&desk, &["snapshot", "data", "--source", "docs"]), 0);
}
