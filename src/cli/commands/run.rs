//! `run`: a job of the configuration file, or a task of its maintenance.

use crate::cli::commands::status::Looked;
use crate::cli::commands::status::exit_of;
use crate::cli::commands::status::look_at;
use crate::cli::commands::status::runs;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::jobs::execute::Execution;
use crate::cli::jobs::execute::Outcome;
use crate::cli::jobs::memory;
use crate::cli::jobs::memory::Busy;
use crate::cli::jobs::memory::JOBS;
use crate::cli::jobs::memory::LastRun;
use crate::cli::jobs::memory::Running;
use crate::cli::jobs::memory::TASKS;
use crate::cli::jobs::plan::SinceCheck;
use crate::cli::jobs::plan::Step;
use crate::cli::jobs::plan::What;
use crate::cli::jobs::plan::steps_of_job;
use crate::cli::jobs::plan::steps_of_task;
use crate::cli::jobs::planned;
use crate::cli::jobs::planned::Ask;
use crate::cli::jobs::stated;
use crate::cli::jobs::told::Told;
use crate::cli::metrics;
use crate::cli::metrics::Metrics;
use crate::cli::stop::Stop;
use crate::cli::words;
use crate::notify::Delivery;
use crate::ops::status::StatusOptions;
use crate::repo::repository::Repository;
use crate::settings::Settings;
use crate::settings::job::JobSection;
use crate::settings::maintenance::Task;
use crate::settings::problem::meant;
use clap::Args;
use clap::ValueEnum;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Run a job of the configuration file, or a task of its maintenance
///
/// A job is: the hook `before`; the snapshot, with its guards; the hook `after`; then what `[maintenance]` gives no
/// time of its own: `forget` by `[retention]`, `prune`, each `[[copy]]`, and a `check` that reads the share of all packs
/// that is due by `[check]`; then the hooks `on_failure` and `always`. `--dry-run` shows the commands.
///
/// Without `before` there is no snapshot; without a snapshot nothing is forgotten, copied or checked. A task that
/// the key in use may not do is left to a host whose key may. The exit code is that of the first step that failed.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The job, as `[job.NAME]` calls it
    #[arg(value_name = "JOB", required_unless_present = "task")]
    job: Option<String>,
    /// Do a task of `[maintenance]`, for every source, and not a job
    #[arg(long, value_name = "TASK", conflicts_with = "job")]
    task: Option<TaskName>,
    /// Show the steps, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// A task, as the command line names it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskName {
    /// Forget what `[retention]` does not keep
    Forget,
    /// Free space
    Prune,
    /// Bring second copies up to date
    Copies,
    /// Read the share of all packs that is due
    Check,
    /// Look at the objectives, and tell of what was missed
    Status,
}

impl From<TaskName> for Task {
    fn from(name: TaskName) -> Self {
        match name {
            TaskName::Forget => Self::Forget,
            TaskName::Prune => Self::Prune,
            TaskName::Copies => Self::Copies,
            TaskName::Check => Self::Check,
            TaskName::Status => Self::Status,
        }
    }
}

/// What is run.
struct Chosen {
    folder: &'static str,
    name: String,
    steps: Vec<Step>,
}

impl Chosen {
    /// What people are told it is.
    fn subject(&self) -> String {
        match self.folder {
            TASKS => format!("maintenance:{}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &RunArguments) -> Result<Exit, Failure> {
    let settings = &context.configuration()?.settings;
    let place = context.place_word();
    let chosen = match (&arguments.job, arguments.task) {
        (_, Some(task)) => of_task(settings, task.into(), place.as_deref())?,
        (name, None) => of_job(settings, name.as_deref().unwrap_or_default(), place.as_deref())?,
    };
    if arguments.dry_run {
        return Ok(show(context, &chosen));
    }
    // What `before` began, `always` ends.
    Stop::heed_hang_up();
    let running = begin(context, &chosen, place.as_deref())?;
    let started = Context::now();
    let before = memory::last(place.as_deref(), chosen.folder, &chosen.name);
    let mut told = Told::begin(context, chosen.subject())?;
    let opened = record_plan(context);
    let mut execution = Execution::new(context, &chosen.name);
    execution.run(&chosen.steps);
    let exit = match context.stop.signal() {
        Some(signal) if execution.exit != Exit::Success => Exit::of_signal(signal),
        Some(_) | None => execution.exit,
    };
    let succeeded = (exit == Exit::Success).then(Context::now);
    let last = LastRun {
        started,
        ended: Context::now(),
        exit_code: exit.code(),
        snapshot: execution.snapshot.clone(),
        succeeded: succeeded.or(before.and_then(|before| before.succeeded)),
    };
    // What this host cannot remember fails no backup.
    let remembered = running.map_or(Ok(()), |running| running.end(&last));
    let remembered =
        remembered.and_then(|()| remember_check(&chosen, &execution, (started, place.as_deref())));
    if let Err(failure) = remembered {
        context.output.warn(&format!("this run is not remembered: {}", failure.summary()));
    }
    let stood = stand(context, &chosen, &mut told, |looked| {
        record_state(context, &execution, (opened, looked));
    });
    match &stood {
        Ok(_) => told.end(exit, execution.snapshot.as_deref(), execution.trouble.as_deref()),
        // Whoever cannot look must not say that all is well.
        Err(failure) => told.end(failure.exit, None, Some(&failure.summary())),
    }
    told.warn(context);
    let exit = stood?.unwrap_or(exit);
    Ok(tell(context, &chosen, &execution, (exit, &told.deliveries)))
}

/// What nobody can look at later fails no backup.
fn record_plan(context: &Context) -> Option<Repository> {
    let recorded = planned::record(context, Ask::Daily);
    if let Ok(Some(repository)) = &recorded {
        context.output.detail(format_args!("recorded the plan"));
        context.tell_traffic_of(repository);
    }
    recorded.unwrap_or_else(|failure| {
        context.output.warn(&format!("this plan is not recorded: {}", failure.summary()));
        None
    })
}

/// Records how things stand, of what was looked at or else by looking, if it is time for that.
fn record_state(
    context: &Context,
    execution: &Execution<'_>,
    (opened, looked): (Option<Repository>, Option<(&Repository, &Looked)>),
) {
    // What was looked at anyway costs nothing to compare.
    let is_due = looked.is_some() || stated::is_due(context, execution);
    if context.stop.signal().is_some() || !is_due {
        return;
    }
    let recorded = match looked {
        Some((repository, looked)) => stated::record(context, repository, looked),
        None => opened.map_or_else(|| context.open_quietly(), Ok).and_then(|repository| {
            let looked = look_at(context, &repository, &mut StatusOptions::new(), true)?;
            let recorded = stated::record(context, &repository, &looked);
            context.output.detail(format_args!("recorded how the repository stands"));
            context.tell_traffic_of(&repository);
            recorded
        }),
    };
    if let Err(failure) = recorded {
        let why = failure.summary();
        context.output.warn(&format!("how the repository stands is not recorded: {why}"));
    }
}

fn of_job(settings: &Settings, name: &str, place: Option<&str>) -> Result<Chosen, Failure> {
    let Some(job) = settings.job(name) else {
        let names: Vec<&str> = settings.jobs.iter().map(|job| job.name.value.as_str()).collect();
        let hint = match meant(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => {
                "`sbf-repo config example` shows how jobs are written down".to_owned()
            }
            None => format!("there are `{}`", names.join("`, `")),
        };
        let why = format!("the configuration file has no [job.{name}]");
        return Err(Failure::usage(why).with_hint(hint));
    };
    let steps = steps_of_job(settings, job, since_check(Some(job), place));
    Ok(Chosen { folder: JOBS, name: name.to_owned(), steps })
}

fn of_task(settings: &Settings, task: Task, place: Option<&str>) -> Result<Chosen, Failure> {
    if let Some(host) = &settings.maintenance.host
        && host.value != environment::host()
    {
        let why = format!(
            "[maintenance] is done by the host `{}`, and this is `{}`",
            host.value,
            environment::host()
        );
        return Err(Failure::usage(why));
    }
    let steps = steps_of_task(settings, task, None, since_check(None, place));
    let missing = match task {
        Task::Forget if settings.retention.is_none() => {
            Some("[retention], which says what is kept")
        }
        Task::Copies if settings.copies.is_empty() => Some("[[copy]]"),
        Task::Check if settings.check.as_ref().is_none_or(|check| check.max_age.is_none()) => {
            Some("[check], which says within how long everything is read")
        }
        Task::Forget | Task::Prune | Task::Copies | Task::Check | Task::Status => None,
    };
    match missing {
        Some(section) => Err(Failure::usage(format!("the configuration file has no {section}"))),
        None => Ok(Chosen { folder: TASKS, name: task.word().to_owned(), steps }),
    }
}

/// How long ago this host read a share of all packs.
fn since_check(job: Option<&JobSection>, place: Option<&str>) -> SinceCheck {
    let now = Context::now();
    let last = memory::last(place, TASKS, Task::Check.word()).and_then(|last| last.succeeded);
    // A clock that was ahead remembers what is still to come.
    let last = last.filter(|last| *last <= now);
    let pause = || job?.schedule.as_ref()?.value.interval_seconds(now);
    let seconds = match last {
        Some(last) => now.saturating_sub(last),
        None => pause().unwrap_or(DAY_SECONDS),
    };
    SinceCheck { elapsed: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()) }
}

/// The lock of the job; without a place for it the run goes on, and says so.
fn begin(
    context: &Context,
    chosen: &Chosen,
    place: Option<&str>,
) -> Result<Option<Running>, Failure> {
    match Running::begin(place, chosen.folder, &chosen.name) {
        Ok(running) => Ok(Some(running)),
        Err(Busy::Failed(failure)) => {
            let why = failure.summary();
            context.output.warn(&format!("nothing keeps another run of this job apart: {why}"));
            Ok(None)
        }
        Err(Busy::Other) => {
            let why = format!("another process runs `{}`", chosen.name);
            Err(Failure::refused(why).with_hint(
                "it goes on; a run that takes longer than the time to the next needs another schedule",
            ))
        }
    }
}

/// Remembers, for the next share, that a check after a job read one.
fn remember_check(
    chosen: &Chosen,
    execution: &Execution<'_>,
    (now, place): (i64, Option<&str>),
) -> Result<(), Failure> {
    let is_done = execution.reports.iter().any(|report| {
        let is_check = report.step == Task::Check.word();
        is_check && matches!(report.outcome, Outcome::Done | Outcome::Incomplete)
    });
    if !is_done || chosen.folder == TASKS {
        return Ok(());
    }
    // Whoever runs the task at this moment remembers it, too.
    let Ok(running) = Running::begin(place, TASKS, Task::Check.word()) else { return Ok(()) };
    running.end(&LastRun { started: now, ended: now, succeeded: Some(now), ..LastRun::default() })
}

/// Looks at how things stand, from the repository and not from how this run went, where somebody wants to know.
///
/// `record` is given what was seen, in any case.
fn stand(
    context: &Context,
    chosen: &Chosen,
    told: &mut Told,
    record: impl FnOnce(Option<(&Repository, &Looked)>),
) -> Result<Option<Exit>, Failure> {
    let settings = &context.configuration()?.settings;
    let is_asked = chosen.folder == TASKS && chosen.name == Task::Status.word();
    let file = settings.metrics.textfile.as_ref();
    if !is_asked && file.is_none() {
        record(None);
        return Ok(None);
    }
    let looked = context.open().and_then(|repository| {
        let looked = look_at(context, &repository, &mut StatusOptions::new(), true)?;
        record(Some((&repository, &looked)));
        Ok(looked)
    });
    if let Some(file) = file {
        let text = match &looked {
            Ok(looked) => looked.metrics().text(),
            Err(failure) => {
                let why = format!("the metrics lack the repository: {}", failure.summary());
                context.output.warn(&why);
                let (copies, runs) = (BTreeMap::new(), runs(context, settings));
                let now = Context::now();
                Metrics { status: None, copies: &copies, runs: &runs, waiting: 0, now }.text()
            }
        };
        if let Err(failure) = metrics::write(&file.value, &text) {
            // What was backed up is backed up.
            context.output.warn(&failure.summary());
        }
    }
    if !is_asked {
        return Ok(None);
    }
    let looked = looked?;
    told.stand(&looked.status);
    for missed in &looked.status.missed {
        context.output.warn(&missed.words);
    }
    context.output.warn_of(&looked.status.findings);
    Ok(Some(exit_of(&looked.status)))
}

fn show(context: &Context, chosen: &Chosen) -> Exit {
    let mut steps = Vec::new();
    for step in &chosen.steps {
        let command: Vec<String> = match &step.what {
            What::Hook { argv, .. } => argv.clone(),
            What::Snapshot(words) | What::Task(_, words) => {
                let words = words.iter().map(|word| word.to_string_lossy().into_owned());
                std::iter::once("sbf-repo".to_owned()).chain(words).collect()
            }
        };
        context.output.line(format_args!("{}: {}", step.name, words::shell_words(&command)));
        steps.push(json!({ "step": step.name, "command": command }));
    }
    context.output.note(format_args!("nothing was done"));
    context
        .output
        .finish(&json!({ "name": chosen.name, "steps": steps, "dry_run": true }), Exit::Success)
}

fn tell(
    context: &Context,
    chosen: &Chosen,
    execution: &Execution<'_>,
    (exit, deliveries): (Exit, &[Delivery]),
) -> Exit {
    let is = |outcome| {
        execution
            .reports
            .iter()
            .filter(|report| report.outcome == outcome)
            .map(|report| report.step.as_str())
            .collect::<Vec<_>>()
    };
    let (not_allowed, left_out) = (is(Outcome::NotAllowed), is(Outcome::LeftOut));
    if !not_allowed.is_empty() {
        context.output.detail(format_args!(
            "the key may not do, and leaves to others: {}",
            not_allowed.join(", ")
        ));
    }
    let left_out: Vec<&str> =
        left_out.into_iter().filter(|step| !step.starts_with("hook")).collect();
    if !left_out.is_empty() {
        context
            .output
            .warn(&format!("not done, as an earlier step failed: {}", left_out.join(", ")));
    }
    let time = words::duration(context.elapsed());
    match &execution.trouble {
        None => context.output.note(format_args!("{} done in {time}", chosen.name)),
        Some(trouble) => {
            context.output.error(&format!("{} failed after {time}: {trouble}", chosen.name));
        }
    }
    let report = json!({
        "name": chosen.name,
        "snapshot": execution.snapshot,
        "steps": execution.reports,
        "trouble": execution.trouble,
        "notifications": deliveries,
        "dry_run": false,
    });
    context.output.finish(&report, exit)
}

const DAY_SECONDS: i64 = 86_400;
