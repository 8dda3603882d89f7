//! Dated copies that old scripts left become snapshots of their dates.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::process::Command;

/// A dump of that day: most of it is that of the day before.
fn dump(day: u64) -> Vec<u8> {
    let mut text = String::from(
        "--\n-- PostgreSQL database dump\n--\n\nCOPY public.a (b, c, d) FROM stdin;\n",
    );
    let mut state = 7_u64;
    for row in 0..20_000 + day * 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(row | 1);
        writeln!(text, "{row}\tcustomer {}\t{}", state >> 40, state % 977).unwrap();
    }
    text.push_str("\\.\n\n--\n-- PostgreSQL database dump complete\n--\n");
    text.into_bytes()
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let status = Command::new(program).args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success());
}

/// Compresses a file in the place of itself.
fn gzip(desk: &Desk, name: &str, level: &str) {
    run("gzip", &[level, "-f", name], &desk.path("old"));
}

/// Copies of four days, plain and compressed, of two things.
fn copies(desk: &Desk) {
    fs::create_dir_all(desk.path("old/files")).unwrap();
    for day in 1..=4 {
        let name = format!("app-2026-01-0{day}.sql");
        desk.put(&format!("old/{name}"), &dump(day));
        if day > 1 {
            gzip(desk, &name, if day == 2 { "-6" } else { "-9" });
        }
    }
    run("tar", &["-czf", "../old/files/etc_20260102_0230.tar.gz", "."], &desk.path("data"));
    run("tar", &["-cf", "../old/files/etc_20260103_0230.tar", "."], &desk.path("data"));
    desk.put("old/README.txt", b"what these are");
}

fn snapshots(desk: &Desk, source: &str) -> Vec<Value> {
    let list = desk.json(&["snapshots", "--source", source], 0);
    list["snapshots"].as_array().unwrap().clone()
}

fn times(desk: &Desk, source: &str) -> Vec<String> {
    let time = |row: &Value| row["manifest"]["times"]["data"].as_str().unwrap().to_owned();
    snapshots(desk, source).iter().map(time).collect()
}

fn dumped(desk: &Desk, arguments: &[&str]) -> Vec<u8> {
    let output = desk.run(&[&["dump"], arguments].concat());
    check(&output, 0);
    output.stdout
}

#[test]
fn copies_become_snapshots_of_their_dates_once() {
    let desk = Desk::with_repository();
    copies(&desk);
    let plan = desk.json(&["import", "old", "--dry-run"], 0);
    assert_eq!(plan["copies"].as_array().unwrap().len(), 6);
    assert_eq!(plan["others"], serde_json::json!(["README.txt"]));
    assert!(snapshots(&desk, "app").is_empty());
    let before = crate::support::files_below(&desk.path("old"));

    let report = desk.json(&["import", "old"], 0);
    assert_eq!(report["imported"], 6, "{report}");
    assert_eq!(before, crate::support::files_below(&desk.path("old")));
    let days = |days: &[u8]| days.iter().map(|day| format!("2026-01-0{day}T00:00:00Z")).collect();
    let expected: Vec<String> = days(&[1, 2, 3, 4]);
    assert_eq!(times(&desk, "app"), expected);
    assert_eq!(times(&desk, "etc"), ["2026-01-02T02:30:00Z", "2026-01-03T02:30:00Z"]);

    // The commit's time is real, and every copy comes back as it was.
    let started = &snapshots(&desk, "app")[0]["manifest"]["times"]["started"];
    assert!(!started.as_str().unwrap().starts_with("2026-01-0"));
    assert!(dumped(&desk, &["app@2026-01-01:/app.sql"]) == dump(1));
    for day in 2..=4 {
        assert!(dumped(&desk, &[&format!("app@2026-01-0{day}:/app.sql")]) == dump(day));
        let selector = format!("app@2026-01-0{day}:/app.sql.gz");
        let old = fs::read(desk.path(&format!("old/app-2026-01-0{day}.sql.gz"))).unwrap();
        assert!(dumped(&desk, &["--rewrap", &selector]) == old);
    }
    let old = fs::read(desk.path("old/files/etc_20260102_0230.tar.gz")).unwrap();
    assert!(dumped(&desk, &["--rewrap", "etc@2026-01-02:/etc.tar.gz"]) == old);
    // Four dumps take little more than one.
    let stored = |at: usize| report["copies"][at]["bytes_stored"].as_u64().unwrap();
    assert!(stored(5) * 5 < stored(0), "{report}");
    check(&desk.run(&["check", "--read-data"]), 0);

    // Again, nothing; with one more, that one.
    let again = desk.json(&["import", "old"], 0);
    assert_eq!((&again["imported"], &again["present"]), (&0.into(), &6.into()));
    desk.put("old/app-2026-01-05.sql", &dump(5));
    gzip(&desk, "app-2026-01-05.sql", "-1");
    let again = desk.json(&["import", "old"], 0);
    assert_eq!((&again["imported"], &again["present"]), (&1.into(), &6.into()));

    // What was forgotten does not come back, and days are those of the copies.
    check(&desk.run(&["forget", "--source", "app", "--keep-daily", "2", "--accept-policy"]), 0);
    let expected: Vec<String> = days(&[4, 5]);
    assert_eq!(times(&desk, "app"), expected);
    assert_eq!(desk.json(&["import", "old"], 0)["imported"], 0);
}

#[test]
fn damaged_copies_are_named_and_the_others_come_in() {
    let desk = Desk::with_repository();
    copies(&desk);
    let name = "old/app-2026-01-03.sql.gz";
    let whole = fs::read(desk.path(name)).unwrap();
    let mut flipped = whole.clone();
    let at = flipped.len() - 7;
    flipped[at] ^= 1;
    desk.put(name, &flipped);
    desk.put("old/app-2026-01-06.sql.gz", &whole[..whole.len() / 2]);
    desk.put("old/app-2026-01-07.sql.gz", b"");
    let output = desk.run(&["import", "old"]);
    check(&output, 3);
    let words = err(&output);
    for told in [
        "01-03.sql.gz: not imported",
        "checksum",
        "01-06.sql.gz: not imported",
        "cut off",
        "it is empty",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
    assert_eq!(times(&desk, "app").len(), 3);
    // Once it is whole, it comes in.
    desk.put(name, &whole);
    let report = desk.json(&["import", "old"], 3);
    assert_eq!((&report["imported"], &report["failed"]), (&1.into(), &2.into()));
}

#[test]
fn what_is_unusual_comes_back_and_what_is_no_gzip_is_stored_as_it_is() {
    let desk = Desk::with_repository();
    fs::create_dir_all(desk.path("old")).unwrap();
    // Behind two megabytes that gzip wrote stands a member of stored blocks of no length.
    let mut state = 7_u64;
    let noise = |_: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[5]
    };
    desk.put("old/app-2026-01-01.gz.raw", &(0..2_200_000).map(noise).collect::<Vec<u8>>());
    run("gzip", &["-f", "app-2026-01-01.gz.raw"], &desk.path("old"));
    fs::rename(desk.path("old/app-2026-01-01.gz.raw.gz"), desk.path("old/app-2026-01-01.gz"))
        .unwrap();
    let mut odd = fs::read(desk.path("old/app-2026-01-01.gz")).unwrap();
    odd.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    odd.extend([0, 0, 0, 0xff, 0xff].repeat(5000));
    odd.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    desk.put("old/app-2026-01-01.gz", &odd);
    desk.put("old/app-2026-01-02.zst", b"\x28\xb5\x2f\xfdsomething of zstd");
    let output = desk.run(&["import", "old"]);
    check(&output, 0);
    assert!(err(&output).contains("1 file stored compressed, as found"), "{}", err(&output));
    assert!(dumped(&desk, &["--rewrap", "app@2026-01-01:/app.gz"]) == odd);
    assert_eq!(dumped(&desk, &["app@latest:/app.zst"]), b"\x28\xb5\x2f\xfdsomething of zstd");
}

#[test]
fn nothing_to_import_is_an_error_and_a_name_that_no_source_can_have_stops_no_other() {
    let desk = Desk::with_repository();
    fs::create_dir_all(desk.path("old")).unwrap();
    let output = desk.run(&["import", "old"]);
    check(&output, 2);
    assert!(err(&output).contains("there is no copy to import in"), "{}", err(&output));
    desk.put("old/app-2026-01-01.sql", &dump(1));
    desk.put("old/odd\u{7}-2026-01-02.sql", &dump(2));
    let planned = desk.run(&["import", "old", "--dry-run"]);
    check(&planned, 3);
    assert!(out(&planned).contains("cannot be imported") && !out(&planned).contains('\u{7}'));
    assert!(err(&planned).contains("choose one with `--source`"), "{}", err(&planned));
    let report = desk.json(&["import", "old"], 3);
    assert_eq!((&report["imported"], &report["failed"]), (&1.into(), &1.into()));
    assert_eq!(times(&desk, "app").len(), 1);
}

#[test]
fn sources_are_named_after_folders_only_where_names_are_not_enough() {
    let desk = Desk::with_repository();
    for folder in ["daily", "weekly"] {
        fs::create_dir_all(desk.path(&format!("old/{folder}"))).unwrap();
    }
    desk.put("old/daily/app.sql", b"-- of a day");
    run("touch", &["-d", "2026-02-03T04:05:06Z", "daily/app.sql"], &desk.path("old"));
    desk.put("old/daily/2026-01-01.tar", b"of a day");
    let plan = desk.json(&["import", "old", "--dry-run"], 0);
    let of = |at: usize, field: &str| plan["copies"][at][field].as_str().unwrap().to_owned();
    assert_eq!((of(0, "source"), of(0, "dated_by")), ("daily".to_owned(), "name".to_owned()));
    assert_eq!((of(1, "source"), of(1, "dated_by")), ("app".to_owned(), "modified".to_owned()));
    assert_eq!(of(1, "time"), "2026-02-03T04:05:06Z");
    check(&desk.run(&["import", "old", "--include", "app.*"]), 0);
    // A second one of the name: the first stays what it was.
    desk.put("old/weekly/app.sql", b"-- of a week");
    run("touch", &["-d", "2026-02-04T04:05:06Z", "weekly/app.sql"], &desk.path("old"));
    check(&desk.run(&["import", "old", "--include", "*/app.sql"]), 0);
    assert_eq!(times(&desk, "app"), ["2026-02-03T04:05:06Z"]);
    assert_eq!(times(&desk, "weekly/app"), ["2026-02-04T04:05:06Z"]);

    let output = desk.run(&["import", "old", "--source", "one"]);
    check(&output, 2);
    assert!(err(&output).contains("copies of one thing"), "{}", err(&output));
    check(&desk.run(&["import", "old", "--source", "two", "--include", "app.*", "--dry-run"]), 0);
    check(&desk.run(&["import", "old", "--source", "one", "--include", "daily/2*"]), 0);
    assert_eq!(times(&desk, "one"), ["2026-01-01T00:00:00Z"]);
    check(&desk.run(&["import", "nowhere"]), 1);
    check(&desk.run(&["import", "old", "--include", "a{"]), 2);
    let log = desk.run(&["audit", "list"]);
    check(&log, 0);
    assert!(out(&log).contains("import"), "{}", out(&log));
}

#[test]
fn names_that_rotate_are_taken_over_once() {
    let desk = Desk::with_repository();
    fs::create_dir_all(desk.path("old")).unwrap();
    let put = |name: &str, day: u64| {
        desk.put(&format!("old/{name}"), &dump(day));
        run("touch", &["-d", &format!("2026-01-0{day}T03:00:00Z"), name], &desk.path("old"));
    };
    put("app.sql", 3);
    put("app.sql.1", 2);
    put("app.sql.2", 1);
    gzip(&desk, "app.sql.2", "-6");
    put("shop.sql-20260104", 4);
    gzip(&desk, "shop.sql-20260104", "-6");
    let report = desk.json(&["import", "old"], 0);
    assert_eq!(report["imported"], 4, "{report}");
    let days = ["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z"];
    assert_eq!(times(&desk, "app"), days);
    assert_eq!(times(&desk, "shop"), ["2026-01-04T00:00:00Z"]);
    assert!(dumped(&desk, &["app@2026-01-01:/app.sql"]) == dump(1));
    // The next rotation: each has another name, one is compressed, and one is new.
    for (from, to) in
        [("app.sql.2.gz", "app.sql.3.gz"), ("app.sql.1", "app.sql.2"), ("app.sql", "app.sql.1")]
    {
        fs::rename(desk.path(&format!("old/{from}")), desk.path(&format!("old/{to}"))).unwrap();
    }
    gzip(&desk, "app.sql.2", "-6");
    put("app.sql", 5);
    let report = desk.json(&["import", "old"], 0);
    assert_eq!((&report["imported"], &report["present"]), (&1.into(), &4.into()), "{report}");
    assert_eq!(times(&desk, "app").len(), 4);
}

#[test]
fn what_was_interrupted_goes_on() {
    let desk = Desk::with_repository();
    copies(&desk);
    let mut command = desk.command(&["import", "old"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("snapshot ")), "one comes in");
    child.kill().unwrap();
    child.wait().unwrap();
    let report = desk.json(&["import", "old"], 0);
    let count = |state: &str| report[state].as_u64().unwrap();
    assert!(count("present") >= 1, "{report}");
    assert_eq!(count("present") + count("imported"), 6, "{report}");
    assert_eq!(times(&desk, "app").len() + times(&desk, "etc").len(), 6);
}

#[test]
fn who_may_not_write_may_look_at_the_plan() {
    let desk = Desk::with_repository();
    copies(&desk);
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader.key"]), 0);
    let as_reader = |arguments: &[&str]| {
        let mut command = desk.command(&[&["--key-file", "reader.key"], arguments].concat());
        command.env_remove("SBF_REPO_PASSWORD").output().unwrap()
    };
    let output = as_reader(&["import", "old", "--dry-run"]);
    check(&output, 0);
    let output = as_reader(&["import", "old"]);
    check(&output, 15);
    assert!(snapshots(&desk, "app").is_empty());
}

#[test]
fn copies_of_one_name_and_size_that_hold_other_things_are_other_copies() {
    let desk = Desk::with_repository();
    for (folder, text) in [("one", "SELECT 'aaaa';"), ("two", "SELECT 'bbbb';")] {
        fs::create_dir(desk.path(folder)).unwrap();
        desk.put(&format!("{folder}/app-2026-01-01.sql"), text.as_bytes());
    }
    assert_eq!(desk.json(&["import", "one"], 0)["imported"], 1);
    assert_eq!(desk.json(&["import", "two"], 0)["imported"], 1);
    assert_eq!(snapshots(&desk, "app").len(), 2);
    for folder in ["one", "two"] {
        let again = desk.json(&["import", folder], 0);
        assert_eq!((&again["imported"], &again["present"]), (&0.into(), &1.into()), "{again}");
    }
}
