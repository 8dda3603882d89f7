//! What a session that was given up had stored is adopted at most once, whoever finds it, and
//! nothing of it after a collection took it. Spec: format-spec/09-session.md, "Write order".

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::prune_desk::prune_in;
use crate::support::Files;
use crate::support::back_up_stream;
use crate::support::bytes_of;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::restore_files;
use crate::support::scratch;
use crate::support::stream_form;
use crate::support::words;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::Call;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Maintainer;
use sbf_repo::testing::Store;
use sbf_repo::testing::Traced;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A repository, and the memory of a host whose last run died.
struct Deserted {
    desk: Desk,
    state: TempDir,
}

/// Where a run dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// Its packs are stored, and no segment lists them.
    BeforeSegment,
    /// Everything is stored, and nothing says that it counts.
    BeforeCommit,
    /// Its snapshot counts, and its host does not know yet.
    AfterCommit,
}

impl Deserted {
    fn new(desk: Desk, dies: Dies, seed: u64) -> Self {
        let state = scratch();
        die(&desk, state.path(), dies, seed);
        Self { desk, state }
    }

    /// The same again, for another process to change.
    fn branch(&self) -> Self {
        let state = scratch();
        copy_files(self.state.path(), state.path());
        Self { desk: self.desk.branch(), state }
    }

    /// Runs on the host.
    fn run(&self, store: &Arc<dyn Store>, seed: u64) -> Result<Kept, OpError> {
        run(store, &self.desk, self.state.path(), seed)
    }
}

fn run(store: &Arc<dyn Store>, desk: &Desk, state: &Path, seed: u64) -> Result<Kept, OpError> {
    let repository = open(store, &desk.key, seed, Some(state))?;
    // A stream: what is stored of it is the same in every run.
    let report = back_up_stream(&repository, "source", &bytes_of(7, SOURCE_BYTES, 256))?;
    Ok((report.snapshot.unwrap(), form()))
}

/// A run that dies; the number of calls is that of the same run in another world.
fn die(desk: &Desk, state: &Path, dies: Dies, seed: u64) {
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    let elsewhere = scratch();
    copy_files(state, elsewhere.path());
    run(&of_faulty(&counted), desk, elsewhere.path(), seed).unwrap();
    let trace = counted.trace();
    let creates = |folder: &str| {
        let is_meant = |call: &&Traced| call.call == Call::Create && call.key.starts_with(folder);
        let found: Vec<u64> = trace.iter().filter(is_meant).map(|call| call.operation).collect();
        found
    };
    let operation = match dies {
        Dies::BeforeSegment => creates("index")[0],
        Dies::BeforeCommit => *creates("outcomes").last().unwrap(),
        Dies::AfterCommit => creates("outcomes").last().unwrap() + 1,
    };
    let dying = Arc::new(FaultStore::crash_at(desk.shared(), operation));
    let ended = run(&of_faulty(&dying), desk, state, seed);
    assert!(ended.is_err(), "{dies:?}");
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&place).unwrap();
            copy_files(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), &place).unwrap();
        }
    }
}

fn of_faulty(store: &Arc<FaultStore<Arc<dyn Store>>>) -> Arc<dyn Store> {
    Arc::<FaultStore<Arc<dyn Store>>>::clone(store)
}

fn no_waste() -> PruneOptions {
    let mut options = PruneOptions::new();
    options.unused = UnusedLimit::Bytes(0);
    options
}

/// Every pack is stored once, nothing is damaged, and a collection changes nothing of that.
#[track_caller]
fn assert_adopted_once(desk: &Desk, expected: &[Kept], case: &str) {
    desk.assert_sound(900, expected, case);
    let report = desk.prune_with(901, &no_waste());
    assert!(report.state != PruneState::Waiting, "{case}: {report:?}");
    desk.assert_sound(902, expected, &format!("{case}, pruned"));
    let again = desk.prune_with(903, &no_waste());
    assert_eq!(again.state, PruneState::Nothing, "{case}: {again:?}");
}

#[test]
fn a_run_that_is_fenced_adopts_what_it_had_adopted_once_more_and_once() {
    // Its memory names the session that was fenced, and it does itself.
    let deserted = Deserted::new(Desk::new(), Dies::BeforeSegment, 10);
    let counted = Arc::new(FaultStore::new(deserted.branch().desk.shared()));
    deserted.branch().run(&of_faulty(&counted), 20).unwrap();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("fenced before call {operation}");
        let Deserted { desk, state } = deserted.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        faulty.interleave_at(operation, move || {
            let fencing = std::thread::spawn(move || {
                let repository = open(&inside, &key, 30, None).unwrap();
                let maintainer = Maintainer::new(&repository).unwrap();
                for listed in inside.list("sessions").unwrap() {
                    // Those that are decided stay so.
                    let _ignored = maintainer.fence(&listed.key);
                }
            });
            fencing.join().unwrap();
        });
        let kept = run(&of_faulty(&faulty), &desk, state.path(), 20);
        let kept = kept.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        assert_adopted_once(&desk, &[kept], &case);
        None::<()>
    });
}

#[test]
fn two_runs_that_find_one_dead_session_lose_nothing_and_list_nothing_twice() {
    for dies in [Dies::BeforeSegment, Dies::BeforeCommit] {
        let deserted = Deserted::new(Desk::new(), dies, 10);
        let counted = Arc::new(FaultStore::new(deserted.branch().desk.shared()));
        deserted.branch().run(&of_faulty(&counted), 20).unwrap();
        let cases: Vec<u64> = (0..counted.operations()).collect();
        in_parallel(&cases, |&operation| {
            let case = format!("{dies:?}, another run before call {operation}");
            let Deserted { desk, state } = deserted.branch();
            let faulty = Arc::new(FaultStore::new(desk.shared()));
            let (inside, other) = (desk.shared(), desk.branch());
            let path = state.path().to_path_buf();
            let (send, receive) = std::sync::mpsc::channel();
            faulty.interleave_at(operation, move || {
                let running = std::thread::spawn(move || run(&inside, &other, &path, 30));
                send.send(running.join().unwrap().unwrap()).unwrap();
            });
            let kept = run(&of_faulty(&faulty), &desk, state.path(), 20);
            let kept = kept.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
            let other = receive.recv().unwrap();
            assert_adopted_once(&desk, &[other, kept], &case);
            None::<()>
        });
    }
}

/// Runs on the host while a collection has come as far as each of its calls.
fn adopts_beside_a_collection(
    deserted: &Deserted,
    expected: &[Kept],
    options: &PruneOptions,
    judge: impl Fn(&Desk, &Kept, &str) + Sync,
) {
    let counted = Arc::new(FaultStore::new(deserted.desk.branch().shared()));
    prune_in(&of_faulty(&counted), &deserted.desk.key, 40, options).unwrap();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("a collection before call {operation}");
        let Deserted { desk, state } = deserted.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, other) = (desk.shared(), desk.branch());
        let path = state.path().to_path_buf();
        let (send, receive) = std::sync::mpsc::channel();
        faulty.interleave_at(operation, move || {
            let running = std::thread::spawn(move || run(&inside, &other, &path, 30));
            send.send(running.join().unwrap().unwrap()).unwrap();
        });
        let pruned = prune_in(&of_faulty(&faulty), &desk.key, 40, options);
        pruned.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        let kept = receive.recv().unwrap();
        judge(&desk, &kept, &case);
        let mut expected = expected.to_vec();
        expected.push(kept);
        assert_adopted_once(&desk, &expected, &case);
        None::<()>
    });
}

#[test]
fn what_a_collection_takes_of_a_dead_session_is_not_adopted() {
    let mut options = no_waste();
    options.fence = FenceLimit::Now;
    for dies in [Dies::BeforeSegment, Dies::BeforeCommit] {
        let deserted = Deserted::new(Desk::new(), dies, 10);
        adopts_beside_a_collection(&deserted, &[], &options, |_desk, _kept, _case| {});
    }
}

/// A host that does not know that the uploads of its dead session were adopted and committed; the
/// snapshot that did so.
fn adopted_unknown(desk: Desk) -> (Deserted, Kept) {
    let deserted = Deserted::new(desk, Dies::BeforeCommit, 10);
    let before = deserted.desk.store.objects();
    die(&deserted.desk, deserted.state.path(), Dies::AfterCommit, 11);
    let mut new = deserted.desk.store.objects().into_keys();
    let committed = new.find(|key| key.is_under("manifests") && !before.contains_key(key)).unwrap();
    let committed = committed.segments().last().unwrap().parse().unwrap();
    (deserted, (committed, form()))
}

#[test]
fn what_another_session_adopted_and_committed_is_not_adopted_again() {
    let desk = Desk::new();
    let mut expected = Vec::new();
    // Enough small segments for a collection to merge them, the adopted one among them.
    for number in 0..7 {
        let bytes = bytes_of(200 + number, 2000, 256);
        let name = format!("stream{number}");
        let repository = open(&desk.shared(), &desk.key, 100 + number, None).unwrap();
        let report = back_up_stream(&repository, &name, &bytes).unwrap();
        expected.push((report.snapshot.unwrap(), stream_form(&name, &bytes)));
    }
    let (deserted, adopted) = adopted_unknown(desk);
    expected.push(adopted);
    let judge = |desk: &Desk, kept: &Kept, case: &str| {
        let stored = desk.store.objects().into_keys().find(|key| {
            let is_data = key.is_under("packs") || key.is_under("index");
            is_data && key.as_str().contains(&kept.0.to_string())
        });
        assert_eq!(stored, None, "{case}: everything was there and counted");
    };
    // Some waste is tolerated, so that the adopted packs are not copied.
    adopts_beside_a_collection(&deserted, &expected, &PruneOptions::new(), judge);
}

#[test]
fn what_was_adopted_and_then_collected_is_not_taken() {
    let (deserted, adopted) = adopted_unknown(Desk::new());
    deserted.desk.forget(12, &[adopted.0]);
    adopts_beside_a_collection(&deserted, &[], &no_waste(), |_desk, _kept, _case| {});
}

#[test]
fn what_a_session_had_stored_whose_outcome_cannot_be_read_is_left_alone() {
    let deserted = Deserted::new(Desk::new(), Dies::BeforeCommit, 10);
    let Deserted { desk, .. } = &deserted;
    let announced = desk.store.objects().into_keys().find(|key| key.is_under("sessions")).unwrap();
    let outcome = announced.as_str().replacen("sessions", "outcomes", 1);
    desk.store.replace(&ObjectKey::new(outcome).unwrap(), b"whatever");
    let kept = deserted.run(&desk.shared(), 20).unwrap();
    let reader = open(&desk.shared(), &desk.key, 30, None).unwrap();
    let (report, files) = restore_files(&reader, kept.0, KeepGoing::Stop).unwrap();
    assert_eq!(report.failed_count, 0);
    assert!(files == kept.1);
    let refused = prune_in(&desk.shared(), &desk.key, 40, &no_waste()).unwrap_err();
    assert!(words(&refused).contains("outcomes/"), "{}", words(&refused));
}

fn form() -> Files {
    stream_form("source", &bytes_of(7, SOURCE_BYTES, 256))
}

const SOURCE_BYTES: usize = 40_000;
