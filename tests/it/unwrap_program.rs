//! Streams that gzip compressed are stored plain, and the same file comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "files that a test makes need not be durable")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// A dump of many rows, compressed beside itself.
fn make(desk: &Desk, name: &str, level: &str) -> (Vec<u8>, Vec<u8>) {
    let mut text = String::from(
        "--\n-- PostgreSQL database dump\n--\n\nCOPY public.a (b, c, d) FROM stdin;\n",
    );
    let mut state = 7_u64;
    for row in 0..30_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(row | 1);
        writeln!(text, "{row}\tcustomer {}\t{}", state >> 50, state % 977).unwrap();
    }
    text.push_str("\\.\n\n--\n-- PostgreSQL database dump complete\n--\n");
    fs::write(desk.path(name), &text).unwrap();
    let gzip = Command::new("gzip").args([level, "-f", "-k"]).arg(desk.path(name)).status();
    assert!(gzip.unwrap().success());
    (text.into_bytes(), fs::read(desk.path(&format!("{name}.gz"))).unwrap())
}

fn snapshot(desk: &Desk, name: &str, more: &[&str], code: i32) -> String {
    let path = desk.path(name).display().to_string();
    let arguments = ["snapshot", "--source", "app", "--unwrap", "--stdin-name", "app.sql.gz"];
    let command = ["--from-command", "--", "cat", &path];
    let output = desk.run(&[&arguments[..], more, &command].concat());
    check(&output, code);
    err(&output)
}

fn dumped(desk: &Desk, arguments: &[&str]) -> Vec<u8> {
    let output = desk.run(&[&["dump"], arguments].concat());
    check(&output, 0);
    output.stdout
}

#[test]
fn the_plain_stream_and_the_same_file_come_back() {
    let desk = Desk::with_repository();
    let (plain, compressed) = make(&desk, "app.sql", "-9");
    snapshot(&desk, "app.sql.gz", &[], 0);
    assert!(dumped(&desk, &["app@latest:/app.sql"]) == plain);
    assert!(dumped(&desk, &["--rewrap", "app@latest:/app.sql.gz"]) == compressed);
    // The plain stream of the next day has the same chunks.
    let stream = format!("app.sql=cat {}", desk.path("app.sql").display());
    let next = desk.json(&["snapshot", "--source", "app", "--stream", &stream], 0);
    let new = next["run"]["bytes_new"].as_u64().unwrap();
    assert!(new < 1000, "the tree alone is new: {new}");
    check(&desk.run(&["check", "--read-data"]), 0);
    // Without a recipe there is nothing to give back.
    let output = desk.run(&["dump", "--rewrap", "app@latest:/app.sql.gz"]);
    assert!(!output.status.success());
}

#[test]
fn dumps_that_were_cut_off_make_no_snapshot_and_what_is_damaged_is_told() {
    let desk = Desk::with_repository();
    let (plain, compressed) = make(&desk, "app.sql", "-6");
    // What can be read of it is a dump without its end.
    fs::write(desk.path("cut.gz"), &compressed[..compressed.len() / 2]).unwrap();
    assert!(snapshot(&desk, "cut.gz", &[], 4).contains("dump that was cut off"));
    // The dump inside was cut off, though gzip ended well.
    fs::write(
        desk.path("short.sql"),
        "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE a ();\n",
    )
    .unwrap();
    let gzip = Command::new("gzip").arg(desk.path("short.sql")).status();
    assert!(gzip.unwrap().success());
    assert!(snapshot(&desk, "short.sql.gz", &[], 4).contains("dump that was cut off"));
    assert!(desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().is_empty());
    // What no guard knows is stored as it came; the snapshot is incomplete, and says why.
    let text: Vec<u8> = plain.iter().rev().copied().collect();
    fs::write(desk.path("text"), text).unwrap();
    let gzip = Command::new("gzip").arg(desk.path("text")).status();
    assert!(gzip.unwrap().success());
    let whole = fs::read(desk.path("text.gz")).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() - 6] ^= 1;
    for (bytes, told) in [
        (&flipped[..], "checksum does not fit"),
        (&whole[..whole.len() / 2], "was cut off"),
        (&whole[..whole.len() - 3], "was cut off"),
    ] {
        fs::write(desk.path("damaged.gz"), bytes).unwrap();
        let words = snapshot(&desk, "damaged.gz", &[], 3);
        assert!(words.contains(told) && words.contains("incomplete"), "{words}");
        assert!(dumped(&desk, &["--rewrap", "app@latest:/app.sql.gz"]) == bytes);
    }
}

#[test]
fn what_turns_unusual_behind_its_first_part_is_a_snapshot_all_the_same() {
    let desk = Desk::with_repository();
    let (plain, compressed) = make(&desk, "app.sql", "-6");
    let python = "import sys, zlib; text = sys.stdin.buffer.read(); \
                  made = zlib.compressobj(9, zlib.DEFLATED, 31, 1, zlib.Z_RLE); \
                  sys.stdout.buffer.write(made.compress(text) + made.flush())";
    let script = format!("python3 -c '{python}' < app.sql > odd.gz");
    let made = Command::new("sh").args(["-c", &script]).current_dir(desk.path("")).status();
    assert!(made.unwrap().success());
    let odd = fs::read(desk.path("odd.gz")).unwrap();
    // Ten usual members, of more than is looked at before it is decided, and two odd ones.
    let file = [compressed.repeat(10), odd.repeat(2), b"behind".to_vec()].concat();
    fs::write(desk.path("file.gz"), &file).unwrap();
    let words = snapshot(&desk, "file.gz", &[], 0);
    assert!(!words.contains("as it is"), "{words}");
    assert!(dumped(&desk, &["app@latest:/app.sql"]) == plain.repeat(12));
    assert!(dumped(&desk, &["--rewrap", "app@latest:/app.sql.gz"]) == file);
}

#[test]
fn what_is_no_gzip_is_stored_as_it_is() {
    let desk = Desk::with_repository();
    fs::write(desk.path("other"), b"\x28\xb5\x2f\xfdnothing of gzip").unwrap();
    let words = snapshot(&desk, "other", &[], 0);
    assert!(
        words.contains("compressed with zstd") && words.contains("knows gzip alone"),
        "{words}"
    );
    assert_eq!(dumped(&desk, &["app@latest:/app.sql.gz"]), b"\x28\xb5\x2f\xfdnothing of gzip");
    let output = desk.run(&["snapshot", "data", "--unwrap"]);
    check(&output, 2);
}

#[test]
fn compressed_files_are_restored_as_they_were() {
    let desk = Desk::with_repository();
    let (plain, compressed) = make(&desk, "app.sql", "-9");
    let stream = |name: &str| format!("{name}=cat {}", desk.path("app.sql.gz").display());
    let (one, other) = (stream("one.sql.gz"), stream("other.tgz"));
    let plain_one = format!("plain.sql=cat {}", desk.path("app.sql").display());
    desk.json(
        &[
            "snapshot", "--source", "app", "--unwrap", "--stream", &one, "--stream", &other,
            "--stream", &plain_one,
        ],
        0,
    );
    let names = |folder: &str| -> Vec<String> {
        let files = crate::support::files_below(&desk.path(folder)).into_keys();
        files.map(|path| path.display().to_string()).collect()
    };
    check(&desk.run(&["restore", "app@latest", "--target", "both"]), 0);
    let both = ["one.sql", "one.sql.gz.recipe", "other.tar", "other.tgz.recipe", "plain.sql"];
    assert_eq!(names("both"), both);
    let report = desk.json(&["restore", "app@latest", "--rewrap", "--target", "as"], 0);
    assert_eq!((&report["totals"]["files"], &report["counts"]["created"]), (&3.into(), &3.into()));
    assert_eq!(names("as"), ["one.sql.gz", "other.tgz", "plain.sql"]);
    assert!(fs::read(desk.path("as/one.sql.gz")).unwrap() == compressed);
    assert!(fs::read(desk.path("as/other.tgz")).unwrap() == compressed);
    assert!(fs::read(desk.path("as/plain.sql")).unwrap() == plain);

    // One of them; files that are there are made anew, or stay.
    check(&desk.run(&["restore", "app@latest:/other.tgz", "--rewrap", "--target", "one"]), 0);
    assert_eq!(names("one"), ["other.tgz"]);
    fs::write(desk.path("one/other.tgz"), b"mine").unwrap();
    let again = ["restore", "app@latest:/other.tgz", "--rewrap", "--target", "one", "--overwrite"];
    check(&desk.run(&[&again[..], &["never"]].concat()), 0);
    assert_eq!(fs::read(desk.path("one/other.tgz")).unwrap(), b"mine");
    check(&desk.run(&[&again[..], &["if-changed"]].concat()), 0);
    assert!(fs::read(desk.path("one/other.tgz")).unwrap() == compressed);
    let chosen = ["restore", "app@latest", "--rewrap", "--target", "chosen", "--include", "*.gz"];
    check(&desk.run(&chosen), 0);
    assert_eq!(names("chosen"), ["one.sql.gz"]);

    // What was stored as it is comes as it is.
    let plain_one = "app@latest:/plain.sql";
    check(&desk.run(&["restore", plain_one, "--rewrap", "--target", "found"]), 0);
    assert!(fs::read(desk.path("found/plain.sql")).unwrap() == plain);
    assert!(desk.run(&["dump", plain_one, "--rewrap"]).stdout == plain);
    for (selector, exit, words) in [
        ("app@latest:/one.sql", 2, "is a part of `one.sql.gz`"),
        ("app@latest:/plain.sql.gz", 1, "plain.sql.gz"),
        ("app@latest:/a/b.gz", 1, "a/b.gz"),
    ] {
        let output = desk.run(&["restore", selector, "--rewrap", "--target", "none"]);
        check(&output, exit);
        assert!(err(&output).contains(words), "{}", err(&output));
    }
    check(&desk.run(&["restore", "app@latest", "--rewrap", "--delete", "--target", "as"]), 2);
}
