//! Dumps of `PostgreSQL` in directories: whole or not at all, the same rows as in SQL, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::postgres_server::Server;
use crate::postgres_server::assert_done;
use crate::postgres_server::count;
use crate::postgres_server::fill;
use crate::postgres_server::streams;
use crate::support::send;
use crate::support::wait_for;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

const DIRECTORY: [&str; 4] = ["--pg-format", "directory", "--pg-scratch", "scratch"];

/// A desk with an empty scratch directory.
fn desk() -> Desk {
    let desk = Desk::with_repository();
    fs::create_dir(desk.path("scratch")).unwrap();
    desk
}

fn scratch_count(desk: &Desk) -> usize {
    fs::read_dir(desk.path("scratch")).unwrap().count()
}

fn snapshot(server: &Server, desk: &Desk, arguments: &[&str]) -> Output {
    server.snapshot(desk, &[&DIRECTORY[..], arguments].concat())
}

/// The stated dump of a stream, without its form.
fn dump_of(desk: &Desk, name: &str) -> (String, Value) {
    let streams = streams(desk);
    let stream = streams.iter().find(|stream| stream["name"] == name).unwrap();
    let mut dump = stream["dump"].clone();
    let form = dump.as_object_mut().unwrap().remove("form").unwrap();
    (form.as_str().unwrap().to_owned(), dump)
}

/// Restores a directory and has `pg_restore` read it with several processes.
fn bring_back(server: &Server, desk: &Desk, name: &str, database: &str) {
    server.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0"));
    let (file, target) = (format!("latest:/{name}"), format!("back-{database}"));
    check(&desk.run(&["restore", &file, "--target", &target]), 0);
    let mut restore = Command::new(server.programs.join("pg_restore"));
    restore.args(["--exit-on-error", "--jobs=3", "-d", database]).arg(desk.path(&target));
    server.tell(&mut restore);
    assert_done(&restore.output().unwrap());
}

#[test]
fn directories_come_back_and_hold_what_plain_dumps_hold() {
    let Some(server) = Server::start() else { return };
    let desk = desk();
    fill(&server);
    server.sql("postgres", "CREATE DATABASE \"it's empty/\"");
    let databases = ["--pg-database", "app", "--pg-database", "it's empty/"];
    check(&snapshot(&server, &desk, &[&databases[..], &["--pg-jobs", "3"]].concat()), 0);
    assert_eq!(scratch_count(&desk), 0);
    let names: Vec<_> = streams(&desk).iter().map(|stream| stream["name"].clone()).collect();
    assert_eq!(names, ["globals.sql", "app", "it's empty%2F"]);
    for (name, original) in [("app", "app"), ("it's empty%2F", "it's empty/")] {
        let database = format!("from_{}", &name[..2].replace('\'', "_"));
        bring_back(&server, &desk, name, &database);
        let before = server.dump(original, b"\\restrict x");
        let after = server.dump(&database, b"\\restrict x");
        assert!(before == after, "{original} came back otherwise");
    }
    let folder = fs::metadata(desk.path("back-from_ap/toc.dat")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o600);
    let (form, in_directory) = dump_of(&desk, "app");
    assert_eq!(form, "postgresql-directory");
    check(&server.snapshot(&desk, &databases), 0);
    let (form, plain) = dump_of(&desk, "app.sql");
    assert_eq!((form.as_str(), &in_directory), ("postgresql-plain", &plain));
    assert_eq!(plain["tables_count"], 4);
    check(&desk.run(&["check", "--read-data"]), 0);
    let empty = dump_of(&desk, "it's empty%2F.sql").1;
    assert_eq!((&empty["tables_count"], &empty["rows"]), (&0.into(), &0.into()));
    // They are compared as dumps of one database, in whichever order.
    server.sql("app", "INSERT INTO users VALUES (2000, 'new')");
    check(&snapshot(&server, &desk, &databases), 0);
    let list = desk.json(&["snapshots"], 0)["snapshots"].clone();
    let mut ids: Vec<&str> =
        list.as_array().unwrap().iter().map(|row| row["snapshot"].as_str().unwrap()).collect();
    let is_plain = |id: &&str| desk.json(&["ls", id], 0).to_string().contains("/app.sql");
    let at = ids.iter().position(is_plain).unwrap();
    let plain_id = ids.remove(at);
    let mut changes: Vec<_> = ids
        .iter()
        .map(|id| desk.json(&["diff", plain_id, id], 0)["tables"].as_array().unwrap().len())
        .collect();
    changes.sort_unstable();
    assert_eq!(changes, [0, 1]);
}

#[test]
fn rows_that_did_not_change_are_stored_once_and_lost_ones_are_refused() {
    let Some(server) = Server::start() else { return };
    let desk = desk();
    fill(&server);
    let large =
        "CREATE TABLE large AS SELECT i, md5(i::text) AS x FROM generate_series(1, 50000) i";
    server.sql("app", large);
    check(&snapshot(&server, &desk, &[]), 0);
    // What is made before a table may move the numbers by which files are named.
    server.sql("app", "CREATE TABLE aaa(x int); INSERT INTO aaa VALUES (1)");
    let report = snapshot(&server, &desk, &["--json"]);
    check(&report, 0);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let (read, new) = (&report["run"]["bytes_read"], &report["run"]["bytes_new"]);
    assert!(new.as_u64().unwrap() * 20 < read.as_u64().unwrap(), "{report}");
    // The snapshot before counts, in whichever form it is.
    server.sql("app", "DELETE FROM users WHERE id > 100");
    for format in [&DIRECTORY[..], &[]] {
        let output = server.snapshot(&desk, format);
        check(&output, 14);
        assert!(err(&output).contains("public.users has 100 rows"), "{}", err(&output));
    }
    assert_eq!((count(&desk), scratch_count(&desk)), (2, 0));
    check(&server.snapshot(&desk, &["--allow-row-drop"]), 0);
    server.sql("app", "DROP TABLE small");
    let output = snapshot(&server, &desk, &[]);
    check(&output, 14);
    assert!(err(&output).contains("public.small"), "{}", err(&output));
    check(&snapshot(&server, &desk, &["--allow-dropped-table", "public.small"]), 0);
    assert_eq!(count(&desk), 4);
}

#[test]
fn a_writer_that_keeps_dumps_stores_what_changed_of_a_directory() {
    let Some(server) = Server::start() else { return };
    let desk = desk();
    fill(&server);
    let large =
        "CREATE TABLE large AS SELECT i, md5(i::text) AS x FROM generate_series(1, 80000) i";
    server.sql("app", large);
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    desk.put("keeps.toml", b"[cache]\ndelta_cache = 'host'\n");
    let back_up = || {
        let options = ["--key-file", "writer", "--config", "keeps.toml", "--json"];
        let output = snapshot(&server, &desk, &options);
        check(&output, 0);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["host_keeps"]["state"], "kept", "{report}");
        report["run"]["bytes_stored"].as_u64().unwrap()
    };
    let plain = back_up();
    // The number that names the file moves, and the rows are compared all the same.
    server.sql("app", "CREATE TABLE aaa(x int); UPDATE large SET x = md5(x) WHERE i % 701 = 0");
    let second = back_up();
    assert!(second * 5 < plain, "{second} of {plain} bytes");
    bring_back(&server, &desk, "app", "back");
    let (before, after) =
        (server.dump("app", b"\\restrict x"), server.dump("back", b"\\restrict x"));
    assert!(before == after, "it came back otherwise");
    check(&desk.run(&["check", "--read-data"]), 0);
}

/// The statement names tables and says how many rows they had.
#[test]
fn what_is_stated_of_a_directory_goes_with_any_of_its_files() {
    let Some(server) = Server::start() else { return };
    let desk = desk();
    fill(&server);
    check(&snapshot(&server, &desk, &[]), 0);
    let id = desk.json(&["snapshots"], 0)["snapshots"][0]["snapshot"].clone();
    for (exclude, paths) in [("/app/toc.dat", 2), ("/app/", 1), ("/globals.sql", 1)] {
        check(&desk.run(&["rewrite", id.as_str().unwrap(), "--exclude", exclude]), 0);
        let list = desk.json(&["snapshots"], 0)["snapshots"].clone();
        let is_new = |row: &&Value| row["replaces"] == id;
        let rows: Vec<_> = list.as_array().unwrap().iter().filter(is_new).collect();
        let stated = |row: &&&Value| row["manifest"]["paths"].as_array().unwrap().len() == paths;
        let found = rows.iter().find(|row| {
            let has_app = row["manifest"]["streams"].to_string().contains("\"app\"");
            stated(row) && has_app == exclude.contains("globals")
        });
        assert!(found.is_some(), "{exclude}: {rows:?}");
    }
}

#[test]
fn a_directory_of_which_something_is_missing_is_no_snapshot() {
    let Some(server) = Server::start() else { return };
    let desk = desk();
    fill(&server);
    let find = "real \"$@\" || exit\ncd \"${@: -1}\" || exit\ndata=$(grep -l 'user 500' *.dat)\n";
    let cases = [
        ("exit", "exit 3", "it exited with code 3"),
        ("killed", "kill -9 $$", "signal 9 ended it"),
        ("lost", "rm $data", "No such file"),
        ("empty", ": > $data", "does not end with the line `\\.`"),
        ("row", "truncate -s 5000 $data", "does not end with the line `\\.`"),
        ("line", "truncate -s -3 $data", "does not end with the line `\\.`"),
        ("end", "truncate -s -4 $data", "does not end with the line `\\.`"),
        ("dot", "truncate -s -5 $data", "does not end with the line `\\.`"),
        ("toc", "rm toc.dat", "pg_restore"),
        ("half", "truncate -s $(($(stat -c %s toc.dat) / 2)) toc.dat", "pg_restore"),
        ("blobs", "rm blobs*.toc", "pg_restore"),
        ("nothing", "rm *", "pg_restore"),
        ("full", "echo 'pg_dump: error: No space left on device' >&2; exit 1", "--pg-scratch"),
    ];
    for (name, damage, words) in cases {
        let programs = server.programs_with(&desk, name, &format!("{find}{damage}"));
        let output = snapshot(&server, &desk, &["--pg-no-globals", "--pg-bin", &programs]);
        check(&output, 4);
        assert!(err(&output).contains(words), "{name}: {}", err(&output));
        assert!(err(&output).contains("app"), "{name}: {}", err(&output));
        assert_eq!(scratch_count(&desk), 0, "{name} left something");
    }
    assert_eq!(count(&desk), 0);
    let programs = desk.path("row").display().to_string();
    check(&snapshot(&server, &desk, &["--accept-cut-off", "--pg-bin", &programs]), 0);
    // Blank lines say nothing.
    let programs = server.programs_with(&desk, "blank", &format!("{find}truncate -s -2 $data"));
    check(&snapshot(&server, &desk, &["--pg-bin", &programs]), 0);
    assert_eq!((count(&desk), scratch_count(&desk)), (2, 0));
}

#[test]
fn a_run_that_is_stopped_leaves_no_dump_behind_and_one_that_is_killed_to_the_next() {
    let Some(server) = Server::start() else { return };
    let desk = desk();
    fill(&server);
    let started = desk.path("started");
    let waits = format!("real \"$@\"; touch '{}'; exec sleep 1000", started.display());
    let programs = server.programs_with(&desk, "waits", &waits);
    let begin = || {
        let arguments = ["snapshot", "--source", "db", "--postgres", "dbname=app"];
        let bin = ["--pg-no-globals", "--pg-bin", &programs];
        let mut command = desk.command(&[&arguments[..], &DIRECTORY, &bin].concat());
        server.tell(&mut command);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(&started);
        fs::remove_file(&started).unwrap();
        assert_eq!(scratch_count(&desk), 1);
        child
    };
    for (signal, exit) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut child = begin();
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(exit));
        assert_eq!(scratch_count(&desk), 0);
    }
    let mut child = begin();
    send(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(scratch_count(&desk), 1);
    check(&snapshot(&server, &desk, &[]), 0);
    assert_eq!((count(&desk), scratch_count(&desk)), (1, 0));
}

#[test]
fn options_of_directories_are_refused_where_they_mean_nothing() {
    let desk = desk();
    let wrong: [&[&str]; 4] = [
        &["--postgres", "app", "--pg-jobs", "2"],
        &["--postgres", "app", "--pg-scratch", "scratch"],
        &["--postgres", "app", "--pg-format", "directory", "--pg-jobs", "0"],
        &["data", "--pg-format", "directory"],
    ];
    for arguments in wrong {
        check(&desk.run(&[&["snapshot"], arguments].concat()), 2);
    }
    let Some(server) = Server::start() else { return };
    fill(&server);
    let missing = ["--pg-format", "directory", "--pg-scratch", "missing"];
    let output = server.snapshot(&desk, &missing);
    check(&output, 1);
    assert!(err(&output).contains("missing"), "{}", err(&output));
    let text = "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 11.2' && exit\ncase";
    server.programs_with(&desk, "older", "exit 1");
    let old = fs::read_to_string(desk.path("older/pg_dump")).unwrap().replace("case", text);
    crate::scratch::put(desk.path("older/pg_dump"), old);
    let output = snapshot(&server, &desk, &["--pg-bin", desk.path("older").to_str().unwrap()]);
    check(&output, 4);
    assert_eq!(count(&desk), 0);
}
