//! Erasures: a restore of older data erases again what had been erased, or says that it did not.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use serde_json::Value;
use std::fs;

/// A repository with a snapshot that holds what was erased since, and one that does not.
fn desk() -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/customer-17", b"name and address");
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    fs::remove_file(desk.path("data/customer-17")).unwrap();
    desk
}

fn add(desk: &Desk) -> String {
    let added = desk.json(&["erasure", "add", "--source", "docs", "--subject", "customer-17"], 0);
    added["erasure"].as_str().unwrap().to_owned()
}

/// A configuration with a command that erases again and keeps what it was told.
fn configure(desk: &Desk, exit: i32) {
    let script = format!(
        "cat > told.json\nprintf '%s' \"$SBF_REPO_REPLAY_SUBJECTS\" > subjects\n\
         find \"$SBF_REPO_REPLAY_TARGET\" -name \"$SBF_REPO_REPLAY_SUBJECTS\" -delete\nexit {exit}\n"
    );
    desk.put("erase-again", script.as_bytes());
    let file = format!(
        "[repository]\nurl = '{}'\n[erasure]\nreplay = ['sh', '{}']\n",
        desk.path("repo").display(),
        desk.path("erase-again").display()
    );
    desk.put("config.toml", file.as_bytes());
}

fn status(desk: &Desk, exit: i32) -> Value {
    desk.json(&["erasure", "status"], exit)["erasures"][0].clone()
}

fn has(desk: &Desk, target: &str, name: &str) -> bool {
    desk.path(target).join(desk.path("data").strip_prefix("/").unwrap()).join(name).exists()
}

const RESTORE: [&str; 4] = ["restore", "docs@latest", "--target", "back"];

#[test]
fn a_restore_of_older_data_ends_with_what_erases_again() {
    let desk = desk();
    configure(&desk, 0);
    let erasure = add(&desk);
    let report = desk.json(&[&RESTORE[..], &["--config", "config.toml"]].concat(), 0);
    assert_eq!(report["replay"]["is_done"], true, "{report}");
    assert!(!has(&desk, "back", "customer-17") && has(&desk, "back", "a.txt"));
    let told: Value = serde_json::from_slice(&fs::read(desk.path("told.json")).unwrap()).unwrap();
    assert_eq!(told["erasures"][0]["subject"], "customer-17", "{told}");
    assert_eq!(told["erasures"][0]["erasure"], erasure);
    assert_eq!((&told["operation"], &told["source"]), (&"restore".into(), &"docs".into()));
    assert_eq!(told["snapshot"], report["snapshot"]);
    assert_eq!(told["target"]["kind"], "directory");
    assert_eq!(told["target"]["path"], "back");
    assert_eq!(fs::read(desk.path("subjects")).unwrap(), b"customer-17");
    let status = status(&desk, 0);
    assert_eq!(status["pending_count"], 0, "{status}");
    assert_eq!(status["runs"][0]["is_done"], true, "{status}");
    // Data of a later time does not hold it.
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    fs::remove_file(desk.path("told.json")).unwrap();
    let report = desk.json(&["restore", "docs@latest", "--target", "new"], 0);
    assert_eq!(report["replay"], Value::Null);
    assert!(!desk.path("told.json").exists());
}

#[test]
fn a_restore_without_a_command_says_so_and_can_be_made_good() {
    let desk = desk();
    add(&desk);
    let output = desk.run(&RESTORE);
    check(&output, 3);
    assert!(err(&output).contains("1 erasure not erased again: no `replay`"), "{}", err(&output));
    assert!(has(&desk, "back", "customer-17"), "what was restored stays");
    let pending = status(&desk, 6);
    assert_eq!(pending["pending_count"], 1, "{pending}");
    let run = pending["runs"][0]["run"].as_str().unwrap().to_owned();
    assert!(err(&output).contains(&run[..12]), "{}", err(&output));
    // A command that fails changes nothing of that.
    configure(&desk, 9);
    let again = ["erasure", "replay", &run[..8], "--target", "back", "--config", "config.toml"];
    let failed = desk.run(&again);
    check(&failed, 3);
    assert!(err(&failed).contains("it exited with code 9"), "{}", err(&failed));
    assert_eq!(status(&desk, 6)["runs"][0]["words"], "it exited with code 9");
    configure(&desk, 0);
    check(&desk.run(&again), 0);
    assert!(!has(&desk, "back", "customer-17"));
    let done = status(&desk, 0);
    assert_eq!(
        (done["pending_count"].as_u64(), done["runs"].as_array().unwrap().len()),
        (Some(0), 1)
    );
}

#[test]
fn a_job_has_a_command_of_its_own_and_a_failure_of_it_is_told() {
    let desk = desk();
    add(&desk);
    let file = format!(
        "[repository]\nurl = '{}'\n[erasure]\nreplay = ['true']\n[job.docs]\nkind = 'files'\npaths = ['data']\nreplay = ['sh', '-c', 'echo no table >&2; exit 1']\n",
        desk.path("repo").display()
    );
    desk.put("config.toml", file.as_bytes());
    let report = desk.json(&[&RESTORE[..], &["--config", "config.toml"]].concat(), 3);
    let words = report["replay"]["words"].as_str().unwrap();
    assert!(words.ends_with("it exited with code 1: no table"), "{words}");
}

#[test]
fn what_goes_into_a_command_or_a_pipe_is_pending_too() {
    let desk = desk();
    add(&desk);
    let path = format!("docs@latest:{}/customer-17", desk.path("data").display());
    let dumped = desk.run(&["dump", &path]);
    check(&dumped, 3);
    assert_eq!(dumped.stdout, b"name and address");
    assert!(err(&dumped).contains("1 erasure not erased again"), "{}", err(&dumped));
    // One that died on the way is not forgotten.
    check(&desk.run(&["restore", &path, "--to-command", "--", "false"]), 1);
    let taken =
        desk.run(&["--json", "restore", &path, "--to-command", "--", "sort", "-o", "taken"]);
    check(&taken, 3);
    let report: Value = serde_json::from_slice(&taken.stdout).unwrap();
    assert_eq!(report["replay"]["is_done"], false, "{report}");
    let pending = status(&desk, 6);
    let runs = pending["runs"].as_array().unwrap();
    let operations: Vec<&str> = runs.iter().map(|run| run["operation"].as_str().unwrap()).collect();
    assert_eq!(operations, ["dump", "restore", "restore"], "{pending}");
    assert_eq!(runs[1]["words"], "the restore has begun");
    for run in runs {
        let run = run["run"].as_str().unwrap();
        let words = ["erasure", "replay", run, "--done", "--words", "the copy was shredded"];
        check(&desk.run(&words), 0);
    }
    assert_eq!(status(&desk, 0)["pending_count"], 0);
}

#[test]
fn retention_leaves_erasures_and_copies_have_them() {
    let desk = desk();
    let erasure = add(&desk);
    check(&desk.run(&["init", "--repo", "other", "--key-file", "other.key"]), 0);
    let copy = ["copy", "--to", "other", "--to-key-file", "other.key"];
    assert_eq!(desk.json(&copy, 0)["erasures"], 1);
    // Once, also if it is copied again or back.
    assert_eq!(desk.json(&copy, 0)["erasures"], 0);
    let back = desk.json(
        &[
            "copy",
            "--repo",
            "other",
            "--key-file",
            "other.key",
            "--to",
            "repo",
            "--to-key-file",
            "key",
        ],
        0,
    );
    assert_eq!(back["erasures"], 0);
    let there = desk.json(&["erasure", "list", "--repo", "other", "--key-file", "other.key"], 0);
    assert_eq!(there["erasures"][0]["erasure"], erasure.as_str());
    let origin = there["erasures"][0]["origin"].as_str().unwrap();
    assert!(origin.contains("/records/erasure/"), "{origin}");
    let of_copy = [
        "restore",
        "docs@latest",
        "--target",
        "back",
        "--repo",
        "other",
        "--key-file",
        "other.key",
    ];
    assert_eq!(desk.json(&of_copy, 3)["replay"]["erasures"][0], erasure.as_str());
    // A mirror has all records; a restore from it knows, and cannot record what it did.
    check(&desk.run(&["mirror", "--to", "mirror"]), 0);
    let of_mirror = desk.run(&["restore", "docs@latest", "--target", "back2", "--repo", "mirror"]);
    check(&of_mirror, 3);
    assert!(err(&of_mirror).contains("cannot be recorded"), "{}", err(&of_mirror));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["forget", "--keep-last", "1", "--accept-policy", "--prune"]), 0);
    let listed = desk.json(&["erasure", "list"], 0);
    assert_eq!(listed["erasures"][0]["erasure"], erasure.as_str());
    let gone = status(&desk, 0);
    assert_eq!((&gone["is_gone"], &gone["expires"]), (&true.into(), &Value::Null), "{gone}");
}

#[test]
fn a_status_says_what_holds_older_data_and_until_when() {
    let desk = desk();
    add(&desk);
    let file = format!(
        "[repository]\nurl = '{0}'\n[[copy]]\nname = 'far'\nmode = 'mirror'\nurl = '{1}'\n[[copy]]\nname = 'near'\nmode = 'snapshots'\nurl = '{1}-not'\nkey_file = '{2}'\n",
        desk.path("repo").display(),
        desk.path("far").display(),
        desk.path("key").display(),
    );
    desk.put("config.toml", file.as_bytes());
    let at = |exit: i32| {
        desk.json(&["erasure", "status", "--config", "config.toml"], exit)["erasures"][0].clone()
    };
    let before = status(&desk, 0);
    let older = &before["places"][0]["snapshots"][0];
    assert_eq!((&older["expires"], &before["expires"]), (&Value::Null, &Value::Null));
    assert!(older["why"].as_str().unwrap().contains("no policy was accepted"), "{older}");
    check(&desk.run(&["forget", "--keep-daily", "7", "--accept-policy"]), 0);
    check(&desk.run(&["mirror", "--to", "far"]), 0);
    // The second copy was never made.
    let found = at(7);
    assert_eq!(found["places"][0]["place"], "repository");
    assert!(found["places"][2]["error"].as_str().is_some(), "{found}");
    assert_eq!(found["expires"], Value::Null, "what is not known may be the last");
    for place in [0, 1] {
        let older = &found["places"][place]["snapshots"][0];
        assert!(older["why"].as_str().unwrap().starts_with("daily "), "{older}");
        // Seven days with newer ones push it out, and no day less.
        let seconds =
            |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
        let days = (seconds(&older["expires"]) - seconds(&older["data_time"])) / 86_400;
        assert_eq!(days, 7, "{older}");
    }
    check(&desk.run(&["hold", "docs@latest", "--reason", "lawsuit"]), 0);
    let held = status(&desk, 0);
    let older = &held["places"][0]["snapshots"][0];
    assert_eq!(older["expires"], Value::Null);
    assert!(older["why"].as_str().unwrap().starts_with("held: lawsuit; daily"), "{older}");
    let words = out(&desk.run(&["erasure", "status"]));
    assert!(words.contains("no end can be said (held: lawsuit"), "{words}");
}

#[test]
fn roles_sign_what_is_theirs_and_senseless_erasures_are_refused() {
    let desk = desk();
    let refused = [
        (&["--source", "docs", "--subject", "two\nlines"][..], "one line"),
        (&["--source", "docs", "--subject", ""], "one line"),
        (&["--source", "docs", "--subject", "x", "--erased-at", "2199-01-01"], "in the future"),
    ];
    for (words, why) in refused {
        let output = desk.run(&[&["erasure", "add"], words].concat());
        check(&output, 2);
        assert!(err(&output).contains(why), "{}", err(&output));
    }
    for role in ["writer", "reader"] {
        let file = format!("{role}.key");
        check(&desk.run(&["key", "add", "--role", role, "--new-key-file", &file]), 0);
    }
    let add = ["erasure", "add", "--source", "docs", "--subject", "customer-17", "--key-file"];
    check(&desk.run(&[&add[..], &["reader.key"]].concat()), 15);
    check(&desk.run(&[&add[..], &["writer.key"]].concat()), 0);
    configure(&desk, 0);
    let restored = desk.json(
        &[&RESTORE[..], &["--key-file", "reader.key", "--config", "config.toml"]].concat(),
        0,
    );
    assert_eq!(restored["replay"]["is_done"], true);
    assert_eq!(status(&desk, 0)["runs"][0]["is_done"], true);
    check(&desk.run(&["erasure", "status", "ffff"]), 2);
    check(&desk.run(&["erasure", "status", "f"]), 2);
}
