//! Drills bring backups back, say what is wrong with which check, and leave nothing behind: with a real `PostgreSQL`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::postgres_server::Server;
use crate::postgres_server::fill;
use crate::scratch::put;
use crate::scratch::skip;
use crate::support::damage_large_pack;
use crate::support::send;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// A desk with drills, a server to back up, and a scratch directory that everybody may pass through.
pub(crate) struct Exercise {
    pub(crate) desk: Desk,
    pub(crate) server: Server,
    pub(crate) scratch: TempDir,
}

impl Exercise {
    /// `None`, with a word why, where there is no `PostgreSQL`.
    pub(crate) fn start(drills: &str) -> Option<Self> {
        let server = Server::start()?;
        let (desk, scratch) = (Desk::with_repository(), scratch());
        let exercise = Self { desk, server, scratch };
        exercise.configure(drills);
        Some(exercise)
    }

    /// Writes the configuration; `@SCRATCH@` and `@SOCKET@` stand for places.
    pub(crate) fn configure(&self, drills: &str) {
        let text = drills
            .replace("@SCRATCH@", self.scratch.path().to_str().unwrap())
            .replace("@SOCKET@", &self.server.socket());
        self.desk.put("config.toml", text.as_bytes());
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.server.run(&self.desk, &[&["--config", "config.toml"], arguments].concat())
    }

    /// The answer of a command, whose exit code this is.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], exit: i32) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        check(&output, exit);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Does the drill `d`; whatever came of it, nothing is left behind.
    #[track_caller]
    pub(crate) fn drill(&self, arguments: &[&str], exit: i32) -> Value {
        let answer = self.json(&[&["drill", "run", "d"], arguments].concat(), exit);
        self.assert_nothing_left();
        answer["drill"].clone()
    }

    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(left_in(self.scratch.path()), Vec::<PathBuf>::new());
        assert_eq!(servers_below(self.scratch.path().to_str().unwrap()), Vec::<String>::new());
    }

    pub(crate) fn back_up(&self, arguments: &[&str]) {
        fill(&self.server);
        check(&self.server.snapshot(&self.desk, arguments), 0);
    }
}

pub(crate) fn scratch() -> TempDir {
    let folder = tempfile::Builder::new().prefix("dr").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn left_in(folder: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Command lines of processes that name a place.
pub(crate) fn servers_below(place: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains("postgres") && line.contains(place)).collect()
}

/// The outcome of each check, by name.
pub(crate) fn outcomes(drill: &Value) -> Vec<(String, String)> {
    let checks = drill["checks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks.map(|check| (text(&check["name"]), text(&check["outcome"]))).collect()
}

/// The detail of the check of this name, which has this outcome.
#[track_caller]
pub(crate) fn detail(drill: &Value, name: &str, outcome: &str) -> String {
    let checks = drill["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    assert!(found.is_some_and(|check| check["outcome"] == outcome), "{name} {outcome}: {drill:#}");
    found.unwrap()["detail"].as_str().unwrap().to_owned()
}

pub(crate) const SCRATCH: &str = "[drill.d]\nsource = 'db'\ntarget = 'scratch'\nscratch = '@SCRATCH@'\n\
     assert = ['select count(*) = 1000 from users', 'select true']\n";

#[test]
fn a_database_comes_back_byte_for_byte_and_is_recorded() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    exercise.server.sql("postgres", "CREATE ROLE keeper LOGIN");
    exercise.back_up(&[]);
    let drill = exercise.drill(&[], 0);
    let names: Vec<String> = outcomes(&drill).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "signatures",
        "roles",
        "dump-trailer",
        "restore",
        "object-counts",
        "rows-and-digests",
        "re-dump",
        "amcheck",
        "assert-1",
        "assert-2",
    ];
    assert_eq!(names, expected);
    assert_eq!(detail(&drill, "re-dump", "pass"), "re-dump identical");
    assert_eq!(
        (&drill["outcome"], &drill["scratch"], &drill["cache"]),
        (&"pass".into(), &"wiped".into(), &"warm".into())
    );
    assert!(drill["rto_milliseconds"].as_u64().unwrap() > 0 && drill["rpo_seconds"].is_u64());
    let list = exercise.json(&["drill", "list"], 0);
    assert_eq!(list["drills"].as_array().unwrap().len(), 1);
    assert_eq!(list["drills"][0]["drill"], drill);
    // Everything that went well is said to whoever wants to hear it.
    let words = exercise.run(&["drill", "run", "d"]);
    check(&words, 0);
    assert!(err(&words).contains("re-dump identical"), "{}", err(&words));
}

#[test]
fn a_dump_in_a_directory_comes_back_too() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    fs::create_dir(exercise.desk.path("room")).unwrap();
    exercise.back_up(&["--pg-format", "directory", "--pg-scratch", "room"]);
    let drill = exercise.drill(&[], 0);
    detail(&drill, "rows-and-digests", "pass");
    assert_eq!(detail(&drill, "re-dump", "pass"), "re-dump identical");
}

#[test]
fn one_damaged_byte_of_a_stored_dump_is_found() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    if exercise.desk.place.is_bucket() {
        return skip("a bucket's object is not damaged with a few lines");
    }
    fill(&exercise.server);
    let large = "CREATE TABLE large AS SELECT i, md5(i::text) || md5((-i)::text) AS x FROM generate_series(1, 200000) i";
    exercise.server.sql("app", large);
    check(&exercise.server.snapshot(&exercise.desk, &[]), 0);
    damage_large_pack(&exercise.desk.path("repo/packs"));
    let drill = exercise.drill(&[], 5);
    let why = detail(&drill, "restore", "fail");
    assert!(why.contains("cannot open block"), "{why}");
    assert_eq!(detail(&drill, "re-dump", "not-verified"), "not reached");
    assert_eq!((&drill["outcome"], &drill["scratch"]), (&"fail".into(), &"wiped".into()));
}

/// A dump that takes a row away again when it comes back: what it says of itself is not what it gives.
#[test]
fn a_row_that_does_not_come_back_is_missed() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    fill(&exercise.server);
    store_altered(
        &exercise,
        "s/^-- PostgreSQL database dump complete/DELETE FROM public.users WHERE id = 7;\\n\\n&/",
    );
    let drill = exercise.drill(&[], 6);
    assert_eq!(detail(&drill, "rows-and-digests", "fail"), "public.users has 999 rows, not 1000");
    detail(&drill, "restore", "pass");
    detail(&drill, "assert-1", "fail");
    // Nobody knows how `sh` made it: that it differs may have other reasons.
    detail(&drill, "re-dump", "not-verified");
}

#[test]
fn another_value_in_a_row_is_found_by_its_digest() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    fill(&exercise.server);
    store_altered(
        &exercise,
        "s/^-- PostgreSQL database dump complete/UPDATE public.users SET name = id::text WHERE id = 7;\\n\\n&/",
    );
    let drill = exercise.drill(&[], 6);
    let why = detail(&drill, "rows-and-digests", "fail");
    assert!(why.contains("public.users") && !why.contains("user 7"), "{why}");
}

#[test]
fn an_extension_that_the_server_lacks_fails_the_restore() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    fill(&exercise.server);
    store_altered(&exercise, "s/^SET row_security = off;/&\\nCREATE EXTENSION no_such_extension;/");
    let drill = exercise.drill(&[], 6);
    let why = detail(&drill, "restore", "fail");
    assert!(why.contains("no_such_extension"), "{why}");
}

/// Stores a dump that `sed` changed on its way, and the roles beside it.
fn store_altered(exercise: &Exercise, script: &str) {
    let dump = exercise.server.programs.join("pg_dump");
    let command = format!("app.sql=sh -c '{} -d app | sed \"{script}\"'", dump.display());
    let globals = exercise.server.programs.join("pg_dumpall");
    let globals = format!("globals.sql={} --globals-only", globals.display());
    let arguments = ["snapshot", "--source", "db", "--stream", &globals, "--stream", &command];
    check(&exercise.server.run(&exercise.desk, &arguments), 0);
}

#[test]
fn programs_that_are_too_old_or_not_there_prove_nothing() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    exercise.back_up(&[]);
    let folder = exercise.desk.path("old");
    fs::create_dir(&folder).unwrap();
    put(folder.join("pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n");
    fs::set_permissions(folder.join("pg_dump"), fs::Permissions::from_mode(0o755)).unwrap();
    exercise.configure(&format!("{SCRATCH}programs = '{}'\n", folder.display()));
    let drill = exercise.drill(&[], 7);
    let why = detail(&drill, "restore", "not-verified");
    assert!(why.contains("there are those of 9.6.24"), "{why}");
    exercise.configure(&format!("{SCRATCH}programs = '/nonexistent'\n"));
    let drill = exercise.drill(&[], 7);
    let why = detail(&drill, "restore", "not-verified");
    assert!(why.contains("/nonexistent"), "{why}");
}

#[test]
fn a_full_disk_proves_nothing_and_is_wiped() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    fill(&exercise.server);
    let large =
        "CREATE TABLE large AS SELECT i, md5(i::text) AS x FROM generate_series(1, 600000) i";
    exercise.server.sql("app", large);
    check(&exercise.server.snapshot(&exercise.desk, &[]), 0);
    for size in ["size=16M,mode=755", "size=70M,mode=755"] {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(exercise.scratch.path());
        let mounted = mount.output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            return skip("no file system can be mounted here");
        }
        let answer = exercise.run(&["--json", "drill", "run", "d"]);
        let left = left_in(exercise.scratch.path());
        let umount = Command::new("umount").arg("-l").arg(exercise.scratch.path()).output();
        assert!(umount.unwrap().status.success());
        check(&answer, 7);
        assert_eq!(left, Vec::<PathBuf>::new());
        exercise.assert_nothing_left();
        let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
        let why = detail(&answer["drill"], "restore", "not-verified");
        assert!(why.contains("No space left on device") || why.contains("is full"), "{why}");
        assert_eq!(answer["drill"]["scratch"], "wiped");
    }
}

const URL: &str = "[drill.d]\nsource = 'db'\ntarget = 'url'\nscratch = '@SCRATCH@'\n\
     dsn = 'host=@SOCKET@ user=postgres dbname=@NAME@'\nassert = ['select count(*) = 1000 from users']\n";

#[test]
fn a_staging_server_gets_a_database_for_the_time_of_the_drill_and_keeps_its_own() {
    let Some(exercise) = Exercise::start(&URL.replace("@NAME@", "app")) else { return };
    exercise.back_up(&[]);
    let drill = exercise.drill(&[], 6);
    let why = detail(&drill, "target", "fail");
    assert!(why.starts_with("database app has 4 tables"), "{why}");
    assert_eq!(detail(&drill, "restore", "not-verified"), "not reached");
    exercise.configure(&URL.replace("@NAME@", "postgres"));
    let drill = exercise.drill(&[], 0);
    assert_eq!(detail(&drill, "re-dump", "pass"), "re-dump identical");
    // A failing assertion leaves no database either.
    exercise.configure(&URL.replace("@NAME@", "postgres").replace("1000", "1"));
    detail(&exercise.drill(&[], 6), "assert-1", "fail");
    // A password on a command line is no secret.
    exercise.configure(&URL.replace("@NAME@", "postgres password=x"));
    check(&exercise.run(&["drill", "run", "d"]), 2);
    let names = exercise.server.sql("postgres", "SELECT datname FROM pg_database ORDER BY 1");
    assert_eq!(names, "app\npostgres\ntemplate0\ntemplate1");
}

#[test]
fn a_drill_that_is_stopped_leaves_nothing_and_no_record() {
    let text = SCRATCH.replace("select true", "select pg_sleep(600) is null");
    let Some(exercise) = Exercise::start(&text) else { return };
    exercise.back_up(&[]);
    let mut command = exercise.desk.command(&["--config", "config.toml", "drill", "run", "d"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let place = exercise.scratch.path().to_str().unwrap();
    let sleeps = || servers_below(place).iter().any(|line| line.contains("pg_sleep"));
    for _look in 0..6000 {
        if sleeps() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(sleeps(), "the assertion was never reached");
    send(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    check(&output, 143);
    exercise.assert_nothing_left();
    assert_eq!(exercise.json(&["drill", "list"], 0)["drills"].as_array().unwrap().len(), 0);
}

#[test]
fn what_a_killed_drill_left_the_next_one_ends_and_removes() {
    let text = SCRATCH.replace("select true", "select pg_sleep(600) is null");
    let Some(exercise) = Exercise::start(&text) else { return };
    exercise.back_up(&[]);
    let mut child = exercise
        .desk
        .command(&["--config", "config.toml", "drill", "run", "d", "-q"])
        .spawn()
        .unwrap();
    let place = exercise.scratch.path().to_str().unwrap();
    for _look in 0..6000 {
        if servers_below(place).iter().any(|line| line.contains("pg_sleep")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!left_in(exercise.scratch.path()).is_empty());
    exercise.configure(SCRATCH);
    check(&exercise.run(&["drill", "run", "d"]), 0);
    assert_eq!(left_in(exercise.scratch.path()), Vec::<PathBuf>::new());
}
