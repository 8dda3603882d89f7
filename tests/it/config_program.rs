//! The configuration file as people and scripts see it: where it is found, what comes before it, what
//! is wrong with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use serde_json::Value;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::Output;

/// A command that knows of the repository only what a configuration file says.
fn plain(desk: &Desk, arguments: &[&str]) -> Command {
    let mut command = desk.command(arguments);
    for name in ["SBF_REPO_REPOSITORY", "SBF_REPO_KEY_FILE", "SBF_REPO_CACHE_DIR"] {
        command.env_remove(name);
    }
    command
}

fn run(desk: &Desk, arguments: &[&str]) -> Output {
    plain(desk, &[&["--config", "config.toml"], arguments].concat()).output().unwrap()
}

fn write(desk: &Desk, name: &str, text: &str) {
    if let Some(folder) = desk.path(name).parent() {
        fs::create_dir_all(folder).unwrap();
    }
    desk.put(name, text.as_bytes());
    mode(desk, name, 0o644);
}

fn mode(desk: &Desk, name: &str, bits: u32) {
    fs::set_permissions(desk.path(name), Permissions::from_mode(bits)).unwrap();
}

/// A repository in a directory, whatever store the tests run in, that a passphrase opens.
fn with_passphrase() -> Desk {
    let desk = Desk::with_repository();
    write(&desk, "word", "a passphrase\n");
    mode(&desk, "word", 0o600);
    write(&desk, "config.toml", "[repository]\nurl = 'store'\npassword = { file = 'word' }\n");
    check(&run(&desk, &["init", "--argon2-memory", "65536"]), 0);
    desk
}

#[test]
fn a_repository_is_named_and_opened_by_the_file_alone() {
    let desk = with_passphrase();
    check(&run(&desk, &["snapshot", "data", "--source", "docs"]), 0);
    let print = desk.path("print");
    write(&desk, "print", "#!/bin/sh\necho \"a $1\"\n");
    mode(&desk, "print", 0o755);
    fs::create_dir(desk.path("credentials")).unwrap();
    write(&desk, "credentials/backup", "a passphrase");
    for password in [
        format!("{{ command = ['{}', 'passphrase'] }}", print.display()),
        "{ credential = 'backup' }".to_owned(),
        "{ environment = 'WORD' }".to_owned(),
    ] {
        let text = format!("[repository]\nurl = 'store'\npassword = {password}\n");
        write(&desk, "config.toml", &text);
        let mut command = plain(&desk, &["--config", "config.toml", "snapshots"]);
        command.env("CREDENTIALS_DIRECTORY", desk.path("credentials"));
        let listed = command.env("WORD", "a passphrase").output().unwrap();
        check(&listed, 0);
        assert!(out(&listed).contains("docs"), "{password}: {}", out(&listed));
        if !password.contains("command") {
            let missing = run(&desk, &["snapshots"]);
            check(&missing, 2);
            assert!(err(&missing).contains("is not set"), "{}", err(&missing));
        }
    }
    // No shell sees the words of a command.
    let text = "[repository]\nurl = 'store'\npassword = { command = ['echo a passphrase'] }\n";
    write(&desk, "config.toml", text);
    check(&run(&desk, &["snapshots"]), 2);
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
    let desk = with_passphrase();
    let text = "[repository]\nurl = 'store'\npassword = { file = 'word' }\n\
         [cache]\ndirectory = 'of-file'\nsize = '3GiB'\ndelta_cache = 'host'\n";
    write(&desk, "config.toml", text);
    let shown = |command: &mut Command| -> Vec<(String, String, String)> {
        let output = command.output().unwrap();
        check(&output, 0);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let rows = report["values"].as_array().unwrap().iter();
        rows.map(|row| (text(&row["name"]), text(&row["value"]), text(&row["origin"]["from"])))
            .collect()
    };
    let row =
        |name: &str, value: &str, from: &str| (name.to_owned(), value.to_owned(), from.to_owned());
    let show = ["--config", "config.toml", "--json", "config", "show", "--effective"];
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let of_file = shown(&mut plain(&desk, &show));
    let word = format!("passphrase in the file {}", path("word"));
    let expected = [
        row("repository.url", &path("store"), "file"),
        row("repository.secret", &word, "file"),
        row("cache.directory", &path("of-file"), "file"),
        row("cache.size", &(3_u64 << 30).to_string(), "file"),
        row("cache.delta_cache", "host", "file"),
    ];
    assert_eq!(of_file, expected);
    let mut command = plain(&desk, &show);
    command.env("SBF_REPO_REPOSITORY", "of-variable").env("SBF_REPO_PASSWORD", "secret word");
    command.env("SBF_REPO_CACHE_DIR", "c").env("SBF_REPO_CACHE_SIZE", "1K");
    let expected = [
        row("repository.url", "of-variable", "environment"),
        row("repository.secret", "the passphrase itself", "environment"),
        row("cache.directory", "c", "environment"),
        row("cache.size", "1024", "environment"),
        // What a host may read stands in its file, and nothing overrides it.
        row("cache.delta_cache", "host", "file"),
    ];
    assert_eq!(shown(&mut command), expected);
    let options = ["--repo", "r", "--key-file", "k", "--cache-dir", "d", "--cache-size", "2K"];
    let mut command = plain(&desk, &[&show[..], &options].concat());
    command.env("SBF_REPO_REPOSITORY", "of-variable").env("SBF_REPO_PASSWORD", "secret word");
    command.env("SBF_REPO_CACHE_DIR", "c").env("SBF_REPO_CACHE_SIZE", "1K");
    let expected = [
        row("repository.url", "r", "option"),
        row("repository.secret", "key file k", "option"),
        row("cache.directory", "d", "option"),
        row("cache.size", "2048", "option"),
        row("cache.delta_cache", "host", "file"),
    ];
    assert_eq!(shown(&mut command), expected);
    // What counts is what is used.
    check(&run(&desk, &["snapshot", "data"]), 0);
    assert!(desk.path("of-file").exists() && !desk.path("c").exists());
    check(&run(&desk, &["snapshots", "--repo", "nowhere"]), 10);
    let words = run(&desk, &["config", "show"]);
    check(&words, 0);
    assert!(out(&words).contains("config.toml:2"), "{}", out(&words));
}

#[test]
fn the_file_is_looked_for_where_people_put_it() {
    let desk = with_passphrase();
    let text = fs::read_to_string(desk.path("config.toml")).unwrap();
    let text = text.replace("'store'", &format!("'{}'", desk.path("store").display()));
    let text = text.replace("'word'", &format!("'{}'", desk.path("word").display()));
    write(&desk, "xdg/sbf-repo/config.toml", &text);
    write(&desk, "home/.config/sbf-repo/config.toml", &text);
    write(&desk, "named.toml", "[repository]\nurl = 'nowhere'\n");
    for (name, value, exit) in [
        ("XDG_CONFIG_HOME", desk.path("xdg"), 0),
        ("HOME", desk.path("home"), 0),
        ("SBF_REPO_CONFIG", desk.path("named.toml"), 2),
        ("SBF_REPO_CONFIG", desk.path("missing"), 2),
    ] {
        let output = plain(&desk, &["snapshots"]).env(name, &value).output().unwrap();
        check(&output, exit);
    }
    // The one that is named counts, alone.
    let mut both = plain(&desk, &["--config", "named.toml", "config", "show"]);
    let both = both.env("XDG_CONFIG_HOME", desk.path("xdg")).output().unwrap();
    assert!(out(&both).contains("nowhere") && !out(&both).contains("word"), "{}", out(&both));
    let missing = plain(&desk, &["--config", "missing", "snapshots"]).output().unwrap();
    check(&missing, 2);
    assert!(err(&missing).contains("there is no configuration file missing"), "{}", err(&missing));
    check(&plain(&desk, &["snapshots"]).output().unwrap(), 2);
    check(&plain(&desk, &["config", "check"]).output().unwrap(), 2);
    check(&plain(&desk, &["--config", "data", "snapshots"]).output().unwrap(), 2);
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_key() {
    let desk = with_passphrase();
    let text = "[repository]\nurl = 's4://bucket'\n\n[cashe]\nsize = '1G'\n";
    write(&desk, "config.toml", text);
    for arguments in [&["snapshots"][..], &["config", "show"]] {
        let output = run(&desk, arguments);
        check(&output, 2);
        let told = err(&output);
        assert!(told.contains("config.toml") && told.contains("line 4: "), "{told}");
        assert!(told.contains("did you mean `cache`?"), "{told}");
    }
    write(&desk, "config.toml", "[repository]\nurl = 's4://bucket'\n");
    let checked = run(&desk, &["config", "check"]);
    check(&checked, 2);
    assert!(out(&checked).contains("config.toml: line 2: `url`: "), "{}", out(&checked));
    let report = run(&desk, &["config", "check", "--json"]);
    check(&report, 2);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["problems"][0]["line"], 2);
    desk.put("config.toml", b"[repository]\nurl = '\xff'\n");
    let checked = run(&desk, &["config", "check"]);
    check(&checked, 2);
    assert!(out(&checked).contains("line 2: this is not UTF-8"), "{}", out(&checked));
}

#[test]
fn others_may_read_the_file_but_not_change_it_and_not_read_secrets() {
    let desk = with_passphrase();
    check(&run(&desk, &["snapshots"]), 0);
    for bits in [0o664, 0o646] {
        mode(&desk, "config.toml", bits);
        let refused = run(&desk, &["snapshots"]);
        check(&refused, 2);
        assert!(err(&refused).contains("hint: run `chmod go-w config.toml`"), "{}", err(&refused));
    }
    mode(&desk, "config.toml", 0o644);
    for bits in [0o640, 0o604] {
        mode(&desk, "word", bits);
        let refused = run(&desk, &["snapshots"]);
        check(&refused, 2);
        assert!(err(&refused).contains("others may read "), "{}", err(&refused));
        check(&run(&desk, &["config", "check"]), 2);
    }
    mode(&desk, "word", 0o600);
    check(&run(&desk, &["snapshots"]), 0);
}

#[test]
fn the_example_is_accepted() {
    let desk = Desk::with_repository();
    let example = desk.run(&["config", "example"]);
    check(&example, 0);
    write(&desk, "config.toml", &out(&example));
    let checked = run(&desk, &["config", "check"]);
    check(&checked, 0);
    assert!(err(&checked).contains("nothing is wrong"), "{}", err(&checked));
    let report = run(&desk, &["config", "example", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["example"].as_str().unwrap().trim_end(), out(&example).trim_end());
}
