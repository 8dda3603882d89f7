//! Checks that the code keeps what ARCHITECTURE.md draws, and that the documents name what exists.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Each top-level module, lowest first, with the modules that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("key", &[]),
    ("units", &[]),
    ("format", &["id", "key", "units"]),
    ("chunk", &["units"]),
    ("compress", &["units"]),
    ("crypto", &["id"]),
    ("store", &["id", "key", "units"]),
    ("repo", &["id", "key", "units", "format", "chunk", "compress", "crypto", "store"]),
    ("localfs", &["units", "format"]),
    ("command", &["units"]),
    ("calendar", &[]),
    ("settings", &["units", "calendar"]),
    ("notify", &["units", "settings", "command"]),
    ("pgdump", &["units"]),
    ("rewrap", &["units", "format"]),
    ("report", &["units"]),
    (
        "ops",
        &[
            "id", "key", "units", "format", "chunk", "repo", "localfs", "command", "pgdump",
            "calendar", "rewrap", "report",
        ],
    ),
    (
        "cli",
        &[
            "id", "key", "units", "format", "calendar", "settings", "command", "notify", "ops",
            "repo", "report",
        ],
    ),
    (
        "testing",
        &[
            "id", "key", "units", "format", "chunk", "compress", "crypto", "store", "repo",
            "pgdump", "rewrap",
        ],
    ),
];

/// Longest file, in lines before its tests.
const FILE_LINES_MAX: usize = 500;

#[test]
fn modules_name_only_lower_layers() {
    let mut wrong = Wrong::default();
    for (path, text) in rust_files("src") {
        let Some(owner) = top_module(&path) else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == owner) else {
            wrong.add(&path, 1, &format!("module `{owner}` is not in LAYERS"));
            continue;
        };
        for (number, line) in code_lines(&text) {
            for named in named_modules(line) {
                let known = LAYERS.iter().any(|(name, _)| *name == named);
                if known && named != owner && !allowed.contains(&named) {
                    wrong.add(&path, number, &format!("`{owner}` names `{named}`"));
                }
            }
        }
    }
    wrong.check("a module names a layer that it may not know");
}

#[test]
fn no_module_reaches_past_its_parent() {
    let mut wrong = Wrong::default();
    for (path, text) in rust_files("src") {
        let below_root = path.components().count() == 2
            || (path.components().count() == 3 && path.ends_with("mod.rs"));
        for (number, line) in code_lines(&text) {
            let line = without_comment(line);
            if line.contains("super::super") || (below_root && line.contains("super::")) {
                wrong.add(&path, number, "a path upwards: write `crate::…`");
            }
        }
    }
    wrong.check("a path hides which layer it names");
}

#[test]
fn imports_stand_one_a_line() {
    let mut wrong = Wrong::default();
    for (path, text) in ["src", "tests", "benches", "fuzz"].iter().flat_map(|f| rust_files(f)) {
        for (number, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            let Some((_, import)) =
                line.split_once("use ").filter(|(before, _)| is_visibility(before))
            else {
                continue;
            };
            let of_tests = import == "super::*;";
            if import.contains('{') || (import.contains('*') && !of_tests) {
                wrong.add(&path, number + 1, line);
            }
        }
    }
    wrong.check("an import is a group or a glob");
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Wrong::default();
    for (path, text) in ["src", "tests", "benches", "fuzz"].iter().flat_map(|f| rust_files(f)) {
        if !text.starts_with("//! ") || text.starts_with("//! stub") {
            wrong.add(&path, 1, "the first line does not say what the file owns");
        }
        let lines = code_lines(&text).count();
        if lines > FILE_LINES_MAX {
            wrong.add(&path, lines, &format!("longer than {FILE_LINES_MAX} lines"));
        }
    }
    wrong.check("a file is too long or does not say what it is");
}

#[test]
fn one_module_names_the_record_encoder_and_one_is_unsafe() {
    let mut wrong = Wrong::default();
    for (path, text) in rust_files("src") {
        for (number, line) in text.lines().enumerate() {
            let code = without_comment(line);
            if code.contains("bincode") && !path.ends_with("format/codec.rs") {
                wrong.add(&path, number + 1, "names `bincode`: use `format::codec`");
            }
            let unsafety = code.contains("unsafe ") || code.contains("unsafe_code");
            if unsafety && !path.ends_with("repo/index/bytes.rs") {
                wrong.add(&path, number + 1, "unsafe code: only `repo/index/bytes.rs` has some");
            }
        }
    }
    wrong.check("a module does what belongs to one other module");
}

#[test]
fn spec_pages_and_code_name_each_other() {
    let mut wrong = Wrong::default();
    let readme = fs::read_to_string("format-spec/README.md").unwrap();
    for entry in fs::read_dir("format-spec").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && name != "README.md" && !readme.contains(&format!("]({name})")) {
            wrong.add(&path, 1, "is not in the table of format-spec/README.md");
        }
    }
    for (path, text) in rust_files("src") {
        let header = text.lines().take_while(|line| line.starts_with("//!"));
        for (number, line) in header.enumerate() {
            for page in words(line).filter(|word| word.starts_with("format-spec/")) {
                if !Path::new(page).exists() {
                    wrong.add(&path, number + 1, &format!("`{page}` does not exist"));
                }
            }
        }
    }
    for (path, text) in rust_files("src/format") {
        let plumbing = path.ends_with("mod.rs") || path.ends_with("error.rs");
        let header = text.lines().take_while(|line| line.starts_with("//!"));
        if !plumbing && !header.into_iter().any(|line| line.contains("Spec: format-spec/")) {
            wrong.add(&path, 1, "names no page of format-spec/");
        }
    }
    wrong.check("the format's pages and its code have lost each other");
}

#[test]
fn documents_name_only_files_that_exist() {
    let mut wrong = Wrong::default();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "benches/README.md"] {
        let text = fs::read_to_string(document).unwrap();
        for (number, line) in text.lines().enumerate() {
            for quoted in line.split('`').skip(1).step_by(2) {
                let path = quoted.split([' ', ':']).next().unwrap_or_default();
                let ours =
                    ["src/", "tests/", "tools/", "format-spec/", "fuzz/", "benches/", ".ci/"];
                let concrete = !path.contains(['<', '*', '{', '…']);
                let is_ours = concrete && ours.iter().any(|folder| path.starts_with(folder));
                if is_ours && !Path::new(path).exists() {
                    wrong.add(Path::new(document), number + 1, &format!("no `{path}`"));
                }
            }
        }
    }
    wrong.check("a document names a file that does not exist");
}

#[test]
fn the_architecture_page_shows_every_module() {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let mut wrong = Wrong::default();
    for (module, _) in LAYERS {
        let file = format!("src/{module}.rs");
        let folder = format!("src/{module}/");
        let path = if Path::new(&file).exists() { file } else { folder };
        if Path::new(&path).exists() && !page.contains(&format!("`{path}`")) {
            wrong.add(Path::new("ARCHITECTURE.md"), 1, &format!("no `{path}` in the code map"));
        }
    }
    wrong.check("the code map is incomplete");
}

#[test]
fn the_glossary_explains_every_noun() {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let (_, glossary) = page.split_once("## Glossary").unwrap();
    for noun in ["chunk", "block", "pack", "index segment", "tree node", "snapshot", "manifest"]
        .into_iter()
        .chain(["object", "session", "outcome", "register", "store", "repository", "key slot"])
    {
        assert!(glossary.contains(&format!("| {noun}")), "the glossary lacks `{noun}`");
    }
}

#[test]
fn the_readme_lists_the_commands_of_the_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_sbf-repo")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = commands_of_help(&help);
    let readme = fs::read_to_string("README.md").unwrap();
    let documented = commands_of_readme(&readme);
    assert_eq!(documented, commands, "README.md (left) and `sbf-repo --help` (right) differ");
}

/// What breaks a rule, collected so that one run shows all of it.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, path: &Path, line: usize, what: &str) {
        self.0.push(format!("{}:{line}: {what}", path.display()));
    }

    #[track_caller]
    fn check(self, rule: &str) {
        assert!(self.0.is_empty(), "{rule}:\n{}", self.0.join("\n"));
    }
}

/// Lines before the module of tests, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = text.lines().peekable();
    let mut number = 0;
    std::iter::from_fn(move || {
        let line = lines.next()?;
        let next = lines.peek().copied().unwrap_or_default();
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            return None;
        }
        number += 1;
        Some((number, line))
    })
}

/// Module names that follow `crate::` on one line.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    let named = without_comment(line).split("crate::").skip(1);
    named.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""))
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn is_visibility(before: &str) -> bool {
    before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', ',', ';', '"', '`']).map(|word| word.trim_end_matches('.'))
}

fn top_module(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
    (first != "lib" && first != "main").then_some(first)
}

/// The first words of the lines below `Commands:`.
fn commands_of_help(help: &str) -> BTreeSet<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = lines.take_while(|line| line.starts_with("  "));
    // Deeper lines go on with the words about the command before.
    let named = listed.filter(|line| !line.starts_with("   "));
    let first_words = named.filter_map(|line| line.split_whitespace().next());
    first_words.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The first words in the first cells of the table below `## Commands`.
fn commands_of_readme(readme: &str) -> BTreeSet<String> {
    let (_, section) = readme.split_once("## Commands").unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let cells = rows.filter_map(|row| row.strip_prefix("| `"));
    cells.filter_map(|cell| cell.split([' ', '`']).next()).map(str::to_owned).collect()
}

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty() || !Path::new(folder).is_dir(), "{folder} has no Rust file");
    found
}
