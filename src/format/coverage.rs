//! What a check read in full: by session and number of the pack, so that a record stays small.
//! Spec: format-spec/10-record.md, "Checks".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::record::Record;
use crate::id::PackId;
use crate::id::SessionId;
use crate::id::SnapshotId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

/// Packs by the session that wrote them and their numbers in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackRuns(BTreeMap<SessionId, BTreeSet<u32>>);

/// A check that read packs in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckRecord {
    /// When it began, RFC 3339 in UTC.
    pub time: String,
    /// When it ended.
    pub finished: String,
    /// Name and version of the program.
    pub tool: String,
    /// On which host; empty if it is not told.
    pub host: String,
    /// Packs that it found to be what they were; what it says of all else is about these and `damaged`.
    pub covered: PackRuns,
    /// Packs that it found damaged; sorted.
    pub damaged: Vec<PackId>,
    /// Stored bytes that were read.
    pub bytes: u64,
    /// Chunks that were named again.
    pub chunks: u64,
    /// Findings of the whole check.
    pub findings: u64,
    /// Snapshots whose trees were walked; sorted, at most [`SNAPSHOTS_COUNT_MAX`].
    pub snapshots: Vec<SnapshotId>,
    /// How many there were in all.
    pub snapshots_count: u64,
    /// The newest verdict then.
    pub verdict: u64,
    /// The newest inventory then; 0 if there was none.
    pub inventory: u64,
}

impl PackRuns {
    /// Adds a pack.
    pub fn insert(&mut self, session: SessionId, sequence: u32) {
        self.0.entry(session).or_default().insert(sequence);
    }

    /// Whether a pack is among them.
    pub fn contains(&self, session: SessionId, sequence: u32) -> bool {
        self.0.get(&session).is_some_and(|numbers| numbers.contains(&sequence))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0
            .values()
            .map(|numbers| crate::units::to_u64(numbers.len()))
            .fold(0, u64::saturating_add)
    }

    fn lines(&self) -> Vec<String> {
        let line = |(session, numbers): (&SessionId, &BTreeSet<u32>)| {
            format!("{session}:{}", Ranges(numbers))
        };
        self.0.iter().map(line).collect()
    }

    fn parse(list: &[Value]) -> Result<Self, FormatError> {
        let mut runs = Self::default();
        let mut left = NUMBERS_COUNT_MAX;
        for line in list {
            let (session, ranges) =
                line.as_str().and_then(|line| line.split_once(':')).ok_or_else(wrong)?;
            let session: SessionId = session.parse().map_err(|_source| wrong())?;
            let mut numbers = BTreeSet::new();
            for range in ranges.split(',') {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                let [from, to] = [from, to].map(str::parse::<u32>);
                let (Ok(from), Ok(to)) = (from, to) else { return Err(wrong()) };
                let count = u64::from(to.checked_sub(from).ok_or_else(wrong)?);
                left = left.checked_sub(count.saturating_add(1)).ok_or_else(wrong)?;
                numbers.extend(from..=to);
            }
            runs.0.insert(session, numbers);
        }
        // Every set has one text: sorted, each once, the longest ranges, no signs or zeros before.
        let is_same =
            runs.lines().iter().map(String::as_str).eq(list.iter().filter_map(Value::as_str));
        if is_same { Ok(runs) } else { Err(wrong()) }
    }
}

/// Numbers as ranges: `0-5,7`.
struct Ranges<'a>(&'a BTreeSet<u32>);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open: Option<(u32, u32)> = None;
        let mut separator = "";
        let mut close = |(first, last): (u32, u32), formatter: &mut fmt::Formatter<'_>| {
            write!(formatter, "{separator}{first}")?;
            separator = ",";
            if last > first { write!(formatter, "-{last}") } else { Ok(()) }
        };
        for &number in self.0 {
            open = match open {
                Some((first, last)) if last.checked_add(1) == Some(number) => Some((first, number)),
                Some(range) => {
                    close(range, formatter)?;
                    Some((number, number))
                }
                None => Some((number, number)),
            };
        }
        open.map_or(Ok(()), |range| close(range, formatter))
    }
}

impl CheckRecord {
    /// The word for the kind.
    pub const KIND: &'static str = "check";

    /// Adds what it says to a statement.
    pub fn write(&self, record: &mut Record) {
        let Self { time, finished, tool, host, covered, damaged, .. } = self;
        let Self {
            bytes, chunks, findings, snapshots, snapshots_count, verdict, inventory, ..
        } = self;
        let mut insert = |name: &str, value: Value| {
            record.predicate.insert(name.to_owned(), value);
        };
        for (name, text) in [("time", time), ("finished", finished), ("tool", tool), ("host", host)]
        {
            insert(name, text.clone().into());
        }
        for (name, number) in [
            ("packs", &self.packs()),
            ("bytes", bytes),
            ("chunks", chunks),
            ("findings", findings),
            ("snapshots_count", snapshots_count),
            ("verdict", verdict),
            ("inventory", inventory),
        ] {
            insert(name, (*number).into());
        }
        let ids = |ids: Vec<String>| Value::from(ids);
        insert("covered", ids(covered.lines()));
        insert("damaged", ids(damaged.iter().map(ToString::to_string).collect()));
        insert("snapshots", ids(snapshots.iter().map(ToString::to_string).collect()));
    }

    /// Packs that were read.
    pub fn packs(&self) -> u64 {
        self.covered.count().saturating_add(crate::units::to_u64(self.damaged.len()))
    }

    /// Takes a statement apart.
    pub fn read(record: &Record) -> Result<Self, FormatError> {
        let member = |name: &str| record.predicate.get(name).ok_or_else(wrong);
        let text = |name| member(name)?.as_str().map(str::to_owned).ok_or_else(wrong);
        let number = |name| member(name)?.as_u64().ok_or_else(wrong);
        let list = |name| member(name)?.as_array().ok_or_else(wrong);
        let read = Self {
            time: text("time")?,
            finished: text("finished")?,
            tool: text("tool")?,
            host: text("host")?,
            covered: PackRuns::parse(list("covered")?)?,
            damaged: ids(list("damaged")?)?,
            bytes: number("bytes")?,
            chunks: number("chunks")?,
            findings: number("findings")?,
            snapshots: ids(list("snapshots")?)?,
            snapshots_count: number("snapshots_count")?,
            verdict: number("verdict")?,
            inventory: number("inventory")?,
        };
        if number("packs")? == read.packs() { Ok(read) } else { Err(wrong()) }
    }
}

/// Identifiers: sorted, each once.
fn ids<T: std::str::FromStr + Ord>(list: &[Value]) -> Result<Vec<T>, FormatError> {
    let id = |value: &Value| value.as_str().and_then(|id| id.parse().ok()).ok_or_else(wrong);
    let ids: Vec<T> = list.iter().map(id).collect::<Result<_, _>>()?;
    if ids.is_sorted_by(|left, right| left < right) { Ok(ids) } else { Err(wrong()) }
}

fn wrong() -> FormatError {
    FormatError::new("record", Rule::RecordJson, 2)
}

/// Most snapshots that a check names.
pub const SNAPSHOTS_COUNT_MAX: usize = 1000;
/// Most packs of one record: a range is short however many it means.
const NUMBERS_COUNT_MAX: u64 = 1_000_000;
