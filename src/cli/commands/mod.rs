//! One file a command: arguments in, report out.

pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod checkpoints;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod controls;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod dump;
pub(crate) mod dumps;
pub(crate) mod erasure;
pub(crate) mod evidence;
pub(crate) mod find;
pub(crate) mod forget;
pub(crate) mod hold;
pub(crate) mod import;
pub(crate) mod incident;
pub(crate) mod init;
pub(crate) mod key;
mod kit;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod mirror;
#[cfg(feature = "mount")]
pub(crate) mod mount;
pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod rewrite;
pub(crate) mod run;
pub(crate) mod schedule;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod tag;

use crate::cli::arguments::Command;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, Failure> {
    if context.global.at_verdict.is_some()
        && !(context.global.first_version && reads_the_past(&command))
    {
        let why = "`--at-verdict` needs `--first-version`, and is for `snapshots`, `ls`, `find`, `diff`, `stats`, `restore`, `dump` and `copy`";
        return Err(Failure::usage(why.to_owned()));
    }
    match command {
        Command::Init(arguments) => init::run(context, &arguments),
        Command::Snapshot(arguments) => snapshot::run(context, arguments),
        Command::Import(arguments) => import::run(context, arguments),
        Command::Snapshots(arguments) => snapshots::run(context, arguments),
        Command::Ls(arguments) => ls::run(context, &arguments),
        Command::Find(arguments) => find::run(context, &arguments),
        Command::Diff(arguments) => diff::run(context, &arguments),
        Command::Restore(arguments) => restore::run(context, arguments),
        Command::Dump(arguments) => dump::run(context, &arguments),
        #[cfg(feature = "mount")]
        Command::Mount(arguments) => mount::run(context, arguments),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(context, &arguments),
        Command::Forget(arguments) => forget::run(context, &arguments),
        Command::Rewrite(arguments) => rewrite::run(context, &arguments),
        Command::Tag(arguments) => tag::run_tag(context, &arguments),
        Command::Note(arguments) => tag::run_note(context, &arguments),
        Command::Hold(arguments) => hold::run_hold(context, &arguments),
        Command::Release(arguments) => hold::run_release(context, &arguments),
        Command::Erasure(arguments) => erasure::run(context, &arguments),
        Command::Incident(arguments) => incident::run(context, &arguments),
        Command::Prune(arguments) => prune::run(context, &arguments),
        Command::Stats => stats::run(context),
        Command::Status(arguments) => status::run(context, arguments),
        Command::Controls(arguments) => controls::run(context, &arguments),
        Command::Retention(arguments) => retention::run(context, &arguments),
        Command::Check(arguments) => check::run(context, &arguments),
        Command::Repair(arguments) => repair::run(context, &arguments),
        Command::Session(arguments) => session::run(context, &arguments),
        Command::Manifest(arguments) => manifest::run(context, arguments),
        Command::Evidence(arguments) => evidence::run(context, arguments),
        Command::Report(arguments) => report::run(context, &arguments),
        Command::Audit(arguments) => audit::run(context, &arguments),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Drill(arguments) => drill::run(context, arguments),
        Command::Copy(arguments) => copy::run(context, arguments),
        Command::Mirror(arguments) => mirror::run(context, &arguments),
        Command::Key(arguments) => key::run(context, arguments),
        Command::Config(arguments) => config::run(context, &arguments),
        Command::Run(arguments) => run::run(context, &arguments),
        Command::Schedule(arguments) => schedule::run(context, &arguments),
        Command::Alert(arguments) => alert::run(context, &arguments),
        Command::Cache(arguments) => cache::run(context, &arguments),
        Command::Completions(arguments) => Ok(completions::run(context, &arguments)),
        Command::Man(arguments) => man::run(context, &arguments),
    }
}

/// Whether a command only looks at what is valid.
const fn reads_the_past(command: &Command) -> bool {
    matches!(
        command,
        Command::Snapshots(_)
            | Command::Ls(_)
            | Command::Find(_)
            | Command::Diff(_)
            | Command::Stats
            | Command::Restore(_)
            | Command::Dump(_)
            | Command::Copy(_)
    )
}
