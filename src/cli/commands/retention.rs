//! `retention verify`: was everything there that the policy keeps, and nothing for longer?

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::period::PeriodArguments;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::error::OpError;
use crate::ops::ledger::Ledger;
use crate::ops::retention::GRACE_SECONDS;
use crate::ops::retention::RetentionPeriod;
use crate::ops::retention::SourceRetention;
use crate::ops::retention::retention_over;
use crate::settings::quantities;
use crate::units::to_u64;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Prove that the policy was kept to
#[derive(Debug, Args)]
pub(crate) struct RetentionArguments {
    #[command(subcommand)]
    command: RetentionCommand,
}

#[derive(Debug, Subcommand)]
enum RetentionCommand {
    Verify(VerifyArguments),
}

/// Say whether every snapshot was there that the policy keeps, and none for longer
///
/// The policy and the runs are those of the plans that `run` and `schedule install` recorded; the snapshots are those
/// that are stored, and those whose deletion was certified. What is kept is decided as `forget` decides it. A slot (a
/// day, a week, a month, a year) lacks a snapshot if a run was to come in it; a snapshot that was forgotten though
/// the policy of that time kept it is named, with who did it and why, if the audit log says so.
///
/// It ends with 6 if something lacks, or is stored though nothing has kept it for longer than the grace; with 7 if no
/// plan has a policy, so that nothing can be said; with 5 if a record cannot be read or is missing.
#[derive(Debug, Args)]
struct VerifyArguments {
    #[command(flatten)]
    period: PeriodArguments,
    /// Only of this source; may be repeated
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// How long a snapshot that nothing keeps any more may wait for a forget and a prune [default: 35d]
    #[arg(long, value_name = "DURATION", value_parser = quantities::duration)]
    grace: Option<Duration>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &RetentionArguments) -> Result<Exit, Failure> {
    let RetentionCommand::Verify(arguments) = &arguments.command;
    let (from, until) = arguments.period.period(0)?;
    let grace = arguments.grace.and_then(|grace| i64::try_from(grace.as_secs()).ok());
    let grace = grace.unwrap_or(GRACE_SECONDS);
    let repository = context.open()?;
    let ledger = Ledger::load(&repository)?;
    let mut found = retention_over(&ledger, (from, until), grace);
    let names: BTreeSet<String> = arguments.source.iter().cloned().collect();
    let is_known = |name: &&String| found.at_end.sources.iter().any(|one| one.source == **name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(OpError::NoSnapshot { selector: format!("--source {unknown}") }.into());
    }
    found.at_end.only(&names);
    found.lacks.retain(|lack| names.is_empty() || names.contains(&lack.source));
    if context.output.form() == Form::Words {
        tell_table(context, &found);
    }
    tell(context, &found);
    let findings = ledger.all_findings();
    context.output.warn_of(&findings);
    let exit = exit_of(&found, !findings.is_empty());
    let report = json!({
        "from": found.from,
        "until": found.until,
        "days": found.days,
        "grace_seconds": grace,
        "lacks": found.lacks,
        "sources": found.at_end.sources,
        "findings": findings,
    });
    Ok(context.output.finish(&report, exit))
}

fn exit_of(found: &RetentionPeriod, is_damaged: bool) -> Exit {
    let sources = &found.at_end.sources;
    let is_missed = !found.lacks.is_empty() || sources.iter().any(SourceRetention::is_overdue);
    if is_damaged {
        Exit::Damage
    } else if is_missed {
        Exit::Missed
    } else if sources.iter().all(|source| source.plan.is_none()) {
        Exit::Unverified
    } else {
        Exit::Success
    }
}

fn tell_table(context: &Context, found: &RetentionPeriod) {
    let mut table = Table::new(&["SOURCE", "KIND", "SLOT", "SNAPSHOT", "NOTE"]);
    for source in &found.at_end.sources {
        for slot in &source.slots {
            let snapshot = slot.snapshot.as_ref().map(|id| context.id(id));
            let note = match (&slot.snapshot, slot.lacks()) {
                (Some(_), _) => "",
                (None, true) => "missing",
                (None, false) => "no run was to come",
            };
            table.push(vec![
                source.source.escape_debug().to_string(),
                slot.kind.to_owned(),
                slot.label.clone(),
                snapshot.unwrap_or_else(|| "-".to_owned()),
                note.to_owned(),
            ]);
        }
        for beyond in &source.beyond {
            let note = match (beyond.why.as_str(), beyond.is_overdue) {
                ("", _) => "not forgotten yet",
                (why, _) => why,
            };
            table.push(vec![
                source.source.escape_debug().to_string(),
                "beyond".to_owned(),
                short_time(&beyond.data_time),
                context.id(&beyond.snapshot),
                note.escape_debug().to_string(),
            ]);
        }
    }
    context.output.line(format_args!("{table}"));
}

fn tell(context: &Context, found: &RetentionPeriod) {
    for lack in &found.lacks {
        let why = lack.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        let when = if lack.first == lack.last {
            format!("at {}", lack.first)
        } else {
            format!("from {} to {}", lack.first, lack.last)
        };
        let lacked = format!("{} lacked {} {when}{why}", lack.source, lack.what);
        context.output.warn(&lacked.escape_debug().to_string());
    }
    for source in &found.at_end.sources {
        let name = source.source.escape_debug();
        let overdue = source.beyond.iter().filter(|beyond| beyond.is_overdue).count();
        if overdue > 0 {
            let snapshots = words::count(to_u64(overdue), "snapshot");
            context.output.warn(&format!(
                "{name}: nothing keeps {snapshots} any more, for longer than the grace: `sbf-repo forget`, `sbf-repo prune`"
            ));
        }
        if source.plan.is_none() {
            context.output.warn(&format!(
                "{name}: no plan has a policy that it can be held to: [retention], and `sbf-repo run`"
            ));
        }
    }
    if found.at_end.sources.is_empty() {
        context.output.warn("there was no source");
    }
}
