//! Which tables differ between the dumps of two snapshots, by what their manifests state.

use crate::format::dump::StatedStream;
use crate::format::dump::StatedTable;
use crate::format::dump::same_database;
use crate::ops::select::Selected;
use serde::Serialize;
use std::collections::BTreeMap;

/// A table that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableChange {
    /// The stream, by its name in the snapshots.
    pub stream: String,
    /// The database, if the dump is of several.
    pub database: Option<String>,
    /// The table, as SQL names it.
    pub table: String,
    /// Rows before; `None` if there was no such table.
    pub rows_old: Option<u64>,
    /// Rows after.
    pub rows_new: Option<u64>,
}

/// Tables whose rows differ, are new, or are gone, in dumps that both snapshots have of one database.
///
/// Rows in another order are the same. Reads no dump; digests of two repositories never agree, so
/// both snapshots are to be of one.
pub fn diff_tables(old: &Selected, new: &Selected) -> Vec<TableChange> {
    let streams = |selected: &Selected| selected.manifest.predicate.streams.clone();
    changes(&streams(old), &streams(new))
}

fn changes(old: &[StatedStream], new: &[StatedStream]) -> Vec<TableChange> {
    let mut changes = Vec::new();
    for stream in new {
        let Some(after) = &stream.dump else { continue };
        let Some(before) = same_database(old, &stream.name, after.form) else { continue };
        let mut pairs: BTreeMap<_, (Option<&StatedTable>, Option<&StatedTable>)> = BTreeMap::new();
        for table in &before.tables {
            pairs.entry((&table.database, &table.name)).or_default().0 = Some(table);
        }
        for table in &after.tables {
            pairs.entry((&table.database, &table.name)).or_default().1 = Some(table);
        }
        for ((database, table), (before, after)) in pairs {
            let digest = |side: Option<&StatedTable>| side.map(|table| table.digest.clone());
            if digest(before) != digest(after) {
                changes.push(TableChange {
                    stream: stream.name.clone(),
                    database: database.clone(),
                    table: table.clone(),
                    rows_old: before.map(|table| table.rows),
                    rows_new: after.map(|table| table.rows),
                });
            }
        }
    }
    changes
}
