//! The options that describe a policy of `forget`.

use crate::cli::failure::Failure;
use crate::ops::forget::policy::Every;
use crate::ops::forget::policy::Policy;
use clap::Args;

/// The policy.
#[derive(Debug, Args)]
#[group(id = "keep", multiple = true)]
pub(crate) struct KeepArguments {
    /// Keep the newest COUNT snapshots
    #[arg(long, value_name = "COUNT")]
    keep_last: Option<u32>,
    /// Keep the newest snapshot of each of the newest COUNT hours that have one
    #[arg(long, value_name = "COUNT")]
    keep_hourly: Option<u32>,
    /// As `--keep-hourly`, for days
    #[arg(long, value_name = "COUNT")]
    keep_daily: Option<u32>,
    /// As `--keep-hourly`, for weeks, which begin on Monday
    #[arg(long, value_name = "COUNT")]
    keep_weekly: Option<u32>,
    /// As `--keep-hourly`, for months
    #[arg(long, value_name = "COUNT")]
    keep_monthly: Option<u32>,
    /// As `--keep-hourly`, for years
    #[arg(long, value_name = "COUNT")]
    keep_yearly: Option<u32>,
    /// Keep all snapshots within TIME (as `7d`, `36h`, `1y6m`) before the newest one
    #[arg(long, value_name = "TIME")]
    keep_within: Option<String>,
    /// Keep the newest snapshot of each hour within TIME before the newest one
    #[arg(long, value_name = "TIME")]
    keep_within_hourly: Option<String>,
    /// As `--keep-within-hourly`, for days
    #[arg(long, value_name = "TIME")]
    keep_within_daily: Option<String>,
    /// As `--keep-within-hourly`, for weeks
    #[arg(long, value_name = "TIME")]
    keep_within_weekly: Option<String>,
    /// As `--keep-within-hourly`, for months
    #[arg(long, value_name = "TIME")]
    keep_within_monthly: Option<String>,
    /// As `--keep-within-hourly`, for years
    #[arg(long, value_name = "TIME")]
    keep_within_yearly: Option<String>,
    /// Keep all snapshots with this tag; may be repeated, and one of them is enough
    #[arg(long, value_name = "WORD")]
    keep_tag: Vec<String>,
    /// Begin hours, days, weeks, months and years in this time zone, as `Europe/Berlin`
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    timezone: String,
}

impl KeepArguments {
    /// The policy that the options describe.
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = Policy::new().with_zone(self.timezone.parse()?);
        for (every, count) in [
            (Every::Snapshot, self.keep_last),
            (Every::Hour, self.keep_hourly),
            (Every::Day, self.keep_daily),
            (Every::Week, self.keep_weekly),
            (Every::Month, self.keep_monthly),
            (Every::Year, self.keep_yearly),
        ] {
            if let Some(count) = count {
                policy = policy.with_count(every, count);
            }
        }
        for (every, period) in [
            (Every::Snapshot, &self.keep_within),
            (Every::Hour, &self.keep_within_hourly),
            (Every::Day, &self.keep_within_daily),
            (Every::Week, &self.keep_within_weekly),
            (Every::Month, &self.keep_within_monthly),
            (Every::Year, &self.keep_within_yearly),
        ] {
            if let Some(period) = period {
                policy = policy.with_period(every, period.parse()?);
            }
        }
        policy.tags.clone_from(&self.keep_tag);
        Ok(policy)
    }
}
