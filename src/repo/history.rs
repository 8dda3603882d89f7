//! What is valid now: the newest base and the commits above its watermark.
//! Spec: format-spec/09-session.md, "What counts", and format-spec/11-gc.md.

use crate::crypto::hash::digest;
use crate::format::envelope::ObjectKind;
use crate::format::gc::Base;
use crate::format::gc::PackName;
use crate::format::gc::Plan;
use crate::format::gc::Register;
use crate::format::gc::Step;
use crate::format::gc::Verdict;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::outcome::Commit;
use crate::format::outcome::Head;
use crate::format::outcome::Outcome;
use crate::format::outcome::Subject;
use crate::format::outcome::VerdictSeen;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::Sha256;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::decision::Decision;
use crate::repo::decision::load_decision;
use crate::repo::decision::newest_readable;
use crate::repo::error::RepoError;
use crate::repo::grant::signs;
use crate::repo::index::load::whole_segments_of;
use crate::repo::marks::Marks;
use crate::repo::memory::Memory;
use crate::repo::memory::WentBack;
use crate::repo::memory::compare;
use crate::repo::names;
use crate::repo::own_marks::compare_forgets;
use crate::repo::registers::Registers;
use crate::repo::registers::Stray;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;
use crate::store::Listed;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::time::UNIX_EPOCH;

/// What is valid at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// The newest verdict.
    pub(crate) verdict: VerdictSeen,
    /// Live snapshots, oldest receipt first.
    pub(crate) snapshots: Vec<LiveSnapshot>,
    /// The lowest epoch whose outcomes count.
    pub(crate) epoch_min: u64,
    /// What this host has seen and does not find; nothing may be written then.
    pub(crate) went_back: Option<WentBack>,
    /// Segments that count.
    pub(crate) segments: BTreeSet<SegmentRef>,
    /// Packs that the newest verdict removed: a reader looks for their chunks elsewhere.
    pub(crate) removed: HashSet<PackRef>,
    /// Those, and packs that a newer plan condemns: a writer must not rely on them.
    pub(crate) condemned: HashSet<PackRef>,
    /// Whether the newest plan could not be read: then nothing may be written.
    pub(crate) plan_unreadable: bool,
    /// Whether the newest verdict could not be read, so that this is the state after an older one.
    pub(crate) is_behind: bool,
    /// Every outcome above the watermark that could be read, fences included.
    pub(crate) outcomes: Vec<SessionRef>,
    /// Commits of this client that no later one names.
    pub(crate) heads: Vec<Head>,
    /// Objects that should have been read and could not; what they added is missing above.
    pub(crate) unreadable: Vec<RepoErrorAt>,
    /// Snapshots that are stored and that a forget names which counts.
    pub(crate) forgotten: Vec<LiveSnapshot>,
    /// The marks on snapshots; what holds them is there only if something is forgotten.
    pub(crate) marks: Marks,
}

/// An error and the object it is about.
#[derive(Debug, Clone)]
pub(crate) struct RepoErrorAt {
    pub(crate) key: ObjectKey,
    pub(crate) error: std::sync::Arc<RepoError>,
}

/// A snapshot that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveSnapshot {
    pub(crate) client: ClientId,
    pub(crate) snapshot: SnapshotId,
    /// SHA-256 of its manifest's statement.
    pub(crate) manifest: Sha256,
    pub(crate) source: String,
    /// When the store received its commit, in seconds since 1970; 0 if it does not say.
    pub(crate) received: i64,
    /// Whether a verdict accepted it: that it was signed in time was found then.
    pub(crate) is_in_base: bool,
}

/// The newest plan and verdict, as a listing of `gc/` shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) plan: u64,
    pub(crate) verdict: u64,
    /// What no collection can have left, among the newest.
    pub(crate) stray: Option<Stray>,
}

/// What becomes of a history whose newest verdict cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// There is none.
    Refused,
    /// It is that of an older one.
    PassedOver,
}

impl Chain {
    /// Lists the registers.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let Registers { plan, verdict, done: _, stray } = Registers::load(repository)?;
        Ok(Self { plan, verdict, stray })
    }
}

impl History {
    /// Reads what is valid: chain, list of outcomes, chain again, until the base did not move
    /// meanwhile.
    ///
    /// Errors: whatever keeps the newest verdict from being read.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        Self::load_with(repository, Unreadable::Refused, None)
    }

    /// As [`Self::load`], for whoever has just read the chain.
    pub(crate) fn load_after(repository: &Repository, chain: Chain) -> Result<Self, RepoError> {
        Self::load_with(repository, Unreadable::Refused, Some(chain))
    }

    /// As [`Self::load`], but goes back to the newest verdict that can be read: for those who only
    /// read. What cannot be is in `unreadable`.
    pub(crate) fn load_readable(repository: &Repository) -> Result<Self, RepoError> {
        if let Some(number) = repository.at_verdict {
            return Self::load_as_of(repository, number);
        }
        Self::load_with(repository, Unreadable::PassedOver, None)
    }

    fn load_with(
        repository: &Repository,
        unreadable: Unreadable,
        mut read: Option<Chain>,
    ) -> Result<Self, RepoError> {
        for _attempt in 0..SETTLE_ATTEMPTS {
            // First of all: what another process of this host adds meanwhile may be listed or not.
            let memory = repository.memory();
            let chain = read.take().map_or_else(|| Chain::load(repository), Ok)?;
            let listed = repository.store.list(layout::OUTCOMES)?;
            let marks = Marks::load_if_forgotten(repository)?;
            let after = Chain::load(repository)?;
            if after.verdict != chain.verdict {
                continue;
            }
            match Self::load_at(repository, after, &listed, unreadable, &memory) {
                // Swept between the listing and the reading: a newer base has it.
                Err(error) if error.is_damage() && Chain::load(repository)? != after => {}
                loaded => {
                    let mut history = loaded?;
                    let is_stored = |id: &_| marks.is_stored(id);
                    history.went_back = history
                        .went_back
                        .take()
                        .or_else(|| compare_forgets(repository, &memory, &history, is_stored));
                    return Ok(names::left(repository, history.without_forgotten(marks)));
                }
            }
        }
        Err(RepoError::Unsettled { attempts: SETTLE_ATTEMPTS })
    }

    /// What is valid where the registers stand at `chain`.
    pub(crate) fn load_at(
        repository: &Repository,
        chain: Chain,
        listed: &[Listed],
        unreadable: Unreadable,
        memory: &Memory,
    ) -> Result<Self, RepoError> {
        let mut history = Self::default();
        let epoch_min = history.add_verdict(repository, chain, unreadable)?;
        history.epoch_min = epoch_min;
        history.add_plan(repository, chain)?;
        let mut own = Vec::new();
        // An epoch that no plan has yet would be in no roster and never be folded.
        let epochs = epoch_min..=chain.plan.max(chain.verdict);
        let sessions = listed.iter().filter_map(|listed| {
            let session = SessionRef::parse_outcome(&listed.key).ok()?;
            epochs.contains(&session.epoch).then_some((listed, session))
        });
        if repository.has_final_outcomes() {
            let keys = sessions.clone().map(|(listed, _session)| listed.key.clone());
            repository.keep_ahead(keys, length_max(ObjectKind::Outcome));
        }
        for (listed, session) in sessions {
            match load_outcome(repository, session) {
                Ok((outcome, stored)) => {
                    history.outcomes.push(session);
                    if let Outcome::Commit(commit) = outcome {
                        let received = repository.received(session, listed);
                        history.fold(session, &commit, received);
                        if session.client == repository.keys.client {
                            own.push((session, commit, stored));
                        }
                    }
                }
                Err(error) if is_missing(&error) => return Err(error),
                Err(error) if repository.is_damage(&error) => {
                    if unreadable == Unreadable::PassedOver {
                        // If it is a commit, other snapshots may lie in its packs, too.
                        history.segments.extend(whole_segments_of(repository, session)?);
                    }
                    let error = std::sync::Arc::new(error);
                    history.unreadable.push(RepoErrorAt { key: listed.key.clone(), error });
                }
                Err(error) => return Err(error),
            }
        }
        if repository.is_mirror() {
            // Outcomes may be copied before others on which they rely.
            let listed = repository.segment_lengths()?.into_iter();
            let is_new = |segment: &SegmentRef| segment.session.epoch >= epoch_min;
            history.segments.extend(listed.map(|(segment, _length)| segment).filter(is_new));
        }
        history.heads = heads(&own);
        history.went_back = compare(repository, memory, chain, &history, &own)?;
        history.snapshots.sort_by_key(|live| (live.received, live.snapshot));
        Ok(history)
    }

    /// Adds what the newest verdict says; returns the lowest epoch that counts.
    fn add_verdict(
        &mut self,
        repository: &Repository,
        chain: Chain,
        unreadable: Unreadable,
    ) -> Result<u64, RepoError> {
        if chain.verdict == 0 {
            return Ok(0);
        }
        let decision = match load_decision(repository, chain.verdict) {
            Err(error) if error.is_unreadable() && Chain::load(repository)? == chain => {
                let stray = chain.stray.filter(|stray| stray.number <= chain.verdict);
                if unreadable == Unreadable::Refused {
                    return Err(stray.map_or(error, |stray| stray.error()));
                }
                let (decision, unreadable) = newest_readable(repository, chain.verdict, stray)?;
                self.unreadable.extend(unreadable);
                self.is_behind = true;
                decision
            }
            loaded => Some(loaded?),
        };
        let Some(Decision { verdict, digest, base }) = decision else { return Ok(0) };
        self.verdict = VerdictSeen { number: verdict.number, digest };
        self.segments.extend(base.segments.iter().map(|&name| SegmentRef::from(name)));
        self.snapshots.extend(base.snapshots.into_iter().map(LiveSnapshot::from));
        self.removed.extend(verdict.removed.iter().map(|&name| PackRef::from(name)));
        self.condemned.extend(self.removed.iter().copied());
        Ok(verdict.epoch_min)
    }

    /// Adds what a plan condemns that has no verdict.
    fn add_plan(&mut self, repository: &Repository, chain: Chain) -> Result<(), RepoError> {
        if chain.plan <= chain.verdict {
            return Ok(());
        }
        let stray = chain.stray.filter(|stray| stray.number > chain.verdict);
        let plan = match stray {
            // Whoever wrote by it would write in an epoch that no collection closes.
            Some(stray) => Err(stray.error()),
            None => load_plan(repository, chain.plan),
        };
        match plan {
            Ok(plan) => {
                self.condemned.extend(plan.condemned.iter().map(|&name| PackRef::from(name)));
            }
            // A plan without verdict changes nothing for a reader; a writer must know it.
            Err(error) if error.is_damage() => {
                let key = layout::gc_key(chain.plan, GcObject::Plan);
                let key = stray.map_or(key, |stray| stray.key());
                self.plan_unreadable = true;
                let error = std::sync::Arc::new(error);
                self.unreadable.push(RepoErrorAt { key, error });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes out what is forgotten.
    fn without_forgotten(mut self, marks: Marks) -> Self {
        let is_forgotten = |live: &mut LiveSnapshot| marks.forgotten().contains(&live.snapshot);
        self.forgotten = self.snapshots.extract_if(.., is_forgotten).collect();
        self.marks = marks;
        self
    }

    fn fold(&mut self, session: SessionRef, commit: &Commit, received: i64) {
        self.segments.extend(commit.segments.iter().map(|&name| SegmentRef::from(name)));
        if let Subject::Snapshot { manifest, source } = &commit.subject {
            self.snapshots.push(LiveSnapshot {
                client: session.client,
                snapshot: session.session.into(),
                manifest: *manifest,
                source: source.clone(),
                received,
                is_in_base: false,
            });
        }
    }
}

impl History {
    /// Whether this object should have been read and could not.
    pub(crate) fn is_unreadable(&self, key: &ObjectKey) -> bool {
        self.unreadable.iter().any(|at| at.key == *key)
    }
}

impl From<PackName> for PackRef {
    fn from(name: PackName) -> Self {
        let PackName { client, epoch, session, sequence, id } = name;
        Self { session: SessionRef { client, epoch, session }, sequence, id }
    }
}

/// Reads the register of a session; the second value is BLAKE3 of its stored bytes.
pub(crate) fn load_outcome(
    repository: &Repository,
    session: SessionRef,
) -> Result<(Outcome, Digest), RepoError> {
    let key = session.outcome_key();
    let length_max = length_max(ObjectKind::Outcome);
    let accept = |bytes: &[u8]| Ok((open_outcome(repository, session, bytes)?, digest(bytes)));
    if repository.has_final_outcomes() {
        return repository.read_kept(&key, length_max, accept);
    }
    repository.read_or_copy(|store| accept(&store.read(&key, length_max)?))
}

/// Opens the stored bytes of a session's register and checks who signed it.
pub(crate) fn open_outcome(
    repository: &Repository,
    session: SessionRef,
    bytes: &[u8],
) -> Result<Outcome, RepoError> {
    use crate::format::identity::Subject as Signer;
    let key = session.outcome_key();
    let opened =
        crate::repo::objects::open(ObjectKind::Outcome, &repository.keys, key.as_str(), bytes)?;
    let (refused, key_used) = (opened.refused(), opened.signer());
    let role = repository.identities.role_of(key_used);
    let (body, signer) =
        repository.identities.by_either(repository.id(), session.client, opened)?;
    let outcome = Outcome::decode(&body)
        .map_err(|source| RepoError::Decode { key: key.to_string(), source })?;
    // Maintenance may give a session up; only its own client can say what it committed.
    match (&outcome, signer) {
        (Outcome::Commit(_), Signer::Maintenance) => Err(refused),
        // Those who only read are certified for their audit log.
        (Outcome::Commit(_), Signer::Client(_)) if !role.is_some_and(signs) => Err(refused),
        (Outcome::Commit(_), Signer::Client(_)) => {
            repository.check_signed_in_time(key_used, &key)?;
            Ok(outcome)
        }
        // Whoever gave the session up, it can never commit any more.
        (Outcome::Fence(_), _) => Ok(outcome),
    }
}

/// Reads the statement of a verdict; the second value is the hash that its register names.
pub(crate) fn load_verdict(
    repository: &Repository,
    number: u64,
) -> Result<(Verdict, Digest), RepoError> {
    let body = register_body(repository, number, GcObject::Verdict, Step::Verdict)?;
    Ok((verdict_body(repository, number, body)?, body))
}

/// Reads the statement of a verdict that is stored under this hash.
pub(crate) fn verdict_body(
    repository: &Repository,
    number: u64,
    body: Digest,
) -> Result<Verdict, RepoError> {
    let (bytes, key) = gc_body(repository, ObjectKind::GcVerdict, number, body)?;
    Verdict::decode(&bytes).map_err(|source| RepoError::Decode { key, source })
}

/// The newest verdict up to `newest` that forgot a snapshot which `is_meant`, and the snapshot.
pub(crate) fn verdict_that_forgot(
    repository: &Repository,
    newest: u64,
    is_meant: &dyn Fn(&SnapshotId) -> bool,
) -> Result<Option<(u64, SnapshotId)>, RepoError> {
    for number in (1..=newest).rev() {
        let verdict = match load_verdict(repository, number) {
            Ok((verdict, _register)) => verdict,
            // What it forgot is not known.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        if let Some(snapshot) = verdict.forgotten.into_iter().find(is_meant) {
            return Ok(Some((number, snapshot)));
        }
    }
    Ok(None)
}

/// Reads the base that a verdict names.
pub(crate) fn load_base(repository: &Repository, verdict: &Verdict) -> Result<Base, RepoError> {
    let (bytes, key) = gc_body(repository, ObjectKind::GcBase, verdict.number, verdict.base)?;
    Base::decode(&bytes).map_err(|source| RepoError::Decode { key, source })
}

/// Reads the body of a plan.
pub(crate) fn load_plan(repository: &Repository, number: u64) -> Result<Plan, RepoError> {
    let body = register_body(repository, number, GcObject::Plan, Step::Plan)?;
    let (bytes, key) = gc_body(repository, ObjectKind::GcPlan, number, body)?;
    Plan::decode(&bytes).map_err(|source| RepoError::Decode { key, source })
}

/// Reads which body a register of a collection names.
pub(crate) fn register_body(
    repository: &Repository,
    number: u64,
    object: GcObject,
    step: Step,
) -> Result<Digest, RepoError> {
    let key = layout::gc_key(number, object);
    let (_bytes, opened) = repository.read_object(ObjectKind::GcRegister, &key, key.as_str())?;
    let signer = opened.signer();
    let body = repository.identities.by_maintenance(repository.id(), opened)?;
    repository.check_signed_in_time(signer, &key)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let register = Register::decode(&body).map_err(decode)?;
    register.check_place(number, step).map_err(decode)?;
    Ok(register.body)
}

/// Reads a body that a register or a verdict names by the hash of its stored bytes.
fn gc_body(
    repository: &Repository,
    kind: ObjectKind,
    number: u64,
    hash: Digest,
) -> Result<(Vec<u8>, String), RepoError> {
    let key = layout::gc_key(number, GcObject::Body(hash));
    let (bytes, opened) = repository.read_object(kind, &key, &gc_body_place(number))?;
    if digest(&bytes) != hash {
        return Err(RepoError::WrongHash { key: key.to_string() });
    }
    let body = repository.identities.by_maintenance(repository.id(), opened)?;
    Ok((body, key.to_string()))
}

/// The place of a body of a collection: its key without the hash of its content.
pub(crate) fn gc_body_place(number: u64) -> String {
    format!("{}/{number:012}/body", layout::GC)
}

/// The commits of one client that no other of its commits names as seen.
pub(crate) fn heads(own: &[(SessionRef, Commit, Digest)]) -> Vec<Head> {
    let named: HashSet<Digest> =
        own.iter().flat_map(|(_, commit, _)| commit.heads.iter().map(|head| head.digest)).collect();
    let mut heads: Vec<Head> = own
        .iter()
        .filter(|(_, _, stored)| !named.contains(stored))
        .map(|(session, _, stored)| Head { session: session.session, digest: *stored })
        .collect();
    heads.sort_unstable();
    heads
}

/// Whether an object that was to be read is not there.
pub(crate) fn is_missing(error: &RepoError) -> bool {
    matches!(error, RepoError::Store { source }
        if source.kind == crate::store::StoreErrorKind::NotFound)
}

/// When the store received an object, in seconds since 1970; 0 if it does not say.
pub(crate) fn received_seconds(listed: &Listed) -> i64 {
    let since = listed.received.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// How often the registers may move while they are read.
const SETTLE_ATTEMPTS: u32 = 64;
