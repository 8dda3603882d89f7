//! What runs record for whoever looks later, and what `controls` and `retention verify` make of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::configured::desk;
use crate::configured::json;
use crate::configured::run;
use serde_json::Value;
use std::collections::BTreeMap;

const JOB: &str = "[job.docs]\nkind = 'files'\npaths = ['data']\nschedule = '*-*-* 00:00:00 UTC'\ngrace = '30h'\n";

/// How many records of a kind there are.
fn records(desk: &Desk, kind: &str) -> usize {
    desk.place.keys(&format!("records/{kind}")).len()
}

/// Each control and its outcome.
fn outcomes(desk: &Desk, exit: i32) -> BTreeMap<String, String> {
    let found = json(desk, &["controls"], exit);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let controls = found["controls"].as_array().unwrap().iter();
    controls.map(|control| (text(&control["id"]), text(&control["outcome"]))).collect()
}

/// The time of a day so many days ago, at noon.
fn noon(ago: i64) -> String {
    let today = jiff::Timestamp::now().as_second() / 86_400;
    jiff::Timestamp::from_second((today - ago) * 86_400 + 43_200).unwrap().to_string()
}

#[test]
fn a_run_records_what_is_planned_once_and_how_things_stand_once_a_day() {
    let desk = desk(&format!("{JOB}[check]\nmax_age = '35d'\n"));
    check(&run(&desk, &["run", "docs"]), 0);
    assert_eq!((records(&desk, "plan"), records(&desk, "state")), (1, 1));
    check(&run(&desk, &["run", "docs"]), 0);
    check(&run(&desk, &["run", "--task", "status"]), 0);
    assert_eq!((records(&desk, "plan"), records(&desk, "state")), (1, 1));
    // What the file says now is planned from now on, and a copy that cannot be looked at is worth another record.
    let copy = "[[copy]]\nname = 'near'\nurl = 'near'\nmode = 'snapshots'\nkey_file = 'near.key'\n";
    desk.put("config.toml", format!("{JOB}rpo = '26h'\n{copy}").as_bytes());
    check(&run(&desk, &["run", "--task", "status"]), 6);
    assert_eq!((records(&desk, "plan"), records(&desk, "state")), (2, 2));
    check(&desk.run(&["--repo", "near", "--key-file", "near.key", "init"]), 0);
    check(&run(&desk, &["run", "--task", "copies"]), 0);
    assert_eq!((records(&desk, "plan"), records(&desk, "state")), (2, 3));
    check(&run(&desk, &["run", "--task", "copies"]), 0);
    assert_eq!((records(&desk, "plan"), records(&desk, "state")), (2, 3));
}

#[test]
fn runs_are_expected_from_the_day_on_which_they_are_installed() {
    let desk = desk(JOB);
    let words = ["schedule", "install", "--directory", "units", "--no-enable"];
    check(&run(&desk, &words), 0);
    check(&run(&desk, &words), 0);
    assert_eq!(records(&desk, "plan"), 1);
    let found = outcomes(&desk, 6);
    // A plan stands; that nobody ever looked at anything is told, too.
    assert_eq!((found["plan"].as_str(), found["immutability"].as_str()), ("pass", "fail"));
    // Where nothing can be recorded it is still installed.
    let gone = JOB.replace("docs", "other");
    desk.put("config.toml", gone.as_bytes());
    let installed = run(&desk, &[&["--repo", "nowhere"], &words[..]].concat());
    check(&installed, 0);
    assert!(err(&installed).contains("this plan is not recorded: "), "{}", err(&installed));
}

#[test]
fn each_role_records_what_it_may_and_no_backup_fails_for_the_rest() {
    let desk = desk(JOB);
    for role in ["writer", "reader", "auditor"] {
        let key = format!("{role}.key");
        check(&desk.run(&["key", "add", "--role", role, "--new-key-file", &key]), 0);
    }
    let wrote = run(&desk, &["run", "docs", "--key-file", "writer.key"]);
    check(&wrote, 0);
    assert!(!err(&wrote).contains("not recorded"), "{}", err(&wrote));
    assert_eq!((records(&desk, "plan"), records(&desk, "state")), (1, 1));
    // Others remember nothing of this host: each says what it may.
    for (role, state) in [("reader", 2), ("auditor", 2)] {
        std::fs::remove_dir_all(desk.path("state")).unwrap_or_default();
        let key = format!("{role}.key");
        let looked = run(&desk, &["run", "--task", "status", "--key-file", &key]);
        check(&looked, 0);
        assert!(!err(&looked).contains("not recorded"), "{}", err(&looked));
        assert_eq!((records(&desk, "plan"), records(&desk, "state")), (1, state), "{role}");
    }
}

#[test]
fn controls_hold_where_what_was_planned_came() {
    let text = format!("{JOB}rpo = '26h'\n[retention]\ndaily = 7\n[check]\nmax_age = '35d'\n");
    let desk = desk(&text);
    // Nothing was planned: nothing can fail.
    let none = outcomes(&desk, 0);
    assert!(none.values().all(|outcome| outcome == "not-applicable"), "{none:?}");
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "writer.key"]), 0);
    check(&run(&desk, &["run", "docs", "--key-file", "writer.key"]), 0);
    check(&run(&desk, &["run", "--task", "check"]), 0);
    let found = outcomes(&desk, 0);
    for id in [
        "plan",
        "frequency",
        "retention",
        "recovery-point",
        "verification",
        "deletion",
        "encryption",
    ] {
        assert_eq!(found[id], "pass", "{id}: {found:?}");
    }
    for id in ["runs", "second-copy", "immutability", "restore-time", "drill-age", "key-age"] {
        assert_eq!(found[id], "not-applicable", "{id}: {found:?}");
    }
    let shown = run(&desk, &["controls"]);
    check(&shown, 0);
    assert!(out(&shown).contains("n/a") && !out(&shown).contains("FAIL"), "{}", out(&shown));
    // The admin's key may delete what it made; the copy that is planned is there now.
    let more = "[[copy]]\nname = 'far'\nurl = 'far'\nmode = 'mirror'\n[maintenance]\nmax_key_age = '400d'\n";
    desk.put("config.toml", format!("{text}{more}").as_bytes());
    check(&run(&desk, &["run", "docs"]), 0);
    let found = outcomes(&desk, 6);
    assert_eq!((found["deletion"].as_str(), found["second-copy"].as_str()), ("fail", "pass"));
    assert_eq!(found["key-age"], "pass", "{found:?}");
}

#[test]
fn what_was_not_kept_fails_a_control() {
    let copy = "[[copy]]\nname = 'far'\nurl = 'far'\nmode = 'snapshots'\nkey_file = 'far.key'\n";
    let desk = desk(&format!("{JOB}rpo = '26h'\n{copy}"));
    let old = ["snapshot", "data", "--source", "docs", "--time", &noon(3)];
    check(&desk.run(&old), 0);
    check(&run(&desk, &["run", "--task", "status"]), 6);
    let found = json(&desk, &["controls"], 6);
    let of = |id: &str| {
        let mut controls = found["controls"].as_array().unwrap().iter();
        let control = controls.find(|control| control["id"] == id).unwrap();
        assert_eq!(control["outcome"], "fail", "{control}");
        assert!(!control["evidence"].as_array().unwrap().is_empty(), "{control}");
        control["words"].as_str().unwrap().to_owned()
    };
    assert!(of("recovery-point").contains("the newest data of docs was"));
    assert!(of("frequency").contains("and may be 26h"));
    assert!(of("second-copy").contains("nobody could look at the copy far"));
    assert!(of("deletion").contains("has the role admin"));
    // A month that was before all of it holds nothing.
    let before = json(&desk, &["controls", "--month", "2020-01"], 0);
    let controls = before["controls"].as_array().unwrap();
    assert!(controls.iter().all(|control| control["outcome"] == "not-applicable"), "{before}");
}

#[test]
fn a_snapshot_that_was_forgotten_early_is_found_with_who_and_why() {
    let desk = desk(&format!("{JOB}[retention]\ndaily = 7\n"));
    for ago in [3, 2, 1] {
        let old = ["snapshot", "data", "--source", "docs", "--time", &noon(ago)];
        check(&desk.run(&old), 0);
    }
    let words = ["retention", "verify"];
    // Nothing is planned, so that nothing can be proved.
    check(&run(&desk, &words), 7);
    check(&run(&desk, &["run", "docs"]), 0);
    let whole = json(&desk, &words, 0);
    let slots = whole["sources"][0]["slots"].as_array().unwrap();
    let filled = slots.iter().filter(|slot| slot["snapshot"].is_string()).count();
    assert_eq!(filled, 4, "{whole}");
    let victim = slots.iter().find(|slot| slot["label"] == noon(2)[..10]).unwrap();
    let victim = victim["snapshot"].as_str().unwrap();
    check(&desk.run(&["forget", victim, "--reason", "made\u{1b}[2J\u{7}\nroom"]), 0);
    let found = json(&desk, &words, 6);
    let gone = &found["sources"][0]["gone_early"][0];
    assert_eq!(gone["snapshot"], victim, "{found}");
    assert_eq!(
        (&gone["by_policy"], gone["reason"].as_str()),
        (&Value::Bool(false), Some("made\u{1b}[2J\u{7}\nroom"))
    );
    assert!(gone["who"].as_str().unwrap().starts_with("user "), "{gone}");
    let lacks: Vec<&str> = found["lacks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|lack| lack["what"].as_str())
        .collect();
    assert_eq!(lacks, [format!("daily {}", &noon(2)[..10]), format!("snapshot {victim}")]);
    let shown = run(&desk, &words);
    check(&shown, 6);
    // No word of a person reaches the terminal as it is.
    assert!(err(&shown).contains("made\\u{1b}[2J\\u{7}\\nroom"), "{}", err(&shown));
    let told = run(&desk, &["controls"]);
    let raw = |text: &str| text.contains(['\u{1b}', '\u{7}']);
    assert!(out(&told).contains("\\nroom") && !raw(&out(&told)), "{}", out(&told));
    assert!(!raw(&out(&shown)) && !raw(&err(&shown)) && !raw(&err(&told)));
    assert_eq!(json(&desk, &["controls"], 6)["exit_code"], 6);
    // What is undone was not forgotten.
    check(&desk.run(&["forget", "--undo", victim]), 0);
    check(&run(&desk, &words), 0);
    // Another policy than that which is planned.
    let other = ["forget", "--keep-last", "2", "--force", "--source", "docs"];
    check(&desk.run(&other), 0);
    let found = json(&desk, &words, 6);
    let gone = found["sources"][0]["gone_early"].as_array().unwrap();
    assert_eq!(gone.len(), 2, "{found}");
    assert!(gone.iter().all(|gone| gone["by_policy"] == true), "{found}");
    check(&run(&desk, &["retention", "verify", "--source", "nothing"]), 1);
}

#[test]
fn what_is_kept_beyond_is_what_forget_takes() {
    let desk = desk(&format!("{JOB}[retention]\ndaily = 2\n"));
    let mut made = Vec::new();
    for ago in [5, 4, 3, 2, 1] {
        let old = ["--json", "snapshot", "data", "--source", "docs", "--time", &noon(ago)];
        let report: Value = serde_json::from_str(&out(&desk.run(&old))).unwrap();
        made.push(report["snapshot"].as_str().unwrap().to_owned());
    }
    check(&desk.run(&["hold", &made[0], "--reason", "legal"]), 0);
    let install = ["schedule", "install", "--directory", "units", "--no-enable"];
    check(&run(&desk, &install), 0);
    let beyond = |found: &Value| {
        let beyond = found["sources"][0]["beyond"].as_array().unwrap().iter();
        let each = |one: &Value| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            (text("snapshot"), text("why"))
        };
        beyond.map(each).collect::<Vec<_>>()
    };
    let words = ["retention", "verify"];
    let found = json(&desk, &words, 0);
    let expected: Vec<(String, String)> = [(0, "held"), (1, ""), (2, "")]
        .map(|(number, why): (usize, &str)| (made[number].clone(), why.to_owned()))
        .into();
    assert_eq!(beyond(&found), expected);
    // Without a grace it is too much, but for what is held.
    check(&run(&desk, &["retention", "verify", "--grace", "0s"]), 6);
    check(&run(&desk, &["run", "--task", "forget"]), 0);
    let found = json(&desk, &words, 0);
    let waits: Vec<bool> =
        beyond(&found).iter().map(|(_, why)| why.starts_with("forgotten at ")).collect();
    assert_eq!(waits, [false, true, true], "{found}");
}

#[test]
fn times_that_nobody_knows_are_refused() {
    let desk = desk(JOB);
    for words in [
        &["controls", "--month", "2199-01"][..],
        &["controls", "--at", "2199-01-01"],
        &["controls", "--month", "2026-1"],
        &["retention", "verify", "--at", "soon"],
        &["retention", "verify", "--at", "2026-01-01", "--month", "2026-01"],
    ] {
        check(&run(&desk, words), 2);
    }
}
