//! Jobs of the configuration file: what a run does, in which order, and what is left when a step fails.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use crate::support::send;
use crate::support::wait_for;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::process::Child;
use std::process::Stdio;
use std::time::Duration;

/// Each step with its outcome.
fn steps(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    let words = |step: &Value| {
        format!("{} {}", step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap())
    };
    steps.map(words).collect()
}

fn count(desk: &Desk) -> usize {
    desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len()
}

/// Hooks that write down what they are told.
const HOOKS: &str = r#"hooks = { before = ["sh", "-c", "echo before $SBF_REPO_HOOK_JOB >> log"], after = ["sh", "-c", "echo after ${#SBF_REPO_HOOK_SNAPSHOT} >> log"], on_failure = ["sh", "-c", "echo on_failure $SBF_REPO_HOOK_EXIT_CODE $SBF_REPO_HOOK_TROUBLE >> log"], always = ["sh", "-c", "echo always $SBF_REPO_HOOK_EXIT_CODE >> log"] }
"#;

fn log(desk: &Desk) -> String {
    let log = fs::read_to_string(desk.path("log")).unwrap_or_default();
    fs::remove_file(desk.path("log")).ok();
    log
}

#[test]
fn a_run_backs_up_and_does_what_belongs_to_it() {
    let text = format!(
        "[job.docs]\nkind = 'files'\npaths = ['data']\ntags = ['nightly']\n{HOOKS}\
         [retention]\nlast = 1\n[check]\nmax_age = '30d'\n\
         [[copy]]\nname = 'near'\nurl = 'near'\nmode = 'snapshots'\nkey_file = 'near.key'\n\
         [metrics]\ntextfile = 'm.prom'\n"
    );
    let desk = desk(&text);
    check(&desk.run(&["--repo", "near", "--key-file", "near.key", "init"]), 0);
    let shown = run(&desk, &["run", "docs", "--dry-run"]);
    check(&shown, 0);
    let line = format!(
        "snapshot: sbf-repo snapshot --source=docs --tag=nightly -- {}",
        desk.path("data").display()
    );
    assert!(out(&shown).contains(&line), "{}", out(&shown));
    assert_eq!((count(&desk), log(&desk).as_str()), (0, ""));
    let first = json(&desk, &["run", "docs"], 0);
    let expected = [
        "hook before done",
        "snapshot done",
        "hook after done",
        "forget done",
        "prune done",
        "copy near done",
        "check done",
        "hook on_failure left_out",
        "hook always done",
    ];
    assert_eq!(steps(&first), expected);
    assert_eq!(log(&desk), "before docs\nafter 32\nalways 0\n");
    let id = first["snapshot"].as_str().unwrap();
    let check_step =
        first["steps"].as_array().unwrap().iter().find(|step| step["step"] == "check").unwrap();
    assert!(
        check_step["report"]["data"].is_object() || check_step["report"].is_object(),
        "{check_step}"
    );
    let metrics = fs::read_to_string(desk.path("m.prom")).unwrap();
    for wanted in [
        "sbf_repo_repository_readable 1\n",
        "sbf_repo_snapshots{source=\"docs\"} 1\n",
        "sbf_repo_run_exit_code{job=\"docs\"} 0\n",
        "sbf_repo_copy_behind_seconds{copy=\"near\"} 0\n",
    ] {
        assert!(metrics.contains(wanted), "{metrics}");
    }
    // The next run replaces the snapshot, and the share that is due was read a moment ago.
    desk.put("data/a.txt", b"second");
    let second = json(&desk, &["run", "docs"], 0);
    assert!(!steps(&second).iter().any(|step| step.starts_with("check")), "{second}");
    assert_eq!(count(&desk), 1);
    assert_ne!(second["snapshot"].as_str().unwrap(), id);
    let near = ["--repo", "near", "--key-file", "near.key", "snapshots"];
    assert_eq!(desk.json(&near, 0)["snapshots"].as_array().unwrap().len(), 2);
    // Success says nothing.
    let quiet = run(&desk, &["run", "docs", "--quiet"]);
    check(&quiet, 0);
    assert_eq!((out(&quiet), err(&quiet)), (String::new(), String::new()));
}

#[test]
fn what_fails_leaves_out_what_stands_on_it_and_nothing_else() {
    let job = |name: &str, more: &str| format!("[job.{name}]\n{more}\n{HOOKS}");
    let text = [
        job("gone", "kind = 'files'\npaths = ['data', 'nothing']"),
        job("dump", "kind = 'command'\nfile = 'x.sql'\ncommand = ['sh', '-c', 'echo x; exit 3']"),
        job("good", "kind = 'files'\npaths = ['data']"),
        "[retention]\ndaily = 7\n[[copy]]\nname = 'away'\nurl = 'away'\nmode = 'snapshots'\nkey_file = 'key'\n".to_owned(),
    ]
    .concat();
    let desk = desk(&text);
    // A source that is not there is no snapshot, and no warning.
    let gone = json(&desk, &["run", "gone"], 1);
    let expected = [
        "hook before done",
        "snapshot failed",
        "hook after left_out",
        "forget left_out",
        "prune left_out",
        "copy away left_out",
        "hook on_failure done",
        "hook always done",
    ];
    assert_eq!(steps(&gone), expected);
    let log_of = log(&desk);
    assert!(
        log_of.contains("on_failure 1 snapshot: cannot find") && log_of.ends_with("always 1\n"),
        "{log_of}"
    );
    let dump = run(&desk, &["run", "dump"]);
    check(&dump, 4);
    assert!(
        err(&dump).contains("error: dump failed after")
            && err(&dump).contains("exited with code 3"),
        "{}",
        err(&dump)
    );
    assert_eq!(count(&desk), 0);
    log(&desk);
    // A copy that cannot be made leaves the snapshot, and is the exit code.
    let good = json(&desk, &["run", "good"], 10);
    assert!(steps(&good).contains(&"copy away failed".to_owned()), "{good}");
    assert!(good["trouble"].as_str().unwrap().starts_with("copy away: "), "{good}");
    assert_eq!(log(&desk).lines().last(), Some("always 10"));
    assert_eq!(count(&desk), 1);
    // What was left out earlier is remembered by nobody.
    let status = json(&desk, &["status", "--no-copies"], 6);
    let missed: Vec<&str> = status["status"]["missed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|missed| missed["subject"].as_str().unwrap())
        .collect();
    assert_eq!(missed, ["dump", "gone"]);
    assert_eq!(status["runs"]["dump"]["exit_code"], 4);
}

#[test]
fn hooks_that_fail_or_do_not_end() {
    let job = |name: &str, hooks: &str| {
        format!(
            "[job.{name}]\nkind = 'files'\npaths = ['data']\nhooks = {{ {hooks}, always = ['sh', '-c', 'echo always >> log'] }}\n"
        )
    };
    let text = [
        job("before", "before = ['sh', '-c', 'echo no >&2; exit 7']"),
        job("after", "after = ['false']"),
        job("slow", "before = ['sleep', '100'], timeout = '1s'"),
        job("missing", "before = ['no-such-program']"),
        job("secret", "before = ['sh', '-c', 'test -z \"$SBF_REPO_PASSWORD\"']"),
    ]
    .concat();
    let desk = desk(&text);
    for (name, exit, words, snapshots) in [
        ("before", 4, "hook before: sh exited with code 7: no", 0),
        ("slow", 4, "sleep did not end within 1.0 s, and was ended", 0),
        ("missing", 4, "cannot start \"no-such-program\"", 0),
        ("after", 1, "hook after: false exited with code 1", 1),
    ] {
        let output = run(&desk, &["run", name]);
        check(&output, exit);
        assert!(err(&output).contains(words), "{name}: {}", err(&output));
        assert_eq!((count(&desk), log(&desk).as_str()), (snapshots, "always\n"), "{name}");
    }
    let mut command = desk.command(&["--config", "config.toml", "run", "secret"]);
    command.env("SBF_REPO_PASSWORD", "not for hooks");
    check(&command.output().unwrap(), 0);
}

#[test]
fn tasks_that_a_key_may_not_do_are_left_to_others() {
    let text = "[job.docs]\nkind = 'files'\npaths = ['data']\n[retention]\ndaily = 7\n[check]\nmax_age = '30d'\n";
    let desk = desk(text);
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer"]), 0);
    let report = json(&desk, &["run", "docs", "--key-file", "writer"], 0);
    let steps = steps(&report);
    assert!(steps.contains(&"snapshot done".to_owned()), "{steps:?}");
    assert!(steps.contains(&"forget not_allowed".to_owned()), "{steps:?}");
    // A key that may not back up is another matter.
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]), 0);
    check(&run(&desk, &["run", "docs", "--key-file", "reader"]), 15);
}

#[test]
fn maintenance_is_done_at_its_time_and_on_its_host() {
    let text = |host: &str| {
        format!(
            "[job.docs]\nkind = 'files'\npaths = ['data']\n[retention]\nlast = 1\n[check]\nmax_age = '30d'\n\
             [maintenance]\n{host}forget = 'daily'\nprune = 'daily'\ncheck = 'weekly'\nstatus = 'hourly'\n"
        )
    };
    let desk = desk(&text(""));
    for _ in 0..2 {
        assert_eq!(steps(&json(&desk, &["run", "docs"], 0)), ["snapshot done"]);
    }
    assert_eq!(count(&desk), 2);
    assert_eq!(steps(&json(&desk, &["run", "--task", "forget"], 0)), ["forget done"]);
    assert_eq!(count(&desk), 1);
    for task in ["prune", "check", "status"] {
        check(&run(&desk, &["run", "--task", task]), 0);
    }
    desk.put(
        "config.toml",
        text("").replace("paths = ['data']", "paths = ['data']\nrpo = '0s'").as_bytes(),
    );
    // Ages are told in whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let missed = run(&desk, &["run", "--task", "status"]);
    check(&missed, 6);
    assert!(
        err(&missed).contains("the newest complete snapshot of docs is too old"),
        "{}",
        err(&missed)
    );
    let refused = run(&desk, &["run", "--task", "copies"]);
    check(&refused, 2);
    assert!(err(&refused).contains("no [[copy]]"), "{}", err(&refused));
    desk.put("config.toml", text("host = 'keeper'\n").as_bytes());
    let elsewhere = run(&desk, &["run", "--task", "prune"]);
    check(&elsewhere, 2);
    assert!(err(&elsewhere).contains("by the host `keeper`"), "{}", err(&elsewhere));
}

#[test]
fn wrong_names_and_two_runs_at_once_are_refused() {
    let text = "[job.docs]\nkind = 'files'\npaths = ['data']\nhooks = { before = ['sh', '-c', 'touch started; sleep 100'] }\n";
    let desk = desk(text);
    let unknown = run(&desk, &["run", "dosc"]);
    check(&unknown, 2);
    assert!(err(&unknown).contains("did you mean `docs`?"), "{}", err(&unknown));
    check(&run(&desk, &["run"]), 2);
    check(&desk.run(&["run", "docs"]), 2);
    let mut first = begin(&desk);
    let second = run(&desk, &["run", "docs"]);
    check(&second, 14);
    assert!(err(&second).contains("another process runs `docs`"), "{}", err(&second));
    // A run that is stopped says so, and the next begins.
    send(&first, Signal::TERM);
    assert_eq!(first.wait().unwrap().code(), Some(143));
    let mut third = begin(&desk);
    send(&third, Signal::INT);
    assert_eq!(third.wait().unwrap().code(), Some(130));
    assert_eq!(count(&desk), 0);
}

#[test]
fn jobs_of_one_name_in_two_repositories_know_nothing_of_each_other() {
    let text = |command: &str| {
        format!(
            "[job.docs]\nkind = 'command'\nfile = 'x'\ncommand = ['{command}']\n[check]\nmax_age = '30d'\n\
             [[notify.channel]]\nname = 'file'\nkind = 'command'\n\
             command = ['sh', '-c', 'echo $SBF_REPO_EVENT_KIND $SBF_REPO_EVENT_SUBJECT >> told']\n"
        )
    };
    let desk = desk(&text("ls"));
    let other = ["--repo", "other", "--key-file", "other.key"];
    check(&desk.run(&[&other[..], &["init"]].concat()), 0);
    check(&run(&desk, &["run", "docs"]), 0);
    desk.put("config.toml", text("false").as_bytes());
    check(&run(&desk, &["run", "docs"]), 4);
    assert_eq!(told(&desk), ["failure docs"]);
    desk.put("config.toml", text("ls").as_bytes());
    let report = json(&desk, &[&other[..], &["run", "docs"]].concat(), 0);
    // Its own share is due, and nobody's alert is closed.
    assert!(steps(&report).contains(&"check done".to_owned()), "{report}");
    assert_eq!(told(&desk), Vec::<String>::new());
    check(&run(&desk, &["run", "docs"]), 0);
    assert_eq!(told(&desk), ["recovered docs"]);
}

#[test]
fn variables_that_the_file_names_for_secrets_stay_with_the_program() {
    let text = "[repository]\npassword = { environment = 'APP_PASSWORD' }\n\
        [job.docs]\nkind = 'files'\npaths = ['data']\nhooks = { before = ['sh', '-c', 'test -z \"$APP_PASSWORD\"'] }\n";
    let desk = desk(text);
    let mut command = desk.command(&["--config", "config.toml", "run", "docs"]);
    command.env("APP_PASSWORD", "not for hooks");
    check(&command.output().unwrap(), 0);
}

/// A signal that comes while a command of the run is under way is passed on to it.
#[test]
fn a_run_that_is_stopped_stops_its_command() {
    let text = "[job.slow]\nkind = 'command'\nfile = 'x'\ncommand = ['sh', '-c', 'touch started; exec sleep 100']\n\
                hooks = { always = ['touch', 'tidied'] }\n";
    let desk = desk(text);
    for (signal, exit) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut running = begin_job(&desk, "slow");
        send(&running, signal);
        assert_eq!(running.wait().unwrap().code(), Some(exit));
        fs::remove_file(desk.path("tidied")).unwrap();
    }
    assert_eq!(count(&desk), 0);
}

/// What a channel was told, in order.
fn told(desk: &Desk) -> Vec<String> {
    let text = fs::read_to_string(desk.path("told")).unwrap_or_default();
    fs::remove_file(desk.path("told")).ok();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn failures_recoveries_and_what_is_missed_are_told() {
    let text = "[job.docs]\nkind = 'files'\npaths = ['data', 'more']\n\
         [job.never]\nkind = 'files'\npaths = ['data']\n[maintenance]\nstatus = 'hourly'\n\
         [[notify.channel]]\nname = 'file'\nkind = 'command'\n\
         command = ['sh', '-c', 'echo $SBF_REPO_EVENT_KIND $SBF_REPO_EVENT_SUBJECT >> told']\n";
    let desk = desk(text);
    let failed = json(&desk, &["run", "docs"], 1);
    assert_eq!(told(&desk), ["failure docs"]);
    assert_eq!(failed["notifications"][0]["outcome"], "delivered");
    // It is known already.
    json(&desk, &["run", "docs"], 1);
    assert_eq!(told(&desk), Vec::<String>::new());
    fs::create_dir(desk.path("more")).unwrap();
    json(&desk, &["run", "docs"], 0);
    assert_eq!(told(&desk), ["recovered docs"]);
    json(&desk, &["run", "docs"], 0);
    assert_eq!(told(&desk), Vec::<String>::new());
    json(&desk, &["run", "--task", "status"], 6);
    let missed = told(&desk);
    assert!(missed.contains(&"missed never".to_owned()), "{missed:?}");
    json(&desk, &["run", "never"], 0);
    assert_eq!(told(&desk), ["recovered never"]);
    // Who cannot look does not say that all is well.
    let gone = ["--repo", "nowhere", "run", "--task", "status"];
    check(&run(&desk, &gone), 10);
    assert_eq!(told(&desk), ["failure maintenance:status"]);
    // A channel that is gone fails no backup, and is seen.
    let broken = text.replace(
        "'sh', '-c', 'echo $SBF_REPO_EVENT_KIND $SBF_REPO_EVENT_SUBJECT >> told'",
        "'false'",
    );
    desk.put("config.toml", broken.as_bytes());
    fs::remove_dir(desk.path("more")).unwrap();
    let output = run(&desk, &["run", "docs"]);
    check(&output, 1);
    assert!(
        err(&output).contains("channel `file` did not get the notification"),
        "{}",
        err(&output)
    );
    let status = run(&desk, &["status"]);
    check(&status, 0);
    assert!(err(&status).contains("1 notification for `file` waits since"), "{}", err(&status));
    fs::create_dir(desk.path("more")).unwrap();
    check(&run(&desk, &["run", "docs"]), 0);
    let tried = run(&desk, &["doctor", "--jobs-only", "--notify"]);
    check(&tried, 1);
    assert!(err(&tried).contains("error: notifications by file: "), "{}", err(&tried));
}

fn begin(desk: &Desk) -> Child {
    begin_job(desk, "docs")
}

fn begin_job(desk: &Desk, name: &str) -> Child {
    fs::remove_file(desk.path("started")).ok();
    let mut command = desk.command(&["--config", "config.toml", "run", name]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&desk.path("started"));
    child
}

#[test]
fn of_snapshots_of_one_second_the_newest_is_kept() {
    let desk = Desk::with_repository();
    for round in 0..4 {
        let mut newest = Value::Null;
        for number in 0..5 {
            desk.put("data/a.txt", format!("{round} {number}").as_bytes());
            newest = desk.json(&["snapshot", "data", "--source", "docs"], 0)["snapshot"].clone();
        }
        check(&desk.run(&["forget", "--keep-last", "1", "--accept-policy", "--force"]), 0);
        let left = desk.json(&["snapshots"], 0)["snapshots"].clone();
        assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
        assert_eq!(left[0]["snapshot"], newest, "{left}");
    }
}
