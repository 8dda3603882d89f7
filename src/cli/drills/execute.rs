//! One drill of the configuration file, from its section to its record.

use crate::cli::context::Context;
use crate::cli::drills::machine;
use crate::cli::drills::session::Session;
use crate::cli::drills::session::scratch_parent;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reported;
use crate::cli::replay::Replay;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::DrillCheck;
use crate::format::attest::drill::Outcome;
use crate::ops::drill;
use crate::ops::drill::DrillOptions;
use crate::ops::drill::DrillTarget;
use crate::ops::drill::Drilled;
use crate::ops::drill::Given;
use crate::ops::drill::Wiped;
use crate::ops::drill::list;
use crate::ops::erasure::replays::Target;
use crate::ops::error::OpError;
use crate::ops::select::Selector;
use crate::repo::environment::Environment as _;
use crate::repo::environment::SystemEnvironment;
use crate::settings::drill::DrillKind;
use crate::settings::drill::DrillSection;
use std::cell::RefCell;
use std::time::Duration;

/// A drill that is recorded.
pub(crate) struct Done {
    /// The key of the record.
    pub(crate) record: String,
    pub(crate) drill: Drill,
    pub(crate) exit: Exit,
}

/// Does one, which is no scenario; it began so long after the command did.
pub(crate) fn execute(
    context: &Context,
    session: &Session,
    section: &DrillSection,
    selector: Option<Selector>,
    began: Duration,
) -> Result<Done, Failure> {
    let options = options_of(context, session, section, selector)?;
    let clock = || context.elapsed().saturating_sub(began);
    let now = SystemEnvironment::new().now();
    let ago = i64::try_from(clock().as_secs()).unwrap_or(0);
    let started = (now.0.saturating_sub(ago), now.1);
    let chosen = drill::choose(&session.data, &options);
    match &chosen {
        Ok(selected) => {
            drill::check(selected, &options)?;
            context.audit.selected(selected.snapshot())?;
            context.output.warn_of(&selected.findings);
        }
        Err(error) => refuse_unrelated(session, error)?,
    }
    let progress = Reported(&context.progress);
    let replay = match &chosen {
        Ok(selected) => Replay::begin_in_drill(context, session, selected)?,
        Err(_nothing) => None,
    };
    let erase_again = |target: Target<'_>| {
        context.progress.end();
        replay.as_ref().map(|replay| replay.end_in_drill(target))
    };
    let became = RefCell::new(Wiped::All);
    let warn = |text: &str| {
        context.progress.end();
        context.output.warn(text);
    };
    let given = Given {
        data: &session.data,
        main: &session.main,
        options: &options,
        progress: &progress,
        erase_again: &erase_again,
        became: &became,
        warn: &warn,
    };
    let drilled = drill::drill(&given, chosen, &clock, started);
    context.progress.end();
    let became = became.into_inner();
    if let Some(replay) = replay {
        replay.drill_ended(&became);
    }
    let drilled = drilled.map_err(|error| {
        let again = match &became {
            Wiped::All => "what came back was wiped; run the same command again",
            Wiped::Kept => "the drill's command was given a part of it; run the same command again",
            Wiped::NotAll(_) => "remove what is not gone, as the warning says",
        };
        Failure::from(error).with_hint_if_stopped(again)
    })?;
    context.audit.set_bytes(drilled.record.bytes);
    record(session, drilled)
}

/// Ends with what says nothing of the backup: the store is out of reach, or the key lacks a right.
fn refuse_unrelated(session: &Session, error: &OpError) -> Result<(), Failure> {
    let is_found_out = match error {
        OpError::NoSnapshot { .. }
        | OpError::Forgotten { .. }
        | OpError::Hidden { .. }
        | OpError::MayBeMeant { .. } => true,
        OpError::Repo { source, .. } => session.data.is_damage(source),
        OpError::Local { .. }
        | OpError::Restore { .. }
        | OpError::Rewrite { .. }
        | OpError::Interrupted
        | OpError::Refused { .. }
        | OpError::Usage { .. }
        | OpError::SourceCommand { .. }
        | OpError::NotUnwrapped { .. }
        | OpError::Guard { .. }
        | OpError::TargetCommand { .. }
        | OpError::TooLate { .. }
        | OpError::Committed { .. }
        | OpError::NoPath { .. } => false,
    };
    if is_found_out { Ok(()) } else { Err(Failure::of_op(error)) }
}

/// Stores what a drill came to.
pub(crate) fn record(session: &Session, drilled: Drilled) -> Result<Done, Failure> {
    let Drilled { record: drill, is_damaged } = drilled;
    let record = list::store(&session.main, &drill)?.to_string();
    let exit = exit_of(drill.outcome, is_damaged);
    Ok(Done { record, drill, exit })
}

/// Damage comes first, then what is not as it should be, then what could not be looked at.
pub(crate) const fn exit_of(outcome: Outcome, is_damaged: bool) -> Exit {
    match (is_damaged, outcome) {
        (true, _) => Exit::Damage,
        (false, Outcome::Fail) => Exit::Missed,
        (false, Outcome::NotVerified) => Exit::Unverified,
        (false, Outcome::Pass) => Exit::Success,
    }
}

/// The first check that did not pass: the worst kind of those first.
pub(crate) fn trouble_of(drill: &Drill) -> Option<&DrillCheck> {
    let worst = drill.outcome;
    let of_kind = drill.checks.iter().find(|check| check.outcome == worst);
    of_kind.filter(|_check| worst != Outcome::Pass)
}

/// The drill as the operation takes it.
pub(crate) fn options_of(
    context: &Context,
    session: &Session,
    section: &DrillSection,
    selector: Option<Selector>,
) -> Result<DrillOptions, Failure> {
    let settings = &context.configuration()?.settings;
    let job = section.job.as_ref().and_then(|at| settings.job(&at.value));
    let source = section.source.as_ref().map(|at| &at.value);
    let source = source.or(job.map(|job| &job.source.value)).cloned().unwrap_or_default();
    let text = |at: &Option<crate::settings::At<String>>| at.as_ref().map(|at| at.value.clone());
    let target = match section.target {
        DrillKind::Scratch => DrillTarget::Scratch,
        DrillKind::Url => DrillTarget::Url(text(&section.dsn).unwrap_or_default()),
        // A scenario has none of its own.
        DrillKind::Files | DrillKind::Scenario => DrillTarget::Files,
        DrillKind::Command => {
            let argv = section.command.as_ref().map(|at| at.value.clone());
            DrillTarget::Command(argv.unwrap_or_default())
        }
    };
    Ok(DrillOptions {
        name: section.name.value.clone(),
        job: text(&section.job),
        source,
        selector,
        target,
        database: text(&section.database),
        path: text(&section.path),
        assertions: section.assertions.clone(),
        rto: job.and_then(|job| job.rto.as_ref()).map(|at| at.value),
        rpo: job.and_then(|job| job.rpo.as_ref()).map(|at| at.value),
        amcheck: section.amcheck,
        redump: section.redump,
        roles: section.roles.clone(),
        timezone: text(&section.timezone),
        programs: section.programs.as_ref().map(|at| at.value.clone()),
        scratch: section.scratch.as_ref().map_or_else(scratch_parent, |at| at.value.clone()),
        copy: session.copy.clone(),
        is_cold: session.is_cold,
        environment: machine::environment(),
    })
}
