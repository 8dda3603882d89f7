//! What came back, compared with the fingerprint in the manifest and with what is stored.

use crate::format::dump::StatedDump;
use crate::format::dump::StatedTable;
use crate::ops::drill::prints::Printed;
use crate::ops::drill::programs::major_of;
use crate::ops::drill::record::Recorder;
use crate::ops::error::OpError;
use crate::ops::snapshot::guard::stated;
use crate::pgdump::DumpSummary;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// What is known of how a stored dump was written.
pub(crate) enum Written {
    /// By `pg_dump` with these options, which are repeated.
    With(Vec<String>),
    /// In words why that is not known.
    Unknown(String),
}

/// Compares the rows and objects of a dump that was made again with the fingerprint.
///
/// Errors: those of the keys that digests are made with.
pub(crate) fn with_fingerprint(
    recorder: &mut Recorder<'_>,
    keys: Option<&Repository>,
    fingerprint: &StatedDump,
    again: &Printed,
    hint: &str,
) -> Result<(), OpError> {
    let Some(summary) = &again.summary else {
        for name in [OBJECTS, ROWS] {
            recorder.not_verified(name, "what was dumped again is no dump of PostgreSQL");
        }
        return Ok(());
    };
    let is_same_major = major_of(&fingerprint.server) == major_of(&summary.server)
        && major_of(&fingerprint.program) == major_of(&summary.program);
    compare_objects(recorder, fingerprint, summary, is_same_major);
    let digests = match keys {
        Some(keys) => Some(stated(keys, summary)?),
        None => None,
    };
    let (wrong, others) = differing_tables(fingerprint, summary, digests.as_ref());
    let what = (wrong.as_slice(), others.as_slice());
    compare_rows(recorder, fingerprint, what, (is_same_major, digests.is_some(), hint));
    Ok(())
}

fn compare_objects(
    recorder: &mut Recorder<'_>,
    fingerprint: &StatedDump,
    summary: &DumpSummary,
    is_same_major: bool,
) {
    let objects: BTreeMap<String, u64> =
        fingerprint.objects.iter().map(|each| (each.kind.clone(), each.count)).collect();
    let differ = differing_counts(&objects, &summary.objects);
    match (differ.is_empty(), is_same_major) {
        (true, _) => {
            let count: u64 = objects.values().sum();
            let detail = format!("{count} objects, as many of each kind as were backed up");
            recorder.pass(OBJECTS, detail);
        }
        (false, true) => recorder.fail(OBJECTS, differ.join("; ")),
        // Versions dump some things as objects of their own that others do not.
        (false, false) => recorder.not_verified(
            OBJECTS,
            format!("another version of PostgreSQL counts otherwise: {}", differ.join("; ")),
        ),
    }
}

/// Tables with other numbers of rows, in words, and those of as many rows with another digest.
fn differing_tables(
    fingerprint: &StatedDump,
    summary: &DumpSummary,
    digests: Option<&StatedDump>,
) -> (Vec<String>, Vec<String>) {
    let rows = summary.tables.iter();
    let found: HashMap<_, _> =
        rows.map(|table| (key(table.database.as_ref(), &table.name), table.rows.rows)).collect();
    let stated = digests.iter().flat_map(|dump| &dump.tables);
    let digests: HashMap<_, _> =
        stated.map(|table| (key(table.database.as_ref(), &table.name), &table.digest)).collect();
    let (mut wrong, mut others) = (Vec::new(), Vec::new());
    for StatedTable { database, name, rows, digest, .. } in &fingerprint.tables {
        let key = key(database.as_ref(), name);
        match (found.get(&key), digests.get(&key)) {
            (None, _) if *rows > 0 => {
                wrong.push(format!("{name} with {rows} rows did not come back"));
            }
            (Some(now), _) if now != rows => {
                wrong.push(format!("{name} has {now} rows, not {rows}"));
            }
            (Some(_), Some(now)) if *now != digest => others.push(name.clone()),
            (None | Some(_), _) => {}
        }
    }
    let (rows, tables) = (summary.all.rows, summary.tables_count);
    if wrong.is_empty() && (rows, tables) != (fingerprint.rows, fingerprint.tables_count) {
        let StatedDump { rows: rows_before, tables_count, .. } = fingerprint;
        wrong.push(format!("{rows} rows in {tables} tables, not {rows_before} in {tables_count}"));
    }
    (wrong, others)
}

fn key<'a>(database: Option<&'a String>, name: &'a str) -> (Option<&'a str>, &'a str) {
    (database.map(String::as_str), name)
}

fn compare_rows(
    recorder: &mut Recorder<'_>,
    fingerprint: &StatedDump,
    (wrong, others): (&[String], &[String]),
    (is_same_major, has_digests, hint): (bool, bool, &str),
) {
    let is_unlisted = fingerprint.tables_count > to_u64(fingerprint.tables.len());
    let unproved = if !has_digests {
        "the numbers of rows are right; the digests are keyed by another repository"
    } else if is_unlisted {
        "the numbers of rows are right; not every table's digest is in the manifest"
    } else if fingerprint.inserts > 0 {
        "rows that stand in INSERT statements have no digests"
    } else {
        ""
    };
    if !wrong.is_empty() {
        recorder.fail(ROWS, list(wrong));
    } else if !others.is_empty() && is_same_major {
        recorder.fail(ROWS, format!("other rows than were backed up: {}{hint}", list(others)));
    } else if !others.is_empty() {
        let what = list(others);
        let detail = format!("another version of PostgreSQL may write rows otherwise: {what}");
        recorder.not_verified(ROWS, detail);
    } else if unproved.is_empty() {
        let StatedDump { rows, tables_count, .. } = fingerprint;
        let detail =
            format!("{rows} rows in {tables_count} tables, with the digests of the backup");
        recorder.pass(ROWS, detail);
    } else {
        recorder.not_verified(ROWS, unproved);
    }
}

fn list(words: &[String]) -> String {
    let more = words.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    words.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ") + &more
}

/// Compares a dump that was made again with the one that is stored.
pub(crate) fn with_stored(
    recorder: &mut Recorder<'_>,
    stored: &Printed,
    again: &Printed,
    written: &Written,
) {
    let version = |printed: &Printed| {
        let summary = printed.summary.as_ref();
        summary.map(|summary| (summary.server.clone(), summary.program.clone())).unwrap_or_default()
    };
    let (before, now) = (version(stored), version(again));
    let Some(difference) = stored.difference(again) else {
        let but = if before == now { "" } else { ", but for the versions in its head" };
        return recorder.pass(REDUMP, format!("re-dump identical{but}"));
    };
    match written {
        _ if before != now => recorder.not_verified(
            REDUMP,
            format!(
                "dumped of PostgreSQL {} by pg_dump {}, and now of {} by {}: {difference}",
                before.0, before.1, now.0, now.1
            ),
        ),
        Written::Unknown(why) => recorder.not_verified(REDUMP, format!("{why}: {difference}")),
        Written::With(_) => recorder.fail(REDUMP, difference),
    }
}

fn differing_counts(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<String> {
    let kinds: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let count = |of: &BTreeMap<String, u64>, kind: &String| of.get(kind).copied().unwrap_or(0);
    let differing = kinds.into_iter().filter(|kind| count(before, kind) != count(now, kind));
    differing
        .map(|kind| format!("{} of {kind}, not {}", count(now, kind), count(before, kind)))
        .collect()
}

/// The options of `pg_dump` that a command had, as far as they decide what is written.
pub(crate) fn written_by(argv: &[String]) -> Written {
    let program = argv.first().map(|program| program.rsplit('/').next().unwrap_or_default());
    if program != Some("pg_dump") {
        let words = program.unwrap_or("a stream");
        return Written::Unknown(format!(
            "how the dump was made is not known, which came from {words}"
        ));
    }
    let mut options = Vec::new();
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if WRITING.contains(&name) {
            options.push(word.clone());
        } else if CONNECTING_WITH_VALUE.contains(&name) {
            if !word.contains('=') {
                words.next();
            }
        } else if !CONNECTING.contains(&name) {
            return Written::Unknown(format!("pg_dump had `{word}`, which is not repeated"));
        }
    }
    Written::With(options)
}

/// Names of the checks.
pub(crate) const OBJECTS: &str = "object-counts";
pub(crate) const ROWS: &str = "rows-and-digests";
pub(crate) const REDUMP: &str = "re-dump";
/// Tables that a detail names.
const NAMED_MAX: usize = 10;
/// Options without values that change what a whole dump says.
const WRITING: &[&str] = &[
    "-O",
    "--no-owner",
    "-x",
    "--no-acl",
    "--no-privileges",
    "--no-comments",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--quote-all-identifiers",
    "--no-toast-compression",
    "--no-table-access-method",
    "-b",
    "--blobs",
    "--large-objects",
];
/// Options that say where the database is and how the dump is made, with a value in the next word or behind `=`.
const CONNECTING_WITH_VALUE: &[&str] = &[
    "-d",
    "--dbname",
    "-h",
    "--host",
    "-p",
    "--port",
    "-U",
    "--username",
    "--restrict-key",
    "-f",
    "--file",
    "-j",
    "--jobs",
    "--lock-wait-timeout",
    "-Z",
    "--compress",
    "--role",
    "-F",
    "--format",
];
/// The same without a value.
const CONNECTING: &[&str] = &[
    "-w",
    "--no-password",
    "--no-sync",
    "--serializable-deferrable",
    "-v",
    "--verbose",
    "-Fp",
    "-Fd",
    "-Z0",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_repeated_if_all_are_known() {
        let read = |line: &str| {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            match written_by(&argv) {
                Written::With(options) => Some(options.join(" ")),
                Written::Unknown(_) => None,
            }
        };
        let own = "/usr/bin/pg_dump --no-password --restrict-key=x --format=plain -d service=app";
        assert_eq!(read(own).as_deref(), Some(""));
        assert_eq!(read("pg_dump -O -h db -U me --no-acl").as_deref(), Some("-O --no-acl"));
        assert_eq!(read("pg_dump --schema-only app"), None);
        assert_eq!(read("pg_dump app"), None);
        assert_eq!(read("ssh db pg_dump"), None);
    }
}
