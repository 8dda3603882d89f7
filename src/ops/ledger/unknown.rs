//! Sources that nothing tells of.

use crate::format::attest::plan::Plan;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::ledger::load;
use crate::repo::history::History;
use crate::repo::repository::Repository;
use std::collections::BTreeSet;

/// Which of some sources nobody backs up: no snapshot that is stored is of them, and no plan names them.
///
/// Nothing is said if something cannot be read: that may be of any source.
pub(crate) fn unknown_sources(
    repository: &Repository,
    sources: &[String],
) -> Result<Vec<String>, OpError> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    let mut findings = Vec::new();
    let plans = load::<Plan>(repository, &mut findings)?;
    if !history.unreadable.is_empty() || !findings.is_empty() {
        return Ok(Vec::new());
    }
    let stored = history.snapshots.iter().chain(&history.forgotten).map(|live| &live.source);
    let planned = plans.iter().flat_map(|plan| &plan.said.jobs).map(|job| &job.source);
    let known: BTreeSet<&String> = stored.chain(planned).collect();
    Ok(sources.iter().filter(|source| !known.contains(source)).cloned().collect())
}
