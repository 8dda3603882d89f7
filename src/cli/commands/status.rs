//! `status`: is there a good backup, did what should run, and was it looked at?

use crate::cli::commands::check::tell_coverage;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::jobs::memory;
use crate::cli::jobs::memory::JOBS;
use crate::cli::jobs::memory::LastRun;
use crate::cli::metrics::Metrics;
use crate::cli::notify;
use crate::cli::objectives;
use crate::cli::objectives::CopyStatus;
use crate::cli::output::Form;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::notify::Waiting;
use crate::ops::status::SourceStatus;
use crate::ops::status::Status;
use crate::ops::status::StatusOptions;
use crate::ops::status::status;
use crate::repo::repository::Repository;
use crate::settings::Settings;
use crate::settings::quantities;
use crate::units::to_u64;
use clap::Args;
use clap::ValueEnum;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Say how old the newest good snapshots are, what should have run and did not, and how much was read in full
///
/// What the configuration file says of jobs, `[retention]`, `[check]` and copies is expected, and what the options say.
/// It ends with 6 where something is missed, and with 5 where something is damaged.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Only this source, which must have a snapshot; may be repeated
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Miss it if the newest complete snapshot of a source has data that is older, as `26h` or `2d`
    #[arg(long, value_name = "AGE", value_parser = quantities::duration)]
    expect_newer_than: Option<Duration>,
    /// Miss it if a pack was not read in full within so many days
    #[arg(long, value_name = "DAYS")]
    expect_read_within: Option<u64>,
    /// Do not look at the copies of the configuration file
    #[arg(long)]
    no_copies: bool,
    /// In what form: `text`; `prometheus`; or `nagios`, one line, with the exit code 0, 1, 2 or 3 of its plugins:
    /// fine, incomplete or unread, missed or damaged, not known
    #[arg(long, value_name = "FORM", default_value = "text", conflicts_with = "json")]
    format: StatusForm,
}

/// In what form it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusForm {
    Text,
    Nagios,
    Prometheus,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) status: Status,
    pub(crate) copies: BTreeMap<String, CopyStatus>,
    pub(crate) runs: BTreeMap<String, LastRun>,
    /// Notifications that could not be sent yet.
    pub(crate) waiting: Option<Waiting>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: StatusArguments) -> Result<Exit, Failure> {
    let form = arguments.format;
    let mut options = StatusOptions::new();
    options.sources = arguments.source;
    options.age_max = arguments.expect_newer_than;
    options.coverage_days_max = arguments.expect_read_within;
    match (form, look(context, options, !arguments.no_copies)) {
        (StatusForm::Text, Ok(looked)) => Ok(tell(context, &looked)),
        (StatusForm::Nagios, looked) => Ok(tell_nagios(context, looked.as_ref())),
        (StatusForm::Prometheus, Ok(looked)) => {
            context.output.text(&looked.metrics().text());
            Ok(exit_of(&looked.status))
        }
        (StatusForm::Text | StatusForm::Prometheus, Err(failure)) => Err(failure),
    }
}

/// Looks at the repository, and at its copies.
pub(crate) fn look(
    context: &Context,
    mut options: StatusOptions,
    with_copies: bool,
) -> Result<Looked, Failure> {
    let repository = context.open()?;
    look_at(context, &repository, &mut options, with_copies)
}

/// The same of a repository that is open.
pub(crate) fn look_at(
    context: &Context,
    repository: &Repository,
    options: &mut StatusOptions,
    with_copies: bool,
) -> Result<Looked, Failure> {
    let settings = &context.configuration()?.settings;
    objectives::expect(settings, options);
    let mut found = status(repository, options)?;
    let copies = if with_copies {
        objectives::copies(context, repository, &mut found)?
    } else {
        BTreeMap::new()
    };
    objectives::drills(settings, repository, &mut found)?;
    let waiting = notify::notifier(context)?.waiting();
    Ok(Looked { status: found, copies, runs: runs(context, settings), waiting })
}

/// The last run of each job on this host.
pub(crate) fn runs(context: &Context, settings: &Settings) -> BTreeMap<String, LastRun> {
    let place = context.place_word();
    let names = settings.jobs.iter().map(|job| &job.name.value);
    names
        .filter_map(|name| Some((name.clone(), memory::last(place.as_deref(), JOBS, name)?)))
        .collect()
}

impl Looked {
    /// The same for Prometheus.
    pub(crate) fn metrics(&self) -> Metrics<'_> {
        let Self { status, copies, runs, waiting } = self;
        let waiting = waiting.as_ref().map_or(0, |waiting| waiting.count);
        Metrics { status: Some(status), copies, runs, waiting, now: Context::now() }
    }
}

pub(crate) fn exit_of(status: &Status) -> Exit {
    match (status.findings.is_empty(), status.missed.is_empty()) {
        (false, _) => Exit::Damage,
        (true, false) => Exit::Missed,
        (true, true) => Exit::Success,
    }
}

fn tell(context: &Context, looked: &Looked) -> Exit {
    let found = &looked.status;
    if context.output.form() == Form::Words {
        tell_words(context, looked);
    }
    for missed in &found.missed {
        context.output.warn(&missed.words);
    }
    context.output.warn_of(&found.findings);
    if let Some(waiting) = &looked.waiting {
        context.output.warn(&notify::waiting_words(waiting));
    }
    let report = json!({
        "status": found,
        "copies": looked.copies,
        "runs": looked.runs,
        "waiting": looked.waiting,
    });
    context.output.finish(&report, exit_of(found))
}

fn tell_words(context: &Context, looked: &Looked) {
    let found = &looked.status;
    let mut table =
        Table::new(&["SOURCE", "NEWEST", "TIME", "AGE", "SNAPSHOTS", "NEXT RUN", "NOTES"]);
    for (name, source) in &found.sources {
        table.push(cells(context, looked, name, source));
    }
    if found.sources.is_empty() {
        context.output.line(format_args!("there is no snapshot"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    for (name, copy) in &looked.copies {
        let behind = copy.behind_seconds.map(Duration::from_secs).map(words::duration);
        let words = match (&copy.error, behind) {
            (Some(error), _) => error.clone(),
            (None, Some(behind)) => format!("{behind} behind"),
            (None, None) => "it lacks a source, or was never complete".to_owned(),
        };
        context.output.line(format_args!("copy {name}: {words}"));
    }
    if let Some(coverage) = &found.coverage {
        tell_coverage(context, coverage);
    }
    if found.open_sessions > 0 {
        let runs = words::count(found.open_sessions, "run");
        context.output.note(format_args!("{runs} did not end yet: `sbf-repo session list`"));
    }
    if found.holds_over > 0 {
        let holds = words::count(found.holds_over, "hold");
        context.output.note(format_args!(
            "the time of {holds} is over, and the snapshots are held until a release: `sbf-repo hold --list`"
        ));
    }
}

fn cells(context: &Context, looked: &Looked, name: &str, source: &SourceStatus) -> Vec<String> {
    let none = || "-".to_owned();
    let age = source.age_seconds.map(|seconds| words::duration(Duration::from_secs(seconds)));
    let job = looked.status.jobs.iter().find(|(_, job)| job.source == name);
    let mut notes = Vec::new();
    if source.newer_incomplete > 0 {
        let newer = words::count(source.newer_incomplete, "newer snapshot");
        notes.push(format!("{newer} lacks something"));
    }
    if let Some((name, run)) = job.and_then(|(name, _)| looked.runs.get_key_value(name))
        && run.exit_code != 0
    {
        notes.push(format!("the last run of {name} here ended with {}", run.exit_code));
    }
    vec![
        name.to_owned(),
        source.newest.as_ref().map_or_else(none, |id| context.id(id)),
        source.time.as_deref().map_or_else(none, short_time),
        age.unwrap_or_else(none),
        source.snapshots.to_string(),
        job.and_then(|(_, job)| job.next_run.as_deref()).map_or_else(none, short_time),
        notes.join("; "),
    ]
}

/// One line, and what plugins of Nagios end with.
fn tell_nagios(context: &Context, looked: Result<&Looked, &Failure>) -> Exit {
    let ok = (Exit::Success, "OK");
    let (warning, critical) = ((Exit::Failure, "WARNING"), (Exit::Usage, "CRITICAL"));
    let unknown = (Exit::Incomplete, "UNKNOWN");
    let ((state, name), words) = match looked {
        Err(failure) => (unknown, failure.summary()),
        Ok(Looked { status, .. }) => {
            let missed = status.missed.iter().map(|missed| missed.words.as_str());
            let found: Vec<&str> = status
                .findings
                .iter()
                .map(|finding| finding.effect.as_str())
                .chain(missed)
                .collect();
            let is_only_unread = status.findings.is_empty()
                && status.missed.iter().all(|missed| missed.code == "coverage");
            let incomplete = status.sources.values().filter(|source| source.newer_incomplete > 0);
            match (found.is_empty(), is_only_unread, incomplete.count()) {
                (true, _, 0) => {
                    let sources = words::count(to_u64(status.sources.len()), "source");
                    (ok, format!("{sources} as expected"))
                }
                (true, _, _) => (warning, "a newer snapshot lacks something".to_owned()),
                (false, true, _) => (warning, found.join("; ")),
                (false, false, _) => (critical, found.join("; ")),
            }
        }
    };
    let age = looked.ok().and_then(|looked| {
        looked.status.sources.values().filter_map(|source| source.age_seconds).max()
    });
    let data = age.map(|age| format!(" | oldest_age={age}s")).unwrap_or_default();
    let line = words.replace(['\n', '|'], " ");
    context.output.line(format_args!("SBF-REPO {name} - {line}{data}"));
    state
}
