//! What the configuration file expects of jobs and copies, and how it stands.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::format::attest::drill::Outcome as DrillOutcome;
use crate::ops::drill::list;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::snapshots;
use crate::ops::mirror;
use crate::ops::status::Missed;
use crate::ops::status::Status;
use crate::ops::status::StatusOptions;
use crate::ops::status::expect::Expectation;
use crate::ops::status::slots::KeptSlots;
use crate::ops::words::parse_time;
use crate::repo::repository::Repository;
use crate::settings::Settings;
use crate::settings::copy::CopyMode;
use crate::settings::copy::CopySection;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a copy stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CopyStatus {
    /// How far it is behind, in seconds; `None` if that is not known.
    pub(crate) behind_seconds: Option<u64>,
    /// How far it may be.
    pub(crate) lag_max_seconds: Option<u64>,
    /// Why it cannot be looked at.
    pub(crate) error: Option<String>,
    /// Where it is.
    #[serde(skip)]
    pub(crate) location: String,
    /// It, if it can be looked at.
    #[serde(skip)]
    pub(crate) opened: Option<Repository>,
}

/// Adds what the file expects.
pub(crate) fn expect(settings: &Settings, options: &mut StatusOptions) {
    let retention = settings.retention.as_ref();
    let count = |word: &str| retention.and_then(|retention| retention.count(word)).unwrap_or(0);
    let zone = retention.and_then(|retention| retention.timezone.as_ref());
    let kept = KeptSlots {
        days: count("daily"),
        weeks: count("weekly"),
        months: count("monthly"),
        zone: zone.and_then(|name| jiff::tz::TimeZone::get(&name.value).ok()),
    };
    options.jobs = settings
        .jobs
        .iter()
        .filter(|job| options.sources.is_empty() || options.sources.contains(&job.source.value))
        .map(|job| Expectation {
            job: job.name.value.clone(),
            source: job.source.value.clone(),
            age_max: job.rpo.as_ref().map(|at| at.value),
            schedule: job.schedule.as_ref().map(|at| at.value.clone()),
            grace: job.grace,
            kept: kept.clone(),
        })
        .collect();
    let check = settings.check.as_ref().and_then(|check| check.max_age.as_ref());
    options.round_max = check.map(|at| at.value);
}

/// Looks at each copy; what is missed of them is added to the status.
pub(crate) fn copies(
    context: &Context,
    repository: &Repository,
    status: &mut Status,
) -> Result<BTreeMap<String, CopyStatus>, Failure> {
    let settings = &context.configuration()?.settings;
    let mut found = BTreeMap::new();
    for copy in &settings.copies {
        let name = &copy.name.value;
        let limit = copy.lag_max.as_ref().map(|at| at.value);
        let opened = context.open_copy(copy).and_then(|opened| {
            let behind = behind(repository, copy, &opened)?;
            Ok((behind, opened))
        });
        let (looked, opened) = match opened {
            Ok((behind, opened)) => (Ok(behind), Some(opened)),
            Err(failure) => (Err(failure), None),
        };
        if let Some(words) = missed(name, &looked, limit) {
            status.missed.push(Missed::new(Some(name), "copy", words));
        }
        let status = CopyStatus {
            behind_seconds: looked.as_ref().ok().copied().flatten(),
            lag_max_seconds: limit.map(|limit| limit.as_secs()),
            error: looked.err().map(|failure| failure.summary()),
            location: copy.url.value.clone(),
            opened,
        };
        found.insert(name.clone(), status);
    }
    Ok(found)
}

/// Looks whether every drill that is due within some time passed within it, as the records say.
pub(crate) fn drills(
    settings: &Settings,
    repository: &Repository,
    status: &mut Status,
) -> Result<(), Failure> {
    let due =
        settings.drills.iter().filter_map(|drill| Some((drill, drill.max_age.as_ref()?.value)));
    let due: Vec<_> = due.collect();
    if due.is_empty() {
        return Ok(());
    }
    let known = list::drills(repository)?;
    status.findings.extend(known.findings);
    let now = Context::now();
    for (drill, most) in due {
        let name = &drill.name.value;
        let mut own = known.rows.iter().filter(|row| row.drill.name == *name).rev();
        let passed = own.clone().find(|row| row.drill.outcome == DrillOutcome::Pass);
        let passed = passed.and_then(|row| parse_time(&row.drill.time));
        let age =
            passed.map(|(seconds, _)| u64::try_from(now.saturating_sub(seconds)).unwrap_or(0));
        let words = match (age, own.next()) {
            (Some(age), _) if Duration::from_secs(age) <= most => continue,
            (Some(_), _) => format!("the drill {name} did not pass for longer than it may"),
            (None, Some(_)) => format!("the drill {name} never passed"),
            (None, None) => format!("the drill {name} was never done"),
        };
        status.missed.push(Missed::new(Some(&format!("drill:{name}")), "drill", words));
    }
    Ok(())
}

fn missed(
    name: &str,
    looked: &Result<Option<u64>, Failure>,
    limit: Option<Duration>,
) -> Option<String> {
    match (looked, limit) {
        (Err(failure), _) => {
            Some(format!("the copy {name} cannot be looked at: {}", failure.summary()))
        }
        (Ok(None), Some(_)) => Some(format!("the copy {name} was never complete")),
        (Ok(Some(behind)), Some(limit)) if Duration::from_secs(*behind) > limit => {
            Some(format!("the copy {name} is too far behind"))
        }
        (Ok(_), _) => None,
    }
}

/// How far a copy is behind the repository, in seconds; `None` if it has nothing yet.
fn behind(
    repository: &Repository,
    copy: &CopySection,
    opened: &Repository,
) -> Result<Option<u64>, Failure> {
    if copy.mode.value == CopyMode::Mirror {
        let lag = mirror::lag(opened).and_then(|lag| lag.behind_seconds);
        return Ok(lag.and_then(|seconds| u64::try_from(seconds).ok()));
    }
    let (here, there) = (newest(repository)?, newest(opened)?);
    let lags = here.iter().map(|(source, time)| {
        let copied = there.get(source)?;
        u64::try_from(time.saturating_sub(*copied).max(0)).ok()
    });
    // A source that is not there at all is not behind by any time.
    let lags: Option<Vec<u64>> = lags.collect();
    Ok(lags.map(|lags| lags.into_iter().max().unwrap_or(0)))
}

/// The time of the newest data of each source.
fn newest(repository: &Repository) -> Result<BTreeMap<String, i64>, Failure> {
    let list = snapshots(repository, &SnapshotFilter::new())?;
    let mut newest = BTreeMap::new();
    for row in list.rows {
        let time = row.data_time().0;
        let found = newest.entry(row.source).or_insert(time);
        *found = time.max(*found);
    }
    Ok(newest)
}
