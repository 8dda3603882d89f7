//! What a host runs by itself, and when: from the configuration file into units of systemd or lines of cron.

pub(crate) mod crontab;
pub(crate) mod systemd;

use crate::calendar::Calendar;
use crate::settings::Settings;
use crate::settings::job::JobSection;
use crate::settings::maintenance::Task;

/// Something that has a time.
#[derive(Debug, Clone)]
pub(crate) struct Timed<'a> {
    /// The job's or the task's name.
    pub(crate) name: &'a str,
    /// What is run; `None` if it is a task.
    pub(crate) job: Option<&'a JobSection>,
    pub(crate) calendar: &'a Calendar,
    /// The host that does it, if one is named.
    pub(crate) host: Option<&'a str>,
}

impl Timed<'_> {
    /// The words behind the program's name and its options.
    pub(crate) fn words(&self) -> [String; 2] {
        match self.job {
            Some(_) => ["run".to_owned(), self.name.to_owned()],
            None => ["run".to_owned(), format!("--task={}", self.name)],
        }
    }

    /// The name of its units, and of nothing else.
    pub(crate) fn unit(&self) -> String {
        match self.job {
            Some(_) => format!("sbf-repo-job-{}", self.name),
            None => format!("sbf-repo-task-{}", self.name),
        }
    }

    /// Whether it is this host that does it.
    pub(crate) fn is_of(&self, host: &str) -> bool {
        self.host.is_none_or(|named| named == host)
    }
}

/// Everything that has a time, jobs first.
pub(crate) fn timed(settings: &Settings) -> Vec<Timed<'_>> {
    let jobs = settings.jobs.iter().filter_map(|job| {
        let calendar = &job.schedule.as_ref()?.value;
        Some(Timed { name: &job.name.value, job: Some(job), calendar, host: None })
    });
    let host = settings.maintenance.host.as_ref().map(|at| at.value.as_str());
    let tasks = Task::ALL.into_iter().filter_map(|task| {
        let calendar = &settings.maintenance.schedule(task)?.value;
        Some(Timed { name: task.word(), job: None, calendar, host })
    });
    jobs.chain(tasks).collect()
}
