//! `prune` as people and scripts see it, and what another reader makes of what it leaves.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::reader::python;
use crate::support::bytes_of;
use std::fs;
use std::process::Command;

/// A repository with a snapshot that is forgotten and one that shares some of its data.
fn with_waste() -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/large", &bytes_of(1, 6_000_000, 256));
    desk.put("data/kept", &bytes_of(2, 2_500_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    fs::remove_file(desk.path("data/large")).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let listed = desk.json(&["snapshots"], 0);
    let first = listed["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    check(&desk.run(&["forget", &first]), 0);
    desk
}

fn packs_bytes(desk: &Desk) -> u64 {
    desk.place.bytes_below("packs")
}

#[test]
fn a_dry_run_tells_the_plan_and_a_prune_carries_it_out() {
    let desk = with_waste();
    let before = packs_bytes(&desk);
    let planned = desk.json(&["prune", "--dry-run"], 0);
    assert_eq!(planned["state"], "planned");
    assert_eq!(packs_bytes(&desk), before);
    let freed = planned["plan"]["freed_bytes"].as_u64().unwrap();
    assert!(freed > 5_000_000, "{planned}");
    let done = desk.json(&["prune"], 0);
    assert_eq!(done["state"], "done");
    assert!(before - packs_bytes(&desk) > 5_000_000, "{done}");
    check(&desk.run(&["check", "--read-data"]), 0);
    let inside = format!("docs@latest:{}/kept", desk.path("data").display());
    assert_eq!(desk.run(&["dump", &inside]).stdout, bytes_of(2, 2_500_000, 256));
    let nothing = desk.run(&["prune"]);
    check(&nothing, 0);
    assert!(err(&nothing).contains("nothing to delete"), "{}", err(&nothing));
}

#[test]
fn a_prune_tells_each_kind_of_byte_in_words() {
    let desk = with_waste();
    let output = desk.run(&["prune", "--dry-run"]);
    check(&output, 0);
    for words in ["stays: needed", "tolerated waste", "goes: repacked", "freed in all"] {
        assert!(out(&output).contains(words), "{}", out(&output));
    }
    assert!(err(&output).contains("nothing was changed"), "{}", err(&output));
    // So much waste may stay.
    let tolerant = desk.json(&["prune", "--dry-run", "--max-unused", "10GiB"], 0);
    assert_eq!(tolerant["plan"]["repacked_packs"], 0);
    assert!(tolerant["plan"]["tolerated_bytes"].as_u64().unwrap() > 5_000_000, "{tolerant}");
    let bounded = desk.json(&["prune", "--dry-run", "--max-repack", "1MiB"], 0);
    assert!(bounded["plan"]["repacked_bytes"].as_u64().unwrap() < 1 << 20, "{bounded}");
}

#[test]
fn a_prune_refuses_roles_and_values_that_make_no_sense() {
    let desk = Desk::with_repository();
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    check(&desk.run(&["--key-file", "writer", "prune"]), 15);
    check(&desk.run(&["--key-file", "writer", "prune", "--dry-run"]), 15);
    for wrong in [["--max-unused", "101%"], ["--max-repack", "many"], ["--fence-after", "soon"]] {
        check(&desk.run(&["prune", wrong[0], wrong[1]]), 2);
    }
    check(&desk.run(&["prune", "--fence-now", "--fence-after", "1h"]), 2);
}

#[test]
fn the_reader_in_python_reads_what_a_prune_without_the_data_key_leaves() {
    let python = python();
    let desk = with_waste();
    check(&desk.run(&["key", "add", "--role", "pruner", "--new-key-file", "pruner"]), 0);
    check(&desk.run(&["--key-file", "pruner", "prune", "--max-unused", "0%"]), 0);
    let reader = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg("tools/reader.py").arg(desk.path("repo"));
        command.arg("--key-file").arg(desk.path("key")).args(arguments).output().unwrap()
    };
    let checked = reader(&["check"]);
    check(&checked, 0);
    assert!(out(&checked).contains("0 findings"), "{}", out(&checked));
    let back = desk.path("back");
    check(&reader(&["restore", "latest", back.to_str().unwrap()]), 0);
    let restored = back.join(desk.path("data/kept").strip_prefix("/").unwrap());
    assert_eq!(fs::read(restored).unwrap(), bytes_of(2, 2_500_000, 256));
}

#[test]
fn a_prune_waits_for_no_snapshot_that_failed_and_the_next_one_uses_what_it_stored() {
    let desk = with_waste();
    desk.put("dumped", &bytes_of(3, 9_000_000, 256));
    let script = format!("cat {}; exit 1", desk.path("dumped").display());
    let dump = |script: &str| {
        desk.run(&["snapshot", "--stdin-name", "dump", "--from-command", "--", "sh", "-c", script])
    };
    check(&dump(&script), 4);
    let stored = packs_bytes(&desk);
    check(&dump(&script.replace("exit 1", "exit 0")), 0);
    assert!(packs_bytes(&desk) < stored + 1_000_000);
    check(&dump(&script), 4);
    assert_eq!(desk.json(&["prune"], 0)["state"], "done");
    check(&desk.run(&["check", "--read-data"]), 0);
}
