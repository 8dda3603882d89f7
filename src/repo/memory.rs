//! What this host has seen of a repository: a store that shows less went back in time.
//! Spec: format-spec/09-session.md, "Memory".
//!
//! Only what is durable is remembered, so that a loss of power is not taken for a rollback.

use crate::crypto::hash::sha256;
use crate::format::gc::Verdict;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::format::outcome::Commit;
use crate::format::outcome::Head;
use crate::format::outcome::VerdictSeen;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::RecordId;
use crate::id::Sha256;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::load_verdict;
use crate::repo::identities::Identities;
use crate::repo::own_marks::OwnForget;
use crate::repo::own_marks::OwnRecord;
use crate::repo::own_marks::compare_records;
use crate::repo::repository::Repository;
use crate::repo::state::MemoryText;
use crate::store::StoreErrorKind;
use crate::units::to_u64;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;

/// The end of a client's audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AuditHead {
    /// Number of the last record; 0 before the first.
    pub seq: u32,
    /// SHA-256 of its statement; zeros before the first.
    pub digest: Sha256,
}

/// What a host remembers of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The newest verdict.
    pub(crate) verdict: VerdictSeen,
    /// Commits of this host that no later one of it names, with the hash of their outcomes.
    pub(crate) commits: BTreeMap<SessionRef, Digest>,
    /// The ends of audit logs.
    pub(crate) audit: BTreeMap<ClientId, AuditHead>,
    /// How many statements of the authority there were: the last ones may be revocations.
    pub(crate) identities: u32,
    /// Numbers of statements of the authority that are missing, which a person accepted.
    pub(crate) accepted_gaps: BTreeSet<u32>,
    /// The last record of each kind that this host stored for a client.
    pub(crate) records: BTreeMap<(ClientId, String), OwnRecord>,
    /// Forgets of this host that no verdict has folded.
    pub(crate) forgets: BTreeMap<RecordId, OwnForget>,
    /// Where this host has found the repository itself, no mirror of it: SHA-256 of each location.
    pub(crate) places: BTreeSet<Sha256>,
    /// Why its file cannot be read, if it cannot: then nothing above says anything.
    pub(crate) damage: Option<String>,
}

/// What was seen of a repository and is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words("the repository"))]
#[non_exhaustive]
pub struct WentBack {
    /// What was seen.
    pub known: String,
    /// What is there instead.
    pub found: String,
    /// Whether it is the memory of this host that is damaged: what it had seen is not known then.
    pub is_memory_damaged: bool,
}

impl WentBack {
    /// The repository lacks what this host knows of it.
    pub(crate) fn new(known: impl Into<String>, found: impl Into<String>) -> Self {
        Self { known: known.into(), found: found.into(), is_memory_damaged: false }
    }

    /// The memory of this host cannot be read.
    fn unknown(why: &str) -> Self {
        let known = "what its memory held".to_owned();
        Self { known, found: why.to_owned(), is_memory_damaged: true }
    }

    /// The stable code of it.
    pub(crate) const fn code(&self) -> &'static str {
        if self.is_memory_damaged { "memory.damaged" } else { "repository.went_back" }
    }

    /// What it means, of `whom`.
    pub(crate) fn words(&self, whom: &str) -> String {
        let Self { known, found, is_memory_damaged } = self;
        if *is_memory_damaged {
            return format!(
                "whether {whom} went back in time is not known: this host's memory of it is damaged: {found}"
            );
        }
        format!("{whom} went back in time: this host has seen {known}, and finds {found}")
    }
}

impl AuditHead {
    /// Before the first record.
    pub(crate) const NONE: Self = Self { seq: 0, digest: Sha256::new([0; 32]) };
}

impl Memory {
    /// Notes a commit of this host, which is durable.
    pub(crate) fn add_commit(&mut self, session: SessionRef, named: &[Head], stored: Digest) {
        let is_named = |digest: &Digest| named.iter().any(|head| head.digest == *digest);
        self.commits.retain(|_session, digest| !is_named(digest));
        self.commits.insert(session, stored);
    }

    /// Notes the end of an audit log.
    pub(crate) fn add_audit(&mut self, client: ClientId, head: AuditHead) {
        let known = self.audit.entry(client).or_insert(head);
        if known.seq < head.seq {
            *known = head;
        }
    }

    /// Takes what a file holds; a damaged one is none that says nothing.
    pub(crate) fn of(text: &MemoryText) -> Self {
        match text {
            MemoryText::Intact(text) => Self::parse(text),
            MemoryText::Damaged(why) => Self { damage: Some(why.clone()), ..Self::default() },
        }
    }

    /// Takes the lines of a file; others than its own say nothing.
    fn parse(text: &str) -> Self {
        let mut memory = Self::default();
        for line in text.lines() {
            // A line that somebody wrote who knows more says nothing here.
            let _known = memory.parse_line(line);
        }
        memory
    }

    fn parse_line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["verdict", number, digest] => {
                let (number, digest) = (number.parse().ok()?, digest.parse().ok()?);
                self.verdict = VerdictSeen { number, digest };
            }
            ["commit", client, epoch, session, digest] => {
                let session = SessionRef {
                    client: client.parse().ok()?,
                    epoch: epoch.parse().ok()?,
                    session: session.parse().ok()?,
                };
                self.commits.insert(session, digest.parse().ok()?);
            }
            ["audit", client, seq, digest] => {
                let head = AuditHead { seq: seq.parse().ok()?, digest: digest.parse().ok()? };
                self.audit.insert(client.parse().ok()?, head);
            }
            ["place", location] => drop(self.places.insert(location.parse().ok()?)),
            ["identities", count] => self.identities = count.parse().ok()?,
            ["gap", number] => drop(self.accepted_gaps.insert(number.parse().ok()?)),
            ["record", kind, client, number, digest] => {
                let (number, digest) = (number.parse().ok()?, digest.parse().ok()?);
                let key = (client.parse().ok()?, (*kind).to_owned());
                self.records.insert(key, OwnRecord { number, digest });
            }
            ["forget", record, verdict, snapshots @ ..] => {
                let snapshots: Result<_, _> = snapshots.iter().map(|word| word.parse()).collect();
                let forget =
                    OwnForget { verdict: verdict.parse().ok()?, snapshots: snapshots.ok()? };
                self.forgets.insert(record.parse().ok()?, forget);
            }
            _other => {}
        }
        Some(())
    }

    /// The lines of its file.
    pub(crate) fn lines(&self) -> String {
        let Self { verdict, commits, audit, identities, places, .. } = self;
        let mut text = String::new();
        // Writing into a string does not fail.
        let mut line = |words: fmt::Arguments<'_>| {
            let _ignored = writeln!(text, "{words}");
        };
        if verdict.number > 0 {
            line(format_args!("verdict {} {}", verdict.number, verdict.digest));
        }
        for (SessionRef { client, epoch, session }, digest) in commits {
            line(format_args!("commit {client} {epoch} {session} {digest}"));
        }
        for (client, AuditHead { seq, digest }) in audit {
            line(format_args!("audit {client} {seq} {digest}"));
        }
        if *identities > 0 {
            line(format_args!("identities {identities}"));
        }
        for number in &self.accepted_gaps {
            line(format_args!("gap {number}"));
        }
        for ((client, kind), OwnRecord { number, digest }) in &self.records {
            line(format_args!("record {kind} {client} {number} {digest}"));
        }
        for (record, OwnForget { verdict, snapshots }) in &self.forgets {
            let words: Vec<String> = snapshots.iter().map(ToString::to_string).collect();
            let words = [&[record.to_string(), verdict.to_string()], words.as_slice()].concat();
            line(format_args!("forget {}", words.join(" ")));
        }
        for place in places {
            line(format_args!("place {place}"));
        }
        text
    }
}

impl History {
    /// Checks the same of a repository whose history is not needed.
    pub(crate) fn check_as_known(repository: &Repository) -> Result<(), RepoError> {
        Self::load_readable(repository)?.check_not_back()
    }

    /// Checks that nothing is missing that this host has seen: else nothing is written.
    pub(crate) fn check_not_back(&self) -> Result<(), RepoError> {
        match &self.went_back {
            Some(back) => Err(RepoError::WentBack { source: back.clone() }),
            None => Ok(()),
        }
    }
}

impl Repository {
    /// What this host remembers of the repository; nothing of a mirror, which may lag behind.
    pub(crate) fn memory(&self) -> Memory {
        let state = self.state.as_ref().filter(|_state| !self.is_mirror());
        state.map(|state| Memory::of(&state.memory())).unwrap_or_default()
    }

    /// Whether this host has found the repository itself where notes call it a mirror now: whoever put them there wants it to be
    /// believed though it lags behind.
    pub(crate) fn is_disguised(&self) -> bool {
        self.is_mirror() && self.known_places().contains(&self.place_digest())
    }

    fn known_places(&self) -> BTreeSet<Sha256> {
        let memory = self.state.as_ref().map(|state| Memory::of(&state.memory()));
        memory.map(|memory| memory.places).unwrap_or_default()
    }

    fn place_digest(&self) -> Sha256 {
        sha256(self.location().as_bytes())
    }

    /// The same repository for a run that accepts that statements of the authority are missing.
    #[must_use]
    pub(crate) fn accepting_gaps(self) -> Self {
        Self { accepts_gaps: true, ..self }
    }

    /// Changes what this host remembers.
    pub(crate) fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), RepoError> {
        let Some(state) = self.state.as_ref().filter(|_state| !self.is_mirror()) else {
            return Ok(());
        };
        state.change_memory(|text| {
            let before = Memory::of(text);
            let mut memory = before.clone();
            change(&mut memory);
            // A damaged one stays until a person accepts that: else the next run would know of nothing.
            (memory != before && memory.damage.is_none()).then(|| memory.lines())
        })
    }
}

/// Compares what is there with what this host remembers, and remembers what is newer.
///
/// `own` are the commits of this client that were read, with the hashes of their outcomes.
pub(crate) fn compare(
    repository: &Repository,
    memory: &Memory,
    chain: Chain,
    history: &History,
    own: &[(SessionRef, Commit, Digest)],
) -> Result<Option<WentBack>, RepoError> {
    if repository.is_mirror() {
        return Ok(None);
    }
    if let Some(back) = compare_cheaply(repository, memory)? {
        return Ok(Some(back));
    }
    if repository.state.is_none() {
        return Ok(None);
    }
    if let Some(back) = compare_records(repository, memory)? {
        return Ok(Some(back));
    }
    if let Some(back) = compare_verdict(repository, chain, history, memory.verdict)? {
        return Ok(Some(back));
    }
    if history.verdict.number < chain.verdict {
        // The newest cannot be read: what it folded is not known.
        return Ok(None);
    }
    let mut folded = Vec::new();
    for (session, digest) in &memory.commits {
        if session.client != repository.keys.client {
            continue;
        }
        if session.epoch >= history.epoch_min {
            if !is_there(history, own, *session, *digest) {
                return Ok(Some(missing_commit(*session)));
            }
        } else {
            match fate_of(repository, chain, *session, *digest)? {
                Fate::Closed => folded.push(*session),
                Fate::Unknown => {}
                Fate::Another => return Ok(Some(missing_commit(*session))),
            }
        }
    }
    let seen = history.verdict;
    let is_newer = seen.number > memory.verdict.number;
    let place = repository.place_digest();
    if is_newer {
        // Another process may have written it, and a loss of power may still take it away.
        repository.store.settle(&layout::gc_key(seen.number, GcObject::Verdict))?;
    }
    if is_newer || !folded.is_empty() || !memory.places.contains(&place) {
        // Who cannot write on this host may read all the same.
        let _ignored = repository.remember(|memory| {
            if seen.number > memory.verdict.number {
                memory.verdict = seen;
            }
            memory.commits.retain(|session, _digest| !folded.contains(session));
            memory.places.insert(place);
        });
    }
    Ok(None)
}

/// What can be compared without asking the store for anything, as long as nothing is wrong.
pub(crate) fn compare_cheaply(
    repository: &Repository,
    memory: &Memory,
) -> Result<Option<WentBack>, RepoError> {
    if repository.is_mirror() {
        return Ok(None);
    }
    if let Some(why) = &memory.damage {
        return Ok(Some(WentBack::unknown(why)));
    }
    if repository.has_false_notes {
        let found = "notes that call it a mirror";
        return Ok(Some(WentBack::new("the repository itself in this place", found)));
    }
    compare_identities(repository, memory)
}

/// Compares what the authority says of keys: who hides its last words hides revocations. Whoever looks sees a number that
/// is missing below the last one, with a memory or without.
fn compare_identities(
    repository: &Repository,
    memory: &Memory,
) -> Result<Option<WentBack>, RepoError> {
    let known = memory.identities;
    let gap = |identities: &Identities| {
        let is_accepted = |number: &u32| memory.accepted_gaps.contains(number);
        let mut gaps = identities.gaps().filter(|number| !is_accepted(number));
        gaps.next().filter(|_number| !repository.accepts_gaps)
    };
    let lacks = |identities: &Identities| identities.count < known || gap(identities).is_some();
    let seen = &repository.identities;
    if !lacks(seen) {
        if seen.count > known && seen.missing.is_empty() {
            repository.store.settle(&layout::identity_key(seen.count))?;
            // Who cannot write on this host may read all the same.
            let _ignored = repository.remember(|memory| {
                memory.identities = memory.identities.max(seen.count);
            });
        }
        return Ok(None);
    }
    // Another process of this host may have seen those that came since this one began.
    let newest = Identities::load(repository)?;
    if !lacks(&newest) {
        return Ok(None);
    }
    if let Some(number) = gap(&newest) {
        let known = format!("statement {} of the authority about keys", newest.count);
        let found = format!("no statement {number}, which may be a revocation");
        return Ok(Some(WentBack::new(known, found)));
    }
    let found = u64::from(newest.count).saturating_sub(to_u64(newest.missing.len()));
    let known = format!("{known} statements of the authority about keys");
    Ok(Some(WentBack::new(known, found.to_string())))
}

/// Whether a commit of an epoch that counts is there, or may be.
fn is_there(
    history: &History,
    own: &[(SessionRef, Commit, Digest)],
    session: SessionRef,
    digest: Digest,
) -> bool {
    own.iter().any(|(found, _, stored)| *found == session && *stored == digest)
        || history.is_unreadable(&session.outcome_key())
}

/// What became of a commit that the newest base may have folded.
enum Fate {
    /// A signed verdict folded it.
    Closed,
    /// The verdict that tells it cannot be read.
    Unknown,
    /// The verdict that closed its epoch folded another outcome of the session, or none: somebody removed it before, or gave it
    /// up.
    Another,
}

fn fate_of(
    repository: &Repository,
    chain: Chain,
    session: SessionRef,
    digest: Digest,
) -> Result<Fate, RepoError> {
    // A session of epoch E stands in the roster of collection E + 1 and in no other.
    let number = session.epoch.saturating_add(1);
    if number > chain.verdict {
        return Ok(Fate::Unknown);
    }
    match load_verdict(repository, number) {
        Ok((Verdict { folded, .. }, _digest)) => {
            let found = folded.iter().find(|found| found.session == session.session);
            let is_it = found.is_some_and(|found| found.digest == digest);
            Ok(if is_it { Fate::Closed } else { Fate::Another })
        }
        Err(error) if error.is_damage() => Ok(Fate::Unknown),
        Err(error) => Err(error),
    }
}

/// Whether the register of the newest verdict that this host has seen is gone: no collection deletes one.
pub(crate) fn verdict_is_missing(repository: &Repository) -> Result<Option<WentBack>, RepoError> {
    let known = repository.memory().verdict.number;
    if known == 0 {
        return Ok(None);
    }
    match repository.store.length(&layout::gc_key(known, GcObject::Verdict)) {
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            let known = format!("collection {known}");
            Ok(Some(WentBack::new(known, "nothing that it left")))
        }
        length => Ok(length.map(|_bytes| None)?),
    }
}

fn compare_verdict(
    repository: &Repository,
    chain: Chain,
    history: &History,
    known: VerdictSeen,
) -> Result<Option<WentBack>, RepoError> {
    let back = |found: String| Some(WentBack::new(format!("collection {}", known.number), found));
    if known.number == 0 {
        return Ok(None);
    }
    if chain.verdict < known.number {
        let newest = chain.verdict;
        return Ok(back(if newest == 0 {
            "none".to_owned()
        } else {
            format!("collection {newest} as the newest")
        }));
    }
    // The newest that could be read may be an older one, of a repository that is damaged.
    let found = match history.verdict.number.cmp(&known.number) {
        Ordering::Equal => history.verdict.digest,
        Ordering::Greater => match load_verdict(repository, known.number) {
            Ok((_verdict, digest)) => digest,
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        },
        Ordering::Less => return Ok(None),
    };
    Ok(if found == known.digest { None } else { back("another of that number".to_owned()) })
}

fn missing_commit(session: SessionRef) -> WentBack {
    let known = format!("the commit of session {}", session.session);
    WentBack::new(known, "neither it nor a collection that folded it")
}
