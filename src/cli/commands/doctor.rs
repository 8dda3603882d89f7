//! `doctor`: tries the store out, and says what that means.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::health;
use crate::cli::health::Looked;
use crate::cli::health::Outcome;
use crate::ops::doctor::DoctorReport;
use crate::ops::doctor::ProbeReport;
use crate::ops::doctor::StoreIdentity;
use crate::ops::doctor::Thoroughness;
use crate::ops::doctor::accept;
use crate::ops::doctor::doctor;
use clap::Args;
use serde_json::json;

/// Try out whether the store does what a repository relies on, and whether the jobs have what they need
///
/// Of each job of the configuration file: paths, programs, the database, and the right to back up; of this host:
/// directories and room, what opens the repository, timers, copies. It ends with 1 if a backup would fail.
///
/// Stores and deletes some dozens of small objects under `probe/`, thousands with `--thorough`.
/// Some stores let several writers win where one must; then a collection must not give up sessions
/// whose processes may be alive, and `prune` waits for `sbf-repo session abort`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Try some thousand times, to find what happens rarely
    #[arg(long)]
    thorough: bool,
    /// Have the repository rely on what was found, and no more; needs an admin's key
    #[arg(long)]
    accept_store: bool,
    /// Try the store without opening the repository
    #[arg(long, conflicts_with = "accept_store")]
    store_only: bool,
    /// Look at the jobs and this host, and do not try the store out
    #[arg(long, conflicts_with_all = ["accept_store", "store_only", "thorough"])]
    jobs_only: bool,
    /// Send a test to every channel of notifications
    #[arg(long)]
    notify: bool,
}

impl DoctorArguments {
    /// The word for it in the audit log; `None` if the repository is not changed.
    pub(crate) fn operation(&self) -> Option<&'static str> {
        self.accept_store.then_some("config-amend")
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    if arguments.jobs_only {
        let looked = health::look(context, &context.open()?, arguments.notify)?;
        tell_health(context, &looked);
        let exit = exit_of(&looked);
        return Ok(context.output.finish(&json!({ "health": looked }), exit));
    }
    let options = context.open_options()?;
    let repository = if arguments.store_only { None } else { Some(context.open()?) };
    let thoroughness =
        if arguments.thorough { Thoroughness::Thorough } else { Thoroughness::Usual };
    let report = doctor(&options, repository.as_ref(), thoroughness)?;
    let mut accepted = false;
    if let Some(repository) = repository.as_ref().filter(|_| arguments.accept_store) {
        accepted = accept(repository, &report)?;
    }
    let looked = match &repository {
        Some(repository) => health::look(context, repository, arguments.notify)?,
        None => Vec::new(),
    };
    tell(context, &report, accepted);
    tell_health(context, &looked);
    let exit = if report.is_unsafe() && !accepted { Exit::Store } else { exit_of(&looked) };
    let words = json!({ "doctor": report, "accepted": accepted, "health": looked });
    Ok(context.output.finish(&words, exit))
}

fn tell(context: &Context, report: &DoctorReport, accepted: bool) {
    if let Some(client) = &report.client {
        context.output.note(format_args!("client: {client}"));
    }
    if let Some(credentials) = &report.credentials {
        tell_credentials(context, credentials);
    }
    tell_probe(context, &report.probe);
    if report.swept > 0 {
        context.output.note(format_args!("removed {} half-written files", report.swept));
    }
    match (report.has_registers, report.relies_on_registers) {
        _ if accepted => {
            context
                .output
                .note(format_args!("the repository relies on no more than that from now on"));
        }
        (false, Some(true)) => context.output.warn(
            "the repository relies on what this store does not do: a collection and a backup could \
             both win; run `sbf-repo doctor --accept-store`, or move it to another store",
        ),
        (true, Some(false)) => context.output.note(format_args!(
            "the store does more than the repository relies on; `sbf-repo doctor --accept-store` \
             changes that"
        )),
        (_, _) => {}
    }
}

fn tell_health(context: &Context, looked: &[Looked]) {
    for Looked { what, outcome, words } in looked {
        match outcome {
            Outcome::Fine => context.output.note(format_args!("{what}: {words}")),
            Outcome::Doubtful => context.output.warn(&format!("{what}: {words}")),
            Outcome::Wrong => context.output.error(&format!("{what}: {words}")),
        }
    }
}

fn exit_of(looked: &[Looked]) -> Exit {
    let is_wrong = looked.iter().any(|looked| looked.outcome == Outcome::Wrong);
    if is_wrong { Exit::Failure } else { Exit::Success }
}

fn tell_credentials(context: &Context, credentials: &StoreIdentity) {
    let mut words = format!("credentials: {}", credentials.source);
    for (what, value) in [
        ("access key ", &credentials.access_key),
        ("as ", &credentials.identity),
        ("good until ", &credentials.expires),
    ] {
        words.extend(value.iter().map(|value| format!("; {what}{value}")));
    }
    context.output.note(format_args!("{words}"));
}

/// Says what a store was found to do.
pub(crate) fn tell_probe(context: &Context, probe: &ProbeReport) {
    if probe.has_registers() {
        context
            .output
            .note(format_args!("of several writers exactly one wins: {} contests", probe.contests));
    } else {
        context.output.warn(&format!(
            "this store lets several writers win: in {} of {} contests more than one at once, in \
             {} one that came later; sessions of processes that died must be ended with \
             `sbf-repo session abort`, and only one host may prune",
            probe.shared_wins, probe.contests, probe.repeated_wins
        ));
    }
    let known =
        [("keeps older versions", probe.versioning), ("can lock objects", probe.object_lock)];
    for (what, is_so) in known {
        if let Some(is_so) = is_so {
            let not = if is_so { "" } else { "not: " };
            context.output.note(format_args!("{not}{what}"));
        }
    }
    match probe.clock_ahead_seconds {
        Some(ahead) if ahead.abs() > CLOCK_DIFFERENCE_MAX => context.output.warn(&format!(
            "the store's clock differs from this host's by {} seconds: one of them is wrong",
            ahead.abs()
        )),
        Some(_) | None => {}
    }
}

const CLOCK_DIFFERENCE_MAX: i64 = 120;
