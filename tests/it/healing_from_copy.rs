//! What a repository lost is stored again from a copy of it.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::deltas::day;
use crate::support::bytes_of;
use sbf_repo::key::ObjectKey;
use serde_json::Value;
use std::fs;
use std::process::Output;

const HEAL: [&str; 4] = ["check", "--read-data", "--heal-from", "copy"];

fn with_copy() -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/long", &bytes_of(1, 3_000_000, 256));
    desk.put("data/short", &bytes_of(2, 30_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    desk.put("data/short", &bytes_of(2, 40_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["mirror", "--to", "copy"]), 0);
    desk
}

#[track_caller]
fn run(desk: &Desk, arguments: &[&str], exit: i32) -> Output {
    let _none = fs::remove_dir_all(desk.path("cache"));
    let output = desk.run(arguments);
    check(&output, exit);
    output
}

#[track_caller]
fn restores(desk: &Desk) {
    for (name, content) in
        [("long", bytes_of(1, 3_000_000, 256)), ("short", bytes_of(2, 40_000, 256))]
    {
        let inside = format!("docs@latest:{}/{name}", desk.path("data").display());
        let dumped = run(desk, &["dump", &inside], 0);
        assert!(dumped.stdout == content, "{name} is another one");
    }
}

fn flip(bytes: &mut [u8]) {
    let step = bytes.len().div_ceil(40);
    bytes.iter_mut().step_by(step).for_each(|byte| *byte ^= 1);
}

fn break_packs(desk: &Desk, how: &str) -> Vec<ObjectKey> {
    let mut packs = desk.place.keys("packs");
    match how {
        "one is damaged" => {
            packs = vec![desk.place.longest("packs")];
            desk.place.alter(&packs[0], |bytes| flip(bytes));
        }
        "one is cut short" => {
            packs = vec![desk.place.longest("packs")];
            desk.place.alter(&packs[0], |bytes| bytes.truncate(1000));
        }
        "one is missing" => {
            packs = vec![desk.place.longest("packs")];
            desk.place.remove(packs[0].as_str());
        }
        "all are damaged" => {
            for pack in &packs {
                desk.place.alter(pack, |bytes| flip(bytes));
            }
        }
        _ => desk.place.remove("packs"),
    }
    packs
}

#[test]
fn packs_are_stored_again_and_the_damaged_ones_go_with_the_next_prune() {
    for how in [
        "one is damaged",
        "one is cut short",
        "one is missing",
        "all are damaged",
        "all are missing",
    ] {
        let desk = with_copy();
        let broken = break_packs(&desk, how);
        run(&desk, &["check", "--read-data"], 5);
        let healed = run(&desk, &HEAL, 0);
        let told = err(&healed);
        let count = broken.len();
        assert!(told.contains(&format!("healed {count} of {count} broken pack")), "{how}: {told}");
        restores(&desk);
        // The old ones are named for what they are, and no more.
        let again = run(&desk, &["check", "--read-data"], 0);
        assert!(err(&again).contains("other packs have all that it held"), "{}", err(&again));
        run(&desk, &["prune"], 0);
        let left = desk.place.keys("packs");
        assert!(!left.is_empty() && broken.iter().all(|pack| !left.contains(pack)), "{how}");
        let clean = run(&desk, &["check", "--read-data"], 0);
        assert!(
            !err(&clean).contains("superseded") && !err(&clean).contains("notice"),
            "{how}: {}",
            err(&clean)
        );
        restores(&desk);
        // Nothing is left to heal.
        let idle = run(&desk, &HEAL, 0);
        assert!(err(&idle).contains("healed 0 of 0 broken packs"), "{}", err(&idle));
        // And the copy follows.
        run(&desk, &["mirror", "--to", "copy"], 0);
        run(&desk, &["--repo", "copy", "check", "--read-data"], 0);
    }
}

#[test]
fn a_damaged_base_is_healed_and_what_was_made_after_it_comes_back() {
    let desk = Desk::with_repository();
    let mut snapshots = Vec::new();
    for number in 0..3 {
        desk.put("dumped", &day(number));
        let back_up = ["--json", "snapshot", "--source", "db", "--stdin-name", "app.sql"];
        let command = ["--from-command", "--", "cat", "dumped"];
        let report = desk.run(&[&back_up[..], &command].concat());
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        snapshots.push(report["snapshot"].as_str().unwrap().to_owned());
    }
    check(&desk.run(&["mirror", "--to", "copy"]), 0);
    for how in ["one is damaged", "one is missing"] {
        break_packs(&desk, how);
        run(&desk, &["dump", &format!("{}:/app.sql", snapshots[2])], 5);
        let healed = run(&desk, &HEAL, 0);
        // Those that were only made after it are as they should be.
        assert!(err(&healed).contains("healed 1 of 1 broken pack"), "{how}: {}", err(&healed));
        let come_back = || {
            for (number, snapshot) in (0..).zip(&snapshots) {
                let dumped = run(&desk, &["dump", &format!("{snapshot}:/app.sql")], 0);
                assert!(dumped.stdout == day(number), "{how}: day {number} is another one");
            }
        };
        come_back();
        run(&desk, &["check", "--read-data"], 0);
        run(&desk, &["prune"], 0);
        run(&desk, &["check", "--read-data"], 0);
        come_back();
        run(&desk, &["mirror", "--to", "copy"], 0);
    }
}

#[test]
fn objects_that_are_missing_are_created_again() {
    for folder in ["index", "manifests", "ids"] {
        let desk = with_copy();
        let keys = desk.place.keys(folder);
        for key in &keys {
            desk.place.remove(key.as_str());
        }
        let healed = run(&desk, &HEAL, 0);
        assert!(err(&healed).contains("created again: "), "{folder}: {}", err(&healed));
        assert_eq!(desk.place.keys(folder), keys, "{folder}");
        run(&desk, &["check", "--read-data"], 0);
        restores(&desk);
        run(&desk, &["prune"], 0);
        restores(&desk);
    }
    let desk = with_copy();
    desk.place.remove("config");
    run(&desk, &HEAL, 0);
    restores(&desk);
}

#[test]
fn a_damaged_object_that_is_no_pack_stays_and_is_said() {
    let desk = with_copy();
    let manifest = desk.place.keys("manifests").remove(0);
    desk.place.alter(&manifest, |bytes| flip(bytes));
    run(&desk, &HEAL, 5);
    // Where it is taken away, nothing stands in the way.
    desk.place.remove(manifest.as_str());
    run(&desk, &HEAL, 0);
    run(&desk, &["check", "--read-data"], 0);
}

#[test]
fn a_copy_that_is_damaged_itself_heals_nothing() {
    let desk = with_copy();
    let pack = desk.place.longest("packs");
    desk.place.alter(&pack, |bytes| flip(bytes));
    let in_copy = desk.path("copy").join(pack.as_str());
    let mut bytes = fs::read(&in_copy).unwrap();
    flip(&mut bytes);
    fs::remove_file(&in_copy).unwrap();
    let mut file = fs::File::create(&in_copy).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    let before = desk.place.keys("packs");
    let failed = run(&desk, &HEAL, 5);
    assert!(err(&failed).contains("no copy has it whole"), "{}", err(&failed));
    assert!(out(&failed).contains("data/long"), "{}", out(&failed));
    assert_eq!(desk.place.keys("packs"), before);
}

#[test]
fn only_a_copy_of_the_same_repository_heals_and_only_who_may_write() {
    let desk = with_copy();
    let pack = desk.place.longest("packs");
    desk.place.alter(&pack, |bytes| flip(bytes));
    let other = Desk::with_repository();
    check(&other.run(&["snapshot", "data"]), 0);
    let foreign = desk.path("foreign").to_str().unwrap().to_owned();
    check(&other.run(&["mirror", "--to", &foreign]), 0);
    run(&desk, &["check", "--read-data", "--heal-from", &foreign], 14);
    // Since it was promoted, it has a history of its own, which must not mix with this one.
    check(&desk.run(&["mirror", "--to", "promoted"]), 5);
    check(&desk.run(&["--repo", "promoted", "mirror", "promote", "--incomplete"]), 0);
    run(&desk, &["check", "--read-data", "--heal-from", "promoted"], 14);
    run(&desk, &["restore", "latest", "--target", "back", "--from-copy", "promoted"], 14);
    run(&desk, &["check", "--read-data", "--heal-from", "nowhere"], 10);
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]), 0);
    run(&desk, &[&HEAL[..], &["--key-file", "reader"]].concat(), 15);
    run(&desk, &["check", "--heal"], 2);
    let text = format!(
        "[repository]\nurl = '{}'\n[[copy]]\nname = 'far'\nurl = 'copy'\nmode = 'mirror'\n",
        desk.place.url()
    );
    desk.put("config.toml", text.as_bytes());
    let healed = run(&desk, &["--config", "config.toml", "check", "--read-data", "--heal"], 0);
    assert!(err(&healed).contains("healed 1 of 1 broken pack"), "{}", err(&healed));
    restores(&desk);
}
