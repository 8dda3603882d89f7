//! Copies of snapshots in other repositories: the same trees under other names, through crashes,
//! checkpoints and collections.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::Files;
use crate::support::assert_sound;
use crate::support::back_up;
use crate::support::back_up_stream;
use crate::support::bytes_of;
use crate::support::in_parallel;
use crate::support::init;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::stream_form;
use crate::support::write_files;
use sbf_repo::Environment;
use sbf_repo::KeyFile;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::format::manifest::SnapshotPredicate;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::copy::copy;
use sbf_repo::ops::copy::report::CopyOptions;
use sbf_repo::ops::copy::report::CopyReport;
use sbf_repo::ops::copy::report::CopyState;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::FixedEnvironment;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::Store;
use sbf_repo::testing::open_in;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// The directories above the sources, which change while other tests run.
const ABOVE_BYTES: u64 = 2048;

/// A repository and what opens it.
struct Place {
    store: Arc<MemoryStore>,
    key: KeyFile,
}

impl Place {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let key = init(&shared(&store), seed).unwrap();
        Self { store, key }
    }

    fn branch(&self) -> Self {
        Self { store: Arc::new(self.store.snapshot()), key: self.key.clone() }
    }

    fn open(&self, seed: u64, state: Option<&Path>) -> Repository {
        open_at(&shared(&self.store), &self.key, seed, state).unwrap()
    }

    fn pack_bytes(&self) -> usize {
        let objects = self.store.objects();
        let packs = objects.iter().filter(|(key, _body)| key.is_under("packs"));
        packs.map(|(_key, body)| body.len()).sum()
    }

    fn manifests(&self, seed: u64) -> Vec<SnapshotPredicate> {
        let listed = snapshots(&self.open(seed, None), &SnapshotFilter::new()).unwrap();
        listed.rows.into_iter().map(|row| row.manifest.unwrap().predicate).collect()
    }
}

/// Opens a repository as another process, a second later for each seed.
fn open_at(
    store: &Arc<dyn Store>,
    key: &KeyFile,
    seed: u64,
    state: Option<&Path>,
) -> Result<Repository, RepoError> {
    let seconds = 1_700_000_000 + i64::try_from(seed).unwrap();
    let environment: Arc<dyn Environment> = Arc::new(FixedEnvironment::new(seconds, seed));
    open_in(store, &environment, key, state)
}

fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::<MemoryStore>::clone(store)
}

/// A repository with two snapshots of a directory that grew, and one of a stream.
struct Original {
    place: Place,
    forms: Vec<(SnapshotId, Files)>,
    folder: TempDir,
}

impl Original {
    fn new() -> Self {
        Self::of_names(900)
    }

    /// With so many small files.
    fn of_names(count: u32) -> Self {
        let (place, folder) = (Place::new(1), scratch());
        let large = bytes_of(1, 300_000, 256);
        let mut files = vec![("large", large.clone()), ("a/few", b"few".to_vec())];
        let names: Vec<String> = (0..count).map(|number| format!("many/name-{number}")).collect();
        files.extend(names.iter().map(|name| (name.as_str(), name.as_bytes().to_vec())));
        write_files(folder.path(), &files);
        let mut forms = Vec::new();
        let report = back_up(&place.open(2, None), "files", folder.path()).unwrap();
        forms.push((report.snapshot.unwrap(), restored_form(folder.path())));
        write_files(folder.path(), &[("a/new", bytes_of(2, 50_000, 256))]);
        let report = back_up(&place.open(3, None), "files", folder.path()).unwrap();
        forms.push((report.snapshot.unwrap(), restored_form(folder.path())));
        let stream = [large, bytes_of(3, 100_000, 256)].concat();
        let report = back_up_stream(&place.open(4, None), "dump", &stream).unwrap();
        forms.push((report.snapshot.unwrap(), stream_form("dump", &stream)));
        Self { place, forms, folder }
    }

    /// Copies everything to a repository that another process opened.
    fn copy_to(&self, target: &Repository, options: &CopyOptions) -> Result<CopyReport, OpError> {
        let source = self.place.open(5, None);
        copy(&source, target, &[], options, &NoProgress::new(), &mut |_copied| {})
    }

    /// Asserts that a repository has one copy of each snapshot, and nothing else that counts.
    fn assert_copied(&self, target: &Place, seed: u64, case: &str) {
        let manifests = target.manifests(seed);
        let expected: Vec<(SnapshotId, Files)> = manifests
            .iter()
            .map(|manifest| {
                let origin = manifest.origin.as_ref().unwrap();
                let of = |(id, _): &&(SnapshotId, Files)| id.to_string() == origin.snapshot;
                let (_, files) = self.forms.iter().find(of).unwrap();
                (manifest.snapshot.parse().unwrap(), files.clone())
            })
            .collect();
        let origins: std::collections::BTreeSet<_> =
            manifests.iter().map(|manifest| &manifest.origin.as_ref().unwrap().snapshot).collect();
        assert_eq!((origins.len(), expected.len()), (self.forms.len(), self.forms.len()), "{case}");
        assert_sound(&target.open(seed, None), &expected, case);
    }
}

fn options() -> CopyOptions {
    let mut options = CopyOptions::new();
    options.threads = 1;
    options
}

#[test]
fn copies_are_trees_that_a_snapshot_there_would_have_made() {
    let (original, target) = (Original::new(), Place::new(11));
    let report = original.copy_to(&target.open(12, None), &options()).unwrap();
    assert_eq!(report.count(CopyState::Copied), 3);
    original.assert_copied(&target, 13, "copied");
    let (before, after) = (original.place.manifests(6), target.manifests(14));
    for (before, after) in before.iter().zip(&after) {
        let kept = |of: &SnapshotPredicate| {
            let SnapshotPredicate { source, kind, paths, tags, host, times, totals, .. } =
                of.clone();
            (source, kind, paths, tags, host, times, totals)
        };
        assert_eq!(kept(before), kept(after));
        assert_ne!(before.root.node, after.root.node, "names are keyed");
    }
    // Only what is longer than a chunk is cut elsewhere: the rest, and all nodes, are there.
    std::fs::remove_file(original.folder.path().join("large")).unwrap();
    std::fs::remove_file(original.folder.path().join("a/new")).unwrap();
    let many = original.folder.path().join("many");
    back_up(&original.place.open(7, None), "many", &many).unwrap();
    original.copy_to(&target.open(15, None), &options()).unwrap();
    let direct = back_up(&target.open(16, None), "direct", &many).unwrap();
    assert!(direct.run.bytes_new < ABOVE_BYTES, "{:?}", direct.run);
}

#[test]
fn a_copy_that_dies_at_any_call_is_gone_on_with() {
    let original = Original::new();
    let empty = Place::new(21);
    let clean = empty.branch();
    let counting = Arc::new(FaultStore::new(shared(&clean.store)));
    let of = |store: &Arc<FaultStore<Arc<dyn Store>>>| -> Arc<dyn Store> {
        Arc::<FaultStore<Arc<dyn Store>>>::clone(store)
    };
    let opened = open_at(&of(&counting), &clean.key, 22, None).unwrap();
    original.copy_to(&opened, &options()).unwrap();
    let (calls, clean_bytes) = (counting.operations(), clean.pack_bytes());
    assert!(calls > 20, "{calls} calls");
    let faults = [Fault::Crash, Fault::CrashUnknown(Outcome::Applied)];
    let cases: Vec<(u64, Fault)> =
        (1..=calls).flat_map(|call| faults.iter().map(move |fault| (call, *fault))).collect();
    in_parallel(&cases, |&(call, fault)| -> Option<()> {
        let case = format!("call {call}, {fault:?}");
        let (target, state) = (empty.branch(), scratch());
        let store = FaultStore::new(shared(&target.store)).with_fault(call, fault);
        let store = Arc::new(store);
        if let Ok(opened) = open_at(&of(&store), &target.key, 23, Some(state.path())) {
            let died = original.copy_to(&opened, &options());
            assert!(died.is_err() == store.is_crashed(), "{case}: {died:?}");
        }
        let opened = target.open(24, Some(state.path()));
        let report = original.copy_to(&opened, &options()).unwrap_or_else(|error| {
            panic!("{case}: {error}");
        });
        assert_eq!(report.snapshots.len(), 3, "{case}");
        original.assert_copied(&target, 25, &case);
        let bytes = target.pack_bytes();
        assert!(bytes < clean_bytes + 40_000, "{case}: {bytes} instead of {clean_bytes}");
        None
    });
}

#[test]
fn checkpoints_keep_what_a_long_copy_stored() {
    let (original, target) = (Original::of_names(20), Place::new(31));
    let mut often = options();
    often.checkpoint_seconds = 0;
    let report = original.copy_to(&target.open(32, None), &often).unwrap();
    assert_eq!(report.count(CopyState::Copied), 3);
    original.assert_copied(&target, 33, "with checkpoints");
    let sessions = target.store.objects().keys().filter(|key| key.is_under("sessions")).count();
    assert!(sessions > 20, "{sessions} sessions");
}

#[test]
fn what_changed_is_read_and_nothing_else() {
    let (original, target) = (Original::new(), Place::new(41));
    original.copy_to(&target.open(42, None), &options()).unwrap();
    // Each process begins without knowing anything.
    write_files(original.folder.path(), &[("a/newer", b"newer".to_vec())]);
    back_up(&original.place.open(7, None), "files", original.folder.path()).unwrap();
    let report = original.copy_to(&target.open(43, None), &options()).unwrap();
    let state = |state| report.count(state);
    assert_eq!((state(CopyState::Copied), state(CopyState::Present)), (1, 3));
    assert_eq!(report.bytes_read, 5, "{report:?}");
    let newest = target.manifests(44).pop().unwrap();
    assert_eq!((newest.run.files_new, newest.totals.files), (1, 904));
    assert!(newest.parent.is_some());
    back_up(&original.place.open(8, None), "files", original.folder.path()).unwrap();
    let report = original.copy_to(&target.open(45, None), &options()).unwrap();
    assert!(report.bytes_read == 0 && report.bytes_new < ABOVE_BYTES, "{report:?}");
    let report = original.copy_to(&target.open(46, None), &options()).unwrap();
    assert_eq!(report.count(CopyState::Present), 5, "{report:?}");
    // Of a stream that grew, the chunks that are new.
    let stream = [bytes_of(1, 300_000, 256), bytes_of(3, 100_000, 256), bytes_of(4, 9000, 256)];
    back_up_stream(&original.place.open(9, None), "dump", &stream.concat()).unwrap();
    let report = original.copy_to(&target.open(47, None), &options()).unwrap();
    assert!((9000..14_000).contains(&report.bytes_read), "{report:?}");
}

#[test]
fn copies_of_copies_are_known_again() {
    let (original, second, third) = (Original::new(), Place::new(51), Place::new(61));
    original.copy_to(&second.open(52, None), &options()).unwrap();
    original.copy_to(&third.open(62, None), &options()).unwrap();
    for (seed, target) in [(53, &third), (54, &original.place)] {
        let (from, to) = (second.open(seed, None), target.open(seed + 10, None));
        let report =
            copy(&from, &to, &[], &options(), &NoProgress::new(), &mut |_copied| {}).unwrap();
        assert_eq!(report.count(CopyState::Present), 3, "{report:?}");
    }
}

#[test]
fn what_a_lost_pack_of_the_target_held_is_stored_again() {
    let (original, target) = (Original::new(), Place::new(71));
    original.copy_to(&target.open(72, None), &options()).unwrap();
    for key in target.store.objects().keys().filter(|key| key.is_under("packs")) {
        target.store.delete(key).unwrap();
    }
    back_up(&original.place.open(7, None), "files", original.folder.path()).unwrap();
    let report = original.copy_to(&target.open(73, None), &options()).unwrap();
    assert_eq!(report.count(CopyState::Copied), 1, "{report:?}");
    let newest = target.manifests(74).pop().unwrap().snapshot.parse().unwrap();
    let files = restored_form(original.folder.path());
    let restored = crate::support::restore_files(
        &target.open(75, None),
        newest,
        sbf_repo::ops::restore::KeepGoing::Stop,
    );
    assert!(restored.unwrap().1 == files);
}
