//! A repository with two months of records: what went well and what did not, made through the library by clocks of those days.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::put;
use sbf_repo::Credential;
use sbf_repo::Environment;
use sbf_repo::KeyFile;
use sbf_repo::ProcessName;
use sbf_repo::Repository;
use sbf_repo::SystemEnvironment;
use sbf_repo::format::attest::Attested;
use sbf_repo::ops::audit::run::AuditOptions;
use sbf_repo::ops::audit::run::AuditRun;
use sbf_repo::ops::audit::run::RunEnd;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::testing::attest_in;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// A clock that stands still.
#[derive(Debug)]
struct At(i64);

impl Environment for At {
    fn now(&self) -> (i64, u32) {
        (self.0, 0)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        SystemEnvironment::new().fill_random(buffer);
    }

    fn process(&self) -> ProcessName {
        ProcessName::new("app-1".to_owned(), 1)
    }
}

/// Two months of a repository.
pub(crate) struct Site {
    pub(crate) scratch: Scratch,
}

impl Site {
    /// September and October 2026: a database every night, assets every Sunday, configuration when it changes.
    pub(crate) fn new() -> Self {
        let site = Self::empty();
        site.attest::<sbf_repo::format::attest::plan::Plan>("2026-09-01T00:00:00Z", &plan());
        for day in 0..61 {
            site.day(day);
        }
        site.drills();
        site.incident();
        site
    }

    /// The same with nothing in it; the repository is as old as the records will be.
    pub(crate) fn empty() -> Self {
        let scratch = Scratch::without_repository();
        scratch.run(&["init"], 0);
        Self { scratch }
    }

    /// Opens the repository at some time.
    pub(crate) fn open(&self, time: &str) -> Repository {
        let key = KeyFile::parse(&fs::read_to_string(self.scratch.path("key")).unwrap()).unwrap();
        let options = self.scratch.place.open_options(Arc::new(At(seconds(time))));
        let options =
            options.with_cache(self.scratch.path("cache")).with_state(self.scratch.path("state"));
        sbf_repo::ops::location::open(&options, &Credential::KeyFile(key)).unwrap()
    }

    /// Stores a record with these members; returns its key.
    pub(crate) fn attest<T: Attested>(&self, time: &str, members: &Value) -> String {
        let mut members = members.clone();
        let object = members.as_object_mut().unwrap();
        object.entry("time").or_insert_with(|| time.into());
        let record: T = serde_json::from_value(members).unwrap();
        attest_in(&self.open(time), &record).unwrap().to_string()
    }

    /// Stores the records of a run, which the program would store.
    pub(crate) fn audit(&self, time: &str, operation: &'static str, subject: &str, code: u8) {
        let repository = self.open(time);
        let options = AuditOptions::new(operation, 0);
        let (_held, run) = AuditRun::begin(&repository, &options, &BTreeSet::new());
        let mut end = RunEnd::new(code);
        end.subject = Some(subject.to_owned());
        end.elapsed = Duration::from_mins(1);
        run.end(end);
    }

    /// Makes a snapshot of a source at some time.
    pub(crate) fn snapshot(&self, time: &str, source: &str) {
        let mut options = SnapshotOptions::new(source.to_owned(), "app-1".to_owned());
        options.time = Some(time.to_owned());
        let files = FilesSource::new(vec![self.scratch.source()]);
        let repository = self.open(time);
        sbf_repo::ops::snapshot::snapshot(
            &repository,
            &options,
            Source::Files(files),
            &NoProgress::new(),
        )
        .unwrap();
        self.audit(time, "snapshot", source, 0);
    }

    fn day(&self, number: i64) {
        let date = |clock: &str| {
            let day =
                jiff::civil::date(2026, 9, 1).checked_add(jiff::Span::new().days(number)).unwrap();
            format!("{day}T{clock}Z")
        };
        put(
            self.scratch.source().join(format!("rows-{number}")),
            format!("row {number}\n").repeat(2_000),
        );
        match number {
            // Nothing ran on the 13th and the 14th of October; an attempt failed on the 21st, one came late on the 25th.
            42 | 43 => {}
            50 => self.audit(&date("02:00:05"), "snapshot", "app-db", 4),
            54 => self.snapshot(&date("11:30:00"), "app-db"),
            _ => self.snapshot(&date("02:00:02"), "app-db"),
        }
        if number % 7 == 5 {
            self.snapshot(&date("03:00:01"), "assets");
            self.audit(&date("05:00:00"), "prune", "", 0);
        }
        if number == 37 || number == 40 {
            self.snapshot(&date("14:12:00"), "config");
        }
        let (bytes, stored) = (40_000_000 + number * 900_000, 9_000_000 + number * 120_000);
        self.attest::<sbf_repo::format::attest::state::State>(&date("02:10:00"), &json!({
            "host": "app-1", "tool": "sbf-repo 0.1.0", "store": {"kind": "s3", "versions": true, "locked_days": 30},
            "snapshots": 10 + number, "source_bytes": bytes, "packs": 20 + number, "stored_bytes": stored,
            "read_packs": 20 + number, "read_bytes": stored, "read_oldest": "2026-10-04T04:00:00Z",
            "copies": [{"name": "gcs", "store": {"kind": "gs", "versions": true}, "behind_seconds": 3600}],
        }));
    }

    fn drills(&self) {
        for (time, finished, outcome) in [
            ("2026-09-10T09:00:00Z", "2026-09-10T09:04:00Z", "pass"),
            ("2026-10-08T09:00:00Z", "2026-10-08T09:04:41Z", "pass"),
            ("2026-10-22T09:00:00Z", "2026-10-22T09:06:12Z", "not-verified"),
        ] {
            let key = self.attest::<sbf_repo::format::attest::drill::Drill>(finished, &json!({
                "time": time, "finished": finished, "host": "drill-1", "tool": "sbf-repo 0.1.0", "name": "app-db",
                "job": "app-db", "source": "app-db", "target": "scratch", "cache": "cold", "from_kit": true, "outcome": outcome,
                "phases": [{"name": "restore", "milliseconds": 190_000}, {"name": "compare", "milliseconds": 51_000}],
                "checks": [
                    {"name": "rows and digest of each table", "outcome": "pass", "detail": "42 tables as the fingerprint says"},
                    {"name": "pg_amcheck", "outcome": outcome, "detail": "no index is damaged"}],
                "rto_milliseconds": 281_000, "rto_target_seconds": 7200, "rpo_seconds": 25_200, "rpo_target_seconds": 93_600,
                "bytes": 41_000_000, "environment": {"postgresql": "17.2", "processors": "8"}, "scratch": "wiped",
            }));
            if outcome == "pass" {
                self.attest::<sbf_repo::format::attest::drill::SignOff>("2026-10-09T08:00:00Z", &json!({
                    "drill": key, "sha256": "0".repeat(64), "by": "K. Okafor", "function": "head of operations"}));
            }
        }
    }

    fn incident(&self) {
        let incident = "ab".repeat(16);
        let open = json!({"incident": incident, "phase": "open", "at": "2026-10-19T10:20:00Z", "sources": ["app-db"],
            "words": "A migration dropped the table of orders.", "ticket": "OPS-311"});
        let close = json!({"incident": incident, "phase": "close", "at": "2026-10-19T11:35:00Z",
            "words": "The table is back from the snapshot of the night.", "data_time": "2026-10-19T02:00:02Z"});
        self.attest::<sbf_repo::format::attest::incident::Incident>("2026-10-19T10:25:00Z", &open);
        self.audit("2026-10-19T10:40:00Z", "restore", "app-db", 0);
        self.attest::<sbf_repo::format::attest::incident::Incident>("2026-10-19T11:40:00Z", &close);
        self.attest::<sbf_repo::format::attest::erasure::Erasure>(
            "2026-10-20T08:00:00Z",
            &json!({
            "erasure": "cd".repeat(16), "erased_at": "2026-10-20T07:50:00Z", "sources": ["app-db"],
            "subject": "customer 4711", "reason": "request to erase", "ticket": "DPO-9"}),
        );
        let deletion = json!({"host": "keeper", "tool": "sbf-repo 0.1.0", "verdict": 3, "phase": "gone", "snapshots": [],
            "packs": 12, "bytes": 1_200_000, "versions": {"count": 12, "bytes": 1_200_000, "free_at": "2026-11-17T06:00:00Z"}});
        self.attest::<sbf_repo::format::attest::deletion::Deletion>(
            "2026-10-18T06:00:00Z",
            &deletion,
        );
    }
}

/// What the host is set to do.
pub(crate) fn plan() -> Value {
    json!({
        "host": "app-1", "tool": "sbf-repo 0.1.0", "timezone": "UTC", "read_seconds": 3_024_000, "key_seconds": 31_536_000,
        "keep": {"daily": 7, "weekly": 4, "monthly": 12},
        "jobs": [
            {"name": "app-db", "source": "app-db", "schedule": "*-*-* 02:00:00 UTC", "rpo_seconds": 93_600, "rto_seconds": 7200,
             "grace_seconds": 21_600},
            {"name": "assets", "source": "assets", "schedule": "Sun *-*-* 03:00:00 UTC", "rpo_seconds": 777_600, "grace_seconds": 21_600},
            {"name": "config", "source": "config", "trigger": "deployment", "grace_seconds": 0}],
        "copies": [{"name": "gcs", "mode": "mirror", "location": "gs://acme-backup-dr/app", "lag_seconds": 93_600}],
        "drills": [{"name": "app-db", "job": "app-db", "age_seconds": 2_678_400}],
    })
}

pub(crate) fn seconds(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_second()
}
