//! `erasure`: what must be erased again whenever older data comes back.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::replay::Told;
use crate::cli::replay::argv_of;
use crate::cli::replay::call;
use crate::cli::replay::erasures_words;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::erasure::ErasureList;
use crate::ops::erasure::ErasureRow;
use crate::ops::erasure::NewErasure;
use crate::ops::erasure::add;
use crate::ops::erasure::list;
use crate::ops::erasure::named;
use crate::ops::erasure::replays::ReplayRun;
use crate::ops::erasure::replays::Target;
use crate::ops::erasure::replays::record_again;
use crate::ops::erasure::replays::run_named;
use crate::ops::erasure::replays::runs;
use crate::ops::erasure::status::ErasureStatus;
use crate::ops::erasure::status::Looked;
use crate::ops::erasure::status::PlaceStatus;
use crate::ops::erasure::status::look;
use crate::ops::erasure::status::not_looked;
use crate::ops::erasure::status::statuses;
use crate::ops::ledger::unknown::unknown_sources;
use crate::ops::select::Selector;
use crate::repo::repository::Repository;
use crate::settings::copy::CopySection;
use crate::settings::quantities;
use crate::units::human_bytes;
use crate::units::to_u64;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

/// Keep erased what was erased, also when older data comes back
///
/// A snapshot never changes: what was erased in a database or in files is in older snapshots until the policy lets go of
/// them. An erasure is a signed record which says that, so that every restore of older data of its sources ends with a
/// command that erases again (`replay` in the configuration file; docs/erasure.md).
#[derive(Debug, Args)]
pub(crate) struct ErasureArguments {
    #[command(subcommand)]
    command: ErasureCommand,
}

#[derive(Debug, Subcommand)]
enum ErasureCommand {
    Add(AddArguments),
    /// Show what is to be erased again
    List,
    Status(StatusArguments),
    Replay(ReplayArguments),
}

/// Record that something was erased at its sources
///
/// Needs the role admin, writer or pruner. Nothing about a person belongs into SUBJECT, `--reason` and `--ticket`: the
/// record is kept for ever, and whoever can list snapshots reads it. Use a reference that means nothing by itself, as a
/// number of a request or of a customer, from which your own command finds what to erase.
#[derive(Debug, Args)]
struct AddArguments {
    /// A source whose older snapshots may hold it; may be repeated
    #[arg(long, value_name = "SOURCE", required = true)]
    source: Vec<String>,
    /// What the command that erases again is told: a reference in one line, nothing about a person
    #[arg(long, value_name = "REFERENCE")]
    subject: String,
    /// From when on the sources no longer have it, as `2026-11-27T10:00:00Z`, or a day, which is its end [default: now]
    #[arg(long, value_name = "TIME", value_parser = quantities::last_moment)]
    erased_at: Option<i64>,
}

/// Show which snapshots still hold what was erased, until when, and whether restores erased it again
///
/// Looks into the repository and into each `[[copy]]` of the configuration file. When a snapshot goes is computed from the
/// policy that was accepted for its source (`forget --accept-policy`), as if backups went on as often as the last ones
/// were made. Ends with 6 if something came back and was not erased again, and with 7 if a copy cannot be looked at.
#[derive(Debug, Args)]
struct StatusArguments {
    /// First four or more digits of an erasure [default: all]
    #[arg(value_name = "ERASURE")]
    erasure: Option<String>,
}

/// Erase again what a restore brought back, if that was not done or failed
///
/// RUN is what the restore said, and `erasure status` shows. Runs the command that is configured now, with the same
/// erasures; or records with `--done` that somebody did it otherwise. Needs the role admin or reader.
#[derive(Debug, Args)]
struct ReplayArguments {
    /// First four or more digits of the run
    #[arg(value_name = "RUN")]
    run: String,
    /// The directory to which was restored, which must be there
    #[arg(long, value_name = "DIRECTORY", required_unless_present_any = ["connection", "done"])]
    target: Option<PathBuf>,
    /// The database to which was restored: a service or a connection string
    #[arg(long, value_name = "CONNECTION", conflicts_with = "target")]
    connection: Option<String>,
    /// Run nothing: it was erased by hand, or what was restored is gone
    #[arg(long, requires = "words", conflicts_with_all = ["target", "connection"])]
    done: bool,
    /// With `--done`: who did what
    #[arg(long, value_name = "TEXT", requires = "done")]
    words: Option<String>,
}

impl ErasureArguments {
    /// The word for it in the audit log, if it writes.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match &self.command {
            ErasureCommand::Add(_) => Some("erasure-add"),
            ErasureCommand::Replay(_) => Some("erasure-replay"),
            ErasureCommand::List | ErasureCommand::Status(_) => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ErasureArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        ErasureCommand::Add(arguments) => run_add(context, arguments),
        ErasureCommand::List => run_list(context),
        ErasureCommand::Status(arguments) => run_status(context, arguments),
        ErasureCommand::Replay(arguments) => run_replay(context, arguments),
    }
}

fn run_add(context: &Context, arguments: &AddArguments) -> Result<Exit, Failure> {
    let mut new = NewErasure::default();
    new.sources.clone_from(&arguments.source);
    new.subject.clone_from(&arguments.subject);
    new.erased_at = arguments.erased_at;
    new.reason.clone_from(&context.global.reason);
    new.ticket.clone_from(&context.global.ticket);
    let repository = context.open()?;
    let added = add(&repository, &new)?;
    warn_of_unknown(context, &repository, &new.sources);
    context.output.note(format_args!(
        "erasure {} is recorded, as of {}",
        added.erasure,
        short_time(&added.erased_at)
    ));
    Ok(context.output.finish(&added, Exit::Success))
}

/// Warns of sources that nothing has: a word that is spelled wrong erases nothing.
fn warn_of_unknown(context: &Context, repository: &Repository, sources: &[String]) {
    // It is recorded: what cannot be read here is no failure of that.
    let unknown = unknown_sources(repository, sources).unwrap_or_default();
    let Ok(file) = context.configuration() else { return };
    let jobs = &file.settings.jobs;
    let has_job = |source: &str| jobs.iter().any(|job| job.source.value == source);
    for source in unknown.iter().filter(|source| !has_job(source)) {
        context.output.warn(&format!(
            "no snapshot and no job has the source `{}`: is it spelled so?",
            source.escape_debug()
        ));
    }
}

fn run_list(context: &Context) -> Result<Exit, Failure> {
    let list = list(&context.open()?)?;
    if list.erasures.is_empty() {
        context.output.note(format_args!("there is no erasure"));
    } else {
        let mut table = Table::new(&["ERASURE", "ERASED AT", "SOURCES", "SUBJECT", "REASON"]);
        for row in &list.erasures {
            table.push(vec![
                context.id(&row.erasure),
                short_time(&row.erased_at),
                row.sources.join(", ").escape_debug().to_string(),
                row.subject.escape_debug().to_string(),
                row.reason.as_deref().unwrap_or("-").escape_debug().to_string(),
            ]);
        }
        context.output.line(format_args!("{table}"));
    }
    context.output.warn_of(&list.findings);
    let exit = if list.findings.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&list, exit))
}

fn run_status(context: &Context, arguments: &StatusArguments) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let ErasureList { erasures, mut findings } = wanted(&repository, arguments)?;
    let (runs, unread) = runs(&repository)?;
    findings.extend(unread);
    let mut looked = vec![look(&repository, "repository", &erasures)?];
    if !erasures.is_empty() {
        for copy in context.copies_of_this()? {
            looked.push(look_into(context, copy, &erasures));
        }
    }
    for place in &mut looked {
        findings.append(&mut place.findings);
    }
    let statuses = statuses(erasures, looked, &runs);
    if statuses.is_empty() {
        context.output.note(format_args!("there is no erasure"));
    }
    for status in &statuses {
        tell(context, status);
    }
    context.output.warn_of(&findings);
    let is_unknown =
        |status: &ErasureStatus| status.places.iter().any(|place| place.error.is_some());
    let exit = if !findings.is_empty() {
        Exit::Damage
    } else if statuses.iter().any(|status| status.pending_count > 0) {
        Exit::Missed
    } else if statuses.iter().any(is_unknown) {
        Exit::Unverified
    } else {
        Exit::Success
    };
    Ok(context.output.finish(&json!({ "erasures": statuses, "findings": findings }), exit))
}

fn wanted(repository: &Repository, arguments: &StatusArguments) -> Result<ErasureList, Failure> {
    let mut list = list(repository)?;
    if let Some(digits) = &arguments.erasure {
        let one = named(&list, digits)?.clone();
        list.erasures = vec![one];
    }
    Ok(list)
}

/// Looks into a copy; that it cannot be opened is told, and no reason to say nothing of the others.
fn look_into(context: &Context, copy: &CopySection, erasures: &[ErasureRow]) -> Looked {
    let name = &copy.name.value;
    let opened = context.open_copy(copy);
    let looked = opened.and_then(|copy| Ok(look(&copy, name, erasures)?));
    looked.unwrap_or_else(|failure| not_looked(name, erasures, &failure.summary()))
}

fn tell(context: &Context, status: &ErasureStatus) {
    let output = &context.output;
    let ErasureStatus { erasure, places, runs, .. } = status;
    output.line(format_args!(
        "erasure {} of {}, as of {}",
        context.id(&erasure.erasure),
        erasure.sources.join(", ").escape_debug(),
        short_time(&erasure.erased_at),
    ));
    for place in places {
        tell_place(context, place);
    }
    let last = match (&status.expires, status.is_gone) {
        (_, true) => "  no snapshot with older data is left".to_owned(),
        (Some(at), false) => format!("  the last one goes on {}", short_time(at)),
        (None, false) => "  when the last one goes cannot be said".to_owned(),
    };
    output.line(format_args!("{last}"));
    for run in runs {
        let done = if run.is_done { "erased again" } else { "NOT erased again" };
        output.line(format_args!(
            "  {} {} of snapshot {} at {}: {done}: {}",
            run.operation,
            context.id(&run.run),
            context.id(&run.snapshot),
            short_time(&run.time),
            run.words.escape_debug(),
        ));
    }
}

fn tell_place(context: &Context, place: &PlaceStatus) {
    let output = &context.output;
    let name = &place.place;
    if let Some(error) = &place.error {
        output.line(format_args!("  {name}: cannot be looked at: {error}"));
        return;
    }
    let count = words::count(to_u64(place.snapshots.len()), "snapshot");
    output.line(format_args!("  {name}: {count} with older data"));
    for older in &place.snapshots {
        let until = older.expires.as_deref().map_or_else(
            || "no end can be said".to_owned(),
            |at| format!("until {}", short_time(at)),
        );
        output.line(format_args!(
            "    {} of {} at {}: {until} ({})",
            context.id(&older.snapshot),
            older.source.escape_debug(),
            short_time(&older.data_time),
            older.why.escape_debug(),
        ));
    }
    let Some(versions) = &place.versions else { return };
    let freed = versions.free_at.as_deref().map_or_else(
        || "which no rule of the bucket frees".to_owned(),
        |at| format!("the last of which the bucket frees on {}", short_time(at)),
    );
    let locked = versions.locked_until.as_deref().map_or_else(String::new, |at| {
        format!("; locks keep some until {} at the latest", short_time(at))
    });
    output.line(format_args!(
        "    the bucket keeps {} of deleted objects ({}), {freed}{locked}",
        words::count(versions.count, "old version"),
        human_bytes(versions.bytes),
    ));
    if let Some(at) = &versions.expires {
        output.line(format_args!("    its versions of these snapshots go by {}", short_time(at)));
    }
}

fn run_replay(context: &Context, arguments: &ReplayArguments) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let (runs, findings) = runs(&repository)?;
    context.output.warn_of(&findings);
    let run = run_named(&runs, &arguments.run)?;
    let (is_done, words) = match &arguments.words {
        Some(words) if arguments.done => (true, words.clone()),
        _ => match erase(context, &repository, run, arguments)? {
            Ok(()) => (true, "the command ended with code 0".to_owned()),
            Err(how) => (false, how),
        },
    };
    let record = record_again(&repository, run, is_done, &words)?;
    let count = erasures_words(run.erasures.len());
    if is_done {
        context.output.note(format_args!("erased again: {count}"));
    } else {
        context.output.warn(&format!("{count} not erased again: {words}"));
    }
    let report = json!({
        "run": run.run,
        "erasures": run.erasures,
        "is_done": is_done,
        "words": words,
        "record": record,
    });
    Ok(context.output.finish(&report, if is_done { Exit::Success } else { Exit::Incomplete }))
}

/// Runs the command; the inner error says how it ended.
fn erase(
    context: &Context,
    repository: &Repository,
    run: &ReplayRun,
    arguments: &ReplayArguments,
) -> Result<Result<(), String>, Failure> {
    let known = list(repository)?;
    let is_meant = |row: &ErasureRow| run.erasures.contains(&row.erasure);
    let erasures: Vec<ErasureRow> = known.erasures.into_iter().filter(is_meant).collect();
    if erasures.len() < run.erasures.len() {
        context.output.warn_of(&known.findings);
        let why = "a record of an erasure of this run cannot be read".to_owned();
        return Err(Failure::refused(why));
    }
    // The snapshot may be gone since.
    let selected = Selector::parse(run.snapshot.as_bytes())?.select(repository).ok();
    let stated = selected.as_ref().map(|selected| &selected.manifest.predicate);
    let first = erasures.first().and_then(|erasure| erasure.sources.first());
    let source = stated.map(|stated| &stated.source).or(first).cloned().unwrap_or_default();
    let Some(argv) = argv_of(context, &source) else {
        let failure = Failure::usage("no `replay` is configured for this source".to_owned());
        return Err(
            failure.with_hint("docs/erasure.md says how; `--done` records what somebody did")
        );
    };
    let target = match (&arguments.target, &arguments.connection) {
        (Some(path), _) if !path.is_dir() => {
            let why = format!("`{}` is no directory: nothing is erased there", path.display());
            return Err(Failure::usage(why));
        }
        (Some(path), _) => Target::Directory(path),
        (None, Some(connection)) => Target::Database(connection),
        (None, None) => return Err(Failure::usage("there is no target".to_owned())),
    };
    let told = Told {
        repository: repository.id().to_string(),
        run: &run.run,
        operation: &run.operation,
        snapshot: &run.snapshot,
        source: &source,
        data_time: stated.map(|stated| stated.times.data.as_str()),
        erasures: &erasures,
    };
    Ok(call(context, argv, &told, target))
}
