//! The population of a report: a row for each run that was to come and each snapshot, for those who draw samples.

use crate::report::model::Report;
use crate::report::model::RunRow;
use crate::report::moment::Moment;
use crate::report::rows::SnapshotRow;
use std::fmt::Write as _;

/// The table, as RFC 4180 writes it.
pub(crate) fn csv(report: &Report) -> String {
    let mut text = format!("{}\n", COLUMNS.join(","));
    for run in &report.runs.list {
        push(&mut text, &of_run(run));
    }
    for snapshot in &report.snapshots {
        push(&mut text, &of_snapshot(snapshot));
    }
    text
}

fn of_run(run: &RunRow) -> [String; COLUMNS.len()] {
    let empty = String::new;
    [
        "run".to_owned(),
        run.job.clone(),
        run.source.clone(),
        run.due.to_string(),
        run.outcome.word().to_owned(),
        run.snapshot.clone().unwrap_or_default(),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
        run.evidence.join(" "),
    ]
}

fn of_snapshot(row: &SnapshotRow) -> [String; COLUMNS.len()] {
    [
        "snapshot".to_owned(),
        String::new(),
        row.source.clone(),
        String::new(),
        row.state.word().to_owned(),
        row.snapshot.clone(),
        row.data.to_string(),
        row.started.to_string(),
        row.finished.to_string(),
        row.bytes.to_string(),
        row.bytes_stored.to_string(),
        row.incomplete.to_string(),
        row.forgotten.as_ref().map(Moment::to_string).unwrap_or_default(),
        row.evidence.clone(),
    ]
}

fn push(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    // Writing into a string does not fail.
    let _ignored = writeln!(text, "{}", cells.join(","));
}

/// A cell as RFC 4180 writes it; no spreadsheet takes it for a formula.
pub(crate) fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

const COLUMNS: [&str; 14] = [
    "kind",
    "job",
    "source",
    "due",
    "outcome",
    "snapshot",
    "data_time",
    "started",
    "finished",
    "bytes",
    "bytes_stored",
    "incomplete",
    "forgotten",
    "evidence",
];
