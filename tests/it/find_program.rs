//! `find` as people and scripts see it: what is found, in which snapshots, and what that costs.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;

/// Sets when a file changed, in seconds since 1970.
fn set_time(desk: &Desk, name: &str, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, desk.path(name), &times, AtFlags::empty()).unwrap();
}

fn back_up(desk: &Desk, source: &str) -> String {
    let report = desk.json(&["snapshot", "data", "--source", source], 0);
    report["snapshot"].as_str().unwrap().to_owned()
}

fn found(desk: &Desk, arguments: &[&str]) -> Vec<Value> {
    let report = desk.json(&[&["find"], arguments].concat(), 0);
    report["entries"].as_array().unwrap().clone()
}

/// The names of what is found below `data`.
#[track_caller]
fn check_found(desk: &Desk, arguments: &[&str], expected: &[&str]) {
    let data = desk.path("data");
    let data = data.to_str().unwrap();
    let names: Vec<String> = found(desk, arguments)
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .filter_map(|path| Some(path.strip_prefix(data)?.trim_start_matches('/').to_owned()))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(names, expected, "{arguments:?}");
}

#[test]
fn an_entry_that_stays_is_told_once_with_its_snapshots() {
    let desk = Desk::with_repository();
    let mut ids = Vec::new();
    for number in 0..4 {
        if number == 2 {
            desk.put("data/a.txt", b"changed");
        }
        ids.push(back_up(&desk, "docs"));
    }
    let other = back_up(&desk, "other");
    let entries = found(&desk, &["a.txt"]);
    let row = |entry: &Value| {
        let id = |name: &str| entry[name]["snapshot"].as_str().unwrap().to_owned();
        let source = entry["source"].as_str().unwrap().to_owned();
        (source, id("first"), id("last"), entry["snapshots_count"].as_u64().unwrap())
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let expected = [
        ("docs".to_owned(), ids[0].clone(), ids[1].clone(), 2),
        ("docs".to_owned(), ids[2].clone(), ids[3].clone(), 2),
        ("other".to_owned(), other.clone(), other.clone(), 1),
    ];
    assert_eq!(rows, expected);
    let words = desk.run(&["find", "a.txt", "--source", "docs"]);
    check(&words, 0);
    let lines = out(&words);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let range = format!("/data/a.txt  in 2 snapshots of docs: {} (", &ids[0][..8]);
    assert!(lines.contains(&range), "{lines}");
    // What is gone ends its range.
    fs::remove_file(desk.path("data/inner/b.txt")).unwrap();
    back_up(&desk, "docs");
    assert_eq!(row(&found(&desk, &["b.txt", "--source", "docs"])[0]).3, 4);
    let chosen = ["b.txt", "--snapshot", &ids[1], "--snapshot", "docs@latest"];
    assert_eq!(
        row(&found(&desk, &chosen)[0]),
        ("docs".to_owned(), ids[1].clone(), ids[1].clone(), 1)
    );
}

#[test]
fn everything_that_is_asked_for_holds() {
    let desk = Desk::with_repository();
    desk.put("data/big.sql", &vec![7; 5000]);
    desk.put("data/inner/small.sql", &[7; 100]);
    symlink("a.txt", desk.path("data/link.sql")).unwrap();
    fs::create_dir(desk.path("data/dir.sql")).unwrap();
    set_time(&desk, "data/big.sql", 1_600_000_000);
    set_time(&desk, "data/inner/small.sql", 1_500_000_000);
    back_up(&desk, "docs");
    check_found(&desk, &["*.sql"], &["big.sql", "dir.sql", "inner/small.sql", "link.sql"]);
    check_found(&desk, &["*.sql", "--type", "f"], &["big.sql", "inner/small.sql"]);
    check_found(&desk, &["*.sql", "--type", "d,l"], &["dir.sql", "link.sql"]);
    check_found(&desk, &["*.sql/"], &["dir.sql"]);
    check_found(&desk, &["**/inner/*"], &["inner/b.txt", "inner/small.sql"]);
    check_found(&desk, &["a.txt", "b.txt"], &["a.txt", "inner/b.txt"]);
    check_found(&desk, &["*.sql", "--size", "+1K"], &["big.sql"]);
    check_found(&desk, &["*.sql", "--size", "-1K"], &["inner/small.sql"]);
    check_found(&desk, &["--size", "+1K", "--size", "-5000"], &["big.sql"]);
    check_found(&desk, &["--size", "100"], &["inner/small.sql"]);
    let time = "2020-09-13T12:26:40Z";
    check_found(&desk, &["--type", "f", "--older", time], &["inner/small.sql"]);
    check_found(&desk, &["*.sql", "--type", "f", "--newer", time], &["big.sql"]);
    check_found(
        &desk,
        &["--type", "f", "--newer", "2020-01-01", "--older", "2021-01-01"],
        &["big.sql"],
    );
    check_found(&desk, &["*.txt", "--newer", "1d"], &["a.txt", "inner/b.txt"]);
}

#[test]
fn files_are_found_by_their_content() {
    let desk = Desk::with_repository();
    desk.put("data/inner/same.txt", b"first");
    back_up(&desk, "docs");
    let path = format!("latest:{}", desk.path("data/a.txt").display());
    let listed = desk.json(&["ls", &path], 0);
    let name = listed["entries"][0]["content"].as_str().unwrap();
    check_found(&desk, &["--content", name], &["a.txt", "inner/same.txt"]);
    check_found(&desk, &["--content", &name[..8].to_uppercase()], &["a.txt", "inner/same.txt"]);
    let verbose = desk.run(&["ls", &path, "--verbose"]);
    assert!(out(&verbose).trim_end().ends_with(&format!("content {name}")), "{}", out(&verbose));
    for wrong in ["abc", "not-digits"] {
        check(&desk.run(&["find", "--content", wrong]), 2);
    }
}

#[test]
fn nothing_found_and_nothing_to_search_are_told() {
    let desk = Desk::with_repository();
    check(&desk.run(&["find"]), 1);
    back_up(&desk, "docs");
    let none = desk.run(&["find", "*.missing"]);
    check(&none, 1);
    assert!(err(&none).contains("nothing is found in 1 snapshot"), "{}", err(&none));
    assert_eq!(desk.json(&["find", "*.missing"], 1)["entries_count"], 0);
    let none = desk.run(&["find", "--source", "nobody"]);
    check(&none, 1);
    assert!(err(&none).contains("--source nobody"), "{}", err(&none));
    for wrong in [
        ["--size", "big"],
        ["--type", "x"],
        ["--newer", "soon"],
        ["--snapshot", "latest:/a"],
        ["{", "--quiet"],
    ] {
        check(&desk.run(&[&["find"], &wrong[..]].concat()), 2);
    }
}

#[test]
fn what_an_earlier_snapshot_has_is_not_read_again() {
    let desk = Desk::with_repository();
    for directory in 0..3 {
        for number in 0..200 {
            let name = format!("data/d{directory}/a-file-with-a-long-name-{number}");
            fs::create_dir_all(desk.path(&format!("data/d{directory}"))).unwrap();
            desk.put(&name, b"");
        }
    }
    back_up(&desk, "docs");
    let read = |exit| {
        let report = desk.json(&["find", "a-file-with-a-long-name-77"], exit);
        let entries = report["entries"].as_array().unwrap().clone();
        (report["directories_read"].as_u64().unwrap(), entries)
    };
    let (once, _entries) = read(0);
    for _again in 0..5 {
        back_up(&desk, "docs");
    }
    let (often, entries) = read(0);
    // Those above `data` change by themselves: others work beside it.
    let above = u64::try_from(desk.path("").components().count()).unwrap();
    assert!(often - once <= 5 * above, "{once} and {often}: equal trees are read once");
    assert!(entries.iter().all(|entry| entry["snapshots_count"] == 6), "{entries:?}");
    desk.put("data/d1/new", b"new");
    back_up(&desk, "docs");
    let (changed, entries) = read(0);
    // `data`, `d1`, and `inner`, whose listing stands in that of `data`.
    assert!(changed - often <= above + 3, "only what leads to the change is read");
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| entry["snapshots_count"] == 7), "{entries:?}");
}

#[test]
fn a_damaged_manifest_is_told_and_the_others_are_searched() {
    let desk = Desk::with_repository();
    back_up(&desk, "docs");
    let damaged = back_up(&desk, "docs");
    let mut folders = vec![desk.path("repo/manifests")];
    let mut hit = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().contains(&damaged) {
                let mut bytes = fs::read(&path).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                    .unwrap();
                let mut file = fs::File::create(&path).unwrap();
                std::io::Write::write_all(&mut file, &bytes).unwrap();
                hit += 1;
            }
        }
    }
    assert_eq!(hit, 1);
    let report = desk.json(&["find", "a.txt"], 5);
    assert_eq!(report["entries"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["findings"][0]["object"].as_str().unwrap().contains(&damaged), "{report}");
}
