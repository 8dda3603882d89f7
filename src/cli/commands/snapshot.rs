//! `snapshot`: backs up files, a stream or a command's output.

use crate::cli::commands::dumps::DumpArguments;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::patterns;
use crate::cli::words;
use crate::format::manifest::RunSummary;
use crate::format::manifest::StatedTotals;
use crate::ops::snapshot::delta::DeltaUse;
use crate::ops::snapshot::delta::HostKeeps;
use crate::ops::snapshot::dry::dry_run;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::options::DeltaMode;
use crate::ops::snapshot::options::FilesSource;
use crate::ops::snapshot::options::SeveralSource;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::snapshot::options::Source;
use crate::ops::snapshot::options::StreamSource;
use crate::ops::snapshot::options::UnwrapMode;
use crate::ops::snapshot::options::is_source_name;
use crate::ops::snapshot::postgres::PostgresPlan;
use crate::ops::snapshot::report::SnapshotReport;
use crate::ops::snapshot::snapshot;
use crate::ops::words::path_words;
use crate::repo::repository::Repository;
use crate::units::human_bytes;
use clap::Args;
use clap::ValueEnum;
use rustix::fs::FileType;
use rustix::fs::OFlags;
use serde_json::json;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Back up files, a stream, or the output of a command
///
/// `sbf-repo snapshot PATH…` backs up files and directories.
///
/// `sbf-repo snapshot --stdin-name NAME` backs up standard input as one file.
///
/// `sbf-repo snapshot --stdin-name NAME --from-command -- PROGRAM ARGUMENT…` backs up what the
/// program prints; if it fails, there is no snapshot.
///
/// `sbf-repo snapshot --postgres SERVICE` backs up a database of PostgreSQL with its roles.
///
/// `--stream NAME=COMMAND` backs up the output of more commands, beside paths and databases: all of it
/// is one snapshot, or nothing is. Dumps of PostgreSQL, MySQL and MariaDB that were cut off are
/// refused, however they come in, and so are those of PostgreSQL that lost many rows since the snapshot
/// before.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub(crate) struct SnapshotArguments {
    /// What to back up; after `--from-command`, the program and its arguments
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin_name", "stream", "postgres"])]
    paths: Vec<OsString>,
    /// Name of the source, by which snapshots are found and kept [default: HOST:first-path]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Word for finding the snapshot again; may be repeated
    #[arg(long, value_name = "WORD")]
    tag: Vec<String>,
    /// Leave out what this pattern of `.gitignore` matches; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Leave out what the patterns in this file match; may be repeated
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Leave out the content of directories that hold a file of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<OsString>,
    /// Leave out the content of directories that a CACHEDIR.TAG marks as caches
    #[arg(long)]
    exclude_caches: bool,
    /// Stay on the file systems of the given paths
    #[arg(long)]
    one_file_system: bool,
    /// Time of the data, as 2026-10-14T02:00:00Z, if it is not now
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Only say what would be read, by sizes and times
    #[arg(long, conflicts_with_all = ["stdin_name", "stream", "postgres"])]
    dry_run: bool,
    /// Back up standard input, or a command's output, as a file of this name
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Run the program that follows `--` and back up its output
    #[arg(long, requires = "stdin_name", requires = "paths")]
    from_command: bool,
    /// Store streams that gzip compressed as their plain bytes, which deduplicate, and a recipe, from which
    /// `dump --rewrap` and `restore --rewrap` give the same file back
    #[arg(long)]
    unwrap: bool,
    /// Store what changed in dumps and large files as the difference to the snapshot before: `auto`
    /// where that can be read without downloading, `on` always, `off` never. A writer's key reads nothing: its host
    /// needs `delta_cache = "host"` in the configuration file
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    delta: DeltaWhen,
    /// Name of this host [default: the system's]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Threads that read and compress [default: one a processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    // Last: what follows would stand under its heading.
    #[command(flatten)]
    dumps: DumpArguments,
}

/// When what changed is stored as a difference.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeltaWhen {
    Auto,
    On,
    Off,
}

type Exclude = Arc<dyn Fn(&Path, bool) -> bool + Send + Sync>;

impl SnapshotArguments {
    /// Whether nothing is changed.
    pub(crate) const fn is_dry(&self) -> bool {
        self.dry_run
    }

    /// Paths that are read.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let paths = self.paths.iter().filter(|_| self.stdin_name.is_none());
        paths.map(Path::new)
    }

    /// Programs that are run, those that dump databases left aside.
    pub(crate) fn programs(&self) -> Vec<OsString> {
        let first = self.paths.first().filter(|_| self.from_command).cloned();
        let commands = self.dumps.commands().unwrap_or_default();
        let programs = commands.into_iter().filter_map(|command| command.argv.into_iter().next());
        first.into_iter().chain(programs).collect()
    }

    /// The databases, as their server answers; `None` if there are none.
    pub(crate) fn database(&self) -> Option<Result<String, Failure>> {
        let plan = self.dumps.plan().transpose()?;
        Some(plan.map(|plan| plan.names().join(", ")))
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: SnapshotArguments) -> Result<Exit, Failure> {
    let host = arguments.host.clone().unwrap_or_else(environment::host);
    let chosen = source_of(&arguments)?;
    let first = chosen.first_name();
    let name = match arguments.source {
        Some(name) => name,
        None => default_name(&host, &first)?,
    };
    context.audit.set_subject(&name);
    let mut options = SnapshotOptions::new(name, host);
    options.tags = arguments.tag;
    options.time = arguments.time;
    options.sudo_user = environment::sudo_user();
    options.unwrap = if arguments.unwrap { UnwrapMode::On } else { UnwrapMode::Off };
    options.delta = match arguments.delta {
        DeltaWhen::Auto => DeltaMode::Auto,
        DeltaWhen::On => DeltaMode::On,
        DeltaWhen::Off => DeltaMode::Off,
    };
    options.delta_cache = context.delta_cache()?;
    options.threads = arguments.threads.map_or(options.threads, usize::from);
    options.guards = arguments.dumps.guards();
    let repository = context.open()?;
    let source = chosen.into_source(&repository, &options.source)?;
    let report = match source {
        Source::Files(files) if arguments.dry_run => {
            dry_run(&repository, &options, files, &context.progress)?
        }
        Source::Files(_) | Source::Stream(_) | Source::Command(_) | Source::Several(_) => {
            snapshot(&repository, &options, source, &context.progress)?
        }
    };
    context.progress.end();
    context.audit.set_bytes(report.run.bytes_read);
    if let Some(id) = report.snapshot {
        context.audit.add_snapshot(id);
    }
    Ok(tell(context, &report))
}

/// The name of a source that was given none.
fn default_name(host: &str, first: &str) -> Result<String, Failure> {
    let name = format!("{host}:{first}");
    if is_source_name(&name) {
        return Ok(name);
    }
    let name = path_words(name.as_bytes());
    let why = format!("`{name}` is too long for the name of a source, or holds `@` or controls");
    Err(Failure::usage(why).with_hint("`--source NAME` gives the source a name of your choice"))
}

/// What is to be backed up.
enum Chosen {
    Source(Source, String),
    Several {
        postgres: Option<PostgresPlan>,
        commands: Vec<CommandSource>,
        files: Option<FilesSource>,
    },
}

impl Chosen {
    /// What a source without a name is named after.
    fn first_name(&self) -> String {
        let several = |postgres: &Option<PostgresPlan>, commands: &[CommandSource]| {
            let database = postgres.as_ref().and_then(|plan| plan.names().into_iter().next());
            database.or_else(|| commands.first().map(|command| command.name.clone()))
        };
        match self {
            Self::Source(_, first) => first.clone(),
            Self::Several { postgres, commands, files: _ } => {
                several(postgres, commands).unwrap_or_default()
            }
        }
    }

    fn into_source(self, repository: &Repository, name: &str) -> Result<Source, Failure> {
        let (postgres, commands, files) = match self {
            Self::Source(source, _) => return Ok(source),
            Self::Several { postgres, commands, files } => (postgres, commands, files),
        };
        let mut several = match postgres {
            Some(plan) => plan.commands(repository, name)?,
            None => SeveralSource::new(Vec::new()),
        };
        several.is_postgres &= commands.is_empty() && files.is_none();
        several.commands.extend(commands);
        several.files = files;
        Ok(Source::Several(several))
    }
}

fn source_of(arguments: &SnapshotArguments) -> Result<Chosen, Failure> {
    let dumps = &arguments.dumps;
    dumps.check_trailers(arguments.stdin_name.as_deref())?;
    let postgres = dumps.plan()?;
    let mut commands = dumps.commands()?;
    let is_several = postgres.is_some() || !commands.is_empty();
    let Some(name) = arguments.stdin_name.clone() else {
        let files = files_of(arguments)?;
        if is_several {
            let files = Some(files).filter(|files| !files.paths.is_empty());
            return Ok(Chosen::Several { postgres, commands, files });
        }
        let first = files.paths.first().map(|path| path.to_string_lossy().into_owned());
        return Ok(Chosen::Source(Source::Files(files), first.unwrap_or_default()));
    };
    let expected = dumps.expected(&name);
    if arguments.from_command {
        let mut command = CommandSource::new(name.clone(), arguments.paths.clone());
        command.expected = expected;
        if is_several {
            commands.insert(0, command);
            return Ok(Chosen::Several { postgres, commands, files: None });
        }
        return Ok(Chosen::Source(Source::Command(command), name));
    }
    if is_several {
        let why = "standard input is a snapshot of its own".to_owned();
        return Err(Failure::usage(why).with_hint("`--stream NAME=COMMAND` runs the program"));
    }
    if arguments.paths.iter().any(|path| path != "-") {
        let why = "`--stdin-name` takes no paths but `-`".to_owned();
        return Err(Failure::usage(why).with_hint("`--from-command` runs a program after `--`"));
    }
    if is_closed(&std::io::stdin()) {
        let why = std::io::Error::other("it is closed");
        let failure = Failure::local("read", Path::new("standard input"), why);
        return Err(failure.with_hint("pipe the data into this command; nothing was stored"));
    }
    let mut stream = StreamSource::new(name.clone(), Box::new(std::io::stdin()));
    stream.expected = expected;
    Ok(Chosen::Source(Source::Stream(stream), name))
}

fn files_of(arguments: &SnapshotArguments) -> Result<FilesSource, Failure> {
    let paths: Vec<PathBuf> = arguments.paths.iter().map(absolute).collect::<Result<_, _>>()?;
    let mut files = FilesSource::new(paths);
    let compiled = patterns::compile(&arguments.exclude, &arguments.exclude_file)?;
    files.exclude = compiled.map(|compiled| -> Exclude {
        Arc::new(move |path, is_directory| patterns::matches(&compiled, path, is_directory))
    });
    files.exclude_if_present.clone_from(&arguments.exclude_if_present);
    files.exclude_caches = arguments.exclude_caches;
    files.one_file_system = arguments.one_file_system;
    Ok(files)
}

/// Whether the process was started without this stream. The runtime then opens the null device in
/// its place, for reading and writing, and every read finds its end.
fn is_closed(stream: &std::io::Stdin) -> bool {
    let (Ok(stat), Ok(flags)) = (rustix::fs::fstat(stream), rustix::fs::fcntl_getfl(stream)) else {
        return true;
    };
    let is_null = rustix::fs::stat("/dev/null").is_ok_and(|null| null.st_rdev == stat.st_rdev);
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    is_device && is_null && flags & OFlags::RWMODE == OFlags::RDWR
}

/// The absolute path, with `.` and trailing slashes taken away and links kept.
fn absolute(path: &OsString) -> Result<PathBuf, Failure> {
    let path = Path::new(path);
    let absolute = std::path::absolute(path);
    let absolute = absolute.map_err(|source| Failure::local("find", path, source))?;
    let is_up = |part| part == std::path::Component::ParentDir;
    if absolute.components().any(is_up) {
        // What lies above a link depends on where the link points: only the system knows.
        let found = std::fs::canonicalize(path);
        return found.map_err(|source| Failure::local("find", path, source));
    }
    Ok(absolute.components().collect())
}

fn tell(context: &Context, report: &SnapshotReport) -> Exit {
    let exit = if report.is_incomplete() { Exit::Incomplete } else { Exit::Success };
    let id = report.snapshot.map(|snapshot| snapshot.to_string());
    let files = format!(
        "{} new, {} changed, {} unchanged",
        words::count(report.run.files_new, "file"),
        report.run.files_changed,
        report.run.files_unchanged,
    );
    let read = human_bytes(report.run.bytes_read);
    let (source, time) = (&report.source, words::duration(context.elapsed()));
    match &id {
        Some(id) => context.output.note(format_args!(
            "snapshot {} of {source}: {files}; {read} read, {} stored ({}{}) in {time}",
            context.id(id),
            human_bytes(report.run.bytes_stored),
            ratios(report.totals.bytes, &report.run),
            delta_words(report.deltas, report.host_keeps),
        )),
        None => context.output.note(format_args!(
            "dry run of {source}: {files}; {read} would be read; nothing was stored, in {time}"
        )),
    }
    if let HostKeeps::Kept { bytes } = report.host_keeps {
        context.output.note(format_args!(
            "this host keeps the dump for the next one, in {}, and can read it (`delta_cache`)",
            human_bytes(bytes)
        ));
    }
    if report.is_incomplete() {
        let what = words::count(report.skipped_count, "path");
        context.output.warn(&format!("{what} left out or changed meanwhile: incomplete"));
    }
    let words = json!({
        "snapshot": id,
        "source": source,
        "parent": report.parent.map(|parent| parent.to_string()),
        "totals": StatedTotals::from(report.totals),
        "run": report.run,
        "deltas": report.deltas,
        "host_keeps": report.host_keeps,
        "incomplete": report.is_incomplete(),
        "skipped": report.skipped,
        "skipped_count": report.skipped_count,
        "seconds": context.elapsed().as_secs_f64(),
    });
    context.output.finish(&words, exit)
}

fn delta_words(deltas: DeltaUse, host_keeps: HostKeeps) -> String {
    match deltas {
        DeltaUse::On { bytes } if bytes > 0 => format!(", {} as deltas", human_bytes(bytes)),
        DeltaUse::RoleCannotRead => {
            ", no deltas: this role cannot read contents, see `delta_cache`".to_owned()
        }
        DeltaUse::NotOnThisHost if host_keeps != HostKeeps::Nothing => {
            ", no deltas: this host had not kept the older version".to_owned()
        }
        DeltaUse::NotOnThisHost => {
            ", no deltas: the older version is not on this host, see `--delta`".to_owned()
        }
        DeltaUse::Off | DeltaUse::On { .. } => String::new(),
    }
}

/// How much smaller deduplication and compression made the snapshot.
fn ratios(bytes: u64, run: &RunSummary) -> String {
    if run.bytes_new == 0 || run.bytes_stored == 0 {
        return "nothing new".to_owned();
    }
    let deduplication = words::ratio(bytes, run.bytes_new);
    let compression = words::ratio(run.bytes_new, run.bytes_stored);
    format!("deduplication {deduplication}, compression {compression}")
}
