//! Whether a dump is one that may be committed: whole, not empty, and not much less than the last one.

use crate::format::dump::DumpForm;
use crate::format::dump::ObjectCount;
use crate::format::dump::StatedDump;
use crate::format::dump::StatedStream;
use crate::format::dump::StatedTable;
use crate::format::dump::same_database;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::options::Expected;
use crate::ops::snapshot::options::Guards;
use crate::ops::snapshot::options::UnwrapMode;
use crate::ops::words::path_words;
use crate::pgdump::DumpParser;
use crate::pgdump::DumpSummary;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::collections::HashMap;

/// Looks at a stream while it passes.
#[derive(Debug)]
pub(crate) struct Watch {
    first: Vec<u8>,
    last: Vec<u8>,
    parser: DumpParser,
}

impl Watch {
    /// A watch that lists at most so many tables.
    pub(crate) fn new(tables_max: usize) -> Self {
        Self { first: Vec::new(), last: Vec::new(), parser: DumpParser::new(tables_max) }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let room = FIRST_BYTES.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..room]);
        let tail = &bytes[bytes.len().saturating_sub(LAST_BYTES)..];
        let stays = LAST_BYTES.saturating_sub(tail.len());
        let goes = self.last.len().saturating_sub(stays);
        self.last.drain(..goes);
        self.last.extend_from_slice(tail);
        self.parser.update(bytes);
    }

    /// What the stream was, if it may be committed.
    ///
    /// Errors: [`OpError::SourceCommand`] if it is not whole.
    pub(crate) fn finish(
        self,
        name: &str,
        expected: &Expected,
        guards: &Guards,
        unwrap: UnwrapMode,
        progress: &dyn Progress,
    ) -> Result<Option<DumpSummary>, OpError> {
        let Self { first, last, parser } = self;
        if let Some(what) = compressed(&first) {
            let is_gzip = first.starts_with(GZIP_MAGIC);
            let more = match (is_gzip, unwrap) {
                (true, UnwrapMode::Off) => ", or store it with `--unwrap`",
                (true, UnwrapMode::On | UnwrapMode::OnIfWhole) => "",
                (false, _) => " (`--unwrap` knows gzip alone)",
            };
            progress.warn(&format!(
                "{name} is {what}: it does not deduplicate with the next one; let its program write it plain, the repository compresses it{more}"
            ));
        }
        let summary = parser.finish();
        let wrong = |what: String| Err(OpError::SourceCommand { how: format!("{name} {what}") });
        let last = last_line(&last);
        match expected {
            Expected::Trailer(trailer) if last.starts_with(trailer.as_bytes()) => {}
            Expected::Trailer(trailer) => {
                let found = path_words(&last[..last.len().min(SHOWN_BYTES)]);
                return wrong(format!("ends with the line `{found}` and not with `{trailer}`"));
            }
            Expected::PostgresDump if first.is_empty() => return wrong("is empty".to_owned()),
            Expected::PostgresDump if summary.is_none() => {
                return wrong("is no dump of PostgreSQL in SQL".to_owned());
            }
            Expected::Any | Expected::PostgresDump => {}
        }
        if !guards.whole {
            return Ok(summary);
        }
        if let Some(summary) = &summary
            && !summary.is_complete
        {
            let trailer = if summary.is_cluster { CLUSTER_TRAILER } else { TRAILER };
            return wrong(format!("is a dump that was cut off: it does not end with `{trailer}`"));
        }
        if is_mysql(&first) && !last.starts_with(MYSQL_TRAILER.as_bytes()) {
            return wrong(format!(
                "is a dump that was cut off: it does not end with `{MYSQL_TRAILER}`"
            ));
        }
        Ok(summary)
    }
}

/// The last line that is not blank.
fn last_line(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_end();
    let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[start..]
}

/// What is compressed already, by its first bytes.
pub(crate) fn compressed(first: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], _); 5] = [
        (b"PGDMP", "a dump in PostgreSQL's own format, which is compressed as a rule"),
        (GZIP_MAGIC, "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"BZh", "compressed with bzip2"),
    ];
    kinds.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, what)| *what)
}

fn is_mysql(first: &[u8]) -> bool {
    // Newer ones begin with a line that lets older clients fail.
    let mut lines = first.split(|byte| *byte == b'\n').take(2);
    lines.any(|line| MYSQL_HEADS.iter().any(|head| line.starts_with(head)))
}

/// What the manifest states of a dump.
pub(crate) fn stated(
    repository: &Repository,
    summary: &DumpSummary,
) -> Result<StatedDump, OpError> {
    let table = |table: &crate::pgdump::TableSum| {
        let rows = table.rows;
        let digest = repository.keys.rows_digest(rows.rows, rows.sum);
        Ok(StatedTable {
            database: table.database.clone(),
            name: table.name.clone(),
            rows: rows.rows,
            bytes: rows.bytes,
            digest: digest.during("cannot state what a dump holds")?.to_string(),
        })
    };
    let DumpSummary { is_cluster, server, program, tables, tables_count, all, inserts, .. } =
        summary;
    let object = |(kind, count): (&String, &u64)| ObjectCount { kind: kind.clone(), count: *count };
    Ok(StatedDump {
        form: if *is_cluster { DumpForm::PostgresqlCluster } else { DumpForm::PostgresqlPlain },
        server: server.clone(),
        program: program.clone(),
        tables: tables.iter().map(table).collect::<Result<_, OpError>>()?,
        tables_count: *tables_count,
        rows: all.rows,
        bytes: all.bytes,
        inserts: *inserts,
        objects: summary.objects.iter().map(object).collect(),
    })
}

/// Refuses dumps that hold much less than those of the snapshot before.
///
/// Errors: [`OpError::Guard`].
pub(crate) fn compare(
    before: &[StatedStream],
    now: &[StatedStream],
    guards: &Guards,
) -> Result<(), OpError> {
    for stream in now.iter().filter(|_| guards.compared) {
        let Some(new) = &stream.dump else { continue };
        let Some(old) = same_database(before, &stream.name, new.form) else { continue };
        let key = |table: &StatedTable| (table.database.clone(), table.name.clone());
        let found: HashMap<_, _> =
            new.tables.iter().map(|table| (key(table), table.rows)).collect();
        let is_listed = |dump: &StatedDump| dump.tables_count == to_u64(dump.tables.len());
        for table in &old.tables {
            let name = &stream.name;
            match found.get(&key(table)) {
                // Not every table of a very large dump is listed.
                None if is_listed(new) && !is_allowed(table, guards) => {
                    return Err(gone(name, table));
                }
                Some(rows) if is_much_less(table.rows, *rows, guards) => {
                    return Err(less(name, table, *rows));
                }
                None | Some(_) => {}
            }
        }
    }
    Ok(())
}

fn is_allowed(table: &StatedTable, guards: &Guards) -> bool {
    guards.dropped_tables.contains(&table.name)
}

fn is_much_less(old: u64, new: u64, guards: &Guards) -> bool {
    let lost = u128::from(old.saturating_sub(new));
    old >= ROWS_COUNT_MIN && lost * 100 > u128::from(old) * u128::from(guards.row_drop_percent)
}

fn gone(stream: &str, table: &StatedTable) -> OpError {
    let StatedTable { name, rows, .. } = table;
    OpError::Guard {
        why: format!(
            "table {name}, which had {rows} rows in the snapshot before, is not in {stream}: no snapshot was made"
        ),
        remedy: format!(
            "if it was dropped on purpose, run again with `--allow-dropped-table '{name}'`"
        ),
    }
}

fn less(stream: &str, table: &StatedTable, new: u64) -> OpError {
    let StatedTable { name, rows, .. } = table;
    OpError::Guard {
        why: format!(
            "table {name} has {new} rows in {stream}, and had {rows} in the snapshot before: no snapshot was made"
        ),
        remedy: "if they were deleted on purpose, run again with `--allow-row-drop`, or set the \
                 limit with `--max-row-drop PERCENT`"
            .to_owned(),
    }
}

pub(crate) const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
/// Tables with fewer rows come and go.
const ROWS_COUNT_MIN: u64 = 100;
const FIRST_BYTES: usize = 512;
const LAST_BYTES: usize = 1024;
const SHOWN_BYTES: usize = 60;
const TRAILER: &str = "-- PostgreSQL database dump complete";
const CLUSTER_TRAILER: &str = "-- PostgreSQL database cluster dump complete";
const MYSQL_HEADS: [&[u8]; 2] = [b"-- MySQL dump ", b"-- MariaDB dump "];
const MYSQL_TRAILER: &str = "-- Dump completed";
