//! Ledgers for tests, built in memory: one job that runs every day, and what came of it.

use crate::format::attest::deletion::Deletion;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedCopy;
use crate::format::attest::plan::PlannedDrill;
use crate::format::attest::plan::PlannedJob;
use crate::format::attest::state::State;
use crate::format::attest::state::StatedCopy;
use crate::format::attest::state::StatedStore;
use crate::format::keyslot::Role;
use crate::id::ClientId;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::ops::audit::list::AuditRow;
use crate::ops::ledger::KnownSigner;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::attest::Attestation;
use std::collections::BTreeMap;

pub(crate) const DAY: i64 = 86_400;
pub(crate) const HOUR: i64 = 3600;

/// Seconds since 1970 of a day in October 2026, or of one so many days later, at 02:00.
pub(crate) fn day(number: i64) -> i64 {
    let (first, _nanoseconds) = parse_time("2026-10-01T02:00:00Z").unwrap();
    first + (number - 1) * DAY
}

pub(crate) fn client() -> ClientId {
    ClientId::new([7; 16])
}

/// A record of the client.
pub(crate) fn record<T>(kind: &str, number: usize, said: T) -> Attestation<T> {
    let key = format!("records/{kind}/{}/{number:08}", client());
    Attestation { key: ObjectKey::new(&key).unwrap(), client: client(), said }
}

/// A ledger in which nothing happened.
pub(crate) fn empty() -> Ledger {
    Ledger {
        repository: RepoId::new([1; 16]),
        snapshots: Vec::new(),
        runs: Vec::new(),
        checks: Vec::new(),
        plans: Vec::new(),
        states: Vec::new(),
        drills: Vec::new(),
        sign_offs: Vec::new(),
        incidents: Vec::new(),
        erasures: Vec::new(),
        replays: Vec::new(),
        deletions: Vec::new(),
        signers: Vec::new(),
        kept_tags: BTreeMap::new(),
        cipher: Some("a cipher"),
        findings: Vec::new(),
        back: None,
    }
}

/// A complete snapshot of `db`, of a run that began at a time and took a minute.
pub(crate) fn snapshot(number: u32, started: i64) -> KnownSnapshot {
    KnownSnapshot {
        snapshot: format!("{number:032x}"),
        client: client().to_string(),
        source: "db".to_owned(),
        data: started,
        started,
        finished: started + 60,
        files: 1,
        bytes: 1000,
        bytes_stored: 100,
        incomplete: false,
        state: SnapshotFate::Live,
        forgotten: None,
        reason: None,
        by_policy: false,
        received: started + 60,
        tags: Vec::new(),
        is_held: false,
        manifest: "0".repeat(64),
        certificate: None,
    }
}

/// A plan with the job `db` at 02:00 every day, from the beginning of a day on.
pub(crate) fn plan(from: i64) -> Plan {
    Plan {
        time: time_words(from, 0),
        host: "one".to_owned(),
        jobs: vec![PlannedJob {
            name: "db".to_owned(),
            source: "db".to_owned(),
            schedule: Some("*-*-* 02:00:00 UTC".to_owned()),
            grace_seconds: 7200,
            ..PlannedJob::default()
        }],
        keep: BTreeMap::from([("daily".to_owned(), 7), ("weekly".to_owned(), 4)]),
        timezone: "UTC".to_owned(),
        ..Plan::default()
    }
}

/// What somebody saw.
pub(crate) fn state(at: i64) -> State {
    State {
        time: time_words(at, 0),
        store: store("s3"),
        packs: 10,
        stored_bytes: 1000,
        read_packs: Some(10),
        read_bytes: Some(1000),
        read_oldest: Some(time_words(at - DAY, 0)),
        copies: vec![StatedCopy {
            name: "far".to_owned(),
            store: store("gs"),
            behind_seconds: Some(60),
            error: None,
        }],
        ..State::default()
    }
}

pub(crate) fn store(kind: &str) -> StatedStore {
    StatedStore { kind: kind.to_owned(), ..StatedStore::default() }
}

/// A drill of the job that passed and took so long.
pub(crate) fn drill(at: i64, seconds: u64) -> Drill {
    Drill {
        time: time_words(at, 0),
        finished: time_words(at + i64::try_from(seconds).unwrap(), 0),
        name: "db-drill".to_owned(),
        job: Some("db".to_owned()),
        source: "db".to_owned(),
        outcome: Outcome::Pass,
        rto_milliseconds: Some(seconds * 1000),
        ..Drill::default()
    }
}

/// A run of `forget`.
pub(crate) fn forget(at: i64, snapshots: &[String]) -> AuditRow {
    AuditRow {
        client: client().to_string(),
        seq: 1,
        end_seq: Some(2),
        time: time_words(at, 0),
        operation: "forget".to_owned(),
        exit_code: Some(0),
        error: None,
        user_id: 1000,
        sudo_user: None,
        host: "one".to_owned(),
        tool: String::new(),
        subject: None,
        snapshots: snapshots.to_vec(),
        bytes: None,
        milliseconds: Some(1000),
        reason: None,
        ticket: None,
        delivered: None,
        accepted_rollback: None,
    }
}

/// A certificate of deletion without snapshots: those that name it say the rest.
pub(crate) fn deletion(at: i64) -> Attestation<Deletion> {
    record("deletion", 1, Deletion { time: time_words(at, 0), ..Deletion::default() })
}

/// A month in which the job ran every day, and all was as planned: everything that plans can say is planned.
pub(crate) fn month() -> Ledger {
    let mut ledger = empty();
    let mut plan = plan(day(1) - 2 * HOUR);
    let job = &mut plan.jobs[0];
    (job.rpo_seconds, job.rto_seconds) = (Some(26 * 3600), Some(7200));
    plan.copies = vec![PlannedCopy {
        name: "far".to_owned(),
        mode: "mirror".to_owned(),
        location: "gs://far".to_owned(),
        lag_seconds: Some(2 * 86_400),
    }];
    plan.drills = vec![PlannedDrill {
        name: "db-drill".to_owned(),
        job: Some("db".to_owned()),
        age_seconds: Some(31 * 86_400),
    }];
    (plan.read_seconds, plan.key_seconds) = (Some(35 * 86_400), Some(400 * 86_400));
    ledger.plans.push(record("plan", 1, plan));
    ledger.snapshots = (1..=31).map(|number| snapshot(number, day(i64::from(number)))).collect();
    let mut seen = state(day(31));
    seen.store.locked_days = Some(30);
    ledger.states.push(record("state", 1, seen));
    ledger.drills.push(record("drill", 1, drill(day(20), 1800)));
    ledger.signers.push(KnownSigner {
        subject: client().to_string(),
        role: Role::Writer,
        from: day(1) - 100 * DAY,
        until: None,
        revoked: None,
        certified: Some(day(1) - 100 * DAY),
    });
    ledger
}
