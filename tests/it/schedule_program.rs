//! What runs by itself, and what should have and did not.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use crate::scratch::skip;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;

fn status(desk: &Desk, exit: i32) -> Value {
    json(desk, &["status"], exit)["status"].clone()
}

fn missed(status: &Value) -> Vec<String> {
    let missed = status["missed"].as_array().unwrap().iter();
    missed.map(|missed| missed["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn runs_that_did_not_happen_are_missed() {
    let text = "[job.docs]\nkind = 'files'\npaths = ['data']\nschedule = '*-*-* *:*:00/1 UTC'\ngrace = '0s'\n\
                [job.later]\nkind = 'files'\npaths = ['data']\nschedule = '*-01-01'\nsource = 'other'\n";
    let desk = desk(text);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["snapshot", "data", "--source", "other"]), 0);
    std::thread::sleep(Duration::from_secs(4));
    let found = status(&desk, 6);
    assert_eq!(missed(&found), ["run"]);
    assert!(found["jobs"]["docs"]["missed_runs"].as_u64().unwrap() >= 2, "{found}");
    assert_eq!(found["jobs"]["later"]["missed_runs"], 0);
    assert!(
        found["jobs"]["docs"]["next_run"].is_string()
            && found["jobs"]["later"]["next_run"].is_string()
    );
    // In its grace a run may still come.
    desk.put("config.toml", text.replace("'0s'", "'1h'").as_bytes());
    assert_eq!(missed(&status(&desk, 0)), Vec::<String>::new());
}

#[test]
fn days_of_which_nothing_is_left_are_told() {
    let text = "[job.docs]\nkind = 'files'\npaths = ['data']\nschedule = '*-*-* 00:00:01 UTC'\nrpo = '26h'\n\
                [retention]\ndaily = 7\n";
    let desk = desk(text);
    assert_eq!(missed(&status(&desk, 6)), ["age"]);
    let day = |ago: i64| {
        let now = jiff::Timestamp::now().as_second() - ago * 86_400;
        jiff::Timestamp::from_second(now).unwrap().to_string()
    };
    for ago in [5, 3, 2, 0] {
        let time = ["snapshot", "data", "--source", "docs", "--time", &day(ago)];
        check(&desk.run(&time), 0);
    }
    let found = status(&desk, 6);
    let lacks: Vec<&str> = found["jobs"]["docs"]["retention_lacks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day.as_str().unwrap())
        .collect();
    assert_eq!(lacks, [&day(1)[..10], &day(4)[..10]]);
    assert_eq!(missed(&found), ["retention"]);
    let words = run(&desk, &["status"]);
    assert!(err(&words).contains("docs has no snapshot of"), "{}", err(&words));
}

#[test]
fn copies_may_be_so_far_behind_and_no_further() {
    let text = "[[copy]]\nname = 'near'\nurl = 'near'\nmode = 'snapshots'\nkey_file = 'near.key'\nmax_lag = '1d'\n\
                [job.docs]\nkind = 'files'\npaths = ['data']\n";
    let desk = desk(text);
    let far = run(&desk, &["status"]);
    check(&far, 6);
    assert!(err(&far).contains("the copy near cannot be looked at"), "{}", err(&far));
    check(&desk.run(&["--repo", "near", "--key-file", "near.key", "init"]), 0);
    check(
        &desk.run(&["snapshot", "data", "--source", "docs", "--time", "2026-01-01T00:00:00Z"]),
        0,
    );
    assert_eq!(missed(&status(&desk, 6)), ["copy"]);
    check(&run(&desk, &["copy", "--to", "near"]), 0);
    assert_eq!(missed(&status(&desk, 0)), Vec::<String>::new());
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let behind = run(&desk, &["status"]);
    check(&behind, 6);
    assert!(err(&behind).contains("the copy near is too far behind"), "{}", err(&behind));
    check(&run(&desk, &["status", "--no-copies"]), 0);
}

#[test]
fn plugins_of_nagios_and_prometheus_are_told_in_their_words() {
    let desk = desk("[job.docs]\nkind = 'files'\npaths = ['data']\nrpo = '26h'\n");
    let nagios = |exit: i32, words: &str| {
        let output = run(&desk, &["status", "--format", "nagios"]);
        check(&output, exit);
        assert!(
            out(&output).starts_with(words) && out(&output).lines().count() == 1,
            "{}",
            out(&output)
        );
    };
    nagios(2, "SBF-REPO CRITICAL - docs has no complete snapshot");
    check(&run(&desk, &["run", "docs"]), 0);
    nagios(0, "SBF-REPO OK - 1 source as expected | oldest_age=");
    let text = run(&desk, &["status", "--format", "prometheus"]);
    check(&text, 0);
    let families = out(&text).lines().filter(|line| line.starts_with("# TYPE")).count();
    assert!(
        families > 5 && out(&text).contains("sbf_repo_run_exit_code{job=\"docs\"} 0"),
        "{}",
        out(&text)
    );
    desk.put(
        "config.toml",
        b"[job.docs]\nkind = 'files'\npaths = ['data']\n[check]\nmax_age = '30d'\n",
    );
    nagios(0, "SBF-REPO OK");
    let gone = desk.run(&["--repo", "nothing", "status", "--format", "nagios"]);
    check(&gone, 3);
    assert!(out(&gone).starts_with("SBF-REPO UNKNOWN - "), "{}", out(&gone));
}

const TIMED: &str = "[repository]\nurl = 'repo'\npassword = { credential = 'word' }\n\
    [job.docs]\nkind = 'files'\npaths = ['data']\nschedule = 'Mon..Fri *-*-* 02:00:00 UTC'\n\
    [job.dump]\nkind = 'command'\nfile = 'x'\ncommand = ['true']\nschedule = 'daily'\n\
    [job.config]\nkind = 'files'\npaths = ['data']\ntrigger = 'deployment'\n\
    [maintenance]\nprune = 'Sun *-*-* 05:00:00'\n";

#[test]
fn units_are_written_once_and_removed_with_what_they_were_for() {
    let desk = desk(TIMED);
    let place = ["--directory", "units", "--no-enable"];
    let install = |exit: i32| {
        let report = json(&desk, &[&["schedule", "install"], &place[..]].concat(), exit);
        let count = |name: &str| report[name].as_array().map(Vec::len);
        (count("written"), count("removed"))
    };
    assert_eq!(install(0), (Some(6), Some(0)));
    assert_eq!(install(0), (Some(0), Some(0)));
    let unit = |name: &str| fs::read_to_string(desk.path("units").join(name)).unwrap();
    let service = unit("sbf-repo-job-docs.service");
    let config = desk.path("config.toml").display().to_string();
    assert!(service.contains(&format!("--config {config} run docs\n")), "{service}");
    for wanted in ["LoadCredential=word\n", "ProtectSystem=strict\n", "ReadWritePaths=-"] {
        assert!(service.contains(wanted), "{service}");
    }
    assert!(!unit("sbf-repo-job-dump.service").contains("ProtectSystem"));
    assert!(unit("sbf-repo-job-docs.timer").contains("OnCalendar=Mon..Fri *-*-* 02:00:00 UTC\n"));
    assert!(unit("sbf-repo-task-prune.service").contains("run --task=prune\n"));
    verify_units(&desk);
    // With somebody to be told, what fails is told, and what waits is sent.
    let channel = "[[notify.channel]]\nname = 'chat'\nkind = 'command'\ncommand = ['true']\n";
    desk.put("config.toml", format!("{TIMED}{channel}").as_bytes());
    assert_eq!(install(0).1, Some(0));
    let service = unit("sbf-repo-job-docs.service");
    assert!(service.contains("OnFailure=sbf-repo-failed@docs.service\n"), "{service}");
    let service = unit("sbf-repo-failed@.service");
    assert!(service.contains("alert tell failure %i\n"), "{service}");
    verify_units(&desk);
    let cron = run(&desk, &["schedule", "show", "--cron"]);
    assert!(out(&cron).contains("--quiet alert tick\n"), "{}", out(&cron));
    desk.put("config.toml", TIMED.as_bytes());
    assert_eq!(install(0).1, Some(3));
    // What is no longer in the file goes; what somebody else wrote stays, and is not overwritten.
    desk.put("units/sbf-repo-job-mine.service", b"[Unit]\n");
    desk.put("config.toml", TIMED.replace("schedule = 'daily'\n", "").as_bytes());
    assert_eq!(install(0), (Some(0), Some(2)));
    desk.put("units/sbf-repo-job-docs.timer", b"[Timer]\n");
    assert_eq!(install(14).0, None);
    let removed = run(&desk, &[&["schedule", "remove"], &place[..]].concat());
    check(&removed, 0);
    let left = fs::read_dir(desk.path("units")).unwrap().count();
    assert_eq!(left, 2, "{}", err(&removed));
}

/// With systemd's own eyes, where it is.
fn verify_units(desk: &Desk) {
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else {
        skip("there is no systemd-analyze");
        return;
    };
    assert!(found.status.success());
    let units = fs::read_dir(desk.path("units")).unwrap().map(|entry| entry.unwrap().path());
    let verified = Command::new("systemd-analyze").arg("verify").args(units).output().unwrap();
    assert!(verified.status.success() && err(&verified).is_empty(), "{}", err(&verified));
    for calendar in
        ["Mon..Fri *-*-* 02:00:00 UTC", "*:0/20", "Sat,Sun,Mon 01:00", "quarterly", "*-02-29"]
    {
        let output = Command::new("systemd-analyze").args(["calendar", calendar]).output().unwrap();
        assert!(output.status.success(), "{calendar}");
    }
}

#[test]
fn lines_of_cron_say_the_same_or_are_refused() {
    let desk = desk(TIMED);
    let shown = run(&desk, &["schedule", "show", "--cron"]);
    check(&shown, 0);
    let line = format!("0 2 * * 1,2,3,4,5 root {} --config", env!("CARGO_BIN_EXE_sbf-repo"));
    assert!(
        out(&shown).contains(&line) && out(&shown).contains("--quiet run docs\n"),
        "{}",
        out(&shown)
    );
    check(&run(&desk, &["schedule", "install", "--cron", "--directory", "cron"]), 0);
    assert_eq!(fs::read_to_string(desk.path("cron/sbf-repo")).unwrap(), out(&shown));
    check(&run(&desk, &["schedule", "remove", "--cron", "--directory", "cron"]), 0);
    assert_eq!(fs::read_dir(desk.path("cron")).unwrap().count(), 0);
    desk.put("config.toml", TIMED.replace("'daily'", "'Fri *-*-13 00:00'").as_bytes());
    let refused = run(&desk, &["schedule", "show", "--cron"]);
    check(&refused, 2);
    assert!(err(&refused).contains("of dump: cron takes"), "{}", err(&refused));
}

#[test]
fn a_line_break_never_becomes_a_line_of_a_unit_or_of_cron() {
    let desk = desk(
        &TIMED.replace("url = 'repo'", "url = \"re\\n[Service]\\nExecStartPre=/bin/true\\n#\""),
    );
    for arguments in [
        &["schedule", "show", "--systemd"][..],
        &["schedule", "install", "--directory", "units", "--no-enable"],
    ] {
        let output = run(&desk, arguments);
        check(&output, 2);
        assert!(err(&output).contains("holds a line break"), "{}", err(&output));
    }
    let folder = "n\n* * * * * root true #";
    fs::create_dir(desk.path(folder)).unwrap();
    desk.put(&format!("{folder}/c.toml"), TIMED.as_bytes());
    let file = format!("{folder}/c.toml");
    let output = desk.run(&["--config", &file, "schedule", "show", "--cron"]);
    check(&output, 2);
    assert!(err(&output).contains("holds a line break"), "{}", err(&output));
}

#[test]
fn what_is_due_is_shown_with_its_last_run() {
    let desk = desk(&TIMED.replace("password = { credential = 'word' }\n", ""));
    check(&run(&desk, &["run", "dump"]), 0);
    let report = json(&desk, &["schedule", "show"], 0);
    let rows = report["schedules"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["docs", "dump", "prune"]);
    assert_eq!(rows[1]["last_run"]["exit_code"], 0);
    assert!(
        rows.iter().all(|row| row["next"].is_string() && row["is_of_this_host"] == true),
        "{report}"
    );
    desk.put("config.toml", b"[repository]\nurl = 'repo'\n");
    check(&run(&desk, &["schedule", "install", "--directory", "units", "--no-enable"]), 2);
}
