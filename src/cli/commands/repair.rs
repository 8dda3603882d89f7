//! `repair`: makes the best of what a damaged repository still has.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reported;
use crate::cli::words;
use crate::ops::finding::Finding;
use crate::ops::repair::RepairOptions;
use crate::ops::repair::index::IndexReport;
use crate::ops::repair::index::repair_index;
use crate::ops::repair::packs::repair_packs;
use crate::ops::repair::snapshots::DamagedSnapshot;
use crate::ops::repair::snapshots::RepairState;
use crate::ops::repair::snapshots::SnapshotsReport;
use crate::ops::repair::snapshots::repair_snapshots;
use crate::units::human_bytes;
use crate::units::to_u64;
use clap::Args;
use clap::Subcommand;
use std::collections::HashSet;

/// Make the best of a damaged repository: says what it would do, and does it with `--apply`
///
/// Nothing is deleted or changed in place: new objects are added, and what they replace goes with a
/// later prune. If there is a mirror, `check --heal` comes first: it gives back what is lost here.
/// Else `repair index`, `repair packs`, a new snapshot of what the sources still have, and then
/// `repair snapshots`, in this order.
///
/// Exit code 0: nothing is wrong, or all of it is repaired; 5: something is lost, or a repair is
/// planned and was not asked for.
#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    #[command(subcommand)]
    command: RepairCommand,
}

#[derive(Debug, Subcommand)]
enum RepairCommand {
    /// List again what index segments listed that are missing or damaged
    ///
    /// Reads the packs that no other segment lists; each says of itself what it holds. Afterwards
    /// nothing depends on the lost segments any more, and a prune drops them.
    Index(IndexArguments),
    /// Store again what is good of damaged packs, and say which files are lost
    ///
    /// Reads every pack. Blocks that authenticate go into new packs as they were sealed.
    Packs(PacksArguments),
    /// Make snapshots of what is left of those that lost files
    ///
    /// The new snapshot has the source and time of the damaged one, is marked incomplete and lists
    /// what it leaves out: a file is whole, or it is not there. The damaged one stays until it is
    /// forgotten. What is good of damaged packs is stored again first.
    Snapshots(SnapshotsArguments),
}

#[derive(Debug, Args)]
struct IndexArguments {
    /// Do it, instead of saying what would be done
    #[arg(long)]
    apply: bool,
}

#[derive(Debug, Args)]
struct PacksArguments {
    /// Do it, instead of saying what would be done
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Debug, Args)]
struct SnapshotsArguments {
    /// Do it, instead of saying what would be done
    #[arg(long)]
    apply: bool,
    /// Read every pack, instead of those that are missing, have another length, or were found damaged by
    /// `check --read-data` or `repair packs --apply`
    #[arg(long)]
    read_data: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Debug, Args)]
struct Reading {
    /// Threads that read [default: one a processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl RepairArguments {
    /// The word for it in the audit log.
    pub(crate) const fn operation(&self) -> &'static str {
        match self.command {
            RepairCommand::Index(_) => "repair-index",
            RepairCommand::Packs(_) => "repair-packs",
            RepairCommand::Snapshots(_) => "repair-snapshots",
        }
    }

    /// Whether it changes nothing.
    pub(crate) const fn is_dry(&self) -> bool {
        match &self.command {
            RepairCommand::Index(arguments) => !arguments.apply,
            RepairCommand::Packs(arguments) => !arguments.apply,
            RepairCommand::Snapshots(arguments) => !arguments.apply,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &RepairArguments) -> Result<Exit, Failure> {
    let mut options = RepairOptions::new();
    options.apply = !arguments.is_dry();
    let threads = |reading: &Reading, default| reading.threads.map_or(default, usize::from);
    match &arguments.command {
        RepairCommand::Index(_) => run_index(context, &options),
        RepairCommand::Packs(arguments) => {
            options.threads = threads(&arguments.reading, options.threads);
            run_packs(context, &options)
        }
        RepairCommand::Snapshots(arguments) => {
            options.threads = threads(&arguments.reading, options.threads);
            options.read_data = arguments.read_data;
            run_snapshots(context, &options)
        }
    }
}

fn run_index(context: &Context, options: &RepairOptions) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let report = repair_index(&repository, options, &Reported(&context.progress))?;
    context.progress.end();
    let IndexReport { lost, packs, bytes, findings, .. } = &report;
    for segment in lost {
        context.output.line(format_args!("lost: {}: {}", segment.segment, segment.why));
    }
    tell_lost(context, findings);
    let count = words::count(to_u64(packs.len()), "pack");
    let bytes = human_bytes(*bytes);
    match (report.applied, lost.is_empty(), packs.is_empty()) {
        (true, ..) => context.output.note(format_args!("listed {count} again ({bytes})")),
        (false, true, _) => context.output.note(format_args!("every index segment can be read")),
        (false, false, true) => context.output.note(format_args!(
            "nothing depends on the lost segments: others list every pack that is stored; \
             the next `sbf-repo prune` drops them"
        )),
        (false, false, false) => {
            context.output.note(format_args!("would read {count} ({bytes}) and list them again"));
        }
    }
    Ok(finish(context, &report, report.is_planned(), !findings.is_empty()))
}

fn run_packs(context: &Context, options: &RepairOptions) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let report = repair_packs(&repository, options, &Reported(&context.progress))?;
    context.progress.end();
    context.audit.set_bytes(report.bytes_read);
    for pack in &report.broken {
        let why = pack.why.join("; ");
        context.output.line(format_args!(
            "damaged: {}: {} of {} good, {} lost: {why}",
            pack.pack,
            pack.good_blocks,
            words::count(pack.blocks, "block"),
            words::count(pack.chunks_lost, "chunk"),
        ));
    }
    tell_lost(context, &report.findings);
    let blocks = words::count(report.blocks, "good block");
    let bytes = human_bytes(report.bytes);
    let damaged = words::count(to_u64(report.broken.len()), "damaged pack");
    if report.broken.is_empty() {
        let read = words::count(report.packs_read, "pack");
        context.output.note(format_args!("{read} read: none is damaged"));
    } else if report.applied {
        context.output.note(format_args!("stored {blocks} ({bytes}) of {damaged} again"));
    } else {
        context.output.note(format_args!("would store {blocks} ({bytes}) of {damaged} again"));
    }
    Ok(finish(context, &report, report.is_planned(), report.findings_count > 0))
}

fn run_snapshots(context: &Context, options: &RepairOptions) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let report = repair_snapshots(&repository, options, &Reported(&context.progress))?;
    context.progress.end();
    let SnapshotsReport { looked_at, damaged, findings, .. } = &report;
    tell_lost(context, findings);
    for DamagedSnapshot { snapshot, source, state, repaired, left_out_count, .. } in damaged {
        let repaired = repaired.as_deref().unwrap_or_default();
        let became = match state {
            RepairState::Planned => "a snapshot of what is left would be made".to_owned(),
            RepairState::Repaired => {
                let left_out = words::count(*left_out_count, "path");
                format!("what is left is snapshot {repaired}, without {left_out}")
            }
            RepairState::Earlier => format!("what is left is snapshot {repaired}, made earlier"),
            RepairState::Nothing => "nothing of it is left".to_owned(),
            RepairState::Unknown => {
                "its manifest is damaged, so that what it held is not known".to_owned()
            }
        };
        context.output.line(format_args!("snapshot {snapshot} ({source}): {became}"));
    }
    if damaged.is_empty() {
        let looked_at = words::count(*looked_at, "snapshot");
        context
            .output
            .note(format_args!("{looked_at} looked at: none lost anything that is known"));
    } else if report.applied {
        context
            .output
            .note(format_args!("the damaged snapshots stay until `sbf-repo forget` names them"));
    }
    Ok(finish(context, &report, report.is_planned(), report.findings_count > 0))
}

fn tell_lost(context: &Context, findings: &[Finding]) {
    let mut told = HashSet::new();
    for Finding { object, effect, .. } in findings {
        if told.insert((object, effect)) {
            context.output.line(format_args!("lost: {object}: {effect}"));
        }
    }
}

fn finish(
    context: &Context,
    report: &impl serde::Serialize,
    is_planned: bool,
    is_lost: bool,
) -> Exit {
    if is_planned {
        context.output.note(format_args!("nothing was written: `--apply` does it"));
    }
    let exit = if is_planned || is_lost { Exit::Damage } else { Exit::Success };
    context.output.finish(report, exit)
}
