//! `report` as people run it: the numbers, the bytes, the signature.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::out;
use crate::report_site::Site;
use crate::report_site::plan;
use crate::schema::Schemas;
use crate::scratch::expect_code;
use crate::scratch::put;
use sbf_repo::format::attest::plan::Plan;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

fn report(site: &Site, arguments: &[&str]) -> Value {
    let output = site.scratch.run(&[&["report", "--json"], arguments].concat(), 0);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong = Schemas::read(Path::new("docs/schema")).check("report", &told);
    assert!(wrong.is_empty(), "{wrong:#?}");
    told["report"].clone()
}

#[test]
fn a_month_is_told_by_its_numbers() {
    let told = report(&Site::new(), &["--month", "2026-10"]);
    let total = json!({"expected": 35, "succeeded": 31, "late": 1, "incomplete": 0, "failed": 1, "missed": 2, "open": 0,
        "success_hundredths": 8857});
    assert_eq!(told["runs"]["total"], total);
    assert_eq!(told["runs"]["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(told["recovery_points"][0]["over_count"], 3);
    assert_eq!(told["incidents"][0]["seconds"], 75 * 60);
    assert_eq!(told["drills"].as_array().unwrap().len(), 2);
    assert_eq!(told["drills"][0]["sign_offs"][0]["by"], "K. Okafor");
    assert_eq!(told["growth"]["states"].as_array().unwrap().len(), 31);
    assert_eq!(told["verification"]["coverage"]["hundredths"], 10_000);
    // Everything of before the erasure, of one source.
    assert_eq!(told["erasures"][0]["holding"], 48);
    assert_eq!(told["deletions"][0]["versions"], json!([12, "2026-11-17T06:00:00Z"]));
    assert_eq!(told["verdict"]["level"], "bad");
}

#[test]
fn the_same_records_give_the_same_bytes_to_everybody_and_are_signed() {
    let site = Site::new();
    let path = |name: &str| site.scratch.path(name).to_str().unwrap().to_owned();
    site.scratch
        .run(&["key", "add", "--role", "auditor", "--new-key-file", &path("auditor.key")], 0);
    let month = ["report", "--month", "2026-10"];
    let (html, table) = (path("one.html"), path("one.csv"));
    site.scratch.run(&[&month[..], &["--html", &html, "--csv", &table, "--sign"]].concat(), 0);
    let first = fs::read(&html).unwrap();
    // Another role, another time zone and directory, no configuration, no memory of the repository.
    let mut command = site.scratch.command(&month);
    command.args(["--html", &path("two.html"), "--key-file", &path("auditor.key")]);
    command.env("TZ", "Pacific/Auckland").env("SBF_REPO_STATE_DIR", path("other-state"));
    command.env_remove("SBF_REPO_KEY_FILE").current_dir("/");
    assert!(command.output().unwrap().status.success());
    assert!(fs::read(path("two.html")).unwrap() == first);
    site.scratch.run(&["evidence", "export", &path("bundle")], 0);
    let verify = |file: &str| {
        let signers = path("bundle/allowed_signers");
        let text = fs::read_to_string(&signers).unwrap();
        let client = text.split_whitespace().next().unwrap().to_owned();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-f", &signers, "-I", &client, "-n", "sbf-repo-evidence"]);
        command.args(["-s", &format!("{file}.sig")]).stdin(fs::File::open(file).unwrap());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(verify(&html) && verify(&table));
    put(&html, [&first[..], b" "].concat());
    assert!(!verify(&html));
}

#[test]
fn the_table_has_a_row_for_each_run_and_snapshot_and_no_formula() {
    let site = Site::empty();
    let mut said = plan();
    said["jobs"][0]["name"] = "=cmd|' /C calc'!A0".into();
    site.attest::<Plan>("2026-10-01T00:00:00Z", &said);
    site.snapshot("2026-10-02T02:00:01Z", "app-db");
    let file = site.scratch.path("table.csv");
    let output = site.scratch.run(
        &["report", "--from", "2026-10-01", "--to", "2026-10-03", "--csv", file.to_str().unwrap()],
        0,
    );
    assert!(out(&output).contains("1 of 3"), "{}", out(&output));
    let text = fs::read_to_string(file).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.iter().filter(|row| row.starts_with("run,'=cmd")).count(), 3, "{text}");
    assert_eq!(rows.iter().filter(|row| row.starts_with("snapshot,")).count(), 1, "{text}");
    let columns = rows[0].split(',').count();
    assert!(rows.iter().all(|row| row.split(',').count() == columns), "{text}");
}

#[test]
fn nothing_that_was_expected_is_no_success() {
    let site = Site::empty();
    site.snapshot("2026-10-02T02:00:01Z", "app-db");
    let told = report(&site, &["--month", "2026-10"]);
    assert_eq!(told["runs"]["total"]["success_hundredths"], Value::Null);
    assert_eq!(told["verdict"]["level"], "attention", "{}", told["verdict"]);
    let text = out(&site.scratch.run(&["report", "--month", "2026-10"], 0));
    assert!(text.contains("No plan was recorded: nothing was expected"), "{text}");
    assert!(!text.contains("100 %"), "{text}");
}

#[test]
fn what_cannot_be_read_is_told_first() {
    let site = Site::empty();
    let key = site.attest::<Plan>("2026-10-01T00:00:00Z", &plan());
    site.scratch.place.alter(&key.parse().unwrap(), |bytes| bytes[200] ^= 1);
    let output = site.scratch.run(&["report", "--month", "2026-10", "--json"], 5);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = &told["report"]["verdict"];
    assert_eq!(verdict["level"], "bad");
    assert_eq!(verdict["points"][0]["section"], "records");
    let file = site.scratch.path("page.html");
    site.scratch.run(&["report", "--month", "2026-10", "--html", file.to_str().unwrap()], 5);
    let page = fs::read_to_string(file).unwrap();
    assert!(page.contains("Records that cannot be read") && page.contains(&key), "{page}");
}

#[test]
fn a_record_that_is_missing_from_the_log_is_told_by_all_who_read_it() {
    let site = Site::empty();
    for day in 1..4 {
        site.audit(&format!("2025-10-0{day}T02:00:00Z"), "restore", "app-db", 0);
    }
    let records = site.scratch.place.keys("audit");
    site.scratch.place.remove(records[3].as_str());
    let month = ["report", "--month", "2025-10", "--json"];
    for command in [&month[..], &["controls"], &["retention", "verify"], &["audit", "list"]] {
        let mut command = site.scratch.command(command);
        // Who remembers nothing sees it, too.
        let output = command.env("SBF_REPO_STATE_DIR", site.scratch.path("none")).output().unwrap();
        expect_code(&output, 5);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("records 4 to 4 are missing"), "{said}");
    }
    let told = site.scratch.run(&month, 5);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let report = &told["report"];
    assert_eq!(report["findings"][0]["code"], "audit.gap", "{}", report["findings"]);
    assert_eq!(report["verdict"]["level"], "bad");
}

#[test]
fn what_one_host_remembers_is_said_to_it_and_not_in_the_report() {
    let site = Site::empty();
    site.attest::<Plan>("2025-10-01T00:00:00Z", &plan());
    site.scratch.run(&["incident", "open", "--words", "gone"], 0);
    let record = site.scratch.place.keys("records/incident")[0].clone();
    site.scratch.place.remove(record.as_str());
    let told = |state: &str, code: i32| -> (Value, String, Vec<u8>) {
        let file = site.scratch.path(state).with_extension("html");
        let month = ["report", "--month", "2025-10", "--json", "--html", file.to_str().unwrap()];
        let mut command = site.scratch.command(&month);
        let output = command.env("SBF_REPO_STATE_DIR", site.scratch.path(state)).output().unwrap();
        expect_code(&output, code);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wrong = Schemas::read(Path::new("docs/schema")).check("report", &told);
        assert!(wrong.is_empty(), "{wrong:#?}");
        (told, String::from_utf8(output.stderr).unwrap(), fs::read(file).unwrap())
    };
    let (known, said, page) = told("state", 5);
    assert!(said.contains("went back in time"), "{said}");
    assert_eq!(known["findings"].as_array().unwrap().len(), 1, "{}", known["findings"]);
    let (unknown, said, other) = told("none", 0);
    assert!(!said.contains("went back"), "{said}");
    assert_eq!(known["report"], unknown["report"]);
    assert!(page == other, "the pages differ");
}

#[test]
fn names_are_words_whatever_they_hold() {
    let site = Site::empty();
    let mut said = plan();
    let hostile = "</td><script>alert(1)</script>\"' onload=x \u{202e}\u{1b}[2J";
    said["jobs"][0]["name"] = hostile.into();
    said["jobs"][0]["source"] = hostile.into();
    said["timezone"] = "Nowhere/<b>".into();
    said["jobs"] = json!([said["jobs"][0]]);
    site.attest::<Plan>("2026-10-01T00:00:00Z", &said);
    let file = site.scratch.path("page.html");
    let month = ["report", "--month", "2026-10"];
    site.scratch.run(&[&month[..], &["--html", file.to_str().unwrap()]].concat(), 0);
    let page = fs::read_to_string(file).unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains("<b>"));
    let text = out(&site.scratch.run(&month, 0));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn wrong_periods_are_refused() {
    let site = Site::empty();
    for (arguments, code) in [
        (&["--month", "2026-13"][..], 2),
        (&["--month", "2026-1"], 2),
        (&["--month", "2026-10", "--year", "2026"], 2),
        (&["--from", "2026-10-02", "--to", "2026-10-01"], 2),
        (&["--from", "2026-10-02"], 2),
        (&["--month", "2026-10", "--sign"], 2),
        (&[], 2),
    ] {
        site.scratch.run(&[&["report"], arguments].concat(), code);
    }
}
