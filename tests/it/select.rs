//! Which snapshot is meant: ties, and manifests that cannot be read.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::files_below;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

/// Makes a snapshot that the store received at this second; returns what the program says.
fn snapshot_at(desk: &Desk, arguments: &[&str], second: u64) -> serde_json::Value {
    let outcomes = || -> BTreeSet<PathBuf> {
        let found = desk.path("repo/outcomes").exists();
        let folder = found.then(|| files_below(&desk.path("repo/outcomes")));
        folder.unwrap_or_default().into_iter().collect()
    };
    let before = outcomes();
    let made = desk.json(&[&["snapshot", "--source", "docs"], arguments].concat(), 0);
    for outcome in outcomes().difference(&before) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        fs::File::open(outcome).unwrap().set_modified(time).unwrap();
    }
    made
}

fn damage_manifest(desk: &Desk, snapshot: &str) {
    let manifests = files_below(&desk.path("repo/manifests"));
    let manifest = manifests.iter().find(|path| path.ends_with(snapshot)).unwrap();
    let mut bytes = fs::read(manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(manifest, fs::Permissions::from_mode(0o600)).unwrap();
    desk.put(manifest.to_str().unwrap(), &bytes);
}

fn now() -> u64 {
    let modified = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
    modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_damaged_manifest_that_was_received_earlier_does_not_hide_the_latest() {
    // It did until an hour had passed, or for ever in a copy whose files all have one time.
    let (desk, now) = (Desk::with_repository(), now());
    let older = snapshot_at(&desk, &["data"], now - 60);
    let newer = snapshot_at(&desk, &["data"], now);
    let id = |made: &serde_json::Value| made["snapshot"].as_str().unwrap().to_owned();
    damage_manifest(&desk, &id(&older));
    for selector in ["latest", "docs@latest", "docs@0d"] {
        let listed = desk.run(&["ls", selector]);
        check(&listed, 0);
        assert!(err(&listed).contains(&id(&older)), "{}", err(&listed));
    }
    damage_manifest(&desk, &id(&newer));
    let third = snapshot_at(&desk, &["data"], now - 30);
    let listed = desk.run(&["ls", "docs@latest"]);
    check(&listed, 5);
    let words = err(&listed);
    assert!(words.contains(&id(&newer)[..8]) && words.contains("give the id"), "{words}");
    check(&desk.run(&["ls", &id(&third)]), 0);
}

#[test]
fn of_snapshots_within_one_second_the_last_is_the_parent() {
    // It was the one with the largest id.
    let (desk, now) = (Desk::with_repository(), now());
    let mut parent = serde_json::Value::Null;
    for _ in 0..7 {
        let made = snapshot_at(&desk, &["--time", "2026-01-01T00:00:00Z", "data"], now);
        assert_eq!(made["parent"], parent);
        parent = made["snapshot"].clone();
        let latest = desk.run(&["ls", "latest", "--json"]);
        check(&latest, 0);
        let said = String::from_utf8(latest.stdout).unwrap();
        assert!(said.contains(parent.as_str().unwrap()), "{said}");
    }
}
