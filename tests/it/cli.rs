//! The program as people and scripts see it: exit codes, words, JSON.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::servers::place::Place;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use tempfile::TempDir;

/// A place for one repository, its key file and what is backed up.
pub(crate) struct Desk {
    folder: TempDir,
    /// Where the repository is.
    pub(crate) place: Place,
}

impl Desk {
    /// What is backed up, and no repository yet.
    pub(crate) fn without_repository() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data/inner")).unwrap();
        let place = Place::fresh(&folder.path().join("repo"));
        let desk = Self { folder, place };
        desk.put("data/a.txt", b"first");
        desk.put("data/inner/b.txt", b"second");
        desk
    }

    pub(crate) fn with_repository() -> Self {
        let desk = Self::without_repository();
        check(&desk.run(&["init"]), 0);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut file = fs::File::create(self.path(name)).unwrap();
        file.write_all(bytes).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin");
        self.place.tell(&mut command);
        command.env("SBF_REPO_KEY_FILE", self.path("key"));
        command.env("SBF_REPO_CACHE_DIR", self.path("cache"));
        command.env("SBF_REPO_STATE_DIR", self.path("state"));
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs with a passphrase instead of the key file.
    fn run_with_passphrase(&self, passphrase: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.env_remove("SBF_REPO_KEY_FILE").env("SBF_REPO_PASSWORD", passphrase);
        command.output().unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str], exit: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        check(&output, exit);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["exit_code"], exit);
        value
    }

    fn snapshots(&self) -> Vec<Value> {
        self.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().clone()
    }
}

#[track_caller]
pub(crate) fn check(output: &Output, exit: i32) {
    assert_eq!(output.status.code(), Some(exit), "{}{}", out(output), err(output));
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_directory_goes_in_and_comes_back() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs", "--tag", "first"]), 0);
    let list = desk.run(&["snapshots"]);
    check(&list, 0);
    assert!(out(&list).contains("docs") && out(&list).contains("first"), "{}", out(&list));
    let inside = format!("docs@latest:{}", desk.path("data").display());
    let listing = desk.run(&["ls", &inside]);
    check(&listing, 0);
    assert!(out(&listing).lines().any(|line| line.ends_with("/data/inner/b.txt")));
    assert_eq!(desk.json(&["stats"], 0)["stats"]["files"], 2);
    check(&desk.run(&["check", "--read-data"]), 0);
    check(&desk.run(&["restore", &inside, "--target", "back"]), 0);
    assert_eq!(fs::read(desk.path("back/inner/b.txt")).unwrap(), b"second");
    let dumped = desk.run(&["dump", &format!("{inside}/a.txt")]);
    check(&dumped, 0);
    assert_eq!(dumped.stdout, b"first");
}

#[test]
fn a_key_file_is_private_and_never_overwritten() {
    let desk = Desk::with_repository();
    let key = fs::metadata(desk.path("key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let before = fs::read(desk.path("key")).unwrap();
    check(&desk.run(&["init", "--repo", "other"]), 2);
    assert_eq!(fs::read(desk.path("key")).unwrap(), before);
    assert!(!desk.path("other/config").exists());
    check(&desk.run(&["init", "--key-file", "second"]), 1);
    assert!(!desk.path("second").exists(), "no key without a repository");
}

#[test]
fn exit_codes_tell_what_is_wrong_with_the_call() {
    let desk = Desk::with_repository();
    check(&desk.run(&["frobnicate"]), 2);
    check(&desk.run(&["snapshots", "--repo", "nowhere"]), 10);
    let missing = desk.run(&["snapshot", "nothing-here"]);
    check(&missing, 1);
    assert!(err(&missing).starts_with("error: cannot find "), "{}", err(&missing));
    assert!(desk.snapshots().is_empty());
    let none = desk.run(&["restore", "latest", "--target", "back"]);
    check(&none, 1);
    assert!(err(&none).contains("hint: run `sbf-repo snapshots`"), "{}", err(&none));
}

#[test]
fn a_wrong_passphrase_is_no_damage() {
    let desk = Desk::without_repository();
    let init = ["init", "--argon2-memory", "65536"];
    check(&desk.run_with_passphrase("right", &init), 0);
    check(&desk.run_with_passphrase("right", &["snapshots"]), 0);
    let wrong = desk.run_with_passphrase("wrong", &["snapshots"]);
    check(&wrong, 12);
    assert!(err(&wrong).contains("opens none of the 1 key slots"), "{}", err(&wrong));
    check(&desk.run_with_passphrase("", &["snapshots"]), 2);
    desk.put("new", b"other\n");
    let change = ["key", "change-password", "--new-password-file", "new"];
    let change = [change.as_slice(), &["--argon2-memory", "65536"]].concat();
    check(&desk.run_with_passphrase("right", &change), 0);
    check(&desk.run_with_passphrase("right", &["snapshots"]), 12);
    check(&desk.run_with_passphrase("other", &["snapshots"]), 0);
}

#[test]
fn damage_is_told_with_its_object() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    for pack in desk.place.keys("packs") {
        desk.place.alter(&pack, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    }
    assert!(desk.json(&["check", "--read-data"], 5)["findings_count"].as_u64() > Some(0));
    // What this host keeps of a bucket would do.
    let restored = desk.run(&["restore", "latest", "--target", "back", "--no-cache"]);
    check(&restored, 5);
    assert!(err(&restored).contains("hint: "), "{}", err(&restored));
}

#[test]
fn something_else_in_the_place_of_a_pack_costs_its_files_and_not_the_check() {
    for is_link in [true, false] {
        let desk = Desk::with_repository();
        desk.put("data/lost", &crate::support::bytes_of(1, 100_000, 256));
        check(&desk.run(&["snapshot", "data"]), 0);
        let mut packs = files_below(&desk.path("repo/packs"));
        packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
        let pack = packs.pop().unwrap();
        fs::remove_file(&pack).unwrap();
        let put = if is_link { symlink("elsewhere", &pack) } else { fs::create_dir(&pack) };
        put.unwrap();
        let found = desk.json(&["check", "--read-data"], 5)["findings"].to_string();
        assert!(found.contains(pack.file_name().unwrap().to_str().unwrap()), "{found}");
        assert!(found.contains("/lost"), "{found}");
        let restored = desk.run(&["restore", "latest", "--keep-going", "--target", "back"]);
        check(&restored, 5);
        let back = files_below(&desk.path("back"));
        assert!(!back.iter().any(|path| path.ends_with("lost")), "{back:?}");
        assert!(err(&restored).contains("lost: not restored"), "{}", err(&restored));
    }
}

#[test]
fn an_unreadable_file_makes_a_snapshot_incomplete() {
    let desk = Desk::with_repository();
    // The memory of a process reads as an error, also for root.
    let unreadable = format!("/proc/{}/mem", std::process::id());
    let report = desk.json(&["snapshot", "data", &unreadable], 3);
    assert_eq!(report["skipped_count"], 1);
    assert_eq!(desk.snapshots()[0]["manifest"]["incomplete"], true);
}

#[test]
fn a_failed_source_command_makes_no_snapshot() {
    let desk = Desk::with_repository();
    let call = ["snapshot", "--stdin-name", "dump.sql", "--from-command", "--", "sh", "-c"];
    let failed = desk.run(&[call.as_slice(), &["echo half of it; exit 9"]].concat());
    check(&failed, 4);
    assert!(err(&failed).contains("exited with code 9"), "{}", err(&failed));
    assert!(desk.snapshots().is_empty());
    check(&desk.run(&[call.as_slice(), &["echo all of it"]].concat()), 0);
    assert_eq!(desk.run(&["dump", "latest:dump.sql"]).stdout, b"all of it\n");
}

/// A stream has no modification time: taking the second one for unchanged would lose it.
#[test]
fn a_stream_of_the_same_name_is_stored_again() {
    let desk = Desk::with_repository();
    for content in [b"one", b"two"] {
        check(&desk.run_with_input(&["snapshot", "--stdin-name", "d.sql", "-"], content), 0);
        assert_eq!(desk.run(&["dump", "latest"]).stdout, content);
    }
    assert_eq!(desk.snapshots().len(), 2);
}

#[test]
fn a_closed_standard_input_is_no_empty_stream() {
    // A script without input made a snapshot of nothing, with success.
    let desk = Desk::with_repository();
    let mut command = Command::new("/bin/sh");
    let program = desk.command(&["snapshot", "--stdin-name", "dump.sql"]);
    command.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(program.get_program());
    command.args(program.get_args()).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    check(&output, 1);
    assert!(err(&output).contains("standard input"), "{}", err(&output));
    assert!(desk.snapshots().is_empty());
    check(&desk.run(&["snapshot", "--stdin-name", "empty"]), 0);
}

#[test]
fn a_path_that_cannot_name_its_source_is_met_with_the_way_to_name_it() {
    let desk = Desk::with_repository();
    let long = format!("{0}/{0}", "x".repeat(150));
    fs::create_dir_all(desk.path(&long)).unwrap();
    fs::create_dir(desk.path("tab\t")).unwrap();
    for path in [long.as_str(), "tab\t"] {
        let output = desk.run(&["snapshot", path]);
        check(&output, 2);
        assert!(err(&output).contains("--source NAME"), "{}", err(&output));
        assert!(!err(&output).contains('\t'), "{}", err(&output));
        check(&desk.run(&["snapshot", "--source", "named", path]), 0);
    }
}

#[test]
fn quiet_commands_say_nothing_when_all_goes_well() {
    let desk = Desk::without_repository();
    for arguments in [
        ["init", "-q"].as_slice(),
        &["snapshot", "data", "-q"],
        &["check", "-q"],
        &["restore", "latest", "--target", "back", "-q"],
    ] {
        let output = desk.run(arguments);
        check(&output, 0);
        assert_eq!((out(&output), err(&output)), (String::new(), String::new()));
    }
}

#[test]
fn json_is_one_object_on_success_and_failure() {
    let desk = Desk::with_repository();
    let report = desk.json(&["snapshot", "data"], 0);
    assert_eq!(report["snapshot"].as_str().unwrap().len(), 32);
    assert_eq!(report["totals"]["files"], 2);
    let listing = desk.json(&["ls", "latest"], 0);
    let entries = listing["entries"].as_array().unwrap();
    assert_eq!(listing["entries_count"], entries.len());
    let error = &desk.json(&["ls", "latest:/nothing"], 1)["error"];
    assert_eq!(error["code"], "path.none");
    assert!(error["hints"][0].as_str().unwrap().contains("sbf-repo ls"));
    assert_eq!(desk.json(&["ls"], 2)["error"]["code"], "usage");
    let closed = desk.json(&["snapshots", "--repo", "nowhere"], 10);
    assert_eq!(closed["error"]["code"], "repository.none");
}

#[test]
fn selectors_and_filters_find_snapshots() {
    let desk = Desk::with_repository();
    for (source, time) in [
        ("one", "2026-10-13T02:00:00Z"),
        ("one", "2026-10-14T02:00:00Z"),
        ("two", "2026-10-14T02:00:00Z"),
    ] {
        check(&desk.run(&["snapshot", "data", "--source", source, "--time", time]), 0);
    }
    let rows = desk.snapshots();
    let id = |row: usize| rows[row]["snapshot"].as_str().unwrap();
    let first = id(0);
    for (selector, expected) in [
        (&first[..8], first),
        ("one@2026-10-13", first),
        ("one@2026-10-14T01:59:59Z", first),
        ("one@0d", if rows[1]["source"] == "one" { id(1) } else { id(2) }),
    ] {
        assert_eq!(desk.json(&["ls", selector], 0)["snapshot"], expected, "{selector}");
    }
    desk.json(&["ls", "one@2026-10-12"], 1);
    desk.json(&["ls", "none@latest"], 1);
    let of_one = desk.json(&["snapshots", "--source", "one", "--latest", "1"], 0);
    assert_eq!(of_one["snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn a_dry_run_tells_and_stores_nothing() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    desk.put("data/c.txt", b"third");
    let before = desk.place.keys("").len();
    let report = desk.json(&["snapshot", "data", "--dry-run"], 0);
    assert_eq!(report["snapshot"], Value::Null);
    assert_eq!(report["run"]["files_new"], 1);
    assert_eq!(report["totals"]["files"], 3);
    assert_eq!(desk.place.keys("").len(), before);
}

#[test]
fn patterns_choose_what_is_stored_and_restored() {
    let desk = Desk::with_repository();
    desk.put("data/a.log", b"noise");
    check(&desk.run(&["snapshot", "data", "--exclude", "*.log", "--source", "s"]), 0);
    let inside = format!("latest:{}", desk.path("data").display());
    check(&desk.run(&["restore", &inside, "--target", "back", "--include", "b.txt"]), 0);
    assert!(desk.path("back/inner/b.txt").exists());
    assert!(!desk.path("back/a.txt").exists());
    check(&desk.run(&["restore", &inside, "--target", "all", "--exclude", "inner/"]), 0);
    assert!(desk.path("all/a.txt").exists() && !desk.path("all/a.log").exists());
    assert!(!desk.path("all/inner").exists());
}

#[test]
fn roles_have_the_rights_of_their_table() {
    let desk = Desk::with_repository();
    for role in ["writer", "reader", "auditor"] {
        check(&desk.run(&["key", "add", "--role", role, "--new-key-file", role]), 0);
    }
    let as_role = |role, arguments: &[&str]| desk.run(&[&["--key-file", role], arguments].concat());
    check(&as_role("writer", &["snapshot", "data"]), 0);
    check(&as_role("writer", &["snapshot", "data"]), 0);
    check(&as_role("writer", &["restore", "latest", "--target", "back"]), 15);
    check(&as_role("writer", &["key", "add", "--role", "reader", "--new-key-file", "x"]), 15);
    assert!(!desk.path("x").exists());
    check(&as_role("reader", &["snapshot", "data"]), 15);
    check(&as_role("reader", &["check", "--read-data"]), 0);
    check(&as_role("reader", &["restore", "latest", "--target", "back"]), 0);
    check(&as_role("auditor", &["snapshots"]), 0);
    check(&as_role("auditor", &["ls", "latest"]), 15);
}

#[test]
fn the_last_way_in_is_not_removed() {
    let desk = Desk::with_repository();
    let slots = desk.json(&["key", "list"], 0)["slots"].as_array().unwrap().clone();
    let own = slots[0]["slot"].as_str().unwrap();
    assert_eq!(slots[0]["in_use"], true);
    let refused = desk.run(&["key", "remove", own]);
    check(&refused, 14);
    assert!(err(&refused).contains("hint: `--force`"), "{}", err(&refused));
    let added = desk.json(&["key", "add", "--role", "reader", "--new-key-file", "reader"], 0);
    check(&desk.run(&["key", "remove", &added["slot"].as_str().unwrap()[..8]]), 0);
    check(&desk.run(&["--key-file", "reader", "snapshots"]), 12);
}

#[test]
fn nobody_reading_the_output_is_no_error_message() {
    let desk = Desk::with_repository();
    // More than a pipe holds, so that the program cannot end before its reader is gone.
    desk.put("data/long", &vec![7; 1 << 20]);
    check(&desk.run(&["snapshot", "data"]), 0);
    let long = format!("latest:{}", desk.path("data/long").display());
    let mut child = desk.command(&["dump", &long]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(err(&output), "");
    check(&output, 141);
}

#[test]
fn an_interrupted_snapshot_says_that_the_next_one_goes_on() {
    let desk = Desk::with_repository();
    // The command's output ends when the test ends it, so that the signal comes in between.
    let call = ["snapshot", "--stdin-name", "d", "-"];
    let mut child = desk.command(&call);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // Once this much was taken the program reads, and its handlers are there.
    input.write_all(&vec![1; 4 << 20]).unwrap();
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // The program may have ended already.
    let _ignored = input.write_all(&vec![2; 16 << 20]);
    drop(input);
    let output = child.wait_with_output().unwrap();
    check(&output, 143);
    assert!(err(&output).contains("hint: run the same command again"), "{}", err(&output));
    assert!(desk.snapshots().is_empty());
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn a_label_that_no_slot_can_hold_is_refused_before_anything_is_made() {
    // It was stored, reported as added, and its key opened nothing.
    let (desk, label) = (Desk::without_repository(), "x".repeat(256));
    check(&desk.run(&["init", "--label", &label]), 2);
    assert!(!desk.path("key").exists());
    check(&desk.run(&["init", "--label", &label[..255]]), 0);
    let add = ["key", "add", "--role", "reader", "--new-key-file", "reader", "--label"];
    check(&desk.run(&[add.as_slice(), &[&label]].concat()), 2);
    assert!(!desk.path("reader").exists());
    check(&desk.run(&[add.as_slice(), &[&label[..255]]].concat()), 0);
    check(&desk.run(&["snapshots", "--key-file", "reader"]), 0);
    check(&desk.run(&["key", "list"]), 0);
}

#[test]
fn a_file_in_the_place_of_a_repository_is_named() {
    let desk = Desk::with_repository();
    let output = desk.run(&["snapshots", "--repo", "data/a.txt"]);
    check(&output, 13);
    assert!(err(&output).contains("cannot open `"), "{}", err(&output));
    assert!(err(&output).contains("a.txt`") && !err(&output).contains("``"), "{}", err(&output));
}

#[test]
fn a_secret_without_an_end_is_refused() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshots", "--key-file", "/dev/zero"]), 2);
    let mut command = desk.command(&["snapshots", "--password-file", "/dev/zero"]);
    check(&command.env_remove("SBF_REPO_KEY_FILE").output().unwrap(), 2);
}

#[test]
fn a_restore_that_cannot_write_blames_the_target_and_not_the_repository() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data"]), 0);
    let selector = format!("latest:{}", desk.path("data").display());
    // Directories are not replaced by files.
    fs::create_dir_all(desk.path("back/a.txt/full")).unwrap();
    check(&desk.run(&["restore", &selector, "--target", "back"]), 1);
    let report = desk.json(&["restore", &selector, "--keep-going", "--target", "back"], 3);
    assert_eq!(report["failed_count"], 1);
    assert_eq!(report["failed"][0]["code"], "file.not_written");
    assert!(report["failed"][0]["remedy"].as_str().unwrap().contains("target"));
    assert_eq!(fs::read(desk.path("back/inner/b.txt")).unwrap(), b"second");
}
