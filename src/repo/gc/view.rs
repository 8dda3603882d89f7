//! What a collection considers: the newest base, and every outcome above its watermark in full.
//! Spec: format-spec/09-session.md, "What is valid".

use crate::format::gc::Base;
use crate::format::gc::BaseCheckpoint;
use crate::format::gc::BaseSnapshot;
use crate::format::gc::FoldedOutcome;
use crate::format::layout;
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
use crate::id::SessionId;
use crate::id::SnapshotId;
use crate::repo::decision::Decision;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::give_up::GivenUp;
use crate::repo::gc::pulse::Pulse;
use crate::repo::history::heads;
use crate::repo::history::is_missing;
use crate::repo::history::load_outcome;
use crate::repo::index::load::whole_segments_of;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

/// The newest base and the outcomes above its watermark.
///
/// Unlike a reader's history it has no gaps: what cannot be read might refer to anything, so that
/// nothing may be deleted.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) chain: GcChain,
    /// The newest verdict.
    pub(crate) verdict: VerdictSeen,
    /// Packs that it removed.
    pub(crate) removed: BTreeSet<PackRef>,
    pub(crate) epoch_min: u64,
    pub(crate) base: Base,
    pub(crate) commits: Vec<Committed>,
    pub(crate) fenced: HashSet<SessionRef>,
    /// Sessions whose outcome is given up, with what they list: others may have used it.
    pub(crate) given_up: BTreeMap<SessionRef, Vec<SegmentRef>>,
}

/// A commit that counts.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) session: SessionRef,
    pub(crate) commit: Commit,
    /// BLAKE3 of its stored bytes.
    pub(crate) digest: Digest,
    /// When the store received it, in seconds since 1970.
    pub(crate) received: i64,
}

impl View {
    /// Reads the base and all outcomes of epochs below `epoch_end`.
    ///
    /// Errors: whatever cannot be read; [`RepoError::Unsettled`] if the base moved every time.
    pub(crate) fn load(
        repository: &Repository,
        epoch_end: u64,
        pulse: Pulse<'_>,
    ) -> Result<Self, RepoError> {
        Self::load_without(repository, epoch_end, pulse, &GivenUp::default())
    }

    /// As [`Self::load`], but goes on without objects that are given up.
    pub(crate) fn load_without(
        repository: &Repository,
        epoch_end: u64,
        pulse: Pulse<'_>,
        given_up: &GivenUp,
    ) -> Result<Self, RepoError> {
        for _attempt in 0..SETTLE_ATTEMPTS {
            let chain = GcChain::load(repository)?;
            match Self::load_at(repository, chain, epoch_end, pulse, given_up) {
                Ok(view) if GcChain::load(repository)?.verdict == chain.verdict => {
                    return Ok(view);
                }
                Ok(_moved) => {}
                Err(error) if is_missing(&error) && GcChain::load(repository)? != chain => {}
                Err(error) => return Err(error),
            }
        }
        Err(RepoError::Unsettled { attempts: SETTLE_ATTEMPTS })
    }

    fn load_at(
        repository: &Repository,
        chain: GcChain,
        epoch_end: u64,
        pulse: Pulse<'_>,
        given_up: &GivenUp,
    ) -> Result<Self, RepoError> {
        let mut view = Self {
            chain,
            verdict: VerdictSeen::NONE,
            removed: BTreeSet::new(),
            epoch_min: 0,
            base: Base::default(),
            commits: Vec::new(),
            fenced: HashSet::new(),
            given_up: BTreeMap::new(),
        };
        if chain.verdict > 0 {
            let decision = given_up.load_decision(repository, chain.verdict)?;
            let Decision { verdict, digest, base } = decision;
            view.base = base;
            view.verdict = VerdictSeen { number: verdict.number, digest };
            view.epoch_min = verdict.epoch_min;
            view.removed = verdict.removed.iter().map(|&name| name.into()).collect();
        }
        for listed in repository.store.list(layout::OUTCOMES)? {
            let Ok(session) = SessionRef::parse_outcome(&listed.key) else { continue };
            if session.epoch < view.epoch_min || session.epoch >= epoch_end {
                continue;
            }
            pulse.beat()?;
            let loaded = load_outcome(repository, session);
            if let Err(error) = &loaded
                && error.is_unreadable()
                && !is_missing(error)
                && given_up.has_outcome(&session)
            {
                view.given_up.insert(session, whole_segments_of(repository, session)?);
                continue;
            }
            let (outcome, digest) = loaded?;
            match outcome {
                Outcome::Commit(commit) => {
                    let received = repository.received(session, &listed);
                    view.commits.push(Committed { session, commit, digest, received });
                }
                Outcome::Fence(_) => {
                    view.fenced.insert(session);
                }
            }
        }
        Ok(view)
    }

    /// Sessions with an outcome that counts.
    pub(crate) fn decided(&self) -> HashSet<SessionRef> {
        let committed = self.commits.iter().map(|committed| committed.session);
        let given_up = self.given_up.keys().copied();
        committed.chain(self.fenced.iter().copied()).chain(given_up).collect()
    }

    /// Every valid segment.
    pub(crate) fn segments(&self) -> BTreeSet<SegmentRef> {
        let of_base = self.base.segments.iter();
        let of_commits = self.commits.iter().flat_map(|committed| &committed.commit.segments);
        let given_up = self.given_up.values().flatten().copied();
        of_base.chain(of_commits).map(|&name| name.into()).chain(given_up).collect()
    }

    /// Every snapshot that counts, forgotten or not.
    pub(crate) fn snapshots(&self) -> Vec<BaseSnapshot> {
        let mut snapshots = self.base.snapshots.clone();
        for Committed { session, commit, received, .. } in &self.commits {
            if let Subject::Snapshot { manifest, source } = &commit.subject {
                snapshots.push(BaseSnapshot {
                    snapshot: session.session.into(),
                    client: session.client,
                    manifest: *manifest,
                    source: source.clone(),
                    received: *received,
                });
            }
        }
        snapshots.sort_unstable();
        snapshots.dedup_by_key(|snapshot| snapshot.snapshot);
        snapshots
    }

    /// Checkpoints that no snapshot of the same client and source ended, and that are not forgotten.
    pub(crate) fn checkpoints(&self, forgotten: &BTreeSet<SessionId>) -> Vec<BaseCheckpoint> {
        let mut checkpoints = Vec::new();
        for checkpoint in &self.base.checkpoints {
            let BaseCheckpoint { client, source, .. } = checkpoint;
            // Folded before: every snapshot that is not folded yet came later, or ran beside it
            // and is held by its own commit.
            if self.snapshots_of(*client, source).next().is_none() {
                checkpoints.push(checkpoint.clone());
            }
        }
        for Committed { session, commit, digest, received } in &self.commits {
            let Subject::Checkpoint { source, roots } = &commit.subject else { continue };
            let client = session.client;
            let ended = self
                .snapshots_of(client, source)
                .any(|snapshot| self.saw(snapshot, session.session, *digest));
            if !ended {
                let (source, roots) = (source.clone(), roots.clone());
                let (session, received) = (session.session, *received);
                checkpoints.push(BaseCheckpoint { session, client, source, roots, received });
            }
        }
        checkpoints.retain(|checkpoint| !forgotten.contains(&checkpoint.session));
        checkpoints.sort_unstable_by_key(|checkpoint| checkpoint.session);
        checkpoints.dedup_by_key(|checkpoint| checkpoint.session);
        checkpoints
    }

    /// What a verdict folds.
    pub(crate) fn folded(&self) -> Vec<FoldedOutcome> {
        let fold = |committed: &Committed| {
            let Committed { session, digest, received, .. } = committed;
            let SessionRef { client, epoch, session } = *session;
            FoldedOutcome { session, client, epoch, digest: *digest, received: *received }
        };
        let mut folded: Vec<_> = self.commits.iter().map(fold).collect();
        folded.sort_unstable();
        folded.dedup_by_key(|folded| folded.session);
        folded
    }

    /// The commits of a client that no other of its commits names.
    pub(crate) fn heads_of(&self, client: ClientId) -> Vec<Head> {
        let own = self.commits.iter().filter(|committed| committed.session.client == client);
        let own: Vec<_> = own.map(|own| (own.session, own.commit.clone(), own.digest)).collect();
        heads(&own)
    }

    fn snapshots_of<'a>(
        &'a self,
        client: ClientId,
        source: &'a str,
    ) -> impl Iterator<Item = &'a Committed> {
        self.commits.iter().filter(move |committed| {
            committed.session.client == client
                && matches!(&committed.commit.subject,
                    Subject::Snapshot { source: of, .. } if of == source)
        })
    }

    /// Whether a commit names another, or names one that does.
    fn saw(&self, commit: &Committed, session: SessionId, digest: Digest) -> bool {
        let by_digest: HashMap<Digest, &Committed> =
            self.commits.iter().map(|committed| (committed.digest, committed)).collect();
        let wanted = Head { session, digest };
        let mut open = vec![commit];
        let mut seen = HashSet::new();
        while let Some(committed) = open.pop() {
            for head in &committed.commit.heads {
                if *head == wanted {
                    return true;
                }
                if seen.insert(head.digest) {
                    open.extend(by_digest.get(&head.digest));
                }
            }
        }
        false
    }
}

/// The snapshots by name.
pub(crate) fn ids(snapshots: &[BaseSnapshot]) -> BTreeSet<SnapshotId> {
    snapshots.iter().map(|snapshot| snapshot.snapshot).collect()
}

/// How often the registers may move while they are read.
const SETTLE_ATTEMPTS: u32 = 64;
