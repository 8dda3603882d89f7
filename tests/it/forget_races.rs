//! Undos and holds while collections run: what is said is what holds, wherever they meet.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::prune_desk::Desk;
use crate::prune_desk::Kept as Stored;
use crate::prune_desk::prune_in;
use crate::prune_desk::shared;
use crate::prune_desk::write;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::words;
use sbf_repo::Repository;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::forget::undo::Kept;
use sbf_repo::ops::forget::undo::undo;
use sbf_repo::ops::hold::hold;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::select::Selector;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Maintainer;
use sbf_repo::testing::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

fn named(snapshot: SnapshotId) -> [Selector; 1] {
    [Selector::parse(snapshot.to_string().as_bytes()).unwrap()]
}

fn bring_back(
    repository: &Repository,
    snapshot: SnapshotId,
) -> Result<BTreeMap<SnapshotId, Kept>, OpError> {
    undo(repository, &named(snapshot))
}

/// A desk with a forgotten snapshot and one that stays.
fn prepared() -> (Desk, Stored, Stored) {
    let desk = Desk::new();
    let gone = desk.back_up(10, 0);
    let kept = desk.back_up(11, 1);
    desk.forget(12, &[gone.0]);
    (desk, gone, kept)
}

fn operations(desk: &Desk, run: impl FnOnce(&Arc<dyn Store>)) -> u64 {
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    let store: Arc<FaultStore<Arc<dyn Store>>> = Arc::clone(&counted);
    let store: Arc<dyn Store> = store;
    run(&store);
    counted.operations()
}

#[test]
fn an_undo_says_what_holds_wherever_a_collection_comes_between() {
    let (desk, gone, kept) = prepared();
    let undo_count = operations(&desk, |store| {
        bring_back(&open(store, &desk.key, 30, None).unwrap(), gone.0).unwrap();
    });
    let prune_count = operations(&desk, |store| {
        prune_in(store, &desk.key, 40, &PruneOptions::new()).unwrap();
    });
    // The collection goes so far at once; the last one is whole.
    let reaches: Vec<u64> = (0..prune_count).step_by(4).chain([prune_count]).collect();
    let cases: Vec<(u64, u64)> =
        (0..undo_count).flat_map(|at| reaches.iter().map(move |reach| (at, *reach))).collect();
    let said = in_parallel(&cases, |&(operation, reach)| {
        let case = format!("{reach} calls of a collection before call {operation} of an undo");
        let desk = desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (shared(&desk.store), desk.key.clone());
        faulty.interleave_at(operation, move || {
            let cut: Arc<dyn Store> = Arc::new(FaultStore::crash_at(inside, reach));
            let _cut_off = prune_in(&cut, &key, 40, &PruneOptions::new());
        });
        let store: Arc<dyn Store> = faulty;
        let opened = open(&store, &desk.key, 30, None).map_err(OpError::from);
        let said = opened.and_then(|repository| bring_back(&repository, gone.0));
        let is_kept = match &said {
            Ok(states) => {
                let state = states[&gone.0];
                assert!(
                    matches!(state, Kept::Yes | Kept::TooLate { collection: 1 }),
                    "{case}: {state:?}"
                );
                state == Kept::Yes
            }
            Err(OpError::TooLate { collection: 1, .. }) => false,
            Err(error) => panic!("{case}: {}", words(error)),
        };
        // Whatever is left to do is done, and changes nothing about it.
        let report = desk.prune(50);
        assert!(report.state != PruneState::Waiting, "{case}: {report:?}");
        let mut expected = vec![kept.clone()];
        expected.extend(is_kept.then(|| gone.clone()));
        desk.assert_sound(51, &expected, &case);
        Some(is_kept)
    });
    // Both answers occur, or nothing raced.
    assert!(said.contains(&true) && said.contains(&false));
}

#[test]
fn while_a_session_holds_a_collection_up_an_undo_is_not_decided() {
    let (desk, gone, kept) = prepared();
    // A run that was cut off: announced, and without outcome.
    let count = operations(&desk, |store| drop(write(store, &desk.key, 20, 2).unwrap()));
    let cut: Arc<dyn Store> = Arc::new(FaultStore::crash_at(desk.shared(), count / 2));
    assert!(write(&cut, &desk.key, 20, 2).is_err());
    assert_eq!(desk.prune(21).state, PruneState::Waiting);
    let repository = open(&desk.shared(), &desk.key, 22, None).unwrap();
    let said = bring_back(&repository, gone.0).unwrap();
    assert_eq!(said[&gone.0], Kept::Undecided { collection: 1 });
    let held = hold(&repository, &named(gone.0), "must stay", None).unwrap();
    assert_eq!(held[&gone.0], Kept::Undecided { collection: 1 });
    let mut options = PruneOptions::new();
    options.fence = FenceLimit::Now;
    assert_eq!(desk.prune_with(23, &options).state, PruneState::Done);
    desk.assert_sound(24, &[gone, kept], "the undo was in time");
}

#[test]
fn an_undo_decides_the_collection_that_it_meets() {
    let (desk, gone, kept) = prepared();
    let repository = open(&desk.shared(), &desk.key, 20, None).unwrap();
    Maintainer::new(&repository).unwrap().plan(1, &[]).unwrap();
    let said = bring_back(&repository, gone.0).unwrap();
    assert_eq!(said[&gone.0], Kept::Yes);
    assert!(desk.store.objects().keys().any(|key| key.as_str() == "gc/000000000001/verdict"));
    let list = snapshots(&repository, &SnapshotFilter::new()).unwrap();
    assert_eq!(list.rows.len(), 2);
    desk.prune(21);
    desk.assert_sound(22, &[gone, kept], "after the collection");
}
