//! `docs/commands.md` is what `--help` of every command says; `SBF_REPO_WRITE_COMMANDS=1` writes it anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::out;
use crate::scratch::put;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// What `--help` of a command says.
fn help(words: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
    command.args(words).arg("--help").env("COLUMNS", "100");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}");
    out(&output)
}

/// The commands below one.
fn below(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.trim().is_empty());
    let indented = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = indented.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The options that every command has stand once, with the program.
fn own_part(help: &str) -> &str {
    let (own, _global) = help.split_once("\nOptions of every command:").unwrap_or((help, ""));
    own
}

fn add(page: &mut String, words: &[String]) {
    let text = help(words);
    let is_program = words.is_empty();
    let name = std::iter::once("sbf-repo").chain(words.iter().map(String::as_str));
    writeln!(page, "\n## {}\n", name.collect::<Vec<_>>().join(" ")).unwrap();
    for line in if is_program { text.as_str() } else { own_part(&text) }.trim_end().lines() {
        writeln!(page, "{}", format!("    {line}").trim_end()).unwrap();
    }
    for name in below(&text) {
        add(page, &[words, &[name]].concat());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the page is written when asked for")]
fn the_page_of_commands_is_what_help_says() {
    let mut page = "# Every command\n\nWhat `--help` says, word for word.\n".to_owned();
    add(&mut page, &[]);
    assert!(page.matches("\n## ").count() > 60, "commands are missing");
    let path = "docs/commands.md";
    if std::env::var_os("SBF_REPO_WRITE_COMMANDS").is_some() {
        put(path, &page);
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == page,
        "{path} is old: SBF_REPO_WRITE_COMMANDS=1 cargo test --all-features --test it commands_page::"
    );
}
