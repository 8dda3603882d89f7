//! Forgets, undos and holds that are cut off or lose an answer: nothing half done is left.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::back_up_stream;
use crate::support::init;
use crate::support::open;
use sbf_repo::KeyFile;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::forget::ForgetOptions;
use sbf_repo::ops::forget::execute;
use sbf_repo::ops::forget::guard::Consent;
use sbf_repo::ops::forget::plan;
use sbf_repo::ops::forget::policy::Every;
use sbf_repo::ops::forget::policy::Policy;
use sbf_repo::ops::forget::undo::undo;
use sbf_repo::ops::hold::hold;
use sbf_repo::ops::hold::release;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::select::Selector;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::Store;
use std::sync::Arc;

type Faulty = FaultStore<Arc<dyn Store>>;

/// What a process does.
type Deed = fn(&sbf_repo::Repository, &[SnapshotId]) -> Result<(), OpError>;

fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    let store: Arc<MemoryStore> = Arc::clone(store);
    store
}

fn made() -> (Arc<MemoryStore>, KeyFile, Vec<SnapshotId>) {
    let store = Arc::new(MemoryStore::new());
    let key = init(&shared(&store), 1).unwrap();
    let snapshots = (0..3_u8).map(|number| {
        let repository = open(&shared(&store), &key, 10 + u64::from(number), None).unwrap();
        back_up_stream(&repository, "db", &[number; 100]).unwrap().snapshot.unwrap()
    });
    let snapshots = snapshots.collect();
    (store, key, snapshots)
}

fn live(store: &Arc<MemoryStore>, key: &KeyFile) -> Vec<SnapshotId> {
    let repository = open(&shared(store), key, 900, None).unwrap();
    let list = snapshots(&repository, &SnapshotFilter::new()).unwrap();
    assert!(list.findings.is_empty(), "{:?}", list.findings);
    let mut live: Vec<_> = list.rows.iter().map(|row| row.snapshot).collect();
    live.sort_unstable();
    live
}

fn named(snapshots: &[SnapshotId]) -> Vec<Selector> {
    snapshots.iter().map(|id| Selector::parse(id.to_string().as_bytes()).unwrap()).collect()
}

fn forget(repository: &sbf_repo::Repository, _made: &[SnapshotId]) -> Result<(), OpError> {
    let mut options = ForgetOptions::new(Policy::new().with_count(Every::Snapshot, 1));
    options.consent = Consent::FirstPolicy;
    let plan = plan(repository, &options)?;
    execute(repository, &plan).map(|_records| ())
}

fn bring_back(repository: &sbf_repo::Repository, made: &[SnapshotId]) -> Result<(), OpError> {
    let listed = snapshots(repository, &SnapshotFilter::new())?;
    let is_gone = |id: &&SnapshotId| listed.rows.iter().all(|row| row.snapshot != **id);
    let gone: Vec<SnapshotId> = made.iter().filter(is_gone).copied().collect();
    if gone.is_empty() { Ok(()) } else { undo(repository, &named(&gone)).map(|_kept| ()) }
}

fn hold_and_release(repository: &sbf_repo::Repository, made: &[SnapshotId]) -> Result<(), OpError> {
    hold(repository, &named(&made[..1]), "for a while", None)?;
    release(repository, &named(&made[..1]), None).map(|_released| ())
}

/// Cuts a deed off at each of its calls, or loses the answer there, then does it again whole.
#[track_caller]
fn check_each_call(before: Deed, deed: Deed) {
    let (store, key, made) = made();
    before(&open(&shared(&store), &key, 20, None).unwrap(), &made).unwrap();
    let states = {
        let store = Arc::new(store.snapshot());
        let first = live(&store, &key);
        deed(&open(&shared(&store), &key, 30, None).unwrap(), &made).unwrap();
        [first, live(&store, &key)]
    };
    let run = |store: Arc<Faulty>| {
        let faulty: Arc<Faulty> = Arc::clone(&store);
        let faulty: Arc<dyn Store> = faulty;
        let done = open(&faulty, &key, 30, None).map_err(OpError::from);
        (done.and_then(|repository| deed(&repository, &made)), store.operations())
    };
    let whole = Arc::new(store.snapshot());
    let (done, count) = run(Arc::new(FaultStore::new(shared(&whole))));
    done.unwrap();
    for operation in 0..count {
        for kind in [None, Some(Outcome::Applied), Some(Outcome::Dropped)] {
            let copy = Arc::new(store.snapshot());
            let inner = shared(&copy);
            let faulty = match kind {
                None => FaultStore::crash_at(inner, operation),
                Some(outcome) => FaultStore::unknown_at(inner, operation, outcome),
            };
            let (done, _count) = run(Arc::new(faulty));
            let case = format!("{kind:?} at call {operation}: {done:?}");
            let found = live(&copy, &key);
            assert!(states.contains(&found), "{case}");
            assert!(done.is_err() || found == states[1], "{case}");
            deed(&open(&shared(&copy), &key, 40, None).unwrap(), &made).unwrap();
            assert_eq!(live(&copy, &key), states[1], "{case}");
        }
    }
}

#[test]
fn a_forget_that_is_cut_off_forgets_all_of_a_source_or_nothing() {
    check_each_call(|_repository, _made| Ok(()), forget);
}

#[test]
fn an_undo_that_is_cut_off_can_be_repeated() {
    check_each_call(forget, bring_back);
}

#[test]
fn holds_and_releases_that_are_cut_off_change_nothing_else() {
    check_each_call(forget, hold_and_release_newest);
}

fn hold_and_release_newest(
    repository: &sbf_repo::Repository,
    made: &[SnapshotId],
) -> Result<(), OpError> {
    let listed = snapshots(repository, &SnapshotFilter::new())?;
    assert!(made.contains(&listed.rows[0].snapshot));
    hold_and_release(repository, &[listed.rows[0].snapshot])
}
