//! `key recovery-kit`, and what it is for: a machine that has nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::expect_code;
use crate::scratch::put;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::process::Output;

/// A machine without anything: no cache, no memory, no key.
fn empty_machine(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
    command.env_clear().env("HOME", home).env("SBF_REPO_STATE_DIR", home.join("state"));
    command.current_dir(home).arg("--no-cache").args(arguments).output().unwrap()
}

/// The lines of the key file out of what was printed.
fn key_file_of(kit: &str) -> String {
    let names = ["sbf-repo key file", "repository ", "slot ", "secret ", "authority "];
    let is_line = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let lines = kit.lines().skip_while(|line| !line.starts_with(names[0])).filter(is_line);
    let lines: Vec<&str> = lines.take(names.len()).collect();
    lines.join("\n") + "\n"
}

#[test]
fn an_empty_machine_restores_from_the_kit_alone() {
    let scratch = Scratch::without_repository();
    if scratch.place.is_bucket() {
        return crate::scratch::skip("an empty machine has no credentials for this place");
    }
    scratch.run(&["init"], 0);
    put(scratch.source().join("file"), "what was lost");
    scratch.run(&["snapshot", scratch.source().to_str().unwrap()], 0);
    let kit = String::from_utf8(scratch.run(&["key", "recovery-kit"], 0).stdout).unwrap();
    // Every other key is gone.
    std::fs::remove_file(scratch.path("key")).unwrap();
    let home = scratch.path("elsewhere");
    std::fs::create_dir(&home).unwrap();
    put(home.join("recovery.key"), key_file_of(&kit));
    // The steps of the kit, as a person reads them.
    let location = kit.lines().find_map(|line| line.strip_prefix("location ")).unwrap().trim();
    let given = ["--repo", location, "--key-file", "recovery.key"];
    for command in [&["snapshots"][..], &["restore", "latest", "--target", "back"]] {
        expect_code(&empty_machine(&home, &[&given[..], command].concat()), 0);
    }
    let back = home.join("back").join(scratch.source().strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(back.join("file")).unwrap(), b"what was lost");
    // It is an admin's: whoever has it can go on as before.
    let add = ["key", "add", "--role", "admin", "--new-key-file", "next.key"];
    expect_code(&empty_machine(&home, &[&given[..], &add].concat()), 0);
    let given = ["--repo", location, "--key-file", "next.key"];
    expect_code(&empty_machine(&home, &[&given[..], &["check", "--read-data"]].concat()), 0);
}

#[test]
fn a_kit_says_the_same_on_paper_as_a_page_and_as_json() {
    let scratch = Scratch::new();
    let json = scratch.run(&["key", "recovery-kit", "--role", "reader", "--json"], 0).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["role"], "reader");
    let key = json["key_file"].as_str().unwrap();
    assert!(key.contains(json["authority"].as_str().unwrap()), "{key}");
    assert!(key.contains(json["slot"].as_str().unwrap()), "{key}");
    put(scratch.path("kit"), key);
    let file = scratch.path("kit");
    scratch.run(&["snapshots", "--key-file", file.to_str().unwrap()], 0);
    scratch.run(&["key", "rotate", "--key-file", file.to_str().unwrap()], 15);
    let page =
        String::from_utf8(scratch.run(&["key", "recovery-kit", "--html"], 0).stdout).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    assert_eq!(key_file_of(&page).lines().count(), 5, "{page}");
}

#[test]
fn a_slot_of_another_authority_is_refused() {
    let scratch = Scratch::new();
    let kit = String::from_utf8(scratch.run(&["key", "recovery-kit"], 0).stdout).unwrap();
    let text = key_file_of(&kit);
    let (head, authority) = text.trim_end().rsplit_once(' ').unwrap();
    let other: String = authority.chars().rev().collect();
    put(scratch.path("forged"), format!("{head} {other}\n"));
    let file = scratch.path("forged");
    let refused = scratch.run(&["snapshots", "--key-file", file.to_str().unwrap()], 5);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("names another authority"), "{said}");
}
