//! What was lost or damaged is stored again by the next backup that still has it.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::bytes_of;
use sbf_repo::key::ObjectKey;

/// A file of more extents than an entry holds, and a small one.
fn backed_up() -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/long", &bytes_of(1, 3_000_000, 256));
    desk.put("data/short", &bytes_of(2, 30_000, 256));
    snapshot(&desk);
    desk
}

fn snapshot(desk: &Desk) {
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
}

/// The pack with the most bytes: that of the data.
fn data_pack(desk: &Desk) -> ObjectKey {
    desk.place.longest("packs")
}

#[track_caller]
fn restores(desk: &Desk, selector: &str) {
    for (name, content) in
        [("long", bytes_of(1, 3_000_000, 256)), ("short", bytes_of(2, 30_000, 256))]
    {
        let inside = format!("{selector}:{}/{name}", desk.path("data").display());
        let dumped = desk.run(&["dump", &inside]);
        check(&dumped, 0);
        assert!(dumped.stdout == content, "{name} of {selector} is another one");
    }
}

#[test]
fn a_pack_that_is_gone_or_cut_short_is_stored_again_with_unchanged_long_files() {
    for cut in [None, Some(1000)] {
        let desk = backed_up();
        let pack = data_pack(&desk);
        match cut {
            None => desk.place.remove(pack.as_str()),
            Some(length) => desk.place.alter(&pack, |bytes| bytes.truncate(length)),
        }
        snapshot(&desk);
        restores(&desk, "docs@latest");
    }
}

#[test]
fn damage_that_a_check_found_is_stored_again_and_goes_with_the_next_prune() {
    let desk = backed_up();
    let pack = data_pack(&desk);
    desk.place.alter(&pack, |bytes| bytes[100_000] ^= 255);
    let found = desk.run(&["check", "--read-data"]);
    check(&found, 5);
    assert!(out(&found).contains("data/long"), "{}", out(&found));
    assert_eq!(out(&found).matches("remedy:").count(), 1, "{}", out(&found));
    let first = desk.json(&["snapshots"], 0)["snapshots"][0]["snapshot"].clone();
    snapshot(&desk);
    restores(&desk, "docs@latest");
    // The content is the same, so that the snapshot before has it again, too.
    restores(&desk, first.as_str().unwrap());
    let pruned = desk.run(&["prune"]);
    check(&pruned, 0);
    assert!(!desk.place.keys("packs").contains(&pack), "{}", err(&pruned));
    check(&desk.run(&["check", "--read-data"]), 0);
    restores(&desk, "docs@latest");
    restores(&desk, first.as_str().unwrap());
}

#[test]
fn a_writer_cannot_have_sound_packs_replaced_by_calling_them_damaged() {
    let desk = backed_up();
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    let before = desk.place.keys("packs").len();
    // A role that cannot read what packs hold cannot check it.
    check(&desk.run(&["--key-file", "writer", "check", "--read-data"]), 15);
    check(&desk.run(&["--key-file", "writer", "snapshot", "data", "--source", "docs"]), 0);
    assert!(desk.place.keys("records/damage").is_empty());
    assert!(desk.place.keys("packs").len() <= before + 2);
}

#[test]
fn a_segment_that_only_the_cache_has_is_damage() {
    let desk = backed_up();
    check(&desk.run(&["check"]), 0);
    let segments = desk.place.keys("index");
    desk.place.remove(segments[0].as_str());
    let found = desk.run(&["check"]);
    check(&found, 5);
    assert!(out(&found).contains("only the cache of this host"), "{}", out(&found));
    snapshot(&desk);
    check(
        &desk.run(&[
            "--no-cache",
            "dump",
            &format!("docs@latest:{}/short", desk.path("data").display()),
        ]),
        0,
    );
}
