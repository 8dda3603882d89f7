//! `mirror` as people and scripts see it, between stores of every kind.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::reader::python;
use crate::servers::Bucket;
use crate::servers::gcs;
use crate::servers::weed;
use crate::support::bytes_of;
use std::fs;
use std::process::Command;
use std::process::Output;
use std::time::Duration;

/// A place for a repository: its location, and what reaches it.
pub(crate) struct Spot {
    pub(crate) url: String,
    variables: Vec<(String, String)>,
}

/// One in each kind of store.
pub(crate) fn spots(desk: &Desk, name: &str) -> Vec<Spot> {
    let of = |bucket: Bucket| Spot {
        url: format!("{}/{name}", bucket.url),
        variables: bucket.variables,
    };
    let directory = desk.path(name).to_str().unwrap().to_owned();
    vec![of(weed::bucket()), of(gcs::bucket()), Spot { url: directory, variables: Vec::new() }]
}

/// Runs the program on the first place; all are within its reach.
pub(crate) fn run(desk: &Desk, spots: &[&Spot], arguments: &[&str]) -> Output {
    let mut command = desk.command(arguments);
    for spot in spots {
        command.envs(spot.variables.iter().map(|(name, value)| (name, value)));
    }
    command.env("SBF_REPO_REPOSITORY", &spots[0].url).output().unwrap()
}

#[test]
fn a_repository_is_mirrored_between_stores_of_every_kind() {
    let desk = Desk::with_repository();
    desk.put("data/large", &bytes_of(1, 900_000, 256));
    let (sources, targets) = (spots(&desk, "from"), spots(&desk, "to"));
    for (number, from) in sources.iter().enumerate() {
        fs::remove_file(desk.path("key")).unwrap();
        check(&run(&desk, &[from], &["init"]), 0);
        check(&run(&desk, &[from], &["snapshot", "data", "--source", "docs"]), 0);
        for (other, to) in targets.iter().enumerate() {
            let place = format!("{}-{number}", to.url);
            let to = Spot { url: place, variables: to.variables.clone() };
            let case = format!("{number} to {other}");
            let mirror = ["mirror", "--to", &to.url];
            check(&run(&desk, &[from, &to], &mirror), 0);
            let listed = run(&desk, &[&to], &["snapshots"]);
            check(&listed, 0);
            assert!(out(&listed).contains("docs"), "{case}: {}", out(&listed));
            assert!(err(&listed).contains("warning: this is a mirror of"), "{}", err(&listed));
            let again = run(&desk, &[from, &to], &[&mirror[..], &["--read-data"]].concat());
            check(&again, 0);
            // The records of the two runs before in the audit log, and no more.
            assert!(err(&again).contains(" in 2 objects, deleted 0"), "{}", err(&again));
            check(&run(&desk, &[&to], &["restore", "latest", "--target", "back"]), 0);
            let back = desk.path("back").join(desk.path("data").strip_prefix("/").unwrap());
            assert!(fs::read(back.join("large")).unwrap() == bytes_of(1, 900_000, 256), "{case}");
            fs::remove_dir_all(desk.path("back")).unwrap();
            check(&run(&desk, &[&to], &["snapshot", "data"]), 5);
            if number == other {
                check(&run(&desk, &[&to], &["mirror", "promote"]), 0);
                check(&run(&desk, &[&to], &["snapshot", "data", "--source", "docs"]), 0);
                check(&run(&desk, &[&to], &["check", "--read-data"]), 0);
                check(&run(&desk, &[from, &to], &mirror), 14);
            }
        }
    }
}

fn mirror(desk: &Desk, more: &[&str], exit: i32) -> Output {
    let output = desk.run(&[&["mirror", "--to", "copy"], more].concat());
    check(&output, exit);
    output
}

#[test]
fn every_command_knows_a_mirror() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]), 0);
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    let report = desk.json(&["mirror", "--to", "copy", "--key-file", "writer"], 0);
    assert_eq!(report["snapshots"], 1);
    assert!(report["copied_objects"].as_u64() > Some(5), "{report}");
    let on_copy = |arguments: &[&str], exit| {
        let output = desk.run(&[&["--repo", "copy"], arguments].concat());
        check(&output, exit);
        output
    };
    for reading in [&["snapshots"][..], &["ls", "latest"], &["stats"], &["check", "--read-data"]] {
        let output = on_copy(reading, 0);
        let words = format!("this is a mirror of {}", desk.path("repo").display());
        let is_told = err(&output).contains(&words) || !desk.path("repo").exists();
        assert!(is_told && err(&output).contains(" ago"), "{}", err(&output));
    }
    for writing in [
        &["snapshot", "data"][..],
        &["forget", "latest", "--force"],
        &["hold", "latest", "--reason", "x"],
        &["prune"],
        &["key", "add", "--role", "reader", "--new-key-file", "more"],
    ] {
        let output = on_copy(writing, 5);
        assert!(err(&output).contains("hint: write to the repository"), "{}", err(&output));
    }
    mirror(&desk, &["--key-file", "reader"], 15);
    check(&desk.run(&["mirror"]), 2);
    check(&desk.run(&["mirror", "promote"]), 14);
    check(&desk.run(&["--repo", "nowhere", "mirror", "promote"]), 10);
    check(&desk.run(&["--repo", "copy", "mirror", "--to", "copy"]), 2);
    fs::create_dir(desk.path("photos")).unwrap();
    desk.put("photos/a.jpg", b"x");
    check(&desk.run(&["mirror", "--to", "photos"]), 1);
    assert!(!desk.path("photos/amendments").exists());
    check(&desk.run(&["--repo", "copy", "--key-file", "writer", "mirror", "promote"]), 15);
    check(&on_copy(&["mirror", "promote"], 0), 0);
    on_copy(&["mirror", "promote"], 14);
    on_copy(&["snapshot", "data"], 0);
    on_copy(&["check", "--read-data"], 0);
    mirror(&desk, &[], 14);
}

#[test]
fn an_old_key_slot_is_told_and_deleted_if_that_is_wanted() {
    let desk = Desk::with_repository();
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]), 0);
    mirror(&desk, &[], 0);
    let slots = desk.json(&["key", "list"], 0)["slots"].as_array().unwrap().clone();
    let reader = slots.iter().find(|slot| format!("{slot}").contains("reader")).unwrap();
    check(&desk.run(&["key", "remove", reader["slot"].as_str().unwrap()]), 0);
    let told = mirror(&desk, &[], 0);
    assert!(err(&told).contains("it still opens the mirror"), "{}", err(&told));
    let with_reader = ["--repo", "copy", "--key-file", "reader", "snapshots"];
    check(&desk.run(&with_reader), 0);
    mirror(&desk, &["--delete-key-slots"], 0);
    check(&desk.run(&with_reader), 12);
}

#[test]
fn a_mirror_killed_again_and_again_is_whole_in_the_end() {
    let desk = Desk::with_repository();
    for number in 0..3 {
        desk.put("data/large", &bytes_of(number, 3_000_000, 256));
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    }
    for milliseconds in (0..40).map(|step| step * 6) {
        let mut child =
            desk.command(&["mirror", "--to", "copy", "--threads", "2"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let opened = desk.run(&["--repo", "copy", "check"]);
        // Nothing is there yet, or what is there is whole.
        assert!(matches!(opened.status.code(), Some(0 | 10)), "{}{}", out(&opened), err(&opened));
    }
    mirror(&desk, &[], 0);
    check(&desk.run(&["--repo", "copy", "check", "--read-data"]), 0);
    fs::remove_dir_all(desk.path("repo")).unwrap();
    let python = python();
    let reader = Command::new(python)
        .arg("tools/reader.py")
        .arg(desk.path("copy"))
        .arg("--key-file")
        .arg(desk.path("key"))
        .arg("check")
        .output()
        .unwrap();
    check(&reader, 0);
}
