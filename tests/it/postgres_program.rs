//! Databases go in whole or not at all, and come back byte for byte: with a real `PostgreSQL`.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::postgres_server::Server;
use crate::postgres_server::content;
use crate::postgres_server::count;
use crate::postgres_server::fill;
use crate::postgres_server::streams;
use crate::scratch::put;
use crate::scratch::skip;
use crate::support::damage_large_pack;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

#[test]
fn databases_come_back_byte_for_byte() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    fill(&server);
    server.sql("postgres", "CREATE DATABASE \"it's empty/\"");
    server.sql("postgres", "CREATE ROLE keeper LOGIN PASSWORD 'never to be seen'");
    let arguments = ["--pg-database", "app", "--pg-database", "it's empty/"];
    check(&server.snapshot(&desk, &arguments), 0);
    let names: Vec<_> = streams(&desk).iter().map(|stream| stream["name"].clone()).collect();
    assert_eq!(names, ["globals.sql", "app.sql", "it's empty%2F.sql"]);
    let globals = String::from_utf8(content(&desk, "globals.sql")).unwrap();
    assert!(globals.contains("CREATE ROLE keeper") && !globals.contains("PASSWORD"), "{globals}");
    for (number, name) in ["app.sql", "it's empty%2F.sql"].iter().enumerate() {
        let database = format!("fresh{number}");
        server.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0"));
        let file = format!("latest:/{name}");
        let psql = server.programs.join("psql");
        let restored = server.run(
            &desk,
            &[
                "restore",
                &file,
                "--to-command",
                "--",
                psql.to_str().unwrap(),
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-1",
                "-d",
                &database,
            ],
        );
        check(&restored, 0);
        assert!(!err(&restored).contains("statement by statement"), "{}", err(&restored));
        // A dump of them has transactions of its own.
        assert_eq!(err(&restored).contains("large objects"), number == 0, "{}", err(&restored));
        let stored = content(&desk, name);
        let again = server.dump(&database, &stored);
        assert!(again == stored, "{name} came back otherwise");
    }
    let psql = server.programs.join("psql");
    let pieces = ["restore", "latest:/it's empty%2F.sql", "--to-command", "--"];
    let psql = [psql.to_str().unwrap(), "-X", "-q", "-d", "fresh1"];
    let pieces = server.run(&desk, &[&pieces[..], &psql].concat());
    check(&pieces, 0);
    assert!(err(&pieces).contains("psql without `-1`"), "{}", err(&pieces));
    let roles = ["restore", "latest:/globals.sql", "--to-command", "--"];
    let roles = server.run(&desk, &[&roles[..], &psql].concat());
    check(&roles, 0);
    assert!(!err(&roles).contains("warning: psql"), "{}", err(&roles));
    // What did not change is stored once, also the word behind `\restrict`.
    let second = server.snapshot(&desk, &[&arguments[..], &["--json"]].concat());
    check(&second, 0);
    let report: Value = serde_json::from_slice(&second.stdout).unwrap();
    // The tree is new: it has the time.
    assert!(report["run"]["bytes_new"].as_u64().unwrap() < 1000, "{report}");
}

#[test]
fn the_manifest_says_what_a_dump_holds() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    fill(&server);
    check(&server.snapshot(&desk, &["--pg-no-globals"]), 0);
    let [stream] = &streams(&desk)[..] else { unreachable!("one stream") };
    let dump = &stream["dump"];
    let rows = |dump: &Value, name: &str| {
        let tables = dump["tables"].as_array().unwrap();
        let table = tables.iter().find(|table| table["name"] == name).unwrap().clone();
        (table["rows"].as_u64().unwrap(), table["digest"].as_str().unwrap().to_owned())
    };
    assert_eq!(dump["tables_count"], 4);
    let odd = "\"Odd; Schema\".\"a \"\"b\"\" FROM stdin;\nc\"";
    assert_eq!((rows(dump, odd).0, rows(dump, "public.users").0), (4, 1000));
    let version = server.sql("app", "SHOW server_version");
    assert_eq!(dump["server"], version.as_str());
    let kinds = |kind: &str| {
        let objects = dump["objects"].as_array().unwrap();
        objects.iter().find(|each| each["kind"] == kind).map(|each| each["count"].clone())
    };
    assert_eq!((kinds("TABLE"), kinds("FUNCTION")), (Some(4.into()), Some(1.into())));
    let words = err(&desk.run(&["manifest", "show", "latest"]))
        + &out(&desk.run(&["manifest", "show", "latest"]));
    assert!(words.contains("public.users") && words.contains("1005 rows"), "{words}");
    // The same rows in another order have the same digest, and others another one.
    let before = rows(dump, "public.users").1;
    server.sql("app", "CLUSTER users USING users_pkey; UPDATE users SET name = name WHERE id = 1");
    check(&server.snapshot(&desk, &["--pg-no-globals"]), 0);
    let moved = content(&desk, "app.sql");
    assert!(!String::from_utf8_lossy(&moved).contains("FROM stdin;\n1\tuser 1\n2"), "moved rows");
    assert_eq!(rows(&streams(&desk)[0]["dump"], "public.users").1, before);
    server.sql("app", "UPDATE users SET name = 'other' WHERE id = 2");
    check(&server.snapshot(&desk, &["--pg-no-globals"]), 0);
    assert_ne!(rows(&streams(&desk)[0]["dump"], "public.users").1, before);
    let list = desk.json(&["snapshots"], 0)["snapshots"].clone();
    let ids: Vec<&str> =
        list.as_array().unwrap().iter().map(|row| row["snapshot"].as_str().unwrap()).collect();
    let moved = desk.json(&["diff", ids[0], ids[1]], 0);
    let changed = desk.json(&["diff", ids[1], ids[2]], 0);
    // The list is in the order of time, whichever way.
    let tables = [&moved["tables"], &changed["tables"]].map(|each| each.as_array().unwrap().len());
    assert!(tables == [0, 1] || tables == [1, 0], "{moved} {changed}");
    // Without paths, the exported statement has no name of a table.
    check(&desk.run(&["manifest", "export", "latest", "--to", "bundle"]), 0);
    let text = fs::read_dir(desk.path("bundle/manifests")).unwrap().flatten();
    let text: Vec<String> = text.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
    assert!(!text.concat().contains("users"), "{text:?}");
}

#[test]
fn a_dump_that_was_cut_is_no_snapshot() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    fill(&server);
    check(&server.snapshot(&desk, &["--pg-no-globals"]), 0);
    let whole = content(&desk, "app.sql");
    let at = |needle: &str| {
        let text = String::from_utf8_lossy(&whole);
        text.rfind(needle).unwrap()
    };
    let trailer = at("-- PostgreSQL database dump complete");
    let ends = String::from_utf8_lossy(&whole).trim_end().len();
    let cuts = [
        0,
        1,
        30,
        at("COPY public.users"),
        at("500\tuser 500"),
        at("\\.\n"),
        at("\\.\n") + 1,
        at("\\.\n") + 3,
        trailer,
        trailer + 20,
        ends - 1,
    ];
    for (number, cut) in cuts.into_iter().enumerate() {
        let script = format!("real \"$@\" | head -c {cut}");
        let programs = server.programs_with(&desk, &format!("cut{number}"), &script);
        let output = server.snapshot(&desk, &["--pg-no-globals", "--pg-bin", &programs]);
        check(&output, 4);
        assert!(err(&output).contains("app.sql"), "{}", err(&output));
    }
    assert_eq!(count(&desk), 1);
    let script = format!("real \"$@\" | head -c {ends}");
    let programs = server.programs_with(&desk, "blank", &script);
    check(&server.snapshot(&desk, &["--pg-no-globals", "--pg-bin", &programs]), 0);
    // The same in a pipe, where nobody sees the status of the program before.
    let input = |arguments: &[&str]| {
        let mut command =
            desk.command(&[&["snapshot", "--stdin-name", "x.sql"], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&whole[..trailer]).unwrap();
        child.wait_with_output().unwrap()
    };
    check(&input(&[]), 4);
    check(&input(&["--accept-cut-off"]), 0);
}

#[test]
fn a_dump_that_fails_is_no_snapshot() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    fill(&server);
    server.sql(
        "app",
        "CREATE TABLE large AS SELECT i, repeat(md5(i::text), 5) AS x FROM generate_series(1, 150000) i",
    );
    let psql = server.programs.join("psql").display().to_string();
    let goes = format!(
        "set -o pipefail\nreal \"$@\" | (head -c 100000; '{psql}' -X -q -c \"SELECT pg_terminate_backend(pid) FROM \
         pg_stat_activity WHERE application_name = 'sbf-repo' AND query LIKE 'COPY%'\" >&2; cat)"
    );
    let cases = [
        ("fails", "real \"$@\"; exit 1", "exited with code 1"),
        ("killed", "real \"$@\" | head -c 100000; kill -9 $$", "signal 9"),
        ("gone", goes.as_str(), "exited with code 1"),
        ("old", "exit 0", "is empty"),
        ("other", "echo no dump", "is no dump"),
    ];
    for (name, script, words) in cases {
        let programs = server.programs_with(&desk, name, script);
        let output = server.snapshot(&desk, &["--pg-bin", &programs]);
        check(&output, 4);
        assert!(err(&output).contains(words), "{name}: {}", err(&output));
    }
    assert_eq!(count(&desk), 0);
    // A slow program and a full pipe harm nothing.
    let slow = "real \"$@\" | (head -c 100000; sleep 1; cat)";
    let programs = server.programs_with(&desk, "slow", slow);
    check(&server.snapshot(&desk, &["--pg-bin", &programs]), 0);
    assert_eq!(content(&desk, "app.sql"), server.dump("app", &content(&desk, "app.sql")));
}

/// All of the server, and not one session of it: a power failure, or somebody who ends it in a hurry.
#[test]
fn a_server_that_goes_away_in_the_middle_of_a_dump_leaves_no_snapshot() {
    for format in ["plain", "directory"] {
        let Some(server) = Server::start() else { return };
        let desk = Desk::with_repository();
        fs::create_dir(desk.path("scratch")).unwrap();
        fill(&server);
        server.sql(
            "app",
            "CREATE TABLE large AS SELECT i, repeat(md5(i::text), 5) AS x FROM generate_series(1, 300000) i",
        );
        // What `pg_ctl stop -m immediate` sends.
        let postmaster = fs::read_to_string(server.path("data/postmaster.pid")).unwrap();
        let stop = format!("kill -QUIT {}", postmaster.lines().next().unwrap());
        let script = if format == "plain" {
            // The pipe is full until the server is gone.
            format!("set -o pipefail\nreal \"$@\" | (head -c 100000; {stop}; cat)")
        } else {
            let begun = "find \"${@: -1}\" -name '[0-9]*.dat' -size +1000k 2>/dev/null | grep -q .";
            format!("real \"$@\" &\nuntil {begun}; do :; done\n{stop}\nwait $!")
        };
        let programs = server.programs_with(&desk, "stops", &script);
        let mut arguments = vec!["--pg-bin", &programs, "--pg-format", format];
        if format == "directory" {
            arguments.extend(["--pg-scratch", "scratch", "--pg-jobs", "2"]);
        }
        let output = server.snapshot(&desk, &arguments);
        check(&output, 4);
        let words = err(&output);
        assert!(words.contains("exited with code 1"), "{words}");
        assert!(words.contains("server closed the connection unexpectedly"), "{words}");
        assert!(words.contains("no snapshot was made"), "{words}");
        // And the next run, which finds no server.
        let output = server.snapshot(&desk, &[]);
        check(&output, 4);
        assert!(err(&output).contains("connection to server"), "{}", err(&output));
        assert_eq!(count(&desk), 0);
        assert_eq!(fs::read_dir(desk.path("scratch")).unwrap().count(), 0);
    }
}

#[test]
fn an_older_program_and_a_wrong_server_are_refused_before_anything_is_done() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    fill(&server);
    let programs = server.programs_with(&desk, "older", "exit 1");
    let text = fs::read_to_string(desk.path("older/pg_dump")).unwrap();
    put(
        desk.path("older/pg_dump"),
        text.replace(
            "case",
            "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 9.6.1' && exit\ncase",
        ),
    );
    let output = server.snapshot(&desk, &["--pg-bin", &programs]);
    check(&output, 4);
    assert!(err(&output).contains("pg_dump 9 is older"), "{}", err(&output));
    assert!(err(&output).contains("--pg-bin"), "{}", err(&output));
    check(&server.snapshot(&desk, &["--pg-database", "missing"]), 4);
    check(&server.snapshot(&desk, &["--pg-bin", "/nowhere"]), 4);
    for secret in ["dbname=app password=hush", "postgres://u:hush@localhost/app"] {
        let output = server.run(&desk, &["snapshot", "--postgres", secret]);
        check(&output, 2);
        assert!(err(&output).contains(".pgpass"), "{}", err(&output));
        assert!(!err(&output).contains("hush"), "{}", err(&output));
    }
    assert_eq!(count(&desk), 0);
    let url = format!("postgresql:///template1?host={}", server.socket());
    let found = server.run(&desk, &["snapshot", "--postgres", &url, "--pg-database", "app"]);
    check(&found, 0);
    assert!(String::from_utf8_lossy(&content(&desk, "app.sql")).contains("public.users"));
}

#[test]
fn lost_rows_and_tables_are_refused_until_they_are_meant() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    fill(&server);
    check(&server.snapshot(&desk, &[]), 0);
    // Small tables come and go, and half of a table may.
    server.sql("app", "DELETE FROM users WHERE id <= 500; DELETE FROM small");
    check(&server.snapshot(&desk, &["--max-row-drop", "40"]), 14);
    check(&server.snapshot(&desk, &[]), 0);
    server.sql("app", "DELETE FROM users WHERE id > 600");
    let output = server.snapshot(&desk, &[]);
    check(&output, 14);
    assert!(err(&output).contains("public.users has 100 rows"), "{}", err(&output));
    assert!(err(&output).contains("--allow-row-drop"), "{}", err(&output));
    check(&server.snapshot(&desk, &["--allow-row-drop"]), 0);
    server.sql("app", "DROP TABLE small");
    let output = server.snapshot(&desk, &[]);
    check(&output, 14);
    assert!(err(&output).contains("--allow-dropped-table 'public.small'"), "{}", err(&output));
    assert_eq!(count(&desk), 3);
    check(&server.snapshot(&desk, &["--allow-dropped-table", "public.small"]), 0);
    check(&server.snapshot(&desk, &[]), 0);
    assert_eq!(count(&desk), 5);
}

/// What the page of operations says of `psql -1`: an input that ends early looks like all of it.
#[test]
fn half_a_dump_is_never_committed_by_the_database() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    server.sql("postgres", "CREATE DATABASE app");
    server.sql(
        "app",
        "CREATE TABLE large AS SELECT i, md5(i::text) || md5('x' || i) AS x FROM generate_series(1, 200000) i",
    );
    check(&server.snapshot(&desk, &["--pg-no-globals"]), 0);
    let whole = content(&desk, "app.sql");
    server.sql("postgres", "CREATE DATABASE piped");
    server.sql("postgres", "CREATE DATABASE restored");
    let psql = |database: &str| {
        let program = server.programs.join("psql").to_str().unwrap().to_owned();
        let words = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", database];
        [vec![program], words.iter().map(|word| (*word).to_owned()).collect()].concat()
    };
    let words = psql("piped");
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped());
    server.tell(&mut command);
    let mut child = command.spawn().unwrap();
    let half = whole.len() / 2;
    let half = half + whole[half..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    child.stdin.take().unwrap().write_all(&whole[..half]).unwrap();
    let ended = child.wait().unwrap();
    let rows = server.sql("piped", "SELECT count(*) FROM large");
    let rows: u64 = rows.parse().unwrap();
    assert!(ended.success() && 0 < rows && rows < 200_000, "a plain pipe: {ended}, {rows} rows");

    let Some(packs) = directory_of(&desk) else {
        return skip("the repository is in a bucket, whose objects the test does not change");
    };
    damage_large_pack(&packs);
    let words = psql("restored");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let restore = ["restore", "latest:/app.sql", "--to-command", "--"];
    let output = server.run(&desk, &[&restore, &words[..]].concat());
    check(&output, 5);
    let tables = server.sql("restored", "SELECT count(*) FROM pg_class WHERE relname = 'large'");
    assert_eq!(tables, "0", "half of a database was committed");
}

fn directory_of(desk: &Desk) -> Option<PathBuf> {
    Some(desk.path("repo/packs")).filter(|packs| Path::exists(packs))
}
