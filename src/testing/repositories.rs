//! Repositories in any store, with a fixed clock, repeatable randomness and key files; and what
//! only a maintainer or a damaged store would put there.
//! Invariant: nothing is added to what the library itself does.

use crate::crypto::hash::digest;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::envelope::ObjectKind;
use crate::format::gc::Base;
use crate::format::gc::BaseSnapshot;
use crate::format::gc::FoldedOutcome;
use crate::format::gc::PackName;
use crate::format::gc::Plan;
use crate::format::gc::Register;
use crate::format::gc::Step;
use crate::format::gc::Verdict;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::PackRef;
use crate::format::layout::SessionRef;
use crate::format::outcome::Fence;
use crate::format::outcome::FenceReason;
use crate::format::outcome::Outcome;
use crate::format::session::Purpose;
use crate::id::Digest;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::announce::announce;
use crate::repo::create::create;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::first::InitOptions;
use crate::repo::first::InitPlan;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::history::gc_body_place;
use crate::repo::history::load_outcome;
use crate::repo::index::load::load_segment;
use crate::repo::key_file::KeyFile;
use crate::repo::objects;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::repo::slots::Credential;
use crate::repo::slots::NewSecret;
use crate::repo::state::StateDirectory;
use crate::store::Store;
use crate::testing::fault_plan::SplitMix;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// A clock that stands still, and randomness that a seed repeats. Not for secrets.
#[derive(Debug)]
pub struct FixedEnvironment {
    seconds: i64,
    random: Mutex<SplitMix>,
}

impl FixedEnvironment {
    /// This time for ever, and the randomness of this seed. Two processes of one repository must
    /// not share a seed: their names would collide.
    pub fn new(seconds: i64, seed: u64) -> Self {
        Self { seconds, random: Mutex::new(SplitMix::new(seed)) }
    }
}

impl Environment for FixedEnvironment {
    fn now(&self) -> (i64, u32) {
        (self.seconds, 0)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in buffer {
            *byte = random.below(256).to_le_bytes()[0];
        }
    }
}

/// Makes a repository in `store` with a key file.
pub fn init_in(
    store: &Arc<dyn Store>,
    environment: &Arc<dyn Environment>,
    options: InitOptions,
) -> Result<KeyFile, RepoError> {
    let plan = InitPlan::new(options, environment.as_ref());
    let file = KeyFile::generate(plan.repository, plan.slot, environment.as_ref());
    let located = Located::new(Arc::clone(store), Arc::clone(environment));
    located.init(&plan, NewSecret::KeyFile(&file))?;
    Ok(file)
}

/// Opens the repository in `store` without a cache; `state` is the client's memory.
pub fn open_in(
    store: &Arc<dyn Store>,
    environment: &Arc<dyn Environment>,
    file: &KeyFile,
    state: Option<&Path>,
) -> Result<Repository, RepoError> {
    let state = state.map(|path| StateDirectory::new(path.to_path_buf()));
    let located = Located::new(Arc::clone(store), Arc::clone(environment));
    located.open(&Credential::KeyFile(file.clone()), None, state)
}

/// Stores what a maintainer stores, step by step and wherever a test wants it.
pub struct Maintainer<'a> {
    repository: &'a Repository,
    signer: Signer,
}

impl<'a> Maintainer<'a> {
    /// A maintainer with the keys of an opened repository.
    ///
    /// Errors: [`RepoError::RoleLacks`] if its slot lacks the maintenance key.
    pub fn new(repository: &'a Repository) -> Result<Self, RepoError> {
        let keys = &repository.keys;
        let seed = keys.keys.maintenance.ok_or_else(|| keys.lacks(Right::Collect))?;
        Ok(Self { repository, signer: Signer::new(&Secret::new(seed)) })
    }

    /// The same, but everything is signed by the client's key, which may not sign it.
    pub fn forging(repository: &'a Repository) -> Self {
        Self { repository, signer: repository.keys.signer.clone() }
    }

    /// Stores the plan of collection `number`, which condemns these packs.
    ///
    /// Returns the hash of its body, which the verdict names.
    pub fn plan(&self, number: u64, condemned: &[ObjectKey]) -> Result<Digest, RepoError> {
        let mut packs = pack_names(condemned);
        packs.sort_unstable();
        let history = History::load(self.repository)?;
        let mut roots: Vec<_> = history.snapshots.iter().map(|live| live.snapshot).collect();
        roots.sort_unstable();
        let forgets = history.marks.forgets().iter().copied().collect();
        let plan = Plan { number, condemned: packs, roots, forgets };
        let body = self.body(ObjectKind::GcPlan, number, &plan.encode())?;
        self.register(number, Step::Plan, GcObject::Plan, body)?;
        Ok(body)
    }

    /// Stores the verdict of collection `number`: everything that is valid becomes its base, but
    /// for these snapshots and packs, and segments that list no other packs.
    pub fn verdict(
        &self,
        number: u64,
        plan: Digest,
        removed: &[ObjectKey],
        forgotten: &[SnapshotId],
    ) -> Result<(), RepoError> {
        let history = self.closed_before(number)?;
        let mut removed = pack_names(removed);
        removed.sort_unstable();
        let mut forgotten = forgotten.to_vec();
        forgotten.sort_unstable();
        let base = self.base(number, &history, &removed, &forgotten)?;
        let base = self.body(ObjectKind::GcBase, number, &base.encode())?;
        let folded = self.folded(&history)?;
        let previous = history.verdict.digest;
        let epoch_min = number;
        let verdict =
            Verdict { number, plan, previous, base, removed, forgotten, folded, epoch_min };
        let body = self.body(ObjectKind::GcVerdict, number, &verdict.encode())?;
        self.register(number, Step::Verdict, GcObject::Verdict, body)
    }

    /// Says that the deletes of collection `number` are durable.
    pub fn done(&self, number: u64) -> Result<(), RepoError> {
        self.register(number, Step::Done, GcObject::Done, Digest::new([0; 32]))
    }

    /// Stores the announcement of a writer's session of this client.
    ///
    /// Errors: [`RepoError::Decode`] if the key is of no announcement.
    pub fn announce(&self, announcement: &ObjectKey) -> Result<(), RepoError> {
        let decode = |source| RepoError::Decode { key: announcement.to_string(), source };
        let session = SessionRef::parse_announcement(announcement).map_err(decode)?;
        announce(self.repository, session, Purpose::Write, "test")
    }

    /// Fences the session whose announcement has this key.
    ///
    /// Errors: [`RepoError::Decode`] if the key is of no announcement; the store's if the session
    /// has an outcome.
    pub fn fence(&self, announcement: &ObjectKey) -> Result<(), RepoError> {
        let decode = |source| RepoError::Decode { key: announcement.to_string(), source };
        let session = SessionRef::parse_announcement(announcement).map_err(decode)?;
        let nonce = random(self.repository.environment.as_ref());
        let fence = Outcome::Fence(Fence { reason: FenceReason::Own, nonce });
        let key = session.outcome_key();
        let bytes = self.seal(ObjectKind::Outcome, key.as_str(), &fence.encode())?;
        Ok(self.repository.store.create(&key, &bytes)?)
    }

    /// What is valid but for sessions that the collection does not close.
    fn closed_before(&self, number: u64) -> Result<History, RepoError> {
        let mut history = History::load(self.repository)?;
        let later = |outcome: &&SessionRef| outcome.epoch >= number;
        let later: Vec<_> = history.outcomes.iter().filter(later).copied().collect();
        history.outcomes.retain(|outcome| outcome.epoch < number);
        for session in later {
            let (outcome, _digest) = load_outcome(self.repository, session)?;
            let snapshot = session.session.into();
            history.snapshots.retain(|live| live.snapshot != snapshot);
            if let Outcome::Commit(commit) = outcome {
                history.segments.retain(|&segment| !commit.segments.contains(&segment.into()));
            }
        }
        Ok(history)
    }

    fn base(
        &self,
        number: u64,
        history: &History,
        removed: &[PackName],
        forgotten: &[SnapshotId],
    ) -> Result<Base, RepoError> {
        let lives = |live: &&LiveSnapshot| !forgotten.contains(&live.snapshot);
        let mut snapshots: Vec<_> =
            history.snapshots.iter().filter(lives).map(base_snapshot).collect();
        snapshots.sort_unstable();
        let mut segments = Vec::new();
        for &segment in &history.segments {
            let packs = load_segment(self.repository, segment)?.packs;
            let keys: Vec<_> = packs.iter().map(|pack| pack.reference().key()).collect();
            if pack_names(&keys).iter().any(|pack| !removed.contains(pack)) {
                segments.push(segment.into());
            }
        }
        segments.sort_unstable();
        Ok(Base { number, snapshots, checkpoints: Vec::new(), segments })
    }

    fn folded(&self, history: &History) -> Result<Vec<FoldedOutcome>, RepoError> {
        let mut folded = Vec::new();
        for &outcome in &history.outcomes {
            let (read, digest) = load_outcome(self.repository, outcome)?;
            if matches!(read, Outcome::Commit(_)) {
                let SessionRef { client, epoch, session } = outcome;
                folded.push(FoldedOutcome { session, client, epoch, digest, received: 0 });
            }
        }
        folded.sort_unstable();
        Ok(folded)
    }

    fn body(&self, kind: ObjectKind, number: u64, body: &[u8]) -> Result<Digest, RepoError> {
        let bytes = self.seal(kind, &gc_body_place(number), body)?;
        let hash = digest(&bytes);
        create(
            self.repository.store.as_ref(),
            &layout::gc_key(number, GcObject::Body(hash)),
            &bytes,
        )?;
        Ok(hash)
    }

    fn register(
        &self,
        number: u64,
        step: Step,
        object: GcObject,
        body: Digest,
    ) -> Result<(), RepoError> {
        let nonce = random(self.repository.environment.as_ref());
        let register = Register { number, step, body, nonce };
        let key = layout::gc_key(number, object);
        let bytes = self.seal(ObjectKind::GcRegister, key.as_str(), &register.encode())?;
        Ok(self.repository.store.create(&key, &bytes)?)
    }

    fn seal(&self, kind: ObjectKind, place: &str, body: &[u8]) -> Result<Vec<u8>, RepoError> {
        let Repository { keys, environment, .. } = self.repository;
        objects::seal(kind, keys, place, body, &self.signer, environment.as_ref())
    }
}

fn base_snapshot(live: &LiveSnapshot) -> BaseSnapshot {
    let LiveSnapshot { client, snapshot, manifest, source, received, is_in_base: _ } = live.clone();
    BaseSnapshot { snapshot, client, manifest, source, received }
}

fn pack_names(keys: &[ObjectKey]) -> Vec<PackName> {
    let name = |key: &ObjectKey| {
        let PackRef { session, sequence, id } = PackRef::parse(key).ok()?;
        let SessionRef { client, epoch, session } = session;
        Some(PackName { client, epoch, session, sequence, id })
    };
    keys.iter().filter_map(name).collect()
}
