//! Locks of objects, what a bucket keeps of deleted ones, and the way back behind an attack.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::scratch::LaterEnvironment;
use crate::servers::Bucket;
use crate::servers::weed;
use crate::support::bytes_of;
use sbf_repo::Environment;
use sbf_repo::KeyFile;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::prune;
use sbf_repo::testing::bucket_store;
use sbf_repo::testing::open_in;
use sbf_repo::testing::signed_s3;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use tempfile::TempDir;

const WITH_LOCKS: (&str, &str) = ("x-amz-bucket-object-lock-enabled", "true");
const FILES: u64 = 20;

/// A host with a key file and files to back up.
struct Host(TempDir);

impl Host {
    #[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir(host.path("data")).unwrap();
        for number in 0..FILES {
            let bytes = bytes_of(number, 40_000, 256);
            fs::write(host.path(&format!("data/{number}")), bytes).unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program with a cache and a memory of this name.
    fn run_as(&self, memory: &str, bucket: &Bucket, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("SBF_REPO_REPOSITORY", &bucket.url).env("SBF_REPO_KEY_FILE", "key");
        command.env("SBF_REPO_CACHE_DIR", format!("{memory}-cache"));
        command.env("SBF_REPO_STATE_DIR", format!("{memory}-state"));
        command.envs(bucket.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    fn run(&self, bucket: &Bucket, arguments: &[&str]) -> Output {
        self.run_as("own", bucket, arguments)
    }

    #[track_caller]
    fn assert_restored(&self, target: &str) {
        for number in 0..FILES {
            let file = self.path(&format!("data/{number}"));
            let back = self.path(target).join(file.strip_prefix("/").unwrap());
            assert!(fs::read(back).unwrap() == fs::read(file).unwrap(), "file {number}");
        }
    }
}

/// A place in a bucket with these settings.
fn with(bucket: &Bucket, settings: &str) -> Bucket {
    let mut bucket = bucket.clone();
    bucket.url = format!("{}/place?{settings}", bucket.url);
    bucket
}

/// `/BUCKET/place/KEY` of every object of the repository.
fn objects_of(bucket: &Bucket) -> Vec<String> {
    let place = bucket.url.split('?').next().unwrap();
    let listed = bucket_store(place, &bucket.variables).unwrap().list("").unwrap();
    let path = place.strip_prefix("s3:/").unwrap();
    listed.iter().map(|listed| format!("{path}/{}", listed.key)).collect()
}

fn call(bucket: &Bucket, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let headers = [("content-type", "application/octet-stream")];
    let answer = signed_s3(&bucket.variables, method, target, &headers, body).unwrap();
    (answer.0, String::from_utf8(answer.1).unwrap())
}

/// Until when an object is locked, as the store says it.
fn locked_until(bucket: &Bucket, object: &str) -> Option<String> {
    let (status, text) = call(bucket, "GET", &format!("{object}?retention="), b"");
    let (_, rest) = text.split_once("<RetainUntilDate>").filter(|_| status == 200)?;
    Some(rest.split('<').next()?.to_owned())
}

/// The versions of an object, the newest first.
fn versions_of(bucket: &Bucket, object: &str) -> Vec<String> {
    let (name, key) = object.trim_start_matches('/').split_once('/').unwrap();
    let (status, text) = call(bucket, "GET", &format!("/{name}?versions&prefix={key}"), b"");
    assert_eq!(status, 200, "{text}");
    let ids = text.split("<VersionId>").skip(1);
    ids.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

#[test]
fn behind_an_attack_with_a_clients_rights_the_first_versions_are_what_was_stored() {
    let host = Host::new();
    let bucket = with(&weed::bucket_with(&[WITH_LOCKS]), "lock_days=1");
    check(&host.run(&bucket, &["init"]), 0);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    check(&host.run(&bucket, &["forget", "--keep-last", "1", "--accept-policy"]), 0);
    check(&host.run(&bucket, &["prune"]), 0);
    for (number, object) in objects_of(&bucket).iter().enumerate() {
        assert_eq!(call(&bucket, "PUT", object, b"so many words").0, 200, "{object}");
        if number % 2 == 0 {
            // A mark that it is gone; the versions stay.
            assert!(matches!(call(&bucket, "DELETE", object, b"").0, 200 | 204), "{object}");
        }
    }
    let lost = host.run_as("new", &bucket, &["restore", "latest", "--target", "lost"]);
    assert_ne!(lost.status.code(), Some(0), "{}", out(&lost));
    let restore = ["restore", "latest", "--target", "back", "--first-version"];
    check(&host.run_as("first", &bucket, &restore), 0);
    host.assert_restored("back");
    check(&host.run_as("first", &bucket, &["check", "--read-data", "--first-version"]), 0);
    // Nothing is ever written there, and everything goes on elsewhere.
    let write = host.run_as("first", &bucket, &["snapshot", "data", "--first-version"]);
    assert!(err(&write).contains("first versions are only read"), "{}", err(&write));
    let mirror = ["mirror", "--to", "elsewhere", "--first-version"];
    check(&host.run_as("first", &bucket, &mirror), 0);
    let elsewhere = Bucket { url: "elsewhere".to_owned(), variables: Vec::new() };
    check(&host.run_as("promoted", &elsewhere, &["mirror", "promote"]), 0);
    check(&host.run_as("promoted", &elsewhere, &["snapshot", "data"]), 0);
    check(&host.run_as("promoted", &elsewhere, &["check", "--read-data"]), 0);
}

#[test]
fn what_collections_removed_is_read_as_of_an_earlier_verdict() {
    let host = Host::new();
    let bucket = with(&weed::bucket_with(&[WITH_LOCKS]), "lock_days=1");
    check(&host.run(&bucket, &["init"]), 0);
    check(&host.run(&bucket, &["snapshot", "data", "--source", "first"]), 0);
    check(&host.run(&bucket, &["prune"]), 0);
    check(&host.run(&bucket, &["forget", "latest", "--force"]), 0);
    for number in 0..3 {
        let source = format!("later-{number}");
        check(&host.run(&bucket, &["snapshot", "data/1", "--source", &source]), 0);
        check(&host.run(&bucket, &["prune"]), 0);
    }
    let sources = |more: &[&str], exit| {
        let output = host.run(&bucket, &[&["snapshots", "--json"], more].concat());
        check(&output, exit);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = report["snapshots"].as_array().cloned().unwrap_or_default();
        let mut sources: Vec<String> =
            rows.iter().map(|row| row["source"].as_str().unwrap().to_owned()).collect();
        sources.sort();
        sources
    };
    assert_eq!(sources(&[], 0), ["later-0", "later-1", "later-2"]);
    let all = ["later-0", "later-1", "later-2"];
    assert_eq!(sources(&["--at-verdict", "3", "--first-version"], 0), all);
    // Without the versions, what it says is gone.
    assert!(sources(&["--at-verdict", "1"], 2).is_empty());
    assert_eq!(sources(&["--at-verdict", "1", "--first-version"], 0), ["first", "later-0"]);
    assert_eq!(sources(&["--at-verdict", "0", "--first-version"], 0), ["first"]);
    assert!(sources(&["--at-verdict", "9", "--first-version"], 2).is_empty());
    let restore = ["restore", "first@latest", "--target", "back", "--first-version"];
    check(&host.run(&bucket, &restore), 1);
    check(&host.run(&bucket, &[&restore[..], &["--at-verdict", "1"]].concat()), 0);
    host.assert_restored("back");
    for refused in [&["prune"][..], &["check"], &["snapshot", "data"], &["mirror", "--to", "x"]] {
        check(
            &host.run(&bucket, &[refused, &["--first-version", "--at-verdict", "3"]].concat()),
            2,
        );
    }
}

#[test]
fn objects_are_locked_when_they_are_stored() {
    let host = Host::new();
    let bucket = with(&weed::bucket_with(&[WITH_LOCKS]), "lock-days=2&lock-mode=compliance");
    check(&host.run(&bucket, &["init"]), 0);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    for object in objects_of(&bucket) {
        let until = locked_until(&bucket, &object).unwrap_or_else(|| panic!("{object} is free"));
        assert!(until.starts_with("20"), "{object}: {until}");
        for version in versions_of(&bucket, &object) {
            let (status, text) =
                call(&bucket, "DELETE", &format!("{object}?versionId={version}"), b"");
            assert_eq!(status, 403, "{object}: {text}");
        }
    }
    check(&host.run(&bucket, &["check", "--read-data"]), 0);
}

#[test]
fn prune_extends_the_locks_that_end_soon() {
    let host = Host::new();
    let bucket = with(&weed::bucket_with(&[WITH_LOCKS]), "lock_days=10");
    check(&host.run(&bucket, &["init"]), 0);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    let locks = |bucket: &Bucket| -> Vec<Option<String>> {
        objects_of(bucket).iter().map(|object| locked_until(bucket, object)).collect()
    };
    let report = host.run(&bucket, &["prune", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["locks_extended"], 0, "{report}");
    let before = locks(&bucket);
    // Six days later.
    let store = bucket_store(&bucket.url, &bucket.variables).unwrap();
    let key = KeyFile::parse(&fs::read_to_string(host.path("key")).unwrap()).unwrap();
    let later: Arc<dyn Environment> = Arc::new(LaterEnvironment::new(6 * 24 * 3600));
    let repository = open_in(&store, &later, &key, None).unwrap();
    let report = prune(&repository, &PruneOptions::new(), &NoProgress::new()).unwrap();
    let after = locks(&bucket);
    assert_eq!(report.locks_extended, u64::try_from(after.len()).unwrap(), "{report:?}");
    assert!(after.iter().all(Option::is_some));
    assert!(after.iter().min() > before.iter().max(), "{before:?} {after:?}");
}

#[test]
fn prune_says_what_the_bucket_keeps_and_until_when() {
    let host = Host::new();
    let bucket = weed::bucket_with(&[WITH_LOCKS]);
    let place = with(&bucket, "");
    check(&host.run(&place, &["init"]), 0);
    check(&host.run(&place, &["snapshot", "data"]), 0);
    check(&host.run(&place, &["forget", "latest", "--force"]), 0);
    let pruned = host.run(&place, &["prune"]);
    check(&pruned, 0);
    assert!(err(&pruned).contains("no lifecycle rule frees them"), "{}", err(&pruned));
    let rule = b"<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix></Prefix></Filter>\
        <Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays>\
        </NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";
    let name = bucket.url.strip_prefix("s3:/").unwrap();
    let (status, text) = call(&bucket, "PUT", &format!("{name}?lifecycle="), rule);
    assert_eq!(status, 200, "{text}");
    let output = host.run(&place, &["prune", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let old = &report["old_versions"];
    assert_eq!(old["end_after_days"], 30, "{report}");
    assert!(old["count"].as_u64() > Some(0) && old["bytes"].as_u64() > Some(100_000), "{report}");
    assert!(old["free_at"].as_str().unwrap().starts_with("20"), "{report}");
}

#[test]
fn what_is_certified_as_deleted_is_kept_as_versions_until_it_is_said() {
    let host = Host::new();
    let bucket = with(&weed::bucket_with(&[WITH_LOCKS]), "lock-days=2");
    check(&host.run(&bucket, &["init"]), 0);
    check(&host.run(&bucket, &["snapshot", "data", "--source", "docs"]), 0);
    let erased = ["erasure", "add", "--source", "docs", "--subject", "request-7"];
    check(&host.run(&bucket, &erased), 0);
    check(&host.run(&bucket, &["forget", "latest", "--force", "--reason", "request-7"]), 0);
    let pruned = host.run(&bucket, &["prune"]);
    check(&pruned, 0);
    assert!(err(&pruned).contains("locks keep some of them until"), "{}", err(&pruned));
    check(&host.run(&bucket, &["evidence", "export", "bundle", "--include-paths"]), 0);
    let records = fs::read_dir(host.path("bundle/records")).unwrap();
    let records = records.map(|entry| entry.unwrap().path());
    let certificates = records.filter(|path| {
        let is_of_them =
            path.file_name().unwrap().to_str().unwrap().starts_with("records-deletion-");
        is_of_them && path.extension().is_some_and(|extension| extension == "json")
    });
    let said: Vec<Value> = certificates
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .map(|statement: Value| statement["predicate"].clone())
        .collect();
    assert_eq!(said.len(), 2, "{said:?}");
    let gone = said.iter().find(|said| said["phase"] == "gone").unwrap();
    let kept = &gone["versions"];
    assert!(kept["count"].as_u64() > Some(0) && kept["bytes"].as_u64() > Some(0), "{gone}");
    assert!(kept["locked_until"].as_str().is_some_and(|end| end.starts_with("20")), "{gone}");
    let status = host.run(&bucket, &["erasure", "status", "--json"]);
    check(&status, 0);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let place = &status["erasures"][0]["places"][0];
    assert_eq!(place["snapshots"].as_array().map(Vec::len), Some(0), "{place}");
    // No snapshot has it; the bucket still does, and says until when it must.
    let versions = &place["versions"];
    assert!(versions["count"].as_u64() > Some(0), "{place}");
    assert!(versions["locked_until"].as_str().is_some_and(|end| end.starts_with("20")), "{place}");
    assert_eq!(versions["free_at"], Value::Null, "no rule frees them: {place}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let host = Host::new();
    for (settings, words) in [
        ("lock_days=0", "`0` cannot be `lock_days`"),
        ("lock_days=x", "`x` cannot be `lock_days`"),
        ("lock_mode=strict", "`strict` cannot be `lock_mode`"),
        ("first_version=maybe", "`maybe` cannot be `first_version`"),
    ] {
        let url = format!("s3://bucket/place?{settings}");
        let output = host.run(&Bucket { url, variables: Vec::new() }, &["snapshots"]);
        check(&output, 2);
        assert!(err(&output).contains(words), "{}", err(&output));
    }
    for url in ["gs://bucket/place", "directory"] {
        let bucket = Bucket { url: url.to_owned(), variables: Vec::new() };
        let output = host.run(&bucket, &["snapshots", "--first-version"]);
        check(&output, 2);
        assert!(err(&output).contains("buckets of S3"), "{}", err(&output));
    }
}
