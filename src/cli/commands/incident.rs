//! `incident`: when something was lost, and when it was back.

use crate::cli::commands::forget::selectors;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::cli::words::short_time;
use crate::ops::incident;
use crate::ops::incident::IncidentEnd;
use crate::ops::incident::IncidentRow;
use crate::ops::incident::NewIncident;
use crate::ops::ledger::unknown::unknown_sources;
use crate::repo::environment::time_words;
use crate::repo::repository::Repository;
use crate::settings::quantities;
use clap::Args;
use clap::Subcommand;
use std::ffi::OsString;
use std::time::Duration;

/// Measure how long it takes to recover, when it matters
///
/// `incident open` records that something was lost, `incident close` that it is back: the time between them is the time
/// to recover, and the runs of `restore` and `dump` in it are told from the audit log (docs/incident.md). `--ticket`
/// names where else it is written down.
#[derive(Debug, Args)]
pub(crate) struct IncidentArguments {
    #[command(subcommand)]
    command: IncidentCommand,
}

#[derive(Debug, Subcommand)]
enum IncidentCommand {
    Open(OpenArguments),
    Close(CloseArguments),
    /// Show incidents, how long each took, and the restores in them
    ///
    /// It ends with 5 if a record cannot be read, or if the repository lacks what this host has seen: an incident may be among it.
    List,
}

/// Record that something was lost or is in danger; prints the incident's name
#[derive(Debug, Args)]
struct OpenArguments {
    /// A source that it is of; may be repeated; one that nobody backs up is warned of [default: all]
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// What happened
    #[arg(long, value_name = "TEXT")]
    words: String,
    /// When it began, as `2026-11-27T10:00:00Z`, or a day, which is its beginning in UTC [default: now]
    #[arg(long, value_name = "TIME", value_parser = quantities::moment)]
    at: Option<i64>,
}

/// Record that it is back, or never will be
#[derive(Debug, Args)]
struct CloseArguments {
    /// First four or more digits of the incident
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// What was done
    #[arg(long, value_name = "TEXT")]
    words: String,
    /// When it ended, as `2026-11-27T10:00:00Z` [default: now]
    #[arg(long, value_name = "TIME", value_parser = quantities::moment)]
    at: Option<i64>,
    /// A snapshot from which it was brought back; may be repeated; see `sbf-repo restore --help`
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Vec<OsString>,
    /// The time of the newest data that came back [default: that of the newest SNAPSHOT]
    #[arg(long, value_name = "TIME", value_parser = quantities::moment)]
    data_time: Option<i64>,
}

impl IncidentArguments {
    /// The word for it in the audit log, if it writes.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match &self.command {
            IncidentCommand::Open(_) => Some("incident-open"),
            IncidentCommand::Close(_) => Some("incident-close"),
            IncidentCommand::List => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &IncidentArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        IncidentCommand::Open(arguments) => open(context, arguments),
        IncidentCommand::Close(arguments) => close(context, arguments),
        IncidentCommand::List => list(context),
    }
}

fn open(context: &Context, arguments: &OpenArguments) -> Result<Exit, Failure> {
    let mut new = NewIncident::default();
    new.words.clone_from(&arguments.words);
    new.sources.clone_from(&arguments.source);
    new.ticket.clone_from(&context.global.ticket);
    new.at = arguments.at;
    let repository = context.open()?;
    let opened = incident::open(&repository, &new)?;
    warn_of_unknown(context, &repository, &opened.sources);
    context.output.note(format_args!(
        "incident {} is open since {}",
        opened.incident,
        short_time(&opened.opened_at)
    ));
    Ok(context.output.finish(&opened, Exit::Success))
}

/// Warns of sources that nobody backs up: the name may be wrong. It is recorded all the same.
fn warn_of_unknown(context: &Context, repository: &Repository, sources: &[String]) {
    // What was to be recorded is: a repository that cannot be looked at is told by what reads it.
    for source in unknown_sources(repository, sources).unwrap_or_default() {
        let source = source.escape_debug();
        context.output.warn(&format!("nothing is backed up as `{source}`: is that its name?"));
    }
}

fn close(context: &Context, arguments: &CloseArguments) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let mut new = NewIncident::default();
    new.words.clone_from(&arguments.words);
    new.ticket.clone_from(&context.global.ticket);
    new.at = arguments.at;
    for selector in selectors(&arguments.snapshot)? {
        let selected = selector.select(&repository)?;
        context.output.warn_of(&selected.findings);
        context.audit.add_snapshot(selected.snapshot());
        new.snapshots.push(selected.snapshot());
        new.data_time = new.data_time.max(Some(selected.data_time()));
    }
    if let Some(at) = arguments.data_time {
        new.data_time = Some((at, 0));
    }
    let closed = incident::close(&repository, &arguments.incident, &new)?;
    if let Some(end) = &closed.closed {
        let id = context.id(&closed.incident);
        context.output.note(format_args!("incident {id} is closed: {}", end_words(end)));
    }
    Ok(context.output.finish(&closed, Exit::Success))
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let list = incident::list(&context.open()?)?;
    // What cannot be read may be of one.
    if list.incidents.is_empty() && list.findings.is_empty() {
        context.output.note(format_args!("there is no incident"));
    }
    for row in &list.incidents {
        tell(context, row);
    }
    context.output.warn_of(&list.findings);
    let exit = if list.findings.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&list, exit))
}

fn tell(context: &Context, row: &IncidentRow) {
    let output = &context.output;
    let state = row.closed.as_ref().map_or_else(
        || {
            let now = time_words(Context::now(), 0);
            let open = words::between(&row.opened_at, &now);
            format!("open for {}", words::duration(open))
        },
        end_words,
    );
    let of = if row.sources.is_empty() { "all sources".to_owned() } else { row.sources.join(", ") };
    output.line(format_args!(
        "{} of {}, since {}: {state}",
        context.id(&row.incident),
        of.escape_debug(),
        short_time(&row.opened_at),
    ));
    let told = |words: &str, ticket: Option<&String>| {
        let ticket = ticket.map(|ticket| format!(" ({ticket})")).unwrap_or_default();
        format!("{words}{ticket}").escape_debug().to_string()
    };
    output.line(format_args!("  {}", told(&row.words, row.ticket.as_ref())));
    for run in &row.runs {
        let took = run.milliseconds.map(|time| words::duration(Duration::from_millis(time)));
        let ended = run.exit_code.map_or_else(
            || "without an end in the log".to_owned(),
            |code| format!("ended with {code} after {}", took.as_deref().unwrap_or("?")),
        );
        let snapshots: Vec<String> = run.snapshots.iter().map(|id| context.id(id)).collect();
        output.line(format_args!(
            "  {} at {} of {} on {}: {ended}",
            run.operation,
            short_time(&run.time),
            snapshots.join(", "),
            run.host.escape_debug(),
        ));
    }
    if let Some(end) = &row.closed {
        output.line(format_args!("  {}", told(&end.words, end.ticket.as_ref())));
    }
}

fn end_words(end: &IncidentEnd) -> String {
    let time = words::duration(Duration::from_secs(end.recovered_after_seconds));
    let lost = end.lost_seconds.map(|lost| {
        let lost = words::duration(Duration::from_secs(lost));
        format!("; the data that came back was {lost} older than the incident")
    });
    format!("back after {time}{}", lost.unwrap_or_default())
}
