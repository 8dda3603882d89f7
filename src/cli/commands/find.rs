//! `find`: which snapshots have an entry.

use crate::cli::commands::forget::selectors;
use crate::cli::commands::ls;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::patterns;
use crate::cli::words;
use crate::cli::words::short_time;
use crate::ops::find::EntryType;
use crate::ops::find::FindOptions;
use crate::ops::find::FindReport;
use crate::ops::find::FoundEntry;
use crate::ops::find::SearchedSnapshot;
use crate::ops::find::SizeBound;
use crate::ops::find::find;
use crate::settings::quantities;
use clap::Args;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Find entries in snapshots
///
/// An entry that does not change through snapshots is told once, with the first and the last
/// snapshot that has it, and how many have it. Everything that is asked for must hold; of several
/// patterns, one. A pattern without `/` matches a name anywhere, one with `/` the path from the top,
/// one that ends with `/` only directories. The exit code is 1 if nothing is found.
#[derive(Debug, Args)]
pub(crate) struct FindArguments {
    /// Patterns of `.gitignore`, as `*.sql` or `/srv/app/**/*.conf`; everything if there is none
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Changed at this time or later: `2026-10-14`, `2026-10-14T02:00:00Z`, or so long ago, as `7d`
    #[arg(long, value_name = "TIME", value_parser = time_before)]
    newer: Option<i64>,
    /// Changed before this time
    #[arg(long, value_name = "TIME", value_parser = time_before)]
    older: Option<i64>,
    /// Files of at least `+SIZE`, at most `-SIZE`, or exactly `SIZE`; may be repeated, and all must hold
    #[arg(long, value_name = "SIZE", value_parser = size_bound, allow_hyphen_values = true)]
    size: Vec<SizeBound>,
    /// Only this type: file, directory, symbolic link, named pipe, socket, character or block
    /// device; may be repeated
    #[arg(long = "type", value_name = "LETTER", value_enum, value_delimiter = ',')]
    types: Vec<Letter>,
    /// Files with this content: its name as `ls --verbose` and `ls --json` tell it, or its first eight
    /// or more digits
    #[arg(long, value_name = "NAME", value_parser = content_digits)]
    content: Option<String>,
    /// Only in snapshots of this source; may be repeated
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Only in snapshots with this tag; may be repeated, and all must be there
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only in this snapshot; see `sbf-repo restore --help`; may be repeated
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Vec<OsString>,
}

/// The letters of find(1).
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Letter {
    F,
    D,
    L,
    P,
    S,
    C,
    B,
}

impl Letter {
    const fn entry_type(self) -> EntryType {
        match self {
            Self::F => EntryType::File,
            Self::D => EntryType::Directory,
            Self::L => EntryType::Symlink,
            Self::P => EntryType::Fifo,
            Self::S => EntryType::Socket,
            Self::C => EntryType::CharacterDevice,
            Self::B => EntryType::BlockDevice,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &FindArguments) -> Result<Exit, Failure> {
    let options = options_of(arguments)?;
    let found = find(&context.open()?, &options, &context.progress);
    context.progress.end();
    let report = found?;
    context.output.open_list("entries");
    for entry in &report.entries {
        match context.output.form() {
            Form::Words => context.output.line(format_args!("{}", line(context, &report, entry))),
            Form::Json => context.output.push(&value(&report, entry)),
        }
    }
    context.output.warn_of(&report.findings);
    let searched = words::count(crate::units::to_u64(report.snapshots.len()), "snapshot");
    let exit = match (report.findings.is_empty(), report.entries.is_empty()) {
        (false, _) => Exit::Damage,
        (true, false) => Exit::Success,
        (true, true) => {
            context.output.note(format_args!("nothing is found in {searched}"));
            Exit::Failure
        }
    };
    context.output.detail(format_args!(
        "searched {searched}; read {} of their directories",
        report.directories_read
    ));
    let words = json!({
        "entries_count": report.entries.len(),
        "snapshots_searched": report.snapshots.len(),
        "directories_read": report.directories_read,
        "findings": report.findings,
    });
    Ok(context.output.finish(&words, exit))
}

fn options_of(arguments: &FindArguments) -> Result<FindOptions, Failure> {
    let mut options = FindOptions::new();
    if let Some(compiled) = patterns::compile(&arguments.patterns, &[])? {
        options.filter = Some(Arc::new(move |path: &[u8], is_directory| {
            patterns::matches(&compiled, Path::new(OsStr::from_bytes(path)), is_directory)
        }));
    }
    options.newer = arguments.newer;
    options.older = arguments.older;
    options.sizes.clone_from(&arguments.size);
    options.types = arguments.types.iter().map(|letter| letter.entry_type()).collect();
    options.content.clone_from(&arguments.content);
    options.sources.clone_from(&arguments.source);
    options.tags.clone_from(&arguments.tag);
    options.selectors = selectors(&arguments.snapshot)?;
    Ok(options)
}

fn line(context: &Context, report: &FindReport, entry: &FoundEntry) -> String {
    let (first, last) = (&report.snapshots[entry.first], &report.snapshots[entry.last]);
    let name = |one: &SearchedSnapshot| {
        let id = context.id(&one.snapshot.to_string());
        format!("{id} ({})", short_time(&one.time))
    };
    let listed = entry.listed();
    let source = first.source.escape_debug();
    let snapshots = match entry.count {
        1 => format!("{} of {source}", name(first)),
        count => format!("{count} snapshots of {source}: {} to {}", name(first), name(last)),
    };
    let line = format!("{}  in {snapshots}", ls::line(&listed));
    match listed.content().filter(|_name| context.output.loudness() == Loudness::Verbose) {
        Some(name) => format!("{line}  content {name}"),
        None => line,
    }
}

fn value(report: &FindReport, entry: &FoundEntry) -> Value {
    let (first, last) = (&report.snapshots[entry.first], &report.snapshots[entry.last]);
    let name =
        |one: &SearchedSnapshot| json!({ "snapshot": one.snapshot.to_string(), "time": one.time });
    let mut value = ls::value(&entry.listed());
    if let Value::Object(members) = &mut value {
        members.insert("source".to_owned(), first.source.clone().into());
        members.insert("first".to_owned(), name(first));
        members.insert("last".to_owned(), name(last));
        members.insert("snapshots_count".to_owned(), entry.count.into());
    }
    value
}

/// A moment, or so long ago.
fn time_before(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = quantities::moment(text) {
        return Ok(seconds);
    }
    let ago = quantities::duration(text).ok().and_then(|ago| i64::try_from(ago.as_secs()).ok());
    ago.map(|ago| Context::now().saturating_sub(ago)).ok_or_else(|| {
        format!("`{text}` is not a time such as `2026-10-14`, `2026-10-14T02:00:00Z` or `7d`")
    })
}

fn size_bound(text: &str) -> Result<SizeBound, String> {
    let wrong = |_wrong| format!("`{text}` is not a size such as `+10M`, `-1K` or `512`");
    if let Some(size) = text.strip_prefix('+') {
        return quantities::bytes(size).map(SizeBound::AtLeast).map_err(wrong);
    }
    if let Some(size) = text.strip_prefix('-') {
        return quantities::bytes(size).map(SizeBound::AtMost).map_err(wrong);
    }
    quantities::bytes(text).map(SizeBound::Exactly).map_err(wrong)
}

fn content_digits(text: &str) -> Result<String, String> {
    let digits = text.to_ascii_lowercase();
    let is_name = (CONTENT_DIGITS_MIN..=CONTENT_DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_name { Ok(digits) } else { Err("expected 8 to 64 hexadecimal digits".to_owned()) }
}

const CONTENT_DIGITS_MIN: usize = 8;
const CONTENT_DIGITS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_sizes_are_read() {
        assert_eq!(size_bound("+10M"), Ok(SizeBound::AtLeast(10 << 20)));
        assert_eq!(size_bound("-1K"), Ok(SizeBound::AtMost(1024)));
        assert_eq!(size_bound("512"), Ok(SizeBound::Exactly(512)));
        for wrong in ["", "+", "--1", "+-1", "big"] {
            assert!(size_bound(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_contents_have_at_least_eight_digits() {
        assert_eq!(content_digits("ABCDEF01"), Ok("abcdef01".to_owned()));
        assert!(content_digits("abcdef0").is_err());
        assert!(content_digits("abcdefgh").is_err());
    }
}
