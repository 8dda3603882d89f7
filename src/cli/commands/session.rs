//! `session`: runs that have not ended.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::forget::guard::Consent;
use crate::ops::session::abort::AbortEnding;
use crate::ops::session::abort::AbortReport;
use crate::ops::session::abort::abort;
use crate::ops::session::alive::ProcessState;
use crate::ops::session::list::SessionKind;
use crate::ops::session::list::SessionList;
use crate::ops::session::list::SessionRow;
use crate::ops::session::list::sessions;
use crate::ops::words::time_words;
use crate::units::human_bytes;
use clap::Args;
use clap::Subcommand;
use std::time::Duration;

/// Show runs that have not ended, and abort them
#[derive(Debug, Args)]
pub(crate) struct SessionArguments {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List the sessions that may still commit: backups and prunes that run, or were cut off
    List,
    /// Abort a session: it can never commit, and no prune waits for it any more
    ///
    /// What it stored stays until the next prune; the next backup of its client on its host uses it
    /// before that. A backup that still runs begins another session and goes on; if a prune came
    /// between, it reads its files again, and a stream fails. With a key that may prune, sessions
    /// of every client can be aborted, else those of one's own.
    Abort(AbortArguments),
}

#[derive(Debug, Args)]
struct AbortArguments {
    /// The first four or more digits of the session's id
    #[arg(value_name = "SESSION")]
    session: String,
    /// Also abort a session whose process lives on this host
    #[arg(long)]
    force: bool,
}

impl SessionArguments {
    /// The word for it in the audit log; `None` if nothing is changed.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match self.command {
            SessionCommand::List => None,
            SessionCommand::Abort(_) => Some("session-abort"),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &SessionArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        SessionCommand::List => list(context),
        SessionCommand::Abort(arguments) => run_abort(context, arguments),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let list = sessions(&context.open()?)?;
    let output = &context.output;
    if list.sessions.is_empty() {
        output.note(format_args!("there is no session that has not ended"));
    } else {
        let mut table = Table::new(&[
            "SESSION",
            "CLIENT",
            "KIND",
            "SOURCE",
            "HOST",
            "PROCESS",
            "BEGUN",
            "SILENT FOR",
            "STORED",
            "EPOCH",
            "NOTES",
        ]);
        for row in &list.sessions {
            table.push(cells(context, &list, row));
        }
        output.line(format_args!("{table}"));
    }
    let waited_for = list.sessions.iter().filter(|row| row.holds_up).count();
    if let Some(collection) = list.waiting_collection
        && waited_for > 0
    {
        let what = words::count(crate::units::to_u64(waited_for), "session");
        output.note(format_args!(
            "collection {collection} deletes nothing before {what} ended; `sbf-repo session abort` \
             ends one whose process is gone"
        ));
    }
    Ok(output.finish(&list, Exit::Success))
}

fn cells(context: &Context, list: &SessionList, row: &SessionRow) -> Vec<String> {
    let name = |name: &Option<String>| match name {
        Some(name) => name.escape_debug().to_string(),
        None => "-".to_owned(),
    };
    let star = if row.is_own { "*" } else { "" };
    let mut notes = Vec::new();
    notes.extend(match row.process_state {
        ProcessState::Alive => Some("alive".to_owned()),
        ProcessState::Ended => Some("its process ended".to_owned()),
        ProcessState::Unknown => None,
    });
    if let Some(collection) = list.waiting_collection.filter(|_collection| row.holds_up) {
        notes.push(format!("holds up collection {collection}"));
    }
    vec![
        context.id(&row.session),
        format!("{}{star}", context.id(&row.client)),
        kind_word(row.kind).to_owned(),
        name(&row.source),
        name(&row.host),
        row.process.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        row.begun.map_or_else(|| "?".to_owned(), |begun| short_time(&time_words(begun, 0))),
        row.idle_seconds
            .map_or_else(|| "?".to_owned(), |idle| words::duration(Duration::from_secs(idle))),
        human_bytes(row.stored_bytes),
        row.epoch.to_string(),
        notes.join(", "),
    ]
}

fn run_abort(context: &Context, arguments: &AbortArguments) -> Result<Exit, Failure> {
    let consent = if arguments.force { Consent::Force } else { Consent::None };
    let aborted = abort(&context.open()?, &arguments.session, consent);
    let report = aborted.map_err(|error| {
        let failure = Failure::from(error);
        let guarded = failure.exit == Exit::Refused;
        if guarded { failure.with_hint("`--force` aborts it all the same") } else { failure }
    })?;
    tell(context, &report);
    Ok(context.output.finish(&report, Exit::Success))
}

fn tell(context: &Context, report: &AbortReport) {
    let output = &context.output;
    let session = context.id(&report.session);
    let before = match report.ending {
        AbortEnding::Aborted => {
            let kind = kind_word(report.kind);
            output.note(format_args!("aborted session {session} ({kind}): it can never commit"));
            tell_effect(context, report);
            return;
        }
        AbortEnding::GivenUpByClient => "with its client's key".to_owned(),
        AbortEnding::GivenUpForCollection { collection } => {
            format!("with the maintenance key, for the sake of collection {collection}")
        }
        AbortEnding::Closed { collection } => format!("by collection {collection}"),
    };
    output.note(format_args!("session {session} was given up before, {before}: nothing to do"));
}

/// Says what becomes of what it stored, and of its process.
fn tell_effect(context: &Context, report: &AbortReport) {
    let output = &context.output;
    let is_prune = report.kind == SessionKind::Prune;
    if report.packs > 0 {
        let uses =
            if is_prune { "" } else { "; the next backup of its client on its host uses it" };
        output.note(format_args!(
            "{} in {} that it stored stay until the next prune{uses}",
            human_bytes(report.stored_bytes),
            words::count(report.packs, "pack"),
        ));
    }
    let what = if is_prune { "looks again" } else { "begins another session and goes on" };
    match report.process_state {
        ProcessState::Alive => output.note(format_args!("its process lives: it {what}")),
        ProcessState::Unknown => output.note(format_args!(
            "whether its process lives is not known here; if it does, it {what}"
        )),
        ProcessState::Ended => {}
    }
}

const fn kind_word(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Backup => "backup",
        SessionKind::Prune => "prune",
        SessionKind::Read => "read",
        SessionKind::Unreadable => "unreadable",
    }
}
