//! Repositories in buckets of real servers, and what they make of servers and networks that fail.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::servers::Bucket;
use crate::servers::gcs;
use crate::servers::http::Response;
use crate::servers::http::Sending;
use crate::servers::proxy;
use crate::servers::rclone;
use crate::servers::weed;
use crate::support::bytes_of;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

#[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// A host with a key file and something to back up.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(host.path("data")).unwrap();
        for number in 0..20_u64 {
            host.put(&format!("data/{number}"), &bytes_of(number, 40_000, 256));
        }
        host
    }

    fn with_repository(bucket: &Bucket) -> Self {
        let host = Self::new();
        check(&host.run(bucket, &["init"]), 0);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        put(&self.path(name), bytes);
    }

    fn run(&self, bucket: &Bucket, arguments: &[&str]) -> Output {
        self.command(bucket, arguments).output().unwrap()
    }

    fn command(&self, bucket: &Bucket, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("SBF_REPO_REPOSITORY", &bucket.url);
        command.env("SBF_REPO_KEY_FILE", self.path("key"));
        command.env("SBF_REPO_CACHE_DIR", self.path("cache"));
        command.env("SBF_REPO_STATE_DIR", self.path("state"));
        command.envs(bucket.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn json(&self, bucket: &Bucket, arguments: &[&str], exit: i32) -> Value {
        let output = self.run(bucket, &[arguments, &["--json"]].concat());
        check(&output, exit);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Restores the newest snapshot and compares it.
    #[track_caller]
    fn restores(&self, bucket: &Bucket) {
        let target = self.path("back");
        check(&self.run(bucket, &["restore", "latest", "--target", "back"]), 0);
        for number in 0..20_u64 {
            let file = self.path(&format!("data/{number}"));
            let back = target.join(file.strip_prefix("/").unwrap());
            assert!(fs::read(back).unwrap() == fs::read(file).unwrap(), "file {number}");
        }
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn a_store_where_one_writer_wins_is_told_from_one_where_all_do() {
    for (bucket, has_registers) in
        [(weed::bucket(), true), (gcs::bucket(), true), (rclone::bucket(), false)]
    {
        let host = Host::new();
        let made = host.run(&bucket, &["init"]);
        check(&made, 0);
        assert_eq!(err(&made).contains("several writers win"), !has_registers, "{}", err(&made));
        let report = host.json(&bucket, &["doctor"], 0);
        assert_eq!(report["doctor"]["has_registers"], has_registers, "{report}");
        assert_eq!(report["doctor"]["relies_on_registers"], has_registers, "{report}");
        check(&host.run(&bucket, &["snapshot", "data"]), 0);
        host.restores(&bucket);
        check(&host.run(&bucket, &["forget", "latest", "--force"]), 0);
        check(&host.run(&bucket, &["prune"]), 0);
        check(&host.run(&bucket, &["check", "--read-data"]), 0);
    }
}

#[test]
fn versions_and_locks_of_a_bucket_are_told() {
    let locked = weed::bucket_with(&[("x-amz-bucket-object-lock-enabled", "true")]);
    let host = Host::with_repository(&locked);
    let probe = &host.json(&locked, &["doctor"], 0)["doctor"]["probe"];
    assert_eq!((&probe["versioning"], &probe["object_lock"]), (&true.into(), &true.into()));
    let plain = weed::bucket();
    let host = Host::with_repository(&plain);
    let probe = &host.json(&plain, &["doctor"], 0)["doctor"]["probe"];
    assert_eq!((&probe["versioning"], &probe["object_lock"]), (&false.into(), &false.into()));
}

#[test]
fn where_several_win_a_prune_waits_for_the_dead_until_they_are_aborted() {
    let bucket = rclone::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    let endless = "while kill -0 $PPID 2> /dev/null; do sleep 0.1; done";
    let arguments = ["snapshot", "--stdin-name", "x", "--from-command", "--", "sh", "-c", endless];
    let mut backup = host.command(&bucket, &arguments).spawn().unwrap();
    let sessions = || host.json(&bucket, &["session", "list"], 0)["sessions"].clone();
    while sessions().as_array().unwrap().is_empty() {
        std::thread::yield_now();
    }
    backup.kill().unwrap();
    backup.wait().unwrap();
    check(&host.run(&bucket, &["forget", "latest", "--force"]), 0);
    // Elsewhere it would be given up at once.
    let waiting = host.json(&bucket, &["prune", "--fence-now"], 0);
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    let session = sessions()[0]["session"].as_str().unwrap().to_owned();
    check(&host.run(&bucket, &["session", "abort", &session]), 0);
    assert_eq!(host.json(&bucket, &["prune"], 0)["state"], "done");
    check(&host.run(&bucket, &["check", "--read-data"]), 0);
}

#[test]
fn requests_are_counted_and_an_unchanged_snapshot_needs_few() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data", "--source", "x"]), 0);
    // The directory above changes when other tests make theirs in it: then a tree is stored, too.
    let unchanged = || requests(&host.run(&bucket, &["-v", "snapshot", "data", "--source", "x"]));
    let counts = [unchanged(), unchanged(), unchanged()];
    assert!((1..=20).contains(counts.iter().min().unwrap()), "{counts:?} requests");
    // A host that never saw the repository fetches what it needs once.
    let stranger = Host { folder: tempfile::tempdir().unwrap() };
    fs::copy(host.path("key"), stranger.path("key")).unwrap();
    let first = requests(&stranger.run(&bucket, &["-v", "snapshots"]));
    let second = requests(&stranger.run(&bucket, &["-v", "snapshots"]));
    // Four outcomes, four manifests, three identities.
    assert_eq!(first, second + 11);
}

/// How many requests a run with `-v` says that it made.
#[track_caller]
fn requests(output: &Output) -> u32 {
    check(output, 0);
    let text = err(output);
    let line = text.lines().find(|line| line.contains(" requests: ")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

/// Backs up some thousand files of many packs' worth of blocks.
fn a_tree(host: &Host, bucket: &Bucket) {
    for directory in 0..30_u64 {
        fs::create_dir(host.path(&format!("data/d{directory}"))).unwrap();
        for number in 0..100 {
            let seed = directory * 1000 + number;
            host.put(&format!("data/d{directory}/{number}"), &bytes_of(seed, 9_000, 256));
        }
    }
    check(&host.run(bucket, &["snapshot", "data"]), 0);
}

#[test]
fn a_restore_asks_rarely_and_for_several_things_at_once() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    a_tree(&host, &bucket);
    fs::remove_dir_all(host.path("cache")).unwrap();
    let restored = requests(&host.run(&bucket, &["-v", "restore", "latest", "--target", "back"]));
    // 27 MB of data: a few requests of 8 MiB, two packs of trees and segments, and what opening takes.
    assert!(restored < 30, "{restored} requests");
    let again = requests(&host.run(&bucket, &["-v", "restore", "latest", "--target", "again"]));
    assert!(again < restored, "{again} requests after {restored}");
}

#[test]
fn what_a_host_keeps_is_verified_and_of_no_importance() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    host.restores(&bucket);
    let kept = || {
        let below =
            |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let repository = below(host.path("cache")).next().unwrap();
        let shelves = ["objects", "trees"].map(|name| repository.join(name));
        shelves.map(|shelf| below(shelf).collect::<Vec<PathBuf>>()).concat()
    };
    assert!(kept().len() >= 4, "{:?}", kept());
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1),
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
        |bytes| bytes.extend_from_within(..),
    ];
    for damage in damages {
        for path in kept() {
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::remove_file(&path).unwrap();
            put(&path, &bytes);
        }
        host.restores(&bucket);
        check(&host.run(&bucket, &["snapshot", "data"]), 0);
    }
    // Where nothing can be kept, everything is read again.
    fs::remove_dir_all(host.path("cache")).unwrap();
    host.put("cache", b"no directory");
    host.restores(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    check(&host.run(&bucket, &["prune"]), 0);
}

#[test]
fn a_check_looks_at_the_store_and_not_at_what_is_kept() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    host.restores(&bucket);
    for folder in ["/manifests/", "/outcomes/", "/packs/"] {
        let port = proxy::start(weed::port(), move |request, upstream| {
            let mut answer = upstream(request);
            if request.method == "GET" && request.path().contains(folder) {
                answer.body.iter_mut().for_each(|byte| *byte ^= 1);
            }
            (answer, Sending::Whole)
        });
        let checked = host.run(&bucket.through(port), &["check"]);
        assert_eq!(checked.status.code(), Some(5), "{folder}: {}{}", out(&checked), err(&checked));
        check(&host.run(&bucket.through(port), &["snapshots"]), 0);
    }
}

#[track_caller]
fn fails_with(host: &Host, bucket: &Bucket, words: &str) {
    let output = host.run(bucket, &["snapshots"]);
    assert!(err(&output).contains(words), "{words}: {}{}", out(&output), err(&output));
    check(&output, 13);
}

#[test]
fn wrong_settings_are_named() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    let wrong_key = bucket.with("AWS_ACCESS_KEY_ID", "nobody");
    fails_with(&host, &wrong_key, "does not know the access key");
    let wrong_secret = bucket.with("AWS_SECRET_ACCESS_KEY", "no secret");
    fails_with(&host, &wrong_secret, "the secret key does not belong to the access key");
    let mut elsewhere = bucket.clone();
    elsewhere.url = "s3://no-such-bucket-here".to_owned();
    fails_with(&host, &elsewhere, "there is no bucket of this name");
    let nowhere = bucket.with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    fails_with(&host, &nowhere, "the store cannot be reached");
    let nameless = bucket.with("AWS_ENDPOINT_URL", "http://no-such-host.invalid");
    fails_with(&host, &nameless, "the store cannot be reached");
    let port =
        proxy::start(weed::port(), |_request, _upstream| proxy::refusal(301, "PermanentRedirect"));
    fails_with(&host, &bucket.through(port), "the bucket is in another region");
    let port =
        proxy::start(weed::port(), |_request, _upstream| proxy::refusal(400, "ExpiredToken"));
    fails_with(&host, &bucket.through(port), "the credentials have expired");
    let port = proxy::start(weed::port(), |_request, _upstream| {
        proxy::refusal(403, "RequestTimeTooSkewed")
    });
    fails_with(&host, &bucket.through(port), "this machine's clock differs too much");
}

#[test]
fn credentials_that_expire_in_mid_run_lose_nothing() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    host.put("data/3", &bytes_of(333, 90_000, 256));
    let left = Arc::new(AtomicU32::new(12));
    let port = proxy::start(weed::port(), move |request, upstream| {
        let is_left =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if is_left.is_ok() {
            return (upstream(request), Sending::Whole);
        }
        proxy::refusal(400, "ExpiredToken")
    });
    let failed = host.run(&bucket.through(port), &["snapshot", "data"]);
    check(&failed, 13);
    assert!(err(&failed).contains("the credentials have expired"), "{}", err(&failed));
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    host.restores(&bucket);
    check(&host.run(&bucket, &["check", "--read-data"]), 0);
}

#[test]
fn a_full_quota_is_told_and_loses_nothing() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    host.put("data/3", &bytes_of(334, 90_000, 256));
    let port = proxy::start(weed::port(), |request, upstream| {
        if request.method == "PUT" && request.path().contains("/packs/") {
            return proxy::refusal(403, "QuotaExceeded");
        }
        (upstream(request), Sending::Whole)
    });
    let failed = host.run(&bucket.through(port), &["snapshot", "data"]);
    assert!(err(&failed).contains("no space or quota is left"), "{}", err(&failed));
    check(&failed, 1);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    host.restores(&bucket);
}

/// A proxy that disturbs every third request, so that each is disturbed sooner or later.
fn disturbed(
    port: u16,
    disturb: impl Fn(Response) -> (Response, Sending) + Send + Sync + 'static,
    is_applied: bool,
) -> u16 {
    let count = AtomicU32::new(0);
    proxy::start(port, move |request, upstream| {
        if count.fetch_add(1, Ordering::SeqCst) % 3 != 1 {
            return (upstream(request), Sending::Whole);
        }
        let answer = if is_applied { upstream(request) } else { Response::new(503, "") };
        disturb(answer)
    })
}

#[test]
fn storms_of_refusals_and_cut_answers_are_gone_through() {
    let whole = |answer: Response| (answer, Sending::Whole);
    for (name, port) in [
        ("refused", disturbed(weed::port(), whole, false)),
        ("slow down", disturbed(weed::port(), |_| proxy::refusal(503, "SlowDown"), false)),
        ("failed", disturbed(weed::port(), |_| proxy::refusal(500, "InternalError"), true)),
        ("nothing", disturbed(weed::port(), |answer| (answer, Sending::Cut(0)), true)),
        ("half a head", disturbed(weed::port(), |answer| (answer, Sending::Cut(9)), true)),
        (
            "half",
            disturbed(
                weed::port(),
                |answer| {
                    let length = 200 + answer.body.len() / 2;
                    (answer, Sending::Cut(length))
                },
                true,
            ),
        ),
    ] {
        let bucket = weed::bucket();
        let through = bucket.through(port);
        let host = Host::with_repository(&bucket);
        let made = host.run(&through, &["snapshot", "data"]);
        assert_eq!(made.status.code(), Some(0), "{name}: {}", err(&made));
        host.restores(&through);
        let checked = host.run(&through, &["check", "--read-data"]);
        assert_eq!(checked.status.code(), Some(0), "{name}: {}{}", out(&checked), err(&checked));
        check(&host.run(&through, &["forget", "latest", "--force"]), 0);
        check(&host.run(&through, &["prune"]), 0);
        check(&host.run(&bucket, &["check", "--read-data"]), 0);
    }
}

#[test]
fn bytes_that_a_store_alters_are_never_restored() {
    let bucket = weed::bucket();
    let host = Host::with_repository(&bucket);
    check(&host.run(&bucket, &["snapshot", "data"]), 0);
    let port = proxy::start(weed::port(), |request, upstream| {
        let mut answer = upstream(request);
        if request.method == "GET" && request.path().contains("/packs/") {
            for byte in answer.body.iter_mut().step_by(1000) {
                *byte ^= 1;
            }
        }
        (answer, Sending::Whole)
    });
    let restored = host.run(&bucket.through(port), &["restore", "latest", "--target", "back"]);
    check(&restored, 5);
    host.restores(&bucket);
}
