//! `hold` and `release`: snapshots that nothing forgets.

use crate::cli::commands::forget::selectors;
use crate::cli::commands::forget::tell_kept;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::hold;
use crate::ops::hold::SnapshotHold;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::SnapshotRow;
use crate::ops::look::snapshots;
use crate::ops::words::time_words;
use crate::settings::quantities;
use clap::Args;
use serde_json::Value;
use serde_json::json;
use std::ffi::OsString;

/// Keep snapshots whatever a policy or a person says
///
/// Nothing forgets a held snapshot; `release` ends the hold. Needs `--reason`. After the time of
/// `--until` it still holds, until a `release` or a `forget` ends it. `--list` shows all holds.
#[derive(Debug, Args)]
pub(crate) struct HoldArguments {
    /// The snapshots; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT", required_unless_present = "list")]
    selectors: Vec<OsString>,
    /// Show what is held, by whom, why and until when
    #[arg(long, conflicts_with_all = ["selectors", "until"])]
    list: bool,
    /// Let a forget end the hold after this day, as `2026-12-31`, or time; both in UTC
    #[arg(long, value_name = "DATE", value_parser = quantities::last_moment)]
    until: Option<i64>,
}

impl HoldArguments {
    /// Whether nothing is stored.
    pub(crate) const fn is_list(&self) -> bool {
        self.list
    }
}

/// End the holds of snapshots
#[derive(Debug, Args)]
pub(crate) struct ReleaseArguments {
    /// The snapshots; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT", required = true)]
    selectors: Vec<OsString>,
}

/// Runs `hold`.
pub(crate) fn run_hold(context: &Context, arguments: &HoldArguments) -> Result<Exit, Failure> {
    if arguments.list {
        return list(context);
    }
    let until = arguments.until.map(|seconds| time_words(seconds, 0));
    let selectors = selectors(&arguments.selectors)?;
    let Some(reason) = &context.global.reason else {
        let failure = Failure::usage("a hold needs a reason".to_owned());
        return Err(failure.with_hint("give it with `--reason TEXT`"));
    };
    let kept = hold::hold(&context.open()?, &selectors, reason, until)?;
    Ok(tell_kept(context, &kept, "is held"))
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let list = snapshots(&context.open()?, &SnapshotFilter::new())?;
    let mut table = Table::new(&["SNAPSHOT", "SOURCE", "BY", "SINCE", "UNTIL", "REASON"]);
    let mut rows = Vec::new();
    for row in &list.rows {
        for hold in &row.holds {
            table.push(cells(context, row, hold));
            let id = row.snapshot.to_string();
            rows.push(json!({ "snapshot": id, "source": row.source, "hold": hold }));
        }
    }
    if rows.is_empty() {
        context.output.note(format_args!("nothing is held"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    context.output.warn_of(&list.findings);
    let exit = if list.findings.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&json!({ "holds": rows, "findings": list.findings }), exit))
}

fn cells(context: &Context, row: &SnapshotRow, hold: &SnapshotHold) -> Vec<String> {
    let time = |time: &Option<String>| time.as_deref().map_or_else(|| "-".to_owned(), short_time);
    let over = if hold.is_over { " (over; held until released)" } else { "" };
    vec![
        context.id(&row.snapshot.to_string()),
        row.source.escape_debug().to_string(),
        context.id(&hold.client),
        time(&hold.time).escape_debug().to_string(),
        format!("{}{over}", time(&hold.until).escape_debug()),
        hold.reason.as_deref().unwrap_or("-").escape_debug().to_string(),
    ]
}

/// Runs `release`.
pub(crate) fn run_release(
    context: &Context,
    arguments: &ReleaseArguments,
) -> Result<Exit, Failure> {
    let selectors = selectors(&arguments.selectors)?;
    let released = hold::release(&context.open()?, &selectors, context.global.reason.clone())?;
    for snapshot in released.keys() {
        let id = context.id(&snapshot.to_string());
        context.output.note(format_args!("snapshot {id} is no longer held"));
    }
    let rows: Vec<Value> = released
        .iter()
        .map(|(snapshot, holds)| json!({ "snapshot": snapshot.to_string(), "holds": holds }))
        .collect();
    Ok(context.output.finish(&json!({ "released": rows }), Exit::Success))
}
