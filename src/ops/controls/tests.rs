//! Each control passes, fails, and is not applicable, on ledgers that differ in one thing.

use crate::format::attest::drill::Outcome;
use crate::format::attest::plan::Plan;
use crate::format::coverage::CheckRecord;
use crate::format::keyslot::Role;
use crate::ops::controls::Control;
use crate::ops::controls::ControlOutcome;
use crate::ops::controls::controls;
use crate::ops::evidence::export::Period;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::fixture::DAY;
use crate::ops::ledger::fixture::HOUR;
use crate::ops::ledger::fixture::day;
use crate::ops::ledger::fixture::drill;
use crate::ops::ledger::fixture::empty;
use crate::ops::ledger::fixture::month;
use crate::ops::ledger::fixture::record;
use crate::ops::ledger::fixture::snapshot;
use crate::ops::ledger::fixture::state;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::ops::words::time_words;
use std::collections::BTreeSet;

/// October.
fn october() -> Period {
    Period::new(Some(day(1) - 2 * HOUR), Some(day(32) - 2 * HOUR - 1))
}

fn control(ledger: &Ledger, id: &str) -> Control {
    let all = controls(ledger, october());
    all.into_iter().find(|control| control.id == id).unwrap()
}

fn changed(change: impl FnOnce(&mut Ledger)) -> Ledger {
    let mut ledger = month();
    change(&mut ledger);
    ledger
}

fn planned(change: impl FnOnce(&mut Plan)) -> Ledger {
    changed(|ledger| change(&mut ledger.plans[0].said))
}

/// The control passes for the month, fails with these words when something changes, and is not applicable to the last.
#[track_caller]
fn check(id: &str, change: impl FnOnce(&mut Ledger), words: &str, unplanned: &Ledger) {
    let passed = control(&month(), id);
    assert_eq!(passed.outcome, ControlOutcome::Pass, "{passed:?}");
    assert!(!passed.evidence.is_empty() && passed.evidence.len() <= 20, "{passed:?}");
    let failed = control(&changed(change), id);
    assert_eq!(failed.outcome, ControlOutcome::Fail, "{failed:?}");
    assert!(failed.words.contains(words), "{}", failed.words);
    let none = control(unplanned, id);
    assert_eq!(none.outcome, ControlOutcome::NotApplicable, "{none:?}");
}

#[test]
fn ids_are_each_of_one_control() {
    let all = controls(&month(), october());
    let ids: BTreeSet<&str> = all.iter().map(|control| control.id).collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(all, controls(&month(), october()));
}

#[test]
fn a_plan_stands() {
    check("plan", |ledger| ledger.plans.clear(), "no plan with a job stood", &empty());
    let nothing_starts = |ledger: &mut Ledger| ledger.plans[0].said.jobs[0].schedule = None;
    check("plan", nothing_starts, "nothing says when db runs", &empty());
    let other = |ledger: &mut Ledger| ledger.snapshots[5].source = "other".to_owned();
    check("plan", other, "other is backed up, and no job says so", &empty());
}

#[test]
fn data_is_never_too_old() {
    let none = planned(|plan| plan.jobs[0].rpo_seconds = None);
    let gap = |ledger: &mut Ledger| drop(ledger.snapshots.remove(9));
    check("frequency", gap, "the newest data of db was 48h old, and may be 26h", &none);
    // Nothing ever came.
    let never = |ledger: &mut Ledger| ledger.snapshots.clear();
    check("frequency", never, "the newest data of db", &none);
    // What was left out does not count, and the last data is too old when the period ends.
    let late = |ledger: &mut Ledger| {
        ledger.snapshots[29].incomplete = true;
        ledger.snapshots[30].incomplete = true;
    };
    check("frequency", late, "at 2026-10-31T23:59:59Z", &none);
}

#[test]
fn a_snapshot_that_is_gone_is_no_recovery_point() {
    let gone = |ledger: &mut Ledger| {
        for known in &mut ledger.snapshots[25..] {
            known.state = SnapshotFate::Forgotten;
            known.forgotten = Some(day(31) + 2 * HOUR);
        }
    };
    let none = planned(|plan| plan.jobs[0].rpo_seconds = None);
    check("recovery-point", gone, "the newest data of db was 6d old", &none);
    check("frequency", gone, "at 2026-10-31T23:59:59Z the newest data of db was 6d old", &none);
    // Until it was forgotten it was one.
    let later = changed(|ledger| {
        gone(ledger);
        ledger.snapshots.iter_mut().for_each(|known| known.forgotten = Some(day(40)));
    });
    assert_eq!(control(&later, "frequency").outcome, ControlOutcome::Pass);
}

#[test]
fn plans_that_change_hide_no_data_that_is_too_old() {
    let churned = changed(|ledger| {
        ledger.snapshots.truncate(5);
        for number in 7..31 {
            let mut plan = ledger.plans[0].said.clone();
            plan.time = time_words(day(number), 0);
            plan.read_seconds = Some(u64::try_from(number).unwrap());
            ledger.plans.push(record("plan", usize::try_from(number).unwrap(), plan));
        }
    });
    let found = control(&churned, "frequency");
    assert_eq!(found.outcome, ControlOutcome::Fail, "{found:?}");
    assert_eq!(
        found.words,
        "at 2026-10-31T23:59:59Z the newest data of db was 26d old, and may be 26h"
    );
    // Nothing ever came: the first plan is the beginning.
    let never = changed(|ledger| {
        ledger.snapshots.clear();
        let mut plan = ledger.plans[0].said.clone();
        plan.time = time_words(day(31), 0);
        plan.read_seconds = None;
        ledger.plans.push(record("plan", 2, plan));
    });
    assert_eq!(control(&never, "frequency").outcome, ControlOutcome::Fail);
}

#[test]
fn hosts_may_have_jobs_of_one_name() {
    let two = changed(|ledger| {
        let mut plan = ledger.plans[0].said.clone();
        plan.host = "two".to_owned();
        plan.jobs[0].source = "other".to_owned();
        ledger.plans.push(record("plan", 2, plan));
        for number in 1..4 {
            let mut known = snapshot(100 + number, day(i64::from(number)));
            known.source = "other".to_owned();
            ledger.snapshots.push(known);
        }
    });
    let found = control(&two, "recovery-point");
    assert_eq!(found.outcome, ControlOutcome::Fail, "{found:?}");
    assert!(found.words.contains("28d old"), "{found:?}");
    assert_eq!(control(&two, "plan").outcome, ControlOutcome::Pass);
    assert_eq!(control(&two, "restore-time").outcome, ControlOutcome::Fail);
    assert_eq!(control(&two, "drill-age").outcome, ControlOutcome::Fail);
    let runs = control(&two, "runs");
    assert_eq!(runs.parameters["runs"], "34 of 62", "{runs:?}");
}

#[test]
fn a_run_that_was_missed_is_not_made_good_by_that_of_the_next_plan() {
    let replanned = changed(|ledger| {
        let mut plan = ledger.plans[0].said.clone();
        plan.time = time_words(day(10) + 10 * HOUR, 0);
        plan.jobs[0].schedule = Some("*-*-* 14:00:00 UTC".to_owned());
        ledger.plans.push(record("plan", 2, plan));
        for known in &mut ledger.snapshots[9..] {
            (known.started, known.data) = (known.started + 12 * HOUR, known.data + 12 * HOUR);
            known.finished += 12 * HOUR;
        }
    });
    let runs = control(&replanned, "runs");
    assert_eq!(runs.outcome, ControlOutcome::Fail, "{runs:?}");
    assert_eq!(runs.words, "db of 2026-10-10T02:00:00Z did not happen");
}

#[test]
fn what_the_newest_check_found_is_no_pass() {
    let check_at = |at: i64, findings: u64| CheckRecord {
        time: time_words(at, 0),
        finished: time_words(at + 60, 0),
        findings,
        ..CheckRecord::default()
    };
    let found = |ledger: &mut Ledger| ledger.checks.push(record("check", 1, check_at(day(9), 2)));
    let none = planned(|plan| plan.read_seconds = None);
    check("verification", found, "the newest check found 2 things that are wrong", &none);
    let mended = changed(|ledger| {
        found(ledger);
        ledger.checks.push(record("check", 2, check_at(day(10), 0)));
    });
    assert_eq!(control(&mended, "verification").outcome, ControlOutcome::Pass);
}

#[test]
fn planned_runs_come() {
    let none = planned(|plan| plan.jobs[0].schedule = None);
    let missed = |ledger: &mut Ledger| drop(ledger.snapshots.remove(9));
    check("runs", missed, "db of 2026-10-10T02:00:00Z did not happen", &none);
    let incomplete = |ledger: &mut Ledger| ledger.snapshots[9].incomplete = true;
    check("runs", incomplete, "left something out", &none);
    // Late ones came all the same; and what is not due yet is no failure.
    let late = changed(|ledger| ledger.snapshots[9].finished += 5 * HOUR);
    let late = control(&late, "runs");
    assert_eq!(late.outcome, ControlOutcome::Pass);
    assert!(late.words.contains("1 of them late"), "{late:?}");
    let open = changed(|ledger| drop(ledger.snapshots.pop()));
    let until = day(31) + HOUR;
    let found = controls(&open, Period::new(Some(day(1)), Some(until)));
    let runs = found.iter().find(|control| control.id == "runs").unwrap();
    assert_eq!(runs.outcome, ControlOutcome::Pass, "{runs:?}");
}

#[test]
fn nothing_is_missing_that_the_policy_keeps() {
    let none = planned(|plan| plan.keep.clear());
    let early = |ledger: &mut Ledger| {
        let known = &mut ledger.snapshots[29];
        known.state = SnapshotFate::Forgotten;
        known.forgotten = Some(day(30) + 5 * HOUR);
        known.reason = Some("a mistake".to_owned());
    };
    check("retention", early, "db lacked daily 2026-10-30", &none);
    check("retention", early, "a mistake", &none);
    // What the policy let go of in September is still there.
    let kept = |ledger: &mut Ledger| {
        for number in 0..20 {
            ledger.snapshots.push(snapshot(200 + number, day(-60 + i64::from(number))));
        }
    };
    check("retention", kept, "should be gone", &none);
}

#[test]
fn the_last_data_is_new_enough() {
    let none = planned(|plan| plan.jobs[0].rpo_seconds = None);
    let old = |ledger: &mut Ledger| ledger.snapshots.truncate(30);
    check("recovery-point", old, "the newest data of db was 45h old, and may be 26h", &none);
    check("recovery-point", |ledger| ledger.snapshots.clear(), "no complete snapshot", &none);
}

#[test]
fn data_comes_back_in_time() {
    let none = planned(|plan| plan.jobs[0].rto_seconds = None);
    let slow = |ledger: &mut Ledger| ledger.drills.push(record("drill", 2, drill(day(25), 10_800)));
    check("restore-time", slow, "db took 3h to come back, and may take 2h", &none);
    check("restore-time", |ledger| ledger.drills.clear(), "no drill showed", &none);
    // One that could not be verified shows nothing.
    let unverified = |ledger: &mut Ledger| ledger.drills[0].said.outcome = Outcome::NotVerified;
    check("restore-time", unverified, "no drill showed", &none);
}

#[test]
fn drills_pass_again_and_again() {
    let none = planned(|plan| plan.drills.clear());
    let failed = |ledger: &mut Ledger| ledger.drills[0].said.outcome = Outcome::Fail;
    check("drill-age", failed, "the drill db-drill never passed", &none);
    let old = |ledger: &mut Ledger| ledger.drills[0] = record("drill", 1, drill(day(-9), 60));
    check("drill-age", old, "is due every 31d", &none);
    // What comes after the end does not count.
    let later = |ledger: &mut Ledger| ledger.drills[0] = record("drill", 1, drill(day(40), 60));
    check("drill-age", later, "never passed", &none);
}

#[test]
fn copies_are_up_to_date() {
    let none = planned(|plan| plan.copies.clear());
    let behind = |ledger: &mut Ledger| {
        ledger.states[0].said.copies[0].behind_seconds = Some(3 * 86_400);
    };
    check("second-copy", behind, "the copy far was 3d behind, and may be 2d", &none);
    let lost = |ledger: &mut Ledger| {
        let copy = &mut ledger.states[0].said.copies[0];
        (copy.behind_seconds, copy.error) = (None, Some("access denied".to_owned()));
    };
    check("second-copy", lost, "nobody could look at the copy far: access denied", &none);
    let unseen = |ledger: &mut Ledger| ledger.states[0] = record("state", 1, state(day(10)));
    check("second-copy", unseen, "nobody looked at the copy far near the end", &none);
    // A host that cannot look takes nothing from what another one saw.
    let both = changed(|ledger| {
        let mut blind = state(day(31) + HOUR);
        blind.copies[0].error = Some("access denied".to_owned());
        ledger.states.push(record("state", 2, blind));
    });
    assert_eq!(control(&both, "second-copy").outcome, ControlOutcome::Pass);
}

#[test]
fn everything_is_read_in_time() {
    let none = planned(|plan| plan.read_seconds = None);
    let old = |ledger: &mut Ledger| {
        ledger.states[0].said.read_oldest = Some(time_words(day(31) - 40 * DAY, 0));
    };
    check("verification", old, "some data was last read 40d", &none);
    let unread = |ledger: &mut Ledger| {
        ledger.states[0].said.read_bytes = Some(700);
        ledger.snapshots.insert(0, snapshot(99, day(-20)));
    };
    check("verification", unread, "more than a fifth", &none);
    check("verification", |ledger| ledger.states.clear(), "nobody saw near the end", &none);
    let blind = |ledger: &mut Ledger| ledger.states[0].said.read_bytes = None;
    check("verification", blind, "nobody could tell", &none);
}

#[test]
fn who_writes_cannot_delete() {
    let none = changed(|ledger| ledger.snapshots.clear());
    let admin = |ledger: &mut Ledger| {
        ledger.signers[0].role = Role::Admin;
        ledger.states[0].said.store.locked_days = None;
    };
    check("deletion", admin, "has the role admin", &none);
    let versions = changed(|ledger| {
        admin(ledger);
        ledger.states[0].said.store.versions = Some(true);
    });
    assert_eq!(control(&versions, "deletion").outcome, ControlOutcome::Pass);
    let writer = changed(|ledger| ledger.states.clear());
    assert_eq!(control(&writer, "deletion").outcome, ControlOutcome::Pass);
}

#[test]
fn some_store_locks_what_is_new() {
    let mut none = month();
    none.states[0].said.store.kind = "directory".to_owned();
    none.states[0].said.copies.clear();
    let unlocked = |ledger: &mut Ledger| ledger.states[0].said.store.locked_days = None;
    check("immutability", unlocked, "no store locks what is new", &none);
    check("immutability", |ledger| ledger.states.clear(), "nobody saw", &none);
    assert_eq!(control(&empty(), "immutability").outcome, ControlOutcome::NotApplicable);
}

#[test]
fn what_is_stored_is_sealed() {
    check("encryption", |ledger| ledger.cipher = None, "does not know the format", &empty());
}

#[test]
fn keys_are_renewed() {
    let none = planned(|plan| plan.key_seconds = None);
    let old = |ledger: &mut Ledger| {
        ledger.signers[0].from = 0;
        ledger.signers[0].certified = Some(day(1) - 500 * DAY);
    };
    check("key-age", old, "was certified 530d", &none);
    let unknown = |ledger: &mut Ledger| ledger.signers[0].certified = None;
    let none_from = |ledger: &mut Ledger| {
        unknown(ledger);
        ledger.signers[0].from = 0;
    };
    check("key-age", none_from, "the store does not say when", &none);
    // One that was revoked or has ended signs nothing.
    let mut ended = month();
    old(&mut ended);
    ended.signers[0].until = Some(day(5));
    assert_eq!(control(&ended, "key-age").outcome, ControlOutcome::Pass);
}

#[test]
fn later_records_change_nothing_of_a_period_that_is_over() {
    let before = controls(&month(), october());
    let after = changed(|ledger| {
        let mut plan = ledger.plans[0].said.clone();
        plan.time = time_words(day(40), 0);
        plan.jobs.clear();
        ledger.plans.push(record("plan", 2, plan));
        ledger.states.push(record("state", 2, state(day(41))));
        ledger.snapshots.push(snapshot(50, day(50)));
        for known in &mut ledger.snapshots[..20] {
            known.state = SnapshotFate::Forgotten;
            known.forgotten = Some(day(60));
            known.by_policy = true;
        }
    });
    assert_eq!(controls(&after, october()), before);
}
