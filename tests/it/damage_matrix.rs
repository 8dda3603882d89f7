//! The published matrix of damage: what every command makes of every damage to every kind of object.
//!
//! `docs/damage.md` has what is observed here, and the test fails if it says something else. To write it
//! anew: `SBF_REPO_WRITE_DAMAGE=1 cargo test --all-features --test it damage_matrix::`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::damage_page::Cells;
use crate::damage_page::DAMAGES;
use crate::damage_page::Damage;
use crate::damage_page::table;
use crate::support::Files;
use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::check_all;
use crate::support::environment;
use crate::support::files_below;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::restore_files;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::Location;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::StoreErrorKind;
use sbf_repo::format::envelope::Envelope;
use sbf_repo::format::envelope::ObjectKind;
use sbf_repo::format::layout::parse_mirror_key;
use sbf_repo::format::pack::PackHeader;
use sbf_repo::format::pack::PackKind;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::check::CheckOptions;
use sbf_repo::ops::check::CheckReport;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::finding::Severity;
use sbf_repo::ops::heal::heal_from;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::prune;
use sbf_repo::ops::repair::RepairOptions;
use sbf_repo::ops::repair::index::repair_index;
use sbf_repo::ops::repair::packs::repair_packs;
use sbf_repo::ops::repair::snapshots::repair_snapshots;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Store;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A repository with one of everything, and a copy of it.
struct Whole {
    store: MemoryStore,
    key: KeyFile,
    /// The name of its slot.
    slot: String,
    /// What every snapshot restores to.
    snapshots: Vec<(SnapshotId, Files)>,
    /// Holds the copy.
    desk: Desk,
    source: TempDir,
    /// The session of a snapshot that others follow.
    session: String,
    /// The objects that are damaged, with what they are called in the page, and another of the kind.
    objects: Vec<(&'static str, ObjectKey, Option<ObjectKey>)>,
}

impl Whole {
    fn build() -> Self {
        let desk = Desk::with_repository();
        for (number, name) in ["data/a", "data/inner/b"].iter().enumerate() {
            desk.put(name, &bytes_of(u64::try_from(number).unwrap(), 3000, 256));
        }
        let run = |arguments: &[&str]| {
            check(&desk.run(&[&["--repo", "place"], arguments].concat()), 0);
        };
        check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
        // A mirror that was promoted has an amendment.
        check(&desk.run(&["mirror", "--to", "place"]), 0);
        run(&["mirror", "promote"]);
        run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]);
        for source in ["docs", "gone", "held"] {
            desk.put("data/c", &bytes_of(9, 500, 256));
            run(&["snapshot", "data", "--source", source, "--tag", "one"]);
            if source == "gone" {
                desk.put("data/d", &bytes_of(10, 5000, 256));
                run(&["snapshot", "data", "--source", source]);
                run(&["forget", "gone@latest"]);
                run(&["prune"]);
            }
            if source == "held" {
                run(&["hold", "held@latest", "--reason", "test"]);
                run(&["check", "--read-data"]);
            }
        }
        desk.put("data/e", &bytes_of(11, 700, 256));
        run(&["snapshot", "data", "--source", "docs"]);
        let listed = desk.json(&["--repo", "place", "snapshots", "--source", "docs"], 0);
        let newest = listed["snapshots"].as_array().unwrap().last().unwrap()["snapshot"].clone();
        let session = newest.as_str().unwrap().to_owned();
        run(&["snapshot", "data", "--source", "last"]);
        run(&["forget", "last@latest", "--force", "--reason", "test"]);
        run(&["release", "held@latest", "--reason", "test"]);
        run(&["hold", "held@latest", "--reason", "test"]);
        run(&["mirror", "--to", "copy"]);
        let store = MemoryStore::new();
        let place = desk.path("place");
        for (name, bytes) in files_below(&place) {
            if place.join(&name).is_file() && !name.starts_with("tmp") {
                store.replace(&name.to_str().unwrap().parse().unwrap(), &bytes);
            }
        }
        let text = fs::read_to_string(desk.path("key")).unwrap();
        let key = KeyFile::parse(&text).unwrap();
        let slot = text.lines().find_map(|line| line.strip_prefix("slot ")).unwrap().to_owned();
        let source = scratch();
        write_files(source.path(), &[("new/file", bytes_of(12, 4000, 256))]);
        let mut whole = Self {
            store,
            key,
            slot,
            session,
            snapshots: Vec::new(),
            desk,
            source,
            objects: Vec::new(),
        };
        whole.snapshots = Self::restore_all(&whole.open(&whole.shared(None), 50).unwrap());
        whole.objects = whole.choose();
        whole
    }

    /// One object of every kind; of packs one of each kind, and of registers those that count.
    fn choose(&self) -> Vec<(&'static str, ObjectKey, Option<ObjectKey>)> {
        let objects = self.store.objects();
        // Those of the session last: that one is damaged.
        let below = |prefix: &str| -> Vec<ObjectKey> {
            let inside = |key: &&ObjectKey| key.as_str().starts_with(prefix);
            let mut keys: Vec<ObjectKey> = objects.keys().filter(inside).cloned().collect();
            keys.sort_by_key(|key| key.as_str().contains(&self.session));
            keys
        };
        let packs = |kind: PackKind| -> Vec<ObjectKey> {
            let is_kind =
                |key: &ObjectKey| PackHeader::decode(&objects[key]).unwrap().0.kind == kind;
            below("packs/").into_iter().filter(is_kind).collect()
        };
        let slot = format!("keys/{}", self.slot);
        let others: Vec<ObjectKey> =
            below("keys/").into_iter().filter(|key| key.as_str() != slot).collect();
        let own: Vec<ObjectKey> = below(&slot);
        let ending = |end: &str| -> Vec<ObjectKey> {
            below("gc/").into_iter().filter(|key| key.as_str().ends_with(end)).collect()
        };
        let bodies = |kind: ObjectKind| -> Vec<ObjectKey> {
            let is_kind = |key: &ObjectKey| Envelope::decode(kind, &objects[key]).is_ok();
            let bodies = below("gc/").into_iter().filter(|key| key.as_str().len() > 64);
            bodies.filter(is_kind).collect()
        };
        let mut chosen = Vec::new();
        let mut add = |name: &'static str, mut keys: Vec<ObjectKey>, other: Option<ObjectKey>| {
            let Some(first) = keys.pop() else { return };
            let other = other.or_else(|| keys.pop());
            chosen.push((name, first, other));
        };
        add("config", below("config"), None);
        let mut amendments = below("amendments/");
        amendments.retain(|key| parse_mirror_key(key).is_err());
        add("amendment", amendments, None);
        add("key slot in use", own, others.first().cloned());
        add("key slot of another", others, Some(slot.parse().unwrap()));
        add("identity", below("ids/"), None);
        add("pack of data", packs(PackKind::Data), None);
        add("pack of trees", packs(PackKind::Tree), None);
        add("index segment", below("index/"), None);
        add("announcement of a session", below("sessions/"), None);
        add("outcome of a snapshot", below("outcomes/"), None);
        add("manifest", below("manifests/"), None);
        add("forget request", below("forget/"), None);
        add("register of a plan", ending("/plan"), None);
        add("register of a verdict", ending("/verdict"), None);
        add("register of an end", ending("/done"), None);
        add("verdict", bodies(ObjectKind::GcVerdict), None);
        add("base", bodies(ObjectKind::GcBase), None);
        add("inventory", below("inventory/"), None);
        add("record of a hold", below("records/hold/"), None);
        add("record of a release", below("records/release/"), None);
        add("record of a check", below("records/check/"), None);
        add("audit object", below("audit/"), None);
        chosen
    }

    /// The store with this damage; the fault store counts nothing.
    fn shared(&self, damage: Option<(Damage, &ObjectKey, Option<&ObjectKey>)>) -> Arc<dyn Store> {
        let store = self.store.snapshot();
        let Some((damage, key, other)) = damage else { return Arc::new(store) };
        let mut bytes = store.objects()[key].to_vec();
        match damage {
            Damage::Missing => {
                store.remove(key);
            }
            Damage::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                store.replace(key, &bytes);
            }
            Damage::CutShort => store.replace(key, &bytes[..bytes.len() / 2]),
            Damage::Empty => store.replace(key, &[]),
            Damage::Replaced => {
                let other = other.map(|other| store.objects()[other].to_vec());
                store.replace(key, &other.unwrap_or_default());
            }
            Damage::Unreadable => return broken(store, key, StoreErrorKind::Unreadable),
            Damage::Denied => return broken(store, key, StoreErrorKind::Denied),
        }
        Arc::new(store)
    }

    fn open(&self, store: &Arc<dyn Store>, seed: u64) -> Result<Repository, RepoError> {
        open(store, &self.key, seed, None)
    }

    fn restore_all(repository: &Repository) -> Vec<(SnapshotId, Files)> {
        use sbf_repo::ops::look::SnapshotFilter;
        use sbf_repo::ops::look::snapshots;
        let listed = snapshots(repository, &SnapshotFilter::new()).unwrap();
        let ids = listed.rows.iter().map(|row| row.snapshot);
        ids.map(|id| (id, restore_files(repository, id, KeepGoing::Stop).unwrap().1)).collect()
    }

    /// How many snapshots restore whole; what restores with success is right.
    fn whole_count(&self, repository: &Repository, case: &str) -> usize {
        let restores = |(id, files): &&(SnapshotId, Files)| match restore_files(
            repository,
            *id,
            KeepGoing::Stop,
        ) {
            Ok((report, restored)) if report.failed_count == 0 => {
                assert!(restored == *files, "{case}: {id} restores to other files with success");
                true
            }
            Ok(_) | Err(_) => false,
        };
        self.snapshots.iter().filter(restores).count()
    }

    fn cells(&self, damage: Damage, key: &ObjectKey, other: Option<&ObjectKey>) -> Cells {
        let case = format!("{} {}", key, damage.words());
        let shared = || self.shared(Some((damage, key, other)));
        let (restored, before) = self.restored(&shared(), &case);
        [
            self.checked(&shared(), Depth::Structure),
            self.checked(&shared(), Depth::ReadData),
            self.backed_up(&shared(), &case),
            restored,
            self.pruned(&shared(), before, &case),
            self.repaired(&shared(), before, &case),
            self.healed(&shared()),
        ]
    }

    fn checked(&self, store: &Arc<dyn Store>, depth: Depth) -> String {
        let report = self.open(store, 60).map(|repository| check_all(&repository, depth));
        match report {
            Err(error) => opens_not(&error),
            Ok(Err(error)) => refuses(&error),
            Ok(Ok(report)) => found(&report).to_owned(),
        }
    }

    /// A snapshot that counts restores to what was backed up.
    fn backed_up(&self, store: &Arc<dyn Store>, case: &str) -> String {
        let repository = match self.open(store, 61) {
            Err(error) => return opens_not(&error),
            Ok(repository) => repository,
        };
        match back_up(&repository, "new", self.source.path()) {
            Err(error) => refuses(&error),
            Ok(report) => {
                let restored =
                    restore_files(&repository, report.snapshot.unwrap(), KeepGoing::Stop);
                match restored {
                    Ok((_, files)) => {
                        assert!(files == restored_form(self.source.path()), "{case}: other files");
                        "works".to_owned()
                    }
                    Err(error) => unreachable!("{case}: a new snapshot is lost: {}", words(&error)),
                }
            }
        }
    }

    /// Also how many snapshots are whole.
    fn restored(&self, store: &Arc<dyn Store>, case: &str) -> (String, usize) {
        let repository = match self.open(store, 62) {
            Err(error) => return (opens_not(&error), 0),
            Ok(repository) => repository,
        };
        let count = self.whole_count(&repository, case);
        (self.share(count), count)
    }

    /// What a prune leaves restores as before.
    fn pruned(&self, store: &Arc<dyn Store>, before: usize, case: &str) -> String {
        let repository = match self.open(store, 63) {
            Err(error) => return opens_not(&error),
            Ok(repository) => repository,
        };
        let pruned = prune(&repository, &PruneOptions::new(), &NoProgress::new());
        let repository = self.open(store, 64).unwrap();
        let kept = self.whole_count(&repository, case);
        assert!(kept >= before, "{case}: a prune lost something: {kept} of {before}: {pruned:?}");
        match pruned {
            Ok(report) if report.warnings.is_empty() => "works".to_owned(),
            Ok(_) => "works with a warning".to_owned(),
            Err(error) => refuses(&error),
        }
    }

    /// All of `repair`, carried out, and what a check says then.
    fn repaired(&self, store: &Arc<dyn Store>, before: usize, case: &str) -> String {
        let repository = match self.open(store, 65) {
            Err(error) => return opens_not(&error),
            Ok(repository) => repository,
        };
        let mut options = RepairOptions::new();
        (options.apply, options.threads) = (true, 1);
        let progress = NoProgress::new();
        let done = repair_index(&repository, &options, &progress)
            .map(|report| report.applied)
            .and_then(|index| {
                let packs = repair_packs(&repository, &options, &progress)?.applied;
                let snapshots = repair_snapshots(&repository, &options, &progress)?.applied;
                Ok(index || packs || snapshots)
            });
        let kept = self.whole_count(&repository, case);
        assert!(kept >= before, "{case}: a repair lost something");
        match done {
            Err(error) => refuses(&error),
            Ok(done) => {
                let checked = check_all(&repository, Depth::ReadData);
                let is_whole = checked.is_ok_and(|report| !report.is_damaged());
                match (done, is_whole) {
                    (true, true) => "repaired".to_owned(),
                    (true, false) => format!("repaired in part; {}", self.share(kept)),
                    (false, true) => "nothing to do".to_owned(),
                    (false, false) => "does nothing".to_owned(),
                }
            }
        }
    }

    fn healed(&self, store: &Arc<dyn Store>) -> String {
        let repository = match self.open(store, 66) {
            Err(error) => return opens_not(&error),
            Ok(repository) => repository,
        };
        let location = Location::Local(self.desk.path("copy"));
        let copies = [OpenOptions::new(location, environment(67))];
        let mut options = CheckOptions::new(Depth::ReadData);
        options.threads = 1;
        let progress = NoProgress::new();
        let mut report = match check_all(&repository, Depth::ReadData) {
            Err(error) => return refuses(&error),
            Ok(report) => report,
        };
        match heal_from(&repository, &copies, &mut report, &options, &progress) {
            Err(error) => refuses(&error),
            Ok(healed) => {
                let after = check_all(&repository, Depth::ReadData);
                let is_damaged = after.map_or(true, |report| report.is_damaged());
                match (healed.did_anything(), is_damaged) {
                    (true, false) => "healed".to_owned(),
                    (true, true) => "healed in part".to_owned(),
                    (false, false) => "nothing to do".to_owned(),
                    (false, true) => "stays".to_owned(),
                }
            }
        }
    }

    fn share(&self, count: usize) -> String {
        match count {
            0 => "no snapshot whole".to_owned(),
            all if all == self.snapshots.len() => "all whole".to_owned(),
            _ => "others whole".to_owned(),
        }
    }
}

fn broken(store: MemoryStore, key: &ObjectKey, kind: StoreErrorKind) -> Arc<dyn Store> {
    let faulty = FaultStore::new(store);
    faulty.break_key(key, Fault::Fail(kind));
    Arc::new(faulty)
}

fn found(report: &CheckReport) -> &'static str {
    let has = |severity| report.findings.iter().any(|found| found.severity == severity);
    if has(Severity::Loss) {
        "damage"
    } else if has(Severity::Notice) {
        "notice"
    } else {
        "nothing"
    }
}

/// It names the damage; anything else would send people after the wrong thing.
fn opens_not(error: &RepoError) -> String {
    if error.is_damage() { "does not open: damage".to_owned() } else { "does not open".to_owned() }
}

fn refuses(error: &OpError) -> String {
    let is_damage = matches!(error, OpError::Repo { source, .. } if source.is_damage());
    if is_damage { "stops: damage".to_owned() } else { "stops".to_owned() }
}

const BEGIN: &str = "<!-- begin: observed by tests/it/damage_matrix.rs -->\n\n";
const END: &str = "\n<!-- end -->";

#[test]
#[expect(clippy::disallowed_methods, reason = "writes the page that it compares")]
fn the_published_matrix_is_what_is_observed() {
    let whole = Whole::build();
    let mut cases = Vec::new();
    for (number, (_name, key, other)) in whole.objects.iter().enumerate() {
        for damage in DAMAGES {
            if damage != Damage::Replaced || other.is_some() {
                cases.push((number, damage, key, other.as_ref()));
            }
        }
    }
    let rows: BTreeMap<(usize, Damage), Cells> =
        in_parallel(&cases, |&(number, damage, key, other)| {
            Some(((number, damage), whole.cells(damage, key, other)))
        })
        .into_iter()
        .collect();
    assert_eq!(rows.len(), cases.len());
    let names: Vec<&'static str> = whole.objects.iter().map(|(name, _, _)| *name).collect();
    let observed = table(&rows, &names);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/damage.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (published, after) = rest.split_once(END).unwrap();
    if std::env::var("SBF_REPO_WRITE_DAMAGE").is_ok() {
        let page: PathBuf = page;
        fs::write(page, format!("{before}{BEGIN}{observed}{END}{after}")).unwrap();
        return;
    }
    for (published, observed) in published.lines().zip(observed.lines()) {
        assert_eq!(published, observed, "docs/damage.md says otherwise; see the top of this file");
    }
    assert_eq!(published.lines().count(), observed.lines().count());
}
