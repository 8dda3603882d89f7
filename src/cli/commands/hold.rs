//! `hold` and `release`: snapshots that nothing forgets.

use crate::cli::commands::forget::selectors;
use crate::cli::commands::forget::tell_kept;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::ops::hold;
use crate::ops::words::time_words;
use crate::settings::quantities;
use clap::Args;
use serde_json::Value;
use serde_json::json;
use std::ffi::OsString;

/// Keep snapshots whatever a policy or a person says
///
/// Nothing forgets a held snapshot; `release` ends the hold. Needs `--reason`.
#[derive(Debug, Args)]
pub(crate) struct HoldArguments {
    /// The snapshots; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT", required = true)]
    selectors: Vec<OsString>,
    /// Let a forget end the hold after this day, as `2026-12-31`, or time; both in UTC
    #[arg(long, value_name = "DATE", value_parser = quantities::last_moment)]
    until: Option<i64>,
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
    let until = arguments.until.map(|seconds| time_words(seconds, 0));
    let selectors = selectors(&arguments.selectors)?;
    let Some(reason) = &context.global.reason else {
        let failure = Failure::usage("a hold needs a reason".to_owned());
        return Err(failure.with_hint("give it with `--reason TEXT`"));
    };
    let kept = hold::hold(&context.open()?, &selectors, reason, until)?;
    Ok(tell_kept(context, &kept, "is held"))
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
