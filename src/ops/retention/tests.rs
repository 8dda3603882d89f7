//! What had to be there was there, and nothing for longer: on ledgers that differ in one thing.

use crate::ops::forget::decide::decide;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::fixture::DAY;
use crate::ops::ledger::fixture::HOUR;
use crate::ops::ledger::fixture::day;
use crate::ops::ledger::fixture::deletion;
use crate::ops::ledger::fixture::empty;
use crate::ops::ledger::fixture::forget;
use crate::ops::ledger::fixture::plan;
use crate::ops::ledger::fixture::record;
use crate::ops::ledger::fixture::snapshot;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::ops::retention::GRACE_SECONDS;
use crate::ops::retention::RetentionSlot;
use crate::ops::retention::SourceRetention;
use crate::ops::retention::present::View;
use crate::ops::retention::present::candidate;
use crate::ops::retention::retention_at;
use crate::ops::retention::retention_over;
use crate::ops::words::time_words;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A year of daily snapshots, of which `forget` took what 7/4/12 does not keep, and of which all that was forgotten more
/// than a week ago is deleted.
fn year() -> Ledger {
    year_without(&[])
}

/// The same, without the snapshots of some days.
fn year_without(days: &[i64]) -> Ledger {
    let mut ledger = empty();
    let mut plan = plan(day(-364) - HOUR);
    plan.keep.insert("monthly".to_owned(), 12);
    ledger.plans.push(record("plan", 1, plan));
    for number in 0..=395_u32 {
        if days.contains(&(i64::from(number) - 364)) {
            continue;
        }
        ledger.snapshots.push(snapshot(number, day(i64::from(number) - 364)));
        run_forget(&mut ledger, day(i64::from(number) - 364) + HOUR);
    }
    ledger.deletions.push(deletion(day(25)));
    let key = ledger.deletions[0].key.to_string();
    for known in &mut ledger.snapshots {
        if known.forgotten.is_some_and(|forgotten| forgotten < day(25)) {
            known.state = SnapshotFate::Deleted;
            known.received = 0;
            known.certificate = Some(key.clone());
        }
    }
    ledger
}

/// Forgets as the command does, at a time.
fn run_forget(ledger: &mut Ledger, at: i64) {
    let policy = {
        let view = View {
            ledger,
            spans: crate::ops::ledger::expected::plan_spans(ledger),
            by_source: BTreeMap::new(),
            early: Vec::new(),
        };
        view.standing("db", at).unwrap().policy
    };
    let alive = ledger.snapshots.iter().filter(|known| known.state == SnapshotFate::Live);
    let decisions = decide(&policy, alive.filter_map(candidate).collect());
    let dropped: BTreeSet<String> = decisions
        .iter()
        .filter(|decision| !decision.is_kept())
        .map(|decision| decision.candidate.snapshot.to_string())
        .collect();
    for known in ledger.snapshots.iter_mut().filter(|known| dropped.contains(&known.snapshot)) {
        known.state = SnapshotFate::Forgotten;
        known.forgotten = Some(at);
        known.by_policy = true;
    }
}

fn end() -> i64 {
    day(31) + 20 * HOUR
}

fn at_end(ledger: &Ledger) -> SourceRetention {
    let mut report = retention_at(ledger, end());
    assert_eq!(report.sources.len(), 1);
    report.sources.remove(0)
}

fn is_whole(source: &SourceRetention) -> bool {
    source.gone_early.is_empty() && !source.slots.iter().any(RetentionSlot::lacks)
}

fn lacks(ledger: &Ledger) -> Vec<String> {
    let over = retention_over(ledger, (day(1) - 2 * HOUR, end()), GRACE_SECONDS);
    over.lacks.into_iter().map(|lack| lack.what).collect()
}

#[test]
fn a_policy_that_is_kept_to_lacks_nothing_on_any_day() {
    let ledger = year();
    let source = at_end(&ledger);
    assert!(is_whole(&source) && !source.is_overdue(), "{source:?}");
    let count = |kind: &str| source.slots.iter().filter(|slot| slot.kind == kind).count();
    assert_eq!((count("daily"), count("weekly"), count("monthly")), (7, 4, 12));
    assert!(source.slots.iter().all(|slot| slot.snapshot.is_some() && slot.evidence.is_some()));
    assert_eq!(source.slots[0].label, "2026-10-31");
    // What was forgotten and not yet pruned is in its grace, and said to be so.
    assert!(source.beyond.iter().all(|beyond| beyond.why.starts_with("forgotten at 2026-10-")));
    assert!(!source.beyond.is_empty() && source.beyond.iter().all(|beyond| !beyond.is_overdue));
    let over = retention_over(&ledger, (day(1) - 2 * HOUR, end()), GRACE_SECONDS);
    assert_eq!((over.days, over.lacks), (31, Vec::new()));
    // Without that grace, all of it should be gone.
    let over = retention_over(&ledger, (end(), end()), 0);
    assert!(over.at_end.sources[0].is_overdue());
}

#[test]
fn what_a_person_forgets_though_the_policy_keeps_it_is_named_with_who_and_why() {
    let mut ledger = year();
    let victim = ledger.snapshots.len() - 2;
    let known = &mut ledger.snapshots[victim];
    assert_eq!(known.data, day(30));
    known.state = SnapshotFate::Forgotten;
    known.forgotten = Some(day(30) + 9 * HOUR);
    known.reason = Some("made room".to_owned());
    let name = known.snapshot.clone();
    ledger.runs.push(forget(day(30) + 9 * HOUR, std::slice::from_ref(&name)));
    let source = at_end(&ledger);
    let lack: Vec<_> = source.slots.iter().filter(|slot| slot.lacks()).collect();
    assert_eq!(lack.len(), 1);
    assert_eq!(lack[0].label, "2026-10-30");
    let why = lack[0].why.as_deref().unwrap();
    assert!(why.contains("user 1000 on one") && why.ends_with(": made room"), "{why}");
    let gone = &source.gone_early[0];
    assert_eq!((gone.snapshot.as_str(), gone.by_policy), (name.as_str(), false));
    assert!(gone.kept_by.contains(&"daily 2026-10-30".to_owned()), "{gone:?}");
    assert_eq!(lacks(&ledger), ["daily 2026-10-30".to_owned(), format!("snapshot {name}")]);
    // A deletion with a certificate that says it was a policy's: the plan's it was not.
    let known = &mut ledger.snapshots[victim];
    known.state = SnapshotFate::Deleted;
    known.by_policy = true;
    known.certificate = Some(ledger.deletions[0].key.to_string());
    assert!(at_end(&ledger).gone_early[0].words().contains("another policy"));
}

#[test]
fn one_that_went_too_early_is_found_also_if_nothing_would_keep_it_at_the_end() {
    let mut ledger = year();
    // The ninth was kept for a week, and went after a day.
    let known = ledger.snapshots.iter_mut().find(|known| known.data == day(9)).unwrap();
    assert_eq!(known.forgotten, Some(day(16) + HOUR));
    known.forgotten = Some(day(10) + 5 * HOUR);
    assert!(is_whole(&at_end(&ledger)));
    assert!(lacks(&ledger).contains(&"daily 2026-10-09".to_owned()));
}

#[test]
fn a_day_without_a_run_is_missing_and_one_on_which_none_was_due_is_not() {
    let mut ledger = year_without(&[29]);
    let lack: Vec<_> = at_end(&ledger).slots.into_iter().filter(RetentionSlot::lacks).collect();
    assert_eq!(lack.len(), 1);
    assert_eq!(lack[0].why.as_deref(), Some("no run made a complete snapshot in it"));
    ledger.plans[0].said.jobs[0].schedule = Some("Mon..Wed *-*-* 02:00:00 UTC".to_owned());
    // The 29th is a Thursday.
    assert!(is_whole(&at_end(&ledger)));
}

#[test]
fn a_slot_is_not_missing_before_its_last_run_has_had_its_time() {
    let ledger = year_without(&[31]);
    let was_whole = |at: i64| is_whole(&retention_at(&ledger, at).sources[0]);
    assert!(was_whole(day(31) + HOUR));
    assert!(!was_whole(day(31) + 3 * HOUR));
}

#[test]
fn a_policy_that_keeps_more_from_now_on_brings_nothing_back_and_lacks_nothing() {
    let mut ledger = year();
    let mut more = ledger.plans[0].said.clone();
    more.time = time_words(day(30), 0);
    more.keep.insert("daily".to_owned(), 30);
    ledger.plans.push(record("plan", 2, more));
    let known = ledger.snapshots.iter_mut().filter(|known| known.data >= day(23));
    for known in known {
        known.state = SnapshotFate::Live;
        known.forgotten = None;
    }
    let source = at_end(&ledger);
    assert!(is_whole(&source), "{source:?}");
    let days = source.slots.iter().filter(|slot| slot.kind == "daily");
    let missing = days.take(30).filter(|slot| slot.snapshot.is_none()).count();
    assert!(missing > 0, "{source:?}");
}

#[test]
fn what_is_kept_beyond_says_what_keeps_it() {
    let mut ledger = year();
    ledger.kept_tags.insert("db".to_owned(), vec!["release".to_owned()]);
    for (number, change) in [(0, "hold"), (1, "tag"), (2, "nothing")] {
        let mut known = snapshot(1000 + number, day(-300 + i64::from(number)) + 7 * HOUR - 8 * DAY);
        match change {
            "hold" => known.is_held = true,
            "tag" => known.tags = vec!["release".to_owned()],
            _ => {}
        }
        known.received = 0;
        ledger.snapshots.push(known);
    }
    let source = at_end(&ledger);
    let why = |number: u32| {
        let name = format!("{:032x}", 1000 + number);
        source.beyond.iter().find(|beyond| beyond.snapshot == name).unwrap()
    };
    assert_eq!((why(0).why.as_str(), why(0).is_overdue), ("held", false));
    assert_eq!((why(1).why.as_str(), why(1).is_overdue), ("tag release", false));
    assert_eq!((why(2).why.as_str(), why(2).is_overdue), ("", true));
    assert!(is_whole(&source) && source.is_overdue());
}

#[test]
fn a_snapshot_that_was_made_anew_stands_for_the_old_one() {
    let mut ledger = year();
    let place = ledger.snapshots.len() - 2;
    let mut anew = snapshot(2000, ledger.snapshots[place].data);
    anew.finished = day(30) + 4 * HOUR;
    anew.received = 0;
    ledger.snapshots.push(anew);
    let known = &mut ledger.snapshots[place];
    known.state = SnapshotFate::Forgotten;
    known.forgotten = Some(day(30) + 5 * HOUR);
    let source = at_end(&ledger);
    assert!(is_whole(&source), "{source:?}");
}

#[test]
fn without_a_policy_nothing_can_be_said() {
    let mut ledger = year();
    ledger.plans[0].said.keep.clear();
    assert_eq!(at_end(&ledger).plan, None);
}
