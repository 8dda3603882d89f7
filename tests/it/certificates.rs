//! Certificates of deletion: no manifest goes before a record says what it said, whatever ends the process.
//! Spec: format-spec/19-attest.md, "Deletions".

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::prune_desk::prune_in;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::words;
use sbf_repo::format::attest::deletion::Deletion;
use sbf_repo::format::attest::deletion::DeletionPhase;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::forget::ForgetOptions;
use sbf_repo::ops::forget::execute;
use sbf_repo::ops::forget::guard::Consent;
use sbf_repo::ops::forget::plan;
use sbf_repo::ops::forget::policy::Every;
use sbf_repo::ops::forget::policy::Policy;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::SnapshotRow;
use sbf_repo::ops::look::SnapshotState;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreErrorKind;
use sbf_repo::testing::deletions_in;
use std::sync::Arc;

type Faulty = FaultStore<Arc<dyn Store>>;

fn of_faulty(store: &Arc<Faulty>) -> Arc<dyn Store> {
    Arc::<Faulty>::clone(store)
}

/// Certificates and their keys.
fn certificates(desk: &Desk) -> Vec<(String, Deletion)> {
    deletions_in(&open(&desk.shared(), &desk.key, 900, None).unwrap()).unwrap()
}

/// The certificates that name a snapshot.
fn naming(desk: &Desk, snapshot: SnapshotId) -> Vec<(String, Deletion)> {
    let id = snapshot.to_string();
    let names = |deletion: &Deletion| deletion.snapshots.iter().any(|gone| gone.snapshot == id);
    certificates(desk).into_iter().filter(|(_key, said)| names(said)).collect()
}

fn has_manifest(desk: &Desk, snapshot: SnapshotId) -> bool {
    let id = snapshot.to_string();
    desk.store
        .objects()
        .keys()
        .any(|key| key.is_under("manifests") && key.segments().last() == Some(id.as_str()))
}

/// A repository of which a policy forgot a snapshot, that snapshot, and those that are kept.
fn prepared() -> (Desk, Kept, Vec<Kept>) {
    let desk = Desk::new();
    let made = [desk.back_up(10, 0), desk.back_up(11, 0), desk.back_up(12, 1)];
    let repository = open(&desk.shared(), &desk.key, 13, None).unwrap();
    let mut options = ForgetOptions::new(Policy::new().with_count(Every::Snapshot, 1));
    options.consent = Consent::FirstPolicy;
    let plan = plan(&repository, &options).unwrap();
    execute(&repository, &plan).unwrap();
    let forgotten = forgotten(&desk);
    let (mut gone, kept): (Vec<Kept>, Vec<Kept>) =
        made.into_iter().partition(|made| forgotten.iter().any(|row| row.snapshot == made.0));
    assert_eq!(gone.len(), 1);
    (desk, gone.remove(0), kept)
}

/// What is forgotten and still stored.
fn forgotten(desk: &Desk) -> Vec<SnapshotRow> {
    let mut filter = SnapshotFilter::new();
    filter.state = SnapshotState::Forgotten;
    snapshots(&open(&desk.shared(), &desk.key, 20, None).unwrap(), &filter).unwrap().rows
}

#[test]
fn what_a_prune_deletes_is_certified_before_and_after() {
    let (desk, gone, _kept) = prepared();
    let row = forgotten(&desk).remove(0);
    let report = desk.prune(21);
    assert_eq!(report.forgotten_snapshots, 1);
    let found = certificates(&desk);
    let phases: Vec<_> = found.iter().map(|(_key, said)| (said.verdict, said.phase)).collect();
    assert_eq!(phases, [(1, DeletionPhase::Decided), (1, DeletionPhase::Gone)]);
    let keys: Vec<String> = found.iter().map(|(key, _said)| key.clone()).collect();
    assert_eq!(keys, report.certificates);
    let told = &found[0].1.snapshots;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].snapshot.clone(), told[0].source.as_str()),
        (gone.0.to_string(), "source0")
    );
    let stated = &row.manifest.as_ref().unwrap().predicate;
    assert_eq!(told[0].bytes, stated.totals.bytes);
    assert_eq!(told[0].bytes_stored, stated.run.bytes_stored);
    assert!(told[0].bytes > 0 && told[0].files > 0, "{told:?}");
    assert!(told[0].by_policy && told[0].forgotten.is_some() && !told[0].unreadable, "{told:?}");
    for (_key, said) in &found {
        assert_eq!((said.packs, said.bytes), (report.removed_packs, report.removed_bytes));
        assert_eq!(said.versions, None);
    }
    // What deletes nothing says nothing.
    assert_eq!(desk.prune(23).certificates, Vec::<String>::new());
    assert_eq!(certificates(&desk).len(), 2);
}

#[test]
fn a_crash_at_any_call_lets_no_manifest_go_without_its_certificate() {
    let (prepared, gone, kept) = prepared();
    let counted = Arc::new(FaultStore::new(prepared.branch().shared()));
    prune_in(&of_faulty(&counted), &prepared.key, 30, &PruneOptions::new()).unwrap();
    let crashes = [
        Fault::Crash,
        Fault::CrashUnknown(Outcome::Applied),
        Fault::CrashUnknown(Outcome::Delayed),
    ];
    let operations = 0..counted.operations();
    let cases: Vec<_> = operations.flat_map(|at| crashes.map(|crash| (at, crash))).collect();
    let cut = in_parallel(&cases, |&(operation, crash)| {
        let case = format!("{crash:?} at operation {operation}");
        let desk = prepared.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()).with_fault(operation, crash));
        let done = prune_in(&of_faulty(&faulty), &desk.key, 30, &PruneOptions::new());
        let told = naming(&desk, gone.0);
        assert!(has_manifest(&desk, gone.0) || !told.is_empty(), "{case}");
        let is_between = !told.is_empty() && has_manifest(&desk, gone.0);
        faulty.flush_delayed();
        desk.prune(40);
        let told = naming(&desk, gone.0);
        assert!(!has_manifest(&desk, gone.0) && !told.is_empty(), "{case}: {done:?}");
        assert!(told.iter().all(|(_key, said)| !said.snapshots[0].unreadable), "{case}");
        let found = certificates(&desk);
        assert_eq!(found.last().unwrap().1.phase, DeletionPhase::Gone, "{case}");
        desk.assert_sound(41, &kept, &case);
        is_between.then_some(())
    });
    // Some of them died between the certificate and the delete.
    assert!(cut.len() > 3, "{}", cut.len());
}

#[test]
fn nothing_is_deleted_if_its_certificate_cannot_be_stored() {
    let (desk, gone, kept) = prepared();
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    prune_in(&of_faulty(&counted), &desk.key, 30, &PruneOptions::new()).unwrap();
    let traced = counted.trace();
    let is_certificate = |key: &str| key.starts_with("records/deletion/") && key.ends_with('1');
    let certificate = traced.iter().find(|traced| is_certificate(&traced.key)).unwrap();
    let key = ObjectKey::new(&certificate.key).unwrap();
    let faulty = Arc::new(FaultStore::new(desk.shared()));
    faulty.break_key(&key, Fault::Fail(StoreErrorKind::Denied));
    let objects = desk.store.objects();
    let error = prune_in(&of_faulty(&faulty), &desk.key, 30, &PruneOptions::new()).unwrap_err();
    let told = words(&error);
    assert!(told.contains("nothing of collection 1 is deleted"), "{told}");
    let after = desk.store.objects();
    for folder in ["packs", "manifests", "index", "forget", "outcomes"] {
        for key in objects.keys().filter(|key| key.is_under(folder)) {
            assert!(after.contains_key(key), "{key} is gone");
        }
    }
    assert!(has_manifest(&desk, gone.0));
    // Another process can: it goes on where that one stopped.
    let report = desk.prune(31);
    assert_eq!((report.state, report.forgotten_snapshots), (PruneState::Done, 1), "{report:?}");
    assert_eq!(naming(&desk, gone.0).len(), 1);
    desk.assert_sound(32, &kept, "after the second prune");
}

#[test]
fn a_manifest_that_cannot_be_read_is_certified_as_such() {
    let (desk, gone, kept) = prepared();
    let id = gone.0.to_string();
    let is_it =
        |key: &&ObjectKey| key.is_under("manifests") && key.segments().last() == Some(id.as_str());
    let key = desk.store.objects().keys().find(is_it).unwrap().clone();
    let mut bytes = desk.store.read(&key, u64::MAX).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    desk.store.delete(&key).unwrap();
    desk.store.create(&key, &bytes).unwrap();
    desk.prune(30);
    let told = naming(&desk, gone.0);
    assert_eq!(told.len(), 1);
    let said = &told[0].1.snapshots[0];
    assert!(said.unreadable && said.incomplete, "{said:?}");
    assert_eq!((said.source.as_str(), said.bytes), ("source0", 0));
    assert!(!has_manifest(&desk, gone.0));
    desk.assert_sound(31, &kept, "after the prune");
}
