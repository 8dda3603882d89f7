//! Crashes: a process that stops at any call to its store loses nothing that it acknowledged,
//! leaves a clean repository, and spares the next one what it had stored.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::support::Files;
use crate::support::assert_restores;
use crate::support::assert_sound;
use crate::support::back_up;
use crate::support::back_up_stream;
use crate::support::bytes_of;
use crate::support::in_parallel;
use crate::support::init;
use crate::support::open;
use crate::support::pairs_count;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::stream_form;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::format::keyslot::Role;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::key::add::AddOptions;
use sbf_repo::ops::key::add::add;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use tempfile::TempDir;

type Faulty = FaultStore<Arc<dyn Store>>;

/// What a process may be doing when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    First,
    Second,
    Stream,
    AddKey,
}

/// How an operation of its store ends.
const FAULTS: [Fault; 4] = [
    Fault::Crash,
    Fault::CrashUnknown(Outcome::Applied),
    Fault::CrashUnknown(Outcome::Dropped),
    Fault::CrashUnknown(Outcome::Delayed),
];

/// The user's data, before and after it grew; read only.
struct Sources {
    first: TempDir,
    second: TempDir,
    stream: Vec<u8>,
    first_form: Files,
    second_form: Files,
}

impl Sources {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Sources> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (first, second) = (scratch(), scratch());
            let files = [("a/one", bytes_of(1, DATA_BYTES, 256)), ("b", b"few bytes".to_vec())];
            write_files(first.path(), &files);
            write_files(second.path(), &files);
            write_files(second.path(), &[("c/new", bytes_of(2, DATA_BYTES, 256))]);
            let (first_form, second_form) =
                (restored_form(first.path()), restored_form(second.path()));
            let stream = bytes_of(3, DATA_BYTES, 256);
            Self { first, second, stream, first_form, second_form }
        })
    }
}

/// A host: its store, its memory, and what it was told is safe.
struct Host {
    store: Arc<MemoryStore>,
    key: KeyFile,
    state: TempDir,
    seed: u64,
    acknowledged: Vec<(SnapshotId, Files)>,
}

impl Host {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let key = init(&shared(&store), seed).unwrap();
        Self { store, key, state: scratch(), seed, acknowledged: Vec::new() }
    }

    /// Plays a process that works on a faulty store until it ends or dies.
    fn run(&mut self, work: Work, store: &Arc<Faulty>) -> Result<u64, OpError> {
        self.seed += 1;
        let repository = open(&of_faulty(store), &self.key, self.seed, Some(self.state.path()))?;
        let sources = Sources::shared();
        let (report, files) = match work {
            Work::First => {
                let path = sources.first.path();
                (back_up(&repository, "files", path)?, sources.first_form.clone())
            }
            Work::Second => {
                let path = sources.second.path();
                (back_up(&repository, "files", path)?, sources.second_form.clone())
            }
            Work::Stream => {
                let report = back_up_stream(&repository, "dump", &sources.stream)?;
                (report, stream_form("dump", &sources.stream))
            }
            Work::AddKey => return add_key(&repository).map(|()| 0),
        };
        self.acknowledged.push((report.snapshot.unwrap(), files));
        Ok(report.run.bytes_stored)
    }

    /// As `run`, on a store that does nothing wrong.
    fn run_well(&mut self, work: Work) -> u64 {
        let store = self.faulty();
        self.run(work, &store).unwrap()
    }

    fn faulty(&self) -> Arc<Faulty> {
        Arc::new(FaultStore::new(shared(&self.store)))
    }

    /// Bytes of the longest pack that the host stored beyond those of `before`.
    fn longest_new_pack(&self, before: &MemoryStore) -> usize {
        let before = before.objects();
        let objects = self.store.objects();
        let new = objects.iter().filter(|(key, _)| key.is_under("packs"));
        let new = new.filter(|(key, _)| !before.contains_key(*key));
        new.map(|(_, body)| body.len()).max().unwrap_or_default()
    }

    fn open(&self) -> Repository {
        open(&shared(&self.store), &self.key, self.seed + 1_000_000, None).unwrap()
    }
}

fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::<MemoryStore>::clone(store)
}

fn of_faulty(store: &Arc<Faulty>) -> Arc<dyn Store> {
    Arc::<Faulty>::clone(store)
}

fn add_key(repository: &Repository) -> Result<(), OpError> {
    let options = AddOptions::new(Role::Admin, "second".to_owned(), FirstSecret::KeyFile);
    add(repository, &options, &mut |_file| Ok(())).map(|_slot| ())
}

/// A host before `work`.
fn prepared(work: Work, seed: u64) -> Host {
    let mut host = Host::new(seed);
    if work != Work::First {
        host.run_well(Work::First);
    }
    if work == Work::AddKey {
        host.run_well(Work::Second);
    }
    host
}

/// Lets `work` die as `faults` say, then recovers, and checks everything that was promised.
fn crash(work: Work, faults: &[(u64, Fault)], seed: u64) {
    let case = format!("{work:?} with {faults:?}, seed {seed}");
    let mut host = prepared(work, seed);
    let before = host.store.snapshot();
    let mut died = Vec::new();
    for &(operation, fault) in faults {
        let store = Arc::new(FaultStore::new(shared(&host.store)).with_fault(operation, fault));
        let result = host.run(work, &store);
        if !store.is_crashed() {
            result.unwrap_or_else(|error| panic!("{case}: fails without a fault: {error}"));
        }
        died.push(store);
    }
    let survived = host.longest_new_pack(&before);
    let acknowledged = host.acknowledged.len();
    // Everything acknowledged is there; what was committed without an answer may be, too.
    assert_restores(&host.open(), &host.acknowledged, &case);
    let stored = host.run_well(if work == Work::AddKey { Work::Second } else { work });
    if survived >= DATA_BYTES {
        assert!(stored < SMALL_BYTES, "{case}: {stored} bytes stored again");
    }
    assert_restores(&host.open(), &host.acknowledged, &case);
    for store in died {
        store.flush_delayed();
    }
    assert_restores(&host.open(), &host.acknowledged, &case);
    host.run_well(Work::Second);
    assert_restores(&host.open(), &host.acknowledged, &case);
    assert_eq!(host.acknowledged.len(), acknowledged + 2, "{case}");
}

/// How many operations `work` has.
fn operations(work: Work) -> u64 {
    let mut host = prepared(work, 1);
    let store = host.faulty();
    host.run(work, &store).unwrap();
    assert_sound(&host.open(), &host.acknowledged, "a run without faults");
    store.operations()
}

fn crash_everywhere(work: Work) {
    let cases: Vec<_> = (0..operations(work))
        .flat_map(|operation| FAULTS.map(|fault| (operation, fault)))
        .collect();
    in_parallel(&cases, |&(operation, fault)| {
        crash(work, &[(operation, fault)], 7);
        None::<()>
    });
}

#[test]
fn a_crash_anywhere_in_the_first_snapshot_loses_nothing() {
    crash_everywhere(Work::First);
}

#[test]
fn a_crash_anywhere_in_the_second_snapshot_loses_nothing() {
    crash_everywhere(Work::Second);
}

#[test]
fn a_crash_anywhere_in_a_snapshot_of_a_stream_loses_nothing() {
    crash_everywhere(Work::Stream);
}

#[test]
fn a_crash_anywhere_while_a_key_is_added_loses_nothing() {
    crash_everywhere(Work::AddKey);
}

#[test]
#[expect(clippy::print_stdout, reason = "how many pairs ran")]
fn two_crashes_in_a_row_lose_nothing() {
    let mut random = SplitMix::new(PAIRS_SEED);
    let mut cases = Vec::new();
    for work in [Work::First, Work::Second, Work::Stream] {
        // The second run also closes the session of the first.
        let count = operations(work) + 6;
        for _ in 0..pairs_count(PAIRS_COUNT) {
            let mut draw = || {
                let fault = FAULTS[usize::try_from(random.below(4)).unwrap()];
                (random.below(count), fault)
            };
            cases.push((work, [draw(), draw()]));
        }
    }
    println!("{} pairs of crashes of snapshots", cases.len());
    in_parallel(&cases, |(work, faults)| {
        crash(*work, faults, PAIRS_SEED);
        None::<()>
    });
}

#[test]
fn a_crash_anywhere_in_init_leaves_a_place_to_try_again() {
    let store = Arc::new(MemoryStore::new());
    let counted: Arc<Faulty> = Arc::new(FaultStore::new(shared(&store)));
    init(&of_faulty(&counted), 1).unwrap();
    let count = counted.operations();
    for operation in 0..count {
        for fault in FAULTS {
            crash_init(operation, fault);
        }
    }
}

fn crash_init(operation: u64, fault: Fault) {
    let case = format!("init with {fault:?} at {operation}");
    let store = Arc::new(MemoryStore::new());
    let faulty = Arc::new(FaultStore::new(shared(&store)).with_fault(operation, fault));
    let dead = init(&of_faulty(&faulty), 1);
    assert!(dead.is_err() && faulty.is_crashed(), "{case}");
    let again = init(&shared(&store), 2);
    faulty.flush_delayed();
    let key = match again {
        Ok(key) => key,
        // The config was the last operation, and it was applied.
        Err(RepoError::NotEmpty { .. }) => {
            let config = faulty.trace().into_iter().rfind(|call| call.fault == Some(fault));
            let config = config.map(|call| (call.call, call.key));
            assert_eq!(config, Some((Call::Create, "config".to_owned())), "{case}");
            return;
        }
        Err(error) => panic!("{case}: {error}"),
    };
    let repository = open(&shared(&store), &key, 3, None)
        .unwrap_or_else(|error| panic!("{case}: {}", crate::support::words(&error)));
    let sources = Sources::shared();
    let report = back_up(&repository, "files", sources.first.path()).unwrap();
    let expected = [(report.snapshot.unwrap(), sources.first_form.clone())];
    assert_sound(&repository, &expected, &case);
}

#[test]
fn a_host_without_a_memory_recovers_and_stores_again() {
    let mut host = Host::new(11);
    let count = operations(Work::First);
    for operation in (0..count).step_by(3) {
        let store = Arc::new(FaultStore::crash_at(shared(&host.store), operation));
        drop(host.run(Work::First, &store));
        host.state = scratch();
    }
    host.run_well(Work::First);
    assert_restores(&host.open(), &host.acknowledged, "state directory lost each time");
    assert!(Path::new(host.state.path()).exists());
}

/// Incompressible, so that what is stored again shows.
const DATA_BYTES: usize = 20_000;
/// What a run stores besides the data: its tree.
const SMALL_BYTES: u64 = 8_000;
const PAIRS_SEED: u64 = 21;
const PAIRS_COUNT: u64 = 60;
