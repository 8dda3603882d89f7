//! Collections: what is needed stays, and the rest goes, in every role and after every crash.
//! Spec: format-spec/09-session.md and format-spec/11-gc.md. Races: `prune_races.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::prune_desk::OWN_BYTES;
use crate::prune_desk::prune_in;
use crate::prune_desk::write;
use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::pairs_count;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::format::keyslot::Role;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::key::add::AddOptions;
use sbf_repo::ops::key::add::add;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::ops::prune::plan_prune;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use std::sync::Arc;
use std::time::Duration;
use std::time::UNIX_EPOCH;

#[test]
fn a_prune_folds_what_there_is_and_keeps_all_of_it() {
    let desk = Desk::new();
    let first = desk.back_up(10, 0);
    assert_eq!(desk.prune(11).state, PruneState::Done);
    desk.assert_sound(12, std::slice::from_ref(&first), "after the first collection");
    let report = desk.prune(13);
    assert_eq!(report.state, PruneState::Nothing, "{report:?}");
    let second = desk.back_up(14, 1);
    let report = desk.prune(15);
    assert_eq!((report.state, report.removed_packs), (PruneState::Done, 0));
    desk.assert_sound(16, &[first, second], "after the second collection");
}

#[test]
fn what_only_a_forgotten_snapshot_needs_is_deleted_in_one_run() {
    let desk = Desk::new();
    let gone = desk.back_up(10, 0);
    let kept = desk.back_up(11, 1);
    let before = desk.pack_bytes();
    desk.forget(12, &[gone.0]);
    let report = desk.prune(13);
    assert_eq!((report.state, report.forgotten_snapshots), (PruneState::Done, 1));
    assert!(before - desk.pack_bytes() > OWN_BYTES - 2000, "{before}: {report:?}");
    desk.assert_sound(14, std::slice::from_ref(&kept), "after the collection");
    assert_eq!([desk.count("forget"), desk.count("manifests"), desk.count("inventory")], [0, 1, 1]);
    let again = desk.back_up(15, 0);
    desk.assert_sound(16, &[kept, again], "after the next snapshot");
}

#[test]
fn collections_leave_no_objects_behind() {
    let desk = Desk::new();
    let kept = desk.back_up(10, 1);
    let mut counts = Vec::new();
    for round in 0..6 {
        let seed = 100 + round * 10;
        let gone = desk.back_up(seed, 0);
        desk.forget(seed + 1, &[gone.0]);
        assert_eq!(desk.prune(seed + 2).state, PruneState::Done);
        let folders = ["packs", "index", "outcomes", "sessions", "manifests", "heartbeats"];
        counts.push(folders.map(|folder| desk.count(folder)));
    }
    assert!(counts[1..].iter().all(|count| *count == counts[1]), "{counts:?}");
    // Three registers and a verdict a collection, the newest two bases.
    assert_eq!(desk.count("gc"), 6 * 4 + 2);
    desk.assert_sound(90, &[kept], "after six rounds");
}

#[test]
fn many_small_segments_become_few() {
    let desk = Desk::new();
    let mut kept = Vec::new();
    for round in 0..40 {
        let folder = scratch();
        write_files(folder.path(), &[("a", bytes_of(round, 3000, 256))]);
        let repository = open(&desk.shared(), &desk.key, 100 + round, None).unwrap();
        let report = back_up(&repository, &format!("s{round}"), folder.path()).unwrap();
        kept.push((report.snapshot.unwrap(), restored_form(folder.path())));
    }
    assert!(desk.count("index") >= 40);
    desk.prune(200);
    assert!(desk.count("index") <= 30, "{} segments", desk.count("index"));
    desk.assert_sound(201, &kept, "after the merge");
}

#[test]
fn a_crash_at_any_call_loses_nothing_and_the_next_prune_frees_it_all() {
    let prepared = Desk::new();
    let gone = prepared.back_up(10, 0);
    let kept = prepared.back_up(11, 1);
    prepared.forget(12, &[gone.0]);
    let before = prepared.pack_bytes();
    let counted = Arc::new(FaultStore::new(prepared.branch().shared()));
    prune_in(&of_faulty(&counted), &prepared.key, 13, &no_waste()).unwrap();
    let operations = counted.operations();
    assert!(operations > 60, "{operations} operations");
    let crashes = [
        Fault::Crash,
        Fault::CrashUnknown(Outcome::Applied),
        Fault::CrashUnknown(Outcome::Delayed),
    ];
    let cases: Vec<_> = (0..operations).flat_map(|at| crashes.map(|crash| (at, crash))).collect();
    in_parallel(&cases, |&(operation, crash)| {
        let case = format!("{crash:?} at operation {operation}");
        let desk = prepared.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()).with_fault(operation, crash));
        if let Err(error) = prune_in(&of_faulty(&faulty), &desk.key, 13, &no_waste()) {
            assert!(!words(&error).contains("panic"), "{case}: {}", words(&error));
        }
        desk.assert_sound(14, std::slice::from_ref(&kept), &case);
        faulty.flush_delayed();
        let report = desk.prune_with(15, &no_waste());
        assert!(report.state != PruneState::Waiting, "{case}: {report:?}");
        desk.assert_sound(16, std::slice::from_ref(&kept), &case);
        // What a dead collection copied goes with the next one.
        desk.prune_with(21, &no_waste());
        let left = desk.pack_bytes();
        assert!(left + OWN_BYTES / 2 < before, "{case}: {left} of {before}");
        let again = desk.back_up(17, 0);
        desk.prune_with(18, &no_waste());
        desk.prune_with(19, &no_waste());
        let expected = [kept.clone(), again];
        desk.assert_sound(20, &expected, &case);
        assert!(desk.pack_bytes() < before + 6000, "{case}: {} of {before}", desk.pack_bytes());
        assert!(desk.count("sessions") <= 3, "{case}: {} sessions", desk.count("sessions"));
        None::<()>
    });
}

#[test]
#[expect(clippy::print_stdout, reason = "how many pairs ran")]
fn two_crashes_of_prunes_in_a_row_lose_nothing() {
    let prepared = Desk::new();
    let gone = prepared.back_up(10, 0);
    let kept = prepared.back_up(11, 1);
    prepared.forget(12, &[gone.0]);
    let before = prepared.pack_bytes();
    let counted = Arc::new(FaultStore::new(prepared.branch().shared()));
    prune_in(&of_faulty(&counted), &prepared.key, 13, &no_waste()).unwrap();
    // The second one also closes the session of the first.
    let count = counted.operations() + 10;
    let mut random = SplitMix::new(PAIRS_SEED);
    let mut draw = |_pair| [random.below(count), random.below(count)];
    let cases: Vec<_> = (0..pairs_count(PAIRS_COUNT)).map(&mut draw).collect();
    println!("{} pairs of crashes of prunes", cases.len());
    in_parallel(&cases, |operations| {
        let desk = prepared.branch();
        let mut died = Vec::new();
        for (&operation, seed) in operations.iter().zip(13..) {
            let outcomes = [Outcome::Applied, Outcome::Dropped, Outcome::Delayed];
            let outcome = outcomes[usize::try_from((operation + seed) % 3).unwrap()];
            let crash = Fault::CrashUnknown(outcome);
            let faulty = Arc::new(FaultStore::new(desk.shared()).with_fault(operation, crash));
            drop(prune_in(&of_faulty(&faulty), &desk.key, seed, &no_waste()));
            died.push(faulty);
        }
        let case = format!("crashes at {operations:?}");
        desk.assert_sound(20, std::slice::from_ref(&kept), &case);
        for store in died {
            store.flush_delayed();
        }
        desk.assert_sound(21, std::slice::from_ref(&kept), &case);
        desk.prune_with(22, &no_waste());
        desk.prune_with(23, &no_waste());
        desk.assert_sound(24, std::slice::from_ref(&kept), &case);
        let left = desk.pack_bytes();
        assert!(left + OWN_BYTES / 2 < before, "{case}: {left} of {before}");
        None::<()>
    });
}

#[test]
fn an_unfinished_session_is_waited_for_and_given_up_when_it_is_long_silent() {
    let desk = Desk::new();
    let at = |hours: u64| Some(UNIX_EPOCH + Duration::from_hours(hours));
    desk.store.set_clock(at(1000));
    let gone = desk.back_up(10, 0);
    desk.forget(11, &[gone.0]);
    let faulty = Arc::new(FaultStore::new(desk.shared()));
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    write(&of_faulty(&counted), &desk.key, 12, 1).unwrap();
    let last = counted.operations() - 4;
    let faulty = Arc::new(Arc::into_inner(faulty).unwrap().with_fault(last, Fault::Crash));
    assert!(write(&of_faulty(&faulty), &desk.key, 12, 1).is_err());
    let before = desk.pack_bytes();
    desk.store.set_clock(at(1023));
    let report = desk.prune(13);
    assert_eq!(report.state, PruneState::Waiting, "{report:?}");
    assert_eq!(report.waiting[0].idle_seconds, Some(23 * 3600));
    assert_eq!(desk.pack_bytes(), before);
    desk.store.set_clock(at(1025));
    let report = desk.prune(14);
    assert_eq!((report.state, report.fenced.len()), (PruneState::Done, 1), "{report:?}");
    assert!(desk.pack_bytes() < 1000, "{} bytes: {report:?}", desk.pack_bytes());
    desk.assert_sound(15, &[], "after the session was given up");
}

#[test]
fn a_session_is_given_up_at_once_when_that_is_asked_for() {
    let desk = Desk::new();
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    write(&of_faulty(&counted), &desk.key, 12, 1).unwrap();
    let faulty = Arc::new(FaultStore::crash_at(desk.shared(), counted.operations() - 4));
    assert!(write(&of_faulty(&faulty), &desk.key, 12, 1).is_err());
    let mut options = PruneOptions::new();
    let report = desk.prune_with(13, &options);
    assert_eq!(report.state, PruneState::Nothing, "{report:?}");
    assert!(report.plan.unwrap().open_bytes > 0, "{report:?}");
    options.fence = FenceLimit::Now;
    let report = desk.prune_with(14, &options);
    assert_eq!(report.state, PruneState::Done, "{report:?}");
    assert_eq!(desk.pack_bytes(), 0, "{report:?}");
}

#[test]
fn a_pruner_copies_whole_blocks_without_the_key_that_reads_them() {
    let desk = Desk::new();
    let pruner = key_of(&desk, Role::Pruner);
    let (gone, kept) = two_large(&desk);
    desk.forget(12, &[gone.0]);
    let before = desk.pack_bytes();
    let mut options = PruneOptions::new();
    options.unused = UnusedLimit::Bytes(0);
    let report = prune_in(&desk.shared(), &pruner, 13, &options).unwrap();
    assert_eq!(report.state, PruneState::Done);
    let plan = report.plan.unwrap();
    assert!(plan.repacked_packs > 0 && plan.copied_bytes > 2_000_000, "{plan:?}");
    assert!(before - desk.pack_bytes() > 5_000_000, "{before} to {}", desk.pack_bytes());
    desk.assert_sound(14, std::slice::from_ref(&kept), "after the repack");
    // A block that was copied once is copied again.
    let other = desk.back_up(15, 0);
    desk.forget(16, &[kept.0]);
    prune_in(&desk.shared(), &pruner, 17, &options).unwrap();
    desk.assert_sound(18, &[other], "after the second repack");
}

#[test]
fn roles_without_the_maintenance_key_do_not_prune() {
    let desk = Desk::new();
    for role in [Role::Writer, Role::Reader, Role::Auditor] {
        let key = key_of(&desk, role);
        let error = prune_in(&desk.shared(), &key, 30, &PruneOptions::new()).unwrap_err();
        assert!(
            matches!(&error, OpError::Repo { source, .. }
            if matches!(**source, sbf_repo::RepoError::RoleLacks { .. })),
            "{}",
            words(&error)
        );
    }
    assert_eq!(desk.count("gc"), 0);
}

#[test]
fn a_plan_accounts_for_every_byte_and_changes_nothing() {
    let desk = Desk::new();
    let gone = desk.back_up(10, 0);
    desk.back_up(11, 1);
    desk.forget(12, &[gone.0]);
    let objects = desk.store.objects();
    let repository = open(&desk.shared(), &desk.key, 13, None).unwrap();
    let report = plan_prune(&repository, &no_waste(), &NoProgress::new()).unwrap();
    assert_eq!(report.state, PruneState::Planned);
    assert_eq!(desk.store.objects().len(), objects.len());
    let plan = report.plan.unwrap();
    let sum = plan.live_bytes
        + plan.tolerated_bytes
        + plan.bound_bytes
        + plan.dead_bytes
        + plan.duplicate_bytes
        + plan.orphaned_bytes
        + plan.open_bytes
        + plan.repacked_bytes;
    assert_eq!(sum, u64::try_from(desk.pack_bytes()).unwrap(), "{plan:?}");
    let before = desk.pack_bytes();
    desk.prune_with(14, &no_waste());
    let freed = i64::try_from(before).unwrap() - i64::try_from(desk.pack_bytes()).unwrap();
    let planned = i64::try_from(plan.freed_bytes).unwrap();
    assert!((freed - planned).abs() < 3000, "{planned} planned, {freed} freed");
}

#[test]
fn what_a_checkpoint_holds_is_kept_until_a_snapshot_ends_it() {
    let desk = Desk::new();
    let (folder, other) = (scratch(), scratch());
    write_files(folder.path(), &[("a", bytes_of(1, 60_000, 256)), ("b", bytes_of(2, 60_000, 256))]);
    write_files(other.path(), &[("c", bytes_of(3, 5000, 256))]);
    let crash = |operation| {
        let store = desk.branch();
        let faulty = Arc::new(FaultStore::crash_at(store.shared(), operation));
        let run = with_checkpoints(&of_faulty(&faulty), &desk.key, 20, folder.path());
        (store, run)
    };
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    with_checkpoints(&of_faulty(&counted), &desk.key, 20, folder.path()).unwrap();
    let (store, run) = crash(counted.operations() - 5);
    assert!(run.is_err());
    let mut options = PruneOptions::new();
    options.fence = FenceLimit::Now;
    store.prune_with(21, &options);
    store.prune_with(22, &options);
    assert!(store.pack_bytes() > 120_000, "{} bytes are left", store.pack_bytes());
    let report = with_checkpoints(&store.shared(), &desk.key, 23, folder.path()).unwrap();
    assert!(report.run.bytes_stored < 20_000, "{} bytes stored", report.run.bytes_stored);
    let kept = (report.snapshot.unwrap(), restored_form(folder.path()));
    store.assert_sound(24, std::slice::from_ref(&kept), "after the second run");
    store.forget(25, &[kept.0]);
    store.prune_with(26, &options);
    assert!(store.pack_bytes() < 1000, "{} bytes are left", store.pack_bytes());
}

/// Backs up a directory with a checkpoint wherever one may be.
pub(crate) fn with_checkpoints(
    store: &Arc<dyn Store>,
    key: &KeyFile,
    seed: u64,
    path: &std::path::Path,
) -> Result<sbf_repo::ops::snapshot::report::SnapshotReport, OpError> {
    use sbf_repo::ops::snapshot::options::FilesSource;
    use sbf_repo::ops::snapshot::options::SnapshotOptions;
    use sbf_repo::ops::snapshot::options::Source;
    let repository = open(store, key, seed, None)?;
    let mut options = SnapshotOptions::new("long".to_owned(), "host".to_owned());
    options.threads = 1;
    options.checkpoint_seconds = 0;
    let files = Source::Files(FilesSource::new(vec![path.to_path_buf()]));
    sbf_repo::ops::snapshot::snapshot(&repository, &options, files, &NoProgress::new())
}

/// Snapshots of several blocks each, of which one is in both.
fn two_large(desk: &Desk) -> (Kept, Kept) {
    let folder = scratch();
    let files: Vec<_> = (0..3).map(|n| bytes_of(50 + n, 3_000_000, 256)).collect();
    let names = ["a", "b", "c"];
    let all: Vec<_> = names.iter().copied().zip(files.iter().cloned()).collect();
    write_files(folder.path(), &all);
    let large = |seed, source| {
        let repository = open(&desk.shared(), &desk.key, seed, None).unwrap();
        let report = back_up(&repository, source, folder.path()).unwrap();
        (report.snapshot.unwrap(), restored_form(folder.path()))
    };
    let gone = large(10, "large");
    std::fs::remove_file(folder.path().join("b")).unwrap();
    std::fs::remove_file(folder.path().join("c")).unwrap();
    (gone, large(11, "small"))
}

/// Another key of this role.
pub(crate) fn key_of(desk: &Desk, role: Role) -> KeyFile {
    let mut made = None;
    let options = AddOptions::new(role, format!("{role:?}"), FirstSecret::KeyFile);
    let seed = 1000 + u64::try_from(desk.count("keys")).unwrap();
    let opened = open(&desk.shared(), &desk.key, seed, None).unwrap();
    add(&opened, &options, &mut |file| {
        made = Some(file.clone());
        Ok(())
    })
    .unwrap();
    made.unwrap()
}

fn no_waste() -> PruneOptions {
    let mut options = PruneOptions::new();
    options.unused = UnusedLimit::Bytes(0);
    options
}

fn of_faulty(store: &Arc<FaultStore<Arc<dyn Store>>>) -> Arc<dyn Store> {
    Arc::<FaultStore<Arc<dyn Store>>>::clone(store)
}

const PAIRS_SEED: u64 = 33;
const PAIRS_COUNT: u64 = 60;
