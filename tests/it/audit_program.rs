//! The audit log through the program: what is recorded, what tampering is seen, what an export proves.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use serde_json::Value;
use sha2::Digest as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

/// The files of the only audit log of a repository in a directory, in order.
fn records(desk: &Desk) -> Vec<PathBuf> {
    let folder = fs::read_dir(desk.path("repo/audit")).unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

fn runs(desk: &Desk, arguments: &[&str]) -> Vec<Value> {
    let list = desk.json(&[&["audit", "list"], arguments].concat(), 0);
    list["runs"].as_array().unwrap().clone()
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// A repository with some records: those of `init`, and of two snapshots.
fn recorded() -> Desk {
    let desk = Desk::with_repository();
    for _run in 0..2 {
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    }
    assert_eq!(records(&desk).len(), 6);
    check(&desk.run(&["audit", "verify", "--no-record"]), 0);
    desk
}

#[test]
fn every_run_is_recorded_at_its_beginning_and_at_its_end() {
    let desk = Desk::with_repository();
    let why = ["--reason", "before the upgrade", "--ticket", "OPS-7"];
    let made = desk.json(&[&["snapshot", "data", "--source", "docs"], &why[..]].concat(), 0);
    check(&desk.run(&["restore", "latest", "--target", "back"]), 0);
    check(&desk.run(&["restore", "docs@latest:/none", "--target", "back"]), 1);
    check(&desk.run(&["restore", "0000", "--target", "back"]), 1);
    check(&desk.run(&["check"]), 0);
    check(&desk.run(&["snapshots"]), 0);
    let runs = runs(&desk, &[]);
    let told: Vec<_> = runs
        .iter()
        .map(|run| (run["operation"].as_str().unwrap(), run["exit_code"].as_u64()))
        .collect();
    let restore = |exit| ("restore", Some(exit));
    let expected = [
        ("init", Some(0)),
        ("snapshot", Some(0)),
        restore(0),
        restore(1),
        restore(1),
        ("check", Some(0)),
    ];
    assert_eq!(told, expected);
    assert_eq!(runs[1]["snapshots"][0], made["snapshot"]);
    assert_eq!((&runs[1]["reason"], &runs[1]["ticket"]), (&why[1].into(), &why[3].into()));
    assert_eq!(runs[2]["snapshots"][0], made["snapshot"]);
    assert_eq!((&runs[2]["bytes"], &runs[3]["error"]), (&11.into(), &"path.none".into()));
    assert_eq!(runs[4]["error"], "snapshot.none");
    let head = &made["audit"][0];
    assert_eq!((&head["client"], &head["seq"]), (&runs[0]["client"], &4.into()));
    // What was backed up is named nowhere.
    let exported = out(&desk.run(&["audit", "export", "-"]));
    let place = desk.path("data").display().to_string();
    assert!(exported.lines().count() == 13 && !exported.contains(&place), "{exported}");
}

#[test]
fn a_list_shows_what_is_asked_for() {
    let desk = recorded();
    check(&desk.run(&["restore", "latest", "--target", "back"]), 0);
    assert_eq!(runs(&desk, &["--operation", "restore"]).len(), 1);
    assert_eq!(runs(&desk, &["--since", "2999-01-01"]).len(), 0);
    assert_eq!(runs(&desk, &["--since", "2020-01-01"]).len(), 4);
    let client = runs(&desk, &[])[0]["client"].as_str().unwrap()[..4].to_owned();
    assert_eq!(runs(&desk, &["--client", &client]).len(), 4);
    assert_eq!(runs(&desk, &["--client", "zz"]).len(), 0);
    let words = out(&desk.run(&["audit", "list"]));
    assert!(words.contains("OPERATION") && words.contains("restore"), "{words}");
}

#[test]
fn a_run_that_is_killed_leaves_a_beginning_and_one_that_is_interrupted_an_end() {
    let desk = recorded();
    for (signal, exit) in [("-KILL", None), ("-INT", Some(130))] {
        let before = records(&desk).len();
        let mut command = desk.command(&["snapshot", "--stdin-name", "x"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        while records(&desk).len() == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        if exit.is_some() {
            // A stream that ends lets it look at the signal.
            drop(child.stdin.take());
        }
        child.wait().unwrap();
        let last = runs(&desk, &[]).pop().unwrap();
        assert_eq!(last["exit_code"].as_u64(), exit, "{signal}: {last}");
    }
    check(&desk.run(&["audit", "verify"]), 0);
}

#[test]
fn runs_at_the_same_time_share_one_chain() {
    let desk = recorded();
    let begin = |number: u32| {
        let source = format!("source-{number}");
        let mut command = desk.command(&["snapshot", "data", "--source", &source]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = (0..6).map(begin).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check(&desk.run(&["audit", "verify"]), 0);
    assert_eq!(records(&desk).len(), 6 + 12);
    assert!(runs(&desk, &[]).iter().all(|run| run["exit_code"] == 0));
}

/// Runs `audit verify` with and without the host's memory; the expected codes of what it finds.
#[track_caller]
fn check_found(desk: &Desk, head: &str, with_memory: &str, without: Option<&str>) {
    let codes = |report: &Value| {
        let findings = report["findings"].as_array().unwrap().clone();
        let codes = findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned());
        codes.collect::<Vec<_>>()
    };
    let verify = |state: &str, arguments: &[&str]| {
        let mut command =
            desk.command(&[&["audit", "verify", "--no-record", "--json"], arguments].concat());
        let output = command.env("SBF_REPO_STATE_DIR", desk.path(state)).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(if codes(&report).is_empty() { 0 } else { 5 }));
        codes(&report)
    };
    let found = verify("state", &[]);
    assert!(found.iter().any(|code| code == with_memory), "{found:?}");
    let found = verify("none", &[]);
    match without {
        Some(code) => assert!(found.iter().any(|found| found == code), "{found:?}"),
        None => assert!(found.is_empty(), "{found:?}"),
    }
    let found = verify("none", &["--head", head]);
    assert!(!found.is_empty(), "a head that was written down proves nothing");
}

/// The head that a run printed.
fn printed_head(desk: &Desk) -> String {
    let output = desk.run(&["-v", "snapshot", "data", "--source", "docs"]);
    let text = err(&output);
    let line = text.lines().find_map(|line| line.strip_prefix("audit head: "));
    line.unwrap().to_owned()
}

#[test]
fn a_record_that_is_removed_leaves_a_gap() {
    let desk = recorded();
    let head = printed_head(&desk);
    fs::remove_file(&records(&desk)[2]).unwrap();
    check_found(&desk, &head, "audit.gap", Some("audit.gap"));
}

#[test]
fn an_end_that_is_cut_off_is_seen_by_who_knew_it() {
    let desk = recorded();
    let head = printed_head(&desk);
    fs::remove_file(records(&desk).last().unwrap()).unwrap();
    check_found(&desk, &head, "audit.cut_off", None);
    let mut command = desk.command(&["audit", "verify", "--no-record"]);
    let output = command.env("SBF_REPO_STATE_DIR", desk.path("fresh")).output().unwrap();
    let said = err(&output);
    assert!(said.contains("had its end been cut off, that could not be seen"), "{said}");
    assert!(said.contains("this host has no memory"), "{said}");
}

#[test]
fn records_in_another_order_are_found() {
    let desk = recorded();
    let head = printed_head(&desk);
    let files = records(&desk);
    let (first, second) = (fs::read(&files[3]).unwrap(), fs::read(&files[4]).unwrap());
    fs::write(&files[3], second).unwrap();
    fs::write(&files[4], first).unwrap();
    check_found(&desk, &head, "audit.damaged", Some("audit.damaged"));
}

#[test]
fn a_log_that_was_forked_is_found() {
    let desk = recorded();
    copy_folder(&desk.path("repo"), &desk.path("fork"));
    // The same key writes another future, on a host that knows nothing of this one.
    let mut command = desk.command(&["snapshot", "data", "--source", "docs"]);
    command.env("SBF_REPO_REPOSITORY", desk.path("fork"));
    check(&command.env("SBF_REPO_STATE_DIR", desk.path("other")).output().unwrap(), 0);
    let head = printed_head(&desk);
    let ours = records(&desk);
    let theirs = desk.path("fork").join(ours[6].strip_prefix(desk.path("repo")).unwrap());
    // One of its records in ours: the next does not follow it.
    fs::copy(theirs, &ours[6]).unwrap();
    check_found(&desk, &head, "audit.fork", Some("audit.fork"));
    // The whole of it: consistent in itself.
    fs::remove_dir_all(desk.path("repo")).unwrap();
    copy_folder(&desk.path("fork"), &desk.path("repo"));
    check_found(&desk, &head, "audit.replaced", None);
}

#[test]
fn heads_that_somebody_recorded_protect_the_logs_of_others() {
    let desk = recorded();
    check(&desk.run(&["audit", "verify"]), 0);
    fs::remove_file(records(&desk).last().unwrap()).unwrap();
    let mut command = desk.command(&["audit", "verify"]);
    let output = command.env("SBF_REPO_STATE_DIR", desk.path("none")).output().unwrap();
    check(&output, 5);
    assert!(out(&output).contains("records/heads/"), "{}", out(&output));
}

#[test]
fn what_one_client_says_of_the_log_of_another_is_told_and_proves_nothing() {
    let desk = recorded();
    let folder = records(&desk)[0].parent().unwrap().to_owned();
    let auditor = desk.path("auditor").display().to_string();
    check(&desk.run(&["key", "add", "--role", "auditor", "--new-key-file", &auditor]), 0);
    let mut command = desk.command(&["audit", "verify"]);
    command.env("SBF_REPO_KEY_FILE", &auditor).env("SBF_REPO_STATE_DIR", desk.path("theirs"));
    check(&command.output().unwrap(), 0);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    fs::remove_file(files.max().unwrap()).unwrap();
    let mut command = desk.command(&["audit", "verify", "--no-record", "--json"]);
    let output = command.env("SBF_REPO_STATE_DIR", desk.path("none")).output().unwrap();
    check(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"][0]["code"], "audit.claimed", "{report}");
    assert_eq!(report["findings"][0]["severity"], "notice", "{report}");
    assert!(report["findings"][0]["effect"].as_str().unwrap().contains("records/heads/"));
}

#[test]
fn records_that_cannot_be_stored_wait_on_the_host() {
    let desk = recorded();
    let mirror = desk.path("mirror").display().to_string();
    check(&desk.run(&["mirror", "--to", &mirror]), 0);
    let from_mirror = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env("SBF_REPO_REPOSITORY", &mirror).output().unwrap()
    };
    let restored = from_mirror(&["restore", "latest", "--target", "back"]);
    check(&restored, 0);
    assert!(err(&restored).contains("2 records wait on this host"), "{}", err(&restored));
    let refused = ["restore", "latest", "--target", "again", "--require-audit"];
    let output = from_mirror(&refused);
    check(&output, 14);
    assert!(!desk.path("again").exists(), "{}", err(&output));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["audit", "verify"]), 0);
    let runs = runs(&desk, &["--operation", "restore"]);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0]["exit_code"] == 0 && runs[0]["delivered"].is_string(), "{runs:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "says what was not covered")]
fn an_export_is_verified_with_tools_that_know_nothing_of_it() {
    let desk = recorded();
    check(&desk.run(&["audit", "export", "log"]), 0);
    check(&desk.run(&["audit", "export", "log"]), 1);
    let text = fs::read_to_string(desk.path("log")).unwrap();
    let hex =
        |bytes: &[u8]| sbf_repo::id::Sha256::new(sha2::Sha256::digest(bytes).into()).to_string();
    let mut before = "0".repeat(64);
    for (number, line) in text.lines().enumerate() {
        let statement: Value = serde_json::from_str(line).unwrap();
        let stated = &statement["predicate"];
        assert_eq!((&stated["seq"], &stated["prev"]), (&(number + 1).into(), &before.into()));
        before = hex(line.as_bytes());
    }
    let checkpoint = fs::read_to_string(desk.path("log.checkpoint")).unwrap();
    let mut lines = checkpoint.lines();
    assert!(lines.next().unwrap().starts_with("sbf-repo.dev/audit/"));
    assert_eq!(lines.next(), Some(text.lines().count().to_string().as_str()));
    assert!(checkpoint.contains(&format!(":{before}\n")), "{checkpoint}");
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        println!("not covered: this machine has no ssh-keygen");
        return;
    }
    let verify = |namespace: &str, client: &str, signature: &Path, message: &Path| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-n", namespace, "-I", client, "-f"]);
        command.arg(desk.path("log.allowed_signers")).arg("-s").arg(signature);
        command.stdin(fs::File::open(message).unwrap()).output().unwrap().status.success()
    };
    let signatures = fs::read_to_string(desk.path("log.signatures")).unwrap();
    let mut client = String::new();
    for (line, proof) in text.lines().zip(signatures.lines()) {
        let proof: Value = serde_json::from_str(proof).unwrap();
        client = proof["client"].as_str().unwrap().to_owned();
        assert_eq!(proof["sha256"], hex(line.as_bytes()));
        fs::write(desk.path("one.sig"), proof["signature"].as_str().unwrap()).unwrap();
        for (message, is_good) in [(line.to_owned(), true), (line.replace("init", "exit"), false)] {
            if !is_good && message == line {
                continue;
            }
            fs::write(desk.path("one"), message).unwrap();
            let found = verify("sbf-repo-audit", &client, &desk.path("one.sig"), &desk.path("one"));
            assert_eq!(found, is_good, "{line}");
        }
    }
    let (signature, checkpoint) = (desk.path("log.checkpoint.sig"), desk.path("log.checkpoint"));
    assert!(verify("sbf-repo-evidence", &client, &signature, &checkpoint));
}
