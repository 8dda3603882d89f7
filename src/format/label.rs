//! What records say to describe snapshots: tags, notes, and which snapshot another one replaces.
//! Spec: format-spec/10-record.md, "Tags and notes".

use crate::format::FormatError;
use crate::format::mark::insert_snapshots;
use crate::format::mark::insert_text;
use crate::format::mark::snapshots;
use crate::format::mark::text;
use crate::format::mark::texts;
use crate::format::mark::wrong;
use crate::format::record::Record;
use crate::id::SnapshotId;
use serde_json::Value;

/// Snapshots get tags, or lose them; at least one of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tag {
    /// Which snapshots; sorted, at least one.
    pub snapshots: Vec<SnapshotId>,
    /// What they get; sorted.
    pub add: Vec<String>,
    /// What they lose; sorted, nothing of `add`.
    pub remove: Vec<String>,
    /// Keys of the tag records whose additions of `remove` end; sorted.
    pub records: Vec<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was asked for, RFC 3339 in UTC.
    pub time: Option<String>,
}

/// Something is said of snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// Which; sorted, at least one.
    pub snapshots: Vec<SnapshotId>,
    /// What; 1 to [`NOTE_BYTES_MAX`] bytes.
    pub text: String,
    /// When, RFC 3339 in UTC.
    pub time: Option<String>,
    /// Repository and key of the record of which this is a copy.
    pub origin: Option<String>,
}

/// A snapshot was made to stand for another one, of which something was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// The snapshot that was made.
    pub snapshot: SnapshotId,
    /// The one it stands for.
    pub replaces: SnapshotId,
    /// How many entries were left out, those below directories counted.
    pub entries: u64,
    /// How many bytes of files those had.
    pub bytes: u64,
    /// Why, for people.
    pub reason: Option<String>,
    /// When, RFC 3339 in UTC.
    pub time: Option<String>,
}

impl Tag {
    /// The word for the kind.
    pub const KIND: &'static str = "tag";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { snapshots, add, remove, records, reason, time } = self;
        insert_snapshots(record, snapshots);
        insert_texts(record, "add", add);
        insert_texts(record, "remove", remove);
        insert_texts(record, "records", records);
        insert_text(record, "reason", reason.as_deref());
        insert_text(record, "time", time.as_deref());
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let (add, remove) = (some_texts(record, "add")?, some_texts(record, "remove")?);
        let is_valid = |tag: &String| !tag.is_empty() && tag.len() <= TAG_BYTES_MAX;
        let is_both = add.iter().any(|tag| remove.contains(tag));
        let is_nothing = add.is_empty() && remove.is_empty();
        if is_nothing || is_both || !add.iter().chain(&remove).all(is_valid) {
            return Err(wrong());
        }
        Ok(Self {
            snapshots: snapshots(record)?,
            add,
            remove,
            records: some_texts(record, "records")?,
            reason: text(record, "reason")?,
            time: text(record, "time")?,
        })
    }
}

impl Note {
    /// The word for the kind.
    pub const KIND: &'static str = "note";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { snapshots, text, time, origin } = self;
        insert_snapshots(record, snapshots);
        insert_text(record, "text", Some(text));
        insert_text(record, "time", time.as_deref());
        insert_text(record, "origin", origin.as_deref());
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let said = text(record, "text")?.ok_or_else(wrong)?;
        if said.is_empty() || said.len() > NOTE_BYTES_MAX {
            return Err(wrong());
        }
        Ok(Self {
            snapshots: snapshots(record)?,
            text: said,
            time: text(record, "time")?,
            origin: text(record, "origin")?,
        })
    }
}

impl Rewrite {
    /// The word for the kind.
    pub const KIND: &'static str = "rewrite";

    /// A snapshot that stands for another one.
    pub fn new(snapshot: SnapshotId, replaces: SnapshotId) -> Self {
        Self { snapshot, replaces, entries: 0, bytes: 0, reason: None, time: None }
    }

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { snapshot, replaces, entries, bytes, reason, time } = self;
        insert_text(record, "snapshot", Some(&snapshot.to_string()));
        insert_text(record, "replaces", Some(&replaces.to_string()));
        record.predicate.insert("entries".to_owned(), Value::from(*entries));
        record.predicate.insert("bytes".to_owned(), Value::from(*bytes));
        insert_text(record, "reason", reason.as_deref());
        insert_text(record, "time", time.as_deref());
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let snapshot = |name| {
            let text = text(record, name)?.ok_or_else(wrong)?;
            text.parse::<SnapshotId>().map_err(|_source| wrong())
        };
        let number =
            |name: &str| record.predicate.get(name).and_then(Value::as_u64).ok_or_else(wrong);
        let (snapshot, replaces) = (snapshot("snapshot")?, snapshot("replaces")?);
        if snapshot == replaces {
            return Err(wrong());
        }
        Ok(Self {
            snapshot,
            replaces,
            entries: number("entries")?,
            bytes: number("bytes")?,
            reason: text(record, "reason")?,
            time: text(record, "time")?,
        })
    }
}

fn insert_texts(record: &mut Record, name: &str, values: &[String]) {
    if !values.is_empty() {
        let values = values.iter().map(|value| Value::from(value.as_str())).collect();
        record.predicate.insert(name.to_owned(), Value::Array(values));
    }
}

/// A sorted list of texts, or none if the member is left out.
fn some_texts(record: &Record, name: &str) -> Result<Vec<String>, FormatError> {
    if record.predicate.contains_key(name) { texts(record, name) } else { Ok(Vec::new()) }
}

/// Longest tag.
pub const TAG_BYTES_MAX: usize = 256;
/// Longest note.
pub const NOTE_BYTES_MAX: usize = 2048;
