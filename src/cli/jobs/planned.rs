//! What the configuration file plans, as a record for whoever looks later: also of runs that never began.

use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::jobs::memory;
use crate::format::attest::Attested as _;
use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedCopy;
use crate::format::attest::plan::PlannedDrill;
use crate::format::attest::plan::PlannedJob;
use crate::ops::error::During as _;
use crate::ops::location::Location;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::attest::newest_own;
use crate::repo::mark_writer::store_attested;
use crate::repo::repository::Repository;
use crate::settings::Settings;
use crate::settings::copy::CopySection;
use crate::settings::drill::DrillSection;
use crate::settings::job::JobSection;
use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// Whether the repository is asked, if this host remembers what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It is.
    Always,
    /// Once a day: whoever opens a repository for each run of many a day would feel it.
    Daily,
}

/// What this host remembers of the plan in the repository.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// When that was looked at, in seconds since 1970.
    looked: i64,
    plan: Plan,
}

/// Stores what the file plans, if the newest plan of this client and host says something else. Returns the
/// repository if it had to be opened.
///
/// A role whose plan does not count leaves it to others. Errors fail no backup: whoever calls warns of them.
pub(crate) fn record(context: &Context, ask: Ask) -> Result<Option<Repository>, Failure> {
    let settings = &context.configuration()?.settings;
    let (now, place) = (Context::now(), context.place_word());
    let plan = plan_of(settings, now);
    let known: Option<Known> = memory::recall(place.as_deref(), MEMORY);
    let is_known = known.is_some_and(|known| {
        // A clock that was ahead remembers what is still to come.
        (0..DAY_SECONDS).contains(&now.saturating_sub(known.looked))
            && known.plan.says_the_same(&plan)
    });
    if is_known && ask == Ask::Daily {
        return Ok(None);
    }
    let repository = context.open_quietly()?;
    store(&repository, &plan)?;
    memory::remember(place.as_deref(), MEMORY, &Known { looked: now, plan })?;
    Ok(Some(repository))
}

fn store(repository: &Repository, plan: &Plan) -> Result<(), Failure> {
    let counts = Plan::ROLES.contains(&repository.role());
    if !counts || repository.mirror.is_some() {
        return Ok(());
    }
    if !plan.is_valid() {
        let why = "a name or a source of the configuration file is empty or too long for a record";
        return Err(Failure::usage(why.to_owned()));
    }
    let newest = newest_own::<Plan>(repository, |other| other.host == plan.host);
    let newest = newest.during("cannot read the plan of this host")?;
    // One of a clock that was ahead stands from then on alone: until then, nothing would be expected.
    let stands = |newest: Plan| {
        newest.says_the_same(plan) && parse_time(&newest.time) <= parse_time(&plan.time)
    };
    if !newest.is_some_and(stands) {
        store_attested(repository, plan).during("cannot store the plan of this host")?;
    }
    Ok(())
}

/// What the file plans for this host.
fn plan_of(settings: &Settings, now: i64) -> Plan {
    let retention = settings.retention.as_ref();
    let counts = retention.iter().flat_map(|retention| &retention.counts);
    let periods = retention.iter().flat_map(|retention| &retention.periods);
    let zone = retention.and_then(|retention| retention.timezone.as_ref());
    let check = settings.check.as_ref().and_then(|check| check.max_age.as_ref());
    let mut jobs: Vec<PlannedJob> = settings.jobs.iter().map(job_of).collect();
    jobs.sort_by(|one, other| one.name.cmp(&other.name));
    let mut copies: Vec<PlannedCopy> = settings.copies.iter().map(copy_of).collect();
    copies.sort_by(|one, other| one.name.cmp(&other.name));
    let mut drills: Vec<PlannedDrill> = settings.drills.iter().map(drill_of).collect();
    drills.sort_by(|one, other| one.name.cmp(&other.name));
    Plan {
        time: time_words(now, 0),
        host: environment::host(),
        tool: TOOL.to_owned(),
        jobs,
        copies,
        drills,
        keep: counts.map(|(word, at)| ((*word).to_owned(), at.value)).collect(),
        within: periods.map(|(word, at)| ((*word).to_owned(), at.value.clone())).collect(),
        timezone: zone.map_or_else(|| "UTC".to_owned(), |at| at.value.clone()),
        read_seconds: check.map(|at| at.value.as_secs()),
        key_seconds: settings.maintenance.key_age_max.as_ref().map(|at| at.value.as_secs()),
    }
}

fn job_of(job: &JobSection) -> PlannedJob {
    let seconds = |at: &crate::settings::At<Duration>| at.value.as_secs();
    PlannedJob {
        name: job.name.value.clone(),
        source: job.source.value.clone(),
        schedule: job.schedule.as_ref().map(|at| at.value.with_zone()),
        trigger: job.trigger.as_ref().map(|at| at.value.clone()),
        rpo_seconds: job.rpo.as_ref().map(seconds),
        rto_seconds: job.rto.as_ref().map(seconds),
        grace_seconds: job.grace.as_secs(),
    }
}

fn copy_of(copy: &CopySection) -> PlannedCopy {
    // As a location shows itself: without what follows a `?`, and buckets have no secrets before it.
    let location: Option<Location> = copy.url.value.parse().ok();
    PlannedCopy {
        name: copy.name.value.clone(),
        mode: copy.mode.value.word().to_owned(),
        location: location.map(|location| location.to_string()).unwrap_or_default(),
        lag_seconds: copy.lag_max.as_ref().map(|at| at.value.as_secs()),
    }
}

fn drill_of(drill: &DrillSection) -> PlannedDrill {
    PlannedDrill {
        name: drill.name.value.clone(),
        job: drill.job.as_ref().map(|at| at.value.clone()),
        age_seconds: drill.max_age.as_ref().map(|at| at.value.as_secs()),
    }
}

const MEMORY: &str = "plan";
const DAY_SECONDS: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_file_becomes_a_plan_without_secrets() {
        let text = "[job.b]\nkind = 'files'\npaths = ['/b']\nsource = 'x'\nschedule = 'daily'\nrpo = '26h'\nrto = '2h'\n\
             [job.a]\nkind = 'files'\npaths = ['/a']\ntrigger = 'deployment'\n\
             [[copy]]\nname = 'far'\nurl = 's3://b/x?region=r&profile=p'\nmode = 'mirror'\nmax_lag = '2d'\n\
             [retention]\ndaily = 7\nwithin_monthly = '1y'\ntimezone = 'Europe/Berlin'\n[check]\nmax_age = '35d'\n\
             [maintenance]\nmax_key_age = '400d'\n\
             [drill.a]\njob = 'a'\ntarget = 'files'\nmax_age = '100d'\n";
        let settings = Settings::decode(text, Path::new("/etc/x")).unwrap();
        let plan = plan_of(&settings, 1_800_000_000);
        assert!(plan.is_valid());
        let names: Vec<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(plan.drills.len(), 1);
        assert_eq!(plan.drills[0].age_seconds, Some(100 * 86_400));
        let job = &plan.jobs[1];
        let expected = "daily".parse::<crate::calendar::Calendar>().unwrap().with_zone();
        assert_eq!((job.source.as_str(), job.schedule.as_deref()), ("x", Some(expected.as_str())));
        assert_eq!((job.rpo_seconds, job.rto_seconds), (Some(26 * 3600), Some(7200)));
        assert_eq!(job.grace_seconds, 7200);
        assert_eq!(plan.jobs[0].trigger.as_deref(), Some("deployment"));
        assert_eq!(plan.copies[0].location, "s3://b/x");
        assert_eq!(plan.copies[0].lag_seconds, Some(2 * 86_400));
        assert_eq!((plan.keep["daily"], plan.within["within-monthly"].as_str()), (7, "1y"));
        assert_eq!(plan.timezone, "Europe/Berlin");
        assert_eq!(plan.read_seconds, Some(35 * 86_400));
        assert_eq!(plan.key_seconds, Some(400 * 86_400));
        let later = plan_of(&settings, 1_900_000_000);
        assert!(later != plan && later.says_the_same(&plan));
    }
}
