//! `diff` as people and scripts see it: what changed, in order, and what it skips.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use rustix::fs::XattrFlags;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

fn back_up(desk: &Desk) -> String {
    let report = desk.json(&["snapshot", "data", "--source", "docs"], 0);
    report["snapshot"].as_str().unwrap().to_owned()
}

/// `ID:PATH` of what is backed up.
fn inside(desk: &Desk, snapshot: &str) -> String {
    format!("{snapshot}:{}", desk.path("data").display())
}

/// Letter and name of each change below `data`, metadata of directories left out.
fn changes(desk: &Desk, old: &str, new: &str) -> Vec<String> {
    let output = desk.run(&["diff", &inside(desk, old), &inside(desk, new)]);
    check(&output, 0);
    let data = desk.path("data").display().to_string();
    let text = out(&output).replace(&data, "");
    text.lines()
        .filter(|line| !(line.starts_with('U') && line.ends_with('/')))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_way_to_differ_has_its_letter() {
    let desk = Desk::with_repository();
    desk.put("data/kind", b"a file");
    desk.put("data/mode", b"mode");
    desk.put("data/gone", b"1234");
    fs::create_dir(desk.path("data/old")).unwrap();
    desk.put("data/old/deep", b"deep");
    symlink("a.txt", desk.path("data/link")).unwrap();
    let old = back_up(&desk);
    fs::remove_file(desk.path("data/kind")).unwrap();
    fs::create_dir(desk.path("data/kind")).unwrap();
    desk.put("data/kind/inside", b"12");
    fs::set_permissions(desk.path("data/mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(desk.path("data/gone")).unwrap();
    fs::remove_dir_all(desk.path("data/old")).unwrap();
    fs::remove_file(desk.path("data/link")).unwrap();
    symlink("mode", desk.path("data/link")).unwrap();
    desk.put("data/a.txt", b"first and more");
    let new = back_up(&desk);
    let expected = [
        "M /a.txt  5B -> 14B",
        "- /gone  4B",
        "T /kind/  file -> directory",
        "+ /kind/inside  2B",
        "M /link",
        "U /mode",
        "- /old/",
        "- /old/deep  4B",
    ];
    let found: Vec<String> =
        changes(&desk, &old, &new).iter().map(|line| line.replace(" B", "B")).collect();
    assert_eq!(found, expected);
    // The other way round, what was added is removed.
    let back = changes(&desk, &new, &old);
    assert_eq!(back.iter().filter(|line| line.starts_with('+')).count(), 3, "{back:?}");
    let report = desk.json(&["diff", &inside(&desk, &old), &inside(&desk, &new)], 0);
    let totals = &report["totals"];
    let sums = |side: &str| {
        let side = &totals[side];
        [&side["files"], &side["directories"], &side["bytes"]].map(|value| value.as_u64().unwrap())
    };
    assert_eq!(sums("added"), [1, 1, 2]);
    assert_eq!(sums("removed"), [3, 1, 14]);
    assert_eq!(totals["content_changed"], 2);
    assert_eq!(totals["content_bytes_old"], 5);
    assert_eq!(totals["content_bytes_new"], 14);
    assert_eq!(totals["kind_changed"], 1);
    assert_eq!(report["is_same"], false);
}

#[test]
fn equal_snapshots_do_not_differ() {
    let desk = Desk::with_repository();
    let (old, new) = (back_up(&desk), back_up(&desk));
    let output = desk.run(&["diff", &inside(&desk, &old), &inside(&desk, &new)]);
    check(&output, 0);
    assert_eq!(out(&output), "");
    assert!(err(&output).contains("nothing differs"), "{}", err(&output));
    let report = desk.json(&["diff", &old, &old], 0);
    assert_eq!(report["is_same"], true);
    assert_eq!(report["changes"].as_array().unwrap().len(), 0);
    // A file made anew with the same bytes, mode and time restores to the same.
    let time = fs::metadata(desk.path("data/a.txt")).unwrap().modified().unwrap();
    fs::remove_file(desk.path("data/a.txt")).unwrap();
    desk.put("data/a.txt", b"first");
    let file = fs::File::options().write(true).open(desk.path("data/a.txt")).unwrap();
    file.set_modified(time).unwrap();
    let newest = back_up(&desk);
    assert_eq!(changes(&desk, &old, &newest), [""; 0]);
}

#[test]
fn metadata_is_told_part_by_part() {
    let desk = Desk::with_repository();
    let old = back_up(&desk);
    let file = desk.path("data/a.txt");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let has_xattrs =
        rustix::fs::setxattr(&file, "user.comment", b"x\xff", XattrFlags::empty()).is_ok();
    let new = back_up(&desk);
    let path = |snapshot: &str| format!("{}/a.txt", inside(&desk, snapshot));
    let output = desk.run(&["diff", "--metadata", &path(&old), &path(&new)]);
    check(&output, 0);
    let text = out(&output);
    assert!(text.contains("\n    mode: 0644 -> 0640\n") || text.contains("-> 0640\n"), "{text}");
    if has_xattrs {
        assert!(text.contains("    xattr user.comment: none -> x\\xff (2 bytes)\n"), "{text}");
    }
    let report = desk.json(&["diff", "--metadata", &path(&old), &path(&new)], 0);
    let change = &report["changes"][0];
    assert_eq!(change["change"], "metadata");
    let names: Vec<&Value> =
        change["metadata"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names[0], "mode", "{change}");
    assert_eq!(names.len(), 1 + usize::from(has_xattrs), "{change}");
}

#[test]
fn paths_are_compared_wherever_they_are() {
    let desk = Desk::with_repository();
    fs::create_dir(desk.path("data/copy")).unwrap();
    desk.put("data/copy/b.txt", b"other");
    let id = back_up(&desk);
    let base = inside(&desk, &id);
    let output = desk.run(&["diff", &format!("{base}/inner"), &format!("{base}/copy")]);
    check(&output, 0);
    let text = out(&output);
    let line = text.lines().find(|line| line.starts_with('M')).unwrap();
    assert!(line.contains("/data/copy/b.txt  6"), "{text}");
    check(&desk.run(&["diff", &format!("{base}/a.txt"), &format!("{base}/inner")]), 2);
    check(&desk.run(&["diff", &format!("{base}/a.txt"), &format!("{base}/nothing")]), 1);
    check(&desk.run(&["diff", &id]), 2);
}

#[test]
fn one_of_many_files_is_the_only_difference() {
    let desk = Desk::with_repository();
    fs::create_dir(desk.path("data/many")).unwrap();
    for number in 0..3000 {
        desk.put(&format!("data/many/a-file-with-a-long-name-{number}"), b"");
    }
    let old = back_up(&desk);
    desk.put("data/many/a-file-with-a-long-name-77", b"new");
    fs::remove_file(desk.path("data/many/a-file-with-a-long-name-2999")).unwrap();
    let new = back_up(&desk);
    let found = changes(&desk, &old, &new);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("- ") && found[1].starts_with("M "), "{found:?}");
}
