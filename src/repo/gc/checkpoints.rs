//! Checkpoints that no snapshot ended: what they are of, how old, and whether their run may go on.
//! Spec: format-spec/09-session.md, "Subject", and format-spec/10-record.md, "What is forgotten".

use crate::format::gc::BaseCheckpoint;
use crate::format::session::Purpose;
use crate::id::ClientId;
use crate::id::SessionId;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::view::View;
use crate::repo::history::is_missing;
use crate::repo::marks::Marks;
use crate::repo::open_sessions::Undecided;
use crate::repo::open_sessions::open_sessions;
use crate::repo::repository::Repository;
use std::collections::HashMap;
use std::collections::HashSet;

/// A checkpoint that keeps its chunks: no snapshot ended it, and no forget names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveCheckpoint {
    pub(crate) session: SessionId,
    pub(crate) client: ClientId,
    pub(crate) source: String,
    /// When the store received it, in seconds since 1970; 0 if it does not say.
    pub(crate) received: i64,
    /// Bytes of the packs that its session stored and that are there.
    pub(crate) stored_bytes: u64,
    /// Whether its client has a session that may go on with it: which source that one is of is
    /// known only when it commits.
    pub(crate) may_go_on: bool,
}

/// The checkpoints that keep their chunks, oldest first.
///
/// Errors: whatever cannot be read; nothing is known to be abandoned then.
pub(crate) fn live_checkpoints(repository: &Repository) -> Result<Vec<LiveCheckpoint>, RepoError> {
    for _attempt in 1..ATTEMPTS_COUNT_MAX {
        let chain = GcChain::load(repository)?;
        match load(repository, chain) {
            // Swept meanwhile: a newer base has it.
            Err(error) if is_missing(&error) && GcChain::load(repository)? != chain => {}
            loaded => return loaded,
        }
    }
    load(repository, GcChain::load(repository)?)
}

fn load(repository: &Repository, chain: GcChain) -> Result<Vec<LiveCheckpoint>, RepoError> {
    // Before and after: a run may be between two sessions while one of the lists is made.
    let mut writers = clients_that_write(repository)?;
    let marks = Marks::load(repository)?;
    let view = View::load(repository, chain.plan + 1, Pulse::NONE)?;
    let checkpoints = view.checkpoints(marks.forgotten_checkpoints());
    if checkpoints.is_empty() {
        return Ok(Vec::new());
    }
    writers.extend(clients_that_write(repository)?);
    let mut stored: HashMap<SessionId, u64> = HashMap::new();
    for (pack, length) in repository.list_packs()? {
        *stored.entry(pack.session.session).or_default() += length;
    }
    let mut live: Vec<LiveCheckpoint> = checkpoints
        .into_iter()
        .map(|BaseCheckpoint { session, client, source, roots: _, received }| LiveCheckpoint {
            session,
            client,
            source,
            received,
            stored_bytes: stored.get(&session).copied().unwrap_or_default(),
            may_go_on: writers.contains(&client),
        })
        .collect();
    live.sort_by_key(|checkpoint| (checkpoint.received, checkpoint.session));
    Ok(live)
}

/// Clients with a session that may commit a snapshot, as far as its announcement says.
fn clients_that_write(repository: &Repository) -> Result<HashSet<ClientId>, RepoError> {
    let open = open_sessions(repository)?.into_iter();
    let may_write = |open: &Undecided| {
        let purpose = open.announcement.as_ref().map(|announcement| announcement.purpose);
        purpose != Some(Purpose::Collect)
    };
    Ok(open.filter(may_write).map(|open| open.session.client).collect())
}

/// How often a collection may come between.
const ATTEMPTS_COUNT_MAX: u32 = 8;
