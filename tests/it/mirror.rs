//! Mirrors: cut off at any call they open, and every snapshot in them restores; damage and histories that
//! went back are not taken over.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::Files;
use crate::support::assert_sound;
use crate::support::back_up_stream;
use crate::support::bytes_of;
use crate::support::check_all;
use crate::support::in_parallel;
use crate::support::init;
use crate::support::open;
use crate::support::restore_files;
use crate::support::stream_form;
use crate::support::words;
use sbf_repo::KeyFile;
use sbf_repo::MirrorError;
use sbf_repo::RepoError;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::mirror::lag;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::prune;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Mirrored;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreError;
use sbf_repo::testing::StoreErrorKind;
use sbf_repo::testing::forget_in;
use sbf_repo::testing::mirror_in;
use sbf_repo::testing::promote_in;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A repository whose store is kept as it was at some moments.
struct Past {
    store: Arc<MemoryStore>,
    key: KeyFile,
    seed: u64,
    live: BTreeMap<SnapshotId, Files>,
    moments: Vec<(Arc<MemoryStore>, BTreeMap<SnapshotId, Files>)>,
}

impl Past {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let key = init(&shared(&store), seed).unwrap();
        Self { store, key, seed, live: BTreeMap::new(), moments: Vec::new() }
    }

    /// Nothing, backups, a collection, then several collections at once and a backup.
    fn eventful() -> Self {
        let mut past = Self::new(1);
        past.back_up(1);
        past.back_up(2);
        past.remember();
        past.forget_first();
        past.prune();
        past.back_up(3);
        past.remember();
        for number in 4..7 {
            past.back_up(number);
            past.forget_first();
            past.prune();
        }
        past.back_up(7);
        past.remember();
        past
    }

    fn open(&mut self) -> sbf_repo::Repository {
        self.seed += 1;
        open(&shared(&self.store), &self.key, self.seed, None).unwrap()
    }

    fn back_up(&mut self, number: u64) {
        let common = bytes_of(99, 9_000, 256);
        let bytes = [common, bytes_of(number, 9_000, 256)].concat();
        let report = back_up_stream(&self.open(), "dump", &bytes).unwrap();
        self.live.insert(report.snapshot.unwrap(), stream_form("dump", &bytes));
    }

    fn forget_first(&mut self) {
        let listed = snapshots(&self.open(), &SnapshotFilter::new()).unwrap();
        let first = listed.rows.iter().map(|row| row.snapshot).min().unwrap();
        forget_in(&self.open(), &[first]).unwrap();
        self.live.remove(&first);
    }

    fn prune(&mut self) {
        prune(&self.open(), &PruneOptions::new(), &NoProgress::new()).unwrap();
    }

    fn remember(&mut self) {
        self.moments.push((Arc::new(self.store.snapshot()), self.live.clone()));
    }
}

fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    let store: Arc<MemoryStore> = Arc::clone(store);
    store
}

fn of_faulty(store: &Arc<FaultStore<Arc<dyn Store>>>) -> Arc<dyn Store> {
    let store: Arc<FaultStore<Arc<dyn Store>>> = Arc::clone(store);
    store
}

fn mirror(
    key: &KeyFile,
    from: &Arc<MemoryStore>,
    to: &Arc<dyn Store>,
) -> Result<Mirrored, RepoError> {
    // Each process has randomness of its own.
    static SEED: AtomicU64 = AtomicU64::new(5_000);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    mirror_in(&open(&shared(from), key, seed, None).unwrap(), to)
}

/// A mirror of this moment.
fn mirrored(key: &KeyFile, from: &Arc<MemoryStore>) -> Arc<MemoryStore> {
    let to = Arc::new(MemoryStore::new());
    assert_eq!(mirror(key, from, &shared(&to)).unwrap().flaws, []);
    to
}

/// Whatever the mirror shows restores; returns how many snapshots that are, if it opens at all.
#[track_caller]
fn shows_whole(
    to: &Arc<MemoryStore>,
    key: &KeyFile,
    known: &BTreeMap<SnapshotId, Files>,
    case: &str,
) -> Option<usize> {
    let repository = match open(&shared(to), key, 6_000, None) {
        Err(RepoError::NoRepository { .. }) => return None,
        opened => opened.unwrap(),
    };
    let listed = snapshots(&repository, &SnapshotFilter::new()).unwrap();
    assert!(listed.findings.is_empty(), "{case}: {:?}", listed.findings);
    for row in &listed.rows {
        let (report, files) = restore_files(&repository, row.snapshot, KeepGoing::Stop).unwrap();
        assert_eq!(report.failed_count, 0, "{case}");
        assert!(files == known[&row.snapshot], "{case}: other files");
    }
    Some(listed.rows.len())
}

/// The mirror holds what the source holds, but for what is never copied.
#[track_caller]
fn is_same(from: &Arc<MemoryStore>, to: &Arc<MemoryStore>, case: &str) {
    let copied = |store: &Arc<MemoryStore>| {
        let mut objects = store.objects();
        objects.retain(|key, _| {
            !["sessions", "heartbeats", "amendments/mirror", "probe"]
                .iter()
                .any(|it| key.is_under(it))
        });
        objects
    };
    let (from, to) = (copied(from), copied(to));
    let keys =
        |objects: &BTreeMap<ObjectKey, Arc<[u8]>>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&from), keys(&to), "{case}");
    assert!(from == to, "{case}: other bytes");
}

#[test]
fn a_mirror_cut_off_at_any_call_opens_restores_and_is_gone_on_with() {
    let past = Past::eventful();
    let mut all = BTreeMap::new();
    for (_store, live) in &past.moments {
        all.extend(live.clone());
    }
    let empty = Arc::new(MemoryStore::new());
    let before = |moment: Option<usize>| match moment {
        Some(moment) => mirrored(&past.key, &past.moments[moment].0),
        None => Arc::clone(&empty),
    };
    let mut cases = Vec::new();
    for (start, end) in [(None, 0), (None, 2), (Some(0), 1), (Some(0), 2), (Some(1), 2)] {
        let start = before(start);
        let (from, live) = &past.moments[end];
        let whole = Arc::new(FaultStore::new(shared(&Arc::new(start.snapshot()))));
        let faulty = of_faulty(&whole);
        assert_eq!(mirror(&past.key, from, &faulty).unwrap().flaws, []);
        for call in 0..whole.operations() {
            let called = whole.trace()[usize::try_from(call).unwrap()].call;
            let is_change = matches!(called, Call::Create | Call::Delete);
            cases.push((Arc::clone(&start), from, live, call, Fault::Crash));
            for outcome in [Outcome::Applied, Outcome::Delayed] {
                if is_change {
                    let fault = Fault::CrashUnknown(outcome);
                    cases.push((Arc::clone(&start), from, live, call, fault));
                }
            }
        }
    }
    let shown = in_parallel(&cases, |(start, from, live, call, fault)| {
        let case = format!("{fault:?} at call {call}");
        let to = Arc::new(start.snapshot());
        let store = Arc::new(FaultStore::new(shared(&to)).with_fault(*call, *fault));
        let faulty = of_faulty(&store);
        let ended = mirror(&past.key, from, &faulty);
        store.flush_delayed();
        let shown = shows_whole(&to, &past.key, &all, &case);
        // Whether notes of earlier runs go is not decisive.
        assert!(ended.is_err() || shown == Some(live.len()), "{case}");
        assert_eq!(mirror(&past.key, from, &shared(&to)).unwrap().flaws, [], "{case}");
        is_same(from, &to, &case);
        let repository = open(&shared(&to), &past.key, 7_000, None).unwrap();
        let live: Vec<_> = live.iter().map(|(id, files)| (*id, files.clone())).collect();
        if *call % 8 == 0 {
            assert_sound(&repository, &live, &case);
        }
        Some((shown, live.len()))
    });
    assert!(shown.iter().any(|(shown, _)| shown.is_none()), "cut off before it opens");
    assert!(shown.iter().any(|(shown, live)| shown.is_some_and(|shown| shown < *live)));
    assert!(shown.iter().any(|(shown, live)| shown == &Some(*live)));
}

#[test]
fn a_mirror_is_brought_up_while_its_source_is_pruned() {
    let past = Past::eventful();
    let key = &past.key;
    for call in (0..200).step_by(7) {
        let from = Arc::new(past.moments[0].0.snapshot());
        let to = Arc::new(MemoryStore::new());
        let source = Arc::new(FaultStore::new(shared(&from)));
        let busy = Arc::clone(&from);
        let pruned = key.clone();
        source.interleave_at(20 + call, move || {
            let open = |seed| open(&shared(&busy), &pruned, seed, None).unwrap();
            let listed = snapshots(&open(800), &SnapshotFilter::new()).unwrap();
            forget_in(&open(801), &[listed.rows[0].snapshot]).unwrap();
            prune(&open(802), &PruneOptions::new(), &NoProgress::new()).unwrap();
            back_up_stream(&open(803), "dump", &bytes_of(42, 9_000, 256)).unwrap();
        });
        let faulty = of_faulty(&source);
        let case = format!("a prune at call {call}");
        let opened = open(&faulty, key, 810, None).unwrap();
        assert_eq!(mirror_in(&opened, &shared(&to)).unwrap().flaws, [], "{case}");
        let repository = open(&shared(&to), key, 811, None).unwrap();
        let checked = check_all(&repository, Depth::ReadData).unwrap();
        assert!(!checked.is_damaged(), "{case}: {:?}", checked.findings);
        assert_eq!(mirror(key, &from, &shared(&to)).unwrap().flaws, [], "{case}");
        is_same(&from, &to, &case);
    }
}

#[test]
fn a_source_that_went_back_is_not_copied() {
    let past = Past::eventful();
    for (newer, older) in [(2, 1), (1, 0), (2, 0)] {
        let to = mirrored(&past.key, &past.moments[newer].0);
        let before = to.objects();
        let error = mirror(&past.key, &past.moments[older].0, &shared(&to)).unwrap_err();
        assert!(
            matches!(error, RepoError::Mirror { source: MirrorError::WentBack { .. } }),
            "{}",
            words(&error)
        );
        assert!(to.objects() == before);
    }
    // One outcome that was taken away is enough.
    let (from, _live) = &past.moments[2];
    let to = mirrored(&past.key, from);
    let outcome = keys_under(from, "outcomes").pop().unwrap();
    from.remove(&outcome);
    let error = mirror(&past.key, from, &shared(&to)).unwrap_err();
    assert!(
        matches!(&error, RepoError::Mirror { source: MirrorError::WentBack { key, .. } } if *key == outcome.as_str())
    );
}

fn keys_under(store: &Arc<MemoryStore>, folder: &str) -> Vec<ObjectKey> {
    store.objects().into_keys().filter(|key| key.is_under(folder)).collect()
}

#[test]
fn two_histories_are_never_mixed() {
    let past = Past::eventful();
    let (from, _live) = &past.moments[2];
    let other = Arc::new(past.moments[1].0.snapshot());
    let opened = |seed| open(&shared(&other), &past.key, seed, None).unwrap();
    let listed = snapshots(&opened(900), &SnapshotFilter::new()).unwrap();
    forget_in(&opened(901), &[listed.rows[0].snapshot]).unwrap();
    prune(&opened(902), &PruneOptions::new(), &NoProgress::new()).unwrap();
    let to = mirrored(&past.key, &other);
    let before = to.objects();
    let error = mirror(&past.key, from, &shared(&to)).unwrap_err();
    let names = matches!(
        &error,
        RepoError::Mirror { source: MirrorError::TwoBodies { .. } | MirrorError::WentBack { .. } }
    );
    assert!(names, "{}", words(&error));
    assert!(to.objects() == before, "nothing was copied");
}

#[test]
fn damage_is_not_copied_and_sound_objects_of_the_mirror_stay() {
    let past = Past::eventful();
    let (from, live) = &past.moments[1];
    let sound = mirrored(&past.key, from);
    let folders = ["packs", "index", "manifests", "outcomes", "gc", "keys", "ids", "inventory"];
    let keys: Vec<_> = folders.iter().flat_map(|folder| keys_under(from, folder)).collect();
    for key in keys {
        // The newest verdict itself is needed to know what counts.
        let damaged = Arc::new(from.snapshot());
        let mut bytes = damaged.objects()[&key].to_vec();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        damaged.replace(&key, &bytes);
        let Ok(opened) = open(&shared(&damaged), &past.key, 5_100, None) else { continue };
        let to = Arc::new(sound.snapshot());
        let found = mirror_in(&opened, &shared(&to)).unwrap();
        // What has a hash in its name and is sound in the mirror need not be read in the source.
        let expected = [(key.clone(), "SourceDamaged".to_owned())];
        let is_named_by_hash = key.segments().last().is_some_and(|name| name.len() >= 64);
        assert!(found.flaws == expected || is_named_by_hash && found.flaws.is_empty(), "{found:?}");
        is_same(from, &to, key.as_str());
        // A new mirror does not get it.
        let new = Arc::new(MemoryStore::new());
        let found = mirror_in(&opened, &shared(&new)).unwrap();
        assert!(found.flaws.iter().any(|(at, kind)| *at == key && kind == "NotCopied"), "{key}");
        assert!(!new.objects().contains_key(&key), "{key}");
        // The mirror's own damage is replaced.
        to.replace(&key, &bytes);
        let found = mirror(&past.key, from, &shared(&to)).unwrap();
        assert_eq!(found.flaws, [(key.clone(), "Replaced".to_owned())]);
        is_same(from, &to, key.as_str());
    }
    assert!(!live.is_empty());
}

#[test]
fn what_the_source_lost_stays_in_the_mirror() {
    let past = Past::eventful();
    let (from, live) = &past.moments[1];
    let live: Vec<_> = live.iter().map(|(id, files)| (*id, files.clone())).collect();
    for folder in ["packs", "index", "manifests"] {
        let to = mirrored(&past.key, from);
        let poorer = Arc::new(from.snapshot());
        let lost = keys_under(from, folder).pop().unwrap();
        poorer.remove(&lost);
        let found = mirror(&past.key, &poorer, &shared(&to)).unwrap();
        assert_eq!(found.flaws, [(lost.clone(), "SourceMissing".to_owned())]);
        assert_sound(&open(&shared(&to), &past.key, 5_200, None).unwrap(), &live, folder);
    }
}

#[test]
fn a_mirror_is_read_only_until_it_is_promoted_and_is_no_mirror_after() {
    let past = Past::eventful();
    let (from, live) = &past.moments[1];
    let to = mirrored(&past.key, from);
    let opened = |seed| open(&shared(&to), &past.key, seed, None).unwrap();
    let before = to.objects();
    let behind = lag(&opened(1)).unwrap();
    assert_eq!(behind.shows.as_deref(), Some("2023-11-14T22:13:20Z"));
    let read_only = |result: String| assert!(result.contains("is a mirror"), "{result}");
    read_only(words(&back_up_stream(&opened(2), "dump", b"x").unwrap_err()));
    read_only(words(&prune(&opened(3), &PruneOptions::new(), &NoProgress::new()).unwrap_err()));
    let first = *live.keys().next().unwrap();
    read_only(words(&forget_in(&opened(4), &[first]).unwrap_err()));
    assert!(to.objects() == before, "nothing was written");
    promote_in(&opened(5)).unwrap();
    assert_eq!(lag(&opened(6)), None);
    let error = promote_in(&opened(7)).unwrap_err();
    assert!(
        matches!(error, RepoError::Mirror { source: MirrorError::Promoted { .. } }),
        "{}",
        words(&error)
    );
    let error = mirror(&past.key, from, &shared(&to)).unwrap_err();
    assert!(
        matches!(error, RepoError::Mirror { source: MirrorError::Promoted { .. } }),
        "{}",
        words(&error)
    );
    let report = back_up_stream(&opened(8), "dump", b"after").unwrap();
    let mut live: Vec<_> = live.iter().map(|(id, files)| (*id, files.clone())).collect();
    forget_in(&opened(9), &[live.remove(0).0]).unwrap();
    prune(&opened(10), &PruneOptions::new(), &NoProgress::new()).unwrap();
    live.push((report.snapshot.unwrap(), stream_form("dump", b"after")));
    assert_sound(&opened(11), &live, "after the promotion");
    // It has mirrors of its own, which are read-only again.
    let next = mirrored(&past.key, &to);
    assert_sound(&open(&shared(&next), &past.key, 12, None).unwrap(), &live, "the next mirror");
    let again = back_up_stream(&open(&shared(&next), &past.key, 13, None).unwrap(), "dump", b"x");
    read_only(words(&again.unwrap_err()));
}

#[test]
fn no_place_that_is_anything_else_becomes_a_mirror() {
    let past = Past::eventful();
    let (from, _live) = &past.moments[0];
    let own = Arc::new(MemoryStore::new());
    init(&shared(&own), 77).unwrap();
    let error = mirror(&past.key, from, &shared(&own)).unwrap_err();
    assert!(
        matches!(error, RepoError::Mirror { source: MirrorError::NotAMirror { .. } }),
        "{}",
        words(&error)
    );
    let error = mirror(&past.key, from, &shared(&Arc::new(past.moments[1].0.snapshot())));
    assert!(matches!(
        error.unwrap_err(),
        RepoError::Mirror { source: MirrorError::NotAMirror { .. } }
    ));
    let foreign = Arc::new(MemoryStore::new());
    foreign.create(&ObjectKey::new("photos/a").unwrap(), b"x").unwrap();
    let error = mirror(&past.key, from, &shared(&foreign)).unwrap_err();
    assert!(matches!(error, RepoError::NotEmpty { .. }), "{}", words(&error));
    let mut other = Past::new(50);
    other.back_up(1);
    let to = mirrored(&other.key, &other.store);
    let error = mirror(&past.key, from, &shared(&to)).unwrap_err();
    assert!(
        matches!(error, RepoError::Mirror { source: MirrorError::OtherRepository { .. } }),
        "{}",
        words(&error)
    );
}

#[test]
fn a_store_that_fails_ends_the_mirroring_and_one_that_lets_nothing_go_does_not() {
    let past = Past::eventful();
    let (newest, _live) = &past.moments[2];
    let to = mirrored(&past.key, &past.moments[0].0);
    let failing = Arc::new(FaultStore::new(shared(&to)));
    for key in to.objects().into_keys() {
        failing.break_key(&key, Fault::Fail(StoreErrorKind::Unavailable));
    }
    let error = mirror(&past.key, newest, &of_faulty(&failing)).unwrap_err();
    let is_unavailable = |source: &StoreError| source.kind == StoreErrorKind::Unavailable;
    assert!(matches!(&error, RepoError::Store { source } if is_unavailable(source)));
    let counted = Arc::new(FaultStore::new(shared(&Arc::new(to.snapshot()))));
    let whole = mirror(&past.key, newest, &of_faulty(&counted)).unwrap();
    assert!(whole.deleted > 3, "{whole:?}");
    let mut keeping = FaultStore::new(shared(&to));
    for traced in counted.trace().iter().filter(|traced| traced.call == Call::Delete) {
        keeping = keeping.with_fault(traced.operation, Fault::Fail(StoreErrorKind::Denied));
    }
    let kept = mirror(&past.key, newest, &of_faulty(&Arc::new(keeping))).unwrap();
    assert_eq!((kept.deleted, kept.copied, &kept.flaws), (0, whole.copied, &Vec::new()));
    // What stays is dead: with the right to delete, it goes.
    assert_eq!(mirror(&past.key, newest, &shared(&to)).unwrap().deleted, whole.deleted);
    is_same(newest, &to, "in the end");
}
