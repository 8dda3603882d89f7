//! Damaged stores: whatever a store does to an object, `check` says so and names it, and no
//! restore that succeeds gives wrong bytes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::Files;
use crate::support::back_up;
use crate::support::back_up_stream;
use crate::support::bytes_of;
use crate::support::check_all;
use crate::support::in_parallel;
use crate::support::init;
use crate::support::open;
use crate::support::restore_files;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::stream_form;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::RepoError;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreErrorKind;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;

/// A small repository with one of everything.
struct Minimal {
    store: Arc<MemoryStore>,
    key: KeyFile,
    snapshots: Vec<Expected>,
}

struct Expected {
    snapshot: SnapshotId,
    files: Files,
    /// Objects that restoring it reads: others cannot change what it gives.
    read: BTreeSet<String>,
}

impl Minimal {
    fn build(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let key = init(&shared, seed).unwrap();
        let repository = open(&shared, &key, seed + 1, None).unwrap();
        let source = scratch();
        let files = [("a/many-chunks", bytes_of(seed, 12_000, 2)), ("b", b"few bytes".to_vec())];
        write_files(source.path(), &files);
        let mut made = Vec::new();
        let report = back_up(&repository, "files", source.path()).unwrap();
        made.push((report.snapshot.unwrap(), restored_form(source.path())));
        write_files(source.path(), &[("empty", Vec::new())]);
        let report = back_up(&repository, "files", source.path()).unwrap();
        made.push((report.snapshot.unwrap(), restored_form(source.path())));
        let stream = bytes_of(seed + 2, 900, 2);
        let report = back_up_stream(&repository, "dump", &stream).unwrap();
        made.push((report.snapshot.unwrap(), stream_form("dump", &stream)));
        let snapshots = made.into_iter().map(|(snapshot, files)| {
            let read = objects_read(&store, &key, snapshot);
            Expected { snapshot, files, read }
        });
        let snapshots = snapshots.collect();
        Self { store, key, snapshots }
    }

    fn shared() -> &'static Self {
        static SHARED: OnceLock<Minimal> = OnceLock::new();
        SHARED.get_or_init(|| Self::build(1))
    }
}

fn objects_read(store: &MemoryStore, key: &KeyFile, snapshot: SnapshotId) -> BTreeSet<String> {
    let traced = Arc::new(FaultStore::new(store.snapshot()));
    let shared: Arc<dyn Store> = Arc::<FaultStore<MemoryStore>>::clone(&traced);
    let repository = open(&shared, key, 9, None).unwrap();
    restore_files(&repository, snapshot, KeepGoing::Stop).unwrap();
    traced.trace().into_iter().map(|call| call.key).collect()
}

/// Which of the snapshots that read a damaged object are restored.
#[derive(Debug, Clone, Copy)]
enum Restored {
    All,
    /// One of them, whose turn it is.
    One(usize),
}

/// What is wrong with how a damaged store was met, if anything.
fn judge(
    minimal: &Minimal,
    store: MemoryStore,
    damaged: &ObjectKey,
    restored: Restored,
) -> Result<(), String> {
    let store: Arc<dyn Store> = Arc::new(store);
    let name = damaged.as_str();
    let repository = match open(&store, &minimal.key, 9, None) {
        Ok(repository) => repository,
        Err(error) if !error.is_damage() => {
            return Err(format!("opening fails without damage: {}", words(&error)));
        }
        Err(error) if !words(&error).contains(name) => {
            return Err(format!("opening does not name the object: {}", words(&error)));
        }
        Err(_damage) => return Ok(()),
    };
    let report = check_all(&repository, Depth::ReadData)
        .map_err(|error| format!("check fails: {}", words(&error)))?;
    if report.findings.is_empty() {
        return Err("check finds nothing".to_owned());
    }
    // A commit that is gone is known by its session alone.
    let last = damaged.segments().last().unwrap_or_default();
    let named = |text: &str| text.contains(name) || text.contains(last);
    if !report.findings.iter().any(|found| named(&found.object) || named(&found.effect)) {
        return Err(format!("check does not name the object: {:?}", report.findings));
    }
    let reading = |expected: &&Expected| expected.read.contains(name);
    let mut reading: Vec<_> = minimal.snapshots.iter().filter(reading).collect();
    if let Restored::One(turn) = restored
        && !reading.is_empty()
    {
        reading = vec![reading[turn % reading.len()]];
    }
    for Expected { snapshot, files, .. } in reading {
        match restore_files(&repository, *snapshot, KeepGoing::Stop) {
            Ok((report, restored)) if report.failed_count == 0 && restored != *files => {
                return Err(format!("snapshot {snapshot} restores to wrong files with success"));
            }
            Ok(_) => {}
            Err(OpError::Repo { source, .. }) if matches!(*source, RepoError::WrongKey { .. }) => {
                return Err("a restore says that the key is wrong".to_owned());
            }
            Err(_failed) => {}
        }
    }
    Ok(())
}

/// Judges every case and shows how many were not met as they should, by object and reason.
#[track_caller]
fn judge_all<T: Sync>(
    cases: &[(ObjectKey, T)],
    restored: impl Fn(&T) -> Restored + Sync,
    damage: impl Fn(&MemoryStore, &ObjectKey, &T) + Sync,
) {
    let minimal = Minimal::shared();
    let wrong = in_parallel(cases, |(key, case)| {
        let store = minimal.store.snapshot();
        damage(&store, key, case);
        judge(minimal, store, key, restored(case)).err().map(|why| (key.to_string(), why))
    });
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for (key, why) in &wrong {
        kinds.insert(format!("{}: {why}", key.split('/').next().unwrap()));
    }
    let shown: Vec<_> = kinds.iter().take(20).collect();
    assert!(wrong.is_empty(), "{} of {} cases: {shown:#?}", wrong.len(), cases.len());
}

#[test]
#[expect(clippy::print_stdout, reason = "says how much was covered")]
fn a_flipped_bit_in_any_byte_is_found_and_never_restored() {
    let objects = Minimal::shared().store.objects();
    let mut cases = Vec::new();
    for (key, body) in &objects {
        cases.extend((0..body.len()).map(|index| (key.clone(), index)));
    }
    println!("{} bytes of {} objects", cases.len(), objects.len());
    assert!((5_000..61_440).contains(&cases.len()), "{} bytes", cases.len());
    let restored = |index: &usize| Restored::One(*index);
    judge_all(&cases, restored, |store, key, &index| {
        let mut body = objects[key].to_vec();
        body[index] ^= 1 << (index % 8);
        store.replace(key, &body);
    });
}

#[test]
fn an_object_of_another_length_is_found_and_never_restored() {
    let objects = Minimal::shared().store.objects();
    let mut cases = Vec::new();
    for (key, body) in &objects {
        let length = body.len();
        for new in [0, 1, 16, length / 4, length / 2, length - 17, length - 16, length - 1] {
            cases.push((key.clone(), new));
        }
        cases.extend([length + 1, length + 4096, 2 * length].map(|new| (key.clone(), new)));
    }
    judge_all(
        &cases,
        |_| Restored::All,
        |store, key, &length| {
            let mut body = objects[key].to_vec();
            body.resize(length, 0);
            store.replace(key, &body);
        },
    );
}

#[test]
fn a_deleted_object_is_found_and_never_restored() {
    let objects = Minimal::shared().store.objects();
    // Without its slot a key opens nothing: that is how keys are removed, and no damage.
    let cases = objects.keys().filter(|key| key.segments().next() != Some("keys"));
    let cases: Vec<_> = cases.map(|key| (key.clone(), ())).collect();
    judge_all(&cases, |()| Restored::All, |store, key, ()| assert!(store.remove(key)));
}

#[test]
fn an_object_in_the_place_of_another_of_its_kind_is_found_and_never_restored() {
    let objects = Minimal::shared().store.objects();
    let mut cases = Vec::new();
    for key in objects.keys() {
        let kind = key.segments().next();
        let others =
            objects.keys().filter(|other| *other != key && other.segments().next() == kind);
        cases.extend(others.map(|other| (key.clone(), other.clone())));
    }
    judge_all(&cases, |_| Restored::All, |store, key, other| store.replace(key, &objects[other]));
}

#[test]
fn an_object_of_another_repository_is_found_and_never_restored() {
    let objects = Minimal::shared().store.objects();
    let foreign = Minimal::build(100).store.objects();
    let mut cases = Vec::new();
    for key in objects.keys() {
        let kind = key.segments().next();
        let same_kind = foreign.iter().filter(|(other, _)| other.segments().next() == kind);
        cases.extend(same_kind.map(|(_, body)| (key.clone(), Arc::clone(body))));
    }
    judge_all(&cases, |_| Restored::All, |store, key, body| store.replace(key, body));
}

/// A pack that is damaged at each end and in the middle: nothing in it reads, at least.
fn damage_longest_pack(store: &MemoryStore) -> ObjectKey {
    let packs = store.objects();
    let longest = packs.iter().filter(|(key, _)| key.is_under("packs"));
    let (key, body) = longest.max_by_key(|(_, body)| body.len()).unwrap();
    let mut body = body.to_vec();
    let length = body.len();
    for index in [0, length / 2, length - 1] {
        body[index] ^= 1;
    }
    store.replace(key, &body);
    key.clone()
}

#[test]
fn the_files_of_a_damaged_pack_are_named_and_the_others_restored() {
    let store = Arc::new(MemoryStore::new());
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
    let key = init(&shared, 1).unwrap();
    let repository = open(&shared, &key, 2, None).unwrap();
    let source = scratch();
    write_files(source.path(), &[("lost", bytes_of(1, 30_000, 256))]);
    back_up(&repository, "files", source.path()).unwrap();
    write_files(source.path(), &[("kept", bytes_of(2, 10_000, 256)), ("d/kept", b"x".to_vec())]);
    let report = back_up(&repository, "files", source.path()).unwrap();
    let pack = damage_longest_pack(&store);
    let found = check_all(&repository, Depth::ReadData).unwrap().findings;
    let about = |text: &str| found.iter().filter(|found| found.object.contains(text)).count();
    assert!(about(pack.as_str()) > 0, "{found:?}");
    assert_eq!((about("/lost"), about("kept")), (2, 0), "{found:?}");
    let lost = source.path().strip_prefix("/").unwrap().join("lost");
    let mut expected = restored_form(source.path());
    expected.remove(&lost);
    let snapshot = report.snapshot.unwrap();
    let (report, files) = restore_files(&repository, snapshot, KeepGoing::Continue).unwrap();
    assert_eq!(report.failed_count, 1, "{:?}", report.failed);
    assert!(report.failed[0].object.ends_with("/lost"), "{:?}", report.failed);
    assert_eq!(files, expected);
    assert!(restore_files(&repository, snapshot, KeepGoing::Stop).is_err());
}

#[test]
fn a_pack_with_a_bad_sector_costs_its_files_and_not_the_check() {
    // One sector of one pack gave a read error: nothing else was checked or restored.
    let memory = Arc::new(MemoryStore::new());
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&memory);
    let key = init(&shared, 1).unwrap();
    let repository = open(&shared, &key, 2, None).unwrap();
    let source = scratch();
    write_files(source.path(), &[("lost", bytes_of(1, 30_000, 256))]);
    back_up(&repository, "files", source.path()).unwrap();
    write_files(source.path(), &[("kept", bytes_of(2, 10_000, 256)), ("d/kept", b"x".to_vec())]);
    let snapshot = back_up(&repository, "files", source.path()).unwrap().snapshot.unwrap();
    let objects = memory.objects();
    let packs = objects.iter().filter(|(key, _)| key.is_under("packs"));
    let (pack, _) = packs.max_by_key(|(_, body)| body.len()).unwrap();

    let faulty = Arc::new(FaultStore::new(memory.snapshot()));
    let shared: Arc<dyn Store> = Arc::<FaultStore<MemoryStore>>::clone(&faulty);
    let repository = open(&shared, &key, 3, None).unwrap();
    faulty.break_key(pack, Fault::Fail(StoreErrorKind::Unreadable));
    let report = check_all(&repository, Depth::ReadData).unwrap();
    let found = &report.findings;
    let about = |text: &str| found.iter().filter(|found| found.object.contains(text)).count();
    assert!(report.is_damaged());
    assert_eq!((about(pack.as_str()), about("/lost"), about("kept")), (1, 2, 0), "{found:?}");
    let (report, files) = restore_files(&repository, snapshot, KeepGoing::Continue).unwrap();
    assert_eq!((report.failed_count, report.damaged_count), (1, 1), "{:?}", report.failed);
    let mut expected = restored_form(source.path());
    expected.remove(&source.path().strip_prefix("/").unwrap().join("lost"));
    assert_eq!(files, expected);
    assert!(restore_files(&repository, snapshot, KeepGoing::Stop).is_err());

    let manifest = objects.keys().find(|key| key.is_under("manifests")).unwrap();
    faulty.break_key(manifest, Fault::Fail(StoreErrorKind::Unreadable));
    let found = check_all(&repository, Depth::Structure).unwrap().findings;
    assert!(found.iter().any(|found| found.object == manifest.as_str()), "{found:?}");

    for key in objects.keys() {
        faulty.break_key(key, Fault::Fail(StoreErrorKind::Unreadable));
    }
    let error = check_all(&repository, Depth::ReadData).unwrap_err();
    assert!(matches!(&error, OpError::Repo { source, .. } if !source.is_damage()), "{error:?}");
}

#[test]
fn a_damaged_file_is_named_under_each_of_its_names() {
    // The first name was told twice, and the others counted as restored.
    let store = Arc::new(MemoryStore::new());
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
    let key = init(&shared, 1).unwrap();
    let repository = open(&shared, &key, 2, None).unwrap();
    let source = scratch();
    write_files(source.path(), &[("d/a", bytes_of(1, 30_000, 256))]);
    std::fs::hard_link(source.path().join("d/a"), source.path().join("z")).unwrap();
    back_up(&repository, "files", source.path()).unwrap();
    write_files(source.path(), &[("kept", bytes_of(2, 10_000, 256))]);
    let snapshot = back_up(&repository, "files", source.path()).unwrap().snapshot.unwrap();
    damage_longest_pack(&store);
    let (report, files) = restore_files(&repository, snapshot, KeepGoing::Continue).unwrap();
    let named = |end| report.failed.iter().filter(|found| found.object.ends_with(end)).count();
    assert_eq!((named("/d/a"), named("/z")), (1, 1), "{:?}", report.failed);
    assert_eq!((report.failed_count, report.damaged_count), (2, 2));
    let kept: Vec<_> = files.keys().filter(|path| path.ends_with("kept")).collect();
    assert_eq!((kept.len(), report.totals.files, report.totals.bytes), (1, 1, 10_000));
}
