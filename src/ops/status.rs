//! `status`: how old the newest good snapshots are, and how much was read in full.

use crate::ops::check::coverage::CoverageReport;
use crate::ops::check::coverage::coverage_of;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::SnapshotRow;
use crate::ops::look::snapshots;
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
    /// How much was read in full by checks; `None` if the role in use has not the keys to know.
    pub coverage: Option<CoverageReport>,
    /// Runs that have not ended, or of which that is not known.
    pub open_sessions: u64,
    /// Holds of snapshots.
    pub holds: u64,
    /// Those of them whose time is over: they hold until they are released.
    pub holds_over: u64,
    /// What was expected and is not so, in words.
    pub missed: Vec<String>,
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
    for source in &options.sources {
        status.sources.entry(source.clone()).or_default();
    }
    let now = repository.environment.now().0;
    for row in &list.rows {
        if !options.sources.is_empty() && !options.sources.contains(&row.source) {
            continue;
        }
        status.holds += to_u64(row.holds.len());
        status.holds_over += to_u64(row.holds.iter().filter(|hold| hold.is_over).count());
        add(status.sources.entry(row.source.clone()).or_default(), row, now);
    }
    status.coverage = coverage(repository)?;
    let roster = Roster::load(repository).during("cannot list the sessions")?;
    status.open_sessions = to_u64(roster.open().count());
    status.missed = missed(&status, options);
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

fn missed(status: &Status, options: &StatusOptions) -> Vec<String> {
    let mut missed = Vec::new();
    if options.age_max.is_some() && status.sources.is_empty() {
        missed.push("there is no snapshot".to_owned());
    }
    for (name, source) in &status.sources {
        match (source.age_seconds, options.age_max) {
            (None, Some(_)) => missed.push(format!("{name} has no complete snapshot")),
            (None, None) if options.sources.contains(name) => {
                missed.push(format!("{name} has no complete snapshot"));
            }
            (Some(age), Some(most)) if Duration::from_secs(age) > most => {
                missed.push(format!("the newest complete snapshot of {name} is too old"));
            }
            (None | Some(_), None | Some(_)) => {}
        }
    }
    if let Some(most) = options.coverage_days_max {
        match &status.coverage {
            None => missed.push("the role in use cannot tell what was read in full".to_owned()),
            Some(CoverageReport { packs, covered_packs, days, .. }) => {
                if packs > covered_packs {
                    missed.push("not every pack was read in full yet".to_owned());
                } else if days.is_some_and(|days| days > most) {
                    missed
                        .push("the last time that every pack was read is too long ago".to_owned());
                }
            }
        }
    }
    missed
}
