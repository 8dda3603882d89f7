//! DRAIN: no verdict before every session that was announced before the plan has an outcome.

use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::format::session::Purpose;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::collector::FenceAfter;
use crate::repo::gc::collector::OpenSession;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::session::CollectSession;
use crate::repo::open_sessions::Roster;
use crate::repo::open_sessions::Traces;
use crate::repo::open_sessions::read_announcement;

/// What DRAIN came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drained {
    /// These sessions may still commit.
    Waiting(Vec<OpenSession>),
    /// There is a verdict, or the registers moved.
    Moved,
}

impl Collector<'_> {
    /// Waits for no one: fences what may be fenced, and decides if nobody is left.
    pub(crate) fn drain(&mut self, chain: GcChain, number: u64) -> Result<Drained, RepoError> {
        // Another process may have written the plan: it must be durable before anybody is fenced
        // for its sake.
        let plan = layout::gc_key(number, GcObject::Plan);
        self.repository.store.settle(&plan)?;
        // Announced after the plan: of the next epoch, so not in its own way.
        let Some(session) = CollectSession::announce(self.repository, chain)? else {
            return Ok(Drained::Moved);
        };
        let waiting = self.drain_in(number, &session);
        if !matches!(&waiting, Ok(open) if open.is_empty()) {
            let _ignored = session.give_up();
        }
        let waiting = waiting?;
        if waiting.is_empty() { Ok(Drained::Moved) } else { Ok(Drained::Waiting(waiting)) }
    }

    fn drain_in(
        &mut self,
        number: u64,
        session: &CollectSession<'_>,
    ) -> Result<Vec<OpenSession>, RepoError> {
        let mut waiting = Vec::new();
        for open in self.open_sessions(number, session)? {
            // A collection of an older epoch has lost its plan to this one.
            if self.may_give_up(&open) || self.is_collection(open.session)? {
                self.maintenance.fence(open.session, number)?;
                self.summary.fenced.push(open.session);
            } else {
                waiting.push(open);
            }
        }
        if waiting.is_empty() {
            self.decide(number, session)?;
        }
        Ok(waiting)
    }

    /// Whether a session counts as dead.
    ///
    /// Where several writers win, its commit and its fence could both: there, whoever knows that
    /// the process is gone ends its session.
    pub(crate) fn may_give_up(&self, open: &OpenSession) -> bool {
        let is_over = match self.policy.fence {
            FenceAfter::Now => true,
            FenceAfter::Idle(limit) => open.idle.is_some_and(|idle| idle >= limit),
        };
        is_over && self.repository.may_fence()
    }

    /// Sessions of the epoch before `number` without outcome, other than this one.
    ///
    /// Those of older epochs are closed, whatever brought them back: the watermark is above them.
    pub(crate) fn open_sessions(
        &self,
        number: u64,
        own: &CollectSession<'_>,
    ) -> Result<Vec<OpenSession>, RepoError> {
        let roster = Roster::load(self.repository)?;
        let now = own.announced_at(&roster.announced);
        let pulse = Pulse::of_session(self.watch, own);
        let mut open = Vec::new();
        for (session, listed) in roster.open() {
            if session.epoch + 1 == number && session != own.reference {
                pulse.beat()?;
                let last = Traces::find(self.repository, session, listed.received)?.last();
                let idle =
                    now.zip(last).map(|(now, last)| now.duration_since(last).unwrap_or_default());
                open.push(OpenSession { session, idle });
            }
        }
        Ok(open)
    }

    fn is_collection(&self, session: SessionRef) -> Result<bool, RepoError> {
        match read_announcement(self.repository, session) {
            Ok(announcement) => Ok(announcement.purpose == Purpose::Collect),
            // Whatever it is for: as long as it may commit, it is waited for.
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
