//! Drills that prove less than it seems are no pass, and say what stays of what they brought back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use crate::drill_program::Exercise;
use crate::drill_program::SCRATCH;
use crate::drill_program::detail;
use crate::scratch::put;
use crate::scratch::skip;
use crate::support::bytes_of;
use crate::support::send;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const FILES: &str = "[job.docs]\nkind = 'files'\npaths = ['data']\n\
     [drill.docs]\njob = 'docs'\ntarget = 'files'\nscratch = 'room'\n";

/// A drill of the source `one`, whose stream goes to this script.
fn to_script(name: &str, script: &str) -> String {
    format!(
        "[drill.{name}]\nsource = 'one'\ntarget = 'command'\nscratch = 'room'\ncommand = ['sh', '-c', '{script}']\n"
    )
}

/// A desk with a snapshot of files and one of a stream of some length.
fn prepared(configuration: &str, bytes: usize) -> Desk {
    let desk = desk(configuration);
    fs::create_dir(desk.path("room")).unwrap();
    check(&run(&desk, &["snapshot", "data", "--source", "docs"]), 0);
    desk.put("stream", &bytes_of(3, bytes, 256));
    let stream = ["snapshot", "--source", "one", "--stdin-name", "x", "--from-command", "--"];
    check(&desk.run(&[&stream[..], &["cat", "stream"]].concat()), 0);
    desk
}

fn drill(desk: &Desk, name: &str, exit: i32) -> Value {
    json(desk, &["drill", "run", name], exit)["drill"].clone()
}

#[test]
fn a_sign_off_that_no_reader_would_take_is_not_stored() {
    let desk = prepared(FILES, 10);
    drill(&desk, "docs", 0);
    let long = "x".repeat(2049);
    for arguments in [["--by", &long], ["--by", " \t"], ["--words", &long], ["--function", &long]] {
        let by = if arguments[0] == "--by" { vec![] } else { vec!["--by", "Berta"] };
        let sign = [&["drill", "sign-off", "docs"][..], &by, &arguments].concat();
        check(&run(&desk, &sign), 2);
    }
    assert_eq!(desk.json(&["drill", "show"], 0)["drill"]["sign_offs"], serde_json::json!([]));
    check(&run(&desk, &["drill", "sign-off", "docs", "--by", &long[..2048]]), 0);
    check(&desk.run(&["drill", "list"]), 0);
    check(&desk.run(&["check"]), 0);
}

#[test]
fn a_command_that_does_not_take_all_of_a_file_proves_nothing() {
    let scripts = [
        ("nothing", "exit 0"),
        ("begin", "head -c 100 > /dev/null"),
        ("closed", "exec 0<&-; sleep 0.3; exit 0"),
        ("wrong", "exec 0<&-; sleep 0.1; exit 3"),
        ("all", "sleep 0.1; cat > /dev/null"),
    ];
    let sections: Vec<String> =
        scripts.iter().map(|(name, script)| to_script(name, script)).collect();
    for bytes in [10, 1_000_000] {
        let desk = prepared(&format!("{FILES}{}", sections.concat()), bytes);
        for name in ["nothing", "closed"] {
            let drill = drill(&desk, name, 7);
            let why = detail(&drill, "restore", "not-verified");
            assert_eq!(why, "the command did not take all of it");
            assert_eq!(detail(&drill, "command", "pass"), "the command exited with code 0");
            assert_eq!(
                (&drill["rto_milliseconds"], &drill["scratch"]),
                (&Value::Null, &"kept".into())
            );
        }
        if bytes > 100_000 {
            detail(&drill(&desk, "begin", 7), "restore", "not-verified");
        }
        let why = detail(&drill(&desk, "wrong", 6), "command", "fail");
        assert!(why.contains("exited with code 3"), "{why}");
        let whole = drill(&desk, "all", 0);
        assert_eq!(detail(&whole, "restore", "pass"), format!("the command took {bytes} bytes"));
        assert_eq!(whole["scratch"], "kept");
    }
}

/// How many runs of the only erasure are pending.
fn pending(desk: &Desk, exit: i32) -> u64 {
    let status = json(desk, &["erasure", "status"], exit);
    status["erasures"][0]["pending_count"].as_u64().unwrap()
}

/// The runs of the only erasure that are pending.
fn pending_runs(desk: &Desk) -> Vec<String> {
    let status = json(desk, &["erasure", "status"], 6);
    let runs = status["erasures"][0]["runs"].as_array().unwrap().clone();
    let runs = runs.iter().filter(|run| run["is_done"] == false);
    runs.map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_command_was_given_is_not_wiped_and_stays_to_be_erased() {
    let text = [
        "[erasure]\nreplay = ['true']\n",
        FILES,
        &to_script("filled", "cat > filled; exit 1"),
        &to_script("all", "cat > /dev/null"),
    ];
    let desk = prepared(&text.concat(), 10);
    check(&run(&desk, &["erasure", "add", "--source", "one", "--subject", "customer-17"]), 0);
    let told = run(&desk, &["drill", "run", "filled"]);
    check(&told, 6);
    assert!(err(&told).contains("--done --words"), "{}", err(&told));
    assert_eq!(json(&desk, &["drill", "show", "filled"], 0)["drill"]["drill"]["scratch"], "kept");
    assert_eq!(pending(&desk, 6), 1);
    // That another one erases again does not erase there.
    detail(&drill(&desk, "all", 0), "erasures", "pass");
    let runs = pending_runs(&desk);
    assert_eq!(runs.len(), 1);
    let none = run(&desk, &["erasure", "replay", &runs[0], "--target", "/nonexistent"]);
    check(&none, 2);
    assert!(err(&none).contains("is no directory"), "{}", err(&none));
    check(&run(&desk, &["erasure", "replay", &runs[0], "--done", "--words", "shredded"]), 0);
    assert_eq!(pending(&desk, 0), 0);
}

#[test]
fn what_a_killed_drill_brought_back_stays_to_be_erased() {
    let look = "[drill.look]\njob = 'docs'\ntarget = 'command'\nscratch = 'room'\n\
         command = ['sh', '-c', 'touch @BEGUN@; sleep 5']\n";
    let desk = prepared(&["[erasure]\nreplay = ['true']\n", FILES].concat(), 10);
    let begun = desk.path("begun");
    let file = fs::read_to_string(desk.path("config.toml")).unwrap()
        + &look.replace("@BEGUN@", begun.to_str().unwrap());
    let without =
        file.replace("replay = ['true']", "replay = ['sh', '-c', 'touch @BEGUN@; sleep 5']");
    desk.put("config.toml", without.replace("@BEGUN@", begun.to_str().unwrap()).as_bytes());
    check(&run(&desk, &["erasure", "add", "--source", "docs", "--subject", "customer-17"]), 0);
    let mut command = desk.command(&["--config", "config.toml", "drill", "run", "docs", "-q"]);
    let mut child = command.spawn().unwrap();
    await_file(&begun);
    child.kill().unwrap();
    child.wait().unwrap();
    desk.put("config.toml", file.as_bytes());
    detail(&drill(&desk, "docs", 0), "erasures", "pass");
    assert_eq!(pending_runs(&desk).len(), 1);
}

fn await_file(path: &Path) {
    for _look in 0..3000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(path.exists(), "{} never came", path.display());
}

#[test]
fn a_drill_is_of_its_own_source_and_of_all_that_it_says() {
    let part =
        "[drill.part]\njob = 'docs'\ntarget = 'files'\nscratch = 'room'\npath = '@DATA@/a.txt'\n";
    let desk = prepared(FILES, 10);
    let data = desk.path("data");
    let data = data.to_str().unwrap();
    let file = format!("{FILES}{}", part.replace("@DATA@", data));
    desk.put("config.toml", file.as_bytes());
    let other = run(&desk, &["drill", "run", "docs", "one@latest"]);
    check(&other, 2);
    assert!(err(&other).contains("is of the source `one`"), "{}", err(&other));
    let selector = format!("docs@latest:{data}/a.txt");
    check(&run(&desk, &["drill", "run", "docs", &selector]), 2);
    check(&run(&desk, &["drill", "run", "part", &selector]), 0);
    check(&run(&desk, &["drill", "run", "docs", "docs@latest"]), 0);
    assert_eq!(desk.json(&["drill", "list"], 0)["drills"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_told_is_refused_before_the_drill() {
    let scenario =
        "[drill.all]\ntarget = 'scenario'\n[[drill.all.step]]\nwords = 'go'\nconfirm = true\n";
    let look = "[drill.look]\njob = 'docs'\ntarget = 'command'\nscratch = 'room'\n\
         command = ['sh', '-c', 'printf \"\\\\033[31mred\" >&2; exit 1']\n";
    let desk = prepared(&format!("{FILES}{scenario}{look}"), 10);
    check(&run(&desk, &["drill", "run", "docs", "--junit", "/nonexistent/x.xml"]), 2);
    check(&run(&desk, &["drill", "run", "all", "--confirmed-by", " "]), 2);
    assert_eq!(desk.json(&["drill", "list"], 0)["drills"].as_array().unwrap().len(), 0);
    let told = run(&desk, &["drill", "run", "look"]);
    check(&told, 6);
    let told = err(&told);
    assert!(told.contains("[31mred") && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn an_erasure_that_cannot_be_read_is_no_pass() {
    let desk = prepared(&["[erasure]\nreplay = ['true']\n", FILES].concat(), 10);
    let add = ["erasure", "add", "--source", "docs", "--subject", "customer-17"];
    check(&run(&desk, &add), 0);
    check(&run(&desk, &add), 0);
    let records = desk.place.keys("records/erasure");
    desk.place.alter(&records[0], |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let answer = run(&desk, &["drill", "run", "docs", "--json"]);
    check(&answer, 7);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let why = detail(&answer["drill"], "erasures", "not-verified");
    assert!(why.contains("a record of an erasure cannot be read"), "{why}");
}

#[test]
fn a_source_that_nothing_has_is_told() {
    let desk = prepared(FILES, 10);
    for (source, is_told) in [("nosuch", true), ("docs", false), ("one", false)] {
        let added = run(&desk, &["erasure", "add", "--source", source, "--subject", "17"]);
        check(&added, 0);
        let told = err(&added);
        assert_eq!(told.contains("no snapshot and no job has the source"), is_told, "{told}");
    }
}

#[test]
fn a_cold_drill_is_of_this_repository_and_leaves_nothing() {
    let desk = prepared(FILES, 10);
    if desk.place.is_bucket() {
        return skip("a kit has no credentials for this place");
    }
    let kit = desk.run(&["key", "recovery-kit"]);
    check(&kit, 0);
    let kit = String::from_utf8(kit.stdout).unwrap();
    let location = kit.lines().find_map(|line| line.strip_prefix("location ")).unwrap().to_owned();
    let copied = std::process::Command::new("cp")
        .args(["-r", "repo", "other"])
        .current_dir(desk.path(""))
        .status();
    assert!(copied.unwrap().success());
    let other = desk.path("other").to_str().unwrap().to_owned();
    let kits = [("kit", kit.clone()), ("other-kit", kit.replace(&location, &other))];
    for (name, text) in kits {
        put(desk.path(name), text);
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir(desk.path("temporary")).unwrap();
    let cold = |kit: &str, more: &[&str]| {
        let arguments = ["--config", "config.toml", "drill", "run", "docs", "--cold", "--kit", kit];
        let mut command = desk.command(&[&arguments, more].concat());
        let output = command.env("TMPDIR", desk.path("temporary")).output().unwrap();
        assert_eq!(fs::read_dir(desk.path("temporary")).unwrap().count(), 0);
        output
    };
    check(&cold("kit", &[]), 0);
    let refused = cold("other-kit", &[]);
    check(&refused, 2);
    assert!(err(&refused).contains("the kit is of a repository elsewhere"), "{}", err(&refused));
    check(&cold("other-kit", &["--repo", &other]), 0);
}

#[test]
fn erasures_that_only_the_copy_has_are_erased_again_too() {
    let copy = "[[copy]]\nname = 'near'\nurl = 'near'\nmode = 'snapshots'\nkey_file = 'near.key'\n";
    let desk = prepared(&[FILES, copy].concat(), 10);
    check(&desk.run(&["--repo", "near", "--key-file", "near.key", "init"]), 0);
    check(&run(&desk, &["copy", "--to", "near"]), 0);
    let there = ["--repo", "near", "--key-file", "near.key"];
    let add = ["erasure", "add", "--source", "docs", "--subject", "customer-17"];
    check(&desk.run(&[&there[..], &add].concat()), 0);
    drill(&desk, "docs", 0);
    let of_copy = json(&desk, &["drill", "run", "docs", "--from-copy", "near"], 7)["drill"].clone();
    let why = detail(&of_copy, "erasures", "not-verified");
    assert!(why.contains("no `replay` is configured"), "{why}");
}

#[test]
fn a_replay_has_the_last_word_of_its_run_whatever_the_clock_says() {
    let desk = prepared(FILES, 10);
    let add = ["erasure", "add", "--source", "docs", "--subject", "customer-17"];
    let erasure = json(&desk, &add, 0)["erasure"].clone();
    let snapshot =
        json(&desk, &["snapshots", "--source", "docs"], 0)["snapshots"][0]["snapshot"].clone();
    let (run_name, later) = ("ab".repeat(16), "2099-01-01T00:00:00Z");
    let members = serde_json::json!({
        "time": later, "host": "ahead", "erasures": [erasure], "snapshot": snapshot,
        "operation": "restore", "run": run_name, "is_done": false, "words": "it failed",
    });
    let key = sbf_repo::KeyFile::parse(&fs::read_to_string(desk.path("key")).unwrap());
    let environment = std::sync::Arc::new(sbf_repo::SystemEnvironment::new());
    let options = desk.place.open_options(environment);
    let options = options.with_cache(desk.path("cache")).with_state(desk.path("state"));
    let credential = sbf_repo::Credential::KeyFile(key.unwrap());
    let repository = sbf_repo::ops::location::open(&options, &credential).unwrap();
    let record: sbf_repo::format::attest::erasure::Replay =
        serde_json::from_value(members).unwrap();
    sbf_repo::testing::attest_in(&repository, &record).unwrap();
    assert_eq!(pending_runs(&desk), [run_name.as_str()]);
    check(&run(&desk, &["erasure", "replay", &run_name, "--done", "--words", "gone"]), 0);
    assert_eq!(pending(&desk, 0), 0);
}

/// Stores the database and what `sed` makes of the roles.
fn store_with_roles(exercise: &Exercise, script: &str) {
    let dump = exercise.server.programs.join("pg_dump");
    let dump = format!("app.sql=sh -c '{} -d app'", dump.display());
    let globals = exercise.server.programs.join("pg_dumpall");
    let globals =
        format!("globals.sql=sh -c '{} --globals-only | sed \"{script}\"'", globals.display());
    let arguments = ["snapshot", "--source", "db", "--stream", &globals, "--stream", &dump];
    check(&exercise.server.run(&exercise.desk, &arguments), 0);
}

#[test]
fn whatever_the_superuser_of_the_source_is_the_drill_has_its_own() {
    let Some(exercise) = Exercise::start(&format!("{SCRATCH}redump = false\n")) else { return };
    crate::postgres_server::fill(&exercise.server);
    exercise.server.sql("postgres", "CREATE ROLE one; CREATE ROLE two; GRANT one TO two");
    store_with_roles(
        &exercise,
        "s/^ALTER ROLE postgres WITH.*/ALTER ROLE postgres WITH NOSUPERUSER NOLOGIN;/",
    );
    let drill = exercise.drill(&[], 0);
    detail(&drill, "roles", "pass");
    detail(&drill, "restore", "pass");
    // Without roles, the owner of most dumps is there.
    let dump = exercise.server.programs.join("pg_dump");
    let dump = format!("app.sql={} -d app", dump.display());
    let alone = ["snapshot", "--source", "db", "--stream", &dump];
    check(&exercise.server.run(&exercise.desk, &alone), 0);
    let drill = exercise.drill(&[], 0);
    assert!(!drill["checks"].to_string().contains("roles"), "{drill}");
}

const URL: &str = "[drill.d]\nsource = 'db'\ntarget = 'url'\nscratch = '@SCRATCH@'\n\
     dsn = 'host=@SOCKET@ user=postgres dbname=postgres'\n";

#[test]
fn databases_that_stay_on_a_staging_server_are_named() {
    let Some(exercise) = Exercise::start(URL) else { return };
    exercise.back_up(&[]);
    // What a drill left that was killed outright.
    exercise.server.sql("postgres", "CREATE DATABASE sbf_drill_0123456789ab");
    let told = exercise.run(&["drill", "run", "d"]);
    check(&told, 0);
    assert!(err(&told).contains("DROP DATABASE sbf_drill_0123456789ab"), "{}", err(&told));
    exercise.server.sql("postgres", "DROP DATABASE sbf_drill_0123456789ab");
    // One that cannot be dropped.
    let programs = programs_with_psql(&exercise, "*'DROP DATABASE'*) echo no >&2; exit 1;;");
    exercise.configure(&format!("{URL}amcheck = false\nprograms = '{programs}'\n"));
    let told = exercise.run(&["drill", "run", "d"]);
    check(&told, 6);
    let name = exercise
        .server
        .sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'sbf_drill%'");
    let words = format!("what was brought back is not gone: database {name}");
    assert!(name.starts_with("sbf_drill_") && err(&told).contains(&words), "{}", err(&told));
    let shown = exercise.json(&["drill", "show"], 0)["drill"]["drill"].clone();
    assert!(detail(&shown, "wipe", "fail").contains(&name), "{shown}");
    assert_eq!(shown["scratch"], "failed");
}

/// A directory of programs, in which `psql` looks at its words first.
fn programs_with_psql(exercise: &Exercise, case: &str) -> String {
    let programs = exercise.server.programs_with(&exercise.desk, "programs", "real \"$@\"");
    let (path, real) = (Path::new(&programs).join("psql"), exercise.server.programs.join("psql"));
    fs::remove_file(&path).unwrap();
    let text = format!("#!/bin/sh\ncase \"$*\" in {case} esac\nexec '{}' \"$@\"\n", real.display());
    put(&path, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    programs
}

#[test]
fn a_drill_that_is_stopped_while_its_database_is_made_leaves_none() {
    let Some(exercise) = Exercise::start(URL) else { return };
    exercise.back_up(&[]);
    let begun = exercise.desk.path("begun");
    let slow = format!("*'CREATE DATABASE'*) touch '{}'; sleep 1;;", begun.display());
    let programs = programs_with_psql(&exercise, &slow);
    exercise.configure(&format!("{URL}programs = '{programs}'\n"));
    let mut command = exercise.desk.command(&["--config", "config.toml", "drill", "run", "d"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    await_file(&begun);
    send(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    check(&output, 143);
    assert!(err(&output).contains("what came back was wiped"), "{}", err(&output));
    let names = exercise.server.sql("postgres", "SELECT datname FROM pg_database ORDER BY 1");
    assert_eq!(names, "app\npostgres\ntemplate0\ntemplate1");
}

#[test]
fn a_scratch_directory_that_is_closed_to_the_server_is_named() {
    if !rustix::process::geteuid().is_root() {
        return skip("the server runs as who starts it");
    }
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    exercise.back_up(&[]);
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(exercise.scratch.path(), mode).unwrap();
    let why = detail(&exercise.drill(&[], 7), "restore", "not-verified");
    let place = exercise.scratch.path().to_str().unwrap();
    assert!(why.contains("must let user") && why.contains(place), "{why}");
}
