//! The program against the reader in `tools/reader.py`, which was written from the format's pages.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::assert_same;
use crate::scratch::expect_code;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::tree;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

/// A Python that has what the reader needs; `tools/setup` makes it.
#[expect(clippy::disallowed_methods, reason = "tests are told where a Python is")]
pub(crate) fn python() -> PathBuf {
    let chosen = std::env::var_os("SBF_TEST_PYTHON").map(PathBuf::from);
    let python = chosen.unwrap_or_else(|| PathBuf::from(".venv/bin/python"));
    let help = Command::new(&python).args(["tools/reader.py", "--help"]).output();
    let works = help.is_ok_and(|output| output.status.success());
    assert!(works, "{} cannot run the reader: run `tools/setup` first", python.display());
    python
}

struct Reader {
    python: PathBuf,
    secret: [String; 2],
    repository: String,
}

impl Reader {
    fn new(python: PathBuf, scratch: &Scratch, option: &str, secret: &str) -> Self {
        let text = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
        Self { python, secret: [option.to_owned(), text(secret)], repository: text("repository") }
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.python);
        command.args(["tools/reader.py", &self.repository]).args(&self.secret).args(arguments);
        let output = command.output().unwrap();
        expect_code(&output, 0);
        output
    }
}

/// Every kind of entry and of content.
fn fill(scratch: &Scratch) {
    let source = scratch.source();
    fs::create_dir_all(source.join("folder/deeper")).unwrap();
    fs::create_dir(source.join("empty")).unwrap();
    put(source.join("nothing"), "");
    put(source.join("small"), "a small file");
    put(source.join("folder/zeros"), vec![0; 300_000]);
    put(source.join("folder/deeper/long"), noise(1, 2_000_000));
    put(source.join("folder/again"), [noise(1, 2_000_000), noise(2, 10)].concat());
    for number in 0..700 {
        put(source.join(format!("folder/deeper/{number}")), noise(number, 50));
    }
    fs::hard_link(source.join("small"), source.join("folder/linked")).unwrap();
    symlink("../small", source.join("folder/link")).unwrap();
    fs::hard_link(source.join("folder/link"), source.join("folder/deeper/link")).unwrap();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    sparse.write_all_at(&noise(3, 100_000), 1 << 20).unwrap();
}

#[track_caller]
fn check_same(scratch: &Scratch, reader: &Reader, arguments: &[&str]) {
    let source = scratch.source();
    let run = |words: &[&str]| {
        let mut command = scratch.command(words);
        command.env_remove("SBF_REPO_KEY_FILE").args(arguments);
        let output = command.output().unwrap();
        expect_code(&output, 0);
        output
    };
    run(&["snapshot", source.to_str().unwrap()]);
    put(source.join("folder/deeper/0"), "changed");
    fs::remove_file(source.join("folder/deeper/1")).unwrap();
    run(&["snapshot", source.to_str().unwrap(), "--tag", "second"]);
    reader.run(&["check"]);
    let listed = reader.run(&["snapshots"]).stdout;
    assert_eq!(String::from_utf8(listed).unwrap().lines().count(), 2);
    let (ours, theirs) = (scratch.path("ours"), scratch.path("theirs"));
    run(&["restore", "latest", "--trusted", "--target", ours.to_str().unwrap()]);
    reader.run(&["restore", "latest", theirs.to_str().unwrap()]);
    let inside = source.strip_prefix("/").unwrap();
    assert_same(&source, &ours.join(inside));
    assert_same(&ours.join(inside), &theirs.join(inside));
    let shown = run(&["ls", "--json", "latest"]).stdout;
    let dumped = reader.run(&["dump-tree", "latest"]).stdout;
    check_listings(&shown, &String::from_utf8(dumped).unwrap());
    assert!(tree(&theirs.join(inside)).len() > 700);
}

/// What both say of each path: kind, size, mode and time.
#[track_caller]
fn check_listings(ours: &[u8], theirs: &str) {
    let ours: Value = serde_json::from_slice(ours).unwrap();
    let entries = ours.as_object().unwrap().values().find_map(Value::as_array).unwrap();
    let ours: BTreeMap<String, &Value> = entries
        .iter()
        .map(|entry| (entry["path"].as_str().unwrap().trim_start_matches('/').to_owned(), entry))
        .collect();
    let mut count = 0;
    for line in theirs.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let path = entry["path"].as_str().unwrap().trim_start_matches('/').to_owned();
        assert!(ours.contains_key(&path), "`ls` does not show {path}");
        let shown = ours[&path];
        for member in ["kind", "mode", "user_id", "group_id"] {
            assert_eq!(entry[member], shown[member], "{path}");
        }
        if entry["kind"] == "file" {
            assert_eq!(entry["size"], shown["size"], "{path}");
        }
        count += 1;
    }
    assert_eq!(count, ours.len());
}

#[test]
fn another_reader_restores_the_same_with_a_key_file() {
    let python = python();
    let scratch = Scratch::without_repository();
    fill(&scratch);
    let key = scratch.path("key");
    scratch.run(&["init"], 0);
    let reader = Reader::new(python, &scratch, "--key-file", "key");
    check_same(&scratch, &reader, &["--key-file", key.to_str().unwrap()]);
}

#[test]
fn another_reader_gives_compressed_files_back() {
    let python = python();
    let scratch = Scratch::without_repository();
    scratch.run(&["init"], 0);
    let reader = Reader::new(python, &scratch, "--key-file", "key");
    let mut text = String::new();
    for row in 0..6000_u64 {
        writeln!(text, "{row}\tcustomer {}\t{}", row * row % 9973, row % 7).unwrap();
    }
    put(scratch.path("app.sql"), text);
    put(scratch.path("noise"), noise(1, 300_000));
    // Two members, one of a level and one of another, and what nobody foresees between them.
    let script =
        "(gzip -9 -c app.sql; gzip -1 -n -c noise; gzip -4 -c app.sql; echo behind) > app.sql.gz";
    let folder = scratch.path("");
    let made = Command::new("sh").args(["-c", script]).current_dir(&folder).status().unwrap();
    assert!(made.success());
    let (file, back) = (scratch.path("app.sql.gz"), scratch.path("back.gz"));
    scratch.run(
        &[
            "snapshot",
            "--unwrap",
            "--stdin-name",
            "app.sql.gz",
            "--from-command",
            "--",
            "cat",
            file.to_str().unwrap(),
        ],
        0,
    );
    reader.run(&["rewrap", "latest", "app.sql.gz", back.to_str().unwrap()]);
    assert!(fs::read(back).unwrap() == fs::read(file).unwrap());
}

#[test]
fn another_reader_restores_the_same_with_a_passphrase() {
    let python = python();
    let scratch = Scratch::without_repository();
    fill(&scratch);
    put(scratch.path("passphrase"), "correct horse\n");
    let file = scratch.path("passphrase");
    let secret = ["--password-file", file.to_str().unwrap()];
    // The least memory that the format allows.
    let mut command = scratch.command(&["init", "--argon2-memory", "65536"]);
    let made = command.env_remove("SBF_REPO_KEY_FILE").args(secret).output().unwrap();
    expect_code(&made, 0);
    let reader = Reader::new(python, &scratch, "--password-file", "passphrase");
    check_same(&scratch, &reader, &secret);
}
