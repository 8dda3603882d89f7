//! `ls`: lists what is in a snapshot.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::words;
use crate::format::tree::EntryKind;
use crate::ops::look::ListedEntry;
use crate::ops::look::ls;
use crate::ops::select::Selector;
use crate::ops::words::path_words;
use crate::ops::words::time_words;
use clap::Args;
use serde_json::Value;
use serde_json::json;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;

/// List what is in a snapshot
///
/// Each line has mode, owner, size, time and path. Control characters and bytes outside UTF-8 are
/// written as `\xHH`. With `--verbose` and `--json`, files have the name of their content, which
/// `sbf-repo find --content` takes: within a repository, files of one name hold the same bytes.
///
/// `app.sql.gz.recipe` beside `app.sql` says that the file came as `app.sql.gz`, compressed by gzip:
/// `sbf-repo dump --rewrap` and `restore --rewrap` make that file again from both.
#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// SNAPSHOT or SNAPSHOT:PATH; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    selector: OsString,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &LsArguments) -> Result<Exit, Failure> {
    let selector = Selector::parse(arguments.selector.as_bytes())?;
    let repository = context.open()?;
    let selected = context.select(&repository, &selector)?;
    context.output.open_list("entries");
    let mut show = |entry: ListedEntry<'_>| {
        match context.output.form() {
            Form::Words => tell(context, &entry),
            Form::Json => context.output.push(&value(&entry)),
        }
        if context.output.is_closed_pipe() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let report = ls(&repository, &selected, &mut show, &context.progress)?;
    context.output.warn_of(&report.findings);
    let exit = if report.findings_count == 0 { Exit::Success } else { Exit::Damage };
    let words = json!({
        "snapshot": selected.snapshot().to_string(),
        "path": selected.path_words(),
        "entries_count": report.entries,
        "findings": report.findings,
        "findings_count": report.findings_count,
    });
    Ok(context.output.finish(&words, exit))
}

fn tell(context: &Context, entry: &ListedEntry<'_>) {
    match entry.content().filter(|_name| context.output.loudness() == Loudness::Verbose) {
        Some(name) => context.output.line(format_args!("{}  content {name}", line(entry))),
        None => context.output.line(format_args!("{}", line(entry))),
    }
}

/// An entry as `ls` shows it to people.
pub(crate) fn line(entry: &ListedEntry<'_>) -> String {
    let metadata = entry.metadata;
    let name = |name: &[u8], number: u32| {
        if name.is_empty() { number.to_string() } else { path_words(name) }
    };
    let owner = &entry.owner;
    let target = match entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", path_words(target)),
        EntryKind::File(_)
        | EntryKind::Directory(_)
        | EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice(_)
        | EntryKind::BlockDevice(_) => String::new(),
    };
    format!(
        "{} {:<8} {:<8} {:>12} {} {}{target}",
        words::mode(entry.kind, metadata.mode),
        name(&owner.user_name, owner.user_id),
        name(&owner.group_name, owner.group_id),
        size(entry.kind).unwrap_or(0),
        time_words(metadata.modified.seconds, 0),
        entry.path,
    )
}

/// An entry as `ls` tells it to programs.
pub(crate) fn value(entry: &ListedEntry<'_>) -> Value {
    let (metadata, owner) = (entry.metadata, &entry.owner);
    let target = match entry.kind {
        EntryKind::Symlink { target } => Some(path_words(target)),
        EntryKind::File(_)
        | EntryKind::Directory(_)
        | EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice(_)
        | EntryKind::BlockDevice(_) => None,
    };
    json!({
        "path": entry.path,
        "kind": kind_word(entry.kind),
        "size": size(entry.kind),
        "target": target,
        "mode": format!("{:04o}", metadata.mode),
        "user_id": owner.user_id,
        "group_id": owner.group_id,
        "user": path_words(&owner.user_name),
        "group": path_words(&owner.group_name),
        "modified": time_words(metadata.modified.seconds, metadata.modified.nanoseconds),
        "content": entry.content().map(|name| name.to_string()),
    })
}

/// The word for a kind of entry.
pub(crate) const fn kind_word(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::File(_) => "file",
        EntryKind::Directory(_) => "directory",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharacterDevice(_) => "character device",
        EntryKind::BlockDevice(_) => "block device",
    }
}

/// The size of a file.
pub(crate) fn size(kind: &EntryKind) -> Option<u64> {
    kind.file().map(|file| file.size)
}
