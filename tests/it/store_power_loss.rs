//! Power loss under the store in a directory: every prefix of short workloads, and every legal
//! subset of what was not synced, up to a cap. What was acknowledged must be there afterwards.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use sbf_repo::key::ObjectKey;
use sbf_repo::testing::DiskFault;
use sbf_repo::testing::DiskQuirk;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::SimDisk;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

// One step of a workload.
#[derive(Clone, Copy)]
enum Step {
    Create(&'static str, u8),
    Delete(&'static str),
    Settle(&'static str),
    // A new process continues.
    Restart,
    // A second process creates the key, or deletes it, in the middle of the next step, at each of
    // its calls in turn.
    Meanwhile(Meanwhile),
}

#[derive(Clone, Copy)]
enum Meanwhile {
    Create(&'static str, u8),
    Delete(&'static str),
}

// What may be at a key after a loss of power.
#[derive(Clone, Default)]
struct Expected {
    bodies: Vec<u8>,
    may_be_absent: bool,
    may_exist: bool,
}

// Every claim about every key, shared with interleaved actions.
type Promises = Arc<Mutex<BTreeMap<&'static str, Expected>>>;

// Not a whole number of sectors, and more than one.
const BODY_BYTES: usize = 1100;
const SUBSETS_MAX: usize = 1 << 12;
const SEED: u64 = 0x5bf0;

const WORKLOADS: [(&str, &[Step]); 9] = [
    ("one create at the root", &[Step::Create("config", 1)]),
    ("one create in new directories", &[Step::Create("packs/a/b/1", 1)]),
    ("two creates of one key", &[Step::Create("a/1", 1), Step::Create("a/1", 2)]),
    ("two creates in one directory", &[Step::Create("a/1", 1), Step::Create("a/2", 2)]),
    (
        "creates in sibling directories, with a restart",
        &[Step::Create("a/b/1", 1), Step::Restart, Step::Create("a/c/1", 2)],
    ),
    (
        "create, delete and settle",
        &[Step::Create("a/1", 1), Step::Create("a/2", 2), Step::Delete("a/1"), Step::Settle("a/2")],
    ),
    (
        "two processes create one key",
        &[Step::Meanwhile(Meanwhile::Create("a/b/1", 2)), Step::Create("a/b/1", 1)],
    ),
    (
        "two processes create in the same new directory",
        &[Step::Meanwhile(Meanwhile::Create("a/b/2", 2)), Step::Create("a/b/1", 1)],
    ),
    (
        "two processes delete one key",
        &[Step::Create("a/1", 1), Step::Meanwhile(Meanwhile::Delete("a/1")), Step::Delete("a/1")],
    ),
];

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn body(fill: u8) -> Vec<u8> {
    vec![fill; BODY_BYTES]
}

fn create(store: &dyn Store, promises: &Promises, text: &'static str, fill: u8) {
    let answer = store.create(&key(text), &body(fill));
    let mut promises = promises.lock().unwrap();
    let expected = promises
        .entry(text)
        .or_insert_with(|| Expected { may_be_absent: true, ..Expected::default() });
    match answer {
        Ok(()) => {
            *expected = Expected { bodies: vec![fill], may_be_absent: false, may_exist: true };
        }
        // The object of another process is not known to be durable.
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
        Err(_) if !expected.may_be_absent => {}
        Err(_) => {
            expected.may_exist = true;
            expected.bodies.push(fill);
        }
    }
}

fn delete(store: &dyn Store, promises: &Promises, text: &'static str) {
    let answer = store.delete(&key(text));
    let mut promises = promises.lock().unwrap();
    let expected = promises.entry(text).or_default();
    expected.may_be_absent = true;
    if answer.is_ok() {
        expected.may_exist = false;
    }
}

// Runs a workload until the disk stops; `meanwhile_at` counts calls from where it is armed.
fn run(disk: &SimDisk, workload: &[Step], meanwhile_at: u64) -> Promises {
    let promises = Promises::default();
    resume(disk, workload, meanwhile_at, &promises);
    promises
}

fn resume(disk: &SimDisk, workload: &[Step], meanwhile_at: u64, promises: &Promises) {
    let mut store = PosixHandle::on(disk).store();
    for step in workload {
        match *step {
            Step::Create(text, fill) => create(&*store, promises, text, fill),
            Step::Delete(text) => delete(&*store, promises, text),
            Step::Settle(text) => drop(store.settle(&key(text))),
            Step::Restart => store = PosixHandle::on(disk).store(),
            Step::Meanwhile(action) => {
                let (other, promises) = (PosixHandle::on(disk).store(), Arc::clone(promises));
                disk.interleave_at(disk.operations() + meanwhile_at, move || match action {
                    Meanwhile::Create(text, fill) => create(&*other, &promises, text, fill),
                    Meanwhile::Delete(text) => delete(&*other, &promises, text),
                });
            }
        }
    }
}

// What is wrong with a disk after power came back.
fn verdict(disk: &SimDisk, promises: &Promises) -> Result<(), String> {
    let handle = PosixHandle::on(disk);
    let store = handle.store();
    let promises = promises.lock().unwrap();
    let listed = store.list("").map_err(|error| format!("list: {error}"))?;
    for entry in &listed {
        let known = promises.get(entry.key.as_str()).is_some_and(|expected| expected.may_exist);
        if !known {
            return Err(format!("`{}` must not exist", entry.key));
        }
    }
    for (text, expected) in promises.iter() {
        match store.read(&key(text), 1 << 20) {
            Ok(found) if expected.bodies.iter().any(|fill| found == body(*fill)) => {}
            Ok(found) => return Err(format!("`{text}` is torn: {} bytes", found.len())),
            Err(error) if error.kind != StoreErrorKind::NotFound => {
                return Err(format!("`{text}`: {error}"));
            }
            Err(_) if expected.may_be_absent => {
                store.create(&key(text), &body(9)).map_err(|error| format!("again: {error}"))?;
            }
            Err(_) => return Err(format!("`{text}` was acknowledged and is gone")),
        }
    }
    store.create(&key("new/directory/1"), b"x").map_err(|error| format!("new: {error}"))?;
    handle.sweep_staged().map_err(|error| format!("sweep: {error}"))?;
    match handle.sweep_staged() {
        Ok(0) => Ok(()),
        other => Err(format!("the second sweep found {other:?}")),
    }
}

// Every prefix of a workload, every interleaving, every subset of survivors up to the cap.
// Returns how many states were judged.
fn explore(name: &str, workload: &[Step], quirk: Option<DiskQuirk>) -> Result<u64, String> {
    let disk = || quirk.map_or_else(SimDisk::new, SimDisk::with_quirk);
    let is_racing = workload.iter().any(|step| matches!(step, Step::Meanwhile(_)));
    let mut states = 0;
    for meanwhile_at in 0..if is_racing { 12 } else { 1 } {
        let whole = disk();
        run(&whole, workload, meanwhile_at);
        for prefix in 0..=whole.operations() {
            let stopped = disk();
            stopped.stop_at(prefix);
            let promises = run(&stopped, workload, meanwhile_at);
            let subsets = if is_racing { SUBSETS_MAX >> 4 } else { SUBSETS_MAX };
            for kept in stopped.survivors(subsets, SEED ^ prefix) {
                states += 1;
                verdict(&stopped.after_power_loss(&kept), &promises).map_err(|wrong| {
                    format!("{name}, stopped at {prefix}, other at {meanwhile_at}, kept {kept:?}: {wrong}")
                })?;
            }
        }
    }
    Ok(states)
}

// A process dies at each of its calls, the disk keeps running, and another process does it all
// again until the power fails at each of its calls.
fn explore_deaths(name: &str, workload: &[Step]) -> Result<u64, String> {
    let mut states = 0;
    for death in 0.. {
        let alive = |stop: Option<u64>| {
            let disk = SimDisk::new();
            disk.stop_at(death);
            let promises = run(&disk, workload, 3);
            let died_at = disk.operations();
            disk.stop_at(stop.map_or(u64::MAX, |stop| died_at + stop));
            resume(&disk, workload, 3, &promises);
            (disk, promises, died_at)
        };
        let (whole, _, died_at) = alive(None);
        for prefix in 0..=whole.operations() - died_at {
            let (disk, promises, _) = alive(Some(prefix));
            for kept in disk.survivors(SUBSETS_MAX >> 6, SEED ^ prefix) {
                states += 1;
                verdict(&disk.after_power_loss(&kept), &promises).map_err(|wrong| {
                    format!("{name}, died at {death}, stopped at {prefix}, kept {kept:?}: {wrong}")
                })?;
            }
        }
        if died_at <= death {
            break;
        }
    }
    Ok(states)
}

#[track_caller]
fn check(quirk: Option<DiskQuirk>) {
    let mut states = 0;
    for (name, workload) in WORKLOADS {
        match explore(name, workload, quirk) {
            Ok(count) => states += count,
            Err(wrong) => assert_eq!(wrong, "", "seed {SEED:#x}"),
        }
    }
    report(states);
    assert!(states > 10_000, "only {states} states");
}

#[expect(clippy::print_stderr, reason = "the size of the exploration belongs to its result")]
fn report(states: u64) {
    eprintln!("{states} states after power loss, seed {SEED:#x}");
}

#[test]
fn what_was_acknowledged_survives_every_power_loss_and_nothing_is_torn() {
    check(None);
}

#[test]
fn what_a_process_finishes_after_another_died_survives_every_power_loss() {
    let mut states = 0;
    for (name, workload) in WORKLOADS {
        match explore_deaths(name, workload) {
            Ok(count) => states += count,
            Err(wrong) => assert_eq!(wrong, "", "seed {SEED:#x}"),
        }
    }
    report(states);
    assert!(states > 50_000, "only {states} states");
}

#[test]
fn power_loss_is_survived_without_hard_links() {
    check(Some(DiskQuirk::LacksHardLinks));
}

#[test]
fn a_missing_file_sync_is_found() {
    let caught = WORKLOADS.iter().filter(|(name, workload)| {
        explore(name, workload, Some(DiskQuirk::IgnoresFileSync)).is_err()
    });
    assert_eq!(caught.count(), WORKLOADS.len());
}

#[test]
fn a_missing_directory_sync_is_found() {
    let caught = WORKLOADS.iter().filter(|(name, workload)| {
        explore(name, workload, Some(DiskQuirk::IgnoresDirectorySync)).is_err()
    });
    assert_eq!(caught.count(), WORKLOADS.len());
}

#[test]
fn a_missing_directory_sync_after_a_delete_is_found() {
    let disk = SimDisk::new();
    let promises = run(&disk, &[Step::Create("a/1", 1)], 0);
    disk.set_quirk(DiskQuirk::IgnoresDirectorySync);
    resume(&disk, &[Step::Delete("a/1")], 0, &promises);
    let none = vec![false; disk.pending()];
    let wrong = verdict(&disk.after_power_loss(&none), &promises).unwrap_err();
    assert_eq!(wrong, "`a/1` must not exist");
}

#[test]
fn a_settled_object_of_a_process_that_died_survives() {
    for prefix in 0..20 {
        let disk = SimDisk::new();
        disk.stop_at(prefix);
        let text = "a/b/1";
        let acknowledged = PosixHandle::on(&disk).store().create(&key(text), &body(1)).is_ok();
        disk.stop_at(u64::MAX);
        let settled = PosixHandle::on(&disk).store().settle(&key(text)).is_ok();
        assert!(settled || !acknowledged, "prefix {prefix}");
        for kept in disk.survivors(SUBSETS_MAX, SEED).iter().filter(|_| settled) {
            let store = PosixHandle::on(&disk.after_power_loss(kept)).store();
            assert_eq!(store.read(&key(text), 1 << 20).unwrap(), body(1), "prefix {prefix}");
        }
    }
}

#[test]
fn one_failing_call_at_any_place_leaves_no_torn_object_and_no_false_acknowledgement() {
    for fault in [DiskFault::Full, DiskFault::Device] {
        let mut full = 0;
        for (name, workload) in WORKLOADS {
            for failing in 0..64 {
                let disk = SimDisk::new();
                disk.fail_at(failing, fault);
                let promises = run(&disk, workload, 3);
                for kept in disk.survivors(SUBSETS_MAX >> 4, SEED) {
                    let after = disk.after_power_loss(&kept);
                    let wrong = verdict(&after, &promises).err().unwrap_or_default();
                    assert_eq!(wrong, "", "{name}, {fault:?} at {failing}, kept {kept:?}");
                    full += 1;
                }
            }
        }
        assert!(full > 5_000, "only {full} states");
    }
}

#[test]
fn a_failed_file_sync_is_answered_with_a_fresh_file_once() {
    let disk = SimDisk::new();
    let store = PosixHandle::on(&disk).store();
    store.create(&key("a/1"), b"x").unwrap();
    // Stage, write, sync: the third call of a create.
    disk.fail_at(disk.operations() + 2, DiskFault::Device);
    store.create(&key("a/2"), &body(2)).unwrap();
    let none = vec![false; disk.pending()];
    let after = PosixHandle::on(&disk.after_power_loss(&none)).store();
    assert_eq!(after.read(&key("a/2"), 1 << 20).unwrap(), body(2));

    let start = disk.operations();
    // The rewrite's sync comes after the removal of the first file.
    disk.fail_at(start + 2, DiskFault::Device);
    disk.fail_at(start + 6, DiskFault::Device);
    let error = store.create(&key("a/3"), &body(3)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert_eq!(store.list("").unwrap().len(), 2);
}

#[test]
fn a_directory_whose_sync_failed_is_not_trusted_again() {
    let disk = SimDisk::new();
    let store = PosixHandle::on(&disk).store();
    store.create(&key("a/1"), b"x").unwrap();
    // Stage, write, sync, link, unlink: the sixth call syncs the directory.
    disk.fail_at(disk.operations() + 5, DiskFault::DeviceDropsNames);
    let error = store.create(&key("a/2"), b"y").unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert_eq!(store.read(&key("a/2"), 1).unwrap(), b"y");
    // The kernel may have dropped the new name, and a second sync would not know.
    assert!(store.settle(&key("a/2")).is_err());
    assert!(store.create(&key("a/3"), b"z").is_err());
    store.create(&key("b/1"), b"z").unwrap();
}

#[test]
fn a_create_in_known_directories_costs_two_syncs() {
    let disk = SimDisk::new();
    let store = PosixHandle::on(&disk).store();
    store.create(&key("packs/a/b/1"), b"x").unwrap();
    assert_eq!(disk.syncs(), 5);
    store.create(&key("packs/a/b/2"), b"x").unwrap();
    assert_eq!(disk.syncs(), 7);
    store.delete(&key("packs/a/b/2")).unwrap();
    assert_eq!(disk.syncs(), 8);
}
