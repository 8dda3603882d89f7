//! `--dry-run` and `--plan`: what a restore would do, found out without writing anything.

use crate::format::tree::Totals;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::progress::Progress;
use crate::ops::restore::Delete;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::begin;
use crate::ops::restore::forecast::Fetch;
use crate::ops::restore::guard::check_delete;
use crate::ops::restore::guard::open_target;
use crate::ops::restore::open_reader;
use crate::ops::restore::sweep::Sweep;
use crate::ops::restore::tally::Change;
use crate::ops::restore::tally::Counts;
use crate::ops::restore::tree::TreeRestore;
use crate::ops::restore::way::Way;
use crate::ops::select::Selected;
use crate::repo::repository::Repository;
use std::sync::Arc;

/// What a restore would do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestorePlan {
    /// What the selection holds.
    pub totals: Totals,
    /// How many entries of which action.
    pub counts: Counts,
    /// Everything that would change, by path; at most a million entries.
    pub changes: Vec<Change>,
    /// Entries beyond that.
    pub unnamed_count: u64,
    /// Entries that could not be restored, as far as that shows beforehand.
    pub failed: Vec<Finding>,
    /// How many there are in all.
    pub failed_count: u64,
    /// What would be fetched from the store.
    pub fetch: Fetch,
}

/// Compares the target with the snapshot, as a restore with these options does, and writes nothing.
///
/// Reads files of the target that are to be compared; from the store, trees and a few blocks to see
/// how fast it is.
pub fn plan(
    repository: &Repository,
    selected: &Selected,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestorePlan, OpError> {
    check_delete(selected, options)?;
    let reader = open_reader(repository)?;
    let found = selected.find(&reader)?;
    let target = open_target(repository, options, true)?;
    begin(progress, "comparing", &found);
    let mut options = options.clone();
    options.keep_going = KeepGoing::Continue;
    let way = Way { overwrite: options.overwrite, is_dry: true, from_disk: false };
    let mut look = TreeRestore::new(&reader, Arc::clone(&target), &options, (way, true), progress)?;
    look.run(&found)?;
    let mut plan = RestorePlan {
        totals: look.report.totals,
        failed: std::mem::take(&mut look.report.failed),
        failed_count: look.report.failed_count,
        ..RestorePlan::default()
    };
    // A restore that fails deletes nothing.
    if options.delete != Delete::Nothing && plan.failed_count == 0 {
        let mut sweep = Sweep {
            reader: &reader,
            target: &target,
            filter: options.filter.as_ref(),
            selected,
            tally: &look.tally,
            progress,
            is_dry: true,
            failed: Vec::new(),
        };
        sweep.run(&found)?;
        plan.failed_count += crate::units::to_u64(sweep.failed.len());
        plan.failed.extend(sweep.failed);
    }
    plan.counts = look.tally.counts();
    (plan.changes, plan.unnamed_count) = look.tally.take_changes();
    let forecast = std::mem::take(&mut look.forecast);
    plan.fetch = look.pool.install(|| forecast.finish(&reader));
    Ok(plan)
}
