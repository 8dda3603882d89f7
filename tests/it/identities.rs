//! Signatures count while their key does: objects that are unsigned, signed by somebody else, or signed
//! after the end or the revocation of a key are refused, and whoever looks is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::keys::Desk;
use crate::scratch::LaterEnvironment;
use crate::scratch::put;
use crate::support::words;
use sbf_repo::Credential;
use sbf_repo::Environment;
use sbf_repo::KeyFile;
use sbf_repo::Location;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::key::SlotContent;
use sbf_repo::ops::key::State;
use sbf_repo::ops::key::list;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::ops::location::open;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::progress::Progress;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::ops::snapshot::report::SnapshotReport;
use sbf_repo::testing::keys::Forged;
use sbf_repo::testing::keys::forged;
use sbf_repo::testing::keys::open_object;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::UNIX_EPOCH;

/// The time, so many seconds later.
fn later(seconds: i64) -> i64 {
    LaterEnvironment::new(seconds).now().0
}

/// Opens the repository on a host whose clock is so many seconds ahead.
fn opened(desk: &Desk, key: &str, ahead_seconds: i64) -> Repository {
    let place: Location = desk.path("repository").to_str().unwrap().parse().unwrap();
    let options = OpenOptions::new(place, Arc::new(LaterEnvironment::new(ahead_seconds)));
    let text = fs::read_to_string(desk.path(key)).unwrap();
    open(&options, &Credential::KeyFile(KeyFile::parse(&text).unwrap())).unwrap()
}

/// Lets the store say that it received an object so many seconds from now.
pub(crate) fn receive(desk: &Desk, key: &str, seconds: i64) {
    let file = File::options().write(true).open(desk.path("repository").join(key)).unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(later(seconds).unsigned_abs());
    file.set_modified(time).unwrap();
}

fn back_up(desk: &Desk, repository: &Repository) -> Result<SnapshotReport, OpError> {
    let options = SnapshotOptions::new("host".to_owned(), "host".to_owned());
    let source = Source::Files(FilesSource::new(vec![desk.path("source")]));
    sbf_repo::ops::snapshot::snapshot(repository, &options, source, &NoProgress::new())
}

/// The snapshots that count, whatever else is said.
fn counting(desk: &Desk) -> BTreeSet<String> {
    let output = desk.command("first", &["snapshots", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["snapshots"].as_array().unwrap();
    rows.iter().map(|row| row["snapshot"].as_str().unwrap().to_owned()).collect()
}

/// What a check says, which finds something.
#[track_caller]
fn damage(desk: &Desk) -> String {
    let said = desk.run("first", &["check"], 5);
    String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
}

/// A repository with one object of each kind that a client or the maintenance key signs, by an admin
/// that was certified until an hour from now; and those objects.
fn signed_objects() -> (Desk, Vec<ObjectKey>) {
    let desk = Desk::new();
    desk.add("admin", "second", &["--valid-until", "1h"]);
    let gone = desk.snapshot("second", "gone");
    let kept = desk.snapshot("second", "kept");
    desk.run("second", &["forget", &gone, "--force"], 0);
    desk.run("second", &["prune"], 0);
    desk.run("second", &["hold", &kept, "--reason", "a lawsuit"], 0);
    let next = desk.snapshot("second", "next");
    desk.run("second", &["forget", &next, "--force"], 0);
    desk.snapshot("second", "last");
    let client = opened(&desk, "second", 0).client().to_string();
    let mut objects = Vec::new();
    for folder in ["manifests", "outcomes", "forget", "records", "audit", "inventory"] {
        let mut found = desk.objects(folder);
        // The other admin has a log, too.
        found.retain(|key| folder != "audit" || key.contains(&client));
        assert!(!found.is_empty(), "{folder}");
        objects.extend(found);
    }
    let registers = desk.objects("gc").into_iter();
    objects.extend(registers.filter(|key| key.ends_with("plan") || key.ends_with("verdict")));
    (desk, objects.into_iter().map(|key| ObjectKey::new(key).unwrap()).collect())
}

#[track_caller]
#[expect(clippy::panic, reason = "a failed test says what it found")]
fn check_refused(repository: &Repository, key: &ObjectKey, lapsed: bool, case: &str) {
    match open_object(repository, key) {
        Err(RepoError::Lapsed { .. }) if lapsed => {}
        Err(RepoError::Signature { .. }) if !lapsed => {}
        other => panic!("{case}: `{key}` is not refused: {other:?}"),
    }
}

/// A check reports the object. Nobody needs the plan of a collection that is over, nor what a client says of its runs after the end of
/// its key: that is no damage.
#[track_caller]
fn check_reports(desk: &Desk, key: &ObjectKey, lapsed: bool) -> String {
    let is_harmless =
        key.as_str().ends_with("/plan") || (lapsed && key.as_str().starts_with("audit/"));
    let code = if is_harmless { 0 } else { 5 };
    let said = desk.run("first", &["check"], code);
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    assert!(said.contains(key.as_str()) || said.contains("snapshot "), "{key}: {said}");
    said
}

/// Whether only what it says itself, or what names it, tells the time of an object.
fn is_timed(key: &ObjectKey) -> bool {
    !key.as_str().starts_with("manifests/")
}

#[test]
fn every_kind_of_object_is_refused_without_its_signature_or_with_that_of_a_stranger() {
    let (desk, objects) = signed_objects();
    let repository = opened(&desk, "first", 0);
    for key in &objects {
        open_object(&repository, key).unwrap_or_else(|error| panic!("{key}: {}", words(&error)));
        let path = desk.path("repository").join(key.as_str());
        let honest = fs::read(&path).unwrap();
        for how in [Forged::Unsigned, Forged::ByStranger] {
            let bytes = forged(&repository, key, how).unwrap();
            fs::remove_file(&path).unwrap();
            put(&path, bytes);
            check_refused(&opened(&desk, "first", 0), key, false, &format!("{how:?}"));
            check_reports(&desk, key, false);
        }
        fs::remove_file(&path).unwrap();
        put(&path, honest);
    }
    desk.run("first", &["check"], 0);
}

#[test]
fn every_kind_of_object_is_refused_that_came_after_the_end_of_its_key() {
    let (desk, objects) = signed_objects();
    for key in objects.iter().filter(|key| is_timed(key)) {
        receive(&desk, key.as_str(), 3000);
        open_object(&opened(&desk, "first", 0), key).unwrap();
        receive(&desk, key.as_str(), 4000);
        check_refused(&opened(&desk, "first", 0), key, true, "expired");
        let said = check_reports(&desk, key, true);
        assert!(said.contains("was certified until"), "{key}: {said}");
        receive(&desk, key.as_str(), 0);
    }
}

#[test]
fn every_kind_of_object_is_refused_that_came_after_its_key_was_revoked() {
    let (desk, objects) = signed_objects();
    let rows = desk.json("first", &["key", "list"], 0);
    let second = rows["slots"].as_array().unwrap().iter().find(|row| row["in_use"] == false);
    let slot = second.unwrap()["slot"].as_str().unwrap().to_owned();
    desk.run("first", &["key", "remove", &slot], 0);
    for key in &objects {
        open_object(&opened(&desk, "first", 0), key)
            .unwrap_or_else(|error| panic!("{key} was there before: {}", words(&error)));
    }
    for key in objects.iter().filter(|key| is_timed(key)) {
        receive(&desk, key.as_str(), 1000);
        check_refused(&opened(&desk, "first", 0), key, true, "revoked");
        receive(&desk, key.as_str(), -1000);
    }
}

#[test]
fn what_a_removed_host_committed_counts_and_what_its_thief_commits_does_not() {
    let desk = Desk::new();
    let slot = desk.add("writer", "host", &[]);
    let before = desk.snapshot("host", "host");
    // The thief has the key, and the slot as it was.
    let stolen = desk.path("repository/keys").join(&slot);
    let copy = fs::read(&stolen).unwrap();
    desk.run("first", &["key", "remove", &slot, "--reason", "stolen"], 0);
    assert_eq!(counting(&desk), BTreeSet::from([before.clone()]));
    desk.run("first", &["check", "--read-data"], 0);
    desk.run("host", &["snapshot", "source"], 12);
    put(&stolen, copy);
    // The program itself refuses, saying why; what a thief's own program did, the reader refuses.
    let refused = back_up(&desk, &opened(&desk, "host", 100)).unwrap_err();
    assert!(words(&refused).contains("is revoked from"), "{}", words(&refused));
    let outcomes = desk.objects("outcomes");
    receive(&desk, &outcomes[0], 100);
    assert_eq!(counting(&desk), BTreeSet::new(), "received after the revocation");
    let said = damage(&desk);
    assert!(said.contains("is revoked from"), "{said}");
    // No collection takes anything before a person says so.
    desk.run("first", &["prune"], 5);
    receive(&desk, &outcomes[0], -100);
    desk.run("first", &["prune"], 0);
    // What a verdict accepted stays, whatever becomes of its time.
    assert_eq!(counting(&desk), BTreeSet::from([before]));
    desk.run("first", &["check", "--read-data"], 0);
}

/// A clock that goes on only when a test says so.
#[derive(Debug)]
struct MovedClock {
    system: LaterEnvironment,
    seconds: Arc<AtomicI64>,
}

impl Environment for MovedClock {
    fn now(&self) -> (i64, u32) {
        (self.seconds.load(Ordering::Relaxed), 0)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.system.fill_random(buffer);
    }
}

/// Revokes a key while its holder backs up, which takes so many seconds more.
#[derive(Debug)]
struct RevokesMeanwhile<'a> {
    desk: &'a Desk,
    slot: &'a str,
    clock: Arc<AtomicI64>,
    seconds: i64,
}

impl Progress for RevokesMeanwhile<'_> {
    fn begin(&self, phase: &'static str, _files_expected: u64, _bytes_expected: u64) {
        if phase == "backing up" {
            self.desk.run("first", &["key", "remove", self.slot, "--reason", "stolen"], 0);
            self.clock.fetch_add(self.seconds, Ordering::Relaxed);
        }
    }

    fn advance(&self, _files: u64, _bytes: u64) {}

    fn warn(&self, _text: &str) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Backs up as a host whose key is revoked so many seconds before the end.
fn back_up_while_revoked(desk: &Desk, seconds: i64) -> Result<SnapshotReport, OpError> {
    let slot = desk.add("writer", "host", &[]);
    let clock = Arc::new(AtomicI64::new(later(0)));
    let environment = MovedClock { system: LaterEnvironment::new(0), seconds: Arc::clone(&clock) };
    let place: Location = desk.path("repository").to_str().unwrap().parse().unwrap();
    let options = OpenOptions::new(place, Arc::new(environment));
    let text = fs::read_to_string(desk.path("host")).unwrap();
    let host = open(&options, &Credential::KeyFile(KeyFile::parse(&text).unwrap())).unwrap();
    let options = SnapshotOptions::new("host".to_owned(), "host".to_owned());
    let source = Source::Files(FilesSource::new(vec![desk.path("source")]));
    let revokes = RevokesMeanwhile { desk, slot: &slot, clock, seconds };
    sbf_repo::ops::snapshot::snapshot(&host, &options, source, &revokes)
}

#[test]
fn a_key_that_is_revoked_while_its_holder_works_commits_nothing() {
    let desk = Desk::new();
    let refused = back_up_while_revoked(&desk, 60).unwrap_err();
    assert!(words(&refused).contains("is revoked from"), "{}", words(&refused));
    assert_eq!(counting(&desk), BTreeSet::new());
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn what_a_key_commits_within_seconds_of_its_revocation_no_reader_takes() {
    let desk = Desk::new();
    // The holder has just looked at who may sign, and does not look again.
    back_up_while_revoked(&desk, 0).unwrap();
    let outcomes = desk.objects("outcomes");
    receive(&desk, &outcomes[0], 2);
    assert_eq!(counting(&desk), BTreeSet::new());
    let said = damage(&desk);
    assert!(said.contains("is revoked from"), "{said}");
}

#[test]
fn a_revocation_from_an_earlier_time_on_takes_snapshots_only_by_force() {
    let desk = Desk::new();
    let slot = desk.add("writer", "host", &[]);
    let first = desk.snapshot("host", "host");
    for key in desk.objects("outcomes") {
        receive(&desk, &key, -200_000);
    }
    desk.snapshot("host", "host");
    let since = jiff::Timestamp::from_second(later(-100_000)).unwrap().to_string();
    let remove = ["key", "remove", &slot, "--revoke-from", &since];
    let refused = desk.run("first", &remove, 14);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("1 snapshot that its client committed"), "{said}");
    assert_eq!(counting(&desk).len(), 2);
    let removed = desk.json("first", &[&remove[..], &["--force"]].concat(), 0);
    assert_eq!(removed["removed"]["refused"].as_array().unwrap().len(), 1);
    // The manifest of the first says that it finished just now.
    let left = counting(&desk);
    assert_eq!(left, BTreeSet::from([first]), "its outcome came in time");
}

#[test]
fn a_host_whose_certificate_ends_is_told_before_it_works() {
    let desk = Desk::new();
    let slot = desk.add("writer", "host", &["--valid-until", "1h"]);
    desk.snapshot("host", "content");
    let host = opened(&desk, "host", 4000);
    let error = back_up(&desk, &host).unwrap_err();
    assert!(words(&error).contains("was certified until"), "{}", words(&error));
    let lapsed = matches!(&error, OpError::Repo { source, .. }
        if matches!(**source, RepoError::MaySignNoMore { .. }));
    assert!(lapsed);
    // A clock that is far behind costs no snapshot.
    back_up(&desk, &opened(&desk, "host", -200_000_000)).unwrap();
    let rows = list(&host).unwrap();
    let row = rows.into_iter().find(|row| row.slot == slot).unwrap();
    let SlotContent::Header { state, .. } = row.content else { unreachable!("it decodes") };
    assert_eq!(state, State::Expired);
    assert_eq!(counting(&desk).len(), 2, "what it committed before counts");
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn what_a_client_records_after_the_end_of_its_key_spoils_nothing() {
    let desk = Desk::new();
    desk.add("writer", "host", &["--valid-until", "1h"]);
    desk.snapshot("host", "content");
    let client = opened(&desk, "host", 0).client().to_string();
    let of_client = desk.objects("audit").into_iter().filter(|key| key.contains(&client));
    let last = of_client.max().unwrap();
    receive(&desk, &last, 4000);
    for command in [&["check"][..], &["audit", "verify"], &["audit", "list"]] {
        let said = desk.run("first", command, 0);
        let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        assert!(said.contains("does not count"), "{command:?}: {said}");
    }
    desk.run("first", &["audit", "export", "exported"], 0);
    check_evidence(&desk);
}

#[test]
fn what_was_stored_before_the_end_of_its_key_is_evidence_afterwards() {
    let desk = Desk::new();
    let host = desk.add("writer", "host", &[]);
    let pruner = desk.add("pruner", "pruner", &[]);
    // Its clock is behind: what it signs was signed before the end by its own words, too.
    let gone = back_up(&desk, &opened(&desk, "host", -1000)).unwrap().snapshot.unwrap().to_string();
    back_up(&desk, &opened(&desk, "host", -1000)).unwrap();
    desk.run("host", &["audit", "verify"], 0);
    desk.run("pruner", &["forget", &gone, "--force"], 0);
    desk.run("pruner", &["prune"], 0);
    for folder in ["records", "gc", "inventory", "outcomes", "audit"] {
        for key in desk.objects(folder) {
            receive(&desk, &key, -100);
        }
    }
    desk.run("first", &["key", "remove", &host], 0);
    desk.run("first", &["key", "remove", &pruner], 0);
    check_evidence(&desk);
    desk.run("first", &["check", "--public-key", "auth.pub"], 0);
}

/// A bundle of all there is verifies, by the program and by stock tools.
#[track_caller]
fn check_evidence(desk: &Desk) {
    put(desk.path("auth.pub"), desk.run("first", &["evidence", "public-key"], 0).stdout);
    desk.run("first", &["evidence", "export", "bundle"], 0);
    desk.run("first", &["evidence", "verify", "bundle", "--public-key", "auth.pub"], 0);
    let mut script = std::process::Command::new("sh");
    script.arg(desk.path("bundle/verify.sh")).arg(desk.path("auth.pub"));
    let said = script.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}
