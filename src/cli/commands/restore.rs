//! `restore`: from a snapshot to files.

use crate::cli::arguments::CopyArguments;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::patterns;
use crate::cli::progress::Reported;
use crate::cli::replay::Replay;
use crate::cli::replay::Replayed;
use crate::cli::restored::tell;
use crate::cli::restored::tell_plan;
use crate::format::dump::DumpForm;
use crate::format::dump::StatedDump;
use crate::format::dump::StatedStream;
use crate::ops::copies::WithCopies;
use crate::ops::erasure::replays::Target;
use crate::ops::restore::Delete;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::Overwrite;
use crate::ops::restore::Ownership;
use crate::ops::restore::ReadBack;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::Trust;
use crate::ops::restore::plan::plan;
use crate::ops::restore::restore;
use crate::ops::restore::restore_rewrapped;
use crate::ops::restore::restore_to_command;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::units::human_bytes;
use clap::Args;
use clap::ValueEnum;
use serde_json::json;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Restore files from a snapshot
///
/// A snapshot is named by `latest`, by the first four or more digits of its id, or by its source
/// and a time: `SOURCE@latest`, `SOURCE@2026-10-14` (the newest of that day, UTC),
/// `SOURCE@2026-10-14T02:00:00Z` (the newest that is not newer), `SOURCE@7d` (the newest that is at
/// least 7 days old). A path in it follows a colon: `app-db@latest:/app.sql`.
///
/// A file of gzip that `snapshot --unwrap` or `import` stored is two files here: the plain bytes, as `app.sql`,
/// and `app.sql.gz.recipe`, from which `--rewrap` makes the compressed file again. Nothing else needs the recipe.
///
/// Data that is older than an erasure of its source (`sbf-repo erasure`) brings back what was erased: then the restore
/// ends with the command that `replay` of the configuration file names. If there is none, or it fails, the exit code
/// is 3, what was restored stays, and `sbf-repo erasure replay` does it later.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct RestoreArguments {
    /// SNAPSHOT or SNAPSHOT:PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    selector: OsString,
    /// Directory that receives the files; made if it is missing
    #[arg(long, value_name = "DIRECTORY", required_unless_present = "to_command")]
    target: Option<PathBuf>,
    /// Write the one file that is selected to a command instead; it is killed if anything is wrong
    #[arg(long, conflicts_with_all = ["target", "include", "exclude", "keep_going"])]
    to_command: bool,
    /// The command and its arguments, behind `--`; no shell
    #[arg(last = true, value_name = "COMMAND", requires = "to_command")]
    command: Vec<OsString>,
    /// Restore only what this pattern of `.gitignore` matches, with everything below; may be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out what this pattern of `.gitignore` matches; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Also restore set-id bits, devices and foreign owners, which give rights on this host
    #[arg(long)]
    trusted: bool,
    /// Who becomes the owner of the files
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Owner::Names)]
    owner: Owner,
    /// Restore everything that is intact, and list what is not
    #[arg(long)]
    keep_going: bool,
    /// What to do with files, links and the like that are in the target already
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::IfChanged)]
    overwrite: When,
    /// Remove what the target holds and the snapshot lacks, once all else was restored
    ///
    /// Only in directories that were backed up and are restored, never what a filter leaves out, on
    /// another mount or behind a link; also what the backup had left out: keep that with `--exclude`.
    #[arg(long)]
    delete: bool,
    /// Let `--delete` go by an incomplete snapshot, which may lack what only could not be read
    #[arg(long, requires = "delete")]
    accept_incomplete: bool,
    /// Tell what would be made, changed, set, kept and deleted, and write nothing
    #[arg(long, conflicts_with_all = ["verify", "to_command"])]
    dry_run: bool,
    /// Tell how much would be fetched and written and how long that may take, and write nothing
    #[arg(long, conflicts_with_all = ["verify", "to_command"])]
    plan: bool,
    /// Restore compressed files that were unwrapped as they were, verified, instead of plain bytes and recipe
    ///
    /// Of a whole snapshot, or of the path that the compressed file had: `latest:/app.sql.gz`.
    #[arg(long, conflicts_with_all = ["delete", "dry_run", "plan", "verify", "to_command"])]
    rewrap: bool,
    /// Read everything back afterwards, from the disk if possible, and compare it with the snapshot
    #[arg(long, conflicts_with = "to_command")]
    verify: bool,
    #[command(flatten)]
    copies: CopyArguments,
    /// Threads that read and write [default: one a processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Whose restored files become.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Owner {
    /// Who has the recorded name here, or else the recorded number
    Names,
    /// Who has the recorded number
    Ids,
    /// You
    Keep,
}

/// What to do with files that are there.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// Make all anew
    Always,
    /// Read them and compare: equal ones stay, and of others only what differs is fetched
    IfChanged,
    /// Leave them as they are, and restore what is missing
    Never,
}

impl RestoreArguments {
    /// Whether nothing is written.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run || self.plan
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: RestoreArguments) -> Result<Exit, Failure> {
    let selector = Selector::parse(arguments.selector.as_bytes())?;
    if arguments.to_command {
        return run_command(context, &selector, &arguments);
    }
    let opened = context.open_with_copies(&arguments.copies.from_copy)?;
    let (is_dry, names) = (arguments.is_dry(), arguments.dry_run);
    let way = if arguments.rewrap { restore_rewrapped } else { restore };
    let options = options_of(arguments)?;
    if is_dry {
        return run_plan(context, &opened, &selector, &options, names);
    }
    let (selected, report, replayed) = context.reading(&opened, |repository| {
        let selected = context.select(repository, &selector)?;
        context.audit.set_subject(&selected.manifest.predicate.source);
        let replay = Replay::begin(context, repository, "restore", &selected)?;
        let report = way(repository, &selected, &options, &Reported(&context.progress));
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                context.progress.end();
                replay.into_iter().for_each(Replay::abandon);
                return Err(Failure::from(error).with_hint_if_stopped(GO_ON_HINT));
            }
        };
        context.audit.set_bytes(report.totals.bytes);
        context.progress.end();
        let replayed = replay.map(|replay| replay.end(Target::Directory(&options.target)));
        Ok((selected, report, replayed))
    })?;
    Ok(tell(context, &selected, &options, &report, &opened.used(), replayed.as_ref()))
}

fn run_plan(
    context: &Context,
    opened: &WithCopies,
    selector: &Selector,
    options: &RestoreOptions,
    names: bool,
) -> Result<Exit, Failure> {
    let (selected, plan) = context.reading(opened, |repository| {
        let selected = context.select(repository, selector)?;
        let plan = plan(repository, &selected, options, &Reported(&context.progress))?;
        Ok((selected, plan))
    })?;
    Ok(tell_plan(context, &selected, options, &plan, names))
}

fn run_command(
    context: &Context,
    selector: &Selector,
    arguments: &RestoreArguments,
) -> Result<Exit, Failure> {
    let opened = context.open_with_copies(&arguments.copies.from_copy)?;
    let (selected, bytes, replayed) = context.reading(&opened, |repository| {
        let selected = context.select(repository, selector)?;
        context.audit.set_subject(&selected.manifest.predicate.source);
        let replay = Replay::begin(context, repository, "restore", &selected)?;
        if let Some(warning) = psql_keeps_parts(&arguments.command, &selected) {
            context.output.warn(warning);
        }
        let progress = Reported(&context.progress);
        let bytes = restore_to_command(repository, &selected, &arguments.command, &progress);
        context.progress.end();
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                replay.into_iter().for_each(Replay::abandon);
                return Err(error.into());
            }
        };
        context.audit.set_bytes(bytes);
        let replayed = replay.map(|replay| replay.end(Target::Command(&arguments.command)));
        Ok((selected, bytes, replayed))
    })?;
    let id = selected.snapshot().to_string();
    context.output.note(format_args!("the command took {}", human_bytes(bytes)));
    let exit = replayed.as_ref().map_or(Exit::Success, Replayed::exit);
    Ok(context.output.finish(&json!({ "snapshot": id, "bytes": bytes, "replay": replayed }), exit))
}

/// Why a database keeps what came before an error, if the command is `psql` and it does.
fn psql_keeps_parts(argv: &[OsString], selected: &Selected) -> Option<&'static str> {
    let (program, arguments) = argv.split_first()?;
    if Path::new(program).file_name() != Some(OsStr::new("psql")) {
        return None;
    }
    let streams = &selected.manifest.predicate.streams;
    let is_meant = |stream: &&StatedStream| matches!(&selected.path[..], [name] if *name == stream.name.as_bytes());
    let dump = streams.iter().find(is_meant).and_then(|stream| stream.dump.as_ref());
    if dump.is_some_and(|dump| dump.form == DumpForm::PostgresqlCluster) {
        // Roles that are there already are errors, which are not to end it.
        return None;
    }
    if !arguments.iter().any(|word| word == "-1" || word == "--single-transaction") {
        return Some(
            "psql without `-1` commits statement by statement: if anything goes wrong, the database keeps a part",
        );
    }
    let has_large = |dump: &StatedDump| dump.objects.iter().any(|of| of.kind.starts_with("BLOB"));
    dump.is_some_and(has_large).then_some(
        "the dump holds large objects, and commits before and behind them whatever `-1` says: if anything goes wrong, \
         the database keeps a part",
    )
}

fn options_of(arguments: RestoreArguments) -> Result<RestoreOptions, Failure> {
    let mut options = RestoreOptions::new(arguments.target.unwrap_or_default());
    options.ownership = match arguments.owner {
        Owner::Names => Ownership::Names,
        Owner::Ids => Ownership::Ids,
        Owner::Keep => Ownership::Keep,
    };
    options.trust = if arguments.trusted { Trust::Trusted } else { Trust::Untrusted };
    options.keep_going = if arguments.keep_going { KeepGoing::Continue } else { KeepGoing::Stop };
    options.overwrite = match arguments.overwrite {
        When::Always => Overwrite::Always,
        When::IfChanged => Overwrite::IfChanged,
        When::Never => Overwrite::Never,
    };
    options.delete = match (arguments.delete, arguments.accept_incomplete) {
        (false, _) => Delete::Nothing,
        (true, false) => Delete::Extra,
        (true, true) => Delete::EvenIfIncomplete,
    };
    options.read_back = if arguments.verify { ReadBack::Everything } else { ReadBack::Nothing };
    options.threads = arguments.threads.map_or(options.threads, usize::from);
    let include = patterns::compile(&arguments.include, &[])?;
    let exclude = patterns::compile(&arguments.exclude, &[])?;
    if include.is_none() && exclude.is_none() {
        return Ok(options);
    }
    options.filter = Some(Arc::new(move |path: &[u8], is_directory| {
        let path = Path::new("/").join(Path::new(OsStr::from_bytes(path)));
        let out = exclude.as_ref().is_some_and(|out| patterns::matches(out, &path, is_directory));
        // A directory that does not match may hold what does.
        let included = |patterns| patterns::matches_below(patterns, &path, is_directory);
        !out && (is_directory || include.as_ref().is_none_or(included))
    }));
    Ok(options)
}

/// How to go on after a restore that was stopped.
const GO_ON_HINT: &str =
    "run the same command again: what is restored already is compared and stays";
