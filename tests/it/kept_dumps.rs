//! `delta_cache = "host"`: a writer's host keeps the last version of a dump, which its key cannot read, and stores the
//! next one as the difference. Whatever happens to what it keeps, backups succeed and come back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::deltas::day;
use crate::keys::Desk;
use crate::scratch::expect_code;
use crate::scratch::put;
use crate::support::files_below;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

const KEEPS: &str = "[cache]\ndelta_cache = \"host\"\n";
const SMALL: &str = "[cache]\ndelta_cache = \"host\"\nsize = \"2MiB\"\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.add("writer", "writer", &[]);
    put(desk.path("keeps.toml"), KEEPS);
    put(desk.path("small.toml"), SMALL);
    put(desk.path("off.toml"), "");
    desk
}

/// Backs a dump up on the writer's host, under this configuration.
fn back_up_as(desk: &Desk, bytes: &[u8], configuration: &str, more: &[&str]) -> Output {
    put(desk.path("dumped"), bytes);
    let snapshot = ["snapshot", "--stdin-name", "app.sql", "--source", "db"];
    let mut command = desk.command("writer", &[&snapshot, more].concat());
    command.arg("--config").arg(desk.path(configuration));
    command.stdin(fs::File::open(desk.path("dumped")).unwrap()).output().unwrap()
}

#[track_caller]
fn report_of(desk: &Desk, bytes: &[u8], configuration: &str) -> Value {
    let output = back_up_as(desk, bytes, configuration, &["--json"]);
    expect_code(&output, 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Backs a dump up with a host that keeps dumps; returns what was stored.
#[track_caller]
fn back_up(desk: &Desk, bytes: &[u8]) -> u64 {
    stored(&report_of(desk, bytes, "keeps.toml"))
}

fn stored(report: &Value) -> u64 {
    report["run"]["bytes_stored"].as_u64().unwrap()
}

fn state<'a>(report: &'a Value, what: &str) -> &'a str {
    report[what]["state"].as_str().unwrap()
}

#[track_caller]
fn comes_back(desk: &Desk, key: &str, bytes: &[u8]) {
    let dumped = desk.run(key, &["dump", "db@latest:/app.sql"], 0);
    assert!(dumped.stdout == bytes, "another dump comes back");
}

/// The files of what is kept, the locks left aside.
fn kept_files(desk: &Desk) -> Vec<PathBuf> {
    let cache = desk.path("host-writer/cache");
    let files = files_below(&cache).into_keys().map(|path| cache.join(path));
    let is_kept = |path: &PathBuf| {
        path.components().any(|part| part.as_os_str() == "dumps")
            && path.metadata().is_ok_and(|found| found.is_file() && found.len() > 0)
    };
    files.filter(is_kept).collect()
}

fn host_key(desk: &Desk) -> PathBuf {
    let state = desk.path("host-writer/state");
    let found = files_below(&state).into_keys().find(|path| path.ends_with("dump-key"));
    state.join(found.unwrap())
}

#[track_caller]
fn kept_by(desk: &Desk, key: &str) -> u64 {
    desk.json(key, &["key", "list"], 0)["host_keeps"]["dumps"].as_u64().unwrap()
}

#[test]
fn a_writer_that_keeps_dumps_stores_the_next_ones_in_a_few_percent() {
    let desk = desk();
    desk.add("reader", "reader", &[]);
    let first = report_of(&desk, &day(0), "keeps.toml");
    assert_eq!((state(&first, "deltas"), state(&first, "host_keeps")), ("on", "kept"));
    let plain = stored(&first);
    for number in 1..5 {
        let report = report_of(&desk, &day(number), "keeps.toml");
        // The third and later ones stand on bases of bases, or on what became a base since.
        assert!(stored(&report) * 6 < plain, "{number}: {} of {plain} bytes", stored(&report));
        assert_eq!((state(&report, "deltas"), state(&report, "host_keeps")), ("on", "kept"));
        assert!(report["deltas"]["bytes"].as_u64().unwrap() > 0, "{report}");
        comes_back(&desk, "first", &day(number));
    }
    comes_back(&desk, "reader", &day(4));
    // The same again stores no content, and keeps what it has.
    assert!(back_up(&desk, &day(4)) < 20_000);
    assert!(back_up(&desk, &day(5)) * 6 < plain);
    desk.run("first", &["check", "--read-data"], 0);
    // It says so, and the key of the host is nobody else's.
    let told = String::from_utf8(back_up_as(&desk, &day(6), "keeps.toml", &[]).stderr).unwrap();
    assert!(told.contains("as deltas") && told.contains("can read it"), "{told}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&host_key(&desk).metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_little_that_changed_is_stored_in_a_few_percent() {
    let desk = desk();
    let mut bytes = day(0);
    let plain = back_up(&desk, &bytes);
    for at in (0..bytes.len()).step_by(bytes.len() / 20) {
        bytes[at] ^= 1;
    }
    let second = back_up(&desk, &bytes);
    assert!(second * 30 < plain, "{second} of {plain} bytes");
    comes_back(&desk, "first", &bytes);
    // Rows that went move all behind them, and what is new is kept, too.
    bytes.drain(5_000..9_000);
    bytes.extend_from_slice(&day(9)[..400_000]);
    back_up(&desk, &bytes);
    let end = bytes.len() - 1000;
    bytes[end] ^= 1;
    let fourth = back_up(&desk, &bytes);
    assert!(fourth * 100 < plain, "{fourth} of {plain} bytes");
    comes_back(&desk, "first", &bytes);
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn damage_of_what_is_kept_costs_room_and_no_backup() {
    let desk = desk();
    let plain = back_up(&desk, &day(0));
    back_up(&desk, &day(1));
    for round in 0..4 {
        let files = kept_files(&desk);
        assert!(files.len() > 1, "{files:?}");
        for path in files {
            let mut bytes = fs::read(&path).unwrap();
            match round {
                // Bits in every few chunks.
                0 => (100..bytes.len()).step_by(100_000).for_each(|at| bytes[at] ^= 4),
                1 => bytes.truncate(bytes.len() / 2),
                2 => bytes.fill(0),
                _ => bytes.clear(),
            }
            fs::remove_file(&path).unwrap();
            put(&path, bytes);
        }
        let number = 2 + 2 * round;
        let report = report_of(&desk, &day(number), "keeps.toml");
        assert_eq!(state(&report, "deltas"), "not_on_this_host", "{report}");
        comes_back(&desk, "first", &day(number));
        // Then it is kept anew.
        let next = back_up(&desk, &day(number + 1));
        assert!(next * 6 < plain, "{next} of {plain} bytes");
        comes_back(&desk, "first", &day(number + 1));
    }
    // Another key of the host, or a file that was put there by somebody else.
    let key = host_key(&desk);
    fs::remove_file(&key).unwrap();
    put(&key, [7; 32]);
    assert!(back_up(&desk, &day(20)) * 2 > plain);
    assert!(back_up(&desk, &day(21)) * 6 < plain);
    put(&key, [8; 5]);
    assert!(back_up(&desk, &day(22)) * 2 > plain);
    comes_back(&desk, "first", &day(22));
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn damage_of_some_chunks_costs_what_stood_there() {
    let desk = desk();
    let plain = back_up(&desk, &day(0));
    let chunks = kept_files(&desk).into_iter().max_by_key(|path| path.metadata().unwrap().len());
    let path = chunks.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    put(&path, bytes);
    let second = back_up(&desk, &day(1));
    assert!(second * 4 < plain, "{second} of {plain} bytes");
    comes_back(&desk, "first", &day(1));
    let third = back_up(&desk, &day(2));
    assert!(third * 6 < plain, "{third} of {plain} bytes: what was plain is the next base");
    comes_back(&desk, "first", &day(2));
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn prunes_between_may_take_or_move_what_is_kept() {
    let desk = desk();
    let plain = back_up(&desk, &day(0));
    let first = desk.snapshots("first").into_iter().next().unwrap();
    back_up(&desk, &day(1));
    desk.run("first", &["forget", &first, "--force"], 0);
    desk.run("first", &["prune", "--max-unused", "0"], 0);
    // The bases stay with the deltas that need them, wherever they are now.
    let third = back_up(&desk, &day(2));
    assert!(third * 6 < plain, "{third} of {plain} bytes");
    comes_back(&desk, "first", &day(2));
    desk.run("first", &["check", "--read-data"], 0);
    // All goes, and with it what the host kept.
    let all = desk.snapshots("first");
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    desk.run("first", &[&["forget", "--force"], &all[..]].concat(), 0);
    let report = report_of(&desk, &day(3), "off.toml");
    assert_eq!(state(&report, "deltas"), "role_cannot_read");
    desk.run("first", &["prune", "--max-unused", "0"], 0);
    let report = report_of(&desk, &day(4), "keeps.toml");
    assert!(stored(&report) * 2 > plain, "{report}");
    comes_back(&desk, "first", &day(4));
    assert!(back_up(&desk, &day(5)) * 6 < plain);
    comes_back(&desk, "first", &day(5));
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn what_is_kept_of_a_forgotten_snapshot_goes_with_the_next_run() {
    let desk = desk();
    back_up(&desk, &day(0));
    let first = desk.snapshots("first").into_iter().next().unwrap();
    desk.run("first", &["forget", &first, "--force"], 0);
    // Of another source: that of the first one may never run again.
    put(desk.path("dumped"), b"another");
    let snapshot = ["snapshot", "--stdin-name", "b.sql", "--source", "other"];
    let mut command = desk.command("writer", &snapshot);
    command.arg("--config").arg(desk.path("keeps.toml"));
    let output = command.stdin(fs::File::open(desk.path("dumped")).unwrap()).output().unwrap();
    expect_code(&output, 0);
    assert_eq!(kept_by(&desk, "writer"), 1);
    let room: u64 = kept_files(&desk).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(room < 10_000, "{room}");
}

#[test]
fn a_run_without_a_snapshot_leaves_what_is_kept() {
    let desk = desk();
    let plain = back_up(&desk, &day(0));
    let before = kept_files(&desk);
    let failing = "cat dumped; exit 3";
    put(desk.path("dumped"), day(1));
    let words = ["snapshot", "--source", "db", "--stdin-name", "app.sql", "--from-command"];
    let keeps = desk.path("keeps.toml");
    let mut command = desk.command("writer", &words);
    command.arg("--config").arg(&keeps).args(["--", "sh", "-c", failing]);
    expect_code(&command.output().unwrap(), 4);
    assert_eq!(kept_files(&desk), before);
    // The next run adopts what that one stored in plain blocks, and makes deltas all the same.
    let report = report_of(&desk, &day(2), "keeps.toml");
    assert!(stored(&report) * 6 < plain, "{report}");
    comes_back(&desk, "first", &day(2));
    assert!(back_up(&desk, &day(3)) * 6 < plain);
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn a_dump_without_room_is_stored_in_full_and_that_is_told() {
    let desk = desk();
    let plain = back_up(&desk, &day(0));
    let report = report_of(&desk, &day(1), "small.toml");
    assert!(stored(&report) * 6 < plain, "what was kept serves once more: {report}");
    assert_eq!(state(&report, "host_keeps"), "does_not_fit");
    assert!(kept_files(&desk).is_empty(), "{:?}", kept_files(&desk));
    let output = back_up_as(&desk, &day(2), "small.toml", &[]);
    expect_code(&output, 0);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("app.sql is not kept for deltas"), "{told}");
    assert!(told.contains("no deltas: this host had not kept"), "{told}");
    comes_back(&desk, "first", &day(2));
    // Without a cache there is no place at all.
    let report = back_up_as(&desk, &day(3), "keeps.toml", &["--json", "--no-cache"]);
    expect_code(&report, 0);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(state(&report, "host_keeps"), "failed");
}

#[test]
fn nobody_else_keeps_dumps_and_cleaning_the_cache_takes_them_away() {
    let desk = desk();
    // A key that reads contents has no use for it.
    put(desk.path("dumped"), day(0));
    let snapshot = ["snapshot", "--stdin-name", "app.sql", "--source", "db", "--json"];
    let mut command = desk.command("first", &snapshot);
    command.arg("--config").arg(desk.path("keeps.toml"));
    let output = command.stdin(fs::File::open(desk.path("dumped")).unwrap()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state(&report, "host_keeps"), "nothing");
    assert_eq!(kept_by(&desk, "first"), 0);
    let report = report_of(&desk, &day(0), "off.toml");
    assert_eq!(state(&report, "host_keeps"), "nothing");
    assert_eq!(kept_by(&desk, "writer"), 0);
    // What is stored already is kept all the same.
    let plain = back_up(&desk, &day(1));
    assert!(back_up(&desk, &day(2)) * 6 < plain);
    // Switched off, it stays until somebody takes it away.
    let report = report_of(&desk, &day(3), "off.toml");
    assert_eq!(state(&report, "deltas"), "role_cannot_read");
    assert_eq!(kept_by(&desk, "writer"), 1);
    let doctor = |configuration: &str| {
        let path = desk.path(configuration);
        let words = ["doctor", "--jobs-only", "--config", path.to_str().unwrap()];
        let looked = desk.json("writer", &words, 0)["health"].clone();
        let looked = looked.as_array().unwrap().clone();
        looked.into_iter().find(|each| each["what"] == "dumps for deltas")
    };
    let told = doctor("off.toml").unwrap();
    assert_eq!(told["outcome"], "doubtful");
    assert!(told["words"].as_str().unwrap().contains("cache clean"), "{told}");
    assert_eq!(doctor("keeps.toml").unwrap()["outcome"], "fine");
    let list = desk.run("writer", &["key", "list"], 0);
    let list = String::from_utf8(list.stderr).unwrap();
    assert!(list.contains("this host keeps the last version of 1 dump"), "{list}");
    let key = host_key(&desk);
    desk.run("writer", &["cache", "clean"], 0);
    assert!(!key.exists() && kept_files(&desk).is_empty());
    assert_eq!(kept_by(&desk, "writer"), 0);
    assert!(doctor("off.toml").is_none());
    // `--delta on` is what a host that keeps dumps can do, and another cannot.
    let output = back_up_as(&desk, &day(4), "keeps.toml", &["--delta", "on"]);
    expect_code(&output, 0);
    assert!(back_up(&desk, &day(5)) * 6 < plain);
    let output = back_up_as(&desk, &day(6), "off.toml", &["--delta", "on"]);
    expect_code(&output, 15);
    comes_back(&desk, "first", &day(5));
}

#[test]
fn whenever_a_run_is_killed_the_next_one_stores_a_difference_that_comes_back() {
    let desk = desk();
    let mut bytes = day(0);
    back_up(&desk, &bytes);
    for number in 1..=6 {
        bytes = day(number);
        put(desk.path("dumped"), &bytes);
        let arguments = ["snapshot", "--stdin-name", "app.sql", "--source", "db"];
        let mut command = desk.command("writer", &arguments);
        command.arg("--config").arg(desk.path("keeps.toml"));
        command.stdin(fs::File::open(desk.path("dumped")).unwrap());
        let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Wherever that is: the claim is of every moment.
        std::thread::sleep(Duration::from_millis(number * 60));
        killed.kill().unwrap();
        killed.wait().unwrap();
        back_up(&desk, &bytes);
        comes_back(&desk, "first", &bytes);
    }
    // What the killed ones left is cleaned up: little more than one dump is kept.
    let kept: u64 = kept_files(&desk).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(kept < 2 * u64::try_from(bytes.len()).unwrap(), "{kept} of {}", bytes.len());
    desk.run("first", &["check", "--read-data"], 0);
}
