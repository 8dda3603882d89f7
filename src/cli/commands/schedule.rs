//! `schedule`: what this host runs by itself, and when.

use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::jobs::memory;
use crate::cli::jobs::memory::JOBS;
use crate::cli::jobs::memory::TASKS;
use crate::cli::jobs::planned;
use crate::cli::jobs::planned::Ask;
use crate::cli::schedule::Timed;
use crate::cli::schedule::crontab;
use crate::cli::schedule::systemd;
use crate::cli::schedule::systemd::Manager;
use crate::cli::schedule::systemd::Surroundings;
use crate::cli::schedule::timed;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::location::Location;
use crate::ops::words::time_words;
use crate::repo::state::replace_durably;
use crate::settings::Settings;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Show, install or remove what runs by itself
///
/// The configuration file says when: `schedule` of each job, and `[maintenance]`. Times are written as
/// systemd writes them, see systemd.time(7).
#[derive(Debug, Args)]
pub(crate) struct ScheduleArguments {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Show what runs next, and how it went the last time
    Show {
        /// Print the units of systemd that `install` would write
        #[arg(long, conflicts_with = "cron")]
        systemd: bool,
        /// Print the lines of cron that `install --cron` would write
        #[arg(long)]
        cron: bool,
        /// For the units of this user, and not of the system
        #[arg(long, requires = "systemd")]
        user: bool,
    },
    /// Write units of systemd, and enable their timers
    ///
    /// Units that were installed before, and of which the file says nothing any more, are removed.
    Install(PlaceArguments),
    /// Remove what `install` wrote
    Remove(PlaceArguments),
}

/// Where it is installed.
#[derive(Debug, Args)]
struct PlaceArguments {
    /// Write a file of `/etc/cron.d`, and no units
    #[arg(long, conflicts_with = "user")]
    cron: bool,
    /// For this user, and not for the system
    #[arg(long)]
    user: bool,
    /// The directory of units, or of files of cron [default: /etc/systemd/system, /etc/cron.d, or the user's]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Only write files: tell systemd nothing
    #[arg(long)]
    no_enable: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ScheduleArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        ScheduleCommand::Show { systemd: true, user, .. } => {
            let mut text = String::new();
            for (name, unit) in units(context, manager(*user))? {
                // Writing into a string does not fail.
                let _ignored = writeln!(text, "# {name}\n{unit}");
            }
            context.output.text(&text);
            Ok(context.output.finish(&json!({ "text": text }), Exit::Success))
        }
        ScheduleCommand::Show { cron: true, .. } => {
            let text = cron_file(context)?;
            context.output.text(&text);
            Ok(context.output.finish(&json!({ "text": text }), Exit::Success))
        }
        ScheduleCommand::Show { .. } => show(context),
        ScheduleCommand::Install(place) => install(context, place),
        ScheduleCommand::Remove(place) => remove(context, place),
    }
}

const fn manager(is_user: bool) -> Manager {
    if is_user { Manager::User } else { Manager::System }
}

fn show(context: &Context) -> Result<Exit, Failure> {
    let settings = &context.configuration()?.settings;
    let (now, host) = (Context::now(), environment::host());
    let place = context.place_word();
    let mut table =
        Table::new(&["NAME", "SCHEDULE", "NEXT", "LAST RUN HERE", "ENDED WITH", "HOST"]);
    let mut rows = Vec::new();
    let words = |seconds| time_words(seconds, 0);
    for each in timed(settings) {
        let folder = if each.job.is_some() { JOBS } else { TASKS };
        let last = memory::last(place.as_deref(), folder, each.name);
        let next = each.calendar.next(now).map(words);
        let none = || "-".to_owned();
        table.push(vec![
            each.name.to_owned(),
            each.calendar.to_string(),
            next.as_deref().map_or_else(none, short_time),
            last.as_ref().map_or_else(none, |last| short_time(&words(last.started))),
            last.as_ref().map_or_else(none, |last| last.exit_code.to_string()),
            each.host.map_or_else(|| "any".to_owned(), str::to_owned),
        ]);
        rows.push(json!({
            "name": each.name,
            "is_job": each.job.is_some(),
            "schedule": each.calendar.to_string(),
            "next": next,
            "last_run": last,
            "host": each.host,
            "is_of_this_host": each.is_of(&host),
        }));
    }
    if rows.is_empty() {
        context.output.note(format_args!("nothing has a schedule"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    Ok(context.output.finish(&json!({ "schedules": rows }), Exit::Success))
}

/// What has a time on this host.
fn of_this_host<'a>(settings: &'a Settings, host: &str) -> Result<Vec<Timed<'a>>, Failure> {
    let found: Vec<_> = timed(settings).into_iter().filter(|each| each.is_of(host)).collect();
    if found.is_empty() {
        let why = "the configuration file gives nothing on this host a schedule".to_owned();
        return Err(Failure::usage(why).with_hint("`sbf-repo config example` shows how"));
    }
    Ok(found)
}

/// The program and its options.
fn command(context: &Context) -> Result<Vec<String>, Failure> {
    let configuration = context.configuration()?;
    let Some(path) = &configuration.path else {
        let why = "there is no configuration file".to_owned();
        return Err(
            Failure::usage(why).with_hint("`sbf-repo config example` prints one to begin with")
        );
    };
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| Failure::local("find", path, source))
    };
    let program = std::env::current_exe()
        .map_err(|source| Failure::local("find", Path::new("sbf-repo"), source))?;
    if configuration.settings.repository.secret.is_none() {
        context.output.warn(
            "the configuration file does not say what opens the repository, and nobody is there to be asked: \
             `password` or `key_file` in [repository]",
        );
    }
    let config = absolute(path)?.display().to_string();
    Ok(vec![program.display().to_string(), "--config".to_owned(), config])
}

/// Variables that say where state and cache are.
fn variables() -> Vec<(&'static str, PathBuf)> {
    let names = ["SBF_REPO_STATE_DIR", "SBF_REPO_CACHE_DIR"];
    names.into_iter().filter_map(|name| Some((name, environment::path(name)?))).collect()
}

/// Refuses what would be a line of its own.
fn refuse_controls<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
    match words.into_iter().find(|word| word.chars().any(char::is_control)) {
        Some(word) => {
            let why = format!("{word:?} holds a line break, or another control character");
            Err(Failure::usage(why))
        }
        None => Ok(()),
    }
}

fn units(context: &Context, manager: Manager) -> Result<BTreeMap<String, String>, Failure> {
    let settings = &context.configuration()?.settings;
    let host = environment::host();
    let timed = of_this_host(settings, &host)?;
    let around = Surroundings {
        settings,
        command: command(context)?,
        variables: variables(),
        writable: writable(settings),
        manager,
    };
    let paths = around.writable.iter().chain(around.variables.iter().map(|(_, path)| path));
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    refuse_controls(around.command.iter().chain(&paths).map(String::as_str))?;
    Ok(systemd::units(&timed, &around))
}

/// Local directories that runs write to.
fn writable(settings: &Settings) -> Vec<PathBuf> {
    let copies = settings.copies.iter().map(|copy| &copy.url.value);
    let urls = settings.repository.url.iter().map(|at| &at.value).chain(copies);
    let local = urls.filter_map(|url| match url.parse() {
        Ok(Location::Local(path)) => Some(path),
        Ok(_) | Err(_) => None,
    });
    let metrics = settings.metrics.textfile.as_ref();
    let metrics = metrics.and_then(|at| at.value.parent().map(Path::to_owned));
    let cache = settings.cache.directory.iter().map(|at| at.value.clone());
    let scratch = settings.jobs.iter().flat_map(|job| &job.words).filter_map(|word| {
        let word = word.to_str()?;
        word.strip_prefix("--pg-scratch=").map(PathBuf::from)
    });
    let mut paths: Vec<PathBuf> = local.chain(metrics).chain(cache).chain(scratch).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn cron_file(context: &Context) -> Result<String, Failure> {
    let settings = &context.configuration()?.settings;
    let host = environment::host();
    let tells = !settings.notify.channels.is_empty();
    let (command, variables) = (command(context)?, variables());
    let assigned: Vec<String> =
        variables.iter().map(|(name, path)| format!("{name}={}", path.display())).collect();
    refuse_controls(command.iter().chain(&assigned).map(String::as_str))?;
    crontab::file(&of_this_host(settings, &host)?, (&command, &assigned), ("root", tells))
}

/// Where files go.
fn directory(place: &PlaceArguments) -> Result<PathBuf, Failure> {
    let usual = match (place.cron, place.user) {
        (true, _) => Some(PathBuf::from("/etc/cron.d")),
        (false, false) => Some(PathBuf::from("/etc/systemd/system")),
        (false, true) => environment::user_units_directory(),
    };
    place.directory.clone().or(usual).ok_or_else(|| {
        Failure::usage("there is no home directory".to_owned())
            .with_hint("name one by `--directory`")
    })
}

fn install(context: &Context, place: &PlaceArguments) -> Result<Exit, Failure> {
    let folder = directory(place)?;
    let files = if place.cron {
        BTreeMap::from([(CRON_FILE.to_owned(), cron_file(context)?)])
    } else {
        units(context, manager(place.user))?
    };
    let made = DirBuilder::new().recursive(true).create(&folder);
    made.map_err(|source| Failure::local("create", &folder, source))?;
    let stale: Vec<PathBuf> = own_files(&folder, place.cron)
        .into_iter()
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_none_or(|name| !files.contains_key(name))
        })
        .collect();
    let mut written = Vec::new();
    for (name, text) in &files {
        let path = folder.join(name);
        if path.exists() && !systemd::is_own(&path) {
            let why = format!("{} is there, and was written by somebody else", path.display());
            return Err(Failure::refused(why));
        }
        if std::fs::read_to_string(&path).is_ok_and(|found| found == *text) {
            continue;
        }
        replace_durably(&path, text.as_bytes())?;
        let open = Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open)
            .map_err(|source| Failure::local("write", &path, source))?;
        written.push(path);
    }
    let timers: Vec<&String> = files.keys().filter(|name| is_timer(name)).collect();
    disable(place, &stale)?;
    let removed = delete(&stale)?;
    if !place.cron {
        systemctl(place, &["daemon-reload"])?;
        let words: Vec<&str> = timers.iter().map(|name| name.as_str()).collect();
        systemctl(place, &[&["enable", "--now"], &words[..]].concat())?;
    }
    // From now on runs are expected, also if none ever begins.
    if let Err(failure) = planned::record(context, Ask::Always) {
        context.output.warn(&format!("this plan is not recorded: {}", failure.summary()));
    }
    for path in &written {
        context.output.note(format_args!("wrote {}", path.display()));
    }
    for path in &removed {
        context.output.note(format_args!("removed {path}"));
    }
    if written.is_empty() && removed.is_empty() {
        context.output.note(format_args!("everything is installed already"));
    }
    let written: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    Ok(context.output.finish(&json!({ "written": written, "removed": removed }), Exit::Success))
}

fn remove(context: &Context, place: &PlaceArguments) -> Result<Exit, Failure> {
    let found = own_files(&directory(place)?, place.cron);
    disable(place, &found)?;
    let removed = delete(&found)?;
    if !place.cron && !removed.is_empty() {
        systemctl(place, &["daemon-reload"])?;
    }
    for path in &removed {
        context.output.note(format_args!("removed {path}"));
    }
    if removed.is_empty() {
        context.output.note(format_args!("nothing was installed"));
    }
    Ok(context.output.finish(&json!({ "written": [], "removed": removed }), Exit::Success))
}

fn is_timer(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|kind| kind == "timer")
}

/// What this program wrote there.
fn own_files(folder: &Path, is_cron: bool) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_named = if is_cron { name == CRON_FILE } else { name.starts_with("sbf-repo-") };
        is_named && systemd::is_own(path)
    };
    let mut found: Vec<PathBuf> = entries.filter(is_ours).collect();
    found.sort_unstable();
    found
}

fn disable(place: &PlaceArguments, files: &[PathBuf]) -> Result<(), Failure> {
    let names = files.iter().filter_map(|path| path.file_name()?.to_str());
    let timers: Vec<&str> = names.filter(|name| is_timer(name)).collect();
    if place.cron || timers.is_empty() {
        return Ok(());
    }
    systemctl(place, &[&["disable", "--now"], &timers[..]].concat())
}

fn delete(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let delete = |path: &PathBuf| match std::fs::remove_file(path) {
        Ok(()) => Ok(path.display().to_string()),
        Err(source) => Err(Failure::local("remove", path, source)),
    };
    files.iter().map(delete).collect()
}

fn systemctl(place: &PlaceArguments, words: &[&str]) -> Result<(), Failure> {
    if place.no_enable {
        return Ok(());
    }
    let mut command = Command::new("systemctl");
    if place.user {
        command.arg("--user");
    }
    let hint = "`--no-enable` only writes the files; `--cron` writes one for cron";
    let failed = |how: String| {
        let why = format!("`systemctl {}` {how}", words.join(" "));
        Failure::from(crate::ops::error::OpError::Local {
            call: "run",
            path: PathBuf::from("systemctl"),
            source: std::io::Error::other(why),
        })
        .with_hint(hint)
    };
    let output = command
        .args(words)
        .output()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(failed(format!("failed: {said}")))
}

const CRON_FILE: &str = "sbf-repo";
