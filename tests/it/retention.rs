//! What policies keep: tables, then properties that hold for any snapshots.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::ProptestConfig;
use proptest::prelude::Strategy;
use proptest::proptest;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::forget::decide::Candidate;
use sbf_repo::ops::forget::decide::Decision;
use sbf_repo::ops::forget::decide::Flag;
use sbf_repo::ops::forget::decide::Reason;
use sbf_repo::ops::forget::decide::decide;
use sbf_repo::ops::forget::policy::Every;
use sbf_repo::ops::forget::policy::Policy;
use sbf_repo::ops::forget::simulate::SimulationOptions;
use sbf_repo::ops::forget::simulate::simulate;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A snapshot of this time, received at once; its id tells its place in the list.
fn at(time: &str, number: u8) -> Candidate {
    let time = seconds(time);
    Candidate::new(id(number), time, time)
}

fn id(number: u8) -> SnapshotId {
    SnapshotId::new([number; 16])
}

fn seconds(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_second()
}

fn incomplete(mut candidate: Candidate) -> Candidate {
    candidate.is_incomplete = true;
    candidate
}

fn kept(decisions: &[Decision]) -> BTreeSet<SnapshotId> {
    let kept = decisions.iter().filter(|decision| decision.is_kept());
    kept.map(|decision| decision.candidate.snapshot).collect()
}

/// Checks which snapshots of `candidates` are kept, by their numbers from 0.
#[track_caller]
fn check(policy: &Policy, candidates: Vec<Candidate>, expected: &[u8]) {
    let decisions = decide(policy, candidates);
    let expected: BTreeSet<_> = expected.iter().copied().map(id).collect();
    assert_eq!(kept(&decisions), expected, "{decisions:#?}");
}

fn numbered(times: &[&str]) -> Vec<Candidate> {
    (0..).zip(times).map(|(number, time)| at(time, number)).collect()
}

#[test]
fn the_newest_of_two_snapshots_stands_for_their_slot() {
    let times = ["2026-10-13T02:00:00Z", "2026-10-14T02:00:00Z", "2026-10-14T23:59:59Z"];
    check(&Policy::new().with_count(Every::Day, 9), numbered(&times), &[0, 2]);
    check(&Policy::new().with_count(Every::Day, 1), numbered(&times), &[2]);
    check(&Policy::new().with_count(Every::Snapshot, 2), numbered(&times), &[1, 2]);
    check(&Policy::new().with_count(Every::Month, 9), numbered(&times), &[2]);
}

#[test]
fn days_without_snapshots_count_for_nothing() {
    let times = ["2025-01-01T02:00:00Z", "2026-01-01T02:00:00Z", "2026-10-14T02:00:00Z"];
    check(&Policy::new().with_count(Every::Day, 2), numbered(&times), &[1, 2]);
}

#[test]
fn a_week_that_two_years_share_is_one_slot() {
    let times = ["2026-12-31T02:00:00Z", "2027-01-01T02:00:00Z", "2027-01-04T02:00:00Z"];
    let policy = Policy::new().with_count(Every::Week, 9);
    check(&policy, numbered(&times), &[1, 2]);
    let newest = &decide(&policy, numbered(&times))[1];
    let slot = Reason::Slot { every: Every::Week, slot: "2026-W53".to_owned() };
    assert_eq!(newest.reasons, [slot]);
}

#[test]
fn slots_begin_where_the_zone_says() {
    // 22:30 in UTC is half past midnight in Berlin, and the summer ends in that night.
    let times = [
        "2026-10-24T12:00:00Z",
        "2026-10-24T22:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
    ];
    let berlin = || Policy::new().with_zone("Europe/Berlin".parse().unwrap());
    check(&Policy::new().with_count(Every::Day, 9), numbered(&times), &[1, 3]);
    check(&berlin().with_count(Every::Day, 9), numbered(&times), &[0, 3]);
    // Both snapshots are of half past two by the clock on the wall, an hour apart.
    check(&berlin().with_count(Every::Hour, 2), numbered(&times), &[2, 3]);
    let decisions = decide(&berlin().with_count(Every::Hour, 2), numbered(&times));
    let words: Vec<String> = decisions[..2].iter().map(|d| d.reasons[0].to_string()).collect();
    assert_eq!(words, ["hourly 2026-10-25T02+01:00", "hourly 2026-10-25T02+02:00"]);
    // In spring the hour after one is three: no slot is lost.
    let spring = ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"];
    check(&berlin().with_count(Every::Hour, 3), numbered(&spring), &[0, 1, 2]);
}

#[test]
fn a_period_is_counted_from_the_newest_snapshot_by_the_calendar() {
    let times = ["2026-02-27T12:00:00Z", "2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z"];
    let policy = |every, text: &str| Policy::new().with_period(every, text.parse().unwrap());
    check(&policy(Every::Snapshot, "1m"), numbered(&times), &[1, 2]);
    check(&policy(Every::Snapshot, "32d"), numbered(&times), &[0, 1, 2]);
    check(&policy(Every::Month, "1y"), numbered(&times), &[1, 2]);
}

#[test]
fn tags_and_holds_keep_what_no_slot_keeps() {
    let mut candidates = numbered(&["2026-10-12T02:00:00Z", "2026-10-13T02:00:00Z"]);
    candidates.push(at("2026-10-14T02:00:00Z", 2));
    candidates[0].hold = Some("held: lawsuit".to_owned());
    candidates[1].tags = vec!["release".to_owned()];
    let mut policy = Policy::new().with_count(Every::Snapshot, 1);
    check(&policy, candidates.clone(), &[0, 2]);
    policy.tags = vec!["release".to_owned()];
    check(&policy, candidates, &[0, 1, 2]);
}

#[test]
fn incomplete_snapshots_take_no_place_from_complete_ones() {
    let candidates = vec![
        at("2026-10-10T02:00:00Z", 0),
        at("2026-10-11T02:00:00Z", 1),
        incomplete(at("2026-10-11T03:00:00Z", 2)),
        incomplete(at("2026-10-12T02:00:00Z", 3)),
        incomplete(at("2026-10-13T02:00:00Z", 4)),
        incomplete(at("2026-10-14T02:00:00Z", 5)),
    ];
    check(&Policy::new().with_count(Every::Day, 2), candidates.clone(), &[0, 1, 4, 5]);
    check(&Policy::new().with_count(Every::Snapshot, 1), candidates.clone(), &[1, 5]);
    check(&Policy::new().with_count(Every::Month, 1), candidates, &[1]);
}

#[test]
fn times_that_contradict_the_receipt_are_left_to_people() {
    let mut candidates = numbered(&[
        "2026-10-12T02:00:00Z",
        "2026-10-13T02:00:00Z",
        "2027-10-14T02:00:00Z",
        "2026-10-12T01:00:00Z",
        "2026-10-16T02:00:00Z",
        "2026-10-17T02:50:00Z",
    ]);
    for (candidate, day) in candidates.iter_mut().zip(12..) {
        candidate.received = seconds(&format!("2026-10-{day}T02:00:00Z"));
    }
    let decisions = decide(&Policy::new().with_count(Every::Snapshot, 1), candidates);
    let flags: BTreeMap<_, _> =
        decisions.iter().map(|decision| (decision.candidate.snapshot, decision.flag())).collect();
    assert_eq!(flags[&id(2)], Some(Flag::AfterReceipt));
    assert_eq!(flags[&id(3)], Some(Flag::BeforePrevious));
    // An hour ahead is how far clocks may differ, and one lie does not accuse those after it.
    assert_eq!((flags[&id(4)], flags[&id(5)]), (None, None));
    assert_eq!(kept(&decisions), BTreeSet::from([id(2), id(3), id(5)]));
}

#[test]
fn a_simulation_ends_with_what_the_policy_keeps() {
    let policy = Policy::new()
        .with_count(Every::Day, 7)
        .with_count(Every::Week, 4)
        .with_count(Every::Month, 12);
    let start = seconds("2026-01-01T02:00:00Z");
    let options = SimulationOptions::new(policy.clone(), start, 400, "1d".parse().unwrap());
    let simulation = simulate(&options).unwrap();
    assert_eq!(simulation.made, 400);
    assert_eq!(simulation.kept_by_day.len(), 400);
    assert_eq!(simulation.kept_by_day[..8], [1, 2, 3, 4, 5, 6, 7, 7]);
    // Some snapshots stand for a day, a week and a month.
    assert_eq!(simulation.kept_by_day.last(), Some(&simulation.left.len()));
    let counted = |every: Every| {
        let slots = simulation.left.iter().flat_map(|left| &left.reasons);
        slots
            .filter(|reason| matches!(reason, Reason::Slot { every: of, .. } if *of == every))
            .count()
    };
    assert_eq!((counted(Every::Day), counted(Every::Week), counted(Every::Month)), (7, 4, 12));
    let six_hours = SimulationOptions::new(policy, start, 10, "6h".parse().unwrap());
    let simulation = simulate(&six_hours).unwrap();
    assert_eq!((simulation.made, simulation.kept_by_day.len()), (40, 10));
}

/// Snapshots of an honest client: in order, each received soon after its time.
fn honest() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (60..200_000_i64, 0..5_u8);
    proptest::collection::vec(one, 1..40).prop_map(|steps| {
        let mut time = seconds("2026-01-01T00:00:00Z");
        let candidates = (0..).zip(steps).map(|(number, (step, kind)): (u8, _)| {
            time += step;
            let candidate = Candidate::new(id(number), time, time + 30);
            if kind == 0 { incomplete(candidate) } else { candidate }
        });
        candidates.collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let counts = proptest::collection::vec(0..6_u32, 6);
    (counts, 0..3_usize).prop_map(|(counts, zone)| {
        let zone = ["UTC", "Europe/Berlin", "Australia/Lord_Howe"][zone].parse().unwrap();
        let policy = Policy::new().with_zone(zone);
        EVERY
            .into_iter()
            .zip(counts)
            .fold(policy, |policy, (every, count)| policy.with_count(every, count))
    })
}

const EVERY: [Every; 6] =
    [Every::Snapshot, Every::Hour, Every::Day, Every::Week, Every::Month, Every::Year];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_larger_count_keeps_no_less(candidates in honest(), policy in policies(), which in 0..6_usize) {
        let every = EVERY[which];
        let more = policy.counts[&every] + 1;
        let larger = policy.clone().with_count(every, more);
        let fewer = kept(&decide(&policy, candidates.clone()));
        assert!(fewer.is_subset(&kept(&decide(&larger, candidates))));
    }

    #[test]
    fn the_newest_snapshot_is_kept_and_so_is_the_newest_complete_one(
        candidates in honest(), policy in policies()
    ) {
        let policy = policy.with_count(Every::Snapshot, 1);
        let kept = kept(&decide(&policy, candidates.clone()));
        assert!(kept.contains(&candidates.last().unwrap().snapshot));
        let complete = candidates.iter().rev().find(|candidate| !candidate.is_incomplete);
        assert!(complete.is_none_or(|complete| kept.contains(&complete.snapshot)));
    }

    #[test]
    fn a_newer_snapshot_brings_nothing_back_and_changes_no_closed_slot(
        candidates in honest(), policy in policies(), step in 60..200_000_i64
    ) {
        let before = decide(&policy, candidates.clone());
        let time = candidates.last().unwrap().time.unwrap() + step;
        let new = Candidate::new(id(200), time, time + 30);
        let mut more = candidates.clone();
        more.push(new.clone());
        let after = decide(&policy, more.clone());
        let mut expected = kept(&before);
        expected.insert(new.snapshot);
        assert!(kept(&after).is_subset(&expected));
        // With room for every slot, only the slots of the newer one have another newest.
        let roomy = [Every::Hour, Every::Day, Every::Week, Every::Month, Every::Year];
        let roomy = roomy.into_iter().fold(Policy::new().with_zone(policy.zone), |policy, every| {
            policy.with_count(every, 1000)
        });
        let after = decide(&roomy, more);
        let mine: Vec<Reason> = after[0].reasons.clone();
        for decision in decide(&roomy, candidates) {
            let same = |other: &&Decision| other.candidate == decision.candidate;
            let now = &after.iter().find(same).unwrap().reasons;
            let closed: Vec<_> =
                decision.reasons.iter().filter(|reason| !mine.contains(reason)).collect();
            assert_eq!(now.iter().collect::<Vec<_>>(), closed);
        }
    }

    #[test]
    fn what_was_kept_is_kept_by_the_same_policy(candidates in honest(), policy in policies()) {
        let once = decide(&policy, candidates);
        let left: Vec<Candidate> = once
            .iter()
            .filter(|decision| decision.is_kept())
            .map(|decision| decision.candidate.clone())
            .collect();
        assert_eq!(kept(&decide(&policy, left)), kept(&once));
    }

    #[test]
    fn lying_clocks_push_nothing_honest_out(
        candidates in honest(),
        policy in policies(),
        lies in proptest::collection::vec((0..40_usize, 3601..99_999_999_i64, 0..2_u8), 1..20),
    ) {
        let honest = decide(&policy, candidates.clone());
        let mut mixed = candidates.clone();
        for (number, (place, by, direction)) in (100..).zip(lies) {
            let beside = &candidates[place % candidates.len()];
            let received = beside.received + 1;
            let lie = if direction == 0 { received + by } else { beside.time.unwrap() - by };
            mixed.push(Candidate::new(id(number), lie, received));
        }
        let decisions = decide(&policy, mixed);
        let (liars, others): (Vec<_>, Vec<_>) =
            decisions.into_iter().partition(|decision| decision.candidate.snapshot >= id(100));
        assert_eq!(others, honest);
        assert!(liars.iter().all(|liar| liar.is_kept() && liar.flag().is_some()));
    }
}
