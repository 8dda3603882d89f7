//! `[maintenance]`, `[check]` and `[metrics]`: what is done beside backups, when, and where it is told.

use crate::calendar::Calendar;
use crate::settings::At;
use crate::settings::quantities;
use crate::settings::section::Section;
use std::path::PathBuf;
use std::time::Duration;

/// Something that is done beside backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Snapshots that no policy keeps are forgotten.
    Forget,
    /// Space is freed.
    Prune,
    /// Stored data is read in full.
    Check,
    /// Second copies are brought up to date.
    Copies,
    /// Objectives are looked at, and what was missed is told.
    Status,
}

impl Task {
    /// All, in the order in which a run does them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Forget, Self::Prune, Self::Copies, Self::Check, Self::Status];

    /// As the file and the command line say it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Check => "check",
            Self::Copies => "copies",
            Self::Status => "status",
        }
    }
}

/// The section `[maintenance]`: tasks with a schedule of their own, which runs of jobs then leave alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MaintenanceSection {
    /// The host that does them; others leave them alone.
    pub(crate) host: Option<At<String>>,
    /// When.
    pub(crate) schedules: Vec<(Task, At<Calendar>)>,
    /// How old a key that signs may become: `controls` looks at it.
    pub(crate) key_age_max: Option<At<Duration>>,
}

impl MaintenanceSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("maintenance") else { return Self::default() };
        let host = section.text("host");
        let mut schedules = Vec::new();
        for task in Task::ALL {
            schedules.extend(section.parsed(task.word(), str::parse).map(|at| (task, at)));
        }
        let key_age_max = section.parsed("max_key_age", days);
        section.finish();
        Self { host, schedules, key_age_max }
    }

    /// When a task is done, if it has a schedule.
    pub(crate) fn schedule(&self, task: Task) -> Option<&At<Calendar>> {
        self.schedules.iter().find(|(known, _)| *known == task).map(|(_, at)| at)
    }
}

/// The section `[check]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckSection {
    /// Within how long everything is read in full; `None` if nothing is.
    pub(crate) max_age: Option<At<Duration>>,
}

impl CheckSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Option<Self> {
        let mut section = file.section("check")?;
        let max_age = section.parsed("max_age", days);
        let read_data = section.choice("read_data", &[("all", true), ("off", false)]);
        let is_off = read_data.is_some_and(|at| !at.value);
        if is_off && let Some(At { line, .. }) = &max_age {
            section.refuse_key(*line, "max_age", "nothing is read, says `read_data`");
        }
        section.finish();
        let usual = At { value: USUAL_AGE, line: 0 };
        Some(Self { max_age: if is_off { None } else { Some(max_age.unwrap_or(usual)) } })
    }
}

/// The section `[metrics]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MetricsSection {
    /// The file for Prometheus' textfile collector.
    pub(crate) textfile: Option<At<PathBuf>>,
}

impl MetricsSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("metrics") else { return Self::default() };
        let textfile = section.path("textfile");
        if let Some(At { value, line }) = &textfile
            && value.extension().is_none_or(|kind| kind != "prom")
        {
            let why = "the collector reads files whose names end with `.prom`";
            section.refuse_key(*line, "textfile", why);
        }
        section.finish();
        Self { textfile }
    }
}

fn days(text: &str) -> Result<Duration, String> {
    let found = quantities::duration(text)?;
    if found < DAY {
        return Err("it is less than a day".to_owned());
    }
    Ok(found)
}

const DAY: Duration = Duration::from_hours(24);
/// A month, and some days for a run that failed.
const USUAL_AGE: Duration = Duration::from_hours(35 * 24);
