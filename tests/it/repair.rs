//! `repair`: what a damaged repository still has is made the best of, and nothing of it is touched.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::bytes_of;
use sbf_repo::key::ObjectKey;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

const HOWS: [&str; 4] = ["flipped", "cut short", "empty", "missing"];

/// Two snapshots: a file of several blocks, small ones, and one that the second adds.
fn backed_up() -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/long", &bytes_of(1, 3_000_000, 256));
    desk.put("data/short", &bytes_of(2, 30_000, 256));
    snapshot(&desk);
    desk.put("data/later", &bytes_of(3, 50_000, 256));
    snapshot(&desk);
    desk
}

fn snapshot(desk: &Desk) {
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
}

fn harm(desk: &Desk, key: &ObjectKey, how: &str) {
    match how {
        "flipped" => desk.place.alter(key, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        "cut short" => desk.place.alter(key, |bytes| bytes.truncate(bytes.len() / 4 * 3)),
        "empty" => desk.place.alter(key, Vec::clear),
        _ => desk.place.remove(key.as_str()),
    }
}

/// Without a cache: what this host remembers is no help.
#[track_caller]
fn run(desk: &Desk, arguments: &[&str], exit: i32) -> Output {
    let output = desk.run(&[arguments, &["--no-cache"]].concat());
    check(&output, exit);
    output
}

/// Without what runs add to the audit log, and what they note of themselves.
fn objects(desk: &Desk) -> BTreeMap<ObjectKey, Vec<u8>> {
    ["packs", "index", "manifests", "outcomes", "sessions", "gc", "records", "forget"]
        .into_iter()
        .flat_map(|folder| desk.place.keys(folder))
        .map(|key| {
            let bytes = fs::read(desk.path("repo").join(key.as_str())).unwrap_or_default();
            (key, bytes)
        })
        .collect()
}

/// Nothing that was there is gone or another.
#[track_caller]
fn only_added(desk: &Desk, before: &BTreeMap<ObjectKey, Vec<u8>>) {
    let after = objects(desk);
    for (key, bytes) in before {
        assert!(after.get(key) == Some(bytes), "{key} is gone or another");
    }
}

#[track_caller]
fn dumps(desk: &Desk, selector: &str, name: &str, content: &[u8]) {
    let inside = format!("{selector}:{}/{name}", desk.path("data").display());
    assert!(run(desk, &["dump", &inside], 0).stdout == content, "{name} is another one");
}

#[track_caller]
fn all_restores(desk: &Desk) {
    dumps(desk, "docs@latest", "long", &bytes_of(1, 3_000_000, 256));
    dumps(desk, "docs@latest", "short", &bytes_of(2, 30_000, 256));
    dumps(desk, "docs@latest", "later", &bytes_of(3, 50_000, 256));
}

fn json(desk: &Desk, arguments: &[&str], exit: i32) -> Value {
    desk.json(&[arguments, &["--no-cache"]].concat(), exit)
}

#[test]
fn lost_segments_are_listed_again_from_their_packs() {
    for how in HOWS {
        for pruned in [false, true] {
            let desk = backed_up();
            if pruned {
                check(&desk.run(&["prune"]), 0);
            }
            for segment in desk.place.keys("index") {
                harm(&desk, &segment, how);
            }
            let found = run(&desk, &["check"], 5);
            assert!(out(&found).contains("repair index --apply"), "{how}: {}", out(&found));
            let before = objects(&desk);
            let planned = run(&desk, &["repair", "index"], 5);
            assert!(err(&planned).contains("nothing was written"), "{}", err(&planned));
            assert!(objects(&desk) == before, "{how}: a plan wrote something");
            let done = run(&desk, &["repair", "index", "--apply"], 0);
            assert!(err(&done).contains("again ("), "{}", err(&done));
            only_added(&desk, &before);
            let checked = run(&desk, &["check", "--read-data"], 0);
            assert!(err(&checked).contains("other segments list"), "{}", err(&checked));
            all_restores(&desk);
            // Nothing is left to do, and collections go on.
            let again = run(&desk, &["repair", "index", "--apply"], 0);
            assert!(err(&again).contains("nothing depends on"), "{}", err(&again));
            desk.put("data/later", &bytes_of(4, 1000, 256));
            check(&desk.run(&["snapshot", "data", "--source", "other"]), 0);
            run(&desk, &["forget", "other@latest", "--force"], 0);
            desk.put("data/later", &bytes_of(3, 50_000, 256));
            run(&desk, &["prune"], 0);
            let clean = run(&desk, &["check", "--read-data"], 0);
            assert!(!err(&clean).contains("notice"), "{how}: {}", err(&clean));
            all_restores(&desk);
        }
    }
}

#[test]
fn a_prune_waits_for_the_repair_of_the_index() {
    let desk = backed_up();
    let segment = desk.place.keys("index").remove(0);
    harm(&desk, &segment, "flipped");
    let before = desk.place.keys("packs");
    run(&desk, &["prune"], 5);
    assert_eq!(desk.place.keys("packs"), before);
    run(&desk, &["repair", "index", "--apply"], 0);
    run(&desk, &["prune"], 0);
    all_restores(&desk);
}

#[test]
fn packs_of_open_sessions_are_not_listed() {
    let desk = backed_up();
    // A session without outcome: its packs may not count.
    let outcome = desk.place.keys("outcomes").remove(0);
    let session = outcome.segments().last().unwrap_or_default().to_owned();
    desk.place.remove(outcome.as_str());
    for segment in desk.place.keys("index") {
        harm(&desk, &segment, "flipped");
    }
    let report = json(&desk, &["repair", "index"], 5);
    let packs = report["packs"].as_array().cloned().unwrap_or_default();
    assert!(!packs.is_empty());
    assert!(packs.iter().all(|pack| !pack.as_str().unwrap_or_default().contains(&session)));
}

#[test]
fn good_blocks_of_damaged_packs_are_stored_again_and_what_is_lost_is_said() {
    for how in HOWS {
        let desk = backed_up();
        let pack = desk.place.longest("packs");
        harm(&desk, &pack, how);
        let before = objects(&desk);
        let planned = json(&desk, &["repair", "packs"], 5);
        assert!(objects(&desk) == before, "{how}: a plan wrote something");
        assert_eq!(planned["applied"], false);
        let done = json(&desk, &["repair", "packs", "--apply"], 5);
        only_added(&desk, &before);
        let blocks = done["blocks"].as_u64().unwrap_or_default();
        assert_eq!(blocks > 0, how == "flipped" || how == "cut short", "{how}: {done}");
        assert_eq!(done["blocks"], planned["blocks"]);
        let lost = done["findings"].to_string();
        assert!(lost.contains("data/long"), "{how}: {lost}");
        assert_eq!(desk.place.keys("records/damage").is_empty(), how == "missing");
        // A second time there is nothing to store.
        let again = json(&desk, &["repair", "packs", "--apply"], 5);
        assert_eq!(again["blocks"], 0);
        // What the source still has is stored anew; then nothing is lost any more.
        snapshot(&desk);
        all_restores(&desk);
        let healed = json(&desk, &["repair", "packs", "--apply"], 0);
        assert_eq!(healed["findings_count"], 0);
        run(&desk, &["prune"], 0);
        assert!(!desk.place.keys("packs").contains(&pack));
        run(&desk, &["check", "--read-data"], 0);
        all_restores(&desk);
    }
}

#[test]
fn a_pack_whose_blocks_are_all_good_is_stored_again_whole() {
    let desk = backed_up();
    let pack = desk.place.longest("packs");
    // Its directory alone.
    desk.place.alter(&pack, |bytes| {
        let near_end = bytes.len() - 40;
        bytes[near_end] ^= 1;
    });
    run(&desk, &["check", "--read-data"], 5);
    run(&desk, &["repair", "packs", "--apply"], 0);
    run(&desk, &["check", "--read-data"], 0);
    all_restores(&desk);
}

#[test]
fn a_damaged_snapshot_is_repaired_without_what_is_lost() {
    for how in HOWS {
        let desk = backed_up();
        harm(&desk, &desk.place.longest("packs"), how);
        run(&desk, &["check", "--read-data"], 5);
        let before = objects(&desk);
        let planned = json(&desk, &["repair", "snapshots"], 5);
        assert!(objects(&desk) == before, "{how}: a plan wrote something");
        assert_eq!(planned["damaged"][0]["state"], "planned");
        let done = json(&desk, &["repair", "snapshots", "--apply"], 5);
        only_added(&desk, &before);
        let damaged = done["damaged"].as_array().cloned().unwrap_or_default();
        assert_eq!(damaged.len(), 2, "{how}: {done}");
        for one in &damaged {
            assert_eq!(one["state"], "repaired", "{how}: {one}");
            assert!(one["left_out"].to_string().contains("data/long"), "{how}: {one}");
        }
        // The newest is the repaired one of the newest; it is incomplete, and says what it lacks.
        let list = json(&desk, &["snapshots"], 0);
        let rows = list["snapshots"].as_array().cloned().unwrap_or_default();
        assert_eq!(rows.len(), 4);
        let repaired = &damaged[1]["repaired"];
        let row = rows.iter().find(|row| row["snapshot"] == *repaired).cloned().unwrap_or_default();
        assert_eq!(row["manifest"]["incomplete"], true);
        assert!(row["manifest"]["skipped"].to_string().contains("data/long"), "{row}");
        let old = rows.iter().find(|row| row["snapshot"] == damaged[1]["snapshot"]).cloned();
        let old = old.unwrap_or_default();
        assert_eq!(row["manifest"]["times"]["data"], old["manifest"]["times"]["data"]);
        assert_eq!(row["source"], old["source"]);
        dumps(&desk, "docs@latest", "later", &bytes_of(3, 50_000, 256));
        let inside = format!("docs@latest:{}/long", desk.path("data").display());
        run(&desk, &["dump", &inside], 1);
        let restored = run(&desk, &["restore", "docs@latest", "--target", "back"], 0);
        assert!(!err(&restored).contains("not restored"), "{}", err(&restored));
        // Not twice.
        let again = json(&desk, &["repair", "snapshots", "--apply"], 5);
        assert_eq!(again["damaged"][0]["state"], "earlier");
        assert_eq!(again["damaged"][1]["repaired"], *repaired);
        // The next backup has everything again, although nothing changed meanwhile.
        snapshot(&desk);
        all_restores(&desk);
        let complete = json(&desk, &["snapshots"], 0)["snapshots"].to_string();
        assert!(complete.contains("\"incomplete\":false"), "{complete}");
    }
}

#[test]
fn what_is_lost_goes_once_the_damaged_snapshots_are_forgotten() {
    let desk = backed_up();
    let pack = desk.place.longest("packs");
    harm(&desk, &pack, "flipped");
    let done = json(&desk, &["repair", "snapshots", "--read-data", "--apply"], 5);
    for damaged in done["damaged"].as_array().cloned().unwrap_or_default() {
        let id = damaged["snapshot"].as_str().unwrap_or_default().to_owned();
        run(&desk, &["forget", &id, "--force"], 0);
    }
    run(&desk, &["prune"], 0);
    assert!(!desk.place.keys("packs").contains(&pack));
    run(&desk, &["check", "--read-data"], 0);
    dumps(&desk, "docs@latest", "later", &bytes_of(3, 50_000, 256));
    run(&desk, &["repair", "snapshots", "--apply"], 0);
}

#[test]
fn a_sound_repository_needs_no_repair() {
    let desk = backed_up();
    let before = objects(&desk);
    for what in ["index", "packs", "snapshots"] {
        run(&desk, &["repair", what], 0);
        run(&desk, &["repair", what, "--apply"], 0);
    }
    assert!(objects(&desk) == before);
    check(&desk.run(&["repair"]), 2);
    check(&desk.run(&["repair", "index", "--dry-run"]), 2);
}

#[test]
fn roles_that_cannot_write_or_read_repair_nothing_and_the_log_has_the_rest() {
    let desk = backed_up();
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]), 0);
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    harm(&desk, &desk.place.keys("index").remove(0), "flipped");
    for what in ["index", "packs", "snapshots"] {
        run(&desk, &["--key-file", "reader", "repair", what, "--apply"], 15);
    }
    run(&desk, &["repair", "index", "--apply"], 0);
    harm(&desk, &desk.place.longest("packs"), "flipped");
    run(&desk, &["--key-file", "writer", "repair", "packs", "--apply"], 15);
    run(&desk, &["repair", "packs", "--apply"], 5);
    let log = json(&desk, &["audit", "list"], 0).to_string();
    assert!(log.contains("repair-index") && log.contains("repair-packs"), "{log}");
}
