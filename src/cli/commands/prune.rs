//! `prune`: deletes what no snapshot needs.

use crate::cli::commands::checkpoints::tell_abandoned;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Loudness;
use crate::cli::progress::Reported;
use crate::cli::words;
use crate::cli::words::short_time;
use crate::key::ObjectKey;
use crate::ops::prune::FenceLimit;
use crate::ops::prune::OldVersionsKept;
use crate::ops::prune::PruneOptions;
use crate::ops::prune::PrunePlan;
use crate::ops::prune::PruneReport;
use crate::ops::prune::PruneState;
use crate::ops::prune::UnusedLimit;
use crate::ops::prune::plan_prune;
use crate::ops::prune::prune;
use crate::settings::quantities;
use crate::units::human_bytes;
use clap::Args;
use std::time::Duration;

/// Delete what no snapshot needs
///
/// Backups may run meanwhile. Several may prune at once: they help each other. If a backup that
/// began earlier still runs, nothing is deleted yet, and the next run goes on.
#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Tell what would become of every stored byte, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Tolerate so much waste in packs that are needed in part: `5%`, `10GiB`
    #[arg(long, value_name = "SHARE|SIZE", default_value = "5%", value_parser = unused)]
    max_unused: UnusedLimit,
    /// Copy what is needed out of at most so many bytes of packs
    #[arg(long, value_name = "SIZE", value_parser = quantities::bytes)]
    max_repack: Option<u64>,
    /// Give up sessions that stored nothing for so long, by the store's clock
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = quantities::duration)]
    fence_after: Duration,
    /// Give up every session that has not ended, also those that run
    #[arg(long, conflicts_with = "fence_after")]
    fence_now: bool,
    /// Go on without an object that cannot be read and that `check` names: an outcome, whose
    /// snapshot is lost then, or a register of a collection; may be repeated
    #[arg(long, value_name = "OBJECT", conflicts_with = "dry_run", value_parser = object)]
    give_up: Vec<ObjectKey>,
}

impl PruneArguments {
    /// Whether nothing is changed.
    pub(crate) const fn is_dry(&self) -> bool {
        self.dry_run
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &PruneArguments) -> Result<Exit, Failure> {
    let mut options = PruneOptions::new();
    options.unused = arguments.max_unused;
    options.repack_bytes_max = arguments.max_repack.unwrap_or(options.repack_bytes_max);
    options.fence = FenceLimit::Idle(arguments.fence_after);
    if arguments.fence_now {
        options.fence = FenceLimit::Now;
    }
    options.give_up.clone_from(&arguments.give_up);
    options.accept_missing = context.global.accept_rollback;
    let repository = context.open()?;
    let progress = Reported(&context.progress);
    let report = if arguments.dry_run {
        plan_prune(&repository, &options, &progress)?
    } else {
        prune(&repository, &options, &progress)?
    };
    context.progress.end();
    tell(context, &report);
    let exit = if report.damaged.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&report, exit))
}

/// Says what was done.
pub(crate) fn tell(context: &Context, report: &PruneReport) {
    let output = &context.output;
    if let Some(number) = report.unfinished {
        output.note(format_args!("collection {number} is not finished: that comes first"));
    }
    // A plan is asked for; what was done is told unless nobody wants to hear it.
    let is_told = match report.state {
        PruneState::Planned => true,
        PruneState::Done => output.loudness() != Loudness::Quiet,
        PruneState::Nothing | PruneState::Waiting => false,
    };
    if let Some(plan) = report.plan.as_ref().filter(|_plan| is_told) {
        tell_plan(context, plan);
    }
    for warning in &report.warnings {
        output.warn(warning);
    }
    tell_abandoned(context, &report.checkpoints);
    for session in &report.fenced {
        output.note(format_args!("session {} was given up", context.id(session)));
    }
    for session in &report.waiting {
        let idle = session.idle_seconds.map(Duration::from_secs).map(words::duration);
        output.note(format_args!(
            "waiting for session {} of client {}, which last stored something {} ago",
            context.id(&session.session),
            context.id(&session.client),
            idle.as_deref().unwrap_or("an unknown time"),
        ));
    }
    if report.locks_extended > 0 {
        let objects = words::count(report.locks_extended, "object");
        output.note(format_args!("the locks of {objects} were extended"));
    }
    if let Some(old) = report.old_versions.as_ref().filter(|old| old.count > 0) {
        tell_old_versions(context, old);
    }
    // The first one names what went; one that says that it is gone follows.
    if let Some(certificate) = report.certificates.first() {
        output.note(format_args!("what was deleted is certified in {certificate}"));
    }
    match report.state {
        PruneState::Planned => output.note(format_args!("nothing was changed")),
        PruneState::Nothing => output.note(format_args!("there is nothing to delete")),
        PruneState::Waiting => output.note(format_args!(
            "nothing is deleted before they end: run `sbf-repo prune` again then; `sbf-repo session \
             list` shows whose they are, `sbf-repo session abort` ends one that is dead"
        )),
        PruneState::Done => output.note(format_args!(
            "deleted {} of {} in {}",
            human_bytes(report.removed_bytes),
            words::count(report.removed_packs, "pack"),
            words::duration(context.elapsed()),
        )),
    }
}

/// Deleted is not freed where a bucket keeps versions.
fn tell_old_versions(context: &Context, old: &OldVersionsKept) {
    let what = format!(
        "the bucket keeps {} of deleted objects, {}",
        words::count(old.count, "old version"),
        human_bytes(old.bytes)
    );
    match (old.end_after_days, &old.free_at) {
        (Some(days), Some(free_at)) => context.output.note(format_args!(
            "{what}: its lifecycle frees each {} after the deletion, the last on {}",
            words::count(u64::from(days), "day"),
            short_time(free_at),
        )),
        _ => context.output.note(format_args!(
            "{what}: no lifecycle rule frees them; one with NoncurrentVersionExpiration would"
        )),
    }
    if let Some(until) = &old.locked_until {
        context.output.note(format_args!(
            "locks keep some of them until {} at the latest",
            short_time(until)
        ));
    }
}

fn tell_plan(context: &Context, plan: &PrunePlan) {
    let row = |name: &str, bytes: u64, packs: Option<u64>| {
        let packs = packs.map(|count| format!(" in {}", words::count(count, "pack")));
        let packs = packs.unwrap_or_default();
        context.output.line(format_args!("{name:<28} {}{packs}", human_bytes(bytes)));
    };
    row("stays: needed", plan.live_bytes, Some(plan.kept_packs));
    row("stays: tolerated waste", plan.tolerated_bytes, None);
    row("stays: bound in blocks", plan.bound_bytes, None);
    row("stays: open sessions", plan.open_bytes, Some(plan.open_packs));
    row("goes: nothing needed", plan.dead_bytes, Some(plan.dead_packs));
    row("goes: duplicates", plan.duplicate_bytes, Some(plan.duplicate_packs));
    row("goes: unfinished sessions", plan.orphaned_bytes, Some(plan.orphaned_packs));
    row("goes: repacked", plan.repacked_bytes, Some(plan.repacked_packs));
    row("comes: copies of that", plan.copied_bytes, None);
    row("freed in all", plan.freed_bytes, None);
}

fn object(text: &str) -> Result<ObjectKey, String> {
    ObjectKey::new(text).map_err(|error| error.to_string())
}

fn unused(text: &str) -> Result<UnusedLimit, String> {
    match text.strip_suffix('%') {
        Some(share) => quantities::hundredths(share).map(UnusedLimit::Share),
        None => quantities::bytes(text).map(UnusedLimit::Bytes),
    }
}
