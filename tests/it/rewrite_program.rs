//! `rewrite` as people and scripts see it: the tree that it makes, what stays, and how that goes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::reader::python;
use crate::support::bytes_of;
use serde_json::Value;
use std::fs;
use std::process::Command;

fn back_up(desk: &Desk, source: &str, more: &[&str]) -> String {
    let report = desk.json(&[&["snapshot", "data", "--source", source], more].concat(), 0);
    report["snapshot"].as_str().unwrap().to_owned()
}

fn row(desk: &Desk, id: &str) -> Value {
    let rows = desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["snapshot"] == id).unwrap()
}

fn new_of(report: &Value, number: usize) -> String {
    report["snapshots"][number]["new"].as_str().unwrap().to_owned()
}

fn fill(desk: &Desk) {
    fs::create_dir_all(desk.path("data/many/jane")).unwrap();
    for number in 0..3000 {
        desk.put(&format!("data/many/a-file-with-a-long-name-{number}"), b"");
    }
    for number in 0..200 {
        desk.put(&format!("data/many/jane/a-letter-with-a-long-name-{number}"), b"private");
    }
    desk.put("data/large", &bytes_of(1, 3_000_000, 256));
    desk.put("data/inner/jane.txt", &bytes_of(2, 50_000, 256));
}

#[test]
fn a_rewrite_is_what_a_snapshot_with_the_same_patterns_is() {
    let desk = Desk::with_repository();
    fill(&desk);
    for patterns in [
        &["--exclude", "jane*"][..],
        &["--exclude", "*-1?", "--exclude", "large", "--exclude", "inner/"],
        &["--exclude", "/**/many/jane/", "--exclude", "*", "--exclude", "!*/", "--exclude", "!*7"],
    ] {
        // Directories above change by themselves now and then: others work beside them.
        let is_same = (0..20).any(|_attempt| {
            let full = back_up(&desk, "docs", &[]);
            let without = back_up(&desk, "without", patterns);
            let report = desk.json(&[&["rewrite", &full], patterns].concat(), 0);
            let new = new_of(&report, 0);
            let (made, expected) = (row(&desk, &new), row(&desk, &without));
            let (made, expected) = (&made["manifest"], &expected["manifest"]);
            assert_eq!(made["totals"], expected["totals"], "{patterns:?}");
            assert_eq!(made["source"], "docs");
            made["root"] == expected["root"]
        });
        assert!(is_same, "{patterns:?}: the tree is another one");
    }
    check(&desk.run(&["check", "--read-data"]), 0);
}

#[test]
fn what_is_left_out_is_gone_after_a_forget_and_a_prune() {
    let desk = Desk::with_repository();
    fill(&desk);
    let first = back_up(&desk, "docs", &["--tag", "stated"]);
    desk.put("data/a.txt", b"changed");
    let second = back_up(&desk, "docs", &[]);
    check(&desk.run(&["tag", &first, "--add", "new"]), 0);
    check(&desk.run(&["note", &first, "before"]), 0);
    let before = row(&desk, &first);

    let dry = desk.json(&["rewrite", &first, "--exclude", "jane*", "--dry-run"], 0);
    assert_eq!(dry["snapshots"][0]["state"], "would_rewrite");
    assert_eq!(dry["snapshots"][0]["entries"], 202);
    assert_eq!(dry["still"].as_array().unwrap().len(), 2);
    assert_eq!(desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len(), 2);

    let report = desk.json(&["rewrite", &first, "--exclude", "jane*", "--reason", "erasure"], 0);
    let new = new_of(&report, 0);
    let after = row(&desk, &new);
    for kept in ["source", "times", "host", "paths", "kind", "command"] {
        let (old, new) = (&before["manifest"][kept], &after["manifest"][kept]);
        if kept == "times" {
            assert_eq!(old["data"], new["data"]);
        } else {
            assert_eq!(old, new, "{kept}");
        }
    }
    assert_eq!(after["replaces"], first.as_str());
    assert_eq!(after["tags"], serde_json::json!(["stated", "new"]));
    assert_eq!(after["notes"][0]["text"], "before");
    let still: Vec<&Value> =
        report["still"].as_array().unwrap().iter().map(|one| &one["snapshot"]).collect();
    assert_eq!(still.len(), 2, "{report}");
    let words = err(&desk.run(&["rewrite", &first, "--exclude", "jane*"]));
    let steps = format!(
        "run `sbf-repo rewrite {}` without it, too, then `sbf-repo forget {}`, then `sbf-repo prune`",
        &second[..8],
        &first[..8]
    );
    assert!(words.contains(&steps), "{words}");
    // Once more makes nothing new.
    let again = desk.json(&["rewrite", &first, "--exclude", "jane*"], 0);
    assert_eq!(again["snapshots"][0]["state"], "present");
    assert_eq!(new_of(&again, 0), new);
    let clean = desk.run(&["rewrite", &new, "--exclude", "jane*"]);
    check(&clean, 1);
    assert!(err(&clean).contains("has nothing of that"), "{}", err(&clean));

    let told = desk.run(&["rewrite", &first, &second, "--exclude", "jane*", "--forget"]);
    check(&told, 0);
    assert!(
        err(&told).contains("still has it until a prune, as it was forgotten"),
        "{}",
        err(&told)
    );
    assert!(err(&told).contains("run `sbf-repo prune`"), "{}", err(&told));
    assert_eq!(desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len(), 2);
    check(&desk.run(&["find", "jane*"]), 1);
    check(&desk.run(&["prune", "--max-unused", "0"]), 0);
    let gone = desk.json(&["rewrite", "docs@latest", "--exclude", "jane*"], 1);
    assert_eq!(gone["still"].as_array().unwrap().len(), 0, "{gone}");
    check(&desk.run(&["check", "--read-data"]), 0);
    let inside = format!("latest:{}", desk.path("data").display());
    check(&desk.run(&["restore", &inside, "--target", "back"]), 0);
    assert_eq!(fs::read(desk.path("back/large")).unwrap(), bytes_of(1, 3_000_000, 256));
    assert!(!desk.path("back/inner/jane.txt").exists());
    let reader = Command::new(python())
        .arg("tools/reader.py")
        .arg(desk.path("repo"))
        .arg("--key-file")
        .arg(desk.path("key"))
        .arg("check")
        .output()
        .unwrap();
    check(&reader, 0);
}

#[test]
fn a_policy_takes_a_rewritten_snapshot_for_one_of_its_old_time() {
    let desk = Desk::with_repository();
    desk.put("data/jane", b"private");
    let mut ids = Vec::new();
    for day in 1..=5 {
        ids.push(back_up(&desk, "docs", &["--time", &format!("2024-01-0{day}T00:00:00Z")]));
    }
    let policy = ["forget", "--keep-daily", "3"];
    check(&desk.run(&[&policy[..], &["--accept-policy", "--dry-run"]].concat()), 0);
    check(&desk.run(&["rewrite", &ids[1], &ids[3], "--exclude", "jane", "--forget"]), 0);
    let report = desk.json(&[&policy[..], &["--accept-policy"]].concat(), 0);
    assert_eq!(report["forgotten_count"], 2, "{report}");
    let days: Vec<String> = desk.json(&["snapshots"], 0)["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["manifest"]["times"]["data"].as_str().unwrap()[..10].to_owned())
        .collect();
    assert_eq!(days, ["2024-01-03", "2024-01-04", "2024-01-05"]);
}

#[test]
fn paths_that_were_backed_up_by_name_go_with_their_names() {
    let desk = Desk::with_repository();
    fs::create_dir(desk.path("jane")).unwrap();
    desk.put("jane/letter", b"private");
    let report = desk.json(&["snapshot", "data", "jane", "--source", "docs"], 0);
    let id = report["snapshot"].as_str().unwrap();
    let pattern = desk.path("jane").display().to_string();
    let report = desk.json(&["rewrite", id, "--exclude", &pattern], 0);
    let after = row(&desk, &new_of(&report, 0));
    assert_eq!(after["manifest"]["paths"], serde_json::json!([desk.path("data")]));
    assert!(!after.to_string().contains("jane"), "{after}");
    // What leads to the others stays, whatever matches it.
    let folder = desk.path("").file_name().unwrap().to_str().unwrap().to_owned();
    let report = desk.json(&["rewrite", id, "--exclude", &folder], 1);
    assert_eq!(report["snapshots"][0]["state"], "unchanged", "{report}");
    assert_eq!(report["still"].as_array().unwrap().len(), 0, "{report}");
}

#[test]
fn what_is_held_or_makes_no_sense_is_refused() {
    let desk = Desk::with_repository();
    desk.put("data/jane", b"private");
    let id = back_up(&desk, "docs", &[]);
    check(&desk.run(&["hold", &id, "--reason", "a lawsuit"]), 0);
    let refused = desk.run(&["rewrite", &id, "--exclude", "jane", "--forget"]);
    check(&refused, 14);
    assert!(err(&refused).contains("nothing was rewritten"), "{}", err(&refused));
    assert_eq!(desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len(), 1);
    // Without that, the old one stays held beside the new one.
    check(&desk.run(&["rewrite", &id, "--exclude", "jane"]), 0);
    for wrong in [
        vec!["rewrite", &id],
        vec!["rewrite", "--exclude", "x"],
        vec!["rewrite", &id, "--exclude", "{a"],
        vec!["rewrite", "latest:/a", "--exclude", "x"],
    ] {
        check(&desk.run(&wrong), 2);
    }
    check(&desk.run(&["rewrite", "nobody@latest", "--exclude", "x"]), 1);
}
