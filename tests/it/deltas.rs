//! Deltas: what changed in a dump or a large file is stored after what stood in its place, read back
//! exactly, and kept alive by whatever needs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::assert_sound;
use crate::support::back_up_stream;
use crate::support::bytes_of;
use crate::support::init;
use crate::support::open;
use crate::support::stream_form;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::ops::prune::prune;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use sbf_repo::testing::forget_in;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

/// Rows of a dump; those that `is_changed` names have another text.
fn dump(rows: u64, is_changed: impl Fn(u64) -> bool) -> Vec<u8> {
    dump_of(0..rows, is_changed)
}

fn dump_of(rows: impl IntoIterator<Item = u64>, is_changed: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut bytes = b"COPY public.accounts (id, text) FROM stdin;\n".to_vec();
    for row in rows {
        let seed = if is_changed(row) { row + 1_000_000_000 } else { row };
        let mut random = SplitMix::new(seed);
        let (one, other) = (random.below(u64::MAX), random.below(u64::MAX));
        writeln!(bytes, "{row}\t{one:016x}{other:016x}").unwrap();
    }
    bytes.extend_from_slice(b"\\.\n");
    bytes
}

/// One row of 701 differs, another one from day to day.
pub(crate) fn day(number: u64) -> Vec<u8> {
    dump(ROWS_COUNT, |row| number > 0 && row % 701 == number)
}

/// Backs a dump up; returns the snapshot and what was stored for it.
#[track_caller]
fn back_up(desk: &Desk, bytes: &[u8], options: &[&str]) -> (String, u64) {
    desk.put("dumped", bytes);
    let arguments = ["snapshot", "--stdin-name", "app.sql", "--source", "db", "--json"];
    let mut command = desk.command(&[&arguments[..], options].concat());
    let output = command.stdin(fs::File::open(desk.path("dumped")).unwrap()).output().unwrap();
    check(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stored = report["run"]["bytes_stored"].as_u64().unwrap();
    (report["snapshot"].as_str().unwrap().to_owned(), stored)
}

#[track_caller]
fn restores(desk: &Desk, snapshot: &str, bytes: &[u8]) {
    let dumped = desk.run(&["dump", &format!("{snapshot}:/app.sql")]);
    check(&dumped, 0);
    assert!(dumped.stdout == bytes, "another dump comes back");
}

#[test]
fn daily_dumps_take_little_more_room_than_one() {
    let desk = Desk::with_repository();
    let days: Vec<Vec<u8>> = (0..4).map(day).collect();
    let (first, plain) = back_up(&desk, &days[0], &[]);
    let mut snapshots = vec![first];
    for bytes in &days[1..] {
        let (snapshot, stored) = back_up(&desk, bytes, &[]);
        assert!(stored * 6 < plain, "{stored} of {plain} bytes");
        snapshots.push(snapshot);
    }
    let (_off, stored) = back_up(&desk, &day(9), &["--delta", "off"]);
    assert!(stored * 2 > plain, "{stored} of {plain} bytes");
    for (snapshot, bytes) in snapshots.iter().zip(&days) {
        restores(&desk, snapshot, bytes);
    }
    check(&desk.run(&["check", "--read-data"]), 0);
    let stats = desk.json(&["stats"], 0)["stats"].clone();
    assert!(stats["deltas"]["blocks"].as_u64().unwrap() > 3, "{stats}");
}

#[test]
fn rows_that_went_from_everywhere_do_not_lose_the_place() {
    let desk = Desk::with_repository();
    let rows = 4 * ROWS_COUNT;
    let (_first, plain) = back_up(&desk, &dump(rows, |_row| false), &[]);
    // No chunk comes again, and every cut has moved by the rows that went before it.
    let thinned = dump_of((0..rows).filter(|row| row % 31 != 7), |_row| false);
    let (second, stored) = back_up(&desk, &thinned, &[]);
    assert!(stored * 8 < plain, "{stored} of {plain} bytes");
    restores(&desk, &second, &thinned);
    // Some went at once, and of the others one in 61: the place must be looked for.
    let shortened = (rows / 10..rows).filter(|row| row % 31 != 7 && row % 61 != 9);
    let shortened = dump_of(shortened, |_row| false);
    let (third, stored) = back_up(&desk, &shortened, &[]);
    assert!(stored * 2 < plain, "{stored} of {plain} bytes");
    restores(&desk, &third, &shortened);
}

#[test]
fn what_a_delta_needs_outlives_its_snapshot() {
    let desk = Desk::with_repository();
    let (first, _stored) = back_up(&desk, &day(0), &[]);
    let (second, _stored) = back_up(&desk, &day(1), &[]);
    check(&desk.run(&["forget", &first, "--force"]), 0);
    check(&desk.run(&["prune", "--max-unused", "0"]), 0);
    check(&desk.run(&["check", "--read-data"]), 0);
    restores(&desk, &second, &day(1));
    let (third, _stored) = back_up(&desk, &day(2), &[]);
    check(&desk.run(&["forget", &second, "--force"]), 0);
    check(&desk.run(&["prune", "--max-unused", "0"]), 0);
    check(&desk.run(&["check", "--read-data"]), 0);
    restores(&desk, &third, &day(2));
}

#[test]
fn a_damaged_base_is_told_with_every_dump_that_needs_it() {
    let desk = Desk::with_repository();
    let (first, _stored) = back_up(&desk, &day(0), &[]);
    let packs = |desk: &Desk| {
        let list = crate::support::files_below(&desk.path("repo/packs"));
        list.into_keys().collect::<Vec<_>>()
    };
    let before = packs(&desk);
    let (second, _stored) = back_up(&desk, &day(1), &[]);
    let largest = before
        .iter()
        .max_by_key(|path| fs::metadata(desk.path("repo/packs").join(path)).unwrap().len());
    let path = desk.path("repo/packs").join(largest.unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    crate::scratch::put(&path, bytes);
    check(&desk.run(&["check", "--read-data"]), 5);
    for snapshot in [&first, &second] {
        check(&desk.run(&["dump", &format!("{snapshot}:/app.sql")]), 5);
    }
    // A base that cannot be read costs room, and no backup.
    back_up(&desk, &day(2), &[]);
}

#[test]
fn a_key_that_reads_nothing_makes_no_deltas_and_says_so_when_asked() {
    let desk = Desk::with_repository();
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    let writer = ["--key-file", "writer"];
    back_up(&desk, &day(0), &writer);
    let (snapshot, stored) = back_up(&desk, &day(1), &writer);
    assert!(stored > 1_000_000, "{stored} bytes");
    restores(&desk, &snapshot, &day(1));
    let snapshot = ["snapshot", "data", "--delta", "on", "--key-file", "writer"];
    let refused = desk.run(&snapshot);
    check(&refused, 15);
    assert!(err(&refused).contains("reading contents"), "{}", err(&refused));
}

#[test]
fn a_large_file_that_changed_becomes_a_delta() {
    let desk = Desk::with_repository();
    let mut bytes = bytes_of(7, 6_000_000, 256);
    desk.put("data/pages.db", &bytes);
    let snapshot = ["snapshot", "data", "--source", "files"];
    let stored = |desk: &Desk| {
        let report = desk.json(&snapshot, 0);
        report["run"]["bytes_stored"].as_u64().unwrap()
    };
    let plain = stored(&desk);
    for page in (0..bytes.len() / 4096).step_by(23) {
        bytes[page * 4096 + 17] ^= 0x55;
    }
    desk.put("data/pages.db", &bytes);
    let delta = stored(&desk);
    assert!(delta * 20 < plain, "{delta} of {plain} bytes");
    let inside = format!("files@latest:{}", desk.path("data/pages.db").display());
    assert!(desk.run(&["dump", &inside]).stdout == bytes);
    check(&desk.run(&["check", "--read-data"]), 0);
}

#[test]
fn a_dump_of_another_date_becomes_a_delta_after_the_one_before() {
    let desk = Desk::with_repository();
    let snapshot = ["snapshot", "data", "--source", "files"];
    let stored = |desk: &Desk| {
        let report = desk.json(&snapshot, 0);
        report["run"]["bytes_stored"].as_u64().unwrap()
    };
    desk.put("data/app-2026-01-30.sql", &day(0));
    desk.put("data/zz.bin", &bytes_of(9, 100, 256));
    let plain = stored(&desk);
    desk.put("data/app-2026-02-01.sql", &day(1));
    let delta = stored(&desk);
    assert!(delta * 6 < plain, "{delta} of {plain} bytes");
    // Another name is another content.
    desk.put("data/apq-2026-02-01.sql", &day(2));
    let other = stored(&desk);
    assert!(other * 2 > plain, "{other} of {plain} bytes");
}

#[test]
fn copies_of_deltas_are_whole_without_their_bases() {
    let desk = Desk::with_repository();
    back_up(&desk, &day(0), &[]);
    back_up(&desk, &day(1), &[]);
    let other = desk.path("other");
    let other = other.to_str().unwrap();
    check(&desk.run(&["init", "--repo", other, "--key-file", "other-key"]), 0);
    let copy = ["copy", "db@latest", "--to", other, "--to-key-file", "other-key"];
    check(&desk.run(&copy), 0);
    let there = ["--repo", other, "--key-file", "other-key"];
    check(&desk.run(&[&["check", "--read-data"][..], &there].concat()), 0);
    let dumped = desk.run(&[&["dump", "db@latest:/app.sql"][..], &there].concat());
    assert!(dumped.stdout == day(1), "{}", err(&dumped));
}

#[test]
fn copies_of_all_dumps_stay_deltas() {
    let desk = Desk::with_repository();
    for number in 0..3 {
        back_up(&desk, &day(number), &[]);
    }
    let other = desk.path("other");
    let other = other.to_str().unwrap();
    check(&desk.run(&["init", "--repo", other, "--key-file", "other-key"]), 0);
    check(&desk.run(&["copy", "--to", other, "--to-key-file", "other-key"]), 0);
    let there = ["--repo", other, "--key-file", "other-key"];
    let stored = |more: &[&str]| {
        desk.json(&[&["stats"], more].concat(), 0)["stored_bytes"].as_u64().unwrap()
    };
    let (here, copied) = (stored(&[]), stored(&there));
    assert!(copied * 10 < here * 12, "{copied} bytes of {here}");
    check(&desk.run(&[&["check", "--read-data"][..], &there].concat()), 0);
    let dumped = desk.run(&[&["dump", "db@latest:/app.sql"][..], &there].concat());
    assert!(dumped.stdout == day(2), "{}", err(&dumped));
}

#[test]
fn the_reader_in_python_reads_deltas() {
    let desk = Desk::with_repository();
    back_up(&desk, &day(0), &[]);
    back_up(&desk, &day(1), &[]);
    let mut command = Command::new(crate::reader::python());
    command.arg("tools/reader.py").arg(desk.path("repo")).arg("--key-file").arg(desk.path("key"));
    let back = desk.path("back");
    let output = command.args(["restore", "latest"]).arg(&back).stdin(Stdio::null()).output();
    let output = output.unwrap();
    check(&output, 0);
    assert!(fs::read(back.join("app.sql")).unwrap() == day(1), "{}", out(&output));
}

#[test]
fn any_change_of_a_stream_comes_back_and_survives_collections() {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let edit = (any::<u16>(), any::<u16>(), any::<u8>());
    let edits = vec(vec(edit, 0..12), 2..5);
    TestRunner::new(config)
        .run(&edits, |versions| {
            streams_come_back(&versions);
            Ok(())
        })
        .unwrap();
}

/// Backs up versions of a stream that differ by such edits, forgets all but the last two, prunes, and
/// reads everything.
fn streams_come_back(versions: &[Vec<(u16, u16, u8)>]) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let key = init(&store, 1).unwrap();
    let mut bytes = [bytes_of(3, 400_000, 40), vec![0; 300_000], bytes_of(4, 300_000, 8)].concat();
    let mut kept = Vec::new();
    for (edits, seed) in versions.iter().zip(10..) {
        for &(at, length, value) in edits {
            change(&mut bytes, usize::from(at) * 16, usize::from(length), value);
        }
        let repository = open(&store, &key, seed, None).unwrap();
        let report = back_up_stream(&repository, "dump", &bytes).unwrap();
        kept.push((report.snapshot.unwrap(), stream_form("dump", &bytes)));
    }
    assert_sound(&open(&store, &key, 50, None).unwrap(), &kept, "before");
    let gone: Vec<_> = kept.drain(..kept.len() - 2).map(|(snapshot, _files)| snapshot).collect();
    if !gone.is_empty() {
        forget_in(&open(&store, &key, 60, None).unwrap(), &gone).unwrap();
    }
    let mut options = PruneOptions::new();
    options.unused = UnusedLimit::Bytes(0);
    for seed in [70, 71] {
        prune(&open(&store, &key, seed, None).unwrap(), &options, &NoProgress::new()).unwrap();
    }
    assert_sound(&open(&store, &key, 80, None).unwrap(), &kept, "after");
}

/// Overwrites, inserts, removes or moves bytes.
fn change(bytes: &mut Vec<u8>, at: usize, length: usize, value: u8) {
    let at = at.min(bytes.len());
    let end = (at + length).min(bytes.len());
    match value % 4 {
        0 => bytes[at..end].fill(value),
        1 => drop(bytes.splice(at..at, bytes_of(u64::from(value), length, 256))),
        2 => drop(bytes.drain(at..end)),
        _ => {
            let moved: Vec<u8> = bytes.drain(at..end).collect();
            bytes.extend(moved);
        }
    }
}

const ROWS_COUNT: u64 = 60_000;
