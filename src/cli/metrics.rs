//! How things stand, in the text format of Prometheus.
//! Source: the exposition format 0.0.4; timestamps rather than ages, in seconds since 1970.

use crate::cli::failure::Failure;
use crate::cli::jobs::memory::LastRun;
use crate::cli::objectives::CopyStatus;
use crate::ops::status::Missed;
use crate::ops::status::Status;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What is told.
#[derive(Debug)]
pub(crate) struct Metrics<'a> {
    /// How the repository stands; `None` if it cannot be read.
    pub(crate) status: Option<&'a Status>,
    pub(crate) copies: &'a BTreeMap<String, CopyStatus>,
    /// The last runs of jobs on this host, by name.
    pub(crate) runs: &'a BTreeMap<String, LastRun>,
    /// Notifications that could not be sent yet.
    pub(crate) waiting: u64,
    /// Now, in seconds since 1970.
    pub(crate) now: i64,
}

impl Metrics<'_> {
    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        let is_up = u8::from(self.status.is_some());
        text.family(
            "repository_readable",
            "Whether the repository could be read.",
            [(&[][..], is_up)],
        );
        text.family("metrics_timestamp_seconds", "When this was written.", [(&[][..], self.now)]);
        if let Some(status) = self.status {
            add_sources(&mut text, status);
            add_jobs(&mut text, status);
            add_coverage(&mut text, status);
        }
        let help = "Notifications that could not be sent yet.";
        text.family("notifications_waiting", help, [(&[][..], self.waiting)]);
        add_copies(&mut text, self.copies);
        add_runs(&mut text, self.runs);
        text.0
    }
}

fn add_sources(text: &mut Text, status: &Status) {
    let each = |value: fn(&crate::ops::status::SourceStatus) -> Option<i64>| {
        let sources = status.sources.iter();
        sources
            .filter_map(move |(name, source)| Some(([("source", name.as_str())], value(source)?)))
    };
    let time = |source: &crate::ops::status::SourceStatus| seconds(source.time.as_deref()?);
    text.family(
        "snapshot_timestamp_seconds",
        "The time of the data of the newest complete snapshot.",
        each(time),
    );
    text.family(
        "snapshots",
        "Snapshots that count.",
        each(|source| i64::try_from(source.snapshots).ok()),
    );
    text.family(
        "snapshots_incomplete",
        "Snapshots newer than the newest complete one, which lack something.",
        each(|source| i64::try_from(source.newer_incomplete).ok()),
    );
}

fn add_jobs(text: &mut Text, status: &Status) {
    let jobs = || status.jobs.iter().map(|(name, job)| ([("job", name.as_str())], job));
    text.family(
        "job_age_max_seconds",
        "How old the newest snapshot of a job may be.",
        jobs().filter_map(|(labels, job)| Some((labels, job.age_max_seconds?))),
    );
    text.family(
        "job_next_run_timestamp_seconds",
        "When a job runs next, by its schedule.",
        jobs().filter_map(|(labels, job)| Some((labels, seconds(job.next_run.as_deref()?)?))),
    );
    text.family(
        "job_missed_runs",
        "Runs that should have made a snapshot since the newest one.",
        jobs().map(|(labels, job)| (labels, job.missed_runs)),
    );
    let missed = status.missed.iter().map(|Missed { subject, code, .. }| {
        ([("subject", subject.as_deref().unwrap_or_default()), ("objective", *code)], 1)
    });
    text.family("objective_missed", "What was expected and is not so.", missed);
}

fn add_coverage(text: &mut Text, status: &Status) {
    let Some(coverage) = &status.coverage else { return };
    let bytes = [("stored", coverage.bytes), ("read", coverage.covered_bytes)];
    let bytes = bytes.map(|(kind, bytes)| ([("kind", kind)], bytes));
    text.family("data_bytes", "Stored bytes, and those that were read in full by a check.", bytes);
    let oldest = coverage.oldest.as_deref().and_then(seconds);
    text.family(
        "data_read_oldest_timestamp_seconds",
        "When the data was read in full that was not for longest.",
        oldest.map(|oldest| (&[][..], oldest)),
    );
}

fn add_copies(text: &mut Text, copies: &BTreeMap<String, CopyStatus>) {
    let each = || copies.iter().map(|(name, copy)| ([("copy", name.as_str())], copy));
    text.family(
        "copy_behind_seconds",
        "How far a copy is behind.",
        each().filter_map(|(labels, copy)| Some((labels, copy.behind_seconds?))),
    );
    text.family(
        "copy_readable",
        "Whether a copy could be looked at.",
        each().map(|(labels, copy)| (labels, u8::from(copy.error.is_none()))),
    );
}

fn add_runs(text: &mut Text, runs: &BTreeMap<String, LastRun>) {
    let each = |value: fn(&LastRun) -> Option<i64>| {
        runs.iter().filter_map(move |(name, run)| Some(([("job", name.as_str())], value(run)?)))
    };
    text.family(
        "run_started_timestamp_seconds",
        "When the last run on this host began.",
        each(|run| Some(run.started)),
    );
    text.family("run_ended_timestamp_seconds", "When it ended.", each(|run| Some(run.ended)));
    text.family("run_exit_code", "Its exit code.", each(|run| Some(run.exit_code.into())));
    text.family(
        "run_succeeded_timestamp_seconds",
        "When a run on this host last ended with code 0.",
        each(|run| run.succeeded),
    );
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family<'l, L: AsRef<[(&'l str, &'l str)]>, V: std::fmt::Display>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        let mut is_begun = false;
        for (labels, value) in values {
            // Writing into a string does not fail.
            if !is_begun {
                let _ignored =
                    writeln!(self.0, "# HELP sbf_repo_{name} {help}\n# TYPE sbf_repo_{name} gauge");
                is_begun = true;
            }
            let labels: Vec<String> = labels
                .as_ref()
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
                .collect();
            let labels = match labels.as_slice() {
                [] => String::new(),
                some => format!("{{{}}}", some.join(",")),
            };
            let _ignored = writeln!(self.0, "sbf_repo_{name}{labels} {value}");
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn seconds(time: &str) -> Option<i64> {
    Some(time.parse::<jiff::Timestamp>().ok()?.as_second())
}

/// Replaces the file of the textfile collector, which reads it at any moment and as any user.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let staged = path.with_extension("prom.new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(&staged)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&staged, path)
    };
    write().map_err(|source| Failure::local("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_labels_are_escaped_and_nothing_makes_no_family() {
        let mut text = Text::default();
        text.family("snapshots", "Snapshots.", [([("source", "a\"b\\c\nd")], 3)]);
        text.family("nothing", "Nothing.", std::iter::empty::<([(&str, &str); 0], u8)>());
        let expected = "# HELP sbf_repo_snapshots Snapshots.\n# TYPE sbf_repo_snapshots gauge\n\
             sbf_repo_snapshots{source=\"a\\\"b\\\\c\\nd\"} 3\n";
        assert_eq!(text.0, expected);
    }
}
