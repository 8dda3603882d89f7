//! How much was read in full, and how long ago: what checks record, and what they read next.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use serde_json::Value;
use std::fs;
use std::process::Command;

/// A repository of several packs: each snapshot stores at least a data pack and a tree pack.
fn packs() -> (Desk, u64) {
    let desk = Desk::with_repository();
    for number in 0..4_u8 {
        desk.put("data/a.txt", &[number; 1000]);
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    }
    let packs = desk.json(&["check"], 0)["packs"].as_u64().unwrap();
    assert!(packs >= 8, "{packs}");
    (desk, packs)
}

fn covered(report: &Value) -> u64 {
    report["coverage"]["covered_packs"].as_u64().unwrap()
}

#[test]
fn a_check_records_what_it_read() {
    let (desk, packs) = packs();
    let before = desk.run(&["check"]);
    assert!(err(&before).contains("no pack was read in full yet"), "{}", err(&before));
    let report = desk.json(&["check", "--read-data"], 0);
    assert_eq!((covered(&report), &report["packs_read"]), (packs, &packs.into()));
    let later = desk.run(&["check"]);
    assert!(
        err(&later).contains("100 % of the stored bytes read in full within 1 day"),
        "{}",
        err(&later)
    );
    assert_eq!(desk.json(&["stats"], 0)["stats"]["coverage"]["covered_packs"], packs);
    // What is stored later is not covered.
    desk.put("data/a.txt", b"new");
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let report = desk.json(&["check"], 0);
    assert_eq!(covered(&report), packs);
    assert!(report["packs"].as_u64().unwrap() > packs);
}

#[test]
fn subsets_read_everything_in_turn_the_oldest_first() {
    let (desk, packs) = packs();
    let mut before = 0;
    let mut runs = 0;
    while before < packs {
        let report = desk.json(&["check", "--read-data-subset", "1/3"], 0);
        let (now, read) = (covered(&report), report["packs_read"].as_u64().unwrap());
        assert!(now == before + read || now == packs, "{now} after {before} and {read}");
        assert!(now > before, "a run read nothing new");
        (before, runs) = (now, runs + 1);
    }
    assert!((2..=3).contains(&runs), "{runs} runs");
    for (subset, exit) in [("1%", 0), ("1", 0), ("0/3", 2), ("4/3", 2), ("x", 2)] {
        let output = desk.run(&["check", "--read-data-subset", subset]);
        check(&output, exit);
        assert!(exit != 0 || err(&output).contains("(1 pack and "), "{subset}: {}", err(&output));
    }
}

#[test]
fn a_pack_that_was_found_damaged_is_not_covered() {
    let (desk, packs) = packs();
    check(&desk.run(&["check", "--read-data"]), 0);
    let listed =
        Command::new("find").arg(desk.path("repo/packs")).args(["-type", "f"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    // Content, not a tree: that is read by every check. All content shrinks to less than any tree.
    let pack = listed.lines().min_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(pack).unwrap();
    let sound = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(pack).unwrap();
    fs::write(pack, bytes).unwrap();
    assert_eq!(covered(&desk.json(&["check", "--read-data"], 5)), packs - 1);
    assert_eq!(covered(&desk.json(&["check"], 0)), packs - 1);
    fs::write(pack, sound).unwrap();
    // It is the one that was not read for longest.
    assert_eq!(covered(&desk.json(&["check", "--read-data-subset", "1"], 0)), packs);
}

#[test]
fn a_reader_records_what_it_read_and_an_auditor_cannot() {
    let (desk, packs) = packs();
    for role in ["reader", "auditor"] {
        let file = format!("{role}.key");
        check(&desk.run(&["key", "add", "--role", role, "--new-key-file", &file]), 0);
    }
    check(&desk.run(&["--key-file", "reader.key", "check", "--read-data"]), 0);
    assert_eq!(covered(&desk.json(&["check"], 0)), packs);
    check(&desk.run(&["audit", "verify"]), 0);
    let refused = desk.run(&["--key-file", "reader.key", "hold", "latest", "--reason", "x"]);
    check(&refused, 15);
}
