//! Incidents: when something was lost, and when it was back. Spec: format-spec/19-attest.md, "Incidents".

use crate::format::attest::WORD_BYTES_MAX;
use crate::format::attest::incident::Incident;
use crate::format::attest::incident::IncidentPhase;
use crate::format::attest::is_word;
use crate::id::SnapshotId;
use crate::ops::audit::list::AuditRow;
use crate::ops::erasure::new_id;
use crate::ops::erasure::one_named;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::load;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::attest::Attestation;
use crate::repo::environment::now_words;
use crate::repo::mark_writer::store_attested;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// An incident, as its records say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IncidentRow {
    /// Its name, 32 hexadecimal digits.
    pub incident: String,
    /// When it began, RFC 3339 in UTC.
    pub opened_at: String,
    /// What it is of: sources.
    pub sources: Vec<String>,
    /// What happened.
    pub words: String,
    /// Where else it is written down.
    pub ticket: Option<String>,
    /// The key of the record that opened it.
    pub record: String,
    /// How it ended; `None` while it is open.
    pub closed: Option<IncidentEnd>,
    /// Runs that brought data of its sources back meanwhile, by time.
    pub runs: Vec<IncidentRun>,
}

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IncidentEnd {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The time to recover: from its beginning to its end, in seconds.
    pub recovered_after_seconds: u64,
    /// What was done.
    pub words: String,
    /// Where else it is written down.
    pub ticket: Option<String>,
    /// Snapshots from which it was brought back.
    pub snapshots: Vec<String>,
    /// The time of the newest data that came back, RFC 3339 in UTC.
    pub data_time: Option<String>,
    /// What was lost: from that time to the beginning of the incident, in seconds.
    pub lost_seconds: Option<u64>,
    /// The key of the record that closed it.
    pub record: String,
}

/// A run that brought data back, as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IncidentRun {
    /// When it began, RFC 3339 in UTC.
    pub time: String,
    /// `restore` or `dump`.
    pub operation: String,
    /// Its exit code; `None` if it runs, or was killed.
    pub exit_code: Option<u8>,
    /// How long it took.
    pub milliseconds: Option<u64>,
    /// Bytes of content that it read.
    pub bytes: Option<u64>,
    /// Snapshots that it read.
    pub snapshots: Vec<String>,
    /// The host.
    pub host: String,
    /// The key of its record in the audit log.
    pub record: String,
}

/// Every incident, and what could not be read.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct IncidentList {
    /// By their beginning.
    pub incidents: Vec<IncidentRow>,
    /// What cannot be read.
    pub findings: Vec<Finding>,
}

/// What is to be recorded of the beginning or the end of an incident.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NewIncident {
    /// What happened, or what was done.
    pub words: String,
    /// When, in seconds since 1970; now if it is left out.
    pub at: Option<i64>,
    /// Where else it is written down.
    pub ticket: Option<String>,
    /// Of a beginning: the sources that it is of.
    pub sources: Vec<String>,
    /// Of an end: snapshots from which it was brought back.
    pub snapshots: Vec<SnapshotId>,
    /// Of an end: the time of the newest data that came back, in seconds since 1970 and nanoseconds.
    pub data_time: Option<(i64, u32)>,
}

/// Records that an incident began.
///
/// Errors: [`OpError::Usage`] if it has no words, or began in the future.
pub fn open(repository: &Repository, new: &NewIncident) -> Result<IncidentRow, OpError> {
    let mut said = said_of(repository, new)?;
    said.incident = new_id(repository);
    said.sources.clone_from(&new.sources);
    said.sources.sort_unstable();
    said.sources.dedup();
    let key = store_attested(repository, &said).during("cannot store the incident")?;
    Ok(row(said, key.to_string()))
}

/// Records that the incident ended whose name begins so.
///
/// Errors: [`OpError::Usage`] if there is none or several, or the times cannot be right; [`OpError::Refused`] if it was
/// closed already, or records cannot be read that may say so.
pub fn close(
    repository: &Repository,
    digits: &str,
    new: &NewIncident,
) -> Result<IncidentRow, OpError> {
    let mut findings = Vec::new();
    let records = load::<Incident>(repository, &mut findings)?;
    let known = rows_of(&records);
    if let Some(finding) = findings.first() {
        let why = format!("whether it is open is not known: {}", finding.words());
        return Err(OpError::Refused { why });
    }
    let names = known.keys().map(String::as_str);
    let name = one_named("incident", digits, names)?.to_owned();
    let Some(mut incident) = known.get(&name).cloned() else {
        return Err(OpError::Usage { why: format!("there is no incident {digits}") });
    };
    if let Some(end) = &incident.closed {
        let why = format!("the incident {name} was closed: at {}, by {}", end.at, end.record);
        return Err(OpError::Refused { why });
    }
    let mut said = said_of(repository, new)?;
    (said.incident, said.phase) = (name, IncidentPhase::Close);
    if seconds(&said.at) < seconds(&incident.opened_at) {
        let why = format!("it cannot end at {}: it began at {}", said.at, incident.opened_at);
        return Err(OpError::Usage { why });
    }
    let mut snapshots: Vec<String> = new.snapshots.iter().map(ToString::to_string).collect();
    snapshots.sort_unstable();
    snapshots.dedup();
    said.snapshots = snapshots;
    if let Some(data) = new.data_time {
        let data = time_words(data.0, data.1);
        if seconds(&data) > seconds(&said.at) {
            let why = format!("data of {data} is newer than the end of the incident");
            return Err(OpError::Usage { why });
        }
        said.data_time = Some(data);
    }
    let key = store_attested(repository, &said).during("cannot store the end of the incident")?;
    incident.closed = Some(end_of(said, key.to_string(), &incident.opened_at));
    Ok(incident)
}

/// Lists incidents, with the runs that brought data of their sources back while they were open.
pub fn list(repository: &Repository) -> Result<IncidentList, OpError> {
    // All of it, even if there is none: whatever cannot be read may hide one.
    let ledger = Ledger::load(repository)?;
    let mut incidents: Vec<IncidentRow> = rows_of(&ledger.incidents).into_values().collect();
    incidents.sort_by_key(|incident| (seconds(&incident.opened_at), incident.incident.clone()));
    let sources: BTreeMap<&str, &str> = ledger
        .snapshots
        .iter()
        .map(|known| (known.snapshot.as_str(), known.source.as_str()))
        .collect();
    for incident in &mut incidents {
        let runs = ledger.runs.iter().filter(|run| is_of(run, incident, &sources));
        incident.runs = runs.map(run_of).collect();
    }
    Ok(IncidentList { incidents, findings: ledger.all_findings() })
}

/// The records of an incident that count.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counting<'a> {
    /// The one that says when it began.
    pub(crate) opened: Option<&'a Attestation<Incident>>,
    /// The one that says when it ended.
    pub(crate) closed: Option<&'a Attestation<Incident>>,
}

/// The records that count, by their incidents: of several of one phase the first by time.
pub(crate) fn counting<'a>(
    records: impl IntoIterator<Item = &'a Attestation<Incident>>,
) -> BTreeMap<&'a str, Counting<'a>> {
    let order =
        |record: &Attestation<Incident>| (parse_time(&record.said.time), record.key.to_string());
    let mut found: BTreeMap<&str, Counting<'_>> = BTreeMap::new();
    for record in records {
        let incident = found.entry(record.said.incident.as_str()).or_default();
        let counts = match record.said.phase {
            IncidentPhase::Open => &mut incident.opened,
            IncidentPhase::Close => &mut incident.closed,
        };
        if counts.is_none_or(|known| order(record) < order(known)) {
            *counts = Some(record);
        }
    }
    found
}

/// Incidents by their names, without runs.
fn rows_of(records: &[Attestation<Incident>]) -> BTreeMap<String, IncidentRow> {
    let row = |(name, Counting { opened, closed }): (&str, Counting<'_>)| {
        let opened = opened?;
        let mut row = row(opened.said.clone(), opened.key.to_string());
        row.closed = closed
            .map(|closed| end_of(closed.said.clone(), closed.key.to_string(), &row.opened_at));
        Some((name.to_owned(), row))
    };
    counting(records).into_iter().filter_map(row).collect()
}

fn said_of(repository: &Repository, new: &NewIncident) -> Result<Incident, OpError> {
    let usage = |why: String| Err(OpError::Usage { why });
    if !is_word(&new.words) {
        return usage(format!("say in 1 to {WORD_BYTES_MAX} bytes what happened"));
    }
    let now = repository.environment.now();
    let at = match new.at {
        Some(at) if at > now.0 => return usage(format!("{} is in the future", time_words(at, 0))),
        Some(at) => time_words(at, 0),
        None => time_words(now.0, 0),
    };
    Ok(Incident {
        time: now_words(repository.environment.as_ref()),
        at,
        words: new.words.clone(),
        ticket: new.ticket.clone(),
        ..Incident::default()
    })
}

fn row(said: Incident, record: String) -> IncidentRow {
    let Incident { incident, at, sources, words, ticket, .. } = said;
    let (closed, runs) = (None, Vec::new());
    IncidentRow { incident, opened_at: at, sources, words, ticket, record, closed, runs }
}

fn end_of(said: Incident, record: String, opened_at: &str) -> IncidentEnd {
    let Incident { at, words, ticket, snapshots, data_time, .. } = said;
    let between = |from: &str, until: &str| {
        u64::try_from(seconds(until).saturating_sub(seconds(from))).unwrap_or(0)
    };
    let recovered_after_seconds = between(opened_at, &at);
    let lost_seconds = data_time.as_deref().map(|data| between(data, opened_at));
    IncidentEnd {
        at,
        recovered_after_seconds,
        words,
        ticket,
        snapshots,
        data_time,
        lost_seconds,
        record,
    }
}

/// Whether a run brought data of an incident's sources back while that was open.
fn is_of(run: &AuditRow, incident: &IncidentRow, sources: &BTreeMap<&str, &str>) -> bool {
    let began = seconds(&run.time);
    let until = incident.closed.as_ref().map_or(i64::MAX, |end| seconds(&end.at));
    let mut of: BTreeSet<&str> =
        run.snapshots.iter().filter_map(|id| sources.get(id.as_str()).copied()).collect();
    of.extend(run.subject.as_deref());
    OPERATIONS.contains(&run.operation.as_str())
        && (seconds(&incident.opened_at)..=until).contains(&began)
        && (incident.sources.is_empty()
            || incident.sources.iter().any(|source| of.contains(source.as_str())))
}

fn run_of(run: &AuditRow) -> IncidentRun {
    IncidentRun {
        time: run.time.clone(),
        operation: run.operation.clone(),
        exit_code: run.exit_code,
        milliseconds: run.milliseconds,
        bytes: run.bytes,
        snapshots: run.snapshots.clone(),
        host: run.host.clone(),
        record: run.evidence(),
    }
}

fn seconds(time: &str) -> i64 {
    parse_time(time).map_or(0, |(seconds, _nanoseconds)| seconds)
}

/// Commands that bring contents back.
const OPERATIONS: [&str; 2] = ["restore", "dump"];
