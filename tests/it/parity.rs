//! `init --parity`: packs that are damaged on the disk are read all the same, and heal.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::files_below;
use crate::cli::out;
use crate::support::bytes_of;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// A repository whose packs have parity, with a snapshot of `data`.
fn filled(share: &str) -> Desk {
    let desk = Desk::without_repository();
    check(&desk.run(&["init", "--parity", share]), 0);
    desk.put("data/large", &bytes_of(7, 6_000_000, 256));
    for number in 0..200 {
        desk.put(&format!("data/inner/{number}"), &bytes_of(number, 3_000, 256));
    }
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    desk
}

fn packs(desk: &Desk) -> Vec<PathBuf> {
    files_below(&desk.path("repo/packs"))
}

fn sidecars(desk: &Desk) -> Vec<PathBuf> {
    files_below(&desk.path("repo/parity"))
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Damages so many thousandths of a file, half of them at its end.
fn damage(path: &Path, per_mille: usize) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    let run = (length * per_mille / 2000).max(1);
    for start in [length / 5, length - run] {
        bytes[start..start + run].iter_mut().for_each(|byte| *byte = !*byte);
    }
    overwrite(path, &bytes);
}

#[track_caller]
fn check_restores(desk: &Desk, target: &str) {
    let inside = format!("docs@latest:{}", desk.path("data").display());
    check(&desk.run(&["restore", &inside, "--target", target]), 0);
    let trees = [desk.path("data"), desk.path(target)];
    assert!(Command::new("diff").arg("-r").args(trees).status().unwrap().success());
}

#[test]
fn a_repository_whose_packs_are_all_damaged_heals_itself() {
    let desk = filled("5%");
    assert_eq!(packs(&desk).len(), sidecars(&desk).len());
    check(&desk.run(&["check", "--read-data"]), 0);
    for pack in packs(&desk) {
        damage(&pack, 30);
    }
    let found = desk.run(&["check", "--read-data"]);
    check(&found, 5);
    // What is damaged can be read before it is healed, and it is said.
    let inside = format!("docs@latest:{}", desk.path("data").display());
    let read = desk.run(&["restore", &inside, "--target", "before"]);
    check(&read, 0);
    assert!(err(&read).contains("computed from parity"), "{}", err(&read));
    let healed = desk.run(&["check", "--read-data", "--heal"]);
    check(&healed, 0);
    assert!(err(&healed).contains("healed 2 of 2 broken packs"), "{}", err(&healed));
    check(&desk.run(&["prune"]), 0);
    let after = desk.run(&["check", "--read-data"]);
    check(&after, 0);
    assert!(!out(&after).contains("damage:"), "{}", out(&after));
    let quiet = desk.run(&["restore", &inside, "--target", "after"]);
    check(&quiet, 0);
    assert!(!err(&quiet).contains("parity"), "{}", err(&quiet));
    check_restores(&desk, "once-more");
    assert_eq!(packs(&desk).len(), sidecars(&desk).len(), "the old ones went with their packs");
}

#[test]
fn packs_that_were_cut_short_are_read() {
    let desk = filled("10%");
    for pack in packs(&desk) {
        let bytes = fs::read(&pack).unwrap();
        overwrite(&pack, &bytes[..bytes.len() - bytes.len() / 20]);
    }
    check_restores(&desk, "target");
    check(&desk.run(&["check", "--heal"]), 0);
    check_restores(&desk, "healed");
}

#[test]
fn more_damage_than_parity_is_told_and_nothing_wrong_is_written() {
    let desk = filled("1%");
    for pack in packs(&desk) {
        damage(&pack, 400);
    }
    let inside = format!("docs@latest:{}", desk.path("data").display());
    check(&desk.run(&["restore", &inside, "--target", "target"]), 5);
    let healed = desk.run(&["check", "--read-data", "--heal"]);
    check(&healed, 5);
    assert!(err(&healed).contains("not healed"), "{}", err(&healed));
}

#[test]
fn sidecars_are_checked_and_made_again() {
    let desk = filled("5%");
    let all = sidecars(&desk);
    let before = fs::read(&all[1]).unwrap();
    fs::remove_file(&all[0]).unwrap();
    damage(&all[1], 10);
    let found = desk.run(&["check", "--read-data"]);
    check(&found, 0);
    assert!(err(&found).contains("has no parity"), "{}", err(&found));
    assert!(err(&found).contains("parity is damaged"), "{}", err(&found));
    let healed = desk.run(&["check", "--read-data", "--heal"]);
    check(&healed, 0);
    assert!(err(&healed).contains("made the parity of 2 packs again"), "{}", err(&healed));
    assert_eq!(fs::read(&all[1]).unwrap(), before);
    assert!(!err(&desk.run(&["check", "--read-data"])).contains("parity"));
}

#[test]
fn shares_that_make_no_sense_are_refused() {
    let desk = Desk::without_repository();
    for share in ["0%", "51%", "-1%", "much", "0.001%"] {
        check(&desk.run(&["init", &format!("--parity={share}")]), 2);
    }
    check(&desk.run(&["init", "--parity", "0.5%"]), 0);
}
