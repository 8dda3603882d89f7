//! `-q` says nothing when all goes well, unless what a command says is its work.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::err;
use crate::cli::out;
use crate::play::Line;
use crate::play::Play;
use crate::play::STEPS;
use crate::play::Step;
use crate::play::damage;
use crate::play::lines;
use serde_json::Value;

/// Runs a line with `-q`; returns what it says and should not.
fn hear(play: &mut Play, line: &str) -> Option<String> {
    let line = play.line(line);
    // What later lines name is known from JSON alone.
    let option = if line.kept.is_empty() { "-q" } else { "--json" };
    let output = play.command(&line, option).output().unwrap();
    let told = format!("{}: {}{}", line.words.join(" "), out(&output), err(&output));
    if output.status.code() != Some(line.exit) {
        return Some(format!("not {}: {told}", line.exit));
    }
    if !line.kept.is_empty() {
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        play.keep(&line, &answer);
        return None;
    }
    let is_promotion = play.command_of(&line) == "mirror promote";
    let is_wrong = match (line.exit, is_data(play, &line)) {
        (0, true) => !output.stderr.is_empty(),
        // How old the state is that is promoted is a warning that nobody may miss.
        (0, false) if is_promotion => !output.stdout.is_empty(),
        (0, false) => !output.stdout.is_empty() || !output.stderr.is_empty(),
        // Finding nothing is an answer, and no error.
        (1, true) => false,
        (_, _) => output.stdout.is_empty() && output.stderr.is_empty(),
    };
    is_wrong.then_some(told)
}

/// Whether what the line says on standard output is what it was called for.
fn is_data(play: &Play, line: &Line) -> bool {
    let command = play.command_of(line);
    let with = |option: &str| line.words.iter().any(|word| word == option);
    DATA.contains(&command.as_str())
        || (command == "run" && with("--dry-run"))
        || (command == "hold" && with("--list"))
        || (["forget", "import", "prune", "restore"].contains(&&*command) && with("--dry-run"))
        || (command == "forget" && with("--simulate"))
}

#[test]
fn quiet_commands_say_nothing_when_all_goes_well() {
    let mut play = Play::new();
    let mut wrong = Vec::new();
    for step in STEPS {
        match step {
            Step::Lines(part) => {
                wrong.extend(lines(part).filter_map(|line| hear(&mut play, line)));
            }
            Step::KilledBackup => play.kill_a_backup(),
            Step::Whole => {}
            Step::Damage(folder) => damage(&play.desk, folder),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Commands that are called for what they say.
const DATA: &[&str] = &[
    "alert list",
    "alert test",
    "audit list",
    "audit verify",
    "completions",
    "config check",
    "config example",
    "config schema",
    "config show",
    "controls",
    "diff",
    "drill list",
    "drill show",
    "dump",
    "erasure list",
    "erasure status",
    "evidence public-key",
    "find",
    "incident list",
    "key list",
    "key pair",
    "key recovery-kit",
    "ls",
    "report",
    "retention verify",
    "schedule show",
    "manifest show",
    "session list",
    "snapshots",
    "stats",
    "status",
];
