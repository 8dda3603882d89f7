//! A collection's own session: announced like a writer's, before anything is read; and those of
//! collections that died.
//! Spec: format-spec/09-session.md.

use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::outcome::Commit;
use crate::format::outcome::Outcome;
use crate::format::outcome::Subject;
use crate::format::session::Purpose;
use crate::id::SessionId;
use crate::repo::announce::announce;
use crate::repo::announce::decide;
use crate::repo::announce::give_up;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::view::View;
use crate::repo::register::Won;
use crate::repo::repository::Repository;
use crate::repo::roster::announced;
use crate::repo::session::HEARTBEAT_SECONDS;
use crate::repo::session::store_heartbeat;
use crate::repo::state::SessionMark;
use crate::store::Listed;
use std::cell::Cell;
use std::cell::RefCell;
use std::time::SystemTime;

/// An announced session of a collection.
#[derive(Debug)]
pub(crate) struct CollectSession<'a> {
    repository: &'a Repository,
    pub(crate) reference: SessionRef,
    /// When it last gave a sign of life, in seconds since 1970.
    seen_at: Cell<i64>,
    heartbeats: Cell<u32>,
    /// Until the session is decided.
    mark: RefCell<Option<SessionMark>>,
}

impl<'a> CollectSession<'a> {
    /// Announces a session while the registers stand at `chain`; `None` if they moved meanwhile,
    /// so that the session may be missing in the roster of a newer plan.
    pub(crate) fn announce(
        repository: &'a Repository,
        chain: GcChain,
    ) -> Result<Option<Self>, RepoError> {
        let environment = repository.environment.as_ref();
        let session = SessionId::new(random(environment));
        let reference = SessionRef { client: repository.keys.client, epoch: chain.plan, session };
        let state = repository.state.as_ref();
        let mark = state.map(|state| state.mark(session, Purpose::Collect)).transpose()?;
        announce(repository, reference, Purpose::Collect, "")?;
        let seen_at = Cell::new(environment.now().0);
        let (heartbeats, mark) = (Cell::new(0), RefCell::new(mark));
        let session = Self { repository, reference, seen_at, heartbeats, mark };
        if GcChain::load(repository)? == chain {
            return Ok(Some(session));
        }
        session.give_up()?;
        Ok(None)
    }

    /// When the store received the announcement, by its own clock: the collection's "now".
    pub(crate) fn announced_at(&self, sessions: &[Listed]) -> Option<SystemTime> {
        let key = self.reference.announcement_key();
        sessions.iter().find(|listed| listed.key == key)?.received
    }

    /// Says that the session lives, if it did not do so for a while.
    pub(crate) fn beat(&self) -> Result<(), RepoError> {
        let now = self.repository.environment.now().0;
        // A clock that was set back would put the next sign of life far away.
        if now.abs_diff(self.seen_at.get()) < HEARTBEAT_SECONDS {
            return Ok(());
        }
        self.seen_at.set(now);
        self.heartbeats.set(self.heartbeats.get() + 1);
        store_heartbeat(self.repository, self.reference, self.heartbeats.get())
    }

    /// Makes segments valid; says whether the session was decided so, and not fenced before.
    pub(crate) fn commit(&self, segments: &[SegmentRef], seen: &View) -> Result<bool, RepoError> {
        let mut names: Vec<_> = segments.iter().map(|&segment| segment.into()).collect();
        names.sort_unstable();
        let commit = Commit {
            subject: Subject::Maintenance,
            segments: names,
            heads: seen.heads_of(self.repository.keys.client),
            verdict: seen.verdict,
            nonce: random(self.repository.environment.as_ref()),
        };
        let outcome = Outcome::Commit(commit);
        let (won, _digest) = decide(self.repository, self.reference, &outcome)?;
        self.forget();
        Ok(won == Won::Mine)
    }

    /// Ends the session without making anything valid.
    pub(crate) fn give_up(&self) -> Result<(), RepoError> {
        give_up(self.repository, self.reference)?;
        self.forget();
        Ok(())
    }

    /// The session is decided: whether its process lives is nobody's concern.
    fn forget(&self) {
        if let Some(mark) = self.mark.take() {
            mark.clear();
        }
    }
}

/// Fences this client's collections whose processes ended on this host without an outcome: nobody
/// goes on with what they stored.
pub(crate) fn close_dead_collections(repository: &Repository) -> Result<(), RepoError> {
    let Some(state) = &repository.state else { return Ok(()) };
    let dead = state.dead(Purpose::Collect);
    if dead.is_empty() {
        return Ok(());
    }
    let announced = announced(repository)?;
    for (session, mark) in dead {
        match announced.iter().find(|announced| announced.session == session) {
            Some(reference) if reference.client == repository.keys.client => {
                give_up(repository, *reference)?;
                mark.clear();
            }
            // Another key on this host has to sign that.
            Some(_reference) => {}
            None => mark.clear(),
        }
    }
    Ok(())
}
