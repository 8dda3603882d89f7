//! Storage classes of packs, and limits on bytes a second.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::err;
use crate::servers::Bucket;
use crate::servers::gcs;
use crate::servers::http::Sending;
use crate::servers::http::decoded;
use crate::servers::proxy;
use crate::servers::weed;
use crate::support::bytes_of;
use std::fs;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

struct Host(TempDir);

impl Host {
    #[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::write(host.0.path().join("data"), bytes_of(1, 1 << 20, 256)).unwrap();
        host
    }

    fn run(&self, bucket: &Bucket, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("SBF_REPO_REPOSITORY", &bucket.url).env("SBF_REPO_KEY_FILE", "key");
        command.env("SBF_REPO_CACHE_DIR", "cache").env("SBF_REPO_STATE_DIR", "state");
        command.envs(bucket.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }
}

fn port_of(bucket: &Bucket) -> u16 {
    let url = bucket.variables.iter().find(|(_, value)| value.starts_with("http://")).unwrap();
    url.1.rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn packs_and_segments_get_the_classes_that_the_location_names() {
    for (bucket, header, data, metadata) in [
        (weed::bucket(), "x-amz-storage-class", "STANDARD_IA", "INTELLIGENT_TIERING"),
        (gcs::bucket(), "x-goog-storage-class", "COLDLINE", "NEARLINE"),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let port = proxy::start(port_of(&bucket), move |request, upstream| {
            if request.method == "PUT" {
                let class = request.header(header).unwrap_or("none").to_owned();
                log.lock().unwrap().push((decoded(request.path()), class));
            }
            (upstream(request), Sending::Whole)
        });
        let mut bucket = bucket.through(port);
        bucket.url =
            format!("{}?storage-class-data={data}&storage-class-metadata={metadata}", bucket.url);
        let host = Host::new();
        check(&host.run(&bucket, &["init"]), 0);
        check(&host.run(&bucket, &["snapshot", "data"]), 0);
        check(&host.run(&bucket, &["restore", "latest", "--target", "back"]), 0);
        // A mirror takes the classes of its own place.
        let to = bucket.url.replacen('?', "/mirror?", 1);
        check(&host.run(&bucket, &["mirror", "--to", &to]), 0);
        let seen = seen.lock().unwrap();
        assert!(seen.iter().any(|(path, _)| path.contains("/mirror/packs/")), "{seen:?}");
        let classes = |folder: &str| {
            let folder = format!("/{folder}/");
            let here = seen.iter().filter(|(path, _)| path.contains(&folder));
            let mut classes: Vec<&str> = here.map(|(_, class)| class.as_str()).collect();
            classes.sort_unstable();
            classes.dedup();
            classes
        };
        let mut packs = [data, metadata];
        packs.sort_unstable();
        assert_eq!(classes("packs"), packs, "{seen:?}");
        assert_eq!(classes("index"), [metadata]);
        for folder in ["sessions", "manifests", "outcomes", "keys", "ids"] {
            assert_eq!(classes(folder), ["none"], "{folder}");
        }
    }
}

#[test]
fn an_archive_is_refused_for_metadata_and_explained_for_data() {
    let bucket = weed::bucket();
    let host = Host::new();
    let mut cold = bucket.clone();
    cold.url = format!("{}?storage-class-metadata=DEEP_ARCHIVE", bucket.url);
    let refused = host.run(&cold, &["init"]);
    check(&refused, 2);
    assert!(err(&refused).contains("metadata cannot be in `DEEP_ARCHIVE`"), "{}", err(&refused));
    check(&host.run(&bucket, &["init"]), 0);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    let port = proxy::start(weed::port(), |request, upstream| {
        if request.method == "GET" && request.path().contains("/packs/") {
            return proxy::refusal(403, "InvalidObjectState");
        }
        (upstream(request), Sending::Whole)
    });
    let failed = host.run(&bucket.through(port), &["restore", "latest", "--target", "back"]);
    let words = "the object is in an archive: have the store bring it back first";
    assert!(err(&failed).contains(words), "{}", err(&failed));
    check(&failed, 13);
    let port = proxy::start(weed::port(), |request, upstream| {
        if request.method == "PUT" {
            return proxy::refusal(400, "InvalidStorageClass");
        }
        (upstream(request), Sending::Whole)
    });
    let failed = host.run(&bucket.through(port), &["snapshot", "data"]);
    assert!(err(&failed).contains("the store has no such storage class"), "{}", err(&failed));
    check(&failed, 13);
}

/// A mebibyte at half of one a second, and what goes with it.
#[test]
#[expect(clippy::disallowed_methods, reason = "limits are of time")]
fn limits_hold_for_buckets_and_directories() {
    let host = Host::new();
    let directory = Bucket { url: "repository".to_owned(), variables: Vec::new() };
    for bucket in [directory, weed::bucket()] {
        check(&host.run(&bucket, &["init"]), 0);
        let slow = |arguments: &[&str]| {
            let start = Instant::now();
            check(&host.run(&bucket, arguments), 0);
            let time = start.elapsed();
            assert!(time > Duration::from_millis(1900), "{arguments:?}: {time:?}");
        };
        slow(&["snapshot", "data", "--limit-upload", "512"]);
        slow(&["restore", "latest", "--target", "back", "--limit-download", "0.5MiB"]);
        fs::remove_dir_all(host.0.path().join("back")).unwrap();
        fs::remove_file(host.0.path().join("key")).unwrap();
    }
    let wrong = host.run(&weed::bucket(), &["snapshots", "--limit-upload", "fast"]);
    check(&wrong, 2);
    assert!(err(&wrong).contains("is not a rate such as"), "{}", err(&wrong));
}
