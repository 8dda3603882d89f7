//! The exit codes, which are a contract: each is provoked here, and the documents name the same ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::play::damage;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// Every code, and what ends with it; in this order, on one repository.
const CODES: &[(i32, &str)] = &[
    (0, "check"),
    (1, "find no-such-file"),
    (2, "snapshots --no-such-option"),
    (2, "snapshots --config bad.toml"),
    (3, "snapshot data UNREADABLE --source part"),
    (4, "snapshot --stdin-name dump --from-command -- false"),
    (6, "status --expect-read-within 1"),
    // Nobody wrote down yet which packs there are.
    (7, "check --public-key authority.pub"),
    (10, "snapshots --repo empty"),
    (12, "snapshots --key-file other.key"),
    (13, "snapshots --repo data/a.txt"),
    (14, "forget docs@latest"),
    (15, "restore docs@latest --target back --key-file writer.key"),
];
/// The rest: 5 and those of signals and pipes are provoked below, but for 129 (a shell's word for SIGHUP, and that of `run`), for
/// which `jobs_program` has a test. 8 needs a fault of memory or of a library:
/// `a_block_that_does_not_read_back_is_not_stored` in `src/repo/write/pack.rs` shows the error, and
/// `rights_hardware_and_refusals_have_their_codes` in `src/cli/failure.rs` its code.
const ELSEWHERE: &[i32] = &[5, 8, 129, 130, 141, 143];

/// A repository with one snapshot that is held, and keys of others.
fn desk() -> Desk {
    let desk = Desk::with_repository();
    desk.put("bad.toml", b"nonsense = 1\n");
    fs::create_dir(desk.path("empty")).unwrap();
    check(&desk.run(&["init", "--repo", "other", "--key-file", "other.key"]), 0);
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer.key"]), 0);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["hold", "latest", "--reason", "test"]), 0);
    let key = desk.run(&["evidence", "public-key"]);
    desk.put("authority.pub", &key.stdout);
    desk
}

#[test]
fn each_code_is_provoked() {
    let desk = desk();
    // The memory of a process reads as an error, also for root.
    let unreadable = format!("/proc/{}/mem", std::process::id());
    for (code, line) in CODES {
        let line = line.replace("UNREADABLE", &unreadable);
        let words: Vec<&str> = line.split(' ').collect();
        let output = desk.run(&words);
        assert_eq!(output.status.code(), Some(*code), "{line}: {}{}", out(&output), err(&output));
    }
    damage(&desk, "packs");
    check(&desk.run(&["check", "--read-data"]), 5);
}

#[test]
fn signals_and_closed_pipes_end_with_their_codes() {
    let desk = Desk::with_repository();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let output = interrupted(&desk, signal);
        check(&output, code);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["exit_code"], code, "{answer}");
        assert_eq!(answer["error"]["code"], "interrupted", "{answer}");
    }
    let mut command = desk.command(&["config", "example"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    check(&child.wait_with_output().unwrap(), 141);
}

/// A backup of standard input that a signal ends.
fn interrupted(desk: &Desk, signal: Signal) -> Output {
    let mut command = desk.command(&["snapshot", "--stdin-name", "d", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // Once this much was taken the program reads, and its handlers are there.
    input.write_all(&vec![1; 4 << 20]).unwrap();
    kill_process(Pid::from_child(&child), signal).unwrap();
    // The program may have ended already.
    let _ignored = input.write_all(&vec![2; 16 << 20]);
    drop(input);
    child.wait_with_output().unwrap()
}

#[test]
fn documents_name_the_codes_that_are_tested() {
    let mut tested: Vec<i32> =
        CODES.iter().map(|(code, _)| *code).chain(ELSEWHERE.iter().copied()).collect();
    tested.sort_unstable();
    tested.dedup();
    let common = fs::read_to_string("docs/schema/common.schema.json").unwrap();
    let common: Value = serde_json::from_str(&common).unwrap();
    let listed = common["$defs"]["exit_code"]["enum"].as_array().unwrap().iter();
    let listed: Vec<i64> = listed.map(|code| code.as_i64().unwrap()).collect();
    assert_eq!(listed, tested.iter().map(|code| i64::from(*code)).collect::<Vec<_>>());
    let help = Command::new(env!("CARGO_BIN_EXE_sbf-repo")).arg("--help").output().unwrap();
    let help = out(&help);
    let (_, table) = help.split_once("Exit codes:\n").unwrap();
    let table = table.split("\n\n").next().unwrap();
    assert_eq!(codes_before_words(table.lines().map(str::trim_start)), sorted(&tested), "--help");
    let readme = fs::read_to_string("README.md").unwrap();
    let (_, table) = readme.split_once("## Exit codes").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    assert_eq!(codes_before_words(rows), sorted(&tested), "README.md");
}

/// The numbers with which lines begin, several with commas between them.
fn codes_before_words<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<i32> {
    let numbers = lines.flat_map(|line| {
        let words = line.split([' ', ',']).filter(|word| !word.is_empty());
        words.map_while(|word| word.parse().ok())
    });
    sorted(&numbers.collect::<Vec<_>>())
}

fn sorted(codes: &[i32]) -> Vec<i32> {
    let mut codes = codes.to_vec();
    codes.sort_unstable();
    codes
}
