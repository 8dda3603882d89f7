//! The numbers of a report, of ledgers that were never stored.

use super::*;
use crate::format::attest::incident::Incident;
use crate::format::attest::incident::IncidentPhase;
use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedJob;
use crate::id::ClientId;
use crate::ops::audit::list::AuditRow;
use crate::ops::ledger::fixture::empty;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::repo::attest::Attestation;
use crate::report::model::Level;
use crate::report::model::RunState;

fn attested<T>(kind: &str, number: usize, said: T) -> Attestation<T> {
    let client = ClientId::new([1; 16]);
    let key = format!("records/{kind}/{client}/{number:08}").parse().unwrap();
    Attestation { key, client, said }
}

fn plan(time: &str, zone: &str, schedule: &str) -> Plan {
    let job = PlannedJob {
        name: "db".to_owned(),
        source: "db".to_owned(),
        schedule: Some(schedule.to_owned()),
        rpo_seconds: Some(26 * 3600),
        grace_seconds: 3600,
        ..PlannedJob::default()
    };
    Plan { time: time.to_owned(), timezone: zone.to_owned(), jobs: vec![job], ..Plan::default() }
}

fn seconds(time: &str) -> i64 {
    moment(time).unwrap().0
}

fn snapshot(time: &str) -> KnownSnapshot {
    let at = seconds(time);
    KnownSnapshot {
        snapshot: format!("{at:032x}"),
        client: "01".repeat(16),
        source: "db".to_owned(),
        data: at,
        started: at,
        finished: at + 60,
        files: 1,
        bytes: 1000,
        bytes_stored: 10,
        incomplete: false,
        state: SnapshotFate::Live,
        forgotten: None,
        reason: None,
        by_policy: false,
        received: 0,
        tags: Vec::new(),
        is_held: false,
        manifest: "0".repeat(64),
        certificate: None,
    }
}

fn month(ledger: &Ledger, year: i16, month: i8, whole: bool) -> Report {
    report_of(ledger, &ReportOptions { asked: Asked::Month(year, month), whole }).unwrap()
}

#[test]
fn a_month_of_another_zone_begins_there() {
    let mut ledger = empty();
    ledger.plans = vec![attested(
        "plan",
        1,
        plan("2026-09-01T00:00:00Z", "Europe/Berlin", "*-*-* 00:30:00 Europe/Berlin"),
    )];
    ledger.snapshots = vec![snapshot("2026-09-30T22:30:05Z"), snapshot("2026-10-31T23:30:05Z")];
    let report = month(&ledger, 2026, 10, false);
    assert_eq!(report.period.from.to_string(), "2026-09-30T22:00:00Z");
    // Clocks go back in it.
    assert_eq!(report.period.until.to_string(), "2026-10-31T22:59:59Z");
    assert!(report.period.is_whole);
    assert_eq!(report.runs.total.expected, 31);
    assert_eq!(report.runs.total.succeeded, 1);
    assert_eq!(report.runs.total.missed, 30);
    assert_eq!(report.runs.total.success_hundredths, Some(322));
    assert_eq!(report.growth.days.len(), 31);
}

#[test]
fn a_month_that_is_not_over_ends_with_the_newest_record() {
    let mut ledger = empty();
    ledger.plans =
        vec![attested("plan", 1, plan("2026-09-30T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC"))];
    ledger.snapshots = vec![snapshot("2026-10-01T02:00:01Z"), snapshot("2026-10-02T02:00:01Z")];
    let told = month(&ledger, 2026, 10, false);
    assert!(!told.period.is_whole);
    assert_eq!(told.period.told_until.to_string(), "2026-10-02T02:01:01Z");
    assert_eq!((told.runs.total.expected, told.runs.total.succeeded), (2, 2));
    assert_eq!(told.verdict.points[0].level, Level::Good);
    let whole = month(&ledger, 2026, 10, true);
    assert_eq!((whole.runs.total.expected, whole.runs.total.missed), (31, 29));
    assert_eq!(whole.verdict.level, Level::Bad);
}

#[test]
fn a_run_that_has_time_left_is_neither_come_nor_missed() {
    let mut ledger = empty();
    ledger.plans =
        vec![attested("plan", 1, plan("2026-09-30T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC"))];
    ledger.snapshots = vec![snapshot("2026-10-01T02:00:01Z")];
    ledger.runs = vec![run("2026-10-02T02:30:00Z", "check", None)];
    let report = month(&ledger, 2026, 10, false);
    assert_eq!((report.runs.total.expected, report.runs.total.open), (1, 1));
    assert_eq!(report.runs.list.last().map(|run| run.outcome), Some(RunState::Open));
    ledger.runs = vec![run("2026-10-02T03:00:01Z", "check", None)];
    assert_eq!(month(&ledger, 2026, 10, false).runs.total.missed, 1);
}

#[test]
fn an_attempt_that_left_nothing_failed_and_its_evidence_is_the_audit_record() {
    let mut ledger = empty();
    ledger.plans =
        vec![attested("plan", 1, plan("2026-10-01T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC"))];
    ledger.runs = vec![
        run("2026-10-01T02:00:03Z", "snapshot", Some("db")),
        run("2026-10-01T09:00:00Z", "restore", Some("db")),
    ];
    let report = month(&ledger, 2026, 10, false);
    assert_eq!(report.runs.total.failed, 1);
    assert!(report.runs.list[0].evidence[1].starts_with("audit/"), "{:?}", report.runs.list);
    let events: Vec<&str> = report.events.iter().map(|event| event.operation.as_str()).collect();
    assert_eq!(events, ["restore"]);
}

#[test]
fn data_is_oldest_just_before_the_next_copy_and_late_for_as_long_as_that_takes() {
    let mut ledger = empty();
    ledger.plans =
        vec![attested("plan", 1, plan("2026-09-01T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC"))];
    ledger.snapshots = ["2026-09-30T02:00:00Z", "2026-10-01T02:00:00Z", "2026-10-04T02:00:00Z"]
        .map(snapshot)
        .to_vec();
    let report = month(&ledger, 2026, 10, false);
    let point = &report.recovery_points[0];
    assert_eq!(point.worst_seconds, Some(3 * 86_400 + 60));
    assert_eq!(point.worst_at.map(|at| at.to_string()).as_deref(), Some("2026-10-04T02:01:00Z"));
    assert_eq!((point.over_count, point.over_seconds), (1, 3 * 86_400 + 60 - 26 * 3600));
    assert_eq!(point.end_seconds, Some(60));
    // The line begins with the period, at the age that data had then.
    assert_eq!(point.line[0], (report.period.from, 22 * 3600));
}

#[test]
fn a_job_that_is_planned_no_more_was_over_its_target_while_it_was() {
    let mut ledger = empty();
    ledger.plans.push(attested(
        "plan",
        1,
        plan("2026-09-30T12:00:00Z", "UTC", "*-*-* 02:00:00 UTC"),
    ));
    for day in 1..=5 {
        ledger.snapshots.push(snapshot(&format!("2026-10-{day:02}T02:00:00Z")));
    }
    let mut without = plan("2026-10-20T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC");
    without.jobs[0].source = "other".to_owned();
    ledger.plans.push(attested("plan", 2, without));
    let told = month(&ledger, 2026, 10, true);
    let point = told.recovery_points.iter().find(|point| point.source == "db").unwrap();
    assert_eq!((point.target_seconds, point.over_count), (None, 1), "{point:?}");
    // From a day and two hours after the last data until the plan let go of it.
    assert_eq!(point.over_seconds, (15 * 24 - 2 - 26) * 3600);
}

#[test]
fn a_period_after_every_record_is_not_told_as_if_it_were_known() {
    let mut ledger = empty();
    ledger.snapshots.push(snapshot("2026-09-30T02:00:00Z"));
    let asked = Asked::Month(2026, 10);
    let refused = report_of(&ledger, &ReportOptions { asked, whole: false });
    assert!(matches!(refused, Err(OpError::Usage { why }) if why.contains("before the period")));
    month(&ledger, 2026, 10, true);
}

#[test]
fn a_plan_without_any_copy_is_as_old_as_the_plan() {
    let mut ledger = empty();
    ledger.plans =
        vec![attested("plan", 1, plan("2026-10-01T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC"))];
    ledger.runs = vec![run("2026-10-05T00:00:00Z", "check", None)];
    let point = &month(&ledger, 2026, 10, false).recovery_points[0];
    assert_eq!((point.worst_seconds, point.over_count), (Some(4 * 86_400), 1));
}

#[test]
fn what_becomes_of_a_snapshot_later_does_not_change_an_older_month() {
    let mut ledger = empty();
    let mut gone = snapshot("2026-10-01T02:00:00Z");
    (gone.state, gone.forgotten) = (SnapshotFate::Forgotten, Some(seconds("2026-11-09T00:00:00Z")));
    ledger.snapshots = vec![gone, snapshot("2026-12-01T02:00:00Z")];
    let state =
        |ledger: &Ledger, number| month(ledger, 2026, number, false).snapshots[0].state.word();
    assert_eq!(state(&ledger, 10), "live");
    ledger.snapshots[0].finished = seconds("2026-11-02T00:00:00Z");
    assert_eq!(state(&ledger, 11), "forgotten");
}

#[test]
fn an_incident_is_open_until_somebody_says_that_it_is_over() {
    let mut ledger = empty();
    let said = |phase, at: &str| Incident {
        time: at.to_owned(),
        incident: "a".repeat(32),
        phase,
        at: at.to_owned(),
        words: "disk".to_owned(),
        ..Incident::default()
    };
    ledger.incidents = vec![
        attested("incident", 1, said(IncidentPhase::Open, "2026-10-30T10:00:00Z")),
        attested("incident", 2, said(IncidentPhase::Close, "2026-11-01T12:00:00Z")),
    ];
    ledger.snapshots = vec![snapshot("2026-12-01T02:00:00Z")];
    let october = &month(&ledger, 2026, 10, false).incidents[0];
    assert!(october.is_open && october.ended.is_none());
    let november = &month(&ledger, 2026, 11, false).incidents[0];
    assert_eq!((november.is_open, november.seconds), (false, Some(50 * 3600)));
    assert!(month(&ledger, 2026, 12, false).incidents.is_empty());
}

#[test]
fn of_two_that_close_an_incident_the_first_counts_whatever_it_says() {
    let mut ledger = empty();
    let said = |phase, time: &str, at: &str, words: &str| Incident {
        time: time.to_owned(),
        incident: "a".repeat(32),
        phase,
        at: at.to_owned(),
        words: words.to_owned(),
        ..Incident::default()
    };
    let (open, close) = (IncidentPhase::Open, IncidentPhase::Close);
    let opened = said(open, "2026-10-03T10:00:00Z", "2026-10-03T09:00:00Z", "gone");
    let first = said(close, "2026-10-03T12:00:00Z", "2026-10-03T11:00:00Z", "first");
    // A fraction of a second later: as text it would be earlier.
    let second = said(close, "2026-10-03T12:00:00.5Z", "2026-10-04T11:00:00Z", "second");
    ledger.incidents = [opened, second, first]
        .into_iter()
        .zip(1..)
        .map(|(said, number)| attested("incident", number, said))
        .collect();
    // Nothing names a source: it is of all that is planned.
    let mut planned = plan("2026-10-01T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC");
    let mut other = planned.jobs[0].clone();
    (planned.jobs[0].rto_seconds, other.rto_seconds) = (Some(7200), Some(3600));
    (other.name, other.source) = ("files".to_owned(), "files".to_owned());
    planned.jobs.push(other);
    ledger.plans = vec![attested("plan", 1, planned)];
    ledger.snapshots = vec![snapshot("2026-12-01T02:00:00Z")];
    let row = &month(&ledger, 2026, 10, false).incidents[0];
    assert_eq!(
        (row.seconds, row.words.as_slice()),
        (Some(7200), &["gone", "first"].map(str::to_owned)[..])
    );
    assert_eq!((row.target_seconds, row.evidence.len()), (Some(3600), 2));
    ledger.incidents[0].said.sources = vec!["db".to_owned()];
    assert_eq!(month(&ledger, 2026, 10, false).incidents[0].target_seconds, Some(7200));
}

#[test]
fn periods_of_nothing_are_told_as_such_and_years_have_all_their_weeks() {
    let ledger = empty();
    let empty = month(&ledger, 2027, 2, false);
    assert_eq!(empty.verdict.level, Level::Attention);
    assert!(!empty.period.is_whole && !empty.runs.is_planned);
    assert!(empty.verdict.points.iter().all(|point| !point.figure.contains("100 %")));
    let page = crate::report::page::page(&empty);
    assert!(page.contains("No plan was recorded"), "{page}");
    assert!(
        report_of(&ledger, &ReportOptions { asked: Asked::Month(2026, 13), whole: false }).is_err()
    );
    let mut planned = self::empty();
    planned.plans =
        vec![attested("plan", 1, plan("2026-01-01T00:00:00Z", "UTC", "*-*-* 02:00:00 UTC"))];
    let year =
        report_of(&planned, &ReportOptions { asked: Asked::Year(2026), whole: true }).unwrap();
    assert_eq!(year.runs.total.expected, 365);
    let page = crate::report::page::page(&year);
    // Weeks begin on Mondays: the days before the first and after the last belong to other years.
    assert_eq!(page.matches("<td class=\"missed\">").count(), 365);
    assert_eq!(page.matches("<td class=\"outside\">").count(), 1 + 53 * 7 - 365);
}

#[test]
fn very_many_jobs_fold() {
    let mut ledger = empty();
    let mut many = plan("2026-10-01T00:00:00Z", "UTC", "Sun *-*-* 02:00:00 UTC");
    let one = many.jobs[0].clone();
    many.jobs = (0..200)
        .map(|n| PlannedJob {
            name: format!("job-{n:03}"),
            source: format!("s-{n:03}"),
            ..one.clone()
        })
        .collect();
    ledger.plans = vec![attested("plan", 1, many)];
    let page = crate::report::page::page(&month(&ledger, 2026, 10, true));
    assert!(page.contains("Calendars of 191 more jobs"));
    assert!(page.matches("<svg").count() < 20, "a chart for each of many sources");
}

fn run(time: &str, operation: &str, subject: Option<&str>) -> AuditRow {
    AuditRow {
        client: "01".repeat(16),
        seq: 1,
        end_seq: Some(2),
        time: time.to_owned(),
        operation: operation.to_owned(),
        exit_code: Some(4),
        error: None,
        user_id: 0,
        sudo_user: None,
        host: "h".to_owned(),
        tool: "t".to_owned(),
        subject: subject.map(str::to_owned),
        snapshots: Vec::new(),
        bytes: None,
        milliseconds: Some(1),
        reason: None,
        ticket: None,
        delivered: None,
        accepted_rollback: None,
    }
}
