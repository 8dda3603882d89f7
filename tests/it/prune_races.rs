//! Collections beside writers, beside other collections, and beside those who change their mind.
//! Spec: format-spec/09-session.md.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::prune_desk::OWN_BYTES;
use crate::prune_desk::prune_in;
use crate::prune_desk::shared;
use crate::prune_desk::source;
use crate::prune_desk::write;
use crate::races::Jittery;
use crate::support::check_all;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::restore_files;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::Call;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Store;
use sbf_repo::testing::Traced;
use sbf_repo::testing::forget_in;
use sbf_repo::testing::hold_in;
use sbf_repo::testing::undo_in;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

/// A repository with a snapshot that is kept and one that is forgotten.
struct Prepared {
    desk: Desk,
    kept: Kept,
    gone: Kept,
    forget: sbf_repo::id::RecordId,
}

impl Prepared {
    fn new() -> Self {
        let desk = Desk::new();
        // What both have is in a pack with what only the first one has: it is repacked.
        let gone = desk.back_up(11, 1);
        let kept = desk.back_up(10, 2);
        let forget = desk.forget(12, &[gone.0]);
        Self { desk, kept, gone, forget }
    }

    /// How many calls a prune makes.
    fn prune_operations(&self) -> u64 {
        let counted = Arc::new(FaultStore::new(self.desk.branch().shared()));
        prune_in(&of_faulty(&counted), &self.desk.key, 40, &options()).unwrap();
        counted.operations()
    }
}

fn options() -> PruneOptions {
    let mut options = PruneOptions::new();
    options.unused = sbf_repo::ops::prune::UnusedLimit::Bytes(0);
    options
}

type Faulty = FaultStore<Arc<dyn Store>>;

fn of_faulty(store: &Arc<Faulty>) -> Arc<dyn Store> {
    Arc::<Faulty>::clone(store)
}

#[test]
fn a_writer_between_any_two_calls_of_a_prune_keeps_its_snapshot() {
    let prepared = Prepared::new();
    let cases: Vec<u64> = (0..prepared.prune_operations()).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("operation {operation}");
        let desk = prepared.desk.branch();
        let before = desk.pack_bytes();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let written = Arc::new(Mutex::new(None));
        let (told, inside, key) = (Arc::clone(&written), desk.shared(), desk.key.clone());
        faulty.interleave_at(operation, move || {
            // The same bytes as the forgotten snapshot, so that it relies on what goes.
            *told.lock().unwrap() = Some(write(&inside, &key, 50, 1).unwrap());
        });
        let report = prune_in(&of_faulty(&faulty), &desk.key, 40, &options());
        let report = report.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        assert_eq!(report.state, PruneState::Done, "{case}: {report:?}");
        let written: Kept = written.lock().unwrap().take().unwrap();
        let mut expected = vec![prepared.kept.clone(), written.clone()];
        desk.assert_sound(41, &expected, &case);
        desk.prune_with(42, &options());
        desk.assert_sound(43, &expected, &case);
        desk.forget(44, &[written.0]);
        desk.prune_with(45, &options());
        expected.pop();
        desk.assert_sound(46, &expected, &case);
        assert!(before - desk.pack_bytes() > OWN_BYTES - 3000, "{case}");
        None::<()>
    });
}

/// Lets a prune run before each call of a writer that relies on what is forgotten.
fn prune_everywhere(prune_options: &PruneOptions) {
    let prepared = Prepared::new();
    let counted = Arc::new(FaultStore::new(prepared.desk.branch().shared()));
    write(&of_faulty(&counted), &prepared.desk.key, 50, 1).unwrap();
    let trace = counted.trace();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("before {:?}", trace[usize::try_from(operation).unwrap()]);
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        let inner_options = prune_options.clone();
        faulty.interleave_at(operation, move || {
            for seed in [40, 41] {
                prune_in(&inside, &key, seed, &inner_options).unwrap();
            }
        });
        let written = write(&of_faulty(&faulty), &desk.key, 50, 1);
        // Also one that was fenced: it stores again what was collected.
        let written = written.map_err(|error| format!("{case}: {}", words(&error))).unwrap();
        let expected = vec![prepared.kept.clone(), written];
        desk.assert_sound(51, &expected, &case);
        let report = desk.prune_with(52, prune_options);
        assert!(report.state != PruneState::Waiting, "{case}: {report:?}");
        desk.assert_sound(53, &expected, &case);
        None::<()>
    });
}

#[test]
fn a_prune_between_any_two_calls_of_a_writer_waits_for_it() {
    prune_everywhere(&options());
}

#[test]
fn a_prune_that_gives_up_a_running_writer_makes_it_begin_again() {
    let mut options = options();
    options.fence = FenceLimit::Now;
    prune_everywhere(&options);
}

#[test]
fn a_change_of_mind_between_any_two_calls_of_a_prune_keeps_the_snapshot_whole_or_comes_too_late() {
    let prepared = Prepared::new();
    let operations = prepared.prune_operations();
    let cases: Vec<_> = (0..operations).flat_map(|at| [(at, false), (at, true)]).collect();
    let kept_counts = in_parallel(&cases, |&(operation, holds)| {
        let case = format!("operation {operation}, hold {holds}");
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        let (snapshot, forget) = (prepared.gone.0, prepared.forget);
        faulty.interleave_at(operation, move || {
            let repository = open(&inside, &key, 50, None).unwrap();
            if holds {
                hold_in(&repository, &[snapshot]).unwrap();
            } else {
                undo_in(&repository, forget).unwrap();
            }
        });
        let report = prune_in(&of_faulty(&faulty), &desk.key, 40, &options());
        report.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        let reader = open(&desk.shared(), &desk.key, 41, None).unwrap();
        let listed = snapshots(&reader, &SnapshotFilter::new()).unwrap();
        let is_kept = listed.rows.iter().any(|row| row.snapshot == snapshot);
        let mut expected = vec![prepared.kept.clone()];
        if is_kept {
            expected.push(prepared.gone.clone());
        }
        desk.assert_sound(42, &expected, &case);
        desk.prune_with(43, &options());
        desk.assert_sound(44, &expected, &case);
        Some(is_kept)
    });
    let kept = kept_counts.iter().filter(|kept| **kept).count();
    // Early ones are in time, also those that come after the plan; late ones are not.
    assert!(kept * 4 > cases.len() && kept < cases.len(), "{kept} of {}", cases.len());
}

#[test]
fn collections_and_writers_at_the_same_time_lose_nothing() {
    for seed in 0..SEEDS_COUNT {
        let case = format!("seed {seed}");
        let prepared = Prepared::new();
        let desk = &prepared.desk;
        let before = desk.pack_bytes();
        let first = seed * 100 + 1000;
        let written = std::thread::scope(|scope| {
            let pruners = (0..2).map(|number| {
                let store = Jittery::of(&desk.store, first + number);
                let seed = first + 10 + number;
                scope.spawn(move || prune_in(&store, &desk.key, seed, &options()))
            });
            let pruners: Vec<_> = pruners.collect();
            let writers = [(0, 0), (1, 1)].map(|(number, source)| {
                let store = Jittery::of(&desk.store, first + 20 + number);
                scope.spawn(move || write(&store, &desk.key, first + 30 + number, source))
            });
            let written: Vec<_> =
                writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            for pruner in pruners {
                let report = pruner.join().unwrap();
                report.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
            }
            written
        });
        let mut expected = vec![prepared.kept.clone()];
        for result in written {
            expected.push(result.unwrap_or_else(|e| panic!("{case}: {}", words(&e))));
        }
        desk.assert_sound(first + 50, &expected, &case);
        let last = desk.prune_with(first + 51, &options());
        assert!(last.state != PruneState::Waiting, "{case}: {last:?}");
        desk.assert_sound(first + 52, &expected, &case);
        let everything: Vec<_> = expected.iter().map(|(snapshot, _)| *snapshot).collect();
        desk.forget(first + 53, &everything);
        desk.prune_with(first + 54, &options());
        assert!(desk.pack_bytes() < before / 10, "{case}: {} of {before}", desk.pack_bytes());
        desk.assert_sound(first + 55, &[], &case);
    }
}

#[test]
fn two_prunes_step_by_step_come_to_one_history() {
    let prepared = Prepared::new();
    let operations = prepared.prune_operations();
    let cases: Vec<u64> = (0..operations).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("operation {operation}");
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (shared(&desk.store), desk.key.clone());
        faulty.interleave_at(operation, move || {
            // A thread of its own: the call may come from within a buffer of this one.
            let other = std::thread::spawn(move || prune_in(&inside, &key, 50, &options()));
            other.join().unwrap().unwrap();
        });
        let report = prune_in(&of_faulty(&faulty), &desk.key, 40, &options());
        report.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        desk.assert_sound(41, std::slice::from_ref(&prepared.kept), &case);
        assert_eq!(desk.count("forget"), 0, "{case}");
        let keys = desk.store.objects();
        let of = |step: &str| keys.keys().filter(|key| key.as_str().ends_with(step)).count();
        assert_eq!(of("/plan"), of("/done"), "{case}");
        assert_eq!(of("/verdict"), of("/done"), "{case}");
        None::<()>
    });
}

#[test]
fn a_reader_between_whose_calls_everything_is_repacked_reads_on() {
    let prepared = Prepared::new();
    let restores = |desk: &Desk, store: &Arc<dyn Store>, case: &str| {
        let reader = open(store, &desk.key, 60, None).unwrap();
        let restored = restore_files(&reader, prepared.kept.0, KeepGoing::Stop);
        let (_, files) = restored.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        assert!(files == prepared.kept.1, "{case}: other files");
    };
    let counted = Arc::new(FaultStore::new(prepared.desk.branch().shared()));
    restores(&prepared.desk, &of_faulty(&counted), "counted");
    let cases: Vec<u64> = (0..counted.operations()).collect();
    let trace = counted.trace();
    in_parallel(&cases, |&operation| {
        let case = format!("before {:?}", trace[usize::try_from(operation).unwrap()]);
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        faulty.interleave_at(operation, move || {
            let other = std::thread::spawn(move || {
                prune_in(&inside, &key, 50, &options()).unwrap();
                // The second sweep takes away what the first verdict still had.
                let gone = write(&inside, &key, 51, 0).unwrap();
                forget_in(&open(&inside, &key, 52, None).unwrap(), &[gone.0]).unwrap();
                prune_in(&inside, &key, 53, &options()).unwrap();
            });
            other.join().unwrap();
        });
        restores(&desk, &of_faulty(&faulty), &case);
        None::<()>
    });
}

#[test]
fn a_check_between_whose_calls_everything_is_repacked_finds_no_damage() {
    let prepared = Prepared::new();
    let counted = Arc::new(FaultStore::new(prepared.desk.branch().shared()));
    let checks = |store: &Arc<dyn Store>| {
        let reader = open(store, &prepared.desk.key, 60, None).unwrap();
        check_all(&reader, Depth::ReadData).unwrap()
    };
    checks(&of_faulty(&counted));
    let cases: Vec<u64> = (0..counted.operations()).collect();
    in_parallel(&cases, |&operation| {
        let desk = prepared.desk.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        faulty.interleave_at(operation, move || {
            let other = std::thread::spawn(move || prune_in(&inside, &key, 50, &options()));
            other.join().unwrap().unwrap();
        });
        let report = checks(&of_faulty(&faulty));
        assert!(!report.is_damaged(), "operation {operation}: {:?}", report.findings);
        None::<()>
    });
}

#[test]
fn a_pack_that_comes_back_after_its_verdict_is_not_adopted() {
    let desk = Desk::new();
    let state = scratch();
    let back_up_with = |store: &Arc<dyn Store>, seed, state: Option<&Path>| {
        let repository = open(store, &desk.key, seed, state)?;
        crate::support::back_up(&repository, "source", source(1))
    };
    let back_up = |store: &Arc<dyn Store>, seed| back_up_with(store, seed, Some(state.path()));
    // Dies before its commit, with everything uploaded. A host that remembered what it did in the
    // branch would miss it here.
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    back_up_with(&of_faulty(&counted), 20, None).unwrap();
    let trace = counted.trace();
    let commits = |call: &&Traced| call.call == Call::Create && call.key.starts_with("outcomes");
    let commit = trace.iter().find(commits).unwrap().operation;
    let dying = Arc::new(FaultStore::crash_at(desk.shared(), commit));
    assert!(back_up(&of_faulty(&dying), 21).is_err());
    let uploaded = desk.store.objects();
    let mut give_up = options();
    give_up.fence = FenceLimit::Now;
    desk.prune_with(22, &give_up);
    assert_eq!(desk.pack_bytes(), 0);
    let other = desk.back_up(23, 0);
    desk.prune_with(24, &give_up);
    // Requests that came twice: announcement, packs and segments are there again.
    let mut again = Vec::new();
    for (key, body) in uploaded {
        let comes_back = ["packs", "index", "sessions"].iter().any(|folder| key.is_under(folder));
        if comes_back && !desk.store.objects().contains_key(&key) {
            desk.store.replace(&key, &body);
            again.push(key);
        }
    }
    assert!(again.iter().any(|key| key.is_under("packs")), "{again:?}");
    let report = back_up(&desk.shared(), 25).unwrap();
    // Whoever carries the old verdict out deletes them once more.
    for key in again.iter().filter(|key| key.is_under("packs")) {
        desk.store.remove(key);
    }
    let kept = (report.snapshot.unwrap(), restored_form(source(1)));
    desk.assert_sound(26, &[other, kept], "after the late delete");
}

const SEEDS_COUNT: u64 = 30;
