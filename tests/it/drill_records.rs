//! Records of drills: files, scenarios, copies, recovery kits, who stands for them, and what is told to others.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::err;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use crate::drill_program::Exercise;
use crate::drill_program::SCRATCH;
use crate::drill_program::detail;
use crate::scratch::put;
use crate::scratch::skip;
use crate::support::bytes_of;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const FILES: &str = "[job.docs]\nkind = 'files'\npaths = ['data']\nrpo = '26h'\nrto = '2h'\n\
     [drill.docs]\njob = 'docs'\ntarget = 'files'\nscratch = 'room'\nmax_age = '100d'\n\
     [drill.look]\njob = 'docs'\ntarget = 'command'\nscratch = 'room'\ncommand = ['sh', '-c', 'find . -name a.txt | grep -q .']\n\
     [drill.sum]\nsource = 'one'\ntarget = 'command'\ncommand = ['grep', '-q', 'all of it']\n\
     [[copy]]\nname = 'far'\nurl = 'far'\nmode = 'mirror'\n";

#[test]
fn files_come_back_for_a_while_and_objectives_are_judged() {
    let desk = desk(FILES);
    fs::create_dir(desk.path("room")).unwrap();
    let room = || fs::read_dir(desk.path("room")).unwrap().count();
    let due = json(&desk, &["status", "--no-copies"], 6)["status"]["missed"].to_string();
    assert!(due.contains("the drill docs was never done"), "{due}");
    check(&run(&desk, &["run", "docs"]), 0);
    let drill = json(&desk, &["drill", "run", "docs"], 0)["drill"].clone();
    for name in ["signatures", "restore", "contents", "rpo", "rto"] {
        detail(&drill, name, "pass");
    }
    assert_eq!((&drill["job"], &drill["rto_target_seconds"]), (&"docs".into(), &7200.into()));
    assert_eq!((room(), drill["phases"][0]["name"].as_str()), (0, Some("select")));
    let stands = json(&desk, &["status", "--no-copies"], 0);
    assert_eq!(stands["status"]["missed"].as_array().unwrap().len(), 0);
    let looked = json(&desk, &["drill", "run", "look"], 0)["drill"].clone();
    detail(&looked, "command", "pass");
    // Old data misses the objective, whatever comes back.
    let old = ["snapshot", "data", "--source", "docs", "--time", "2020-01-01T00:00:00Z"];
    let old = desk.json(&old, 0)["snapshot"].as_str().unwrap().to_owned();
    let drill = json(&desk, &["drill", "run", "docs", &old], 6)["drill"].clone();
    detail(&drill, "rpo", "fail");
    detail(&drill, "contents", "pass");
    assert_eq!(room(), 0);
    // A stream goes to the command as it is.
    let stream = [
        "snapshot",
        "--source",
        "one",
        "--stdin-name",
        "x",
        "--from-command",
        "--",
        "echo",
        "all of it",
    ];
    check(&desk.run(&stream), 0);
    let drill = json(&desk, &["drill", "run", "sum"], 0)["drill"].clone();
    assert_eq!(drill["bytes"], 10);
    // Only whoever may read does drills.
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer.key"]), 0);
    let refused = run(&desk, &["drill", "run", "docs", "--key-file", "writer.key"]);
    check(&refused, 15);
    assert!(
        err(&refused).contains("it needs a key of the role `reader` or `admin`"),
        "{}",
        err(&refused)
    );
    let told = desk.json(&["audit", "list"], 0)["runs"].to_string();
    assert!(told.contains("\"drill\""), "{told}");
}

#[test]
fn a_copy_is_drilled_alone() {
    let desk = desk(FILES);
    if desk.place.is_bucket() {
        return skip("a bucket's object is not damaged with a few lines");
    }
    fs::create_dir(desk.path("room")).unwrap();
    desk.put("data/big", &bytes_of(1, 300_000, 256));
    check(&run(&desk, &["run", "docs"]), 0);
    check(&run(&desk, &["mirror", "--to", "far"]), 0);
    for pack in desk.place.keys("packs") {
        desk.place.alter(&pack, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    }
    let damaged = json(&desk, &["drill", "run", "docs"], 5)["drill"].clone();
    assert_eq!(damaged["outcome"], "fail");
    let whole = json(&desk, &["drill", "run", "docs", "--from-copy", "far"], 0)["drill"].clone();
    assert_eq!((&whole["copy"], &whole["outcome"]), (&"far".into(), &"pass".into()));
    assert_eq!(json(&desk, &["drill", "list"], 0)["drills"].as_array().unwrap().len(), 2);
    assert_eq!(fs::read_dir(desk.path("room")).unwrap().count(), 0);
}

const SCENARIO: &str = "[drill.all]\ntarget = 'scenario'\n\
     [[drill.all.step]]\nwords = 'take the kit out of the safe'\nconfirm = true\n\
     [[drill.all.step]]\nwords = 'bring documents back'\ndrill = 'docs'\n\
     [[drill.all.step]]\nwords = 'it answers <&> \\\"well\\\"'\ncommand = ['sh', '-c', 'test ! -e broken']\n\
     [[drill.all.step]]\nwords = 'the end'\nconfirm = true\n";

#[test]
fn people_commands_and_drills_are_steps_of_a_scenario_which_somebody_stands_for() {
    let desk = desk(&format!("{FILES}{}", SCENARIO.replace("\\\"", "")));
    fs::create_dir(desk.path("room")).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    // Nobody is there to confirm.
    let alone = json_without_terminal(&desk, &["drill", "run", "all"], 7);
    detail(&alone["drill"], "step-1", "not-verified");
    detail(&alone["drill"], "step-3", "pass");
    let arguments = ["drill", "run", "all", "--confirmed-by", "Ann <A>", "--junit", "j.xml"];
    let done = json_without_terminal(&desk, &arguments, 0);
    let phases = done["drill"]["phases"].as_array().unwrap();
    assert_eq!(phases[0]["confirmed_by"], "Ann <A>");
    assert_eq!((phases.len(), done["drills"].as_array().unwrap().len()), (4, 1));
    assert!(done["drill"]["rpo_seconds"].is_u64() && done["drill"]["rto_milliseconds"].is_u64());
    let record = done["record"].as_str().unwrap();
    assert_eq!(elements(&fs::read_to_string(desk.path("j.xml")).unwrap(), "testcase"), 4);
    put(desk.path("broken"), "");
    let failed = json_without_terminal(
        &desk,
        &["drill", "run", "all", "--confirmed-by", "Ann", "--junit", "f.xml"],
        6,
    );
    detail(&failed["drill"], "step-3", "fail");
    assert_eq!(detail(&failed["drill"], "step-4", "not-verified"), "not reached");
    let xml = fs::read_to_string(desk.path("f.xml")).unwrap();
    assert_eq!((elements(&xml, "failure"), elements(&xml, "error")), (1, 1));
    // It is that drill which is signed off, and not another of its name.
    let sign =
        ["drill", "sign-off", record, "--by", "Berta", "--function", "head", "--words", "seen"];
    let signed = desk.json(&sign, 0)["sign_off"].clone();
    assert_eq!(signed["drill"], record);
    let shown =
        desk.json(&["drill", "show", record, "--test-result", "result.json"], 0)["drill"].clone();
    assert_eq!(shown["sign_offs"][0]["by"], "Berta");
    assert_eq!(
        desk.json(&["drill", "show", "all"], 0)["drill"]["sign_offs"],
        serde_json::json!([])
    );
    let statement: Value =
        serde_json::from_slice(&fs::read(desk.path("result.json")).unwrap()).unwrap();
    assert_eq!(statement["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
    assert_eq!(statement["predicate"]["result"], "PASSED");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], signed["sha256"]);
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "check-novalidate", "-n", "sbf-repo-evidence", "-s"]);
    verify
        .arg(desk.path("result.json.sig"))
        .stdin(fs::File::open(desk.path("result.json")).unwrap());
    let verified = verify.output().unwrap();
    check(&verified, 0);
    // The statement that was signed off is the one that auditors get.
    check(&desk.run(&["evidence", "export", "bundle"]), 0);
    let name = format!("bundle/records/{}.json", record.replace('/', "-"));
    let sum = Command::new("sha256sum").arg(desk.path(&name)).output().unwrap();
    let sum = crate::cli::out(&sum);
    assert_eq!(sum.split(' ').next(), signed["sha256"].as_str(), "{name}");
}

/// Runs without a terminal that could be asked.
fn json_without_terminal(desk: &crate::cli::Desk, arguments: &[&str], exit: i32) -> Value {
    let command = desk.command(&[&["--config", "config.toml", "--json"], arguments].concat());
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(command.get_program()).args(command.get_args()).env_clear();
    alone.current_dir(desk.path(""));
    alone.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = alone.stdin(std::process::Stdio::null()).output().unwrap();
    check(&output, exit);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many elements of a name a text of XML has, whose tags all close.
#[track_caller]
fn elements(text: &str, name: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut count = 0;
    let (_, text) = text.split_once("?>").unwrap();
    for piece in text.split('<').skip(1) {
        let (tag, behind) = piece.split_once('>').unwrap();
        assert!(!behind.contains('>') && tag.matches('"').count() % 2 == 0, "{piece}");
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closing));
            continue;
        }
        let word = tag.split([' ', '/']).next().unwrap();
        count += usize::from(word == name);
        if !tag.ends_with('/') {
            open.push(word);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    count
}

#[test]
fn the_recovery_kit_alone_brings_a_database_back() {
    let Some(exercise) = Exercise::start(SCRATCH) else { return };
    if exercise.desk.place.is_bucket() {
        return skip("a kit has no credentials for this place");
    }
    exercise.back_up(&[]);
    let desk = &exercise.desk;
    let kit = desk.run(&["key", "recovery-kit"]);
    check(&kit, 0);
    put(desk.path("kit"), &kit.stdout);
    put(desk.path("kit.json"), desk.run(&["key", "recovery-kit", "--json"]).stdout);
    let open = exercise.run(&["drill", "run", "d", "--cold", "--kit", "kit"]);
    check(&open, 2);
    for name in ["kit", "kit.json"] {
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    // What this host kept is out of reach.
    for name in ["key", "cache", "state"] {
        fs::rename(desk.path(name), desk.path(&format!("{name}.away"))).unwrap();
    }
    for name in ["kit", "kit.json"] {
        let drill = exercise.drill(&["--cold", "--kit", name], 0);
        assert_eq!((&drill["cache"], &drill["from_kit"]), (&"cold".into(), &true.into()));
        assert_eq!(detail(&drill, "re-dump", "pass"), "re-dump identical");
    }
    assert!(!desk.path("cache").exists() && !desk.path("state").join("memory").exists());
    for name in ["key", "cache"] {
        fs::rename(desk.path(&format!("{name}.away")), desk.path(name)).unwrap();
    }
    assert_eq!(exercise.json(&["drill", "list"], 0)["drills"].as_array().unwrap().len(), 2);
}
