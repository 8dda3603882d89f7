//! `diff`: what changed between two snapshots.

use crate::cli::commands::ls;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::words;
use crate::format::tree::EntryKind;
use crate::ops::diff::AspectChange;
use crate::ops::diff::Change;
use crate::ops::diff::DiffReport;
use crate::ops::diff::DiffTotals;
use crate::ops::diff::Difference;
use crate::ops::diff::TableChange;
use crate::ops::diff::diff;
use crate::ops::diff::diff_tables;
use crate::ops::look::ListedEntry;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::units::human_bytes;
use clap::Args;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;

/// Show what changed between two snapshots
///
/// A letter stands before each path: `+` added, `-` removed, `M` other content, `U` only other
/// metadata, `T` another kind. What a restore does not set, as inode numbers, is not compared. The
/// exit code is 0 whether anything differs or not.
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The older: SNAPSHOT or SNAPSHOT:PATH; see `sbf-repo restore --help`
    #[arg(value_name = "OLD[:PATH]")]
    old: OsString,
    /// The newer
    #[arg(value_name = "NEW[:PATH]")]
    new: OsString,
    /// Show what of the metadata differs
    #[arg(long)]
    metadata: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &DiffArguments) -> Result<Exit, Failure> {
    let old = Selector::parse(arguments.old.as_bytes())?;
    let new = Selector::parse(arguments.new.as_bytes())?;
    let repository = context.open()?;
    let (old, new) = (context.select(&repository, &old)?, context.select(&repository, &new)?);
    context.output.open_list("changes");
    let mut show = |change: &Change<'_>| {
        match context.output.form() {
            Form::Words => tell(context, change, arguments.metadata),
            Form::Json => context.output.push(&value(change, arguments.metadata)),
        }
        if context.output.is_closed_pipe() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let report = diff(&repository, &old, &new, &mut show, &context.progress)?;
    context.output.warn_of(&report.findings);
    tell_sums(context, &report);
    let tables = diff_tables(&old, &new);
    tell_tables(context, &tables);
    let exit = if report.findings.is_empty() { Exit::Success } else { Exit::Damage };
    let side = |one: &Selected| {
        let time = &one.manifest.predicate.times.data;
        json!({ "snapshot": one.snapshot().to_string(), "path": one.path_words(), "time": time })
    };
    let words = json!({
        "old": side(&old),
        "new": side(&new),
        "is_same": report.is_same(),
        "totals": report,
        "tables": tables,
    });
    Ok(context.output.finish(&words, exit))
}

fn tell_tables(context: &Context, changes: &[TableChange]) {
    let rows = |side: Option<u64>| side.map_or_else(|| "none".to_owned(), |rows| rows.to_string());
    for change in changes {
        let database = change.database.iter().map(|name| format!("{name}: "));
        let name = database.chain([change.table.clone()]).collect::<String>();
        context.output.note(format_args!(
            "table {} of {}: {} -> {} rows{}",
            name.escape_debug(),
            change.stream.escape_debug(),
            rows(change.rows_old),
            rows(change.rows_new),
            if change.rows_old == change.rows_new { ", others" } else { "" },
        ));
    }
}

fn tell(context: &Context, change: &Change<'_>, with_metadata: bool) {
    let Some(shown) = change.new.as_ref().or(change.old.as_ref()) else { return };
    let slash = if matches!(shown.kind, EntryKind::Directory(_)) { "/" } else { "" };
    let letter = letter(change.difference);
    let details = details(change);
    context.output.line(format_args!("{letter} {}{slash}{details}", shown.path));
    if with_metadata {
        for AspectChange { name, old, new, .. } in &change.aspects {
            let words = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            context.output.line(format_args!("    {name}: {} -> {}", words(old), words(new)));
        }
    }
}

const fn letter(difference: Difference) -> char {
    match difference {
        Difference::Added => '+',
        Difference::Removed => '-',
        Difference::Content => 'M',
        Difference::Metadata => 'U',
        Difference::Kind => 'T',
    }
}

/// Sizes, kinds or targets behind a path.
fn details(change: &Change<'_>) -> String {
    let size = |entry: Option<&ListedEntry<'_>>| entry.and_then(|entry| ls::size(entry.kind));
    let kind = |entry: Option<&ListedEntry<'_>>| {
        entry.map(|entry| ls::kind_word(entry.kind)).unwrap_or_default()
    };
    let (old, new) = (change.old.as_ref(), change.new.as_ref());
    match (change.difference, size(old), size(new)) {
        (Difference::Added | Difference::Removed, old, new) => {
            new.or(old).map(|size| format!("  {}", human_bytes(size))).unwrap_or_default()
        }
        (Difference::Content, Some(old), Some(new)) => {
            format!("  {} -> {}", human_bytes(old), human_bytes(new))
        }
        (Difference::Kind, _, _) => format!("  {} -> {}", kind(old), kind(new)),
        (Difference::Content | Difference::Metadata, _, _) => String::new(),
    }
}

fn tell_sums(context: &Context, report: &DiffReport) {
    if report.is_same() && report.findings.is_empty() {
        context.output.note(format_args!("nothing differs"));
        return;
    }
    let sums = |what: &str, totals: &DiffTotals| {
        let (files, directories) = (
            words::count(totals.files, "file"),
            // No regular plural.
            if totals.directories == 1 {
                "1 directory".to_owned()
            } else {
                format!("{} directories", totals.directories)
            },
        );
        let others = words::count(totals.others, "other");
        format!("{what} {files}, {directories}, {others}, {}", human_bytes(totals.bytes))
    };
    context.output.note(format_args!("{}", sums("added", &report.added)));
    context.output.note(format_args!("{}", sums("removed", &report.removed)));
    context.output.note(format_args!(
        "other content: {} ({} -> {}); other metadata: {}; another kind: {}",
        report.content_changed,
        human_bytes(report.content_bytes_old),
        human_bytes(report.content_bytes_new),
        report.metadata_changed,
        report.kind_changed,
    ));
}

fn value(change: &Change<'_>, with_metadata: bool) -> Value {
    let side = |entry: &ListedEntry<'_>| ls::value(entry);
    let shown = change.new.as_ref().or(change.old.as_ref());
    let mut value = Map::new();
    value.insert("path".to_owned(), json!(shown.map(|entry| entry.path.clone())));
    value.insert("change".to_owned(), json!(change.difference));
    value.insert("old".to_owned(), json!(change.old.as_ref().map(side)));
    value.insert("new".to_owned(), json!(change.new.as_ref().map(side)));
    if with_metadata {
        value.insert("metadata".to_owned(), json!(change.aspects));
    }
    Value::Object(value)
}
