//! Incidents: the time to recover, and the restores in it.

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::report_site::Site;
use sbf_repo::format::attest::incident::Incident;
use serde_json::Value;
use serde_json::json;

fn desk() -> Desk {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    check(&desk.run(&["snapshot", "data", "--source", "other"]), 0);
    desk
}

#[test]
fn the_time_to_recover_is_measured_with_the_restores_in_it() {
    let desk = desk();
    let open = ["incident", "open", "--words", "the disk is gone", "--source", "docs"];
    let more = ["--at", "2026-01-01T10:00:00Z", "--ticket", "OPS-1"];
    let opened = desk.json(&[&open[..], &more].concat(), 0);
    let name = opened["incident"].as_str().unwrap();
    check(&desk.run(&["restore", "docs@latest", "--target", "back"]), 0);
    check(&desk.run(&["restore", "other@latest", "--target", "elsewhere"]), 0);
    check(&desk.run(&["restore", "docs@latest", "--target", "never", "--dry-run"]), 0);
    let listed = desk.json(&["incident", "list"], 0)["incidents"][0].clone();
    assert!(listed["closed"].is_null(), "{listed}");
    let runs = listed["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{listed}");
    assert_eq!((&runs[0]["operation"], &runs[0]["exit_code"]), (&"restore".into(), &0.into()));
    assert!(runs[0]["record"].as_str().unwrap().starts_with("audit/"), "{listed}");
    let close =
        ["incident", "close", &name[..6], "--words", "restored", "--at", "2026-01-01T12:30:00Z"];
    let data = ["--data-time", "2026-01-01T02:00:00Z"];
    let closed = desk.json(&[&close[..], &data].concat(), 0);
    assert_eq!(closed["closed"]["recovered_after_seconds"], 9000, "{closed}");
    assert_eq!(closed["closed"]["lost_seconds"], 8 * 3600, "{closed}");
    // What came after its end is not of it.
    let listed = desk.json(&["incident", "list"], 0)["incidents"][0].clone();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 0, "{listed}");
    let words = out(&desk.run(&["incident", "list"]));
    assert!(words.contains("back after 2 h 30 min") && words.contains("(OPS-1)"), "{words}");
    let again = desk.run(&close);
    check(&again, 14);
    assert!(err(&again).contains("was closed"), "{}", err(&again));
}

#[test]
fn the_data_that_came_back_is_that_of_the_snapshots() {
    let desk = desk();
    let opened = desk.json(&["incident", "open", "--words", "gone"], 0);
    let name = opened["incident"].as_str().unwrap();
    let words = [
        "incident",
        "close",
        name,
        "--words",
        "back",
        "--snapshot",
        "docs@latest",
        "--snapshot",
        "other@latest",
    ];
    let closed = desk.json(&words, 0)["closed"].clone();
    let newest = desk.json(&["snapshots", "--source", "other"], 0);
    let newest = &newest["snapshots"][0];
    assert_eq!(closed["snapshots"].as_array().unwrap().len(), 2, "{closed}");
    let data = closed["data_time"].as_str().unwrap();
    assert_eq!(newest["manifest"]["predicate"]["times"]["data"].as_str().unwrap_or(data), data);
}

#[test]
fn the_list_and_the_report_tell_the_same_of_an_incident_that_two_closed() {
    let site = Site::empty();
    let incident = "ab".repeat(16);
    let open = json!({"incident": incident, "phase": "open", "at": "2025-10-03T09:00:00Z", "words": "gone"});
    site.attest::<Incident>("2025-10-03T10:00:00Z", &open);
    for (time, at, words) in [
        ("2025-10-03T12:00:00Z", "2025-10-03T11:00:00Z", "first"),
        ("2025-10-03T12:00:01Z", "2025-10-05T11:00:00Z", "second"),
    ] {
        let close = json!({"incident": incident, "phase": "close", "at": at, "words": words});
        site.attest::<Incident>(time, &close);
    }
    let json = |words: &[&str]| -> Value {
        let output = site.scratch.run(&[words, &["--json"]].concat(), 0);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let listed = json(&["incident", "list"])["incidents"][0].clone();
    let told = json(&["report", "--month", "2025-10"])["report"]["incidents"][0].clone();
    assert_eq!(listed["closed"]["words"], "first", "{listed}");
    assert_eq!(listed["closed"]["recovered_after_seconds"], told["seconds"], "{told}");
    assert_eq!(listed["closed"]["at"], told["ended"], "{told}");
    assert_eq!(told["words"], json!(["gone", "first"]), "{told}");
    assert_eq!(told["evidence"], json!([listed["record"], listed["closed"]["record"]]), "{told}");
}

#[test]
fn a_name_that_nothing_is_backed_up_as_is_recorded_and_warned_of() {
    let desk = desk();
    let open = ["incident", "open", "--words", "gone", "--source"];
    let known = desk.run(&[&open[..], &["docs"]].concat());
    check(&known, 0);
    assert!(!err(&known).contains("warning"), "{}", err(&known));
    let unknown = desk.run(&[&open[..], &["dosc\u{7}", "--source", "docs"]].concat());
    check(&unknown, 0);
    let said = err(&unknown);
    assert!(said.contains("warning: nothing is backed up as `dosc\\u{7}`"), "{said}");
    assert!(!said.contains("as `docs`"), "{said}");
    assert_eq!(desk.json(&["incident", "list"], 0)["incidents"].as_array().unwrap().len(), 2);
}

#[test]
fn an_incident_that_was_taken_away_is_missed_by_who_recorded_it() {
    let desk = desk();
    check(&desk.run(&["incident", "open", "--words", "gone"]), 0);
    let record = desk.place.keys("records/incident")[0].clone();
    desk.place.remove(record.as_str());
    let listed = desk.run(&["incident", "list"]);
    check(&listed, 5);
    assert!(err(&listed).contains("went back in time"), "{}", err(&listed));
    assert!(!err(&listed).contains("there is no incident"), "{}", err(&listed));
    let findings = desk.json(&["incident", "list"], 5)["findings"].clone();
    assert_eq!(findings.as_array().unwrap().len(), 1, "{findings}");
}

#[test]
fn what_cannot_be_is_refused() {
    let desk = desk();
    let refused = |words: &[&str], exit: i32, why: &str| {
        let output = desk.run(&[&["incident"], words].concat());
        check(&output, exit);
        assert!(err(&output).contains(why), "{}", err(&output));
    };
    refused(&["open", "--words", ""], 2, "what happened");
    refused(&["open", "--words", "x", "--at", "2199-01-01"], 2, "in the future");
    refused(&["close", "ffff", "--words", "x"], 2, "there is no incident ffff");
    let mut names: Vec<String> = Vec::new();
    for _number in 0..2 {
        let opened = desk.json(&["incident", "open", "--words", "x"], 0);
        names.push(opened["incident"].as_str().unwrap().to_owned());
    }
    refused(&["close", &names[0][..3], "--words", "x"], 2, "at least 4 digits");
    refused(&["close", &names[0], "--words", "x", "--at", "2020-01-01"], 2, "it began at");
    refused(&["close", &names[0], "--words", "x", "--at", "2199-01-01"], 2, "in the future");
    let newer = ["close", &names[0], "--words", "x", "--data-time", "2199-01-01"];
    refused(&newer, 2, "newer than the end");
    check(&desk.run(&["incident", "close", &names[0], "--words", "back"]), 0);
    refused(&["close", &names[0], "--words", "x"], 14, "was closed");
    let listed = desk.json(&["incident", "list"], 0);
    let open = listed["incidents"].as_array().unwrap().iter().filter(|row| row["closed"].is_null());
    assert_eq!(open.count(), 1);
}
