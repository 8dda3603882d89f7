//! Sessions that have no outcome and may still commit: whose they are, and what they last stored.
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
use std::collections::HashSet;
use std::time::SystemTime;

/// A session that may still commit.
#[derive(Debug, Clone)]
pub(crate) struct Undecided {
    pub(crate) session: SessionRef,
    /// What it announced; `None` if that cannot be read.
    pub(crate) announcement: Option<Announcement>,
    /// When the store last received something of it, by its own clock, if it has one.
    pub(crate) last_stored: Option<SystemTime>,
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
        let last_stored = last_stored(repository, session, listed)?;
        open.push(Undecided { session, announcement, last_stored });
    }
    open.sort_by_key(|open| (open.session.client, open.last_stored));
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

/// When the store last received something of a session.
pub(crate) fn last_stored(
    repository: &Repository,
    session: SessionRef,
    announced: &Listed,
) -> Result<Option<SystemTime>, RepoError> {
    let mut last = announced.received;
    let prefixes = [session.packs_prefix(), session.segments_prefix(), session.heartbeats_prefix()];
    for prefix in prefixes {
        let listed = repository.store.list(&prefix)?;
        last = last.max(listed.into_iter().filter_map(|listed| listed.received).max());
    }
    Ok(last)
}
