//! Which role may run which command, and what the program says to one that may not; and which keys each
//! slot holds.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::expect_code;
use crate::scratch::put;
use sbf_repo::Credential;
use sbf_repo::KeyFile;
use sbf_repo::Location;
use sbf_repo::Passphrase;
use sbf_repo::SystemEnvironment;
use sbf_repo::ops::location::OpenOptions;
use sbf_repo::ops::location::open;
use sbf_repo::testing::keys::held_keys;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;

const ROLES: [&str; 5] = ["admin", "writer", "reader", "pruner", "auditor"];

/// The commands, and for each role, in the order of [`ROLES`], whether it may run it. `{…}` is a name
/// of something that each run finds anew.
const MATRIX: &[(&str, [bool; 5])] = &[
    // What needs an open repository only.
    ("snapshots", [true, true, true, true, true]),
    ("snapshots --forgotten", [true, true, true, true, true]),
    ("status", [true, true, true, true, true]),
    ("session list", [true, true, true, true, true]),
    ("key list", [true, true, true, true, true]),
    ("manifest show latest", [true, true, true, true, true]),
    ("manifest verify", [true, true, true, true, true]),
    ("evidence public-key", [true, true, true, true, true]),
    ("cache clean", [true, true, true, true, true]),
    ("doctor", [true, true, true, true, true]),
    // The index.
    ("stats", [true, true, true, true, false]),
    // Trees.
    ("ls latest", [true, false, true, true, false]),
    ("find", [true, false, true, true, false]),
    ("diff latest:{file} latest:{file}", [true, false, true, true, false]),
    // Contents.
    ("restore latest --target {target}", [true, false, true, false, false]),
    ("dump latest:{file}", [true, false, true, false, false]),
    ("check", [true, false, true, true, false]),
    ("check --read-data", [true, false, true, false, false]),
    ("copy --to {other}", [true, false, true, false, false]),
    // Snapshots of its own.
    ("snapshot {source}", [true, true, false, false, false]),
    ("rewrite latest --exclude file", [true, false, false, false, false]),
    // Records.
    ("hold latest --reason x", [true, true, false, true, false]),
    ("tag latest --add x", [true, true, false, true, false]),
    ("note latest x", [true, true, false, true, false]),
    ("release {held}", [true, false, false, true, false]),
    ("evidence export {target}", [true, true, true, true, true]),
    // Maintenance.
    ("forget latest --force", [true, false, false, true, false]),
    ("forget --keep-last 1 --accept-policy", [true, false, false, true, false]),
    ("forget --undo {forgotten}", [true, true, false, true, false]),
    ("forget --checkpoints", [true, false, false, true, false]),
    ("prune", [true, false, false, true, false]),
    ("prune --dry-run", [true, false, false, true, false]),
    ("session abort {session} --force", [true, false, false, true, false]),
    ("mirror --to {mirror}", [true, true, false, true, false]),
    // The authority.
    ("mirror promote {mirrored}", [true, false, false, false, false]),
    ("key add --role reader --new-key-file {new}", [true, false, false, false, false]),
    ("key remove {slot}", [true, false, false, false, false]),
    ("key rotate", [true, false, false, false, false]),
    ("key recovery-kit", [true, false, false, false, false]),
    ("key authority export {new}", [true, false, false, false, false]),
];

/// A repository with one slot of each role, and something that each command can be tried on.
struct World {
    scratch: tempfile::TempDir,
    slot: String,
    held: String,
    forgotten: String,
    session: String,
}

impl World {
    fn new() -> Self {
        let scratch = crate::support::scratch();
        let nothing = String::new;
        let (slot, held, forgotten, session) = (nothing(), nothing(), nothing(), nothing());
        let mut world = Self { scratch, slot, held, forgotten, session };
        fs::create_dir(world.path("source")).unwrap();
        put(world.path("source/file"), "content");
        world.must(&["init"]);
        for role in &ROLES[1..] {
            let file = world.text(role);
            world.must(&["key", "add", "--role", role, "--new-key-file", &file]);
        }
        world.slot = world.must(&["key", "add", "--role", "reader", "--new-key-file", "spare"]);
        let source = world.text("source");
        world.forgotten = world.must(&["snapshot", &source, "--time", "2024-05-01T00:00:00Z"]);
        world.held = world.must(&["snapshot", &source, "--time", "2024-05-02T00:00:00Z"]);
        world.must(&["snapshot", &source]);
        world.must(&["hold", &world.held.clone(), "--reason", "a lawsuit"]);
        world.must(&["forget", &world.forgotten.clone()]);
        world.session = world.leave_session();
        world.must(&["mirror", "--to", &world.text("mirrored")]);
        world.must(&["--repo", &world.text("other"), "init"]);
        world
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, repository: &str, role: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.current_dir(self.scratch.path());
        command.env("SBF_REPO_REPOSITORY", self.path(repository));
        command.env("SBF_REPO_KEY_FILE", self.path(role));
        command.env("SBF_REPO_TO_KEY_FILE", self.path("admin"));
        command.env("SBF_REPO_STATE_DIR", self.path("state"));
        command.arg("--no-cache");
        command
    }

    /// Runs as admin; returns the id that the report names.
    #[track_caller]
    fn must(&self, arguments: &[&str]) -> String {
        let mut command = self.command("repository", "admin");
        if arguments[0] == "--repo" {
            command.env("SBF_REPO_KEY_FILE", self.path("other-key"));
        }
        let output = command.args(arguments).arg("--json").output().unwrap();
        expect_code(&output, 0);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let id = report["snapshot"].as_str().or(report["slot"].as_str());
        id.unwrap_or_default().to_owned()
    }

    /// A session of the admin's whose process was killed.
    fn leave_session(&self) -> String {
        let mut command = self.command("repository", "admin");
        command.args(["snapshot", "--stdin-name", "stream"]).stdin(std::process::Stdio::piped());
        let sessions = || crate::support::files_below(&self.path("repository/sessions"));
        let before = sessions();
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        let found = loop {
            if let Some(found) = sessions().into_keys().find(|path| !before.contains_key(path)) {
                break found;
            }
            std::thread::yield_now();
        };
        child.kill().unwrap();
        child.wait().unwrap();
        found.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Runs a command on a copy of everything that it may change.
    fn run(&self, command: &str, role: &str, credential: &[&str]) -> Output {
        for folder in ["repository", "mirrored", "other", "state"] {
            let from = self.path(folder);
            let to = self.path(&format!("try-{folder}"));
            let _absent = fs::remove_dir_all(&to);
            let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
            assert!(copied.success());
        }
        for made in ["target", "mirror", "new"] {
            let path = self.path(made);
            let _absent = fs::remove_dir_all(&path).or_else(|_not_a_folder| fs::remove_file(path));
        }
        let file = format!("latest:{}", self.text("source/file"));
        let words: Vec<String> = command
            .split(' ')
            .map(|word| match word {
                "{slot}" => self.slot.clone(),
                "{held}" => self.held.clone(),
                "{forgotten}" => self.forgotten.clone(),
                "{session}" => self.session.clone(),
                "{source}" => self.text("source"),
                "{other}" => self.text("try-other"),
                "latest:{file}" => file.clone(),
                "{target}" | "{mirror}" | "{new}" => self.text(word.trim_matches(['{', '}'])),
                plain => plain.to_owned(),
            })
            .filter(|word| word != "{mirrored}")
            .collect();
        let repository =
            if command.ends_with("{mirrored}") { "try-mirrored" } else { "try-repository" };
        let mut run = self.command(repository, role);
        run.env("SBF_REPO_STATE_DIR", self.path("try-state"));
        run.env("SBF_REPO_TO_KEY_FILE", self.path("other-key"));
        run.args(credential).args(words).output().unwrap()
    }
}

/// What is wrong with how a command ended for a role.
fn judge(command: &str, role: &str, may: bool, output: &Output) -> Option<String> {
    let code = output.status.code();
    let said = String::from_utf8_lossy(&output.stderr);
    if may {
        return (code != Some(0))
            .then(|| format!("{role}: `{command}` ends with {code:?}: {said}"));
    }
    let names_role = said.contains(&format!("the role {role} lacks the key for"));
    let names_others = said.contains("have it") || said.contains("has it");
    let is_clear = code == Some(15) && names_role && names_others;
    (!is_clear).then(|| format!("{role}: `{command}` is not refused ({code:?}): {said}"))
}

#[test]
fn every_command_does_its_work_or_names_the_role_that_lacks_a_right() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (command, rights) in MATRIX {
        for (role, may) in ROLES.iter().zip(rights) {
            let output = world.run(command, role, &[]);
            wrong.extend(judge(command, role, *may, &output));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_role_changes_its_own_passphrase() {
    let scratch = Scratch::new();
    for role in ROLES {
        put(scratch.path(role), role);
        put(scratch.path("next"), format!("{role} again"));
        let (old, new) = (scratch.path(role), scratch.path("next"));
        let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
        let memory = ["--argon2-memory", "65536"];
        let add = ["key", "add", "--role", role, "--new-password-file", old];
        scratch.run(&[&add[..], &memory].concat(), 0);
        let change = ["key", "change-password", "--new-password-file", new, "--password-file"];
        scratch.run(&[&change[..], &[old], &memory].concat(), 0);
        scratch.run(&["snapshots", "--password-file", old], 12);
        scratch.run(&["snapshots", "--password-file", new], 0);
    }
}

/// The names of keys in a column of the page's table, each as [`held_keys`] gives it.
fn names_of(title: &str) -> Vec<String> {
    title.split(',').map(|name| name.trim().to_owned()).collect()
}

/// What the table of roles on the format's page says of each role.
fn table_of_the_page() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string("format-spec/04-keyslot.md").unwrap();
    let lines: Vec<&str> = page.lines().collect();
    let top = lines.iter().position(|line| line.starts_with("| role | id, gear")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let titles = cells(lines[top]);
    let rows = lines[top + 2..].iter().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let row = cells(row);
        let held = titles.iter().zip(&row).skip(1).filter(|(_title, cell)| cell.starts_with("yes"));
        let mut held: Vec<String> = held.flat_map(|(title, _cell)| names_of(title)).collect();
        held.sort();
        (row[0].to_lowercase(), held)
    })
    .collect()
}

#[track_caller]
fn check_keys(location: &Path, credential: &Credential, expected: &[String], case: &str) {
    let location: Location = location.to_str().unwrap().parse().unwrap();
    let options = OpenOptions::new(location, Arc::new(SystemEnvironment::new()));
    let repository = open(&options, credential).unwrap();
    let mut held = held_keys(&repository);
    held.sort_unstable();
    assert_eq!(held, expected, "{case}");
}

#[test]
fn each_kind_of_slot_holds_the_keys_that_the_page_gives_its_role() {
    let scratch = crate::support::scratch();
    let path = |name: &str| scratch.path().join(name);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.current_dir(scratch.path()).env("SBF_REPO_REPOSITORY", path("repository"));
        command.env("SBF_REPO_KEY_FILE", path("first")).arg("--no-cache").args(arguments);
        let output = command.output().unwrap();
        expect_code(&output, 0);
        output.stdout
    };
    run(&["init"]);
    let table = table_of_the_page();
    assert_eq!(table.len(), ROLES.len());
    put(path("passphrase"), "correct horse");
    let key_file = |name: &str| {
        Credential::KeyFile(KeyFile::parse(&fs::read_to_string(path(name)).unwrap()).unwrap())
    };
    for (role, expected) in &table {
        let role = role.as_str();
        let repository = path("repository");
        let (file, pair, public) =
            (format!("{role}-file"), format!("{role}-pair"), format!("{role}-public"));
        run(&["key", "add", "--role", role, "--new-key-file", &file]);
        check_keys(&repository, &key_file(&file), expected, role);
        put(path(&public), run(&["key", "pair", "--new-key-file", &pair]));
        run(&["key", "add", "--role", role, "--public-key", &public]);
        check_keys(&repository, &key_file(&pair), expected, role);
        put(path("passphrase"), format!("passphrase of a {role}"));
        let add = ["key", "add", "--role", role, "--new-password-file", "passphrase"];
        run(&[&add[..], &["--argon2-memory", "65536"]].concat());
        let passphrase = Passphrase::new(format!("passphrase of a {role}").into_bytes());
        check_keys(&repository, &Credential::Passphrase(passphrase), expected, role);
    }
    check_keys(&path("repository"), &key_file("first"), &table[0].1, "the first slot");
}
