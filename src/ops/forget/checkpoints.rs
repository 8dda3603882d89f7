//! `forget --checkpoints`: what runs stored that were never finished is no longer kept for them.

use crate::format::mark;
use crate::id::RecordId;
use crate::id::SessionId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::forget::guard::Consent;
use crate::ops::words::time_words;
use crate::repo::gc::checkpoints::LiveCheckpoint;
use crate::repo::gc::checkpoints::live_checkpoints;
use crate::repo::mark_writer::check_forgets;
use crate::repo::mark_writer::store_forget;
use crate::repo::repository::Repository;
use serde::Serialize;

/// A checkpoint that no snapshot of the same client and source followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckpointRow {
    /// The session that committed it.
    pub session: String,
    /// Whose it is.
    pub client: String,
    /// Of which source.
    pub source: String,
    /// When the store received it, in seconds since 1970, if that is known.
    pub received: Option<i64>,
    /// How long ago that was, by this host's clock.
    pub age_seconds: Option<u64>,
    /// Bytes of the packs that its session stored.
    pub stored_bytes: u64,
    /// Whether its client has a session that has not ended: its run may still go on. Without one
    /// the checkpoint is abandoned, until the next run of the source uses it.
    pub may_go_on: bool,
}

/// Checkpoints that are to be forgotten.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckpointPlan {
    /// Those.
    pub dropped: Vec<CheckpointRow>,
    /// Those that are left, since their runs may go on.
    pub left: Vec<CheckpointRow>,
    sessions: Vec<SessionId>,
}

/// The checkpoints that no snapshot followed, oldest first.
pub fn checkpoints(repository: &Repository) -> Result<Vec<CheckpointRow>, OpError> {
    let live = live_checkpoints(repository).during("cannot read the checkpoints")?;
    let now = repository.environment.now().0;
    Ok(live.iter().map(|live| row(live, now)).collect())
}

/// Finds the abandoned checkpoints of these sources, or of all if none is named.
///
/// Those whose runs may go on are left, unless `consent` forces it: then such a run may have to
/// store again what it stored, or fail and begin again.
pub fn plan_checkpoints(
    repository: &Repository,
    sources: &[String],
    consent: Consent,
) -> Result<CheckpointPlan, OpError> {
    let live = live_checkpoints(repository).during("cannot read the checkpoints")?;
    let now = repository.environment.now().0;
    let meant = live.iter().filter(|live| sources.is_empty() || sources.contains(&live.source));
    let (dropped, left): (Vec<_>, Vec<_>) =
        meant.partition(|live| !live.may_go_on || consent == Consent::Force);
    let mut sessions: Vec<SessionId> = dropped.iter().map(|live| live.session).collect();
    sessions.sort_unstable();
    let rows = |live: Vec<&LiveCheckpoint>| live.into_iter().map(|live| row(live, now)).collect();
    Ok(CheckpointPlan { dropped: rows(dropped), left: rows(left), sessions })
}

/// Forgets the checkpoints that were planned; `None` if there are none. The next collection frees
/// what nothing else needs. Nothing brings a checkpoint back.
pub fn execute_checkpoints(
    repository: &Repository,
    plan: &CheckpointPlan,
    reason: Option<String>,
) -> Result<Option<RecordId>, OpError> {
    check_forgets(repository).during("cannot forget checkpoints")?;
    if plan.sessions.is_empty() {
        return Ok(None);
    }
    let checkpoints = plan.sessions.clone();
    let time = Some(time_words(repository.environment.now().0, 0));
    let forget = mark::Forget { checkpoints, reason, time, ..mark::Forget::default() };
    store_forget(repository, &forget).during("cannot store the forget").map(Some)
}

fn row(live: &LiveCheckpoint, now: i64) -> CheckpointRow {
    let LiveCheckpoint { session, client, source, received, stored_bytes, may_go_on } = live;
    let received = (*received > 0).then_some(*received);
    CheckpointRow {
        session: session.to_string(),
        client: client.to_string(),
        source: source.clone(),
        received,
        age_seconds: received.map(|received| u64::try_from(now - received).unwrap_or_default()),
        stored_bytes: *stored_bytes,
        may_go_on: *may_go_on,
    }
}
