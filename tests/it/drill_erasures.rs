//! Drills of data that is older than an erasure erase again before they look at what came back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use crate::drill_program::Exercise;
use crate::drill_program::detail;
use serde_json::Value;
use std::fs;

/// Files of a job, and a command that erases again what its first line says.
fn files(erase_again: &str) -> Desk {
    let desk = desk(&format!(
        "[job.docs]\nkind = 'files'\npaths = ['data']\n{erase_again}\
         [drill.docs]\njob = 'docs'\ntarget = 'files'\nscratch = 'room'\n\
         [drill.look]\njob = 'docs'\ntarget = 'command'\nscratch = 'room'\n\
         command = ['sh', '-c', '! find . -name customer-17 | grep -q .']\n"
    ));
    fs::create_dir(desk.path("room")).unwrap();
    desk.put("data/customer-17", b"name and address");
    check(&run(&desk, &["run", "docs"]), 0);
    fs::remove_file(desk.path("data/customer-17")).unwrap();
    check(&run(&desk, &["erasure", "add", "--source", "docs", "--subject", "customer-17"]), 0);
    desk
}

fn drill(desk: &Desk, name: &str, exit: i32) -> Value {
    json(desk, &["drill", "run", name], exit)["drill"].clone()
}

/// Exit code, how many runs are pending, and how many there are.
fn pending(desk: &Desk, exit: i32) -> (u64, usize) {
    let status = json(desk, &["erasure", "status"], exit)["erasures"][0].clone();
    assert!(
        status["runs"].as_array().unwrap().iter().all(|run| run["operation"] == "drill"),
        "{status}"
    );
    (status["pending_count"].as_u64().unwrap(), status["runs"].as_array().unwrap().len())
}

#[test]
fn what_was_erased_is_erased_again_before_anybody_looks() {
    let desk = files(
        "replay = ['sh', '-c', 'find \"$SBF_REPO_REPLAY_TARGET\" -name \"$SBF_REPO_REPLAY_SUBJECTS\" -delete']\n",
    );
    let looked = drill(&desk, "look", 0);
    assert!(detail(&looked, "erasures", "pass").starts_with("1 erasure erased again"));
    detail(&looked, "command", "pass");
    assert_eq!(pending(&desk, 0), (0, 1));
    // Newer data does not hold it.
    check(&run(&desk, &["run", "docs"]), 0);
    let newer = drill(&desk, "look", 0);
    assert!(!newer["checks"].to_string().contains("erasures"), "{newer}");
    assert_eq!(pending(&desk, 0), (0, 1));
}

#[test]
fn a_drill_that_cannot_erase_again_is_no_pass_and_pending_until_one_can() {
    let desk = files("");
    let unknown = drill(&desk, "docs", 7);
    assert!(detail(&unknown, "erasures", "not-verified").contains("no `replay` is configured"));
    assert_eq!(pending(&desk, 6), (1, 1));
    let file = fs::read_to_string(desk.path("config.toml")).unwrap();
    let with = |command: &str| {
        let global = format!("{file}[erasure]\nreplay = ['sh', '-c', '{command}']\n");
        desk.put("config.toml", global.as_bytes());
    };
    with("echo no such table >&2; exit 4");
    let failed = drill(&desk, "docs", 6);
    assert!(detail(&failed, "erasures", "fail").contains("no such table"));
    assert_eq!(pending(&desk, 6), (2, 2));
    // What a later one proves makes the earlier ones good, which left nothing.
    with("exit 0");
    detail(&drill(&desk, "docs", 0), "erasures", "pass");
    assert_eq!(pending(&desk, 0), (0, 3));
    assert_eq!(fs::read_dir(desk.path("room")).unwrap().count(), 0);
}

#[test]
fn a_drill_of_what_does_not_come_back_leaves_nothing_to_erase() {
    let desk = files("replay = ['true']\n");
    let gone =
        "[drill.gone]\njob = 'docs'\ntarget = 'files'\nscratch = 'room'\npath = 'not/there'\n";
    let file = fs::read_to_string(desk.path("config.toml")).unwrap() + gone;
    desk.put("config.toml", file.as_bytes());
    detail(&drill(&desk, "gone", 6), "restore", "fail");
    assert_eq!(pending(&desk, 0), (0, 1));
}

#[test]
fn a_database_is_told_to_the_command_before_its_assertions() {
    let drills = "[job.db]\nkind = 'postgres'\ndsn = 'host=@SOCKET@ user=postgres dbname=app'\n\
         replay = ['sh', '-c', 'psql -X -q -d \"$SBF_REPO_REPLAY_TARGET\" -c \"delete from users where id = $SBF_REPO_REPLAY_SUBJECTS\"']\n\
         [drill.d]\nsource = 'db'\ntarget = 'scratch'\nscratch = '@SCRATCH@'\n\
         assert = ['select count(*) = 999 from users', 'select not exists (select from users where id = 17)']\n";
    let Some(exercise) = Exercise::start(drills) else { return };
    exercise.back_up(&[]);
    let add = ["erasure", "add", "--source", "db", "--subject", "17"];
    check(&exercise.run(&add), 0);
    let drill = exercise.drill(&[], 0);
    detail(&drill, "re-dump", "pass");
    detail(&drill, "erasures", "pass");
    detail(&drill, "assert-2", "pass");
}
