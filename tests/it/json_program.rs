//! What every command says with `--json`, on success and on failure, is what `docs/schema/` says.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::out;
use crate::play::Line;
use crate::play::Play;
use crate::play::STEPS;
use crate::play::Step;
use crate::play::damage;
use crate::play::lines;
use crate::schema::Schemas;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::process::Output;
use std::process::Stdio;

/// What the commands of a scenario said, compared with their schemas.
struct Judge {
    play: Play,
    schemas: Schemas,
    succeeded: BTreeSet<String>,
    failed: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Judge {
    fn new() -> Self {
        // Of an earlier run.
        let _ignored = fs::remove_dir_all(Path::new(ANSWERS).join("json"));
        Self {
            play: Play::new(),
            schemas: Schemas::read(Path::new("docs/schema")),
            succeeded: BTreeSet::new(),
            failed: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let line = self.play.line(line);
        let output = self.play.command(&line, "--json").output().unwrap();
        let answer = self.judge(&line, &output);
        self.play.keep(&line, &answer);
    }

    /// Compares what a command said with its schema.
    fn judge(&mut self, line: &Line, output: &Output) -> Value {
        let (command, words) = (self.play.command_of(line), line.words.join(" "));
        let told = format!("{words}: {}{}", out(output), String::from_utf8_lossy(&output.stderr));
        let parsed = serde_json::from_slice(&output.stdout);
        let answer: Value = parsed.unwrap_or(Value::Null);
        if output.status.code() != Some(line.exit) || answer["exit_code"] != line.exit {
            self.wrong.push(format!("not {} in its exit code and its JSON: {told}", line.exit));
        }
        self.leave(&command, &answer);
        for why in self.schemas.check(&command.replace(' ', "-"), &answer) {
            self.wrong.push(format!("{words}: {why}"));
        }
        let has_failed = answer.get("error").is_some();
        if has_failed { &mut self.failed } else { &mut self.succeeded }.insert(command);
        answer
    }

    /// Leaves an answer for whoever writes a schema.
    fn leave(&self, command: &str, answer: &Value) {
        let folder = Path::new(ANSWERS).join("json").join(command);
        fs::create_dir_all(&folder).unwrap();
        let number = fs::read_dir(&folder).unwrap().count();
        let text = serde_json::to_string_pretty(answer).unwrap();
        self.play.desk.put("answer", text.as_bytes());
        fs::copy(self.play.desk.path("answer"), folder.join(number.to_string())).unwrap();
    }

    /// Runs commands that show something until a signal ends them.
    fn show(&mut self) {
        #[cfg(feature = "serve")]
        self.show_until("0 serve", "serving at");
        #[cfg(feature = "mount")]
        if !crate::mount::is_hindered() {
            fs::create_dir(self.play.desk.path("mnt")).unwrap();
            self.show_until("0 mount mnt", "mounted at");
        }
    }

    fn show_until(&mut self, line: &str, shown: &str) {
        let line = self.play.line(line);
        let mut command = self.play.command(&line, "--json");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let told = BufReader::new(child.stderr.as_mut().unwrap()).lines().map(Result::unwrap);
        let told: Vec<String> = told.take_while(|line| !line.contains(shown)).collect();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        assert!(!output.stdout.is_empty(), "{:?}: {told:?}", line.words);
        self.judge(&line, &output);
    }
}

#[test]
fn every_command_says_with_json_what_its_schema_says() {
    let mut judge = Judge::new();
    for step in STEPS {
        match step {
            Step::Lines(part) => lines(part).for_each(|line| judge.line(line)),
            Step::KilledBackup => judge.play.kill_a_backup(),
            Step::Whole => judge.show(),
            Step::Damage(folder) => damage(&judge.play.desk, folder),
        }
    }
    let commands = judge.play.commands.clone();
    for command in &commands {
        judge.line(&format!("2 {command} --no-such-option"));
    }
    judge.line("2 dump latest");
    assert!(judge.wrong.is_empty(), "{}", judge.wrong.join("\n"));
    for command in &commands {
        let shown = SHOWN_ELSEWHERE.contains(&command.as_str());
        let succeeded = judge.succeeded.contains(command);
        assert!(succeeded || shown, "`{command}` never succeeds in the scenario: add a line to it");
        assert!(judge.failed.contains(command), "`{command}` never fails in the scenario");
    }
    for name in judge.schemas.names().filter(|name| *name != COMMON) {
        let is_command = commands.iter().any(|command| command.replace(' ', "-") == name);
        assert!(is_command, "docs/schema/{name}.schema.json belongs to no command");
    }
}

/// `dump` has no room for JSON, and not everybody may mount.
const SHOWN_ELSEWHERE: &[&str] = &["dump", "mount"];
/// What several schemas name.
const COMMON: &str = "common";
const ANSWERS: &str = env!("CARGO_TARGET_TMPDIR");
