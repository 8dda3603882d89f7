//! Copies that the configuration file names: they are called by name, and mirrors help out unasked.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::bytes_of;
use sbf_repo::key::ObjectKey;
use std::fs;
use std::io::Read as _;
use std::process::Output;
use std::process::Stdio;

const BYTES: usize = 3_000_000;
/// More than a dump reads ahead of a pipe that is full.
const BYTES_MORE_THAN_AHEAD: usize = 50_000_000;

/// A repository, a mirror `far` and another repository `near`, all in the configuration file.
fn configured(bytes: usize) -> Desk {
    let desk = Desk::with_repository();
    let text = format!(
        "[repository]\nurl = '{}'\n\
         [[copy]]\nname = 'far'\nurl = 'mirror'\nmode = 'mirror'\n\
         [[copy]]\nname = 'near'\nurl = 'other'\nmode = 'snapshots'\nkey_file = 'other-key'\nkeep_last = 2\n",
        desk.place.url(),
    );
    desk.put("config.toml", text.as_bytes());
    desk.put("data/large", &bytes_of(1, bytes, 256));
    run(&desk, &["snapshot", "data", "--source", "docs"], 0);
    run(&desk, &["mirror", "--to", "far"], 0);
    desk
}

#[track_caller]
fn run(desk: &Desk, arguments: &[&str], exit: i32) -> Output {
    let output = desk.run(&[&["--config", "config.toml"], arguments].concat());
    check(&output, exit);
    output
}

fn inside(desk: &Desk) -> String {
    format!("docs@latest:{}/large", desk.path("data").display())
}

/// The config is no folder.
fn keys_of(desk: &Desk, folder: &str) -> Vec<ObjectKey> {
    match folder {
        "config" => vec![ObjectKey::new(folder).unwrap()],
        _ => desk.place.keys(folder),
    }
}

fn damage(desk: &Desk, folder: &str) {
    for key in keys_of(desk, folder) {
        desk.place.alter(&key, |bytes| {
            let step = bytes.len().div_ceil(40);
            bytes.iter_mut().step_by(step).for_each(|byte| *byte ^= 1);
        });
    }
    let _none = fs::remove_dir_all(desk.path("cache"));
}

#[track_caller]
fn restores(desk: &Desk, more: &[&str]) -> String {
    let command = ["restore", "latest", "--target", "back"];
    let _none = fs::remove_dir_all(desk.path("cache"));
    let restored = run(desk, &[&command, more].concat(), 0);
    let back = desk.path("back").join(desk.path("data").strip_prefix("/").unwrap());
    assert!(fs::read(back.join("large")).unwrap() == bytes_of(1, BYTES, 256));
    fs::remove_dir_all(desk.path("back")).unwrap();
    err(&restored)
}

#[test]
fn a_configured_mirror_gives_what_the_repository_does_not_and_one_warning_says_so() {
    for folder in ["packs", "index", "manifests", "outcomes", "config", "keys", "ids"] {
        let desk = configured(BYTES);
        assert!(!restores(&desk, &[]).contains("warning"), "{folder}");
        damage(&desk, folder);
        let alone = desk.run(&["restore", "latest", "--target", "alone"]);
        assert_ne!(alone.status.code(), Some(0), "{folder}");
        let told = restores(&desk, &[]);
        assert_eq!(told.matches("by the copy in ").count(), 1, "{folder}: {told}");
        assert!(restores(&desk, &["--from-copy", "far"]).contains("by the copy in "), "{folder}");
        let _none = fs::remove_dir_all(desk.path("cache"));
        let json = run(&desk, &["restore", "latest", "--target", "back", "--json"], 0);
        let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert!(report["copies_used"][0]["reads"].as_u64() > Some(0), "{folder}: {report}");
        // What is wrong with the repository itself is not covered up.
        let depth = if folder == "packs" { "--read-data" } else { "-v" };
        run(&desk, &["check", depth], 5);
    }
}

#[test]
fn objects_that_are_missing_come_from_a_copy_that_is_asked_for() {
    for folder in ["config", "keys", "ids", "manifests", "outcomes"] {
        let desk = configured(BYTES);
        for key in keys_of(&desk, folder) {
            desk.place.remove(key.as_str());
        }
        let _none = fs::remove_dir_all(desk.path("cache"));
        restores(&desk, &["--from-copy", "far"]);
        if ["config", "keys", "ids"].contains(&folder) {
            let found = run(&desk, &["check", "--from-copy", "far"], 5);
            assert!(out(&found).contains(folder), "{}", out(&found));
        }
    }
}

#[test]
fn an_amendment_that_is_damaged_or_missing_comes_from_a_copy() {
    for is_removed in [true, false] {
        let desk = Desk::with_repository();
        desk.put("data/large", &bytes_of(1, BYTES, 256));
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
        check(&desk.run(&["mirror", "--to", "promoted"]), 0);
        check(&desk.run(&["--repo", "promoted", "mirror", "promote"]), 0);
        check(&desk.run(&["--repo", "promoted", "mirror", "--to", "copy"]), 0);
        let amendment = desk.path("promoted/amendments/000001");
        let amendment = if amendment.exists() { amendment } else { first_in(&desk) };
        let mut bytes = fs::read(&amendment).unwrap();
        fs::remove_file(&amendment).unwrap();
        if !is_removed {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::File::create(&amendment)
                .and_then(|mut file| {
                    use std::io::Write as _;
                    file.write_all(&bytes)
                })
                .unwrap();
            check(&desk.run(&["--repo", "promoted", "snapshots"]), 5);
        }
        let restored = ["--repo", "promoted", "restore", "latest", "--target", "back"];
        check(&desk.run(&[&restored[..], &["--from-copy", "copy"]].concat()), 0);
        let found = desk.run(&["--repo", "promoted", "check", "--from-copy", "copy"]);
        if !is_removed {
            check(&found, 5);
            assert!(out(&found).contains("amendments/"), "{}", out(&found));
        }
    }
}

/// The amendment of a repository that was a mirror; its notes lie beside.
fn first_in(desk: &Desk) -> std::path::PathBuf {
    let entries = fs::read_dir(desk.path("promoted/amendments")).unwrap();
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.into_iter().next().unwrap()
}

#[test]
fn a_record_that_only_a_copy_has_counts() {
    let desk = configured(BYTES);
    let first = desk.json(&["snapshots"], 0)["snapshots"][0]["snapshot"].clone();
    let first = first.as_str().unwrap();
    run(&desk, &["snapshot", "data", "--source", "docs"], 0);
    run(&desk, &["forget", first], 0);
    run(&desk, &["forget", "--undo", first], 0);
    run(&desk, &["mirror", "--to", "far"], 0);
    desk.place.remove("records/undo");
    let restore = ["restore", first, "--target", "back"];
    run(&desk, &restore, 1);
    run(&desk, &[&restore[..], &["--from-copy", "far"]].concat(), 0);
}

#[test]
fn a_repository_lost_half_way_is_gone_on_with_from_the_configured_mirror() {
    let desk = configured(BYTES_MORE_THAN_AHEAD);
    let mut command = desk.command(&["--config", "config.toml", "dump", &inside(&desk)]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut dumped = vec![0; 100_000];
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut dumped).unwrap();
    // The pipe is full: the rest is not read yet.
    assert!(!desk.place.keys("packs").is_empty());
    desk.place.remove("packs");
    let _in_a_bucket = fs::remove_dir_all(desk.path("repo"));
    output.read_to_end(&mut dumped).unwrap();
    let ended = child.wait_with_output().unwrap();
    check(&ended, 0);
    assert!(dumped == bytes_of(1, BYTES_MORE_THAN_AHEAD, 256));
    assert_eq!(err(&ended).matches("by the copy in ").count(), 1, "{}", err(&ended));
}

#[test]
fn a_mirror_stands_for_a_repository_that_is_gone_but_is_not_checked_in_its_place() {
    let desk = configured(BYTES);
    desk.place.remove("");
    let _in_a_bucket = fs::remove_dir_all(desk.path("repo"));
    let told = restores(&desk, &[]);
    assert!(told.contains("this is a mirror"), "{told}");
    run(&desk, &["check"], 10);
}

#[test]
fn mirrors_help_only_the_repository_of_the_file_and_only_if_they_are_there() {
    let desk = configured(BYTES);
    check(&desk.run(&["mirror", "--to", "second"]), 0);
    fs::remove_dir_all(desk.path("second/packs")).unwrap();
    let second = ["--repo", "second", "restore", "latest", "--target", "back", "--no-cache"];
    run(&desk, &second, 5);
    damage(&desk, "packs");
    fs::remove_dir_all(desk.path("mirror")).unwrap();
    let output = run(&desk, &["restore", "latest", "--target", "back"], 5);
    assert_eq!(err(&output).matches("mirror cannot be used").count(), 1, "{}", err(&output));
    let other = Desk::with_repository();
    check(&other.run(&["snapshot", "data"]), 0);
    let to = desk.path("mirror");
    check(&other.run(&["mirror", "--to", to.to_str().unwrap()]), 0);
    run(&desk, &["restore", "latest", "--target", "back"], 5);
    run(&desk, &["restore", "latest", "--target", "back", "--from-copy", "far"], 14);
}

#[test]
fn copies_are_called_by_name_for_what_they_are() {
    let desk = configured(BYTES);
    check(&desk.run(&["init", "--repo", "other", "--key-file", "other-key"]), 0);
    for _again in 0..3 {
        run(&desk, &["snapshot", "data", "--source", "docs"], 0);
    }
    run(&desk, &["copy", "--to", "near"], 0);
    let listed = ["--repo", "other", "--key-file", "other-key", "snapshots"];
    let listed = desk.json(&listed, 0)["snapshots"].as_array().unwrap().len();
    assert_eq!(listed, 2, "`keep_last` is 2");
    for (arguments, words) in [
        (&["mirror", "--to", "near"][..], "no mirror"),
        (&["copy", "--to", "far"], "is a mirror"),
        (&["restore", "latest", "--target", "back", "--from-copy", "near"], "no mirror"),
    ] {
        let refused = run(&desk, arguments, 2);
        assert!(err(&refused).contains(words), "{}", err(&refused));
    }
    // What is no name is a location.
    run(&desk, &["restore", "latest", "--target", "back", "--from-copy", "mirror"], 0);
}
