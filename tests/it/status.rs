//! `status`: what it shows, and what it expects.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use std::fs;

#[test]
fn the_newest_complete_snapshot_of_each_source_is_shown_with_its_age() {
    let desk = Desk::with_repository();
    let empty = desk.run(&["status"]);
    check(&empty, 0);
    assert!(out(&empty).contains("there is no snapshot"), "{}", out(&empty));
    check(&desk.run(&["status", "--expect-newer-than", "1h"]), 6);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let old = ["snapshot", "data", "--source", "ledger", "--time", "2026-01-31T12:00:00Z"];
    check(&desk.run(&old), 0);
    let shown = desk.run(&["status"]);
    check(&shown, 0);
    assert!(out(&shown).contains("docs") && out(&shown).contains("ledger"), "{}", out(&shown));
    let report = desk.json(&["status"], 0)["status"].clone();
    assert_eq!(report["sources"]["docs"]["snapshots"], 1);
    assert!(report["sources"]["docs"]["age_seconds"].as_u64().unwrap() < 3600, "{report}");
    assert_eq!(report["coverage"]["covered_packs"], 0);
    assert_eq!(report["open_sessions"], 0);

    let fresh = ["status", "--expect-newer-than", "1h", "--source"];
    check(&desk.run(&[&fresh[..], &["docs"]].concat()), 0);
    let missed = desk.run(&[&fresh[..], &["ledger"]].concat());
    check(&missed, 6);
    assert!(err(&missed).contains("ledger is too old"), "{}", err(&missed));
    let unknown = desk.json(&["status", "--source", "nothing"], 6)["status"].clone();
    assert_eq!(unknown["missed"][0]["words"], "nothing has no complete snapshot");
    check(&desk.run(&["status", "--expect-newer-than", "yesterday"]), 2);
}

#[test]
fn what_was_read_in_full_can_be_expected() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let expect = ["status", "--expect-read-within", "30"];
    let missed = desk.run(&expect);
    check(&missed, 6);
    assert!(err(&missed).contains("not every pack was read"), "{}", err(&missed));
    check(&desk.run(&["check", "--read-data"]), 0);
    let fine = desk.run(&expect);
    check(&fine, 0);
    assert!(err(&fine).contains("100 % of the stored bytes"), "{}", err(&fine));
    // An auditor has not the keys to know, nor what others know here.
    fs::remove_dir_all(desk.path("cache")).ok();
    check(&desk.run(&["key", "add", "--role", "auditor", "--new-key-file", "auditor"]), 0);
    check(&desk.run(&["status", "--key-file", "auditor"]), 0);
    check(&desk.run(&["status", "--expect-read-within", "30", "--key-file", "auditor"]), 6);
}

#[test]
fn incomplete_snapshots_do_not_count() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    // The memory of a process reads as an error, also for root.
    let unreadable = format!("/proc/{}/mem", std::process::id());
    check(&desk.run(&["snapshot", "data", &unreadable, "--source", "docs"]), 3);
    let report = desk.json(&["status"], 0)["status"]["sources"]["docs"].clone();
    assert_eq!((&report["snapshots"], &report["newer_incomplete"]), (&2.into(), &1.into()));
    let shown = desk.run(&["status"]);
    assert!(out(&shown).contains("lacks something"), "{}", out(&shown));
    // Damage counts for more than age.
    for entry in fs::read_dir(desk.path("repo/manifests")).unwrap() {
        for manifest in fs::read_dir(entry.unwrap().path()).unwrap() {
            fs::remove_file(manifest.unwrap().path()).unwrap();
        }
    }
    fs::remove_dir_all(desk.path("cache")).ok();
    check(&desk.run(&["status", "--expect-newer-than", "1h"]), 5);
}
