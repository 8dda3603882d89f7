//! `prune` as people and scripts see it, and what another reader makes of what it leaves.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::reader::python;
use crate::support::bytes_of;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
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

/// A prune that finds nothing to do, so that the next one remembers it.
#[track_caller]
fn idles(desk: &Desk) {
    for _first_remembers in 0..2 {
        assert_eq!(desk.json(&["prune"], 0)["state"], "nothing");
    }
}

/// What would be done is the same without a memory; returns it.
#[track_caller]
fn planned(desk: &Desk, options: &[&str], case: &str) -> Value {
    let arguments = [&["prune", "--dry-run"], options].concat();
    let with = desk.json(&arguments, 0)["plan"].clone();
    let without = desk.json(&[&arguments[..], &["--no-cache"]].concat(), 0)["plan"].clone();
    assert_eq!(with, without, "{case}");
    with
}

#[test]
fn a_prune_reads_nothing_again_while_nothing_changed() {
    let desk = Desk::with_repository();
    desk.put("data/large", &bytes_of(1, 3_000_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    assert_eq!(desk.json(&["prune"], 0)["state"], "done");
    idles(&desk);
    // Trees that cannot be read show who reads them.
    let moved = desk.path("moved");
    fs::rename(desk.path("repo/packs"), &moved).unwrap();
    copy_damaged(&moved, &desk.path("repo/packs"));
    let nothing = desk.json(&["prune"], 0);
    assert_eq!(nothing["state"], "nothing");
    assert_eq!(nothing["plan"]["snapshots"], 1);
    check(&desk.run(&["prune", "--no-cache"]), 5);
    check(&desk.run(&["prune", "--max-unused", "0"]), 5);
    fs::remove_dir_all(desk.path("repo/packs")).unwrap();
    fs::rename(&moved, desk.path("repo/packs")).unwrap();
    // A memory that is torn or of another repository is none.
    let memory = memory_of(&desk);
    for torn in [&b"torn"[..], &[0; 200]] {
        fs::remove_file(&memory).unwrap();
        fs::File::create(&memory).unwrap().write_all(torn).unwrap();
        idles(&desk);
    }
}

#[test]
fn a_prune_that_remembers_an_idle_one_sees_whatever_changed_since() {
    let desk = Desk::with_repository();
    desk.put("data/large", &bytes_of(1, 6_000_000, 256));
    desk.put("data/kept", &bytes_of(2, 2_500_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    fs::remove_file(desk.path("data/large")).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["prune"]), 0);
    idles(&desk);
    planned(&desk, &[], "nothing changed");
    let listed = desk.json(&["snapshots"], 0);
    let first = listed["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    check(&desk.run(&["forget", &first]), 0);
    let plan = planned(&desk, &[], "a snapshot is forgotten");
    assert_eq!(plan["forgotten_snapshots"], 1);
    check(&desk.run(&["forget", "--undo", &first]), 0);
    assert_eq!(planned(&desk, &[], "and is not any more")["forgotten_snapshots"], 0);
    idles(&desk);
    check(&desk.run(&["forget", &first]), 0);
    check(&desk.run(&["prune", "--max-unused", "99%"]), 0);
    assert_eq!(desk.json(&["prune", "--max-unused", "99%"], 0)["state"], "nothing");
    let plan = planned(&desk, &["--max-unused", "99%"], "waste is tolerated");
    assert!(plan["tolerated_bytes"].as_u64().unwrap() > 1_000_000, "{plan}");
    let plan = planned(&desk, &["--max-unused", "0"], "and is not any more");
    assert!(plan["freed_bytes"].as_u64().unwrap() > 1_000_000, "{plan}");
    // A run that stored something and came to nothing.
    desk.put("dumped", &bytes_of(3, 3_000_000, 256));
    let script = format!("cat {}; exit 1", desk.path("dumped").display());
    let dump = ["snapshot", "--stdin-name", "dump", "--from-command", "--", "sh", "-c", &script];
    check(&desk.run(&dump), 4);
    let plan = planned(&desk, &["--max-unused", "99%"], "packs without a snapshot");
    assert!(plan["orphaned_bytes"].as_u64().unwrap() > 2_000_000, "{plan}");
    check(&desk.run(&["prune"]), 0);
    idles(&desk);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    assert_eq!(desk.json(&["prune"], 0)["state"], "done");
    check(&desk.run(&["check", "--read-data"]), 0);
}

#[test]
fn a_prune_that_remembers_an_idle_one_frees_what_a_session_stored_that_is_given_up_since() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["prune"]), 0);
    let count = "find repo/packs -type f | wc -l";
    // More than a pack, so that one is stored before the run is killed.
    let script = format!(
        "before=$({count}); head -c 80000000 /dev/urandom; \
         while [ $({count}) -eq $before ]; do :; done; kill -9 $PPID"
    );
    let dump = ["snapshot", "--stdin-name", "dump", "--from-command", "--", "sh", "-c", &script];
    assert_eq!(desk.run(&dump).status.code(), None, "the run is killed");
    idles(&desk);
    let plan = planned(&desk, &[], "the session may still commit");
    assert!(plan["open_bytes"].as_u64().unwrap() > 30_000_000, "{plan}");
    let freed = desk.json(&["prune", "--fence-now"], 0);
    assert_eq!(freed["state"], "done");
    assert!(freed["removed_bytes"].as_u64().unwrap() > 30_000_000, "{freed}");
    check(&desk.run(&["check", "--read-data"]), 0);
}

fn memory_of(desk: &Desk) -> PathBuf {
    let mut folders = fs::read_dir(desk.path("cache")).unwrap();
    folders.next().unwrap().unwrap().path().join("idle")
}

/// Copies files with their lengths and other bytes.
fn copy_damaged(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_damaged(&path, &place);
        } else {
            let bytes: Vec<u8> = fs::read(&path).unwrap().iter().map(|byte| !byte).collect();
            fs::File::create(place).unwrap().write_all(&bytes).unwrap();
        }
    }
}
