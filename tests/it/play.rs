//! A scenario in which every command succeeds and fails, line by line, for tests that say something of
//! all commands.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::out;
use crate::support::bytes_of;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::Stdio;

/// A desk on which the scenario is played, and what commands said that later ones name.
pub(crate) struct Play {
    pub(crate) desk: Desk,
    /// Every command that does something itself, as `key add`.
    pub(crate) commands: Vec<String>,
    names: BTreeMap<String, String>,
}

/// A line of the scenario, ready to run.
pub(crate) struct Line {
    /// The exit code that is expected.
    pub(crate) exit: i32,
    pub(crate) words: Vec<String>,
    /// Names, and where in the answer the values are that they stand for from then on.
    pub(crate) kept: Vec<(String, String)>,
}

/// What happens next.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Commands, one a line.
    Lines(&'static str),
    /// A backup is killed while its session is open.
    KilledBackup,
    /// A place for tests that show something else of a repository that is whole.
    Whole,
    /// A bit flips in every object below a folder of the repository.
    Damage(&'static str),
}

impl Play {
    pub(crate) fn new() -> Self {
        let desk = Desk::without_repository();
        desk.put("data/big", &bytes_of(1, 300_000, 256));
        desk.put("good.toml", b"[cache]\nsize = \"1GiB\"\n");
        desk.put("bad.toml", b"[cache]\nsise = 1\n");
        desk.put("jobs.toml", JOBS);
        desk.put("replay.toml", b"[erasure]\nreplay = [\"false\"]\n");
        fs::create_dir(desk.path("old")).unwrap();
        desk.put("old/ledger-2026-01-31.sql", b"SELECT 1;");
        for word in ["word", "word2"] {
            desk.put(word, word.as_bytes());
            fs::set_permissions(desk.path(word), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { desk, commands: commands(), names: BTreeMap::new() }
    }

    /// The lines of a part of the scenario, each with how it is told in the scenario.
    pub(crate) fn line(&self, line: &str) -> Line {
        let (ask, keep) = line.split_once(" => ").unwrap_or((line, ""));
        let (exit, words) = ask.split_once(' ').unwrap();
        let words = words.split_whitespace().map(|word| self.filled(word)).collect();
        let pair = |kept: &str| {
            let (name, pointer) = kept.split_once('=').unwrap();
            (name.to_owned(), pointer.to_owned())
        };
        let kept = keep.split_whitespace().map(pair).collect();
        Line { exit: exit.parse().unwrap(), words, kept }
    }

    /// A line's command with another option.
    pub(crate) fn command(&self, line: &Line, option: &str) -> Command {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        let own = words.iter().take_while(|word| **word != "--").count();
        let mut command = self.desk.command(&words[..own]);
        command.arg(option).args(&words[own..]);
        command
    }

    /// Keeps what later lines name of an answer.
    pub(crate) fn keep(&mut self, line: &Line, answer: &Value) {
        for (name, pointer) in &line.kept {
            let found = answer.pointer(pointer).and_then(Value::as_str);
            assert!(found.is_some(), "{:?}: no {pointer} in {answer}", line.words);
            self.names.insert(name.clone(), found.unwrap_or_default().to_owned());
        }
    }

    /// The command of a line: the longest with which it begins.
    pub(crate) fn command_of(&self, line: &Line) -> String {
        let named = (1..=line.words.len()).rev().map(|count| line.words[..count].join(" "));
        let mut known = named.filter(|name| self.commands.contains(name));
        known.next().unwrap_or_default()
    }

    /// A word in which what begins with `$` stands for what was kept.
    fn filled(&self, word: &str) -> String {
        let fill = |word: String, (name, value): (&String, &String)| word.replace(name, value);
        self.names.iter().fold(word.to_owned(), fill)
    }

    /// Runs a backup that is killed while its session is open.
    pub(crate) fn kill_a_backup(&self) {
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
}

/// Flips a bit in every object below a folder of the repository.
pub(crate) fn damage(desk: &Desk, folder: &str) {
    for key in desk.place.keys(folder) {
        let path = desk.path("repo").join(key.as_str());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).unwrap();
        desk.put(path.to_str().unwrap(), &bytes);
    }
}

/// The lines of a part of the scenario.
pub(crate) fn lines(part: &str) -> impl Iterator<Item = &str> {
    part.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Every command that does something itself, from what `--help` lists.
pub(crate) fn commands() -> Vec<String> {
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

/// The whole scenario.
pub(crate) const STEPS: &[Step] = &[
    Step::Lines(BEGINNING),
    Step::KilledBackup,
    Step::Lines(AFTER_A_CRASH),
    Step::Lines(PROOF),
    Step::Whole,
    Step::Damage("packs"),
    Step::Lines(DAMAGED),
];
const LOOKS_MAX: usize = 200;

/// A configuration with jobs.
const JOBS: &[u8] = b"[repository]
url = 'repo'
key_file = 'key'
[job.daily]
kind = 'files'
paths = ['data']
schedule = '*-*-* 00:00:00 UTC'
hooks = { always = ['true'] }
[job.fails]
kind = 'command'
file = 'x'
command = ['false']
[maintenance]
status = 'hourly'
[drill.docs]
source = 'docs'
target = 'files'
scratch = '.'
[drill.gone]
source = 'gone'
target = 'files'
[drill.unclear]
source = 'docs'
target = 'command'
scratch = '.'
command = ['sh', '-c', 'exit 7']
[drill.exercise]
target = 'scenario'
[[drill.exercise.step]]
words = 'bring the documents back'
drill = 'docs'
[[drill.exercise.step]]
words = 'look'
command = ['true']
[[notify.channel]]
name = 'file'
kind = 'command'
command = ['sh', '-c', 'cat >> told']
";

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
    0 restore db@latest:/dump.sql --to-command -- sort -o sorted
    1 restore db@latest:/dump.sql --to-command -- false
    2 restore latest
    0 check
    0 check --read-data
    0 check --read-data-subset 1/2
    0 status
    0 cache clean
    0 cache clean --no-cache
    0 completions bash
    0 man pages
    0 config example
    0 config schema
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
    0 doctor --jobs-only
    0 drill list
    2 drill show
    2 drill sign-off --by Ann
    2 drill run nothing --config jobs.toml
    0 drill run docs --config jobs.toml --junit drill.xml
    6 drill run gone --config jobs.toml
    7 drill run unclear docs@latest --config jobs.toml
    0 drill run exercise --config jobs.toml
    0 drill list
    0 drill list --name docs
    0 drill show docs --test-result result.json --junit shown.xml
    0 drill sign-off docs --by Ann --function head
    0 drill show docs
    0 import old --dry-run
    0 import old
    0 import old
    0 run daily --dry-run --config jobs.toml
    0 run daily --config jobs.toml
    4 run fails --config jobs.toml
    2 run nothing --config jobs.toml
    6 run --task status --config jobs.toml
    6 status --config jobs.toml
    6 controls
    0 controls --month 2026-01
    2 controls --month 2199-01
    7 retention verify
    7 retention verify --source docs --grace 1d
    1 retention verify --source nothing
    0 alert list --config jobs.toml
    0 alert ack fails --config jobs.toml
    0 alert list --config jobs.toml
    0 alert tick --config jobs.toml
    0 alert tell failure other --config jobs.toml
    0 alert test --config jobs.toml
    0 schedule show --config jobs.toml
    0 schedule show --cron --config jobs.toml
    0 schedule show --systemd --config jobs.toml
    0 schedule install --directory units --no-enable --config jobs.toml
    0 schedule remove --directory units --no-enable --config jobs.toml
    2 schedule install --directory units --no-enable
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
    0 erasure list
    0 erasure status
    2 erasure add --source db
    0 erasure add --source db --subject request-7 --reason art17 --ticket T-2 => $ERASURE=/erasure
    0 erasure list
    0 erasure status
    3 restore db@latest:/dump.sql --to-command -- sort -o sorted
    3 restore db@latest --target out4 => $RUN=/replay/run
    6 erasure status $ERASURE
    2 erasure replay $RUN
    2 erasure replay $RUN --target out4
    3 erasure replay $RUN --target out4 --config replay.toml
    0 erasure replay $RUN --done --words deleted
    2 erasure replay 0000 --done --words deleted
    0 erasure list
    0 incident list
    0 incident open --words lost --source docs --ticket T-3 => $INCIDENT=/incident
    2 incident open --words lost --at 2199-01-01
    0 incident list
    2 incident close $INCIDENT --words back --at 2020-01-01
    0 incident close $INCIDENT --words back --snapshot docs@latest
    14 incident close $INCIDENT --words back
    2 incident close 0000 --words back
    0 incident list
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
    0 report --month 2026-10
    0 report --year 2026 --html report.html --csv report.csv --sign
    2 report --month 2026-13
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
