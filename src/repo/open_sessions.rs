//! Sessions that have no outcome and may still commit: whose they are, and what they stored.
//! Spec: format-spec/09-session.md.

use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::layout::SessionRef;
use crate::format::session::Announcement;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::is_missing;
use crate::repo::repository::Repository;
use crate::store::Listed;
use crate::units::to_u64;
use std::collections::HashSet;
use std::time::SystemTime;

/// A session that may still commit.
#[derive(Debug, Clone)]
pub(crate) struct Undecided {
    pub(crate) session: SessionRef,
    /// What it announced; `None` if that cannot be read.
    pub(crate) announcement: Option<Announcement>,
    pub(crate) traces: Traces,
}

/// What a session left in the store, with times by the store's clock, if it has one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traces {
    /// When its announcement was received.
    pub(crate) announced: Option<SystemTime>,
    /// When a pack or segment was last received.
    pub(crate) stored: Option<SystemTime>,
    /// When a heartbeat was last received.
    pub(crate) heartbeat: Option<SystemTime>,
    pub(crate) pack_count: u64,
    pub(crate) pack_bytes: u64,
}

impl Traces {
    /// Looks for them; `announced` is when the announcement was received.
    pub(crate) fn find(
        repository: &Repository,
        session: SessionRef,
        announced: Option<SystemTime>,
    ) -> Result<Self, RepoError> {
        let newest = |listed: &[Listed]| listed.iter().filter_map(|listed| listed.received).max();
        let packs = repository.store.list(&session.packs_prefix())?;
        let segments = repository.store.list(&session.segments_prefix())?;
        let heartbeats = repository.store.list(&session.heartbeats_prefix())?;
        Ok(Self {
            announced,
            stored: newest(&packs).max(newest(&segments)),
            heartbeat: newest(&heartbeats),
            pack_count: to_u64(packs.len()),
            pack_bytes: packs.iter().map(|listed| listed.length).sum(),
        })
    }

    /// When the store last received anything.
    pub(crate) fn last(&self) -> Option<SystemTime> {
        self.announced.max(self.stored).max(self.heartbeat)
    }
}

/// Announcements, and the sessions among them without outcome.
pub(crate) struct Roster {
    pub(crate) announced: Vec<Listed>,
    decided: HashSet<SessionRef>,
}

impl Roster {
    /// Lists announcements, then outcomes: what has no outcome here was open in between.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let store = repository.store.as_ref();
        let announced = store.list(layout::SESSIONS)?;
        let outcomes = store.list(layout::OUTCOMES)?;
        let decided =
            outcomes.iter().filter_map(|listed| SessionRef::parse_outcome(&listed.key).ok());
        Ok(Self { announced, decided: decided.collect() })
    }

    /// Sessions without outcome, of any epoch.
    pub(crate) fn open(&self) -> impl Iterator<Item = (SessionRef, &Listed)> {
        self.announced.iter().filter_map(|listed| {
            let session = SessionRef::parse_announcement(&listed.key).ok()?;
            (!self.decided.contains(&session)).then_some((session, listed))
        })
    }

    /// The sessions whose ids begin with these digits: open ones, or else those with an outcome.
    pub(crate) fn named(&self, digits: &str) -> Vec<SessionRef> {
        let fits = |session: &SessionRef| session.session.to_string().starts_with(digits);
        let open: Vec<_> = self.open().map(|(session, _listed)| session).filter(fits).collect();
        if !open.is_empty() {
            return open;
        }
        self.decided.iter().copied().filter(fits).collect()
    }
}

/// Every session that may still commit, by client and age.
///
/// Those of epochs below the watermark are closed, whatever brought them back.
pub(crate) fn open_sessions(repository: &Repository) -> Result<Vec<Undecided>, RepoError> {
    let roster = Roster::load(repository)?;
    // After the listing: what a sweep removed meanwhile is of an epoch below this.
    let epoch_min = Chain::load(repository)?.verdict;
    let mut open = Vec::new();
    for (session, listed) in roster.open().filter(|(session, _)| session.epoch >= epoch_min) {
        let announcement = match read_announcement(repository, session) {
            Ok(announcement) => Some(announcement),
            Err(error) if is_missing(&error) => continue,
            // Whatever it is for: as long as it may commit, it is waited for.
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let traces = Traces::find(repository, session, listed.received)?;
        open.push(Undecided { session, announcement, traces });
    }
    open.sort_by_key(|open| (open.session.client, open.traces.announced, open.session.session));
    Ok(open)
}

/// What a session announced.
pub(crate) fn read_announcement(
    repository: &Repository,
    session: SessionRef,
) -> Result<Announcement, RepoError> {
    let key = session.announcement_key();
    let (_bytes, opened) = repository.read_object(ObjectKind::Session, &key, key.as_str())?;
    let body = repository.identities.by_client(repository.id(), session.client, opened)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    Announcement::decode(&body).map_err(decode)
}
