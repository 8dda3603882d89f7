//! One suite over every store: in memory, in a directory, in buckets of S3 and Google's, behind a
//! fault store without faults.
//! The claims are those of the trait `Store`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::servers::gcs;
use crate::servers::weed;
use sbf_repo::key::KEY_BYTES_MAX;
use sbf_repo::key::ObjectKey;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::SimDisk;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreError;
use sbf_repo::testing::StoreErrorKind;
use sbf_repo::testing::bucket_store;
use sbf_repo::units::to_u64;
use std::sync::Arc;
use std::sync::Barrier;
use std::thread;
use tempfile::TempDir;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn listed(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|entry| entry.key.to_string()).collect()
}

#[track_caller]
fn check_kind<T>(answer: Result<T, StoreError>, kind: StoreErrorKind, what: &str) {
    match answer {
        Ok(_) => assert_eq!("success", format!("{kind:?}"), "{what}"),
        Err(error) => assert_eq!(error.kind, kind, "{what}: {error}: {}", error.source),
    }
}

// Runs `claim` on an empty store of each kind.
#[track_caller]
fn on_every_store(claim: impl Fn(&Arc<dyn Store>, &str)) {
    let directory = TempDir::new().unwrap();
    let posix = PosixHandle::create(directory.path()).unwrap().store();
    let wrapped = PosixHandle::on(&SimDisk::new()).store();
    let stores: [(Arc<dyn Store>, &str); 4] = [
        (Arc::new(MemoryStore::new()), "memory"),
        (posix, "posix"),
        (Arc::new(FaultStore::new(MemoryStore::new())), "faultless over memory"),
        (Arc::new(FaultStore::new(wrapped)), "faultless over posix on a simulated disk"),
    ];
    for (store, name) in &stores {
        claim(store, name);
    }
    for bucket in [weed::bucket(), gcs::bucket()] {
        let url = format!("{}/below/it", bucket.url);
        claim(&bucket_store(&url, &bucket.variables).unwrap(), &url);
    }
}

#[test]
fn a_created_object_reads_back_and_cannot_be_created_again() {
    on_every_store(|store, name| {
        let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for (object, body) in [("config", &b"x"[..]), ("a/b/c/d", &body), ("a/b/c/empty", b"")] {
            let object = key(object);
            store.create(&object, body).unwrap();
            let exists = StoreErrorKind::AlreadyExists;
            check_kind(store.create(&object, b"other"), exists, name);
            check_kind(store.create(&object, body), exists, name);
            assert_eq!(store.read(&object, 1 << 20).unwrap(), body, "{name}");
            assert_eq!(store.length(&object).unwrap(), to_u64(body.len()), "{name}");
            store.settle(&object).unwrap();
        }
    });
}

#[test]
fn a_missing_object_is_not_found() {
    on_every_store(|store, name| {
        store.create(&key("a/b"), b"x").unwrap();
        for missing in ["a/c", "b", "c/d/e"] {
            let missing = key(missing);
            let kind = StoreErrorKind::NotFound;
            check_kind(store.read(&missing, 9), kind, name);
            check_kind(store.read_range(&missing, 0..0, &mut Vec::new()), kind, name);
            check_kind(store.length(&missing), kind, name);
            if !name.contains("://") {
                check_kind(store.settle(&missing), kind, name);
            }
        }
    });
}

#[test]
fn a_read_over_its_limit_is_corrupt() {
    on_every_store(|store, name| {
        store.create(&key("a"), b"12345").unwrap();
        assert_eq!(store.read(&key("a"), 5).unwrap(), b"12345", "{name}");
        check_kind(store.read(&key("a"), 4), StoreErrorKind::Corrupt, name);
        check_kind(store.read(&key("a"), 0), StoreErrorKind::Corrupt, name);
        store.create(&key("b"), b"").unwrap();
        assert_eq!(store.read(&key("b"), 0).unwrap(), b"", "{name}");
    });
}

#[test]
fn a_range_gives_exactly_its_bytes_or_is_corrupt() {
    on_every_store(|store, name| {
        let body: Vec<u8> = (0..=255).cycle().take(5000).collect();
        store.create(&key("a"), &body).unwrap();
        let mut buffer = vec![7; 9000];
        for range in [0..5000_usize, 0..1, 4999..5000, 100..3000, 0..0, 5000..5000, 17..17] {
            let wide = to_u64(range.start)..to_u64(range.end);
            store.read_range(&key("a"), wide, &mut buffer).unwrap();
            assert_eq!(buffer, body.get(range.clone()).unwrap(), "{name} {range:?}");
        }
        let backwards = std::ops::Range { start: 9, end: 3 };
        for range in [0..5001, 5000..5001, 5001..5001, 0..u64::MAX, backwards] {
            let what = format!("{name} {range:?}");
            let kind = StoreErrorKind::Corrupt;
            check_kind(store.read_range(&key("a"), range, &mut buffer), kind, &what);
        }
    });
}

#[test]
fn a_list_holds_what_is_under_its_prefix_sorted_with_lengths() {
    on_every_store(|store, name| {
        assert!(store.list("").unwrap().is_empty(), "{name}");
        for object in ["a/b/2", "a/b/1", "a/bc/1", "a-b", "a.b/x", "z", "a/b/c/d/e"] {
            store.create(&key(object), object.as_bytes()).unwrap();
            assert!(listed(store, "").iter().any(|listed| listed == object), "{name} {object}");
        }
        let all = ["a-b", "a.b/x", "a/b/1", "a/b/2", "a/b/c/d/e", "a/bc/1", "z"];
        assert_eq!(listed(store, ""), all, "{name}");
        assert_eq!(listed(store, "a"), all.get(2..6).unwrap(), "{name}");
        assert_eq!(listed(store, "a/b"), all.get(2..5).unwrap(), "{name}");
        assert_eq!(listed(store, "a/b/c"), ["a/b/c/d/e"], "{name}");
        for nothing in ["z", "b", "a/b/1", "a/b/1/x", "tmp"] {
            assert!(store.list(nothing).unwrap().is_empty(), "{name} {nothing}");
        }
        for entry in store.list("").unwrap() {
            assert_eq!(entry.length, to_u64(entry.key.as_str().len()), "{name}");
        }
        for refused in ["/", "a/", "../a", "A"] {
            check_kind(store.list(refused), StoreErrorKind::Other, name);
        }
    });
}

#[test]
fn a_deleted_object_is_gone_and_deleting_it_again_succeeds() {
    on_every_store(|store, name| {
        store.create(&key("a/b"), b"x").unwrap();
        store.create(&key("a/c"), b"y").unwrap();
        for _ in 0..2 {
            store.delete(&key("a/b")).unwrap();
            check_kind(store.read(&key("a/b"), 9), StoreErrorKind::NotFound, name);
            assert_eq!(listed(store, ""), ["a/c"], "{name}");
        }
        store.delete(&key("never/was/there")).unwrap();
        assert_eq!(store.read(&key("a/c"), 9).unwrap(), b"y", "{name}");
    });
}

#[test]
fn keys_of_maximal_length_work() {
    on_every_store(|store, name| {
        let segment = "s".repeat(255);
        let deep = "d/".repeat(KEY_BYTES_MAX / 2 - 1) + "ee";
        for object in [format!("{segment}/{segment}"), deep] {
            assert!(object.len() > KEY_BYTES_MAX - 2, "{}", object.len());
            store.create(&key(&object), b"x").unwrap();
            assert_eq!(store.read(&key(&object), 1).unwrap(), b"x", "{name}");
            assert!(listed(store, "").contains(&object), "{name}");
            store.settle(&key(&object)).unwrap();
            store.delete(&key(&object)).unwrap();
        }
    });
}

#[test]
fn a_list_of_many_objects_is_complete() {
    on_every_store(|store, name| {
        // Of more than a page.
        let part_objects = if name.contains("://") { 60 } else { 250 };
        let object = |number: u32| format!("packs/{:02x}/{number:05}", number % 16);
        thread::scope(|scope| {
            for part in 0..20 {
                scope.spawn(move || {
                    for number in part * part_objects..(part + 1) * part_objects {
                        store.create(&key(&object(number)), b"x").unwrap();
                    }
                });
            }
        });
        let mut expected: Vec<_> = (0..20 * part_objects).map(object).collect();
        expected.sort();
        assert!(listed(store, "packs") == expected, "{name}");
        let third = expected.iter().filter(|object| object.starts_with("packs/03/")).count();
        assert_eq!(store.list("packs/03").unwrap().len(), third, "{name}");
    });
}

#[test]
fn of_16_racing_creates_exactly_one_wins_and_its_body_stays() {
    on_every_store(|store, name| {
        let rounds_count = if name.contains("://") { 6 } else { 50 };
        for round in 0..rounds_count {
            // Half of the rounds also race for the directories.
            let object = key(&format!("o/{}/{round}", if round % 2 == 0 { round } else { 0 }));
            let barrier = Barrier::new(16);
            let winners: Vec<u8> = thread::scope(|scope| {
                let racers: Vec<_> = (0..16_u8)
                    .map(|racer| {
                        let (barrier, object) = (&barrier, &object);
                        scope.spawn(move || {
                            barrier.wait();
                            match store.create(object, &[racer; 3000]) {
                                Ok(()) => Some(racer),
                                Err(error) => {
                                    assert_eq!(error.kind, StoreErrorKind::AlreadyExists);
                                    assert_eq!(store.read(object, 3000).unwrap().len(), 3000);
                                    None
                                }
                            }
                        })
                    })
                    .collect();
                racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
            });
            let [winner] = winners.as_slice() else {
                assert_eq!(winners.len(), 1, "{name}, round {round}: winners");
                continue;
            };
            assert_eq!(store.read(&object, 3000).unwrap(), [*winner; 3000], "{name}");
        }
    });
}

#[test]
fn objects_created_before_a_list_are_in_it_while_others_come_and_go() {
    on_every_store(|store, name| {
        for number in 0..50 {
            store.create(&key(&format!("stays/{number:02}")), b"x").unwrap();
        }
        thread::scope(|scope| {
            let churn = scope.spawn(|| {
                for number in 0..100 {
                    let object = key(&format!("stays/c{}/{number}", number % 7));
                    store.create(&object, b"y").unwrap();
                    store.delete(&object).unwrap();
                }
            });
            while !churn.is_finished() {
                let stays = listed(store, "stays");
                let count = stays.iter().filter(|object| !object.starts_with("stays/c")).count();
                assert_eq!(count, 50, "{name}");
                thread::yield_now();
            }
        });
    });
}
