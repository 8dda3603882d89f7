//! One writer's run: announce, look, work, decide. Spec: format-spec/09-session.md.
//!
//! The order of the calls is the safety argument; the rules W1 to W6 are named where they are kept.

use crate::crypto::hash::digest;
use crate::format::envelope::ObjectKind;
use crate::format::index::IndexedPack;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::outcome::Commit;
use crate::format::outcome::Outcome;
use crate::format::outcome::Subject;
use crate::format::session::Heartbeat;
use crate::format::session::Purpose;
use crate::id::SessionId;
use crate::repo::announce::announce;
use crate::repo::announce::decide;
use crate::repo::announce::give_up;
use crate::repo::create::create;
use crate::repo::create::create_in;
use crate::repo::damage::damaged_packs;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::load_verdict;
use crate::repo::history::open_outcome;
use crate::repo::identities::Looked;
use crate::repo::index::load::LoadedIndex;
use crate::repo::index::load::load_without;
use crate::repo::leftovers::Leftovers;
use crate::repo::leftovers::Present;
use crate::repo::objects;
use crate::repo::register::Won;
use crate::repo::repository::Repository;
use crate::repo::state::Owner;
use crate::repo::state::SessionMark;
use crate::store::StorageClass;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

/// An announced session that may write.
#[derive(Debug)]
pub(crate) struct WriterSession {
    pub(crate) repository: Repository,
    pub(crate) reference: SessionRef,
    /// What it backs up, as it announced.
    pub(crate) source: String,
    pub(crate) history: History,
    pub(crate) loaded: LoadedIndex,
    /// What this client's dead sessions stored.
    pub(crate) leftovers: Leftovers,
    mark: Option<SessionMark>,
    /// Marks of dead sessions whose uploads are adopted: the next run must find them, too, if
    /// this one does not get to its commit.
    dead_marks: Vec<SessionMark>,
}

/// Every pack and segment of a session is durable. Made only by the writer's `finish`.
#[derive(Debug)]
pub(crate) struct AllDurable {
    pub(crate) segments: Vec<SegmentRef>,
}

/// What committing came to.
#[derive(Debug)]
pub(crate) enum Committed {
    /// The register is ours and counts.
    Yes,
    /// Somebody fenced the session first.
    Fenced,
}

impl WriterSession {
    /// Announces a session that backs up `source`, and reads what is valid.
    pub(crate) fn open(repository: &Repository, source: &str) -> Result<Self, RepoError> {
        Self::open_after(repository, source, &[])
    }

    /// As [`Self::open`]; also adopts what these fenced sessions of the same run stored.
    pub(crate) fn open_after(
        repository: &Repository,
        source: &str,
        fenced: &[SessionRef],
    ) -> Result<Self, RepoError> {
        repository.check_writable()?;
        // Leftovers of crashes take space and harm nobody: whether they go is not decisive.
        let _ignored = repository.store.sweep();
        let (mut dead, dead_marks) = close_dead_sessions(repository)?;
        // This host's memory may have named one already.
        dead.extend_from_slice(fenced);
        dead.sort_unstable();
        dead.dedup();
        for _attempt in 0..ANNOUNCE_ATTEMPTS {
            if let Some(session) = Self::announce(repository, source, &dead)? {
                return Ok(Self { dead_marks, ..session });
            }
        }
        Err(RepoError::Unsettled { attempts: ANNOUNCE_ATTEMPTS })
    }

    fn announce(
        repository: &Repository,
        source: &str,
        dead: &[SessionRef],
    ) -> Result<Option<Self>, RepoError> {
        let chain = Chain::load(repository)?;
        if let Some(stray) = chain.stray
            && stray.number > chain.verdict
            && chain.plan > chain.verdict
        {
            // No collection would close a session of its epoch.
            return Err(stray.error());
        }
        let epoch = chain.plan;
        let session = SessionId::new(random(repository.environment.as_ref()));
        let reference = SessionRef { client: repository.keys.client, epoch, session };
        let state = repository.state.as_ref();
        let mark = state.map(|state| state.mark(session, Purpose::Write)).transpose()?;
        announce(repository, reference, Purpose::Write, source)?;
        // W2: a plan that came between may not have this session in its roster.
        let announced = Chain::load(repository)?;
        if announced.plan != epoch {
            give_up(repository, reference)?;
            if let Some(mark) = mark {
                mark.clear();
            }
            return Ok(None);
        }
        // W3 and W4 are in `History::load_after`.
        let history = History::load_after(repository, announced)?;
        if let Err(error) = history.check_not_back() {
            give_up(repository, reference)?;
            return Err(error);
        }
        if history.plan_unreadable {
            // What the plan condemns must not be relied on, and what it condemns is not known.
            give_up(repository, reference)?;
            return Err(RepoError::PlanUnreadable { number: epoch });
        }
        // A segment that only this host's cache still has helps no other host to restore; one that
        // a sweep took meanwhile is no damage: what is not known is stored again.
        let listed = repository.segment_lengths()?.into_iter().map(|(segment, _)| segment);
        let listed: HashSet<SegmentRef> = listed.collect();
        let mut segments = history.segments.clone();
        segments.retain(|segment| listed.contains(segment));
        let epoch_min = history.verdict.number;
        let loaded =
            load_without(repository, &segments, &history.condemned, epoch_min, &|| Ok(()))?;
        // A pack that is gone, cut short or known to be damaged gives nothing back: what it held is
        // stored again.
        let mut stored: HashMap<PackRef, u64> = repository.list_packs()?.into_iter().collect();
        let damaged = damaged_packs(repository)?;
        stored.retain(|pack, _length| !damaged.contains(&pack.id));
        let is_stored = |pack: &IndexedPack| stored.get(&pack.reference()) == Some(&pack.length);
        loaded.index.leave_out(is_stored);
        let present = Present { packs: &stored, segments: &listed };
        let leftovers = Leftovers::find(repository, &history, &loaded.index, dead, present)?;
        let repository = repository.clone();
        let dead_marks = Vec::new();
        let source = source.to_owned();
        Ok(Some(Self {
            repository,
            reference,
            source,
            history,
            loaded,
            leftovers,
            mark,
            dead_marks,
        }))
    }

    /// Commits: decides the session's register, once everything it names is durable.
    pub(crate) fn commit(
        self,
        subject: Subject,
        durable: AllDurable,
    ) -> Result<Committed, RepoError> {
        let repository = &self.repository;
        let looked = repository.check_may_sign_still()?;
        let AllDurable { segments } = durable;
        let names: BTreeSet<_> = segments.into_iter().map(Into::into).collect();
        let commit = Commit {
            subject,
            segments: names.into_iter().collect(),
            heads: self.history.heads.clone(),
            verdict: self.history.verdict,
            nonce: random(repository.environment.as_ref()),
        };
        let heads = commit.heads.clone();
        let (won, stored) = decide(repository, self.reference, &Outcome::Commit(commit))?;
        if matches!(won, Won::Theirs(_)) {
            return Ok(Committed::Fenced);
        }
        // W5: a late commit may have re-created a register that a sweep had already removed.
        let counts = counts_still(repository, self.reference)?;
        for mark in self.mark.into_iter().chain(self.dead_marks) {
            mark.clear();
        }
        if counts {
            // The snapshot is committed, whether this host can remember that or not.
            let _ignored =
                repository.remember(|memory| memory.add_commit(self.reference, &heads, stored));
        }
        if looked == Looked::Earlier {
            // Whoever revoked the key in these seconds has made this commit count for nothing.
            repository.check_may_sign_now()?;
        }
        Ok(if counts { Committed::Yes } else { Committed::Fenced })
    }

    /// Ends the session without a commit, so that no collection waits for it.
    ///
    /// Its mark stays: the next run on this host adopts what no collection took meanwhile.
    pub(crate) fn abandon(self) -> Result<(), RepoError> {
        give_up(&self.repository, self.reference).map(|_won| ())
    }
}

/// Whether a committed session still counts: above the watermark, or folded by the verdict that
/// closed it.
///
/// A session of epoch E stands in the roster of plan E + 1 and in no other.
pub(crate) fn counts_still(
    repository: &Repository,
    session: SessionRef,
) -> Result<bool, RepoError> {
    if Chain::load(repository)?.verdict <= session.epoch {
        return Ok(true);
    }
    let (verdict, _digest) = load_verdict(repository, session.epoch + 1)?;
    Ok(verdict
        .folded
        .iter()
        .any(|folded| folded.session == session.session && folded.client == session.client))
}

/// Fences this client's sessions whose processes ended on this host without an outcome; returns
/// those that had been given up, whose uploads may be adopted, and their marks.
fn close_dead_sessions(
    repository: &Repository,
) -> Result<(Vec<SessionRef>, Vec<SessionMark>), RepoError> {
    let mut dead = Vec::new();
    let mut marks = Vec::new();
    let Some(state) = &repository.state else { return Ok((dead, marks)) };
    if state.dead(Purpose::Write).is_empty() {
        return Ok((dead, marks));
    }
    let prefix = format!("{}/{}", layout::SESSIONS, repository.keys.client);
    for listed in repository.store.list(&prefix)? {
        let Ok(session) = SessionRef::parse_announcement(&listed.key) else { continue };
        let Owner::Dead(mark) = state.owner(session.session, Purpose::Write) else { continue };
        let fenced = match give_up(repository, session)? {
            Won::Mine => true,
            Won::Theirs(bytes) => match open_outcome(repository, session, &bytes) {
                Ok(outcome) => matches!(outcome, Outcome::Fence(_)),
                // It may have committed: nothing of it is adopted.
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            },
        };
        if fenced {
            dead.push(session);
            marks.push(mark);
        } else {
            mark.clear();
        }
    }
    Ok((dead, marks))
}

/// Stores a heartbeat of a session.
pub(crate) fn store_heartbeat(
    repository: &Repository,
    session: SessionRef,
    number: u32,
) -> Result<(), RepoError> {
    let key = session.heartbeat_key(number);
    let bytes = objects::seal(
        ObjectKind::Heartbeat,
        &repository.keys,
        key.as_str(),
        &Heartbeat { number }.encode(),
        &repository.keys.signer,
        repository.environment.as_ref(),
    )?;
    create(repository.store.as_ref(), &key, &bytes)
}

/// Stores an index segment of a session.
pub(crate) fn store_segment(
    repository: &Repository,
    session: SessionRef,
    sequence: u32,
    segment: &crate::format::index::Segment,
) -> Result<SegmentRef, RepoError> {
    use crate::id::SegmentId;
    let unnamed = SegmentRef { session, sequence, id: SegmentId::new([0; 32]) };
    let bytes = objects::seal(
        ObjectKind::Segment,
        &repository.keys,
        &unnamed.place(),
        &segment.encode(),
        &repository.keys.signer,
        repository.environment.as_ref(),
    )?;
    let id = SegmentId::new(*digest(&bytes).as_bytes());
    let named = SegmentRef { id, ..unnamed };
    let class = StorageClass::Metadata;
    create_in(repository.store.as_ref(), &named.key(), &bytes, class)?;
    Ok(named)
}

const ANNOUNCE_ATTEMPTS: u32 = 16;
/// How long a session may be silent before it says that it lives.
pub(crate) const HEARTBEAT_SECONDS: u64 = 300;
