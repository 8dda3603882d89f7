//! What keys and secrets of the program tell, and to whom.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use std::fs;

#[test]
fn a_key_file_of_another_repository_says_of_which() {
    let [desk, other] = [Desk::with_repository(), Desk::with_repository()];
    fs::copy(other.path("key"), desk.path("theirs")).unwrap();
    let id = |desk: &Desk| {
        let text = fs::read_to_string(desk.path("key")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("repository ")).unwrap().to_owned()
    };
    let refused = desk.run(&["--key-file", "theirs", "snapshots"]);
    check(&refused, 12);
    let said = err(&refused);
    assert!(said.contains(&id(&desk)) && said.contains(&id(&other)), "{said}");
    assert!(said.contains("--repo"), "{said}");
    check(&desk.run(&["snapshots"]), 0);
}

#[test]
fn a_child_does_not_inherit_the_secrets_of_the_program() {
    let desk = Desk::with_repository();
    let script = "echo \"$SBF_REPO_PASSWORD$SBF_REPO_TO_PASSWORD,$AWS_SECRET_ACCESS_KEY\"";
    let arguments = [
        "snapshot",
        "--source",
        "dump",
        "--stdin-name",
        "all",
        "--from-command",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut command = desk.command(&arguments);
    command.env("SBF_REPO_PASSWORD", "ours").env("SBF_REPO_TO_PASSWORD", "ours");
    command.env("AWS_SECRET_ACCESS_KEY", "theirs");
    check(&command.output().unwrap(), 0);
    let dumped = desk.run(&["dump", "dump@latest:/all"]);
    check(&dumped, 0);
    assert_eq!(out(&dumped).trim(), ",theirs");
}
