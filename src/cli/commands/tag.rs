//! `tag` and `note`: what people say of snapshots afterwards.

use crate::cli::commands::forget::selectors;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::ops::tag;
use crate::ops::tag::TagChange;
use crate::units::to_u64;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Add or remove tags of snapshots
///
/// Manifests never change: a signed record says it, and `snapshots`, `forget --keep-tag` and `copy`
/// heed it. Who may forget, may remove any tag; a writer those that it gave.
#[derive(Debug, Args)]
pub(crate) struct TagArguments {
    /// The snapshots; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT", required = true)]
    selectors: Vec<OsString>,
    /// Add this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    add: Vec<String>,
    /// Remove this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
    /// Leave only this tag; may be repeated
    #[arg(long, value_name = "TAG", conflicts_with_all = ["add", "remove"])]
    set: Vec<String>,
}

/// Say something of a snapshot, for whoever lists it
///
/// Notes are signed and stay; `snapshots` shows them.
#[derive(Debug, Args)]
pub(crate) struct NoteArguments {
    /// The snapshot; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT")]
    selector: OsString,
    /// What to say
    #[arg(value_name = "TEXT")]
    text: String,
}

/// Runs `tag`.
pub(crate) fn run_tag(context: &Context, arguments: &TagArguments) -> Result<Exit, Failure> {
    let set = |words: &[String]| words.iter().cloned().collect::<BTreeSet<_>>();
    let mut change = TagChange::new();
    change.add = set(&arguments.add);
    change.remove = set(&arguments.remove);
    change.set = (!arguments.set.is_empty()).then(|| set(&arguments.set));
    change.reason.clone_from(&context.global.reason);
    change.check()?;
    let selectors = selectors(&arguments.selectors)?;
    let report = tag::tag(&context.open()?, &selectors, &change)?;
    for one in &report.snapshots {
        if let Ok(snapshot) = one.snapshot.parse() {
            context.audit.add_snapshot(snapshot);
        }
        let id = context.id(&one.snapshot);
        let tags: Vec<&str> = one.tags.iter().map(String::as_str).collect();
        let tags = if tags.is_empty() { "no tags".to_owned() } else { tags.join(", ") };
        let same = one.added.is_empty() && one.removed.is_empty();
        let still = if same { "still " } else { "" };
        context.output.note(format_args!("snapshot {id} {still}has {}", tags.escape_debug()));
    }
    context.output.warn_of(&report.findings);
    let exit = if report.findings.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&report, exit))
}

/// Runs `note`.
pub(crate) fn run_note(context: &Context, arguments: &NoteArguments) -> Result<Exit, Failure> {
    let selectors = selectors(std::slice::from_ref(&arguments.selector))?;
    let noted = tag::note(&context.open()?, &selectors, &arguments.text)?;
    for snapshot in &noted {
        context.audit.add_snapshot(*snapshot);
    }
    let count = words::count(to_u64(noted.len()), "snapshot");
    context.output.note(format_args!("noted on {count}"));
    let snapshots: Vec<String> = noted.iter().map(ToString::to_string).collect();
    Ok(context.output.finish(&json!({ "snapshots": snapshots }), Exit::Success))
}
