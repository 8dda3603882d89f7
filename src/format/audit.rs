//! What a record of the audit log says: who did what, when, and how it ended.
//! Spec: format-spec/10-record.md, "Audit log".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::record::Record;
use crate::id::ClientId;
use crate::id::Sha256;
use crate::id::SnapshotId;
use serde_json::Map;
use serde_json::Value;

/// A record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its number in the chain of its client, from 1.
    pub seq: u32,
    /// SHA-256 of the statement before; zeros for the first.
    pub prev: Sha256,
    /// When the record was stored, if its run could not store it and a later one did.
    pub delivered: Option<String>,
    /// What happened.
    pub event: AuditEvent,
}

/// What a record says, wherever it stands in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it happened by the client's clock, RFC 3339 in UTC.
    pub time: String,
    /// The command, in words of `a-z` joined by `-`.
    pub operation: String,
    /// Random, the same in the two records of a run.
    pub run: String,
    /// Beginning or end.
    pub phase: AuditPhase,
    /// Who did it.
    pub actor: AuditActor,
    /// On which host; empty if it is not told.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// What it was of, in a word: the source of a snapshot, the name of a copy or of a drill.
    pub subject: Option<String>,
    /// Snapshots that are read or made; sorted.
    pub snapshots: Vec<SnapshotId>,
    /// Why, in the words of whoever did it.
    pub reason: Option<String>,
    /// Where it was asked for, in the words of whoever did it.
    pub ticket: Option<String>,
    /// What was accepted of a repository that went back in time.
    pub accepted_rollback: Option<String>,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditActor {
    /// Whose key signed.
    pub client: ClientId,
    /// The user of the process.
    pub user_id: u32,
    /// Who called `sudo`, if somebody did.
    pub sudo_user: Option<String>,
}

/// Which of the two records of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditPhase {
    /// Before work begins.
    Begin,
    /// After it ended.
    End(AuditEnd),
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEnd {
    /// The number of the record of its beginning, if it is known.
    pub began: Option<u32>,
    /// The exit code of the process.
    pub exit_code: u8,
    /// The stable code of the error, if one ended it.
    pub error: Option<String>,
    /// Bytes of content that were read or written, if the command counts them.
    pub bytes: Option<u64>,
    /// How long it took.
    pub milliseconds: u64,
}

impl AuditActor {
    /// This client, used by this user.
    pub const fn new(client: ClientId, user_id: u32, sudo_user: Option<String>) -> Self {
        Self { client, user_id, sudo_user }
    }
}

impl AuditRecord {
    /// The word for the kind.
    pub const KIND: &'static str = "audit";

    /// A record at this place of its chain.
    pub const fn new(seq: u32, prev: Sha256, event: AuditEvent) -> Self {
        Self { seq, prev, delivered: None, event }
    }

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { seq, prev, delivered, event } = self;
        let members = &mut record.predicate;
        insert(members, "seq", *seq);
        insert(members, "prev", prev.to_string());
        insert_some(members, "delivered", delivered.clone());
        members.extend(event.members());
    }

    /// Takes a statement apart whose place was checked.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let members = &record.predicate;
        let seq = number(members, "seq")?.and_then(|seq| u32::try_from(seq).ok());
        let seq = seq.ok_or_else(wrong)?;
        let place = text(members, "place")?.ok_or_else(wrong)?;
        let event = AuditEvent::read(members)?;
        if place != format!("audit/{}/{seq:08}", event.actor.client) {
            return Err(wrong());
        }
        let prev = text(members, "prev")?.ok_or_else(wrong)?;
        let prev = prev.parse().map_err(|_source| wrong())?;
        Ok(Self { seq, prev, delivered: text(members, "delivered")?, event })
    }
}

impl AuditEvent {
    /// Its members, without those of a place in a chain.
    pub fn members(&self) -> Map<String, Value> {
        let Self { time, operation, run, phase, actor, host, tool, .. } = self;
        let Self { subject, snapshots, reason, ticket, accepted_rollback, .. } = self;
        let mut members = Map::new();
        insert(&mut members, "version", AUDIT_VERSION);
        insert(&mut members, "time", time.clone());
        insert(&mut members, "operation", operation.clone());
        insert(&mut members, "run", run.clone());
        insert(&mut members, "phase", phase.word());
        let AuditActor { client, user_id, sudo_user } = actor;
        let mut who = Map::new();
        insert(&mut who, "client", client.to_string());
        insert(&mut who, "user_id", *user_id);
        insert_some(&mut who, "sudo_user", sudo_user.clone());
        members.insert("actor".to_owned(), Value::Object(who));
        insert(&mut members, "host", host.clone());
        insert(&mut members, "tool", tool.clone());
        if !snapshots.is_empty() {
            let ids: Vec<String> = snapshots.iter().map(ToString::to_string).collect();
            insert(&mut members, "snapshots", ids);
        }
        insert_some(&mut members, "subject", subject.clone());
        insert_some(&mut members, "reason", reason.clone());
        insert_some(&mut members, "ticket", ticket.clone());
        insert_some(&mut members, "accepted_rollback", accepted_rollback.clone());
        if let AuditPhase::End(end) = phase {
            let AuditEnd { began, exit_code, error, bytes, milliseconds } = end;
            insert_some(&mut members, "began", *began);
            insert(&mut members, "exit_code", *exit_code);
            insert_some(&mut members, "error", error.clone());
            insert_some(&mut members, "bytes", *bytes);
            insert(&mut members, "milliseconds", *milliseconds);
        }
        members
    }

    /// Takes members apart; others than its own are ignored.
    pub fn read(members: &Map<String, Value>) -> Result<Self, FormatError> {
        let word = |name| text(members, name)?.ok_or_else(wrong);
        if number(members, "version")? != Some(u64::from(AUDIT_VERSION)) {
            return Err(wrong());
        }
        let who = members.get("actor").and_then(Value::as_object).ok_or_else(wrong)?;
        let user_id = number(who, "user_id")?.and_then(|id| u32::try_from(id).ok());
        let client = text(who, "client")?.and_then(|client| client.parse().ok());
        let actor = AuditActor {
            client: client.ok_or_else(wrong)?,
            user_id: user_id.ok_or_else(wrong)?,
            sudo_user: text(who, "sudo_user")?,
        };
        let phase = match word("phase")?.as_str() {
            "begin" => AuditPhase::Begin,
            "end" => AuditPhase::End(AuditEnd::read(members)?),
            _other => return Err(wrong()),
        };
        let run = word("run")?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if run.len() != RUN_DIGITS || !run.bytes().all(is_hex) {
            return Err(wrong());
        }
        Ok(Self {
            time: word("time")?,
            operation: word("operation")?,
            run,
            phase,
            actor,
            host: word("host")?,
            tool: word("tool")?,
            subject: text(members, "subject")?,
            snapshots: snapshots(members)?,
            reason: text(members, "reason")?,
            ticket: text(members, "ticket")?,
            accepted_rollback: text(members, "accepted_rollback")?,
        })
    }
}

impl AuditPhase {
    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::End(_) => "end",
        }
    }
}

impl AuditEnd {
    fn read(members: &Map<String, Value>) -> Result<Self, FormatError> {
        let small = |name| {
            let value = number(members, name)?;
            value.map(|value| u32::try_from(value).map_err(|_source| wrong())).transpose()
        };
        let exit_code = number(members, "exit_code")?.and_then(|code| u8::try_from(code).ok());
        Ok(Self {
            began: small("began")?,
            exit_code: exit_code.ok_or_else(wrong)?,
            error: text(members, "error")?,
            bytes: number(members, "bytes")?,
            milliseconds: number(members, "milliseconds")?.ok_or_else(wrong)?,
        })
    }
}

/// The ends of all audit logs at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditHeads {
    /// Sorted by client, each once; at least one.
    pub heads: Vec<StatedHead>,
}

/// The end of the audit log of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatedHead {
    /// Whose log.
    pub client: ClientId,
    /// The number of its last record.
    pub seq: u32,
    /// SHA-256 of that record's statement.
    pub sha256: Sha256,
}

impl AuditHeads {
    /// The word for the kind.
    pub const KIND: &'static str = "heads";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let head = |head: &StatedHead| {
            let StatedHead { client, seq, sha256 } = head;
            let mut members = Map::new();
            insert(&mut members, "client", client.to_string());
            insert(&mut members, "seq", *seq);
            insert(&mut members, "sha256", sha256.to_string());
            Value::Object(members)
        };
        let heads: Vec<Value> = self.heads.iter().map(head).collect();
        insert(&mut record.predicate, "heads", heads);
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let list = record.predicate.get("heads").and_then(Value::as_array).ok_or_else(wrong)?;
        let head = |value: &Value| {
            let members = value.as_object().ok_or_else(wrong)?;
            let seq = number(members, "seq")?.and_then(|seq| u32::try_from(seq).ok());
            let client = text(members, "client")?.and_then(|client| client.parse().ok());
            let sha256 = text(members, "sha256")?.and_then(|sha256| sha256.parse().ok());
            Ok(StatedHead {
                client: client.ok_or_else(wrong)?,
                seq: seq.ok_or_else(wrong)?,
                sha256: sha256.ok_or_else(wrong)?,
            })
        };
        let heads: Vec<StatedHead> = list.iter().map(head).collect::<Result<_, FormatError>>()?;
        let is_sorted = heads.is_sorted_by(|left, right| left.client < right.client);
        if heads.is_empty() || !is_sorted { Err(wrong()) } else { Ok(Self { heads }) }
    }
}

fn insert(members: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    members.insert(name.to_owned(), value.into());
}

fn insert_some(members: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        insert(members, name, value);
    }
}

fn text(members: &Map<String, Value>, name: &str) -> Result<Option<String>, FormatError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_other) => Err(wrong()),
    }
}

fn number(members: &Map<String, Value>, name: &str) -> Result<Option<u64>, FormatError> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(wrong),
    }
}

/// Sorted, each once; at least one if the member is there.
fn snapshots(members: &Map<String, Value>) -> Result<Vec<SnapshotId>, FormatError> {
    let Some(list) = members.get("snapshots") else { return Ok(Vec::new()) };
    let list = list.as_array().filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    let id = |value: &Value| value.as_str().and_then(|id| id.parse().ok()).ok_or_else(wrong);
    let ids: Vec<SnapshotId> = list.iter().map(id).collect::<Result<_, _>>()?;
    if ids.is_sorted_by(|left, right| left < right) { Ok(ids) } else { Err(wrong()) }
}

fn wrong() -> FormatError {
    FormatError::new("record", Rule::RecordJson, 2)
}

/// Version of the members.
pub const AUDIT_VERSION: u8 = 1;
/// Digits of the name of a run.
const RUN_DIGITS: usize = 32;
