//! `forget --simulate`: what a policy would keep, day by day, without a repository.

use crate::id::SnapshotId;
use crate::ops::error::OpError;
use crate::ops::forget::decide::Candidate;
use crate::ops::forget::decide::Decision;
use crate::ops::forget::decide::decide;
use crate::ops::forget::policy::Period;
use crate::ops::forget::policy::Policy;
use crate::units::to_u64;

/// What is simulated.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SimulationOptions {
    /// What is kept.
    pub policy: Policy,
    /// When the first snapshot is made, in seconds since 1970.
    pub start: i64,
    /// For how many days.
    pub days: u32,
    /// How long after the one before each snapshot is made.
    pub every: Period,
}

impl SimulationOptions {
    /// So many days of snapshots from `start` on.
    pub fn new(policy: Policy, start: i64, days: u32, every: Period) -> Self {
        Self { policy, start, days, every }
    }
}

/// What a simulation came to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Simulation {
    /// How many snapshots are kept after the last one of each day, from the first day on.
    pub kept_by_day: Vec<usize>,
    /// How many snapshots were made.
    pub made: u64,
    /// The snapshots that are left at the end, newest first.
    pub left: Vec<Decision>,
}

/// Makes a snapshot at every step and forgets after each what the policy does not keep.
///
/// Errors: [`OpError::Usage`] if the policy keeps nothing, or if there would be too many snapshots.
pub fn simulate(options: &SimulationOptions) -> Result<Simulation, OpError> {
    let SimulationOptions { policy, start, days, every } = options;
    let usage = |why: &str| OpError::Usage { why: why.to_owned() };
    if policy.is_empty() {
        return Err(usage("the policy keeps nothing; give at least one `--keep-…` option"));
    }
    let end = start.saturating_add(i64::from(*days).saturating_mul(DAY_SECONDS));
    let mut simulation = Simulation::default();
    let mut time = *start;
    let mut left: Vec<Decision> = Vec::new();
    while time < end {
        if simulation.made >= SNAPSHOT_COUNT_MAX {
            return Err(usage("too many snapshots for a simulation; make `--every` longer"));
        }
        simulation.made += 1;
        let mut candidates: Vec<Candidate> =
            left.into_iter().map(|decision| decision.candidate).collect();
        let number = u128::from(simulation.made).to_le_bytes();
        candidates.push(Candidate::new(SnapshotId::new(number), time, time));
        left = decide(policy, candidates);
        left.retain(Decision::is_kept);
        let next = every.after(time, &policy.zone).filter(|next| *next > time);
        let next = next.ok_or_else(|| usage("the simulation goes beyond the calendar"))?;
        for _day in days_between(*start, time, next.min(end)) {
            simulation.kept_by_day.push(left.len());
        }
        time = next;
    }
    simulation.left = left;
    Ok(simulation)
}

/// The days since `start` that end after `time` and not after `next`.
fn days_between(start: i64, time: i64, next: i64) -> std::ops::Range<u64> {
    let day = |time: i64| to_u64(usize::try_from((time - start) / DAY_SECONDS).unwrap_or(0));
    day(time)..day(next)
}

const DAY_SECONDS: i64 = 86_400;
/// Most snapshots that a simulation makes.
const SNAPSHOT_COUNT_MAX: u64 = 200_000;
