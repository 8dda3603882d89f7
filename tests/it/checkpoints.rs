//! Checkpoints that are forgotten: what they kept is freed, whoever prunes or goes on meanwhile.
//! Spec: format-spec/10-record.md, "What is forgotten".

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::prune::with_checkpoints;
use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::prune_desk::prune_in;
use crate::support::bytes_of;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::forget::checkpoints::CheckpointPlan;
use sbf_repo::ops::forget::checkpoints::checkpoints;
use sbf_repo::ops::forget::checkpoints::execute_checkpoints;
use sbf_repo::ops::forget::checkpoints::plan_checkpoints;
use sbf_repo::ops::forget::guard::Consent;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Store;
use sbf_repo::testing::hold_in;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

/// A repository with a snapshot, and with checkpoints of a run that died before its snapshot.
struct Prepared {
    desk: Desk,
    kept: Kept,
}

impl Prepared {
    fn new() -> Self {
        let desk = Desk::new();
        desk.store.set_clock(Some(UNIX_EPOCH + Duration::from_secs(1_699_990_000)));
        let kept = desk.back_up(10, 2);
        let counted = Arc::new(FaultStore::new(desk.branch().shared()));
        with_checkpoints(&of_faulty(&counted), &desk.key, 20, long()).unwrap();
        // The last calls are the manifest, the outcome, and looks at the newest verdict and at who may sign.
        let dying = Arc::new(FaultStore::crash_at(desk.shared(), counted.operations() - 5));
        assert!(with_checkpoints(&of_faulty(&dying), &desk.key, 20, long()).is_err());
        Self { desk, kept }
    }

    /// The same, with every session closed and everything folded.
    fn folded() -> Self {
        let prepared = Self::new();
        prepared.desk.prune_with(21, &fencing());
        prepared.desk.prune_with(22, &fencing());
        prepared
    }
}

type Faulty = FaultStore<Arc<dyn Store>>;

fn of_faulty(store: &Arc<Faulty>) -> Arc<dyn Store> {
    Arc::<Faulty>::clone(store)
}

/// What the long run backs up.
fn long() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = scratch();
        let files = [("a", bytes_of(1, LONG_BYTES, 256)), ("b", bytes_of(2, LONG_BYTES, 256))];
        write_files(folder.path(), &files);
        folder
    });
    folder.path()
}

fn fencing() -> PruneOptions {
    let mut options = PruneOptions::new();
    options.fence = FenceLimit::Now;
    options
}

fn forget_in(store: &Arc<dyn Store>, key: &KeyFile, seed: u64, consent: Consent) -> CheckpointPlan {
    let repository = open(store, key, seed, None).unwrap();
    let plan = plan_checkpoints(&repository, &[], consent).unwrap();
    execute_checkpoints(&repository, &plan, None).unwrap();
    plan
}

#[test]
fn abandoned_checkpoints_are_reported_with_their_age_until_they_are_forgotten_and_freed() {
    let Prepared { desk, kept } = Prepared::new();
    // The dead run's last session still looks alive.
    let early = checkpoints(&open(&desk.shared(), &desk.key, 30, None).unwrap()).unwrap();
    assert!(early.len() > 1 && early.iter().all(|row| row.may_go_on), "{early:?}");
    let left = forget_in(&desk.shared(), &desk.key, 31, Consent::None);
    assert_eq!((left.dropped.len(), left.left), (0, early.clone()));
    assert_eq!(desk.count("forget"), 0);
    for seed in [32, 33] {
        // The second prune finds them in the base alone.
        let pruned = desk.prune_with(seed, &fencing());
        assert_eq!(pruned.checkpoints.len(), early.len());
        for (row, was) in pruned.checkpoints.iter().zip(&early) {
            assert_eq!((&row.session, row.source.as_str()), (&was.session, "long"));
            assert_eq!((row.received, row.age_seconds), (Some(1_699_990_000), Some(10_000)));
            assert!(!row.may_go_on);
        }
    }
    let stored: u64 = early.iter().map(|row| row.stored_bytes).sum();
    assert!(stored > 2 * u64::try_from(LONG_BYTES).unwrap(), "{early:?}");
    assert!(desk.pack_bytes() > 2 * LONG_BYTES);
    let other = open(&desk.shared(), &desk.key, 34, None).unwrap();
    let others = plan_checkpoints(&other, &["other".to_owned()], Consent::Force).unwrap();
    assert!(others.dropped.is_empty());
    let gone = forget_in(&desk.shared(), &desk.key, 35, Consent::None);
    assert_eq!((gone.dropped.len(), gone.left.len()), (early.len(), 0));
    // A second request has nothing to name.
    assert!(forget_in(&desk.shared(), &desk.key, 36, Consent::None).dropped.is_empty());
    assert_eq!(desk.count("forget"), 1);
    for seed in [37, 39] {
        let pruned = desk.prune_with(seed, &PruneOptions::new());
        assert!(pruned.checkpoints.is_empty(), "{pruned:?}");
        assert!(desk.pack_bytes() < LONG_BYTES, "{} bytes are left", desk.pack_bytes());
        assert_eq!(desk.count("forget"), 0);
        desk.assert_sound(seed + 1, std::slice::from_ref(&kept), "pruned");
    }
}

#[test]
fn checkpoints_are_kept_while_it_is_not_known_what_holds_keep() {
    let Prepared { desk, kept } = Prepared::folded();
    let before = desk.pack_bytes();
    hold_in(&open(&desk.shared(), &desk.key, 30, None).unwrap(), &[kept.0]).unwrap();
    let keys = desk.store.objects().into_keys();
    let hold: ObjectKey = keys.into_iter().find(|key| key.is_under("records/hold")).unwrap();
    desk.store.replace(&hold, b"damaged");
    forget_in(&desk.shared(), &desk.key, 31, Consent::None);
    desk.prune(32);
    assert!(desk.pack_bytes() >= before, "{} of {before}", desk.pack_bytes());
    assert_eq!(desk.count("forget"), 1);
}

/// Backs up beside a forget and a prune: the run comes to a snapshot, and nothing is lost.
fn assert_outcome(desk: &Desk, kept: &Kept, written: Result<Kept, String>, case: &str) {
    let written = written.unwrap_or_else(|why| panic!("{case}: {why}"));
    let mut expected = vec![kept.clone(), written];
    desk.assert_sound(60, &expected, case);
    for seed in [61, 62] {
        let report = desk.prune_with(seed, &fencing());
        assert!(report.state != PruneState::Waiting, "{case}: {report:?}");
        desk.assert_sound(63, &expected, case);
    }
    // The run that follows stores what is missing.
    let last = go_on(&desk.shared(), &desk.key, 64).unwrap_or_else(|why| panic!("{case}: {why}"));
    expected.push(last);
    desk.assert_sound(65, &expected, case);
}

fn go_on(store: &Arc<dyn Store>, key: &KeyFile, seed: u64) -> Result<Kept, String> {
    let report = with_checkpoints(store, key, seed, long()).map_err(|error| words(&error))?;
    Ok((report.snapshot.unwrap(), restored_form(long())))
}

/// Forgets the checkpoints and prunes before each call of a run that goes on from them.
fn forget_everywhere(prepared: &Prepared, prune: &PruneOptions) {
    let counted = Arc::new(FaultStore::new(prepared.desk.branch().shared()));
    go_on(&of_faulty(&counted), &prepared.desk.key, 50).unwrap();
    let trace = counted.trace();
    let cases: Vec<u64> = (0..counted.operations()).step_by(CALLS_STEP).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("before {:?}", trace[usize::try_from(operation).unwrap()]);
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key, options) = (desk.shared(), desk.key.clone(), prune.clone());
        faulty.interleave_at(operation, move || {
            forget_in(&inside, &key, 40, Consent::Force);
            for seed in [41, 42] {
                prune_in(&inside, &key, seed, &options).unwrap();
            }
        });
        let written = go_on(&of_faulty(&faulty), &desk.key, 50);
        assert_outcome(&desk, &prepared.kept, written, &case);
        None::<()>
    });
}

/// Of the calls of a run with many checkpoints, every so many come to the same.
const CALLS_STEP: usize = 3;

#[test]
fn a_run_whose_checkpoints_are_forgotten_and_pruned_at_any_moment_comes_to_a_snapshot() {
    forget_everywhere(&Prepared::folded(), &PruneOptions::new());
}

#[test]
fn a_run_whose_checkpoints_are_forgotten_and_that_is_given_up_comes_to_a_snapshot() {
    forget_everywhere(&Prepared::folded(), &fencing());
}

#[test]
fn a_run_that_goes_on_between_any_two_calls_of_a_prune_keeps_its_snapshot() {
    let prepared = Prepared::folded();
    forget_in(&prepared.desk.shared(), &prepared.desk.key, 40, Consent::None);
    let counted = Arc::new(FaultStore::new(prepared.desk.branch().shared()));
    prune_in(&of_faulty(&counted), &prepared.desk.key, 41, &PruneOptions::new()).unwrap();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("operation {operation}");
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        let told = Arc::new(Mutex::new(None));
        let written = Arc::clone(&told);
        faulty.interleave_at(operation, move || {
            *written.lock().unwrap() = Some(go_on(&inside, &key, 50));
        });
        let pruned = prune_in(&of_faulty(&faulty), &desk.key, 41, &PruneOptions::new());
        pruned.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        let written = told.lock().unwrap().take().unwrap();
        assert_outcome(&desk, &prepared.kept, written, &case);
        None::<()>
    });
}

#[test]
fn a_forget_between_any_two_calls_of_a_prune_counts_in_it_or_in_the_next() {
    let prepared = Prepared::folded();
    // Something to collect, so that the prune takes every step.
    prepared.desk.forget(39, &[prepared.desk.back_up(38, 1).0]);
    let counted = Arc::new(FaultStore::new(prepared.desk.branch().shared()));
    prune_in(&of_faulty(&counted), &prepared.desk.key, 41, &PruneOptions::new()).unwrap();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    let freed_at_once = in_parallel(&cases, |&operation| {
        let case = format!("operation {operation}");
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        faulty.interleave_at(operation, move || {
            forget_in(&inside, &key, 50, Consent::Force);
        });
        let pruned = prune_in(&of_faulty(&faulty), &desk.key, 41, &PruneOptions::new());
        pruned.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        let is_freed = desk.pack_bytes() < LONG_BYTES;
        desk.assert_sound(51, std::slice::from_ref(&prepared.kept), &case);
        desk.prune(52);
        assert!(desk.pack_bytes() < LONG_BYTES, "{case}: {} bytes", desk.pack_bytes());
        assert_eq!(desk.count("forget"), 0, "{case}");
        desk.assert_sound(53, std::slice::from_ref(&prepared.kept), &case);
        Some(is_freed)
    });
    let freed = freed_at_once.iter().filter(|is_freed| **is_freed).count();
    assert!(freed > 0 && freed < cases.len(), "{freed} of {}", cases.len());
}

/// Bytes of each file of the long run, more than everything else has.
const LONG_BYTES: usize = 60_000;
