//! An opened repository: its store, its config, the keys of one slot.

use crate::chunk::ChunkParams;
use crate::chunk::Chunker;
use crate::crypto::sign::key_id;
use crate::format::config::ChunkerProfile;
use crate::format::config::Config;
use crate::format::config::StoreMode;
use crate::format::envelope::ObjectKind;
use crate::format::keyslot::Role;
use crate::format::keyslot::SLOT_BYTES_MAX;
use crate::format::keyslot::Slot;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::id::ClientId;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::repo::amendments;
use crate::repo::audit::gate::Gate;
use crate::repo::cache::CacheDirectory;
use crate::repo::config::open_config;
use crate::repo::copies::read_copy;
use crate::repo::copies::read_or_copy;
use crate::repo::environment::Environment;
use crate::repo::error::RepoError;
use crate::repo::folders::FIRST_FOLDERS;
use crate::repo::folders::MIRROR_FOLDERS;
use crate::repo::folders::refuse_others;
use crate::repo::identities::Identities;
use crate::repo::kept::Kept;
use crate::repo::keyring::KeyRing;
use crate::repo::mirror::state::MirrorState;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::repo::parity::ParityStore;
use crate::repo::signed_at::Receipts;
use crate::repo::slots;
use crate::repo::slots::Credential;
use crate::repo::slots::Unlocked;
use crate::repo::state::StateDirectory;
use crate::store::Listed;
use crate::store::Store;
use crate::store::StoreErrorKind;
use crate::store::ordered::OrderedStore;
use crate::store::paced::PacedStore;
use crate::store::posix::PosixStore;
use crate::units::to_u64;
use std::path::Path;
use std::sync::Arc;

pub use crate::store::pace::Rates;

/// A repository that a slot opened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) config: Arc<Config>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) cache: Option<CacheDirectory>,
    pub(crate) state: Option<StateDirectory>,
    /// What this host keeps of a store that is asked over a network.
    pub(crate) kept: Option<Arc<Kept>>,
    /// Computes damaged packs from their sidecars, if the repository has any.
    pub(crate) parity: Option<Arc<ParityStore>>,
    /// The verdict as of which it is read, if that is not the newest.
    pub(crate) at_verdict: Option<u64>,
    /// What the notes of a mirror say, if this is one or was one.
    pub(crate) mirror: Option<Arc<MirrorState>>,
    /// Notes call it a mirror though this host knows better.
    pub(crate) has_false_notes: bool,
    /// Whether this run accepts that statements of the authority are missing.
    pub(crate) accepts_gaps: bool,
    /// What must be durable before anything is committed.
    pub(crate) gate: Option<Arc<Gate>>,
    /// When objects were received, as far as that was asked for.
    pub(crate) receipts: Arc<Receipts>,
}

/// A repository that was found and not yet opened.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    store: Arc<dyn Store>,
    environment: Arc<dyn Environment>,
}

impl Located {
    /// A repository in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, environment: Arc<dyn Environment>) -> Self {
        Self { store: Arc::new(OrderedStore::new(store)), environment }
    }

    /// The repository in a directory that exists.
    pub(crate) fn at_path(
        path: &Path,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, RepoError> {
        match PosixStore::open(path) {
            Ok(store) => Ok(Self::new(Arc::new(store), environment)),
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                Err(RepoError::NoRepository { location: error.location })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A place for a mirror in a directory, made if it is missing; only an empty directory or one
    /// that holds nothing but a repository will do.
    pub(crate) fn mirror_at_path(
        path: &Path,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, RepoError> {
        refuse_others(path, MIRROR_FOLDERS)?;
        Ok(Self::new(Arc::new(PosixStore::create(path)?), environment))
    }

    /// A place for a repository, made if it is missing; only an empty directory or one that an
    /// interrupted `init` left will do.
    pub(crate) fn create_at_path(
        path: &Path,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, RepoError> {
        refuse_others(path, FIRST_FOLDERS)?;
        Ok(Self::new(Arc::new(PosixStore::create(path)?), environment))
    }

    /// The same place through another store.
    pub(crate) fn over(&self, store: Arc<dyn Store>) -> Self {
        Self { store, environment: Arc::clone(&self.environment) }
    }

    /// Its store.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Clock and randomness.
    pub(crate) fn environment(&self) -> &dyn Environment {
        self.environment.as_ref()
    }

    /// Checks that there is no repository yet.
    pub(crate) fn check_absent(&self) -> Result<(), RepoError> {
        if self.holds_config()? {
            return Err(RepoError::NotEmpty { location: self.store.location() });
        }
        Ok(())
    }

    /// Opens the repository with a credential.
    pub(crate) fn open(
        &self,
        credential: &Credential,
        cache: Option<CacheDirectory>,
        state: Option<StateDirectory>,
    ) -> Result<Repository, RepoError> {
        let config = self.read_config()?;
        self.open_unlocked(&config, self.unlock(credential)?, cache, state)
    }

    /// Opens the repository with keys that a slot of it gave.
    pub(crate) fn open_with_keys(
        &self,
        keys: KeyRing,
        cache: Option<CacheDirectory>,
        state: Option<StateDirectory>,
    ) -> Result<Repository, RepoError> {
        self.open_unlocked(&self.read_config()?, keys, cache, state)
    }

    /// The bytes of the config, which may be damaged where there are copies.
    fn read_config(&self) -> Result<Vec<u8>, RepoError> {
        let store = self.store.as_ref();
        let key = layout::config_key();
        let bytes = match store.read(&key, CONFIG_BYTES_MAX) {
            // An `init` that was cut off leaves keys and identities; sessions follow the config.
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return Err(if store.list(layout::SESSIONS)?.is_empty() {
                    RepoError::NoRepository { location: store.location() }
                } else {
                    error.into()
                });
            }
            read => read?,
        };
        if store.copies().is_empty() {
            // Before a key is asked for, which would be for nothing.
            objects::open_clear(ObjectKind::Config, key.as_str(), &bytes)?;
        }
        Ok(bytes)
    }

    fn open_unlocked(
        &self,
        config: &[u8],
        keys: KeyRing,
        cache: Option<CacheDirectory>,
        state: Option<StateDirectory>,
    ) -> Result<Repository, RepoError> {
        let store = self.store.as_ref();
        let repository = keys.repository;
        let mut config = match open_config(&keys, config) {
            Err(error) if error.is_damage() => read_copy(store, |copy| {
                open_config(&keys, &copy.read(&layout::config_key(), CONFIG_BYTES_MAX)?)
            })
            .ok_or(error)?,
            opened => opened?,
        };
        let amended = amendments::apply(store, &mut config)?;
        check_features(&config.features.read, "read")?;
        if config.store == StoreMode::NoRegisters {
            store.give_up_conditions();
        }
        // What is remembered of the source of a promoted mirror says nothing about the mirror.
        let remembered = amended.promoted.last().map(|(_mirror, history)| *history);
        let remembered = remembered.map_or(repository, |history| RepoId::new(*history.as_bytes()));
        let cache = cache.map(|cache| cache.for_repository(remembered));
        let kept = store.traffic().map(|_remote| Arc::new(Kept::new(cache.as_ref())));
        let mut opened = Repository {
            store: Arc::clone(&self.store),
            environment: Arc::clone(&self.environment),
            keys: Arc::new(keys),
            config: Arc::new(config),
            identities: Arc::default(),
            cache,
            state: state.map(|state| state.for_repository(remembered)),
            kept,
            parity: None,
            at_verdict: None,
            mirror: None,
            has_false_notes: false,
            accepts_gaps: false,
            gate: None,
            receipts: Arc::default(),
        };
        let identities = Identities::load(&opened)?;
        let renewals = identities.renewals_for(opened.keys.client);
        opened.keys = Arc::new(opened.keys.with_renewals(Arc::clone(&self.store), renewals)?);
        let mirror = MirrorState::load(store, &opened.keys, &identities, &amended)?;
        opened.identities = Arc::new(identities);
        opened.mirror = mirror.map(Arc::new);
        if opened.is_disguised() {
            opened.mirror = None;
            opened.has_false_notes = true;
        }
        Ok(opened.with_parity())
    }

    /// The config as the repository claims it: it says itself who may have signed it.
    pub(crate) fn claimed_config(&self) -> Result<Config, RepoError> {
        let key = layout::config_key();
        let bytes = match self.store.read(&key, CONFIG_BYTES_MAX) {
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return Err(RepoError::NoRepository { location: self.store.location() });
            }
            read => read?,
        };
        let signed = objects::open_clear(ObjectKind::Config, key.as_str(), &bytes)?;
        let decode = |source| RepoError::Decode { key: layout::CONFIG.to_owned(), source };
        let config = Config::decode(signed.unverified()).map_err(decode)?;
        verified_by_authority(signed, config.repository, &config.authority)?;
        Ok(config)
    }

    /// The same place with limits on bytes a second, for a store that has none of its own.
    pub(crate) fn paced(self, rates: Rates) -> Self {
        if rates == Rates::default() {
            return self;
        }
        Self { store: Arc::new(PacedStore::new(self.store, rates)), ..self }
    }

    /// The repository's slots with the keys they are stored under; damaged ones as errors.
    pub(crate) fn slots(&self) -> Result<Vec<StoredSlot>, RepoError> {
        let listed = self.store.list(layout::KEYS)?;
        Ok(listed.into_iter().map(|listed| (listed.key.clone(), self.slot(&listed.key))).collect())
    }

    fn unlock(&self, credential: &Credential) -> Result<KeyRing, RepoError> {
        if let Some(keys) = self.unlock_named(credential) {
            return Ok(keys);
        }
        let slots = self.slots()?;
        slots::check_repository(credential, &slots)?;
        let count = slots.len();
        let mut damaged = None;
        for (_key, slot) in slots {
            let slot = match slot {
                Ok(slot) => slot,
                Err(error) => {
                    damaged = Some(error);
                    continue;
                }
            };
            if let Unlocked::Keys(keys) = slots::unlock(&slot, credential)? {
                let header = slot.header;
                return Ok(KeyRing::new(header.repository, header.slot, header.role, *keys));
            }
        }
        // A damaged slot may be the one that the credential opens: that is damage, not a typo.
        match damaged {
            Some(error) => Err(error),
            None => Err(RepoError::WrongKey { secret: credential_words(credential), slots: count }),
        }
    }

    /// Opens the slot that a key file names, if it is there and all is well; otherwise all slots
    /// tell what is wrong.
    fn unlock_named(&self, credential: &Credential) -> Option<KeyRing> {
        let Credential::KeyFile(file) = credential else { return None };
        let Ok(slot) = self.slot(&layout::slot_key(file.slot)) else { return None };
        if slot.header.repository != file.repository {
            return None;
        }
        let Ok(Unlocked::Keys(keys)) = slots::unlock(&slot, credential) else { return None };
        let header = slot.header;
        Some(KeyRing::new(header.repository, header.slot, header.role, *keys))
    }

    fn slot(&self, key: &ObjectKey) -> Result<Slot, RepoError> {
        read_or_copy(self.store.as_ref(), |store| {
            slots::decode_slot(key, &store.read(key, to_u64(SLOT_BYTES_MAX))?)
        })
    }

    fn holds_config(&self) -> Result<bool, RepoError> {
        match self.store.length(&layout::config_key()) {
            Ok(_length) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A key slot as it is stored: its key, and the slot or what is wrong with it.
pub(crate) type StoredSlot = (ObjectKey, Result<Slot, RepoError>);

impl Repository {
    /// What was asked of the store so far, if it is asked over a network.
    pub(crate) fn traffic(&self) -> Option<crate::store::Traffic> {
        self.store.traffic()
    }

    /// The repository's name.
    pub fn id(&self) -> RepoId {
        self.keys.repository
    }

    /// Where it is.
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// The client of the key in use.
    pub fn client(&self) -> ClientId {
        self.keys.client
    }

    /// The role of the slot that opened it.
    pub fn role(&self) -> Role {
        self.keys.role
    }

    /// Every stored pack with its length, whether it counts or not.
    pub(crate) fn list_packs(&self) -> Result<Vec<(PackRef, u64)>, RepoError> {
        let listed = self.store.list(layout::PACKS)?;
        let parsed = |listed: Listed| Some((PackRef::parse(&listed.key).ok()?, listed.length));
        Ok(listed.into_iter().filter_map(parsed).collect())
    }

    /// Whether an error means that stored bytes are damaged. Reads a small object if one object
    /// could not be read: where that fails too, it is the store that failed.
    pub(crate) fn is_damage(&self, error: &RepoError) -> bool {
        let answers = || self.store.read(&layout::config_key(), CONFIG_BYTES_MAX).is_ok();
        error.is_damage() || error.is_read_failure() && answers()
    }

    /// The key of every object in a folder.
    pub(crate) fn list_keys(&self, folder: &str) -> Result<Vec<ObjectKey>, RepoError> {
        Ok(self.store.list(folder)?.into_iter().map(|listed| listed.key).collect())
    }

    /// The same place, for what needs no keys.
    pub(crate) fn located(&self) -> Located {
        Located { store: Arc::clone(&self.store), environment: Arc::clone(&self.environment) }
    }

    /// A chunker of this profile.
    pub(crate) fn chunker(&self, profile: &ChunkerProfile) -> Result<Chunker, RepoError> {
        let ChunkerProfile { min_bytes, average_bytes, max_bytes, mask_small, mask_large, .. } =
            *profile;
        let params = ChunkParams { min_bytes, average_bytes, max_bytes, mask_small, mask_large };
        Ok(Chunker::new(params, &*self.keys.gear_table()?))
    }

    /// Checks that this program may write.
    pub(crate) fn check_writable(&self) -> Result<(), RepoError> {
        self.check_present()?;
        self.check_no_mirror()?;
        self.check_may_sign()?;
        check_features(&self.config.features.write, "write")
    }

    /// Checks that this program may collect garbage.
    pub(crate) fn check_prunable(&self) -> Result<(), RepoError> {
        self.check_writable()?;
        check_features(&self.config.features.prune, "prune")
    }

    /// Reads and opens a sealed object that this client must have signed.
    pub(crate) fn read_object(
        &self,
        kind: ObjectKind,
        key: &ObjectKey,
        place: &str,
    ) -> Result<(Vec<u8>, Opened), RepoError> {
        let open = |store: &dyn Store| {
            let bytes = store.read(key, length_max(kind))?;
            let opened = self.open_object(kind, key, place, &bytes)?;
            Ok((bytes, opened))
        };
        self.read_or_copy(open)
    }

    /// Reads from the store, or from the first copy that has it undamaged, or what is computed from a
    /// sidecar; the error is that of the store.
    pub(crate) fn read_or_copy<T>(
        &self,
        read: impl Fn(&dyn Store) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        let error = match read_or_copy(self.store.as_ref(), &read) {
            Err(error) if error.is_damage() => error,
            read => return read,
        };
        let computed = self.parity.as_ref().and_then(|parity| read(parity.as_ref()).ok());
        computed.ok_or(error)
    }

    /// Opens the bytes of a sealed object that this client must have signed.
    pub(crate) fn open_object(
        &self,
        kind: ObjectKind,
        key: &ObjectKey,
        place: &str,
        bytes: &[u8],
    ) -> Result<Opened, RepoError> {
        let opened = objects::open(kind, &self.keys, place, bytes);
        Ok(opened.map_err(|error| error.stored_at(key))?.stored_at(key))
    }
}

/// Longest sealed object of a kind that is read.
pub(crate) fn length_max(kind: ObjectKind) -> u64 {
    u64::from(kind.raw_bytes_max()) + 131_072
}

/// The body of a clear object that the authority key must have signed.
pub(crate) fn verified_by_authority(
    signed: Opened,
    repository: RepoId,
    authority: &[u8; 32],
) -> Result<Vec<u8>, RepoError> {
    if signed.signer() != key_id(authority) {
        return Err(signed.refused());
    }
    signed.verified(repository, authority)
}

fn check_features(names: &[String], right: &'static str) -> Result<(), RepoError> {
    match names.iter().find(|name| !KNOWN_FEATURES.contains(&name.as_str())) {
        Some(feature) => Err(RepoError::Feature { feature: feature.clone(), right }),
        None => Ok(()),
    }
}

fn credential_words(credential: &Credential) -> &'static str {
    match credential {
        Credential::Passphrase(_) => "passphrase",
        Credential::KeyFile(_) => "key file",
    }
}

/// Features that this program understands, beyond format 1 itself.
const KNOWN_FEATURES: &[&str] = &[];
/// Longest config that is read.
pub(crate) const CONFIG_BYTES_MAX: u64 = 65_536;
