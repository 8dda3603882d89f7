//! `status`: is there a good backup, and was it looked at?

use crate::cli::commands::check::tell_coverage;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::status::SourceStatus;
use crate::ops::status::StatusOptions;
use crate::ops::status::status;
use crate::settings::quantities;
use clap::Args;
use serde_json::json;
use std::time::Duration;

/// Say how old the newest good snapshots are, and how much was read in full
///
/// With something to expect, it ends with 6 where that is missed.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Only this source, which must have a snapshot; may be repeated
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Miss it if the newest complete snapshot of a source has data that is older, as `26h` or `2d`
    #[arg(long, value_name = "AGE", value_parser = quantities::duration)]
    expect_newer_than: Option<Duration>,
    /// Miss it if a pack was not read in full within so many days
    #[arg(long, value_name = "DAYS")]
    expect_read_within: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: StatusArguments) -> Result<Exit, Failure> {
    let mut options = StatusOptions::new();
    options.sources = arguments.source;
    options.age_max = arguments.expect_newer_than;
    options.coverage_days_max = arguments.expect_read_within;
    let found = status(&context.open()?, &options)?;
    let mut table = Table::new(&["SOURCE", "NEWEST", "TIME", "AGE", "SNAPSHOTS", "NOTES"]);
    for (name, source) in &found.sources {
        table.push(cells(context, name, source));
    }
    if found.sources.is_empty() {
        context.output.line(format_args!("there is no snapshot"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    if let Some(coverage) = &found.coverage {
        tell_coverage(context, coverage);
    }
    if found.open_sessions > 0 {
        let runs = words::count(found.open_sessions, "run");
        context.output.note(format_args!("{runs} did not end yet: `sbf-repo session list`"));
    }
    if found.holds_over > 0 {
        let holds = words::count(found.holds_over, "hold");
        context.output.note(format_args!(
            "the time of {holds} is over, and the snapshots are held until a release: `sbf-repo hold --list`"
        ));
    }
    for missed in &found.missed {
        context.output.warn(missed);
    }
    context.output.warn_of(&found.findings);
    let exit = match (found.findings.is_empty(), found.missed.is_empty()) {
        (false, _) => Exit::Damage,
        (true, false) => Exit::Missed,
        (true, true) => Exit::Success,
    };
    Ok(context.output.finish(&json!({ "status": found }), exit))
}

fn cells(context: &Context, name: &str, source: &SourceStatus) -> Vec<String> {
    let none = || "-".to_owned();
    let age = source.age_seconds.map(|seconds| words::duration(Duration::from_secs(seconds)));
    let notes = match source.newer_incomplete {
        0 => String::new(),
        count => format!("{} lacks something", words::count(count, "newer snapshot")),
    };
    vec![
        name.to_owned(),
        source.newest.as_ref().map_or_else(none, |id| context.id(id)),
        source.time.as_deref().map_or_else(none, short_time),
        age.unwrap_or_else(none),
        source.snapshots.to_string(),
        notes,
    ]
}
