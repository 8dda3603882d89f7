//! `audit list`: what was done with a repository, by whom, and how it ended.

use crate::format::audit::AuditEnd;
use crate::format::audit::AuditEvent;
use crate::format::audit::AuditPhase;
use crate::format::audit::AuditRecord;
use crate::format::layout;
use crate::id::ClientId;
use crate::ops::audit::verify::gap_finding;
use crate::ops::audit::verify::lapsed_finding;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::words::parse_time;
use crate::repo::audit::read::audit_numbers;
use crate::repo::audit::read::read_statements;
use crate::repo::error::RepoError;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::HashMap;

/// Which runs are wanted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AuditFilter {
    /// Of clients whose ids begin so.
    pub client: Option<String>,
    /// Of this operation.
    pub operation: Option<String>,
    /// Begun at this time or later, in seconds since 1970.
    pub since: Option<i64>,
}

/// A run, of its two records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditRow {
    /// Whose log it is in.
    pub client: String,
    /// Number of the record of its beginning; that of its end if there is no other.
    pub seq: u32,
    /// Number of the record of its end.
    pub end_seq: Option<u32>,
    /// When it began, RFC 3339 in UTC.
    pub time: String,
    /// The command.
    pub operation: String,
    /// Its exit code; `None` if the end is not recorded: it runs, or was killed.
    pub exit_code: Option<u8>,
    /// The stable code of the error that ended it.
    pub error: Option<String>,
    /// The user of the process.
    pub user_id: u32,
    /// Who called `sudo`.
    pub sudo_user: Option<String>,
    /// The host.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// What it was of, in a word: the source of a snapshot, the name of a copy or of a drill.
    pub subject: Option<String>,
    /// Snapshots that were read or made.
    pub snapshots: Vec<String>,
    /// Bytes of content that were read or written.
    pub bytes: Option<u64>,
    /// How long it took.
    pub milliseconds: Option<u64>,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// Where it was asked for, in the user's words.
    pub ticket: Option<String>,
    /// When a later run stored its records, if it could not.
    pub delivered: Option<String>,
    /// What was accepted of a repository that went back in time.
    pub accepted_rollback: Option<String>,
}

/// The runs that are wanted, and what could not be read.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct AuditList {
    /// The runs, by time.
    pub runs: Vec<AuditRow>,
    /// Records that cannot be read, or are missing between others.
    pub findings: Vec<Finding>,
}

impl AuditRow {
    /// The key of the record of its end, or of its beginning if that is all there is.
    pub fn evidence(&self) -> String {
        format!("{}/{}/{:08}", layout::AUDIT, self.client, self.end_seq.unwrap_or(self.seq))
    }
}

impl AuditFilter {
    /// All runs.
    pub fn new() -> Self {
        Self::default()
    }

    fn wants_client(&self, client: ClientId) -> bool {
        self.client.as_ref().is_none_or(|digits| client.to_string().starts_with(digits))
    }

    fn wants(&self, row: &AuditRow) -> bool {
        let time = parse_time(&row.time).map_or(i64::MAX, |(seconds, _)| seconds);
        self.operation.as_ref().is_none_or(|operation| row.operation == *operation)
            && self.since.is_none_or(|since| time >= since)
    }
}

/// Lists the runs that the audit logs have. What was removed from their ends is not noticed: see `audit_verify`.
pub fn audit_list(repository: &Repository, filter: &AuditFilter) -> Result<AuditList, OpError> {
    let what = "cannot read the audit log";
    let mut list = AuditList::default();
    for (client, numbers) in audit_numbers(repository).during(what)? {
        if !filter.wants_client(client) {
            continue;
        }
        let mut begun: HashMap<String, usize> = HashMap::new();
        let mut last_seen = 0;
        for (number, statement) in read_statements(repository, client, &numbers) {
            list.findings.extend(gap_finding(client, last_seen, number));
            last_seen = number;
            match statement {
                Ok(statement) => add(&mut list.runs, &mut begun, statement.record),
                Err(error @ RepoError::Lapsed { .. }) => {
                    let key = layout::audit_key(client, number).to_string();
                    list.findings.push(lapsed_finding(key, &error));
                }
                Err(error) if repository.is_damage(&error) => {
                    let key = layout::audit_key(client, number).to_string();
                    let effect = format!("what it records is not known: {}", chain_words(&error));
                    list.findings.push(Finding::loss("audit.damaged", key, effect));
                }
                Err(error) => return Err(error).during(what),
            }
        }
    }
    list.runs.retain(|row| filter.wants(row));
    list.runs.sort_by(|left, right| (&left.time, left.seq).cmp(&(&right.time, right.seq)));
    Ok(list)
}

/// Adds a record to the run that it belongs to.
fn add(rows: &mut Vec<AuditRow>, begun: &mut HashMap<String, usize>, record: AuditRecord) {
    let AuditRecord { seq, prev: _, delivered, event, .. } = record;
    let row = match event.phase {
        AuditPhase::Begin => None,
        AuditPhase::End(_) => begun.get(&event.run).and_then(|number| rows.get_mut(*number)),
    };
    if let Some(row) = row {
        finish(row, seq, delivered, &event);
        return;
    }
    begun.insert(event.run.clone(), rows.len());
    let mut row = row_of(seq, &event);
    if matches!(event.phase, AuditPhase::End(_)) {
        finish(&mut row, seq, delivered.clone(), &event);
    }
    row.delivered = delivered;
    rows.push(row);
}

fn row_of(seq: u32, event: &AuditEvent) -> AuditRow {
    AuditRow {
        client: event.actor.client.to_string(),
        seq,
        end_seq: None,
        time: event.time.clone(),
        operation: event.operation.clone(),
        exit_code: None,
        error: None,
        user_id: event.actor.user_id,
        sudo_user: event.actor.sudo_user.clone(),
        host: event.host.clone(),
        tool: event.tool.clone(),
        subject: event.subject.clone(),
        snapshots: event.snapshots.iter().map(ToString::to_string).collect(),
        bytes: None,
        milliseconds: None,
        reason: event.reason.clone(),
        ticket: event.ticket.clone(),
        delivered: None,
        accepted_rollback: event.accepted_rollback.clone(),
    }
}

fn finish(row: &mut AuditRow, seq: u32, delivered: Option<String>, event: &AuditEvent) {
    let AuditPhase::End(end) = &event.phase else { return };
    let AuditEnd { exit_code, error, bytes, milliseconds, .. } = end;
    row.end_seq = Some(seq);
    row.exit_code = Some(*exit_code);
    row.error.clone_from(error);
    row.bytes = *bytes;
    row.subject = event.subject.clone().or(row.subject.take());
    row.milliseconds = Some(*milliseconds);
    row.delivered = row.delivered.take().or(delivered);
    if !event.snapshots.is_empty() {
        row.snapshots = event.snapshots.iter().map(ToString::to_string).collect();
    }
}
