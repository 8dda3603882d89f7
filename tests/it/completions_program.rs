//! Shell completions and manual pages, as shells and readers of manuals get them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

/// Two snapshots of two sources, and a configuration file that names the repository and a copy.
fn desk() -> Desk {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["snapshot", "data/inner", "--source", "web1:/srv"]), 0);
    desk
}

/// What is offered for the last of these words.
fn offered(desk: &Desk, words: &[&str]) -> Vec<String> {
    let mut command = desk.command(&["--", "sbf-repo"]);
    command.args(words).env("SBF_REPO_COMPLETE", "bash");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let output = command.output().unwrap();
    check(&output, 0);
    assert_eq!(err(&output), "", "something was said in the middle of a line");
    out(&output).lines().map(str::to_owned).collect()
}

fn id_of(desk: &Desk, source: &str) -> String {
    let list = desk.json(&["snapshots", "--source", source], 0);
    list["snapshots"][0]["snapshot"].as_str().unwrap()[..8].to_owned()
}

#[test]
fn snapshots_and_sources_are_offered_without_opening_the_repository() {
    let desk = desk();
    let (docs, web) = (id_of(&desk, "docs"), id_of(&desk, "web1:/srv"));
    // Without the key, and without the repository: nothing of them is asked.
    fs::remove_file(desk.path("key")).unwrap();
    let words = offered(&desk, &["restore", ""]);
    for word in ["latest", "docs@latest", "web1:/srv@latest", &docs, &web] {
        assert!(words.iter().any(|offered| offered == word), "no {word} in {words:?}");
    }
    assert!(!words.iter().any(|word| word.starts_with('-')), "options, too: {words:?}");
    assert_eq!(offered(&desk, &["ls", "web"]), ["web1:/srv@latest"]);
    assert_eq!(offered(&desk, &["diff", "latest", &docs[..6]]), [docs.as_str()]);
    assert_eq!(offered(&desk, &["forget", "--source", ""]), ["docs", "web1:/srv"]);
    assert_eq!(offered(&desk, &["snapshots", "--source=do"]), ["--source=docs"]);
}

#[test]
fn commands_options_and_values_are_offered() {
    let desk = Desk::without_repository();
    let commands = offered(&desk, &["snap"]);
    assert_eq!(commands, ["snapshot", "snapshots"]);
    assert_eq!(offered(&desk, &["restore", "--overw"]), ["--overwrite"]);
    assert_eq!(offered(&desk, &["key", "add", "--role", "pr"]), ["pruner"]);
    assert_eq!(offered(&desk, &["snapshot", "da"]), ["data/"]);
    // Nothing is known of the repository: nothing is offered of it, and nothing fails.
    assert!(!offered(&desk, &["restore", ""]).contains(&"latest".to_owned()));
}

#[test]
fn what_is_forgotten_or_made_just_now_is_known_at_once() {
    let desk = desk();
    let docs = id_of(&desk, "docs");
    check(&desk.run(&["forget", &docs, "--force"]), 0);
    check(&desk.run(&["snapshots", "-q"]), 0);
    let words = offered(&desk, &["restore", ""]);
    assert!(!words.contains(&docs) && !words.contains(&"docs@latest".to_owned()), "{words:?}");
    check(&desk.run(&["snapshot", "data", "--source", "new"]), 0);
    assert!(offered(&desk, &["restore", ""]).contains(&"new@latest".to_owned()));
    check(&desk.run(&["cache", "clean"]), 0);
    assert_eq!(offered(&desk, &["restore", "n"]), [""; 0]);
}

#[test]
fn names_that_a_shell_would_run_are_not_offered() {
    let desk = Desk::with_repository();
    for source in ["$(touch${IFS}owned)", "a;id", "`id`", "good"] {
        check(&desk.run(&["snapshot", "data", "--source", source]), 0);
    }
    assert_eq!(offered(&desk, &["forget", "--source", ""]), ["good"]);
}

#[test]
fn copies_and_jobs_of_the_configuration_file_are_offered() {
    let desk = Desk::with_repository();
    let text = format!(
        "[repository]\nurl = {:?}\n[[copy]]\nname = \"far\"\nurl = \"/srv/far\"\nmode = \"mirror\"\n\
         [job.nightly]\nkind = \"files\"\npaths = [\"/srv\"]\n",
        desk.path("repo").display().to_string()
    );
    desk.put("config.toml", text.as_bytes());
    let words = |line: &[&str]| offered(&desk, &[&["--config", "config.toml"], line].concat());
    assert_eq!(words(&["restore", "latest", "--from-copy", ""]), ["far"]);
    assert_eq!(words(&["mirror", "--to", "f"]), ["far"]);
    assert_eq!(words(&["run", ""]), ["nightly"]);
}

#[test]
fn completing_runs_no_command_and_waits_for_nothing() {
    let desk = desk();
    let mut command = desk.command(&["--", "sbf-repo", "restore", ""]);
    command.env("SBF_REPO_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
    command.env_remove("SBF_REPO_KEY_FILE");
    command.env("SBF_REPO_PASSWORD_COMMAND", "touch asked");
    check(&command.output().unwrap(), 0);
    assert!(!desk.path("asked").exists(), "the command for the passphrase was run");
    // Nobody ever writes into this.
    check(&Command::new("mkfifo").arg(desk.path("pipe")).output().unwrap(), 0);
    command.env_remove("SBF_REPO_REPOSITORY").env("SBF_REPO_REPOSITORY_FILE", desk.path("pipe"));
    #[expect(clippy::disallowed_methods, reason = "measured is how long somebody waits")]
    let began = Instant::now();
    check(&command.output().unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(5), "a shell waited {:?}", began.elapsed());
}

#[test]
fn the_script_for_bash_completes_in_bash() {
    let desk = desk();
    let script = desk.run(&["completions", "bash"]);
    check(&script, 0);
    desk.put("completions", &script.stdout);
    let ask = "source ./completions; COMP_WORDS=(sbf-repo restore web1); COMP_CWORD=2; COMP_TYPE=9
               _clap_complete_sbf_repo sbf-repo web1 restore; printf '%s\\n' \"${COMPREPLY[@]}\"
               complete -p sbf-repo";
    let program = Path::new(env!("CARGO_BIN_EXE_sbf-repo")).parent().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ask]).current_dir(desk.path("")).env_clear();
    bash.env("PATH", format!("{}:/usr/bin:/bin", program.display()));
    desk.place.tell(&mut bash);
    bash.env("SBF_REPO_CACHE_DIR", desk.path("cache"));
    let output = bash.output().unwrap();
    check(&output, 0);
    let lines = out(&output);
    assert!(lines.starts_with("web1:/srv@latest\n"), "{lines}{}", err(&output));
    assert!(lines.contains("-F _clap_complete_sbf_repo sbf-repo"), "{lines}");
}

#[test]
fn every_shell_has_a_script() {
    let desk = Desk::without_repository();
    for (shell, word) in [("bash", "complete "), ("fish", "complete "), ("zsh", "compdef")] {
        let script = desk.run(&["completions", shell]);
        check(&script, 0);
        let text = out(&script);
        assert!(text.contains(word) && text.contains("SBF_REPO_COMPLETE"), "{shell}: {text}");
        assert!(!text.contains("target/"), "{shell}: a path of where it was built: {text}");
        let json = desk.json(&["completions", shell], 0);
        assert_eq!(json["script"].as_str().unwrap(), text);
    }
    check(&desk.run(&["completions", "tcsh"]), 2);
}

#[test]
fn every_command_has_a_manual_page_and_they_are_the_same_each_time() {
    let desk = Desk::without_repository();
    let pages = |name: &str| -> BTreeMap<String, String> {
        check(&desk.run(&["man", name]), 0);
        let files = fs::read_dir(desk.path(name)).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: std::path::PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        };
        files.map(named).collect()
    };
    let first = pages("first/man1");
    assert_eq!(first, pages("second"));
    let help = out(&desk.run(&["help"]));
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let commands = lines.filter(|line| !line.starts_with("   "));
    let mut count = 0;
    for name in commands.filter_map(|line| line.split_whitespace().next()) {
        if name != "help" {
            assert!(first.contains_key(&format!("sbf-repo-{name}.1")), "`{name}` has no page");
            count += 1;
        }
    }
    assert!(count > 30, "only {count} commands in:\n{help}");
    for (name, page) in &first {
        for section in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(page.contains(section), "{name} has no {section}:\n{page}");
        }
    }
    assert!(first["sbf-repo.1"].contains("SBF_REPO_PASSWORD_COMMAND"));
    assert!(first["sbf-repo-restore.1"].contains("\\-\\-to\\-command"));
    desk.put("file", b"");
    check(&desk.run(&["man", "file"]), 1);
}
