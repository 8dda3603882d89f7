//! `snapshots`: lists what there is.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::SnapshotRow;
use crate::ops::look::SnapshotState;
use crate::ops::look::snapshots;
use crate::units::human_bytes;
use clap::Args;
use serde_json::Value;
use serde_json::json;

/// List the snapshots
#[derive(Debug, Args)]
pub(crate) struct SnapshotsArguments {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only with this tag; may be repeated, and all must be there
    #[arg(long, value_name = "WORD")]
    tag: Vec<String>,
    /// Only of this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Only the newest COUNT of each source
    #[arg(long, value_name = "COUNT")]
    latest: Option<usize>,
    /// Those that were forgotten and are still stored; `forget --undo` brings them back
    #[arg(long)]
    forgotten: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: SnapshotsArguments) -> Result<Exit, Failure> {
    let mut filter = SnapshotFilter::new();
    filter.source = arguments.source;
    filter.tags = arguments.tag;
    filter.host = arguments.host;
    filter.latest = arguments.latest;
    if arguments.forgotten {
        filter.state = SnapshotState::Forgotten;
    }
    let list = snapshots(&context.open()?, &filter)?;
    let mut table = Table::new(&["SNAPSHOT", "TIME", "SOURCE", "FILES", "SIZE", "NOTES"]);
    for row in &list.rows {
        table.push(cells(context, row));
    }
    if list.rows.is_empty() {
        context.output.note(format_args!("there is no such snapshot"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    context.output.warn_of(&list.findings);
    let exit = if list.findings.is_empty() { Exit::Success } else { Exit::Damage };
    let rows: Vec<Value> = list.rows.iter().map(value).collect();
    Ok(context.output.finish(&json!({ "snapshots": rows, "findings": list.findings }), exit))
}

fn cells(context: &Context, row: &SnapshotRow) -> Vec<String> {
    let id = context.id(&row.snapshot.to_string());
    let source = row.source.clone();
    let Some(manifest) = &row.manifest else {
        let unknown = || "?".to_owned();
        return vec![id, unknown(), source, unknown(), unknown(), "damaged manifest".to_owned()];
    };
    let stated = &manifest.predicate;
    let escaped = |words: &str| words.escape_debug().to_string();
    let mut notes: Vec<String> = row.tags.iter().map(|tag| escaped(tag)).collect();
    notes.extend(row.holds.iter().map(|hold| escaped(&hold.words())));
    // The first marks are the holds.
    notes.extend(row.marks.iter().skip(row.holds.len()).map(|mark| escaped(mark)));
    notes.extend(row.notes.iter().map(|note| escaped(&format!("\u{201c}{}\u{201d}", note.text))));
    notes.extend(row.replaces.map(|old| format!("instead of {}", context.id(&old.to_string()))));
    if stated.incomplete {
        notes.push(format!("incomplete: {} left out", stated.skipped_count));
    }
    vec![
        id,
        short_time(&stated.times.data),
        source,
        stated.totals.files.to_string(),
        human_bytes(stated.totals.bytes),
        notes.join(", "),
    ]
}

fn value(row: &SnapshotRow) -> Value {
    json!({
        "snapshot": row.snapshot.to_string(),
        "client": row.client.to_string(),
        "source": row.source,
        "received": row.received,
        "tags": row.tags,
        "notes": row.notes,
        "holds": row.holds,
        "replaces": row.replaces.map(|old| old.to_string()),
        "marks": row.marks,
        "manifest": row.manifest.as_ref().map(|manifest| &manifest.predicate),
    })
}
