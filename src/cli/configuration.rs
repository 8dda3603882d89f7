//! The configuration file: where it is, who may change it, and what its values mean here.

use crate::cli::arguments::Arguments;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::health::first_line;
use crate::cli::jobs::plan::snapshot_words;
use crate::cli::sourced::Origin;
use crate::cli::sourced::Sourced;
use crate::ops::forget::policy::Period;
use crate::ops::location::Location;
use crate::ops::snapshot::options::is_source_name;
use crate::ops::snapshot::postgres::holds_password;
use crate::settings::At;
use crate::settings::Settings;
use crate::settings::job::JobSection;
use crate::settings::problem::Problem;
use crate::settings::secret::Secret;
use crate::units::to_u64;
use clap::Parser as _;
use std::ffi::OsString;
use std::fs::File;
use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// What the configuration file says, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configuration {
    /// Where it is.
    pub(crate) path: Option<PathBuf>,
    /// What it says; nothing if there is none.
    pub(crate) settings: Settings,
}

/// A file that was read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) problems: Vec<Problem>,
}

impl Configuration {
    /// Reads the file that is named, or else the first that is where one is looked for.
    ///
    /// Errors: a named file that is missing; anything that is wrong with a file.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = find(named)? else { return Ok(Self::default()) };
        let Checked { path, settings, problems } = read(path)?;
        if problems.is_empty() {
            return Ok(Self { path: Some(path), settings });
        }
        let mut message = format!("the configuration file {} is wrong", path.display());
        for problem in &problems {
            message = format!("{message}\n  {problem}");
        }
        Err(Failure::usage(message)
            .with_hint("`sbf-repo config example` shows a file that explains itself"))
    }

    /// A value of the file with where it came from.
    pub(crate) fn sourced<T: Clone>(&self, at: &At<T>) -> Sourced<T> {
        let path = self.path.clone().unwrap_or_default();
        Sourced { value: at.value.clone(), origin: Origin::File { path, line: at.line } }
    }
}

/// Where the file is: the one that is named, or else the first that is where one is looked for.
pub(crate) fn find(named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let variable = environment::path("SBF_REPO_CONFIG");
    if let Some(path) = named.map(Path::to_owned).or(variable) {
        if std::fs::metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            let why = format!("there is no configuration file {}", path.display());
            return Err(Failure::usage(why));
        }
        return Ok(Some(path));
    }
    // Where this user may not even look, as in the home of whoever called `su`, there is none of theirs;
    // one that is there and cannot be read is an error.
    Ok(places().into_iter().find(|path| std::fs::metadata(path).is_ok()))
}

/// Where a file is looked for that nobody names.
pub(crate) fn places() -> Vec<PathBuf> {
    let own = environment::configuration_directory().map(|folder| folder.join(FILE));
    own.into_iter().chain([Path::new("/etc/sbf-repo").join(FILE)]).collect()
}

/// Reads a file and finds what is wrong with it.
///
/// Errors: a file that cannot be read, or that others may change.
pub(crate) fn read(path: PathBuf) -> Result<Checked, Failure> {
    let failed = |source| {
        Failure::local("read", &path, source)
            .with_exit_of_usage()
            .with_hint("`--config FILE` or SBF_REPO_CONFIG name another configuration file")
    };
    let mut file = File::open(&path).map_err(failed)?;
    refuse_changeable(&path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if to_u64(bytes.len()) > FILE_BYTES_MAX {
        let why = format!("{} is too long to be a configuration file", path.display());
        return Err(Failure::usage(why));
    }
    let whole = std::path::absolute(&path).map_err(failed)?;
    let folder = whole.parent().unwrap_or(Path::new("/"));
    let decoded = match std::str::from_utf8(&bytes) {
        Ok(text) => Settings::decode(text, folder),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            Err(vec![Problem { line, what: "this is not UTF-8".to_owned() }])
        }
    };
    let (settings, problems) = match decoded {
        Ok(settings) => {
            let problems = misplaced(&settings);
            (settings, problems)
        }
        Err(problems) => (Settings::default(), problems),
    };
    Ok(Checked { path, settings, problems })
}

/// Refuses a file that others may change: it names commands.
fn refuse_changeable(path: &Path, found: &Metadata) -> Result<(), Failure> {
    let own = rustix::process::geteuid().as_raw();
    if found.is_file() && ![0, own].contains(&found.uid()) {
        let why = format!(
            "the configuration file {} belongs to user {}, who may change it, and it may name commands",
            path.display(),
            found.uid()
        );
        let hint = format!("run `chown {own} {}`", path.display());
        return Err(Failure::usage(why).with_hint(hint));
    }
    if found.is_file() && found.mode() & OTHERS_WRITE != 0 {
        let why = format!(
            "others may write to the configuration file {} (mode {:04o}), which may name commands",
            path.display(),
            found.mode() & 0o7777
        );
        let hint = format!("run `chmod go-w {}`", path.display());
        return Err(Failure::usage(why).with_hint(hint));
    }
    Ok(())
}

/// Refuses a file of a secret that others may read.
pub(crate) fn refuse_readable(path: &Path) -> Result<(), Failure> {
    match readable(path) {
        Some(why) => {
            Err(Failure::usage(why).with_hint(format!("run `chmod go= {}`", path.display())))
        }
        None => Ok(()),
    }
}

/// What is wrong with a file of a secret that is there, if others may read it.
pub(crate) fn readable(path: &Path) -> Option<String> {
    let found = std::fs::metadata(path).ok()?;
    (found.is_file() && found.mode() & OTHERS != 0).then(|| {
        format!(
            "others may read {} (mode {:04o}), which holds a secret",
            path.display(),
            found.mode() & 0o7777
        )
    })
}

/// Locations that name no place, and secrets that others may read.
fn misplaced(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let copies = &settings.copies;
    let urls = settings.repository.url.iter().chain(copies.iter().map(|copy| &copy.url));
    for At { value, line } in urls {
        if let Err(error) = value.parse::<Location>() {
            problems.push(Problem { line: *line, what: format!("`url`: {error}") });
        }
    }
    let secrets = copies.iter().filter_map(|copy| copy.secret.as_ref());
    let secrets = secrets.chain(settings.notify.secrets());
    for At { value, line } in settings.repository.secret.iter().chain(secrets) {
        let path = match value {
            Secret::KeyFile(path) | Secret::PasswordFile(path) => path,
            Secret::Command(_) | Secret::Credential(_) | Secret::Environment(_) => continue,
        };
        if let Some(what) = readable(path) {
            problems.push(Problem { line: *line, what });
        }
    }
    problems.extend(settings.jobs.iter().flat_map(of_job));
    let periods = settings.retention.iter().flat_map(|retention| &retention.periods);
    for (word, At { value, line }) in periods {
        if let Err(error) = value.parse::<Period>() {
            problems
                .push(Problem { line: *line, what: format!("`{word}` in [retention]: {error}") });
        }
    }
    problems.sort_by_key(|problem| problem.line);
    problems
}

/// What a job names that no snapshot could have.
fn of_job(job: &JobSection) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (name, At { value, line }) = (&job.name.value, &job.source);
    if !is_source_name(value) {
        let what = format!(
            "`source` in [job.{name}]: `{value}` is too long for the name of a source, or holds `@` or controls"
        );
        problems.push(Problem { line: *line, what });
    }
    let never = job.schedule.iter().filter(|at| at.value.next(Context::now()).is_none());
    for At { value, line } in never {
        let what =
            format!("`schedule` in [job.{name}]: `{value}` does not come again in the next years");
        problems.push(Problem { line: *line, what });
    }
    let words = [vec![OsString::from("sbf-repo")], snapshot_words(job)].concat();
    if let Err(error) = Arguments::try_parse_from(words) {
        let what = format!("[job.{name}] makes no snapshot: {}", first_line(&error.to_string()));
        problems.push(Problem { line: job.name.line, what });
    }
    let connection = job.connection.iter();
    for At { line, .. } in connection.filter(|connection| holds_password(&connection.value)) {
        let what = format!(
            "`dsn` in [job.{name}] holds a password, which everybody on this host could read: put it into ~/.pgpass, \
             and name a service of pg_service.conf"
        );
        problems.push(Problem { line: *line, what });
    }
    problems
}

const FILE: &str = "config.toml";
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Permissions to write that are not the owner's.
const OTHERS_WRITE: u32 = 0o022;
/// All permissions that are not the owner's.
const OTHERS: u32 = 0o077;
