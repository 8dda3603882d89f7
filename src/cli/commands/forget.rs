//! `forget`: snapshots that a policy does not keep, or that are named, no longer count.

use crate::cli::commands::checkpoints::tell_forgotten;
use crate::cli::commands::prune::tell as tell_prune;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::keep::KeepArguments;
use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::progress::Reported;
use crate::cli::prompt;
use crate::cli::words;
use crate::cli::words::Table;
use crate::id::RecordId;
use crate::id::SnapshotId;
use crate::ops::forget::ForgetOptions;
use crate::ops::forget::ForgetPlan;
use crate::ops::forget::SourcePlan;
use crate::ops::forget::checkpoints::execute_checkpoints;
use crate::ops::forget::checkpoints::plan_checkpoints;
use crate::ops::forget::decide::Decision;
use crate::ops::forget::execute;
use crate::ops::forget::guard::Consent;
use crate::ops::forget::guard::Refusal;
use crate::ops::forget::plan;
use crate::ops::forget::policy::Period;
use crate::ops::forget::policy::Policy;
use crate::ops::forget::policy::Zone;
use crate::ops::forget::simulate::SimulationOptions;
use crate::ops::forget::simulate::simulate;
use crate::ops::forget::some::execute_some;
use crate::ops::forget::some::plan_some;
use crate::ops::forget::undo::Kept;
use crate::ops::forget::undo::undo;
use crate::ops::prune::PruneOptions;
use crate::ops::prune::PruneReport;
use crate::ops::prune::prune;
use crate::ops::select::Selector;
use crate::repo::environment::Environment as _;
use crate::repo::environment::SystemEnvironment;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use clap::Args;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;

/// Forget snapshots by a policy, or those that are named
///
/// With `--keep-…` options the snapshots of each source are kept that a policy names, and the others
/// no longer count; they stay stored, and `--undo` brings them back, until a prune removes them.
/// The first policy of a source takes `--accept-policy`. A source's last complete snapshot, more
/// than a quarter of its snapshots under a changed policy, and anything while times contradict the
/// order of receipt are forgotten with `--force` only. `--checkpoints` forgets what long backups
/// stored that never came to a snapshot.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub(crate) struct ForgetArguments {
    /// Forget these snapshots; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT", conflicts_with_all = ["simulate", "keep"])]
    selectors: Vec<OsString>,
    #[command(flatten)]
    keep: KeepArguments,
    /// Only snapshots of this source; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["selectors", "simulate"])]
    source: Vec<String>,
    /// Accept the policy for sources that have none yet
    #[arg(long, conflicts_with_all = ["selectors", "simulate"])]
    accept_policy: bool,
    /// Forget also what is guarded; never what is held
    #[arg(long, conflicts_with = "simulate")]
    force: bool,
    /// Change nothing; show what would be forgotten
    #[arg(long, conflicts_with_all = ["simulate", "undo"])]
    dry_run: bool,
    /// Prune afterwards, as `sbf-repo prune` does
    #[arg(long, conflicts_with_all = ["simulate", "undo", "dry_run"])]
    prune: bool,
    /// Let these forgotten snapshots count again
    #[arg(long, requires = "selectors", conflicts_with_all = ["simulate", "force"])]
    undo: bool,
    /// Forget checkpoints that no snapshot of their client and source followed
    ///
    /// Runs that may go on keep theirs without `--force`; with it, one may fail and begin again.
    /// What is forgotten so cannot be brought back; the next prune frees it.
    #[arg(long, conflicts_with_all = ["selectors", "keep", "accept_policy", "undo", "simulate"])]
    checkpoints: bool,
    /// Show what the policy would keep of snapshots made from now on; needs no repository
    #[arg(long)]
    simulate: bool,
    /// Simulate so many days
    #[arg(long, value_name = "COUNT", default_value_t = 400, requires = "simulate")]
    days: u32,
    /// Simulate a snapshot after each such time
    #[arg(long, value_name = "TIME", default_value = "1d", requires = "simulate")]
    every: String,
}

impl ForgetArguments {
    /// The word for it in the audit log; `None` if nothing is changed.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match (self.simulate || self.dry_run, self.undo, self.checkpoints) {
            (true, _, _) => None,
            (false, true, _) => Some("forget-undo"),
            (false, false, true) => Some("forget-checkpoints"),
            (false, false, false) => Some("forget"),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ForgetArguments) -> Result<Exit, Failure> {
    if arguments.simulate {
        return run_simulation(context, arguments);
    }
    if arguments.checkpoints {
        return run_checkpoints(context, arguments);
    }
    if arguments.undo {
        return run_undo(context, &selectors(&arguments.selectors)?);
    }
    if !arguments.selectors.is_empty() {
        return run_some(context, arguments);
    }
    let mut options = ForgetOptions::new(arguments.keep.policy()?);
    options.sources.clone_from(&arguments.source);
    options.reason.clone_from(&context.global.reason);
    options.consent = match (arguments.force, arguments.accept_policy) {
        (true, _) => Consent::Force,
        (false, true) => Consent::FirstPolicy,
        (false, false) => Consent::None,
    };
    let repository = context.open()?;
    let mut planned = plan(&repository, &options)?;
    show(context, &planned, &options.policy.zone);
    if !arguments.dry_run && is_accepted_here(context, &planned)? {
        options.consent = Consent::FirstPolicy;
        planned = plan(&repository, &options)?;
    }
    let records = if arguments.dry_run {
        context.output.note(format_args!("nothing was changed"));
        BTreeMap::new()
    } else {
        execute(&repository, &planned)?
    };
    let pruned = pruned(context, &repository, arguments)?;
    Ok(finish(context, &options.policy, &planned, Done { arguments, records, pruned }))
}

/// Asks whether a first policy is accepted, if there is somebody to ask and nothing else is missing.
fn is_accepted_here(context: &Context, plan: &ForgetPlan) -> Result<bool, Failure> {
    let is_first = |source: &&SourcePlan| source.refusal == Some(Refusal::FirstPolicy);
    let first = plan.sources.iter().filter(is_first).count();
    let is_quiet = context.output.loudness() == Loudness::Quiet;
    let nobody = is_quiet || context.output.form() == Form::Json || !io::stdin().is_terminal();
    if first == 0 || nobody {
        return Ok(false);
    }
    let what = words::count(to_u64(first), "source");
    prompt::yes(&format!("Accept this policy for {what} that had none yet? [y/N] "))
}

fn show(context: &Context, plan: &ForgetPlan, zone: &Zone) {
    if context.output.loudness() == Loudness::Quiet {
        return;
    }
    for SourcePlan { source, decisions, .. } in &plan.sources {
        context.output.line(format_args!("source {}", source.escape_debug()));
        let mut table = Table::new(&["", "SNAPSHOT", "TIME", "WHY"]);
        for decision in decisions {
            table.push(cells(context, decision, zone));
        }
        context.output.line(format_args!("{table}\n"));
    }
    context.output.line(format_args!("times are in {}", zone.name()));
}

fn cells(context: &Context, decision: &Decision, zone: &Zone) -> Vec<String> {
    let Decision { candidate, reasons, .. } = decision;
    let word = if decision.is_kept() { "keep" } else { "forget" };
    let mut why: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    if candidate.is_incomplete {
        why.push("(incomplete)".to_owned());
    }
    let id = context.id(&candidate.snapshot.to_string());
    let time = candidate.time.map_or_else(|| "?".to_owned(), |time| zone.words(time));
    vec![word.to_owned(), id, time, why.join(", ").escape_debug().to_string()]
}

/// What was done after the plan.
struct Done<'a> {
    arguments: &'a ForgetArguments,
    records: BTreeMap<String, RecordId>,
    pruned: Option<PruneReport>,
}

/// Prunes, if that is asked for.
fn pruned(
    context: &Context,
    repository: &Repository,
    arguments: &ForgetArguments,
) -> Result<Option<PruneReport>, Failure> {
    if !arguments.prune {
        return Ok(None);
    }
    let mut options = PruneOptions::new();
    options.accept_missing = context.global.accept_rollback;
    let report = prune(repository, &options, &Reported(&context.progress))?;
    context.progress.end();
    tell_prune(context, &report);
    Ok(Some(report))
}

/// Says what was done, to people and programs.
fn finish(context: &Context, policy: &Policy, plan: &ForgetPlan, done: Done<'_>) -> Exit {
    let Done { arguments, records, pruned } = done;
    let is_dry = arguments.dry_run;
    context.output.warn_of(&plan.findings);
    for source in &plan.sources {
        if let Some(refusal) = &source.refusal {
            context.output.warn(&format!(
                "nothing of source {} is forgotten: {}; {}",
                source.source.escape_debug(),
                refusal.words(),
                remedy(refusal)
            ));
        }
    }
    let dropped = to_u64(plan.dropped_count());
    let verb = if is_dry { "would forget" } else { "forgot" };
    context.output.note(format_args!("{verb} {}", words::count(dropped, "snapshot")));
    let sources: Vec<Value> = plan
        .sources
        .iter()
        .map(|source| {
            let rows = |kept: bool| -> Vec<Value> {
                let rows = source.decisions.iter().filter(|found| found.is_kept() == kept);
                rows.map(|decision| row(decision, &policy.zone)).collect()
            };
            json!({
                "source": source.source,
                "refused": source.refusal,
                "kept": rows(true),
                "forgotten": rows(false),
                "record": records.get(&source.source).map(ToString::to_string),
            })
        })
        .collect();
    let report = json!({
        "dry_run": is_dry,
        "policy": policy.form(),
        "sources": sources,
        "forgotten_count": dropped,
        "prune": pruned,
        "findings": plan.findings,
    });
    let is_damaged = pruned.is_some_and(|pruned| !pruned.damaged.is_empty());
    let exit = match (plan.findings.is_empty() && !is_damaged, plan.is_refused()) {
        (false, _) => Exit::Damage,
        (true, true) => Exit::Refused,
        (true, false) => Exit::Success,
    };
    context.output.finish(&report, exit)
}

fn row(decision: &Decision, zone: &Zone) -> Value {
    let Decision { candidate, reasons, .. } = decision;
    json!({
        "snapshot": candidate.snapshot.to_string(),
        "time": candidate.time.map(|time| zone.words(time)),
        "received": candidate.received,
        "incomplete": candidate.is_incomplete,
        "reasons": reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

const fn remedy(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::FirstPolicy => "`--accept-policy` accepts this one",
        Refusal::NothingLeft | Refusal::PolicyChanged { .. } | Refusal::TimesContradict { .. } => {
            "look at `--dry-run`; `--force` forgets all the same"
        }
    }
}

fn run_some(context: &Context, arguments: &ForgetArguments) -> Result<Exit, Failure> {
    let consent = if arguments.force { Consent::Force } else { Consent::None };
    let repository = context.open()?;
    let plan = plan_some(&repository, &selectors(&arguments.selectors)?, consent)?;
    context.output.warn_of(&plan.findings);
    let record = if arguments.dry_run {
        None
    } else {
        Some(execute_some(&repository, &plan, context.global.reason.clone())?)
    };
    let pruned = pruned(context, &repository, arguments)?;
    let verb = if arguments.dry_run { "would forget" } else { "forgot" };
    for (snapshot, source) in &plan.snapshots {
        let id = context.id(&snapshot.to_string());
        context.output.note(format_args!("{verb} snapshot {id} of {}", source.escape_debug()));
    }
    let names: Vec<String> = plan.snapshots.keys().map(ToString::to_string).collect();
    let report = json!({
        "dry_run": arguments.dry_run,
        "forgotten": names,
        "record": record.map(|record| record.to_string()),
        "prune": pruned,
        "findings": plan.findings,
    });
    let is_damaged = pruned.is_some_and(|pruned| !pruned.damaged.is_empty());
    let is_whole = plan.findings.is_empty() && !is_damaged;
    let exit = if is_whole { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&report, exit))
}

fn run_checkpoints(context: &Context, arguments: &ForgetArguments) -> Result<Exit, Failure> {
    let consent = if arguments.force { Consent::Force } else { Consent::None };
    let repository = context.open()?;
    let plan = plan_checkpoints(&repository, &arguments.source, consent)?;
    let record = if arguments.dry_run {
        None
    } else {
        execute_checkpoints(&repository, &plan, context.global.reason.clone())?
    };
    tell_forgotten(context, &plan, arguments.dry_run);
    let pruned = pruned(context, &repository, arguments)?;
    let report = json!({
        "dry_run": arguments.dry_run,
        "forgotten": plan.dropped,
        "left": plan.left,
        "record": record.map(|record| record.to_string()),
        "prune": pruned,
    });
    let is_damaged = pruned.is_some_and(|pruned| !pruned.damaged.is_empty());
    let exit = if is_damaged { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&report, exit))
}

fn run_undo(context: &Context, selectors: &[Selector]) -> Result<Exit, Failure> {
    let repository: Repository = context.open()?;
    let kept = undo(&repository, selectors)?;
    Ok(tell_kept(context, &kept, "counts again"))
}

/// Says whether snapshots are kept that a record was stored for.
pub(crate) fn tell_kept(context: &Context, kept: &BTreeMap<SnapshotId, Kept>, verb: &str) -> Exit {
    let mut exit = Exit::Success;
    for (snapshot, kept) in kept {
        let id = context.id(&snapshot.to_string());
        match kept {
            Kept::Yes => context.output.note(format_args!("snapshot {id} {verb}")),
            Kept::TooLate { collection } => {
                exit = Exit::Failure;
                context.output.warn(&format!(
                    "it is too late for snapshot {id}: collection {collection} removed it"
                ));
            }
            Kept::Undecided { collection } => {
                exit = if exit == Exit::Success { Exit::Unverified } else { exit };
                context.output.warn(&format!(
                    "whether snapshot {id} is kept is not decided: collection {collection} began \
                     before; look at `sbf-repo snapshots` after the next prune"
                ));
            }
        }
    }
    let rows: Vec<Value> = kept
        .iter()
        .map(|(snapshot, kept)| json!({ "snapshot": snapshot.to_string(), "kept": kept }))
        .collect();
    context.output.finish(&json!({ "snapshots": rows }), exit)
}

/// The selectors in arguments.
pub(crate) fn selectors(words: &[OsString]) -> Result<Vec<Selector>, Failure> {
    words.iter().map(|word| Ok(Selector::parse(word.as_bytes())?)).collect()
}

fn run_simulation(context: &Context, arguments: &ForgetArguments) -> Result<Exit, Failure> {
    let policy = arguments.keep.policy()?;
    let every: Period = arguments.every.parse()?;
    let start = SystemEnvironment::new().now().0;
    let options = SimulationOptions::new(policy, start, arguments.days, every);
    let simulation = simulate(&options)?;
    let zone = &options.policy.zone;
    let mut table = Table::new(&["DAY", "KEPT"]);
    let shown = |day: usize| day.is_power_of_two() || day == simulation.kept_by_day.len();
    for (day, kept) in (1..).zip(&simulation.kept_by_day).filter(|(day, _kept)| shown(*day)) {
        table.push(vec![day.to_string(), kept.to_string()]);
    }
    context.output.line(format_args!("{table}\n"));
    let mut left = Table::new(&["TIME", "WHY"]);
    for decision in &simulation.left {
        let time = decision.candidate.time.map_or_else(String::new, |time| zone.words(time));
        let why: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
        left.push(vec![time, why.join(", ")]);
    }
    context.output.line(format_args!("{left}\n"));
    let count = to_u64(simulation.left.len());
    context.output.note(format_args!(
        "of {}, {} are left after {}; times are in {}",
        words::count(simulation.made, "snapshot"),
        count,
        words::count(u64::from(options.days), "day"),
        zone.name(),
    ));
    let rows: Vec<Value> = simulation.left.iter().map(|left| row(left, zone)).collect();
    let report = json!({
        "policy": options.policy.form(),
        "made": simulation.made,
        "kept_by_day": simulation.kept_by_day,
        "left": rows,
    });
    Ok(context.output.finish(&report, Exit::Success))
}
