//! `rewrite`: snapshots without some paths.

use crate::cli::commands::forget::selectors;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::patterns;
use crate::cli::words;
use crate::cli::words::short_time;
use crate::ops::rewrite::Old;
use crate::ops::rewrite::RewriteOptions;
use crate::ops::rewrite::RewriteReport;
use crate::ops::rewrite::RewriteState;
use crate::ops::rewrite::Rewritten;
use crate::ops::rewrite::Run;
use crate::ops::rewrite::rewrite;
use crate::units::human_bytes;
use crate::units::to_u64;
use clap::Args;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Make snapshots anew without some paths, as for a request to erase personal data
///
/// Each new snapshot has the source, time, tags and notes of the old one and shares its contents; a
/// signed record says for which it stands, and not what was left out. The old one stays until it is
/// forgotten, and its data until a prune: the command says which snapshots still have the paths. Copies in
/// other repositories are rewritten there, once this one is pruned. The exit code is 1 if no snapshot
/// that is named has any of the paths.
#[derive(Debug, Args)]
pub(crate) struct RewriteArguments {
    /// The snapshots; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT", required = true)]
    selectors: Vec<OsString>,
    /// Leave out what this pattern of `.gitignore` matches, as `/home/jane/`; may be repeated
    #[arg(long, value_name = "PATTERN", required_unless_present = "exclude_file")]
    exclude: Vec<String>,
    /// Leave out what the patterns in this file match; may be repeated
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Forget the old snapshots once the new ones count
    #[arg(long)]
    forget: bool,
    /// Change nothing; show what would be left out
    #[arg(long)]
    dry_run: bool,
}

impl RewriteArguments {
    /// Whether nothing is changed.
    pub(crate) const fn is_dry(&self) -> bool {
        self.dry_run
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &RewriteArguments) -> Result<Exit, Failure> {
    let selectors = selectors(&arguments.selectors)?;
    let options = options_of(context, arguments)?;
    let rewritten = rewrite(&context.open()?, &selectors, &options, &context.progress);
    context.progress.end();
    let report = rewritten?;
    for one in &report.snapshots {
        for id in [Some(&one.snapshot), one.new.as_ref()].into_iter().flatten() {
            if let Ok(snapshot) = id.parse() {
                context.audit.add_snapshot(snapshot);
            }
        }
        tell(context, one);
    }
    tell_still(context, &report, arguments);
    context.output.warn_of(&report.findings);
    let is_in_none = report.count(RewriteState::Unchanged) == report.snapshots.len();
    let exit = match (report.findings.is_empty(), is_in_none) {
        (false, _) => Exit::Damage,
        (true, true) => Exit::Failure,
        (true, false) => Exit::Success,
    };
    Ok(context.output.finish(&report, exit))
}

fn options_of(context: &Context, arguments: &RewriteArguments) -> Result<RewriteOptions, Failure> {
    let compiled = patterns::compile(&arguments.exclude, &arguments.exclude_file)?;
    let Some(compiled) = compiled else {
        return Err(Failure::usage("nothing is to be left out".to_owned()));
    };
    let mut options = RewriteOptions::new(Arc::new(move |path: &[u8], is_directory| {
        patterns::matches(&compiled, Path::new(OsStr::from_bytes(path)), is_directory)
    }));
    if arguments.dry_run {
        options.run = Run::Dry;
    }
    if arguments.forget {
        options.old = Old::Forget;
    }
    options.reason.clone_from(&context.global.reason);
    options.sudo_user = environment::sudo_user();
    Ok(options)
}

fn tell(context: &Context, one: &Rewritten) {
    let name = format!(
        "snapshot {} of {} at {}",
        context.id(&one.snapshot),
        one.source.escape_debug(),
        short_time(&one.time)
    );
    let new = one.new.as_deref().map(|new| context.id(new)).unwrap_or_default();
    let entries =
        if one.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", one.entries) };
    let less = format!("{entries} with {}", human_bytes(one.bytes));
    match one.state {
        RewriteState::Rewritten => {
            context.output.note(format_args!("{name}: {new} stands for it, without {less}"));
        }
        RewriteState::WouldRewrite => {
            context.output.note(format_args!("{name} would be made anew without {less}"));
        }
        RewriteState::Present => {
            context
                .output
                .note(format_args!("{name}: {new} stands for it already, without {less}"));
        }
        RewriteState::Unchanged => {
            context.output.note(format_args!("{name} has nothing of that"));
        }
    }
}

/// Says where what was left out is still, and how it goes.
fn tell_still(context: &Context, report: &RewriteReport, arguments: &RewriteArguments) {
    if arguments.dry_run {
        context.output.note(format_args!("dry run: nothing was changed"));
    }
    let has_new =
        |id: &String| report.snapshots.iter().any(|one| one.snapshot == *id && one.new.is_some());
    let (mut replaced, mut others) = (Vec::new(), Vec::new());
    for one in &report.still {
        let id = context.id(&one.snapshot);
        let (source, time) = (one.source.escape_debug(), short_time(&one.time));
        let until = if one.is_forgotten { " until a prune, as it was forgotten" } else { "" };
        context
            .output
            .note(format_args!("snapshot {id} of {source} at {time} still has it{until}"));
        if !one.is_forgotten {
            let list = if has_new(&one.snapshot) { &mut replaced } else { &mut others };
            list.push(id);
        }
    }
    if report.still.is_empty() {
        return;
    }
    let count = words::count(to_u64(report.still.len()), "snapshot");
    let mut steps = Vec::new();
    if !others.is_empty() {
        steps.push(format!("`sbf-repo rewrite {}` without it, too", others.join(" ")));
    }
    if !replaced.is_empty() {
        steps.push(format!("`sbf-repo forget {}`", replaced.join(" ")));
    }
    steps.push("`sbf-repo prune`".to_owned());
    context
        .output
        .note(format_args!("the data is there until {count} went: run {}", steps.join(", then ")));
}
