//! DRAIN: no verdict before every session that was announced before the plan has an outcome.

use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::format::session::Announcement;
use crate::format::session::Purpose;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::collector::FenceAfter;
use crate::repo::gc::collector::OpenSession;
use crate::repo::gc::session::CollectSession;
use crate::store::Listed;
use std::collections::HashSet;
use std::time::SystemTime;

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
            let is_over = match self.policy.fence {
                FenceAfter::Now => true,
                FenceAfter::Idle(limit) => open.idle.is_some_and(|idle| idle >= limit),
            };
            // A collection of an older epoch has lost its plan to this one.
            if is_over || self.is_collection(open.session)? {
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

    /// Sessions of the epoch before `number` without outcome, other than this one.
    ///
    /// Those of older epochs are closed, whatever brought them back: the watermark is above them.
    pub(crate) fn open_sessions(
        &self,
        number: u64,
        own: &CollectSession<'_>,
    ) -> Result<Vec<OpenSession>, RepoError> {
        let store = self.repository.store.as_ref();
        let announced = store.list(layout::SESSIONS)?;
        let decided: HashSet<SessionRef> = store
            .list(layout::OUTCOMES)?
            .iter()
            .filter_map(|listed| SessionRef::parse_outcome(&listed.key).ok())
            .collect();
        let now = own.announced_at(&announced);
        let mut open = Vec::new();
        for listed in &announced {
            let Ok(session) = SessionRef::parse_announcement(&listed.key) else { continue };
            let is_open = session.epoch + 1 == number && !decided.contains(&session);
            if is_open && session != own.reference {
                let last = self.last_stored(session, listed)?;
                let idle =
                    now.zip(last).map(|(now, last)| now.duration_since(last).unwrap_or_default());
                open.push(OpenSession { session, idle });
            }
        }
        Ok(open)
    }

    /// When the store last received something of a session.
    fn last_stored(
        &self,
        session: SessionRef,
        announced: &Listed,
    ) -> Result<Option<SystemTime>, RepoError> {
        let store = self.repository.store.as_ref();
        let mut last = announced.received;
        let prefixes =
            [session.packs_prefix(), session.segments_prefix(), session.heartbeats_prefix()];
        for prefix in prefixes {
            let newest = store.list(&prefix)?.into_iter().filter_map(|listed| listed.received);
            last = last.max(newest.max());
        }
        Ok(last)
    }

    fn is_collection(&self, session: SessionRef) -> Result<bool, RepoError> {
        let repository = self.repository;
        let key = session.announcement_key();
        let opened = repository.read_object(ObjectKind::Session, &key, key.as_str());
        let body = opened.and_then(|(_bytes, opened)| {
            repository.identities.by_client(repository.id(), session.client, opened)
        });
        match body {
            Ok(body) => Ok(Announcement::decode(&body)
                .is_ok_and(|announcement| announcement.purpose == Purpose::Collect)),
            // Whatever it is for: as long as it may commit, it is waited for.
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
