//! Long work shows how far it is on a terminal, and nothing of that anywhere else.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::support::bytes_of;
use std::process::Command;
use std::process::Stdio;

/// What long commands show, in an order in which all of them have something to do.
const PHASES: &[(&str, &str)] = &[
    ("snapshot data --source docs", "backing up"),
    ("check --read-data", "reading packs"),
    ("restore docs@latest --target out --verify", "restoring"),
    ("mirror --to mirror", "copying packs"),
    ("copy --to other --to-key-file other.key", "copying"),
    ("rewrite docs@latest --exclude a.txt --forget", "rewriting"),
    ("find b.txt", "searching"),
    ("evidence export evidence", "exporting manifests"),
    ("forget --keep-last 1 --accept-policy --prune", "looking at what is needed"),
    ("prune", "looking at what is needed"),
];

fn desk() -> Desk {
    let desk = Desk::with_repository();
    desk.put("data/big", &bytes_of(1, 3_000_000, 256));
    check(&desk.run(&["init", "--repo", "other", "--key-file", "other.key"]), 0);
    desk
}

/// Runs a command line on a terminal of its own; returns what that shows.
fn on_terminal(desk: &Desk, line: &str) -> String {
    let program = env!("CARGO_BIN_EXE_sbf-repo");
    let seen = desk.command(&[]);
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &format!("{program} {line}"), "/dev/null"]);
    script.current_dir(desk.path("")).stdin(Stdio::null()).env_clear();
    script.envs(seen.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("TERM", "xterm").env("SHELL", "/bin/sh");
    let output = script.output().unwrap();
    check(&output, 0);
    out(&output)
}

#[test]
fn long_work_shows_how_far_it_is_on_a_terminal() {
    let desk = desk();
    for (line, phase) in PHASES {
        let shown = on_terminal(&desk, line);
        assert!(shown.contains(phase), "{line}: no `{phase}` in {shown}");
        // The bar of a phase, never one without words.
        assert!(!shown.contains(" 0/0"), "{line}: {shown}");
    }
    for option in ["-q", "--json"] {
        let shown = on_terminal(&desk, &format!("check --read-data {option}"));
        assert!(!shown.contains("reading packs"), "{option}: {shown}");
    }
}

#[test]
fn elsewhere_there_is_the_summary_alone() {
    let desk = desk();
    for (line, phase) in PHASES {
        let output = desk.run(&line.split(' ').collect::<Vec<_>>());
        check(&output, 0);
        let told = err(&output);
        assert!(!told.contains(['\r', '\x1b']) && !told.contains(phase), "{line}: {told}");
        assert!(told.lines().count() <= 6, "{line}: {told}");
    }
}
