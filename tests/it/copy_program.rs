//! `copy` as people and scripts see it: keys, selectors, damage, stores of every kind.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::mirror_program;
use crate::mirror_program::Spot;
use crate::mirror_program::spots;
use crate::reader::python;
use crate::scratch::assert_same;
use crate::scratch::put;
use crate::support::bytes_of;
use rustix::fs::XattrFlags;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::process::Output;
use std::time::Duration;

const TO: [&str; 4] = ["--to", "other", "--to-key-file", "other-key"];

/// A repository, and another one beside it.
fn two() -> Desk {
    let desk = Desk::with_repository();
    check(&desk.run(&["init", "--repo", "other", "--key-file", "other-key"]), 0);
    desk
}

fn copy(desk: &Desk, more: &[&str], exit: i32) -> Output {
    let output = desk.run(&[&["copy"], &TO[..], more].concat());
    check(&output, exit);
    output
}

fn on_other(desk: &Desk, arguments: &[&str], exit: i32) -> Output {
    let opened = ["--repo", "other", "--key-file", "other-key"];
    let output = desk.run(&[&opened, arguments].concat());
    check(&output, exit);
    output
}

fn snapshots_of_other(desk: &Desk) -> Vec<Value> {
    let arguments = ["--repo", "other", "--key-file", "other-key", "snapshots"];
    desk.json(&arguments, 0)["snapshots"].as_array().unwrap().clone()
}

/// Everything that a tree can hold and a user may make.
fn fill(desk: &Desk) {
    let data = desk.path("data");
    put(data.join("large"), bytes_of(1, 3_000_000, 256));
    fs::hard_link(data.join("large"), data.join("inner/the-same")).unwrap();
    symlink("a.txt", data.join("link")).unwrap();
    let _unsupported = rustix::fs::lsetxattr(
        data.join("a.txt"),
        "user.comment",
        b"\0bytes\xff",
        XattrFlags::empty(),
    );
    put(data.join("sparse"), b"begin");
    fs::OpenOptions::new()
        .write(true)
        .open(data.join("sparse"))
        .unwrap()
        .set_len(9_000_000)
        .unwrap();
    fs::create_dir_all(data.join("many/empty")).unwrap();
    for number in 0..2000 {
        put(data.join(format!("many/of-a-longer-name-{number}")), format!("{number}"));
    }
}

#[test]
fn a_copy_restores_to_what_the_original_does() {
    let desk = two();
    fill(&desk);
    check(&desk.run(&["snapshot", "data", "--source", "docs", "--tag", "first"]), 0);
    put(desk.path("data/many/new"), bytes_of(2, 100_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs", "--tag", "second"]), 0);
    let command = ["--from-command", "--", "cat", "data/large"];
    let stream = ["snapshot", "--stdin-name", "dump", "--source", "db"];
    check(&desk.run(&[&stream, &command[..]].concat()), 0);
    let before = desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().clone();

    let dry = copy(&desk, &["--dry-run"], 0);
    assert!(err(&dry).contains("dry run: 3 snapshots would be copied"), "{}", err(&dry));
    assert!(snapshots_of_other(&desk).is_empty());
    let copied = copy(&desk, &[], 0);
    assert!(
        err(&copied).contains("copied 3 snapshots to other, passed over 0"),
        "{}",
        err(&copied)
    );
    let after = snapshots_of_other(&desk);
    for (before, after) in before.iter().zip(&after) {
        let (old, new) = (&before["manifest"], &after["manifest"]);
        for kept in ["source", "tags", "times", "host", "paths", "kind", "totals", "command"] {
            assert_eq!(old[kept], new[kept], "{kept}");
        }
        assert_eq!(new["origin"]["snapshot"], before["snapshot"]);
        assert_eq!(new["origin"]["repository"], old["repository"]);
        assert_ne!(new["client"], old["client"]);
    }
    let below = |target: &str| desk.path(target).join(desk.path("data").strip_prefix("/").unwrap());
    for (number, snapshot) in after[..2].iter().enumerate() {
        let of = |target: &str| format!("{target}-{number}");
        let id = snapshot["snapshot"].as_str().unwrap();
        on_other(&desk, &["restore", id, "--target", &of("new"), "--trusted"], 0);
        let old = snapshot["manifest"]["origin"]["snapshot"].as_str().unwrap();
        check(&desk.run(&["restore", old, "--target", &of("old"), "--trusted"]), 0);
        assert_same(&below(&of("old")), &below(&of("new")));
    }
    assert_same(&desk.path("data"), &below("new-1"));
    let dumped = on_other(&desk, &["dump", "db@latest"], 0);
    assert!(dumped.stdout == bytes_of(1, 3_000_000, 256));

    let count = || {
        let folders = ["packs", "manifests", "sessions", "index"];
        folders.map(|folder| files_below(&desk.path("other").join(folder)))
    };
    let stored = count();
    let again = desk.json(&[&["copy"], &TO[..]].concat(), 0);
    assert_eq!(again["bytes_stored"], 0);
    let states: Vec<_> = again["snapshots"].as_array().unwrap().iter().collect();
    assert!(states.iter().all(|one| one["state"] == "present"), "{again}");
    assert_eq!(count(), stored);
    on_other(&desk, &["check", "--read-data"], 0);
    let reader = Command::new(python())
        .arg("tools/reader.py")
        .arg(desk.path("other"))
        .arg("--key-file")
        .arg(desk.path("other-key"))
        .arg("check")
        .output()
        .unwrap();
    check(&reader, 0);
}

fn files_below(folder: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn chosen_snapshots_are_copied_and_each_side_forgets_for_itself() {
    let desk = two();
    for (number, source) in ["docs", "docs", "other"].into_iter().enumerate() {
        desk.put("data/a.txt", format!("{number}").as_bytes());
        check(&desk.run(&["snapshot", "data", "--source", source]), 0);
    }
    let copied = copy(&desk, &["docs@latest"], 0);
    assert!(err(&copied).contains("copied 1 snapshot "), "{}", err(&copied));
    check(&desk.run(&["forget", "docs@latest", "--force"]), 0);
    check(&desk.run(&["prune"]), 0);
    assert_eq!(snapshots_of_other(&desk).len(), 1);
    on_other(&desk, &["check", "--read-data"], 0);
    on_other(&desk, &["restore", "docs@latest", "--target", "back"], 0);
    copy(&desk, &[], 0);
    assert_eq!(snapshots_of_other(&desk).len(), 3);
    // What the other repository forgot comes back only if it is named.
    on_other(&desk, &["forget", "other@latest", "--force"], 0);
    let told = copy(&desk, &[], 0);
    assert!(err(&told).contains("was forgotten there"), "{}", err(&told));
    assert_eq!(snapshots_of_other(&desk).len(), 2);
    copy(&desk, &["other@latest"], 0);
    assert_eq!(snapshots_of_other(&desk).len(), 3);
    // Or if nothing of it is left.
    on_other(&desk, &["forget", "other@latest", "docs@latest", "--force"], 0);
    on_other(&desk, &["prune"], 0);
    copy(&desk, &[], 0);
    on_other(&desk, &["check", "--read-data"], 0);
    let sources: Vec<Value> =
        snapshots_of_other(&desk).iter().map(|one| one["source"].clone()).collect();
    assert!(sources.contains(&"other".into()), "{sources:?}");
    copy(&desk, &["nothing@latest"], 1);
    copy(&desk, &["other@latest:/data"], 2);
}

#[test]
fn a_damaged_snapshot_is_named_and_the_others_are_copied() {
    let desk = two();
    check(&desk.run(&["snapshot", "data", "--source", "small"]), 0);
    check(&desk.run(&["mirror", "--to", "mirror"]), 0);
    desk.put("data/large", &bytes_of(1, 900_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["mirror", "--to", "mirror"]), 0);
    desk.put("data/large", b"short");
    check(&desk.run(&["snapshot", "data", "--source", "later"]), 0);
    let pack = desk.place.longest("packs");
    desk.place.alter(&pack, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let report = desk.json(&[&["copy"], &TO[..]].concat(), 5);
    let states: Vec<&Value> =
        report["snapshots"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["copied", "damaged", "copied"]);
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "file.damaged");
    assert!(finding["object"].as_str().unwrap().ends_with("/data/large"), "{finding}");
    let told = copy(&desk, &[], 5);
    assert!(err(&told).contains("passed over 2, 1 damaged"), "{}", err(&told));
    assert_eq!(snapshots_of_other(&desk).len(), 2);
    on_other(&desk, &["check", "--read-data"], 0);
    let helped = copy(&desk, &["--from-copy", "mirror"], 0);
    assert!(err(&helped).contains("copied 1 snapshot "), "{}", err(&helped));
    on_other(&desk, &["check", "--read-data"], 0);
}

#[test]
fn what_cannot_be_copied_to_is_refused() {
    let desk = two();
    check(&desk.run(&["snapshot", "data"]), 0);
    check(&desk.run(&["copy"]), 2);
    let wrong = desk.run(&["copy", "--to", "other", "--to-key-file", "key"]);
    check(&wrong, 12);
    assert!(err(&wrong).contains("hint: `--to-key-file`"), "{}", err(&wrong));
    check(&desk.run(&["copy", "--to", "nowhere", "--to-key-file", "key"]), 10);
    check(&desk.run(&["mirror", "--to", "mirror"]), 0);
    let mirror = desk.run(&["copy", "--to", "mirror", "--to-key-file", "key"]);
    check(&mirror, 2);
    assert!(err(&mirror).contains("with the same keys"), "{}", err(&mirror));
    if desk.path("repo").exists() {
        check(&desk.run(&["copy", "--to", desk.path("repo").to_str().unwrap()]), 2);
        check(&desk.run(&["copy", "--to", "repo/../repo", "--to-key-file", "key"]), 2);
    }
    for (role, exit) in [("reader", 15), ("pruner", 15), ("auditor", 15), ("writer", 0)] {
        let add = ["key", "add", "--role", role, "--new-key-file", role];
        on_other(&desk, &add, 0);
        check(&desk.run(&["copy", "--to", "other", "--to-key-file", role]), exit);
    }
    on_other(&desk, &["check", "--read-data"], 0);
    // A key that does not read cannot be copied from.
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "blind"]), 0);
    desk.put("data/a.txt", b"changed");
    check(&desk.run(&["snapshot", "data"]), 0);
    copy(&desk, &["--key-file", "blind"], 15);
    let mut command = desk.command(&["copy", "--to", "other"]);
    check(&command.env("SBF_REPO_TO_KEY_FILE", desk.path("other-key")).output().unwrap(), 0);
    assert_eq!(snapshots_of_other(&desk).len(), 2);
}

#[test]
fn snapshots_are_copied_between_stores_of_every_kind() {
    let desk = Desk::with_repository();
    let run = |spots: [&Spot; 2], arguments: &[&str], exit| {
        let output = mirror_program::run(&desk, &spots, arguments);
        check(&output, exit);
        output
    };
    for (number, from) in spots(&desk, "from").iter().enumerate() {
        let key = format!("key-{number}");
        desk.put("data/large", &bytes_of(1, 900_000, 256));
        run([from, from], &["init", "--key-file", &key], 0);
        let mut snapshot = vec!["snapshot", "data", "--source", "docs", "--key-file", &key];
        run([from, from], &snapshot, 0);
        desk.put("data/new", &bytes_of(2, 90_000, 256));
        snapshot.extend(["--tag", "second"]);
        run([from, from], &snapshot, 0);
        let targets = spots(&desk, &format!("to-{number}"));
        for other in [number, (number + 1) % targets.len()] {
            let to = &targets[other];
            let to_key = format!("key-{number}-{other}");
            run([to, to], &["init", "--key-file", &to_key], 0);
            let copy =
                ["copy", "--key-file", &key, "--to", &to.url, "--to-key-file", &to_key, "-v"];
            let told = run([from, to], &copy, 0);
            assert!(err(&told).contains("copied 2 snapshots"), "{}", err(&told));
            let told = run([from, to], &copy, 0);
            assert!(err(&told).contains("copied 0 snapshots"), "{}", err(&told));
            assert!(err(&told).contains("0 B read, 0 B stored"), "{}", err(&told));
            run([to, to], &["check", "--read-data", "--key-file", &to_key], 0);
            let inside = format!("docs@latest:{}/large", desk.path("data").display());
            let dumped = run([to, to], &["dump", &inside, "--key-file", &to_key], 0);
            assert!(dumped.stdout == bytes_of(1, 900_000, 256), "{number} to {other}");
        }
        fs::remove_file(desk.path("data/new")).unwrap();
    }
}

#[test]
fn a_copy_killed_again_and_again_is_whole_in_the_end() {
    let desk = two();
    for number in 0..3 {
        desk.put("data/large", &bytes_of(number, 3_000_000, 256));
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    }
    for milliseconds in (0..30).map(|step| step * 8) {
        let arguments = [&["copy"], &TO[..], &["--threads", "2"]].concat();
        let mut child = desk.command(&arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let checked = on_other(&desk, &["check"], 0);
        assert!(out(&checked).is_empty(), "{}", out(&checked));
    }
    copy(&desk, &[], 0);
    assert_eq!(snapshots_of_other(&desk).len(), 3);
    on_other(&desk, &["check", "--read-data"], 0);
}
