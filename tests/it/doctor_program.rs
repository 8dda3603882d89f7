//! `doctor`: what the jobs of the configuration file need is looked at before they run.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use serde_json::Value;

/// What was looked at, with how it is.
fn looked(desk: &Desk, more: &[&str], exit: i32) -> Vec<(String, String)> {
    let report = json(desk, &[&["doctor", "--jobs-only"], more].concat(), exit);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = report["health"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["what"]), text(&row["outcome"]))).collect()
}

fn has(looked: &[(String, String)], what: &str, outcome: &str) -> bool {
    looked.contains(&(what.to_owned(), outcome.to_owned()))
}

#[test]
fn jobs_that_would_fail_are_found_before_they_do() {
    let text = "[job.good]\nkind = 'files'\npaths = ['data']\nhooks = { before = ['true'] }\n\
         [job.gone]\nkind = 'files'\npaths = ['nothing']\n\
         [job.prog]\nkind = 'command'\nfile = 'x'\ncommand = ['no-such-program']\n\
         [job.both]\nkind = 'several'\npaths = ['data']\n[[job.both.stream]]\nfile = 'y'\ncommand = ['sh', '-c', 'true']\n\
         [job.db]\nkind = 'postgres'\ndsn = 'host=/nowhere dbname=app'\nschedule = 'daily'\n\
         [[copy]]\nname = 'far'\nurl = 'far'\nmode = 'mirror'\n";
    let desk = desk(text);
    let found = looked(&desk, &[], 1);
    for (what, outcome) in [
        ("state directory", "fine"),
        ("what opens the repository", "fine"),
        ("job good: hook before", "fine"),
        ("job good: path", "fine"),
        ("job gone: path", "wrong"),
        ("job prog: program", "wrong"),
        ("job both: path", "fine"),
        ("job both: program", "fine"),
        ("job db: database", "wrong"),
        ("copy far", "wrong"),
        ("schedule of db", "doubtful"),
    ] {
        assert!(has(&found, what, outcome), "{what}: {found:?}");
    }
    let words = run(&desk, &["doctor"]);
    check(&words, 1);
    assert!(
        err(&words).contains("error: job gone: path: ") && err(&words).contains("exactly one wins"),
        "{}",
        err(&words)
    );
}

#[test]
fn a_host_that_has_everything_is_fine_and_another_role_is_not() {
    let desk = desk("[job.good]\nkind = 'files'\npaths = ['data']\n");
    let found = looked(&desk, &[], 0);
    assert!(found.iter().all(|(_, outcome)| outcome == "fine"), "{found:?}");
    check(&desk.run(&["key", "add", "--role", "reader", "--new-key-file", "reader"]), 0);
    assert!(has(&looked(&desk, &["--key-file", "reader"], 1), "job good: key", "wrong"));
}

#[test]
fn jobs_whose_options_do_not_go_together_are_wrong_in_the_file() {
    let desk = desk(
        "[job.db]\nkind = 'postgres'\ndsn = 'app'\njobs = 300\n[job.pw]\nkind = 'postgres'\ndsn = 'password=x'\n",
    );
    let output = run(&desk, &["config", "check"]);
    check(&output, 2);
    let told = crate::cli::out(&output);
    assert!(
        told.contains("line 1: [job.db] makes no snapshot: ") && told.contains("300"),
        "{told}"
    );
    assert!(told.contains("line 7: `dsn` in [job.pw] holds a password"), "{told}");
}
