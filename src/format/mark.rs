//! What records say of snapshots: forgets, undos, holds, releases, and the policies behind them.
//! Spec: format-spec/10-record.md, "Kinds".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::attest;
use crate::format::audit::AuditHeads;
use crate::format::audit::AuditRecord;
use crate::format::coverage::CheckRecord;
use crate::format::label::Note;
use crate::format::label::Rewrite;
use crate::format::label::Tag;
use crate::format::record::Record;
use crate::id::PackId;
use crate::id::RecordId;
use crate::id::SessionId;
use crate::id::SnapshotId;
use serde_json::Map;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// Snapshots, checkpoints or both shall no longer count; at least one of them.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Forget {
    /// Which snapshots; sorted.
    pub snapshots: Vec<SnapshotId>,
    /// Which checkpoints, by their sessions; sorted.
    pub checkpoints: Vec<SessionId>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was asked for, RFC 3339 in UTC.
    pub time: Option<String>,
    /// Of which source they are, if a policy chose them.
    pub source: Option<String>,
    /// The policy that chose them.
    pub policy: Option<Map<String, Value>>,
}

/// A forget no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undo {
    /// Which forget.
    pub forget: RecordId,
    /// For which of its snapshots; sorted, empty for all of them.
    pub snapshots: Vec<SnapshotId>,
}

/// Snapshots must be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// Which; sorted, at least one.
    pub snapshots: Vec<SnapshotId>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was asked for, RFC 3339 in UTC.
    pub time: Option<String>,
    /// When it may be released, RFC 3339 in UTC; until then and after it the hold counts.
    pub until: Option<String>,
    /// Repository and key of the record of which this is a copy.
    pub origin: Option<String>,
}

/// Holds end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// For which snapshots; sorted, at least one.
    pub snapshots: Vec<SnapshotId>,
    /// Keys of the records that no longer hold them; sorted, at least one.
    pub holds: Vec<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was asked for, RFC 3339 in UTC.
    pub time: Option<String>,
}

/// Packs were read, and hold other bytes than their names say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Which; sorted, at least one.
    pub packs: Vec<PackId>,
}

/// A policy is accepted for a source.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// Which source.
    pub source: String,
    /// When, RFC 3339 in UTC; the newest counts.
    pub time: String,
    /// The policy.
    pub policy: Map<String, Value>,
    /// Snapshots that the policy does not apply to, as whoever accepted it knew; sorted.
    pub contradicting: Vec<SnapshotId>,
}

impl Forget {
    /// The word for the kind.
    pub const KIND: &'static str = "forget";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { snapshots, checkpoints, reason, time, source, policy } = self;
        if !snapshots.is_empty() {
            insert_snapshots(record, snapshots);
        }
        if !checkpoints.is_empty() {
            insert_names(record, CHECKPOINTS, checkpoints);
        }
        insert_text(record, "reason", reason.as_deref());
        insert_text(record, "time", time.as_deref());
        insert_text(record, "source", source.as_deref());
        if let Some(policy) = policy {
            record.predicate.insert("policy".to_owned(), Value::Object(policy.clone()));
        }
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let snapshots = some_snapshots(record)?;
        let checkpoints = some_checkpoints(record)?;
        if snapshots.is_empty() && checkpoints.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            snapshots,
            checkpoints,
            reason: text(record, "reason")?,
            time: text(record, "time")?,
            source: text(record, "source")?,
            policy: object(record, "policy")?,
        })
    }
}

impl Undo {
    /// The word for the kind.
    pub const KIND: &'static str = "undo";

    /// A forget that no longer holds for these snapshots, or for all of its own if the list is empty.
    pub fn new(forget: RecordId, snapshots: Vec<SnapshotId>) -> Self {
        Self { forget, snapshots }
    }

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { forget, snapshots } = self;
        insert_text(record, "forget", Some(&forget.to_string()));
        if !snapshots.is_empty() {
            insert_snapshots(record, snapshots);
        }
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let forget = text(record, "forget")?.ok_or_else(wrong)?;
        let forget = forget.parse().map_err(|_source| wrong())?;
        Ok(Self { forget, snapshots: some_snapshots(record)? })
    }

    /// Whether the forget no longer holds for this snapshot.
    pub fn covers(&self, snapshot: &SnapshotId) -> bool {
        self.snapshots.is_empty() || self.snapshots.contains(snapshot)
    }
}

impl Hold {
    /// The word for the kind.
    pub const KIND: &'static str = "hold";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { snapshots, reason, time, until, origin } = self;
        insert_snapshots(record, snapshots);
        insert_text(record, "reason", reason.as_deref());
        insert_text(record, "time", time.as_deref());
        insert_text(record, "until", until.as_deref());
        insert_text(record, "origin", origin.as_deref());
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        Ok(Self {
            snapshots: snapshots(record)?,
            reason: text(record, "reason")?,
            time: text(record, "time")?,
            until: text(record, "until")?,
            origin: text(record, "origin")?,
        })
    }
}

impl Release {
    /// The word for the kind.
    pub const KIND: &'static str = "release";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { snapshots, holds, reason, time } = self;
        insert_snapshots(record, snapshots);
        let holds = holds.iter().map(|hold| Value::from(hold.as_str())).collect();
        record.predicate.insert("holds".to_owned(), Value::Array(holds));
        insert_text(record, "reason", reason.as_deref());
        insert_text(record, "time", time.as_deref());
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        Ok(Self {
            snapshots: snapshots(record)?,
            holds: texts(record, "holds")?,
            reason: text(record, "reason")?,
            time: text(record, "time")?,
        })
    }
}

impl Damage {
    /// The word for the kind.
    pub const KIND: &'static str = "damage";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { packs } = self;
        insert_names(record, PACKS, packs);
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        Ok(Self { packs: names(record, PACKS)? })
    }
}

impl Policy {
    /// The word for the kind.
    pub const KIND: &'static str = "policy";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { source, time, policy, contradicting } = self;
        insert_text(record, "source", Some(source));
        insert_text(record, "time", Some(time));
        record.predicate.insert("policy".to_owned(), Value::Object(policy.clone()));
        if !contradicting.is_empty() {
            insert_snapshots(record, contradicting);
        }
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        Ok(Self {
            source: text(record, "source")?.ok_or_else(wrong)?,
            time: text(record, "time")?.ok_or_else(wrong)?,
            policy: object(record, "policy")?.ok_or_else(wrong)?,
            contradicting: some_snapshots(record)?,
        })
    }
}

/// Checks the members that the page gives for the kind; kinds that it does not describe have none.
pub fn check_members(kind: &str, record: &Record) -> Result<(), FormatError> {
    match kind {
        Forget::KIND => Forget::read(record).map(|_valid| ()),
        Undo::KIND => Undo::read(record).map(|_valid| ()),
        Hold::KIND => Hold::read(record).map(|_valid| ()),
        Release::KIND => Release::read(record).map(|_valid| ()),
        Policy::KIND => Policy::read(record).map(|_valid| ()),
        Tag::KIND => Tag::read(record).map(|_valid| ()),
        Note::KIND => Note::read(record).map(|_valid| ()),
        Rewrite::KIND => Rewrite::read(record).map(|_valid| ()),
        Damage::KIND => Damage::read(record).map(|_valid| ()),
        CheckRecord::KIND => CheckRecord::read(record).map(|_valid| ()),
        AuditHeads::KIND => AuditHeads::read(record).map(|_valid| ()),
        AuditRecord::KIND => AuditRecord::read(record).map(|_valid| ()),
        attested => attest::check_members(attested, record),
    }
}

pub(super) fn insert_text(record: &mut Record, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        record.predicate.insert(name.to_owned(), Value::from(value));
    }
}

pub(super) fn insert_snapshots(record: &mut Record, snapshots: &[SnapshotId]) {
    insert_names(record, SNAPSHOTS, snapshots);
}

fn insert_names(record: &mut Record, name: &str, ids: &[impl fmt::Display]) {
    let names = ids.iter().map(|id| Value::from(id.to_string())).collect();
    record.predicate.insert(name.to_owned(), Value::Array(names));
}

pub(super) fn text(record: &Record, name: &str) -> Result<Option<String>, FormatError> {
    match record.predicate.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_other) => Err(wrong()),
    }
}

/// A list of texts: sorted, each once, at least one.
pub(super) fn texts(record: &Record, name: &str) -> Result<Vec<String>, FormatError> {
    let list = record.predicate.get(name).and_then(Value::as_array).ok_or_else(wrong)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    let texts: Vec<String> = list.iter().map(text).collect::<Result<_, _>>()?;
    let sorted = texts.is_sorted_by(|left, right| left < right);
    if texts.is_empty() || !sorted { Err(wrong()) } else { Ok(texts) }
}

/// A list of identifiers: sorted, each once, at least one.
fn names<T: FromStr>(record: &Record, name: &str) -> Result<Vec<T>, FormatError> {
    let names = texts(record, name)?;
    names.iter().map(|name| name.parse().map_err(|_source| wrong())).collect()
}

pub(super) fn snapshots(record: &Record) -> Result<Vec<SnapshotId>, FormatError> {
    names(record, SNAPSHOTS)
}

/// As [`snapshots`], or none if the member is left out.
fn some_snapshots(record: &Record) -> Result<Vec<SnapshotId>, FormatError> {
    if record.predicate.contains_key(SNAPSHOTS) { snapshots(record) } else { Ok(Vec::new()) }
}

/// The checkpoints, or none if the member is left out.
fn some_checkpoints(record: &Record) -> Result<Vec<SessionId>, FormatError> {
    let is_there = record.predicate.contains_key(CHECKPOINTS);
    if is_there { names(record, CHECKPOINTS) } else { Ok(Vec::new()) }
}

fn object(record: &Record, name: &str) -> Result<Option<Map<String, Value>>, FormatError> {
    match record.predicate.get(name) {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members.clone())),
        Some(_other) => Err(wrong()),
    }
}

pub(super) fn wrong() -> FormatError {
    FormatError::new("record", Rule::RecordJson, 2)
}

const CHECKPOINTS: &str = "checkpoints";
const PACKS: &str = "packs";
const SNAPSHOTS: &str = "snapshots";
