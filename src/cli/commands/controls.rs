//! `controls`: what auditors ask about backups, answered from signed records.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::period::PeriodArguments;
use crate::cli::words::Table;
use crate::ops::controls::Control;
use crate::ops::controls::ControlOutcome;
use crate::ops::controls::controls;
use crate::ops::evidence::export::Period;
use crate::ops::ledger::Ledger;
use crate::ops::words::time_words;
use clap::Args;
use serde_json::json;

/// Say which controls hold, from what signed records say of the last 31 days, or of a month
///
/// Each control is a statement about the backups that holds, does not, or that nothing was planned for: a plan stands,
/// runs came, data was never too old, nothing is missing that the policy keeps, and so on. What is compared comes
/// from the plans that `run` and `schedule install` record, and what is found from manifests, states, checks and
/// drills: of a period that is over, the answer stays. `--json` names the records that say so.
///
/// It ends with 6 if a control does not hold, and with 5 if a record cannot be read or is missing.
#[derive(Debug, Args)]
pub(crate) struct ControlsArguments {
    #[command(flatten)]
    period: PeriodArguments,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ControlsArguments) -> Result<Exit, Failure> {
    let (from, until) = arguments.period.period(PERIOD_SECONDS)?;
    let repository = context.open()?;
    let ledger = Ledger::load(&repository)?;
    let found = controls(&ledger, Period::new(Some(from), Some(until)));
    if context.output.form() == Form::Words {
        tell(context, &found);
    }
    let findings = ledger.all_findings();
    context.output.warn_of(&findings);
    let fails = found.iter().any(|control| control.outcome == ControlOutcome::Fail);
    let exit = match (findings.is_empty(), fails) {
        (false, _) => Exit::Damage,
        (true, true) => Exit::Missed,
        (true, false) => Exit::Success,
    };
    let report = json!({
        "from": time_words(from, 0),
        "until": time_words(until, 0),
        "controls": found,
        "findings": findings,
    });
    Ok(context.output.finish(&report, exit))
}

fn tell(context: &Context, controls: &[Control]) {
    let mut table = Table::new(&["CONTROL", "HOLDS", "WHAT WAS FOUND"]);
    for control in controls {
        let outcome = match control.outcome {
            ControlOutcome::Pass => "pass",
            ControlOutcome::Fail => "FAIL",
            ControlOutcome::NotApplicable => "n/a",
        };
        let found = control.words.escape_debug().to_string();
        table.push(vec![control.id.to_owned(), outcome.to_owned(), found]);
    }
    context.output.line(format_args!("{table}"));
}

/// The last 31 days.
const PERIOD_SECONDS: i64 = 31 * 86_400;
