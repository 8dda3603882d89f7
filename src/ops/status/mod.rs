//! `status`: how old the newest good snapshots are, and how much was read in full.

pub(crate) mod expect;
pub(crate) mod slots;

pub use crate::ops::status::expect::JobStatus;
pub use crate::ops::status::expect::Missed;

use crate::ops::check::coverage::CoverageReport;
use crate::ops::check::coverage::coverage_of;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::SnapshotRow;
use crate::ops::look::snapshots;
use crate::ops::status::expect::Expectation;
use crate::ops::status::expect::job_status;
use crate::ops::status::expect::missed_of;
use crate::ops::status::expect::started_of;
use crate::repo::error::RepoError;
use crate::repo::open_sessions::Roster;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use crate::units::to_u64;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a repository is expected to have.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StatusOptions {
    /// Sources that must have a snapshot; without any, all that have one are looked at.
    pub sources: Vec<String>,
    /// How old the data of the newest complete snapshot of each may be.
    pub age_max: Option<Duration>,
    /// Within how many days every pack must have been read in full.
    pub coverage_days_max: Option<u64>,
    /// Within how long checks that read a share at a time come round.
    pub(crate) round_max: Option<Duration>,
    /// What is expected of jobs.
    pub(crate) jobs: Vec<Expectation>,
}

impl StatusOptions {
    /// Nothing is expected.
    pub fn new() -> Self {
        Self::default()
    }
}

/// How a repository stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// By name.
    pub sources: BTreeMap<String, SourceStatus>,
    /// Jobs of the configuration file, by name.
    pub jobs: BTreeMap<String, JobStatus>,
    /// How much was read in full by checks; `None` if the role in use has not the keys to know.
    pub coverage: Option<CoverageReport>,
    /// Runs that have not ended, or of which that is not known.
    pub open_sessions: u64,
    /// Holds of snapshots.
    pub holds: u64,
    /// Those of them whose time is over: they hold until they are released.
    pub holds_over: u64,
    /// Bytes of the files of all snapshots that were looked at.
    #[serde(skip)]
    pub source_bytes: u64,
    /// What was expected and is not so.
    pub missed: Vec<Missed>,
    /// What cannot be read; it may hide snapshots.
    pub findings: Vec<Finding>,
}

/// How a source stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SourceStatus {
    /// Snapshots that count.
    pub snapshots: u64,
    /// The newest that left nothing out.
    pub newest: Option<String>,
    /// The time of its data, RFC 3339 in UTC.
    pub time: Option<String>,
    /// How long ago that was, in seconds.
    pub age_seconds: Option<u64>,
    /// Snapshots with newer data that lack something.
    pub newer_incomplete: u64,
}

/// Says how a repository stands.
///
/// Errors: [`OpError::Repo`] if what is valid cannot be read.
pub fn status(repository: &Repository, options: &StatusOptions) -> Result<Status, OpError> {
    let list = snapshots(repository, &SnapshotFilter::new())?;
    let mut status = Status { findings: list.findings, ..Status::default() };
    let expected = options.jobs.iter().map(|job| &job.source);
    for source in options.sources.iter().chain(expected) {
        status.sources.entry(source.clone()).or_default();
    }
    let now = repository.environment.now().0;
    for row in &list.rows {
        if !options.sources.is_empty() && !options.sources.contains(&row.source) {
            continue;
        }
        status.holds += to_u64(row.holds.len());
        status.holds_over += to_u64(row.holds.iter().filter(|hold| hold.is_over).count());
        let manifest = row.manifest.as_ref();
        let bytes = manifest.map_or(0, |manifest| manifest.predicate.totals.bytes);
        status.source_bytes = status.source_bytes.saturating_add(bytes);
        add(status.sources.entry(row.source.clone()).or_default(), row, now);
    }
    status.coverage = coverage(repository)?;
    let roster = Roster::load(repository).during("cannot list the sessions")?;
    status.open_sessions = to_u64(roster.open().count());
    for job in &options.jobs {
        let rows: Vec<&SnapshotRow> =
            list.rows.iter().filter(|row| row.source == job.source).collect();
        status.jobs.insert(job.job.clone(), job_status(job, &rows, now));
    }
    status.missed = missed(&status, options);
    let oldest = list.rows.iter().filter_map(started_of).min();
    status.missed.extend(round_missed(&status, options, oldest.map(|oldest| now - oldest)));
    Ok(status)
}

/// Adds a snapshot; the rows come oldest data first.
fn add(source: &mut SourceStatus, row: &SnapshotRow, now: i64) {
    source.snapshots += 1;
    let Some(manifest) = &row.manifest else { return };
    if manifest.predicate.incomplete {
        source.newer_incomplete += 1;
        return;
    }
    let (seconds, _nanoseconds) = row.data_time();
    source.newest = Some(row.snapshot.to_string());
    source.time = Some(manifest.predicate.times.data.clone());
    source.age_seconds = Some(u64::try_from(now.saturating_sub(seconds)).unwrap_or(0));
    source.newer_incomplete = 0;
}

fn coverage(repository: &Repository) -> Result<Option<CoverageReport>, OpError> {
    match load_valid(repository) {
        Ok((history, loaded)) => {
            let coverage = coverage_of(repository, &loaded.index, &history.removed);
            coverage.map(Some).during("cannot read earlier checks")
        }
        Err(RepoError::RoleLacks { .. }) => Ok(None),
        Err(error) => Err(error).during("cannot read what is valid"),
    }
}

fn missed(status: &Status, options: &StatusOptions) -> Vec<Missed> {
    let mut missed = Vec::new();
    if options.age_max.is_some() && status.sources.is_empty() {
        missed.push(Missed::new(None, "age", "there is no snapshot".to_owned()));
    }
    for (name, source) in &status.sources {
        let job = options.jobs.iter().find(|job| job.source == *name);
        let subject = job.map_or(name, |job| &job.job);
        let age_max = options.age_max.or(job.and_then(|job| job.age_max));
        let is_expected = age_max.is_some() || job.is_some() || options.sources.contains(name);
        let words = match (source.age_seconds, age_max) {
            (None, _) if is_expected => format!("{subject} has no complete snapshot"),
            (Some(age), Some(most)) if Duration::from_secs(age) > most => {
                format!("the newest complete snapshot of {subject} is too old")
            }
            (None | Some(_), _) => continue,
        };
        missed.push(Missed::new(Some(subject), "age", words));
    }
    for (job, status) in &status.jobs {
        missed.extend(missed_of(job, status));
    }
    let coverage = coverage_missed(status, options);
    missed.extend(coverage.map(|words| Missed::new(None, "coverage", words.to_owned())));
    missed
}

fn coverage_missed(status: &Status, options: &StatusOptions) -> Option<&'static str> {
    let most = options.coverage_days_max?;
    match &status.coverage {
        None => Some("the role in use cannot tell what was read in full"),
        Some(CoverageReport { packs, covered_packs, .. }) if packs > covered_packs => {
            Some("not every pack was read in full yet")
        }
        Some(CoverageReport { days, .. }) if days.is_some_and(|days| days > most) => {
            Some("the last time that every pack was read is too long ago")
        }
        Some(_) => None,
    }
}

/// What is missed of checks that read a share at a time: what is new was not read yet.
fn round_missed(
    status: &Status,
    options: &StatusOptions,
    age_seconds: Option<i64>,
) -> Option<Missed> {
    let most = options.round_max?;
    let CoverageReport { bytes, covered_bytes, days, .. } = status.coverage.as_ref()?;
    let days_max = most.as_secs() / DAY_SECONDS;
    let words = if days.is_some_and(|days| days > days_max) {
        format!("some data was not read in full for more than {days_max} days")
    } else {
        let is_old = age_seconds
            .and_then(|age| u64::try_from(age).ok())
            .is_some_and(|age| age > most.as_secs());
        let unread = bytes.saturating_sub(*covered_bytes);
        if !is_old || unread.saturating_mul(5) <= *bytes {
            return None;
        }
        "more than a fifth of the data was never read in full".to_owned()
    };
    Some(Missed::new(None, "coverage", words))
}

const DAY_SECONDS: u64 = 86_400;
