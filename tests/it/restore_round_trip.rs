//! Any tree becomes any other in place: random trees, on several file systems.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::assert_same;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use sbf_repo::ops::restore::Delete;
use sbf_repo::ops::restore::ReadBack;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::restore::Trust;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A file of a random tree: directories, seed, length, kind. Few of each, so that two trees agree
/// on much.
type Item = (Vec<u8>, u64, usize, u8);

/// Makes a tree; names tell kinds, so that nothing is in the way of a directory.
fn make(source: &Path, items: &[Item]) {
    fs::remove_dir_all(source).unwrap();
    fs::create_dir(source).unwrap();
    for (directories, seed, length, kind) in items {
        let parent: PathBuf = directories.iter().map(|number| format!("d{number}")).collect();
        let parent = source.join(parent);
        fs::create_dir_all(&parent).unwrap();
        let path = parent.join(format!("f{}", seed % 4));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match kind {
            0 => symlink(format!("to {seed}"), &path).unwrap(),
            1 => {
                let file = fs::File::create(&path).unwrap();
                file.set_len(u64::try_from(*length).unwrap() * 3).unwrap();
            }
            _ => put(&path, noise(seed % 3, *length)),
        }
        if *kind == 2 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let other = parent.join("linked");
            fs::hard_link(&path, other).ok();
        }
    }
}

/// Restores each tree over the one before, in a target of its own.
fn check_in_place(target: &Path, cases: u32) {
    let lengths = proptest::sample::select(vec![0, 1, 5000, 70_000, 400_000]);
    let items = vec((vec(0..3_u8, 0..4), 0..12_u64, lengths, 0..6_u8), 0..20);
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, cases, ..Config::default() });
    let trees = (items.clone(), items, any::<u64>());
    let result = runner.run(&trees, |(first, second, number)| {
        let scratch = Scratch::new();
        let mut options = RestoreOptions::new(target.join(format!("{number:016x}")));
        options.trust = Trust::Trusted;
        options.delete = Delete::Extra;
        options.read_back = ReadBack::Everything;
        let selector = format!("latest:{}", scratch.source().display());
        for items in [&first, &second, &first] {
            make(&scratch.source(), items);
            scratch.snapshot();
            let report = scratch.try_restore(&selector, &options).unwrap();
            assert_eq!(report.failed_count, 0, "{:?}", report.failed);
            let verified = report.verified.unwrap();
            assert_eq!(verified.findings_count, 0, "{:?}", verified.findings);
            assert_same(&scratch.source(), &options.target);
        }
        fs::remove_dir_all(&options.target).unwrap();
        Ok(())
    });
    result.unwrap();
}

/// A mounted file system; gone with the value.
struct Mount {
    folder: TempDir,
}

impl Mount {
    fn new(arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(arguments).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { folder })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ignored = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

fn check_on_image(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    let image = image.to_str().unwrap();
    let made = Command::new(format!("mkfs.{kind}")).args(["-q", image]).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return skip(&format!("this machine cannot make a file system of {kind}"));
    }
    let Some(mount) = Mount::new(&["-t", kind, "-o", "loop", image]) else {
        return skip(&format!("no image of {kind} can be mounted here"));
    };
    check_in_place(mount.folder.path(), 4);
}

#[test]
fn random_trees_become_each_other_in_place() {
    let folder = tempfile::tempdir().unwrap();
    check_in_place(folder.path(), 8);
}

#[test]
fn trees_come_back_in_place_on_tmpfs() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "tmpfs"]) else {
        return skip("no file system can be mounted here");
    };
    check_in_place(mount.folder.path(), 4);
}

#[test]
fn trees_come_back_in_place_on_ext4() {
    check_on_image("ext4");
}

#[test]
fn trees_come_back_in_place_on_xfs() {
    check_on_image("xfs");
}

#[test]
fn trees_come_back_in_place_on_btrfs() {
    check_on_image("btrfs");
}
