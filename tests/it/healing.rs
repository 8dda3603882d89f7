//! What was lost or damaged is stored again by the next backup that still has it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::bytes_of;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

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

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// The pack with the most bytes: that of the data.
fn data_pack(desk: &Desk) -> PathBuf {
    let packs = files_below(&desk.path("repo/packs"));
    packs.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
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
            None => fs::remove_file(&pack).unwrap(),
            Some(length) => {
                fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
                fs::OpenOptions::new().write(true).open(&pack).unwrap().set_len(length).unwrap();
            }
        }
        snapshot(&desk);
        restores(&desk, "docs@latest");
    }
}

#[test]
fn damage_that_a_check_found_is_stored_again_and_goes_with_the_next_prune() {
    let desk = backed_up();
    let pack = data_pack(&desk);
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&pack).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100_000).unwrap();
    file.write_all_at(&[!byte[0]], 100_000).unwrap();
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
    assert!(!pack.exists(), "{}", err(&pruned));
    check(&desk.run(&["check", "--read-data"]), 0);
    restores(&desk, "docs@latest");
    restores(&desk, first.as_str().unwrap());
}

#[test]
fn a_writer_cannot_have_sound_packs_replaced_by_calling_them_damaged() {
    let desk = backed_up();
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    let before = files_below(&desk.path("repo/packs")).len();
    // A role that cannot read what packs hold cannot check it.
    check(&desk.run(&["--key-file", "writer", "check", "--read-data"]), 15);
    check(&desk.run(&["--key-file", "writer", "snapshot", "data", "--source", "docs"]), 0);
    assert!(!desk.path("repo/records/damage").exists());
    assert!(files_below(&desk.path("repo/packs")).len() <= before + 2);
}

#[test]
fn a_segment_that_only_the_cache_has_is_damage() {
    let desk = backed_up();
    check(&desk.run(&["check"]), 0);
    let segments = files_below(&desk.path("repo/index"));
    fs::remove_file(&segments[0]).unwrap();
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
