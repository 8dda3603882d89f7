//! `key`: slots by public key, with an end, without the authority; what the list shows, and what removal does.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::expect_code;
use crate::scratch::put;
use crate::support::files_below;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use tempfile::TempDir;

/// A repository in a directory that the key file `first` opens, and hosts that have one key file each.
#[derive(Debug)]
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self::without_repository();
        desk.run("first", &["init"], 0);
        desk
    }

    pub(crate) fn without_repository() -> Self {
        let desk = Self { folder: crate::support::scratch() };
        fs::create_dir(desk.path("source")).unwrap();
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on the host of this key; its memory is its own.
    pub(crate) fn command(&self, key: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.current_dir(self.folder.path()).args(arguments);
        command.env("SBF_REPO_REPOSITORY", self.path("repository"));
        command.env("SBF_REPO_CACHE_DIR", self.path(&format!("host-{key}/cache")));
        command.env("SBF_REPO_STATE_DIR", self.path(&format!("host-{key}/state")));
        if !arguments.contains(&"--password-file") {
            command.env("SBF_REPO_KEY_FILE", self.path(key));
        }
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, key: &str, arguments: &[&str], code: i32) -> Output {
        let output = self.command(key, arguments).output().unwrap();
        expect_code(&output, code);
        output
    }

    #[track_caller]
    pub(crate) fn json(&self, key: &str, arguments: &[&str], code: i32) -> serde_json::Value {
        let output = self.run(key, &[arguments, &["--json"]].concat(), code);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Adds a slot that a key file opens; returns its id.
    #[track_caller]
    pub(crate) fn add(&self, role: &str, key: &str, more: &[&str]) -> String {
        let add = ["key", "add", "--role", role, "--new-key-file", key];
        let report = self.json("first", &[&add[..], more].concat(), 0);
        report["slot"].as_str().unwrap().to_owned()
    }

    /// A snapshot of a file with this content.
    #[track_caller]
    pub(crate) fn snapshot(&self, key: &str, content: &str) -> String {
        put(self.path("source/file"), content);
        let source = self.path("source");
        let report = self.json(key, &["snapshot", source.to_str().unwrap()], 0);
        report["snapshot"].as_str().unwrap().to_owned()
    }

    /// The file of a snapshot, as a selector.
    pub(crate) fn inside(&self, snapshot: &str) -> String {
        format!("{snapshot}:{}", self.path("source/file").display())
    }

    #[track_caller]
    pub(crate) fn restored(&self, key: &str, snapshot: &str) -> String {
        String::from_utf8(self.run(key, &["dump", &self.inside(snapshot)], 0).stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn snapshots(&self, key: &str) -> BTreeSet<String> {
        let report = self.json(key, &["snapshots"], 0);
        let rows = report["snapshots"].as_array().unwrap();
        rows.iter().map(|row| row["snapshot"].as_str().unwrap().to_owned()).collect()
    }

    /// The objects in a folder of the repository, in order.
    pub(crate) fn objects(&self, folder: &str) -> Vec<String> {
        let found = files_below(&self.path("repository").join(folder)).into_keys();
        let keys = found.map(|path| format!("{folder}/{}", path.display()));
        let mut keys: Vec<_> =
            keys.filter(|key| self.path("repository").join(key).is_file()).collect();
        keys.sort();
        keys
    }

    /// The generations under which the keys of packs are wrapped, out of the packs' headers.
    pub(crate) fn generations_of(&self, folder: &str) -> BTreeSet<u8> {
        let generation = |key: String| {
            let bytes = fs::read(self.path("repository").join(key)).unwrap();
            // Prefix, kind, uid, then the generation, small enough for one byte.
            bytes[8 + 1 + 16]
        };
        self.objects(folder).into_iter().map(generation).collect()
    }

    /// What the list says of each slot.
    #[track_caller]
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        let report = self.json("first", &["key", "list"], 0);
        let rows = report["slots"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(&row["slot"]), text(&header(row)["state"]))).collect()
    }

    /// Waits until so many sessions are announced.
    pub(crate) fn wait_for_session(&self, count: usize) {
        while self.objects("sessions").len() < count {
            std::thread::yield_now();
        }
    }
}

/// What a row of the list says of a slot that decodes.
fn header(row: &serde_json::Value) -> &serde_json::Value {
    row.get("header").unwrap_or(row)
}

#[test]
fn a_slot_by_public_key_opens_for_whoever_made_the_pair() {
    let desk = Desk::new();
    let snapshot = desk.snapshot("first", "content");
    let printed = desk.run("none", &["key", "pair", "--new-key-file", "pair"], 0);
    let said = String::from_utf8(printed.stderr).unwrap();
    let authority = said.trim().rsplit(' ').next().unwrap();
    let key = fs::read_to_string(desk.path("pair")).unwrap();
    assert!(key.contains(&format!("authority {authority}")), "{said}");
    put(desk.path("public"), &printed.stdout);
    assert!(!String::from_utf8(printed.stdout).unwrap().contains("secret"));
    desk.run("pair", &["snapshots"], 12);
    desk.run(
        "first",
        &["key", "add", "--role", "reader", "--public-key", "public", "--label", "x"],
        0,
    );
    assert_eq!(desk.restored("pair", &snapshot), "content");
    let list = String::from_utf8(desk.run("pair", &["key", "list"], 0).stdout).unwrap();
    assert!(list.contains("public key"), "{list}");
    // A second slot for the same pair, a file that is none, and one of another repository.
    desk.run("first", &["key", "add", "--role", "reader", "--public-key", "public"], 1);
    desk.run("first", &["key", "add", "--role", "reader", "--public-key", "pair"], 2);
    let text = fs::read_to_string(desk.path("public")).unwrap();
    let at = text.find("repository ").unwrap() + "repository ".len();
    let other = format!("{}{}{}", &text[..at], "0".repeat(32), &text[at + 32..]);
    put(desk.path("other"), other);
    desk.run("first", &["key", "add", "--role", "reader", "--public-key", "other"], 2);
}

#[test]
fn the_list_shows_roles_ends_and_revocations() {
    let desk = Desk::new();
    let ended = desk.add("writer", "ended", &["--valid-until", "2999-12-31", "--label", "laptop"]);
    desk.run(
        "first",
        &["key", "add", "--role", "writer", "--new-key-file", "x", "--valid-until", "2020-01-01"],
        2,
    );
    // No calendar has it, and a verifier would take it for no end at all.
    for end in ["999999999d", "2999999999999s"] {
        let add = ["key", "add", "--role", "writer", "--new-key-file", "x", "--valid-until", end];
        let said = String::from_utf8(desk.run("first", &add, 2).stderr).unwrap();
        assert!(said.contains("year 9999"), "{said}");
    }
    for role in ["reader", "auditor"] {
        let add = ["key", "add", "--role", role, "--new-key-file", "x", "--valid-until", "9d"];
        let refused = desk.run("first", &add, 2);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("an end ends what a key signs"), "{said}");
    }
    let list = String::from_utf8(desk.run("first", &["key", "list"], 0).stdout).unwrap();
    let row = list.lines().find(|line| line.contains("laptop")).unwrap();
    for word in ["writer", "key file", "valid", "2999-12-31T00:00:00Z"] {
        assert!(row.contains(word), "{row}");
    }
    // A slot that somebody brings back after it was removed.
    let stored = desk.path("repository/keys").join(&ended);
    let copy = fs::read(&stored).unwrap();
    desk.run("first", &["key", "remove", &ended], 0);
    put(&stored, copy);
    let list = String::from_utf8(desk.run("first", &["key", "list"], 0).stdout).unwrap();
    let row = list.lines().find(|line| line.contains("laptop")).unwrap();
    assert!(row.contains("revoked"), "{row}");
    assert_eq!(desk.states()[&ended], "revoked");
}

#[test]
fn a_pruner_that_was_removed_takes_no_other_key_with_it() {
    let desk = Desk::new();
    let slot = desk.add("pruner", "pruner", &[]);
    desk.add("pruner", "other", &[]);
    let gone = desk.snapshot("first", "gone");
    let kept = desk.snapshot("first", "kept");
    desk.run("pruner", &["forget", &gone, "--force"], 0);
    desk.run("pruner", &["prune"], 0);
    let removed = desk.json("first", &["key", "remove", &slot], 0);
    // Its own, the maintenance key, and that for later generations.
    assert_eq!(removed["removed"]["revoked_keys"], 3);
    // A reader signs its audit log.
    let reader = desk.add("reader", "reader", &[]);
    let removed = desk.json("first", &["key", "remove", &reader], 0);
    assert_eq!(removed["removed"]["revoked_keys"], 2);
    // Its verdict stays the newest one, and others go on from there.
    desk.run("first", &["check", "--read-data"], 0);
    desk.run("other", &["forget", &kept, "--force"], 0);
    desk.run("other", &["prune"], 0);
    desk.run("first", &["check", "--read-data"], 0);
}

#[test]
fn the_authority_key_lives_in_a_file_if_that_is_wanted() {
    let desk = Desk::without_repository();
    desk.run("first", &["init", "--authority-file", "authority"], 0);
    let file = fs::read_to_string(desk.path("authority")).unwrap();
    assert!(file.starts_with("sbf-repo authority 1\n"), "{file}");
    let snapshot = desk.snapshot("first", "content");
    for arguments in [
        &["key", "add", "--role", "reader", "--new-key-file", "reader"][..],
        &["key", "rotate"],
        &["key", "recovery-kit"],
        &["key", "authority", "export", "again"],
    ] {
        let refused = desk.run("first", arguments, 15);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("--authority-file"), "{said}");
    }
    assert!(!desk.path("reader").exists(), "no key file without its slot");
    let with = |arguments: &[&str], code| {
        desk.run("first", &[arguments, &["--authority-file", "authority"]].concat(), code)
    };
    with(&["key", "add", "--role", "reader", "--new-key-file", "reader"], 0);
    assert_eq!(desk.restored("reader", &snapshot), "content");
    // Another admin gets it from neither the slot nor the file.
    with(&["key", "add", "--role", "admin", "--new-key-file", "second"], 0);
    desk.run("second", &["key", "rotate"], 15);
    desk.run("second", &["key", "rotate", "--authority-file", "authority"], 0);
    let other = file.replace("secret ", "secret 00").replace("\n\n", "\n");
    put(desk.path("damaged"), other);
    desk.run("first", &["key", "rotate", "--authority-file", "damaged"], 12);
    let list = desk.json("first", &["key", "list"], 0);
    let rows = list["slots"].as_array().unwrap();
    let reader = rows.iter().find(|row| header(row)["role"] == "reader").unwrap();
    let slot = reader["slot"].as_str().unwrap();
    desk.run("first", &["key", "remove", slot], 15);
    with(&["key", "remove", slot], 0);
}

#[test]
fn the_authority_key_can_be_taken_out_later() {
    let desk = Desk::new();
    let exported = desk.json("first", &["key", "authority", "export", "authority"], 0);
    let first = exported["admin_slots"][0].as_str().unwrap().to_owned();
    desk.run("first", &["key", "authority", "export", "authority"], 2);
    desk.add("admin", "second", &["--without-authority"]);
    desk.run("second", &["key", "remove", &first], 15);
    desk.run("second", &["key", "remove", &first, "--authority-file", "authority"], 0);
    desk.run("first", &["snapshots"], 12);
    desk.run("second", &["key", "rotate"], 15);
    desk.run("second", &["key", "rotate", "--authority-file", "authority"], 0);
    desk.snapshot("second", "content");
    desk.run("second", &["check", "--read-data"], 0);
}

#[test]
fn a_client_with_another_slot_is_not_revoked() {
    let desk = Desk::new();
    put(desk.path("old"), "old");
    put(desk.path("new"), "new");
    let memory = ["--argon2-memory", "65536"];
    let add = ["key", "add", "--role", "admin", "--new-password-file", "old"];
    desk.run("first", &[&add[..], &memory].concat(), 0);
    let change = ["key", "change-password", "--password-file", "old", "--new-password-file", "new"];
    desk.run("first", &[&change[..], &memory].concat(), 0);
    let snapshot = ["snapshot", "source", "--password-file", "new"];
    desk.run("first", &snapshot, 0);
    assert!(desk.states().values().all(|state| state == "valid"));
    desk.run("first", &["check", "--read-data"], 0);
}
