//! The table of snapshots of a bundle: a row each, for those who draw samples. Spec: format-spec/16-evidence.md.

use crate::format::manifest::Manifest;
use crate::format::manifest::SnapshotPredicate;
use crate::id::Sha256;
use crate::ops::evidence::files;
use crate::ops::evidence::verify::Bundle;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::history::LiveSnapshot;
use crate::report::csv::cell;
use std::fmt::Write as _;

/// The table while it is written.
pub(super) struct Population(pub(super) String);

impl Population {
    pub(super) fn new() -> Self {
        Self(format!("{}\n", COLUMNS.join(",")))
    }

    pub(super) fn add(&mut self, live: &LiveSnapshot, manifest: &Manifest, state: &str) {
        let KnownCells { before, after } = KnownCells::of(&manifest.predicate, live.manifest);
        let received = cell(&time_words(live.received, 0));
        // Writing into a string does not fail.
        let _ignored = writeln!(self.0, "{before},{received},{state},{after}");
    }
}

/// The cells of a row that the statement of its snapshot tells: those before and after what only the exporter knows.
pub(super) struct KnownCells {
    before: String,
    after: String,
}

impl KnownCells {
    /// `original` is the SHA-256 of the statement as it was signed.
    pub(super) fn of(stated: &SnapshotPredicate, original: Sha256) -> Self {
        let times = &stated.times;
        let before = [
            &stated.snapshot,
            &stated.client,
            &stated.source,
            &times.data,
            &times.started,
            &times.finished,
        ];
        let after = [
            stated.totals.files.to_string(),
            stated.totals.bytes.to_string(),
            stated.incomplete.to_string(),
            original.to_string(),
        ];
        let joined = |cells: &[String]| cells.join(",");
        let before: Vec<String> = before.iter().map(|text| cell(text)).collect();
        Self { before: joined(&before), after: joined(&after) }
    }

    /// The row of the table with these cells, without its end.
    fn row_in<'a>(&self, table: &'a str) -> Option<&'a str> {
        let begin = format!("\n{},", self.before);
        let at = table.find(&begin)?;
        let row = table.get(at + 1..)?;
        // What the exporter adds has no line feeds, and what is before it is known.
        let length = self.before.len() + row.get(self.before.len()..)?.find('\n')?;
        let row = row.get(..length)?;
        let added = row.strip_prefix(begin.trim_start_matches('\n'))?;
        let (received, state) = added.strip_suffix(&format!(",{}", self.after))?.split_once(',')?;
        let is_known = parse_time(received).is_some() && STATES.contains(&state);
        is_known.then_some(row)
    }
}

impl Bundle {
    /// Checks that the table has a row for each statement that says the same, and no other row.
    pub(super) fn check_population(&mut self) {
        let table = self.files.get(files::POPULATION).cloned().unwrap_or_default();
        let table = String::from_utf8_lossy(&table).into_owned();
        let header = COLUMNS.join(",") + "\n";
        let rows = self.rows.iter().map(|cells| cells.row_in(&table));
        let lengths: Option<usize> = rows.map(|row| row.map(|row| row.len() + 1)).sum();
        let is_whole = lengths.is_some_and(|rows| header.len() + rows == table.len());
        if !is_whole || !table.starts_with(&header) {
            self.find("evidence.population", files::POPULATION, &"the manifests say otherwise");
        }
    }
}

/// What a snapshot is at the time of the export.
const STATES: [&str; 2] = ["live", "forgotten"];
const COLUMNS: [&str; 12] = [
    "snapshot",
    "client",
    "source",
    "data_time",
    "started",
    "finished",
    "received",
    "state",
    "files",
    "bytes",
    "incomplete",
    "manifest_sha256",
];
