//! `copy`: chosen snapshots go to another repository.

use crate::cli::arguments::CopyArguments;
use crate::cli::arguments::TargetSecretArguments;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reported;
use crate::cli::words;
use crate::ops::copy::check_other_place;
use crate::ops::copy::copy;
use crate::ops::copy::report::CopiedSnapshot;
use crate::ops::copy::report::CopyOptions;
use crate::ops::copy::report::CopyReport;
use crate::ops::copy::report::CopyState;
use crate::ops::copy::report::Run;
use crate::ops::location::Location;
use crate::ops::select::Selector;
use crate::settings::copy::CopyMode;
use crate::settings::copy::CopySection;
use crate::units::human_bytes;
use crate::units::to_u64;
use clap::Args;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// Copy snapshots to another repository, with keys and retention of its own
///
/// Without SNAPSHOT all are copied, or as many of each source as `keep_last` of a `[[copy]]` says. What the other repository has is not stored again, and a
/// snapshot that it has, from an earlier run, is passed over; so is one that was forgotten there,
/// unless you name it, until a prune there removes it. Run it again after an interruption: it goes
/// on. Nothing is written to the repository that is copied from, and only what changed since the
/// last copy of the same source is read.
///
/// Notes and holds go along, also to copies that are there already; a hold that is released there
/// stays released. Source, time, tags, host and paths stay as they are; the copy is signed by the key of the other
/// repository, and its manifest names the snapshot it comes from. Make the other repository with
/// `sbf-repo init`. Files keep the chunks that they were cut into: where its chunker's sizes are
/// others, and because each repository has a chunker key of its own, what is backed up to it directly
/// shares little with copies.
#[derive(Debug, Args)]
pub(crate) struct CopyCommandArguments {
    /// Which snapshots; see `sbf-repo restore --help` [default: all]
    #[arg(value_name = "SNAPSHOT")]
    selectors: Vec<OsString>,
    /// The repository that is copied to: a location, or the name of a `[[copy]]` of the
    /// configuration file
    #[arg(long, value_name = "COPY")]
    to: String,
    #[command(flatten)]
    secret: TargetSecretArguments,
    #[command(flatten)]
    copies: CopyArguments,
    /// Change nothing; show what would be copied
    #[arg(long)]
    dry_run: bool,
    /// Threads that read, compress and seal [default: one a processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl CopyCommandArguments {
    /// Whether nothing is changed.
    pub(crate) const fn is_dry(&self) -> bool {
        self.dry_run
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: CopyCommandArguments) -> Result<Exit, Failure> {
    let CopyCommandArguments { selectors, to, secret, copies, dry_run, threads } = arguments;
    let selectors: Result<Vec<Selector>, _> =
        selectors.iter().map(|text| Selector::parse(text.as_bytes())).collect();
    let selectors = selectors?;
    let named = context.copy_named(&to)?;
    if named.is_some() {
        context.audit.set_subject(&to);
    }
    let location = copy_place(named, &to)?;
    let mut options = CopyOptions::new();
    if dry_run {
        options.run = Run::Dry;
    }
    options.sudo_user = environment::sudo_user();
    options.threads = threads.map_or(options.threads, usize::from);
    options.newest_count = named.and_then(|copy| copy.keep_last.as_ref()).map(|at| at.value);
    let source = context.open_with_copies(&copies.from_copy)?;
    check_other_place(&source.repository, &location)?;
    let target =
        context.open_target(location, &secret, named.and_then(|copy| copy.secret.as_ref()))?;
    let progress = Reported(&context.progress);
    let mut tell = |copied: &CopiedSnapshot| tell_one(context, copied);
    let report = copy(&source.repository, &target, &selectors, &options, &progress, &mut tell);
    context.progress.end();
    context.tell_help(&source);
    context.tell_traffic_of(&target);
    let report = report?;
    tell_all(context, &report, options.run);
    let exit = if report.is_damaged() { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&report, exit))
}

fn copy_place(named: Option<&CopySection>, to: &str) -> Result<Location, Failure> {
    match named {
        Some(copy) if copy.mode.value == CopyMode::Mirror => {
            let why = format!("the copy `{to}` is a mirror: snapshots are not copied to it");
            let hint = format!("`sbf-repo mirror --to {to}` brings it up to date");
            Err(Failure::usage(why).with_hint(hint))
        }
        Some(copy) => Ok(copy.url.value.parse()?),
        None => Ok(to.parse()?),
    }
}

fn tell_one(context: &Context, copied: &CopiedSnapshot) {
    let name = format!(
        "snapshot {} of {} at {}",
        context.id(&copied.snapshot),
        copied.source,
        words::short_time(&copied.time)
    );
    let copy = copied.copy.as_deref().map(|copy| context.id(copy)).unwrap_or_default();
    let what = match copied.state {
        CopyState::Copied => format!(
            "copied as {copy}: {} of {} read, {} stored",
            human_bytes(copied.bytes_read),
            words::count(copied.files_read, "file"),
            human_bytes(copied.bytes_stored),
        ),
        CopyState::WouldCopy => "would be copied".to_owned(),
        CopyState::Present => format!("is there already, as {copy}"),
        CopyState::Forgotten => "was forgotten there: not copied unless you name it".to_owned(),
        CopyState::Damaged => "is damaged, and not copied".to_owned(),
    };
    context.progress.note(format_args!("{name} {what}"));
}

fn tell_all(context: &Context, report: &CopyReport, run: Run) {
    let output = &context.output;
    output.warn_of(&report.findings);
    let count = |state| to_u64(report.count(state));
    let passed_over = count(CopyState::Present) + count(CopyState::Forgotten);
    let damaged = match count(CopyState::Damaged) {
        0 => String::new(),
        count => format!(", {count} damaged"),
    };
    let (time, location) = (words::duration(context.elapsed()), &report.location);
    match run {
        Run::Dry => output.note(format_args!(
            "dry run: {} would be copied to {location}, {passed_over} passed over{damaged}; nothing was stored, in {time}",
            words::count(count(CopyState::WouldCopy), "snapshot"),
        )),
        Run::Copy => output.note(format_args!(
            "copied {} to {location}, passed over {passed_over}{damaged}: {} read, {} stored in {time}",
            words::count(count(CopyState::Copied), "snapshot"),
            human_bytes(report.bytes_read),
            human_bytes(report.bytes_stored),
        )),
    }
}
