//! What every command says with `--json`, on success and on failure, is what `docs/schema/` says.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::out;
use crate::schema::Schemas;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// A desk whose commands are compared with their schemas, and what they said that later ones name.
struct Play {
    desk: Desk,
    schemas: Schemas,
    /// Every command that does something itself, as `key add`.
    commands: Vec<String>,
    names: BTreeMap<String, String>,
    succeeded: BTreeSet<String>,
    failed: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Play {
    fn new() -> Self {
        // Of an earlier run.
        let _ignored = fs::remove_dir_all(Path::new(env!("CARGO_TARGET_TMPDIR")).join("json"));
        let desk = Desk::without_repository();
        desk.put("data/big", &crate::support::bytes_of(1, 300_000, 256));
        desk.put("good.toml", b"[cache]\nsize = \"1GiB\"\n");
        desk.put("bad.toml", b"[cache]\nsise = 1\n");
        for word in ["word", "word2"] {
            desk.put(word, word.as_bytes());
            fs::set_permissions(desk.path(word), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self {
            desk,
            schemas: Schemas::read(Path::new("docs/schema")),
            commands: commands(),
            names: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            failed: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    fn lines(&mut self, scenario: &str) {
        for line in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line);
        }
    }

    /// Runs a line of a scenario: the exit code, the words, and what is kept of the answer.
    fn line(&mut self, line: &str) {
        let (ask, keep) = line.split_once(" => ").unwrap_or((line, ""));
        let (exit, words) = ask.split_once(' ').unwrap();
        let words: Vec<String> = words.split_whitespace().map(|word| self.filled(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let own = words.iter().take_while(|word| **word != "--").count();
        let mut command = self.desk.command(&words[..own]);
        command.arg("--json").args(&words[own..]);
        let answer = self.judge(&words, exit.parse().unwrap(), &command.output().unwrap());
        for kept in keep.split_whitespace() {
            let (name, pointer) = kept.split_once('=').unwrap();
            let found = answer.pointer(pointer).and_then(Value::as_str);
            assert!(found.is_some(), "{line}: no {pointer} in {answer}");
            self.names.insert(name.to_owned(), found.unwrap_or_default().to_owned());
        }
    }

    /// A word in which `$NAME` stands for what was kept.
    fn filled(&self, word: &str) -> String {
        let fill = |word: String, (name, value): (&String, &String)| word.replace(name, value);
        self.names.iter().fold(word.to_owned(), fill)
    }

    /// Compares what a command said with its schema.
    fn judge(&mut self, words: &[&str], exit: i32, output: &Output) -> Value {
        let command = command_of(words, &self.commands);
        let told = format!("{words:?}: {}{}", out(output), String::from_utf8_lossy(&output.stderr));
        let parsed = serde_json::from_slice(&output.stdout);
        let answer: Value = parsed.unwrap_or(Value::Null);
        if output.status.code() != Some(exit) || answer["exit_code"] != exit {
            self.wrong.push(format!("not {exit} in its exit code and its JSON: {told}"));
        }
        self.leave(&command, &answer);
        let has_failed = answer.get("error").is_some();
        for why in self.schemas.check(&command.replace(' ', "-"), &answer) {
            self.wrong.push(format!("{}: {why}", words.join(" ")));
        }
        if has_failed { &mut self.failed } else { &mut self.succeeded }.insert(command);
        answer
    }

    /// Leaves an answer for whoever writes a schema.
    fn leave(&self, command: &str, answer: &Value) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("json").join(command);
        fs::create_dir_all(&folder).unwrap();
        let number = fs::read_dir(&folder).unwrap().count();
        let text = serde_json::to_string_pretty(answer).unwrap();
        self.desk.put("answer", text.as_bytes());
        fs::copy(self.desk.path("answer"), folder.join(number.to_string())).unwrap();
    }

    /// Runs a command that shows something until a signal ends it.
    fn show(&mut self, words: &[&str], shown: &str) {
        let mut command = self.desk.command(words);
        command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.as_mut().unwrap()).lines().map(Result::unwrap);
        let told: Vec<String> = lines.take_while(|line| !line.contains(shown)).collect();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        assert!(!output.stdout.is_empty(), "{words:?}: {told:?}");
        self.judge(words, 0, &output);
    }

    /// A backup that is killed while its session is open.
    fn kill_a_backup(&self) {
        let mut command = self.desk.command(&["snapshot", "--stdin-name", "cut", "-q"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        for _look in 0..LOOKS_MAX {
            let listed = self.desk.json(&["session", "list"], 0);
            if listed["sessions"].as_array().is_some_and(|rows| !rows.is_empty()) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Flips a bit in every object below a folder of the repository.
    fn damage(&self, folder: &str) {
        for key in self.desk.place.keys(folder) {
            let path = self.desk.path("repo").join(key.as_str());
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::remove_file(&path).unwrap();
            self.desk.put(path.to_str().unwrap(), &bytes);
        }
    }
}

/// Every command that does something itself, from what `--help` lists.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        let help = out(&command.args(&path).arg("--help").output().unwrap());
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
        if !path.is_empty() && !usage.ends_with("<COMMAND>") {
            found.push(path.join(" "));
        }
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| line.starts_with("  "));
        let names = lines.filter(|line| !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_whitespace().next());
        for name in names.filter(|name| *name != "help") {
            open.push([&path[..], &[name.to_owned()]].concat());
        }
    }
    found.sort();
    assert!(found.len() > 40, "`--help` shows only {found:?}");
    found
}

/// The longest of the commands with which a line begins.
fn command_of(words: &[&str], commands: &[String]) -> String {
    let named = (1..=words.len()).rev().map(|count| words[..count].join(" "));
    let mut known = named.filter(|name| commands.contains(name));
    known.next().unwrap_or_default()
}

#[test]
fn every_command_says_with_json_what_its_schema_says() {
    let mut play = Play::new();
    play.lines(BEGINNING);
    play.kill_a_backup();
    play.lines(AFTER_A_CRASH);
    play.lines(PROOF);
    #[cfg(feature = "serve")]
    play.show(&["serve"], "serving at");
    #[cfg(feature = "mount")]
    if !crate::mount::is_hindered() {
        fs::create_dir(play.desk.path("mnt")).unwrap();
        play.show(&["mount", "mnt"], "mounted at");
    }
    play.damage("packs");
    play.lines(DAMAGED);
    for command in play.commands.clone() {
        play.line(&format!("2 {command} --no-such-option"));
    }
    assert!(play.wrong.is_empty(), "{}", play.wrong.join("\n"));
    for command in &play.commands {
        let shown = SHOWN_ELSEWHERE.contains(&command.as_str());
        let succeeded = play.succeeded.contains(command);
        assert!(succeeded || shown, "`{command}` never succeeds in the scenario: add a line to it");
        assert!(play.failed.contains(command), "`{command}` never fails in the scenario");
    }
    for name in play.schemas.names().filter(|name| *name != COMMON) {
        let is_command = play.commands.iter().any(|command| command.replace(' ', "-") == name);
        assert!(is_command, "docs/schema/{name}.schema.json belongs to no command");
    }
}

/// `dump` has no room for JSON, and not everybody may mount.
const SHOWN_ELSEWHERE: &[&str] = &["dump", "mount"];
/// What several schemas name.
const COMMON: &str = "common";
const LOOKS_MAX: usize = 200;

const BEGINNING: &str = "
    1 snapshots
    2 init --parity 500%
    0 init
    10 snapshots --repo nowhere
    2 init
    0 snapshots
    0 snapshot data --source docs --dry-run
    0 snapshot data --source docs --tag first --reason test --ticket T-1 => $OLD=/snapshot
    0 snapshot data --source docs --exclude inner => $NEW=/snapshot
    1 snapshot data no-such-file --source part --host other
    0 snapshot --stdin-name dump.sql --from-command --source db -- echo hello
    4 snapshot --stdin-name dump.sql --from-command -- false
    0 snapshot --stream a=true --source streams
    0 snapshots
    0 snapshots --source docs --latest 1
    0 ls latest
    0 ls docs@latest
    1 ls none@latest
    0 find b.txt
    0 find b.txt --source docs
    1 find nothing.txt
    0 diff $OLD $NEW --metadata
    0 diff $OLD $NEW
    0 tag $OLD --add second --remove first
    0 note $OLD remark
    0 hold $OLD --until 2199-01-01 --reason legal
    2 hold $NEW
    0 hold $NEW --reason audit
    0 hold --list
    14 forget $OLD
    0 snapshots
    0 stats
    0 status
    6 status --expect-read-within 1
    0 restore docs@latest --target out --dry-run
    0 restore docs@latest --target out --plan
    0 restore docs@latest --target out --verify
    0 restore docs@latest --target out --delete
    0 restore db@latest:/dump.sql --to-command -- cat
    1 restore db@latest:/dump.sql --to-command -- false
    2 restore latest
    2 dump latest
    0 check
    0 check --read-data
    0 check --read-data-subset 1/2
    0 status
    0 cache clean
    0 cache clean --no-cache
    0 completions bash
    0 man pages
    0 config example
    0 config show
    0 config show --effective
    2 config check
    0 config check --config good.toml
    2 config check --config bad.toml
    0 config show --config good.toml
    2 snapshots --config bad.toml
    0 doctor
    0 doctor --store-only
    0 doctor --thorough
";

const AFTER_A_CRASH: &str = "
    0 session list => $SESSION=/sessions/0/session
    0 prune --dry-run
    0 session abort $SESSION
    0 session abort $SESSION
    2 session abort 00000000
    0 session list
    0 release $NEW
    0 release $OLD
    0 rewrite $OLD --exclude a.txt --dry-run
    0 rewrite $OLD --exclude a.txt --forget => $MADE=/snapshots/0/snapshot
    0 forget --keep-daily 1 --simulate
    0 forget --keep-last 5 --dry-run
    0 forget --keep-last 1 --source docs --accept-policy
    0 snapshots --forgotten
    0 forget --undo $OLD
    0 forget $OLD
    0 forget --checkpoints
    0 prune --dry-run
    0 forget --keep-last 1 --prune
    0 prune
    0 prune
    0 init --repo other --key-file other.key --parity 3%
    0 check --repo other --key-file other.key --read-data
    0 copy --to other --to-key-file other.key --dry-run
    0 copy --to other --to-key-file other.key
    0 snapshots --repo other --key-file other.key
    0 mirror --to mirror
    0 mirror --to mirror --read-data
    0 check --from-copy mirror
    0 restore docs@latest --target out2 --from-copy mirror
";

const PROOF: &str = "
    0 key list
    0 key add --role writer --new-key-file writer.key --label host => $SLOT=/slot
    0 key pair --new-key-file pair.key
    0 key add --role auditor --new-key-file auditor.key
    2 key add --role auditor --new-key-file other2.key --valid-until 90d
    0 key add --role writer --new-key-file writer2.key --valid-until 90d
    15 restore latest --target out3 --key-file writer.key
    12 snapshots --key-file other.key
    0 key add --role admin --new-password-file word --argon2-memory 65536
    0 key change-password --password-file word --new-password-file word2 --argon2-memory 65536
    12 key list --password-file word
    0 key rotate
    0 key list
    0 key remove $SLOT --reason gone
    2 key remove $SLOT
    0 key recovery-kit
    0 key authority export authority
    0 manifest show latest
    0 manifest verify
    0 manifest export latest --to manifests
    0 manifest verify latest
    0 evidence public-key
    0 evidence export evidence
    0 evidence verify evidence --public-key evidence/authority.pub
    0 evidence verify manifests --public-key evidence/authority.pub
    0 manifest verify --bundle evidence --public-key evidence/authority.pub
    0 check --public-key evidence/authority.pub
    0 audit list
    0 audit verify
    0 audit export log.jsonl
    0 repair index
    0 repair packs
    0 repair snapshots
";

const DAMAGED: &str = "
    5 check
    5 check --read-data
    5 restore docs@latest --target out4
    5 restore docs@latest --target out5 --keep-going
    0 check --read-data --heal-from mirror
    0 mirror promote --repo mirror
    0 snapshots --repo mirror
";
