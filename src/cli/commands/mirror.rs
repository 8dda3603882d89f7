//! `mirror`: a second copy of the whole repository.

use crate::cli::commands::doctor::tell_probe;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reported;
use crate::cli::words;
use crate::ops::mirror::Incomplete;
use crate::ops::mirror::MirrorOptions;
use crate::ops::mirror::MirrorReport;
use crate::ops::mirror::Reread;
use crate::ops::mirror::SlotChoice;
use crate::ops::mirror::mirror;
use crate::ops::mirror::promote_mirror;
use crate::units::human_bytes;
use clap::Args;
use clap::Subcommand;

/// Keep a second copy of the whole repository, object by object
///
/// Needs no key that reads file contents. Run it again to bring the mirror up to date; after an
/// interruption it goes on. The mirror opens with the same keys at every moment, and only
/// `mirror` writes to it. It never takes over damage, nor a repository that went back in time.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MirrorArguments {
    #[command(subcommand)]
    command: Option<MirrorCommand>,
    /// Where the mirror is: an empty place, or one that this command made; a location, or the name
    /// of a `[[copy]]` of the configuration file
    #[arg(long, value_name = "COPY", required = true)]
    to: Option<String>,
    /// Read back every object of the mirror, and replace what is damaged
    #[arg(long)]
    read_data: bool,
    /// Delete key slots in the mirror that the repository no longer has
    #[arg(long)]
    delete_key_slots: bool,
    /// Objects that are copied at the same time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum MirrorCommand {
    Promote(PromoteArguments),
}

/// Make a repository of its own of a mirror, when its source is lost
///
/// Checks first that nothing is missing. From then on it is backed up to like any repository, and
/// never mirrored into again.
#[derive(Debug, Args)]
struct PromoteArguments {
    /// Promote it even though something is missing in it
    #[arg(long)]
    incomplete: bool,
}

impl MirrorArguments {
    /// Whether it makes a repository of a mirror.
    pub(crate) const fn promotes(&self) -> bool {
        matches!(self.command, Some(MirrorCommand::Promote(_)))
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &MirrorArguments) -> Result<Exit, Failure> {
    if let Some(MirrorCommand::Promote(promote)) = &arguments.command {
        return run_promote(context, promote);
    }
    let Some(to) = &arguments.to else {
        return Err(Failure::usage("no place for the mirror is named".to_owned()));
    };
    if context.copy_named(to)?.is_some() {
        context.audit.set_subject(to);
    }
    let to = context.options_for(context.mirror_place(to)?)?;
    let mut options = MirrorOptions::new();
    if arguments.read_data {
        options.reread = Reread::All;
    }
    if arguments.delete_key_slots {
        options.stale_slots = SlotChoice::Delete;
    }
    options.threads = arguments.threads.map_or(options.threads, usize::from);
    let report = mirror(&context.open()?, &to, &options, &Reported(&context.progress))?;
    context.progress.end();
    tell(context, &report);
    let exit = if report.is_damaged() { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&report, exit))
}

fn run_promote(context: &Context, arguments: &PromoteArguments) -> Result<Exit, Failure> {
    let incomplete = if arguments.incomplete { Incomplete::Accept } else { Incomplete::Refuse };
    let repository = context.open()?;
    let options = context.open_options()?;
    let progress = Reported(&context.progress);
    let report = promote_mirror(&repository, &options, incomplete, &progress)?;
    context.progress.end();
    context.audit.made(&context.global, &report.opened);
    tell_probe(context, &report.probe);
    context.output.warn_of(&report.findings);
    context.output.note(format_args!(
        "{} is a repository of its own now, with {}; its history is {}",
        report.location,
        words::count(report.snapshots, "snapshot"),
        context.id(&report.history),
    ));
    Ok(context.output.finish(&report, Exit::Success))
}

fn tell(context: &Context, report: &MirrorReport) {
    let output = &context.output;
    output.warn_of(&report.findings);
    if report.undeleted_objects > 0 {
        output.note(format_args!(
            "{} that nobody needs stay: these credentials may not delete",
            words::count(report.undeleted_objects, "object"),
        ));
    }
    output.note(format_args!(
        "copied {} in {}, deleted {}, in {}: the mirror has {} and shows {}",
        human_bytes(report.copied_bytes),
        words::count(report.copied_objects, "object"),
        words::count(report.deleted_objects, "object"),
        words::duration(context.elapsed()),
        words::count(report.snapshots, "snapshot"),
        report.shows,
    ));
}
