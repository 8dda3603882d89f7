//! Races: writers at the same time, a collection in the middle of a run, answers that are lost,
//! late or doubled. Rules W1 to W6 of format-spec/09-session.md.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::support::Files;
use crate::support::assert_restores;
use crate::support::assert_sound;
use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::in_parallel;
use crate::support::init;
use crate::support::open;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::StoreErrorKind;
use sbf_repo::format::keyslot::Role;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::key::add::AddOptions;
use sbf_repo::ops::key::add::add;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::snapshot::report::SnapshotReport;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Listed;
use sbf_repo::testing::Maintainer;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreError;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A store whose calls take a seeded number of turns.
#[derive(Debug)]
pub(crate) struct Jittery {
    inner: Arc<MemoryStore>,
    random: Mutex<SplitMix>,
}

impl Jittery {
    pub(crate) fn of(inner: &Arc<MemoryStore>, seed: u64) -> Arc<dyn Store> {
        let random = Mutex::new(SplitMix::new(seed));
        Arc::new(Self { inner: Arc::clone(inner), random })
    }

    fn wait(&self) -> &MemoryStore {
        let turns = self.random.lock().unwrap().below(40);
        for _ in 0..turns {
            std::thread::yield_now();
        }
        &self.inner
    }
}

impl Store for Jittery {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.wait().create(key, body)
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        self.wait().read(key, length_max)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.wait().read_range(key, range, buffer)
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.wait().length(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.wait().list(prefix)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.wait().delete(key)
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.wait().settle(key)
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

/// Directories that share some of their files.
struct Sources {
    folders: Vec<TempDir>,
    forms: Vec<Files>,
}

impl Sources {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Sources> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folders: Vec<TempDir> = (0..3).map(|_| scratch()).collect();
            for (number, folder) in folders.iter().enumerate() {
                let own = bytes_of(number.try_into().unwrap(), 6_000, 256);
                let files = [("common", bytes_of(9, 20_000, 256)), ("d/own", own)];
                write_files(folder.path(), &files);
            }
            let forms = folders.iter().map(|folder| restored_form(folder.path())).collect();
            Self { folders, forms }
        })
    }

    fn form(number: usize) -> Files {
        Self::shared().forms[number].clone()
    }
}

fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::<MemoryStore>::clone(store)
}

/// Plays a process that backs up one of the directories.
fn write(
    store: &Arc<dyn Store>,
    key: &KeyFile,
    seed: u64,
    number: usize,
) -> Result<SnapshotReport, OpError> {
    let repository = open(store, key, seed, None)?;
    back_up(&repository, &format!("source{number}"), Sources::shared().folders[number].path())
}

fn acknowledged(report: &SnapshotReport, number: usize) -> (SnapshotId, Files) {
    (report.snapshot.unwrap(), Sources::form(number))
}

/// A repository, and the keys of two clients.
fn repository(seed: u64) -> (Arc<MemoryStore>, KeyFile, KeyFile) {
    let store = Arc::new(MemoryStore::new());
    let key = init(&shared(&store), seed).unwrap();
    let mut second = None;
    let options = AddOptions::new(Role::Admin, "second".to_owned(), FirstSecret::KeyFile);
    let opened = open(&shared(&store), &key, seed + 1, None).unwrap();
    add(&opened, &options, &mut |file| {
        second = Some(file.clone());
        Ok(())
    })
    .unwrap();
    (store, key, second.unwrap())
}

#[test]
fn writers_at_the_same_time_all_keep_their_snapshots() {
    for seed in 0..SEEDS_COUNT {
        let case = format!("seed {seed}");
        let (store, first, second) = repository(seed * 100);
        let reports: Vec<_> = std::thread::scope(|scope| {
            // Two runs of one client overlap, too.
            let writers = [&first, &second, &first].into_iter().enumerate().map(|(number, key)| {
                let seed = seed * 100 + 10 + u64::try_from(number).unwrap();
                let store = Jittery::of(&store, seed);
                scope.spawn(move || write(&store, key, seed, number))
            });
            let writers: Vec<_> = writers.collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let expected: Vec<_> = reports
            .iter()
            .enumerate()
            .map(|(number, report)| {
                let report = report.as_ref();
                acknowledged(report.unwrap_or_else(|e| panic!("{case}: {}", words(e))), number)
            })
            .collect();
        let opened = open(&shared(&store), &first, seed * 100 + 50, None).unwrap();
        assert_sound(&opened, &expected, &case);
    }
}

#[test]
fn a_writer_between_any_two_calls_of_another_disturbs_neither() {
    let (prepared, first, second) = repository(1);
    let counted = Arc::new(FaultStore::new(shared(&Arc::new(prepared.snapshot()))));
    let count = operations(&counted, &first);
    let cases: Vec<u64> = (0..count).collect();
    in_parallel(&cases, |&operation| {
        let case = format!("operation {operation}");
        let store = Arc::new(prepared.snapshot());
        let faulty = Arc::new(FaultStore::new(shared(&store)));
        let other = Arc::new(Mutex::new(None));
        let (told, inside, key) = (Arc::clone(&other), shared(&store), second.clone());
        faulty.interleave_at(operation, move || {
            *told.lock().unwrap() = Some(write(&inside, &key, 40, 1).unwrap());
        });
        let report = write(&of_faulty(&faulty), &first, 41, 0).unwrap();
        let other = other.lock().unwrap().take().unwrap();
        let expected = [acknowledged(&report, 0), acknowledged(&other, 1)];
        assert_sound(&open(&shared(&store), &first, 42, None).unwrap(), &expected, &case);
        None::<()>
    });
}

type Faulty = FaultStore<Arc<dyn Store>>;

fn of_faulty(store: &Arc<Faulty>) -> Arc<dyn Store> {
    Arc::<Faulty>::clone(store)
}

fn operations(store: &Arc<Faulty>, key: &KeyFile) -> u64 {
    write(&of_faulty(store), key, 41, 0).unwrap();
    store.operations()
}

/// Backs up with one fault at each call that `calls` fits, and expects success.
fn survives(calls: fn(Call) -> bool, faults: &[Fault]) {
    let (prepared, first, second) = repository(1);
    write(&shared(&prepared), &second, 30, 1).unwrap();
    // The client has a head, which its next commit names once, however often it is listed.
    write(&shared(&prepared), &first, 31, 2).unwrap();
    let counted = Arc::new(FaultStore::new(shared(&Arc::new(prepared.snapshot()))));
    operations(&counted, &first);
    let trace = counted.trace();
    let fits = trace.iter().filter(|call| calls(call.call)).map(|call| call.operation);
    let cases: Vec<_> = fits.flat_map(|at| faults.iter().map(move |fault| (at, *fault))).collect();
    assert!(!cases.is_empty());
    in_parallel(&cases, |&(operation, fault)| {
        let case = format!("{fault:?} at {:?}", trace[usize::try_from(operation).unwrap()]);
        let store = Arc::new(prepared.snapshot());
        let failing = Arc::new(FaultStore::new(shared(&store)).with_fault(operation, fault));
        let report = write(&of_faulty(&failing), &first, 41, 0);
        let report = report.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        failing.flush_delayed();
        let opened = open(&of_faulty(&failing), &first, 42, None).unwrap();
        assert_restores(&opened, &[acknowledged(&report, 0)], &case);
        let again = write(&shared(&store), &first, 43, 0).unwrap();
        let limit = 20_000;
        assert!(again.run.bytes_stored < limit, "{case}: {} stored", again.run.bytes_stored);
        None::<()>
    });
}

#[test]
fn a_create_whose_answer_is_lost_or_comes_twice_is_a_success() {
    let lost = [Outcome::Applied, Outcome::Dropped, Outcome::Delayed].map(Fault::LostAnswer);
    survives(|call| call == Call::Create, &[lost.as_slice(), &[Fault::DeliveredTwice]].concat());
}

#[test]
fn a_create_that_is_refused_for_a_moment_is_tried_again() {
    let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Throttled].map(Fault::Fail);
    survives(|call| call == Call::Create, &kinds);
}

#[test]
fn a_listing_out_of_order_or_doubled_or_cut_changes_nothing() {
    let faults = [Fault::ShuffledList(5), Fault::DoubledList, Fault::SplitList];
    survives(|call| call == Call::List, &faults);
}

/// A repository with a snapshot that stays and one that is forgotten.
struct Collected {
    store: MemoryStore,
    first: KeyFile,
    second: KeyFile,
    kept: (SnapshotId, Files),
    forgotten: SnapshotId,
    condemned: Vec<ObjectKey>,
    /// The forgotten snapshot's commit, which a late answer may bring back.
    outcome: (ObjectKey, Arc<[u8]>),
}

impl Collected {
    fn new() -> Self {
        let (store, first, second) = repository(1);
        let kept = write(&shared(&store), &second, 30, 2).unwrap();
        let before = store.objects();
        let forgotten = write(&shared(&store), &second, 31, 1).unwrap().snapshot.unwrap();
        let new: Vec<_> =
            store.objects().into_iter().filter(|(key, _)| !before.contains_key(key)).collect();
        let of = |folder: &'static str| new.iter().filter(|(key, _)| key.is_under(folder)).cloned();
        let condemned = of("packs").map(|(key, _)| key).collect();
        let outcome = of("outcomes").next().unwrap();
        let kept = acknowledged(&kept, 2);
        let store = store.snapshot();
        Self { store, first, second, kept, forgotten, condemned, outcome }
    }

    /// How far a collection gets at once.
    fn collect(&self, store: &Arc<MemoryStore>, until: Until) {
        let store = shared(store);
        let repository = open(&store, &self.second, 60, None).unwrap();
        let maintainer = Maintainer::new(&repository).unwrap();
        let plan = maintainer.plan(1, &self.condemned).unwrap();
        if until == Until::Plan {
            return;
        }
        for listed in store.list("sessions").unwrap() {
            if epoch_of(&listed.key) == Some(0) {
                match maintainer.fence(&listed.key) {
                    Ok(()) => {}
                    Err(error) => assert!(is_decided(&error), "{}", words(&error)),
                }
            }
        }
        self.decide(&store, &maintainer, plan, &self.condemned);
        maintainer.done(1).unwrap();
    }

    fn decide(
        &self,
        store: &Arc<dyn Store>,
        maintainer: &Maintainer<'_>,
        plan: sbf_repo::id::Digest,
        removed: &[ObjectKey],
    ) {
        maintainer.verdict(1, plan, removed, &[self.forgotten]).unwrap();
        for key in removed {
            store.delete(key).unwrap();
        }
        for folder in ["outcomes", "sessions"] {
            for listed in store.list(folder).unwrap() {
                if epoch_of(&listed.key) == Some(0) {
                    store.delete(&listed.key).unwrap();
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Plan,
    Done,
}

fn epoch_of(key: &ObjectKey) -> Option<u64> {
    key.segments().nth(2)?.parse().ok()
}

fn is_decided(error: &sbf_repo::RepoError) -> bool {
    matches!(error, sbf_repo::RepoError::Store { source }
        if source.kind == StoreErrorKind::AlreadyExists)
}

/// Lets a collection get so far before each call of a writer that shares data with what goes.
fn collect_everywhere(until: Until, after: impl Fn(&Collected, &Arc<MemoryStore>, &str) + Sync) {
    let collected = Arc::new(Collected::new());
    let counted = Arc::new(FaultStore::new(shared(&Arc::new(collected.store.snapshot()))));
    let count = operations(&counted, &collected.first);
    let cases: Vec<u64> = (0..count).collect();
    in_parallel(&cases, |&operation| {
        let trace = counted.trace();
        let case = format!("{until:?} before {:?}", trace[usize::try_from(operation).unwrap()]);
        let store = Arc::new(collected.store.snapshot());
        let faulty = Arc::new(FaultStore::new(shared(&store)));
        let (collection, inside) = (Arc::clone(&collected), Arc::clone(&store));
        faulty.interleave_at(operation, move || collection.collect(&inside, until));
        let report = write(&of_faulty(&faulty), &collected.first, 41, 0);
        after(&collected, &store, &case);
        let mut expected = vec![collected.kept.clone()];
        match report {
            Ok(report) => expected.push(acknowledged(&report, 0)),
            // A fenced run may give up; it must not say that it succeeded.
            Err(error) => assert!(words(&error).contains("fenced"), "{case}: {}", words(&error)),
        }
        let opened = open(&shared(&store), &collected.first, 42, None).unwrap();
        assert_sound(&opened, &expected, &case);
        let next = write(&shared(&store), &collected.first, 43, 0).unwrap();
        expected.push(acknowledged(&next, 0));
        let opened = open(&shared(&store), &collected.first, 44, None).unwrap();
        assert_sound(&opened, &expected, &case);
        None::<()>
    });
}

#[test]
fn a_plan_in_the_middle_of_a_run_is_obeyed_or_the_run_is_in_its_roster() {
    collect_everywhere(Until::Plan, |collected, store, case| {
        // The collection drains: what sessions before the plan use is kept.
        let store = shared(store);
        let repository = open(&store, &collected.second, 61, None).unwrap();
        let committed = snapshots(&repository, &SnapshotFilter::new()).unwrap().rows;
        let mine = committed.iter().find(|row| row.source == "source0");
        let mine = mine.unwrap_or_else(|| panic!("{case}: no snapshot"));
        let session = mine.snapshot.to_string();
        let outcomes = store.list("outcomes").unwrap();
        let own = outcomes.iter().find(|listed| listed.key.as_str().ends_with(&session)).unwrap();
        let removed: &[ObjectKey] =
            if epoch_of(&own.key) == Some(0) { &[] } else { &collected.condemned };
        let maintainer = Maintainer::new(&repository).unwrap();
        let plan = plan_hash(&store);
        maintainer.verdict(1, plan, removed, &[collected.forgotten]).unwrap();
        for key in removed {
            store.delete(key).unwrap();
        }
        maintainer.done(1).unwrap();
    });
}

/// The hash that names the plan's body: the only body there is.
fn plan_hash(store: &Arc<dyn Store>) -> sbf_repo::id::Digest {
    let listed = store.list("gc").unwrap();
    listed.iter().find_map(|listed| listed.key.segments().last()?.parse().ok()).unwrap()
}

#[test]
fn a_whole_collection_in_the_middle_of_a_run_never_lets_a_lost_snapshot_count() {
    collect_everywhere(Until::Done, |_, _, _| {});
}

#[test]
fn a_base_takes_the_place_of_outcomes_and_a_late_one_counts_for_nothing() {
    let collected = Collected::new();
    let store = Arc::new(collected.store.snapshot());
    collected.collect(&store, Until::Done);
    assert!(shared(&store).list("outcomes").unwrap().is_empty());
    let reader = open(&shared(&store), &collected.first, 70, None).unwrap();
    assert_sound(&reader, std::slice::from_ref(&collected.kept), "after the collection");
    // A commit whose answer was lost long ago lands again, below the watermark.
    let (key, body) = &collected.outcome;
    store.replace(key, body);
    assert_sound(&reader, std::slice::from_ref(&collected.kept), "with a late commit");
    let report = write(&shared(&store), &collected.first, 71, 0).unwrap();
    let expected = [collected.kept.clone(), acknowledged(&report, 0)];
    assert_sound(&reader, &expected, "after the next snapshot");
}

const SEEDS_COUNT: u64 = 60;
