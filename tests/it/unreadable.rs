//! Outcomes and objects of collections that nobody can open, as people and scripts meet them: what can
//! be read is, nothing is deleted by a guess, and the way out that each command names leads out.
//! Spec: format-spec/11-gc.md, "What cannot be read".

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::bytes_of;
use crate::support::environment;
use sbf_repo::KeyFile;
use sbf_repo::Repository;
use sbf_repo::format::keyslot::Role;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::key::add::AddOptions;
use sbf_repo::ops::key::add::add;
use sbf_repo::testing::Maintainer;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::open_in;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What a copy has.
const NAMES: [&str; 3] = ["repo", "key", "other"];

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Truncated,
    Flipped,
    /// It is that of another repository.
    Foreign,
    /// It is sealed as it should be, and signed by a key that may not sign it.
    Forged,
}

const DAMAGES: [Damage; 4] = [Damage::Truncated, Damage::Flipped, Damage::Foreign, Damage::Forged];

/// Copies of one repository, in which a collection ended, and after it two snapshots shared data; the
/// first snapshot is forgotten.
struct Prepared {
    folder: TempDir,
    /// Where its data was.
    data: PathBuf,
    snapshots: Vec<String>,
}

impl Prepared {
    fn shared() -> &'static Self {
        static MADE: OnceLock<Prepared> = OnceLock::new();
        MADE.get_or_init(|| {
            let desk = Desk::with_repository();
            back_up(&desk, "large", 1);
            fs::remove_file(desk.path("data/large")).unwrap();
            back_up(&desk, "second", 2);
            check(&desk.run(&["prune"]), 0);
            back_up(&desk, "third", 3);
            back_up(&desk, "fourth", 4);
            let snapshots = ids(&desk.json(&["snapshots"], 0));
            check(&desk.run(&["forget", &snapshots[0]]), 0);
            let folder = tempfile::tempdir().unwrap();
            let options = AddOptions::new(Role::Admin, "other".to_owned(), FirstSecret::KeyFile);
            add(&opened(&desk, "key", 9), &options, &mut |file| {
                desk.put("other", file.to_text().as_bytes());
                Ok(())
            })
            .unwrap();
            for name in NAMES {
                copy(&desk.path(name), &folder.path().join(name));
            }
            Self { folder, data: desk.path("data"), snapshots }
        })
    }

    /// A copy, to be damaged.
    fn copy() -> Desk {
        let desk = Desk::with_repository();
        fs::remove_dir_all(desk.path("repo")).unwrap();
        fs::remove_file(desk.path("key")).unwrap();
        for name in NAMES {
            copy(&Self::shared().folder.path().join(name), &desk.path(name));
        }
        desk
    }
}

fn back_up(desk: &Desk, name: &str, seed: u64) {
    desk.put(&format!("data/{name}"), &bytes_of(seed, 300_000, 256));
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn ids(listed: &Value) -> Vec<String> {
    let rows = listed["snapshots"].as_array().unwrap();
    rows.iter().map(|row| row["snapshot"].as_str().unwrap().to_owned()).collect()
}

/// Opens the repository with one of the key files.
fn opened(desk: &Desk, key: &str, seed: u64) -> Repository {
    let key = KeyFile::parse(&fs::read_to_string(desk.path(key)).unwrap()).unwrap();
    let store = PosixHandle::open(&desk.path("repo")).unwrap().store();
    open_in(&store, &environment(seed), &key, None).unwrap()
}

/// The keys of the objects below a folder.
fn keys(desk: &Desk, folder: &str) -> BTreeSet<String> {
    let store = PosixHandle::open(&desk.path("repo")).unwrap().store();
    store.list(folder).unwrap().into_iter().map(|listed| listed.key.to_string()).collect()
}

fn write(desk: &Desk, key: &str, bytes: &[u8]) {
    let path = desk.path("repo").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// Damages an object; `forge` stores one in its place that a wrong key signed.
fn damage(desk: &Desk, key: &str, damage: Damage, forge: impl Fn(&Maintainer<'_>)) {
    let path = desk.path("repo").join(key);
    let mut bytes = fs::read(&path).unwrap();
    match damage {
        Damage::Truncated => bytes.truncate(bytes.len() / 2),
        Damage::Flipped => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Damage::Foreign => {
            let other = Desk::with_repository();
            check(&other.run(&["snapshot", "data", "--source", "docs"]), 0);
            check(&other.run(&["prune"]), 0);
            check(&other.run(&["snapshot", "data", "--source", "docs"]), 0);
            let folder = key.split('/').next().unwrap();
            let of_kind = keys(&other, folder);
            let same =
                of_kind.iter().find(|found| found.ends_with(key.rsplit('/').next().unwrap()));
            let found = same.or_else(|| of_kind.first()).unwrap();
            bytes = fs::read(other.path("repo").join(found)).unwrap();
        }
        Damage::Forged => {
            // Read before the object is gone: it could not be opened without.
            let repository = opened(desk, "other", 77);
            fs::remove_file(&path).unwrap();
            forge(&Maintainer::forging(&repository));
            return;
        }
    }
    write(desk, key, &bytes);
}

/// All that a command said.
fn said(output: &Output) -> String {
    format!("{}{}", out(output), err(output))
}

/// Runs a command that must end so and name the object, and say all of these words.
#[track_caller]
fn names(desk: &Desk, arguments: &[&str], exit: i32, key: &str, words: &[&str]) {
    let output = desk.run(arguments);
    check(&output, exit);
    let said = said(&output);
    assert!(said.contains(key), "{arguments:?} does not name {key}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say `{word}`: {said}");
    }
}

/// Restores one of the snapshots and compares it.
#[track_caller]
fn restores(desk: &Desk, snapshot: usize, name: &str, seed: u64) {
    let Prepared { data, snapshots, .. } = Prepared::shared();
    let path = format!("{}:{}/{name}", snapshots[snapshot], data.display());
    let dumped = desk.run(&["dump", &path]);
    assert!(dumped.stdout == bytes_of(seed, 300_000, 256), "{name}: {}", err(&dumped));
}

/// Everything works again, and snapshots 1 and 3 are there.
#[track_caller]
fn is_whole(desk: &Desk, case: &str) {
    let output = desk.run(&["check", "--read-data"]);
    assert_eq!(output.status.code(), Some(0), "{case}: {}", said(&output));
    check(&desk.run(&["snapshots"]), 0);
    restores(desk, 1, "second", 2);
    restores(desk, 3, "fourth", 4);
    restores(desk, 3, "third", 3);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["prune"]), 0);
    let output = desk.run(&["check", "--read-data"]);
    assert_eq!(output.status.code(), Some(0), "{case}, then: {}", said(&output));
    assert!(!keys(desk, "forget").iter().any(|_any| true), "{case}: the forget is carried out");
}

/// A prune refuses, names the object and the way out, and deletes nothing.
#[track_caller]
fn prune_refuses(desk: &Desk, key: &str, words: &[&str]) {
    let before = keys(desk, "packs");
    names(desk, &["prune"], 5, key, words);
    names(desk, &["prune", "--dry-run"], 5, key, words);
    names(desk, &["prune", "--fence-now", "--max-unused", "0"], 5, key, words);
    assert_eq!(keys(desk, "packs"), before);
}

/// The outcome of the third snapshot, in whose packs the fourth one lies, too.
fn outcome_of_third(desk: &Desk) -> String {
    let third = &Prepared::shared().snapshots[2];
    keys(desk, "outcomes").into_iter().find(|key| key.ends_with(third)).unwrap()
}

#[test]
fn an_outcome_that_cannot_be_read_hides_its_snapshot_and_nothing_else() {
    for how in DAMAGES {
        let desk = Prepared::copy();
        let key = outcome_of_third(&desk);
        let announcement = ObjectKey::new(key.replace("outcomes", "sessions")).unwrap();
        // A client must not fence the session of another.
        damage(&desk, &key, how, |forger| forger.fence(&announcement).unwrap());
        let give_up = format!("prune --give-up {key}");
        names(&desk, &["snapshots"], 5, &key, &["hidden", &give_up]);
        names(&desk, &["stats"], 5, &key, &["hidden", &give_up]);
        names(&desk, &["check"], 5, &key, &["hidden", &give_up]);
        names(&desk, &["check", "--read-data"], 5, &key, &["hidden", &give_up]);
        restores(&desk, 1, "second", 2);
        restores(&desk, 3, "fourth", 4);
        restores(&desk, 3, "third", 3);
        let third = Prepared::shared().snapshots[2].as_str();
        names(&desk, &["restore", third, "--target", "lost"], 5, &key, &[&give_up]);
        names(&desk, &["forget", "--keep-last", "9", "--dry-run"], 5, &key, &[&give_up]);
        prune_refuses(&desk, &key, &[&give_up]);
        names(&desk, &["snapshot", "data", "--source", "docs"], 0, &key, &["hidden"]);
        // Nothing else is given up by mistake.
        for other in keys(&desk, "outcomes").into_iter().filter(|other| *other != key) {
            names(&desk, &["prune", "--give-up", &other], 14, &other, &["can be read"]);
        }
        check(&desk.run(&["prune", "--give-up", &key]), 0);
        assert!(!keys(&desk, "outcomes").contains(&key));
        is_whole(&desk, &format!("{how:?}"));
    }
}

#[test]
fn a_verdict_whose_register_cannot_be_read_is_known_by_its_body() {
    for how in DAMAGES {
        let desk = Prepared::copy();
        let key = "gc/000000000001/verdict";
        damage(&desk, key, how, |forger| {
            let plan = sbf_repo::id::Digest::new([1; 32]);
            forger.verdict(1, plan, &[], &[]).unwrap();
        });
        let body = keys(&desk, "gc");
        let give_up = format!("prune --give-up {key}");
        for arguments in [&["snapshots"][..], &["stats"], &["check"]] {
            names(&desk, arguments, 5, key, &["nothing can be backed up or pruned", &give_up]);
        }
        assert_eq!(ids(&desk.json(&["snapshots"], 5)), Prepared::shared().snapshots[1..]);
        restores(&desk, 1, "second", 2);
        restores(&desk, 3, "fourth", 4);
        names(&desk, &["snapshot", "data", "--source", "docs"], 5, key, &[&give_up]);
        names(&desk, &["forget", "--keep-last", "1"], 5, key, &[&give_up]);
        prune_refuses(&desk, key, &[&give_up]);
        assert!(keys(&desk, "gc").is_superset(&body));
        check(&desk.run(&["prune", "--give-up", key]), 0);
        is_whole(&desk, &format!("{how:?}"));
    }
}

#[test]
fn without_the_body_of_a_verdict_or_its_base_only_a_copy_helps() {
    let length =
        |desk: &Desk, key: &String| fs::metadata(desk.path("repo").join(key)).unwrap().len();
    for how in [Damage::Truncated, Damage::Flipped] {
        for number in 0..2 {
            let desk = Prepared::copy();
            let mut bodies: Vec<String> = keys(&desk, "gc").into_iter().collect();
            bodies.retain(|key| key.rsplit('/').next().unwrap().len() == 64);
            bodies.sort_by_key(|key| length(&desk, key));
            let [_smaller, _larger] = bodies.as_slice() else { unreachable!("{bodies:?}") };
            let key = &bodies[number];
            let whole = fs::read(desk.path("repo").join(key)).unwrap();
            damage(&desk, key, how, |_forger| {});
            let copy = "from a copy of the repository";
            names(&desk, &["snapshots"], 5, key, &[copy]);
            names(&desk, &["check"], 5, key, &[copy]);
            names(&desk, &["snapshot", "data", "--source", "docs"], 5, key, &[copy]);
            prune_refuses(&desk, key, &[copy]);
            names(&desk, &["prune", "--give-up", key], 14, key, &["not given up"]);
            write(&desk, key, &whole);
            is_whole(&desk, &format!("{how:?} of {key}"));
        }
    }
}

#[test]
fn what_an_older_collection_left_hinders_nobody_when_it_is_damaged() {
    for step in ["plan", "verdict", "done"] {
        let desk = Prepared::copy();
        check(&desk.run(&["prune"]), 0);
        let key = format!("gc/000000000001/{step}");
        damage(&desk, &key, Damage::Flipped, |_forger| {});
        names(&desk, &["check"], 0, &key, &["nothing needs it any more"]);
        let first = Prepared::shared().snapshots[0].as_str();
        let late = desk.run(&["forget", "--undo", first]);
        check(&late, 1);
        assert!(err(&late).contains("too late"), "{}", err(&late));
        is_whole(&desk, step);
    }
}

#[test]
fn a_plan_that_cannot_be_read_ends_without_deleting() {
    for how in DAMAGES {
        let desk = Prepared::copy();
        let key = "gc/000000000002/plan";
        let packs = keys(&desk, "packs");
        let condemned: Vec<_> = packs.iter().map(|key| ObjectKey::new(key).unwrap()).collect();
        Maintainer::new(&opened(&desk, "key", 5)).unwrap().plan(2, &condemned).unwrap();
        damage(&desk, key, how, |forger| {
            forger.plan(2, &condemned).unwrap();
        });
        names(&desk, &["snapshots"], 5, key, &["hides no snapshot", "run `sbf-repo prune`"]);
        names(&desk, &["check"], 5, key, &["hides no snapshot", "run `sbf-repo prune`"]);
        restores(&desk, 3, "fourth", 4);
        let snapshot = ["snapshot", "data", "--source", "docs"];
        names(&desk, &snapshot, 5, "collection 2", &["run `sbf-repo prune`"]);
        names(&desk, &["prune", "--give-up", key], 14, key, &["a prune goes on as it is"]);
        names(&desk, &["prune"], 0, "collection 2 deletes no packs", &["its plan is damaged"]);
        is_whole(&desk, &format!("{how:?}"));
    }
}

/// How a register came to a number that no collection can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stray {
    /// It is a real one of another number.
    Moved,
    /// It is no object at all.
    Torn,
    /// Everything about it is right but its number.
    WellFormed,
    /// A key signed it that may not.
    Forged,
}

fn put_stray(desk: &Desk, key: &str, step: &str, number: u64, stray: Stray) {
    let repository = opened(desk, "key", 6);
    let maintainer = match stray {
        Stray::Moved => {
            let real = desk.path("repo").join(format!("gc/000000000001/{step}"));
            return write(desk, key, &fs::read(real).unwrap());
        }
        Stray::Torn => return write(desk, key, b"SBF"),
        Stray::WellFormed => Maintainer::new(&repository).unwrap(),
        Stray::Forged => Maintainer::forging(&repository),
    };
    let zeros = sbf_repo::id::Digest::new([0; 32]);
    match step {
        "plan" => drop(maintainer.plan(number, &[]).unwrap()),
        "verdict" => maintainer.verdict(number, zeros, &[], &[]).unwrap(),
        _ => maintainer.done(number).unwrap(),
    }
}

#[test]
fn a_register_of_a_number_that_no_collection_can_have_is_passed_over_and_removed_when_asked() {
    for number in [3, 999_999] {
        for step in ["plan", "verdict", "done"] {
            for stray in [Stray::Moved, Stray::Torn, Stray::WellFormed, Stray::Forged] {
                if (step, stray) == ("verdict", Stray::WellFormed) {
                    continue;
                }
                let case = format!("{stray:?} {step} of {number}");
                let desk = Prepared::copy();
                let key = format!("gc/{number:012}/{step}");
                put_stray(&desk, &key, step, number, stray);
                let give_up = format!("prune --give-up {key}");
                let words = ["of no collection", &give_up];
                names(&desk, &["check"], 5, &key, &words);
                let decides = step != "done";
                let exit = if decides { 5 } else { 0 };
                let listed = desk.json(&["snapshots"], exit);
                assert_eq!(ids(&listed), Prepared::shared().snapshots[1..], "{case}");
                if decides {
                    names(&desk, &["snapshots"], 5, &key, &words);
                    names(&desk, &["snapshot", "data", "--source", "docs"], 5, &key, &words);
                } else {
                    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
                }
                restores(&desk, 1, "second", 2);
                restores(&desk, 3, "fourth", 4);
                prune_refuses(&desk, &key, &words);
                check(&desk.run(&["prune", "--give-up", &key]), 0);
                assert!(!keys(&desk, "gc").contains(&key), "{case}");
                is_whole(&desk, &case);
            }
        }
    }
}

#[test]
fn a_far_verdict_that_can_be_read_has_the_last_word() {
    let desk = Prepared::copy();
    put_stray(&desk, "", "verdict", 999_999, Stray::WellFormed);
    let key = "gc/000000999999/verdict";
    assert_eq!(ids(&desk.json(&["snapshots"], 0)), Prepared::shared().snapshots[1..]);
    names(&desk, &["prune", "--give-up", key], 14, key, &["can be read"]);
    check(&desk.run(&["prune"]), 0);
    restores(&desk, 3, "fourth", 4);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
}

#[test]
fn a_verdict_before_its_plan_is_removed_when_asked_unless_a_body_shows_that_it_is_real() {
    let desk = Prepared::copy();
    let key = "gc/000000000002/verdict";
    write(&desk, key, b"nothing");
    names(&desk, &["snapshots"], 5, key, &["prune --give-up"]);
    prune_refuses(&desk, key, &["prune --give-up"]);
    check(&desk.run(&["prune", "--give-up", key]), 0);
    is_whole(&desk, "a verdict without plan");
    // With the body of a real one beside it, it may be a real register whose plan was lost.
    let desk = Prepared::copy();
    let zeros = sbf_repo::id::Digest::new([0; 32]);
    Maintainer::new(&opened(&desk, "key", 5)).unwrap().verdict(2, zeros, &[], &[]).unwrap();
    damage(&desk, key, Damage::Flipped, |_forger| {});
    let gc = keys(&desk, "gc");
    names(&desk, &["prune", "--give-up", key], 14, key, &["real one"]);
    assert_eq!(keys(&desk, "gc"), gc);
}

#[test]
fn a_register_is_kept_if_a_backup_went_by_it() {
    let desk = Prepared::copy();
    let key = "gc/000000000007/plan";
    put_stray(&desk, key, "plan", 7, Stray::WellFormed);
    // As a program would that does not look for gaps.
    let announced = keys(&desk, "sessions").into_iter().next().unwrap();
    let repository = opened(&desk, "key", 8);
    let far = announced.replacen("/000000000001/", "/000000000007/", 1);
    Maintainer::forging(&repository).announce(&ObjectKey::new(&far).unwrap()).unwrap();
    names(&desk, &["prune", "--give-up", key], 14, key, &["backups of its epoch"]);
    assert!(keys(&desk, "gc").contains(key));
}

#[test]
fn what_counts_for_nothing_is_named_by_a_check_and_hinders_nobody() {
    let desk = Prepared::copy();
    write(&desk, "gc/000000ffffff/plan", b"who knows");
    names(&desk, &["check"], 5, "gc/000000ffffff/plan", &["no command reads it"]);
    fs::remove_file(desk.path("repo/gc/000000ffffff/plan")).unwrap();
    let near = outcome_of_third(&desk);
    let far = near.replacen("/000000000001/", "/000000999999/", 1);
    write(&desk, &far, &fs::read(desk.path("repo").join(&near)).unwrap());
    names(&desk, &["check"], 5, &far, &["--give-up"]);
    check(&desk.run(&["snapshots"]), 0);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["prune"]), 0);
    check(&desk.run(&["prune", "--give-up", &far]), 0);
    is_whole(&desk, "an outcome of a far epoch");
}
