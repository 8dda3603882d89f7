//! Restores that read from a copy what the repository does not give, also if it is lost half way.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::servers::Bucket;
use crate::servers::http::Sending;
use crate::servers::proxy;
use crate::servers::weed;
use crate::support::bytes_of;
use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

/// Enough for several packs in flight, when a pipe is full.
const BYTES: usize = 6_000_000;
/// More than a dump reads ahead of a pipe that is full.
const BYTES_MORE_THAN_AHEAD: usize = 50_000_000;

fn with_copy() -> Desk {
    with_copy_of(BYTES)
}

fn with_copy_of(bytes: usize) -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/large", &bytes_of(1, bytes, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["mirror", "--to", "copy"]), 0);
    desk
}

#[track_caller]
fn restores(desk: &Desk, arguments: &[&str]) -> String {
    let command = ["restore", "latest", "--target", "back"];
    let output = desk.run(&[&command[..], arguments].concat());
    check(&output, 0);
    let back = desk.path("back").join(desk.path("data").strip_prefix("/").unwrap());
    assert!(fs::read(back.join("large")).unwrap() == bytes_of(1, BYTES, 256));
    fs::remove_dir_all(desk.path("back")).unwrap();
    err(&output)
}

#[test]
fn what_is_damaged_or_missing_comes_from_the_copy() {
    for (folder, is_removed) in [
        ("packs", false),
        ("packs", true),
        ("index", false),
        ("manifests", false),
        ("outcomes", false),
    ] {
        let desk = with_copy();
        for key in desk.place.keys(folder) {
            desk.place.alter(&key, |bytes| {
                let step = bytes.len().div_ceil(40);
                bytes.iter_mut().step_by(step).for_each(|byte| *byte ^= 1);
            });
            // A listing shows what is not there only if something is.
            if is_removed {
                desk.place.remove(key.as_str());
            }
        }
        fs::remove_dir_all(desk.path("cache")).ok();
        let alone = desk.run(&["restore", "latest", "--target", "alone"]);
        assert_ne!(alone.status.code(), Some(0), "{folder}");
        let told = restores(&desk, &["--from-copy", "copy"]);
        assert!(told.contains("copy: run `sbf-repo check"), "{folder}: {told}");
    }
}

#[test]
fn a_copy_stands_for_a_repository_that_is_gone() {
    let desk = with_copy();
    desk.place.remove("");
    let _ignored = fs::remove_dir_all(desk.path("repo"));
    let told = restores(&desk, &["--from-copy", "nowhere", "--from-copy", "copy"]);
    assert!(told.contains("cannot be used") && told.contains("this is a mirror"), "{told}");
    let inside = format!("docs@latest:{}/large", desk.path("data").display());
    let dumped = desk.run(&["dump", &inside, "--from-copy", "copy"]);
    check(&dumped, 0);
    assert!(dumped.stdout == bytes_of(1, BYTES, 256));
    check(&desk.run(&["restore", "latest", "--target", "back", "--from-copy", "nowhere"]), 10);
}

#[test]
fn a_repository_may_be_lost_in_the_middle_of_a_restore() {
    let desk = with_copy_of(BYTES_MORE_THAN_AHEAD);
    let inside = format!("docs@latest:{}/large", desk.path("data").display());
    let mut command = desk.command(&["dump", &inside, "--from-copy", "copy"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut dumped = vec![0; 100_000];
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut dumped).unwrap();
    // The pipe is full: the rest is not read yet.
    let packs = desk.place.keys("packs");
    assert!(!packs.is_empty());
    desk.place.remove("packs");
    let _ignored = fs::remove_dir_all(desk.path("repo"));
    output.read_to_end(&mut dumped).unwrap();
    let ended = child.wait_with_output().unwrap();
    check(&ended, 0);
    assert!(dumped == bytes_of(1, BYTES_MORE_THAN_AHEAD, 256));
    assert!(err(&ended).contains("by the copy in "), "{}", err(&ended));
}

#[test]
fn a_check_says_what_the_copy_has_whole_and_no_other_repository_is_a_copy() {
    let desk = with_copy();
    let pack = desk.place.longest("packs");
    desk.place.alter(&pack, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let checked = desk.run(&["check", "--read-data", "--from-copy", "copy"]);
    check(&checked, 5);
    assert!(out(&checked).contains("copy has it whole"), "{}", out(&checked));
    let other = Desk::with_repository();
    let other = other.path("repo");
    if other.exists() {
        let other = other.to_str().unwrap();
        let refused = ["restore", "latest", "--target", "back", "--from-copy", other];
        check(&desk.run(&refused), 14);
        check(&desk.run(&["check", "--from-copy", other]), 14);
    }
}

#[test]
fn a_bucket_may_refuse_everything_in_the_middle_of_a_restore() {
    let desk = with_copy();
    let bucket = weed::bucket();
    let in_bucket = |bucket: &Bucket, arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.envs(bucket.variables.iter().map(|(name, value)| (name, value)));
        command.env("SBF_REPO_REPOSITORY", &bucket.url).output().unwrap()
    };
    // The repository of the desk is in a bucket and in a directory then.
    let mut command = desk.command(&["mirror", "--to", &bucket.url]);
    command.envs(bucket.variables.iter().map(|(name, value)| (name, value)));
    check(&command.output().unwrap(), 0);
    // The trees; nothing of the file.
    let left = AtomicU32::new(1);
    let port = proxy::start(weed::port(), move |request, upstream| {
        let is_pack = request.path().contains("/packs/");
        let spend = |left: u32| left.checked_sub(u32::from(is_pack));
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok() {
            return (upstream(request), Sending::Whole);
        }
        proxy::refusal(400, "ExpiredToken")
    });
    let through = bucket.through(port);
    let inside = format!("docs@latest:{}/large", desk.path("data").display());
    let alone = in_bucket(&through, &["dump", &inside]);
    check(&alone, 13);
    let helped = in_bucket(&through, &["dump", &inside, "--from-copy", "copy"]);
    check(&helped, 0);
    assert!(helped.stdout == bytes_of(1, BYTES, 256));
}
