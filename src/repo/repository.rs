//! An opened repository: its store, its config, the keys of one slot.

use crate::chunk;
use crate::chunk::ChunkParams;
use crate::chunk::Chunker;
use crate::crypto::hash::blake3;
use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::crypto::sign::key_id;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::config::CHUNKER_FASTCDC;
use crate::format::config::ChunkerProfile;
use crate::format::config::Config;
use crate::format::config::FORMAT_VERSION;
use crate::format::config::Features;
use crate::format::config::Limits;
use crate::format::config::StoreMode;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Certificate;
use crate::format::identity::Identity;
use crate::format::identity::Subject;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::format::keyslot::SLOT_BYTES_MAX;
use crate::format::keyslot::Slot;
use crate::format::keyslot::SlotKeys;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::key::ObjectKey;
use crate::repo::amendments;
use crate::repo::cache::CacheDirectory;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::identities::Identities;
use crate::repo::keyring::KeyRing;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::repo::slots;
use crate::repo::slots::Credential;
use crate::repo::slots::NewSecret;
use crate::repo::slots::NewSlot;
use crate::repo::slots::Unlocked;
use crate::repo::state::StateDirectory;
use crate::store::Listed;
use crate::store::Store;
use crate::store::StoreErrorKind;
use crate::store::posix::PosixStore;
use crate::units::to_u64;
use std::path::Path;
use std::sync::Arc;

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
}

/// What a new repository is made with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InitOptions {
    /// Level of zstd.
    pub compression_level: i32,
    /// Average chunk of files in bytes, a power of two.
    pub chunk_average_bytes: u32,
    /// Average chunk of streams in bytes, a power of two.
    pub stream_chunk_average_bytes: u32,
    /// Words that `key list` shows for the first slot.
    pub label: String,
}

impl InitOptions {
    /// The measured defaults; `benches/README.md` has the figures.
    pub fn new() -> Self {
        Self {
            compression_level: COMPRESSION_LEVEL,
            chunk_average_bytes: FILE_CHUNK_AVERAGE_BYTES,
            stream_chunk_average_bytes: STREAM_CHUNK_AVERAGE_BYTES,
            label: String::new(),
        }
    }
}

impl Default for InitOptions {
    fn default() -> Self {
        Self::new()
    }
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
        Self { store, environment }
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

    /// A place for a repository, made if it is missing; only an empty directory or one that an
    /// interrupted `init` left will do.
    pub(crate) fn create_at_path(
        path: &Path,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, RepoError> {
        if let Ok(entries) = std::fs::read_dir(path) {
            let foreign = entries.filter_map(Result::ok).any(|entry| {
                let name = entry.file_name();
                !FIRST_FOLDERS.iter().any(|folder| name == *folder)
            });
            if foreign {
                return Err(RepoError::NotEmpty { location: path.display().to_string() });
            }
        }
        Ok(Self::new(Arc::new(PosixStore::create(path)?), environment))
    }

    /// Checks that there is no repository yet.
    pub(crate) fn check_absent(&self) -> Result<(), RepoError> {
        if self.holds_config()? {
            return Err(RepoError::NotEmpty { location: self.store.location() });
        }
        Ok(())
    }

    /// Makes a repository with one admin slot; nothing is visible as a repository until the last
    /// step, so that a crash leaves a place where it can be tried again.
    pub(crate) fn init(&self, plan: &InitPlan, secret: NewSecret<'_>) -> Result<(), RepoError> {
        let store = self.store.as_ref();
        let environment = self.environment.as_ref();
        self.check_absent()?;
        let keys = first_keys(environment)?;
        let authority = Signer::new(&Secret::new(keys.authority.unwrap_or_default()));
        let new = NewSlot {
            repository: plan.repository,
            slot: plan.slot,
            role: Role::Admin,
            label: plan.options.label.clone(),
        };
        let slot = slots::make_slot(new, secret, &keys, environment)?;
        create(store, &layout::slot_key(plan.slot), &slot)?;
        let created = environment.now().0;
        // Numbers taken by an attempt that did not get to its config belong to no repository.
        let mut number = to_u64(store.list(layout::IDENTITIES)?.len());
        for identity in first_identities(&keys, created) {
            number += 1;
            let key = layout::identity_key(u32::try_from(number).unwrap_or(u32::MAX));
            let kind = ObjectKind::Identity;
            let body = identity.encode();
            let bytes = objects::sign_clear(kind, plan.repository, key.as_str(), &body, &authority);
            create(store, &key, &bytes)?;
        }
        let config = first_config(plan, created, authority.public());
        let key = layout::config_key();
        let bytes = objects::sign_clear(
            ObjectKind::Config,
            plan.repository,
            key.as_str(),
            &config.encode(),
            &authority,
        );
        create(store, &key, &bytes)
    }

    /// Opens the repository with a credential.
    pub(crate) fn open(
        &self,
        credential: &Credential,
        cache: Option<CacheDirectory>,
        state: Option<StateDirectory>,
    ) -> Result<Repository, RepoError> {
        let store = self.store.as_ref();
        let config_key = layout::config_key();
        let bytes = match store.read(&config_key, 65_536) {
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
        let signed = objects::open_clear(ObjectKind::Config, config_key.as_str(), &bytes)?;
        let keys = self.unlock(credential)?;
        let repository = keys.repository;
        let authority = keys.keys.authority_public;
        let body = verified_by_authority(signed, repository, &authority)?;
        let decode = |source| RepoError::Decode { key: layout::CONFIG.to_owned(), source };
        let mut config = Config::decode(&body).map_err(decode)?;
        if config.repository != repository || config.authority != authority {
            return Err(decode(FormatError::new("config", Rule::ManifestPlace, 0)));
        }
        amendments::apply(store, &mut config)?;
        check_features(&config.features.read, "read")?;
        let identities = Identities::load(store, repository, &authority)?;
        Ok(Repository {
            store: Arc::clone(&self.store),
            environment: Arc::clone(&self.environment),
            keys: Arc::new(keys),
            config: Arc::new(config),
            identities: Arc::new(identities),
            cache: cache.map(|cache| cache.for_repository(repository)),
            state: state.map(|state| state.for_repository(repository)),
        })
    }

    /// The repository's slots with the keys they are stored under; damaged ones as errors.
    pub(crate) fn slots(&self) -> Result<Vec<StoredSlot>, RepoError> {
        let read = |key: &ObjectKey| {
            let bytes = self.store.read(key, to_u64(SLOT_BYTES_MAX))?;
            let decode = |source| RepoError::Decode { key: key.to_string(), source };
            let slot = Slot::decode(&bytes, blake3).map_err(decode)?;
            if layout::parse_slot_key(key) == Ok(slot.header.slot) {
                return Ok(slot);
            }
            Err(decode(FormatError::new("key slot", Rule::ObjectKey, 0)))
        };
        let listed = self.store.list(layout::KEYS)?;
        Ok(listed.into_iter().map(|listed| (listed.key.clone(), read(&listed.key))).collect())
    }

    fn unlock(&self, credential: &Credential) -> Result<KeyRing, RepoError> {
        let slots = self.slots()?;
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

/// What `init` decided before it stores anything.
#[derive(Debug, Clone)]
pub(crate) struct InitPlan {
    pub(crate) repository: RepoId,
    pub(crate) slot: SlotId,
    pub(crate) options: InitOptions,
}

impl InitPlan {
    /// Random names for a new repository.
    pub(crate) fn new(options: InitOptions, environment: &dyn Environment) -> Self {
        Self {
            repository: RepoId::new(random(environment)),
            slot: SlotId::new(random(environment)),
            options,
        }
    }
}

impl Repository {
    /// The repository's name.
    pub fn id(&self) -> RepoId {
        self.keys.repository
    }

    /// Where it is.
    pub fn location(&self) -> String {
        self.store.location()
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

    /// The key of every object in a folder.
    pub(crate) fn list_keys(&self, folder: &str) -> Result<Vec<ObjectKey>, RepoError> {
        Ok(self.store.list(folder)?.into_iter().map(|listed| listed.key).collect())
    }

    /// The same place, for what needs no keys.
    pub(crate) fn located(&self) -> Located {
        Located::new(Arc::clone(&self.store), Arc::clone(&self.environment))
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
        check_features(&self.config.features.write, "write")
    }

    /// Reads and opens a sealed object that this client must have signed.
    pub(crate) fn read_object(
        &self,
        kind: ObjectKind,
        key: &ObjectKey,
        place: &str,
    ) -> Result<(Vec<u8>, Opened), RepoError> {
        let length_max = u64::from(kind.raw_bytes_max()) + 131_072;
        let bytes = self.store.read(key, length_max)?;
        let opened = objects::open(kind, &self.keys, place, &bytes)?;
        Ok((bytes, opened))
    }
}

/// Creates an object that only this process can want to create.
///
/// A store may apply a create and lose the answer; then the object is there with our bytes.
pub(crate) fn create(store: &dyn Store, key: &ObjectKey, body: &[u8]) -> Result<(), RepoError> {
    let mut last = None;
    for _attempt in 0..CREATE_ATTEMPTS {
        let Err(error) = store.create(key, body) else { return Ok(()) };
        match store.read(key, to_u64(body.len())) {
            Ok(found) if found == body => return Ok(store.settle(key)?),
            Err(read) if read.kind == StoreErrorKind::NotFound && is_transient(error.kind) => {
                last = Some(error);
            }
            _ => return Err(error.into()),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Whether a later try may succeed.
pub(crate) fn is_transient(kind: StoreErrorKind) -> bool {
    match kind {
        StoreErrorKind::Throttled | StoreErrorKind::Unavailable => true,
        StoreErrorKind::NotFound
        | StoreErrorKind::AlreadyExists
        | StoreErrorKind::Denied
        | StoreErrorKind::Unauthenticated
        | StoreErrorKind::Full
        | StoreErrorKind::Corrupt
        | StoreErrorKind::Other => false,
    }
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

fn first_keys(environment: &dyn Environment) -> Result<SlotKeys, RepoError> {
    let authority: [u8; 32] = random(environment);
    let tree_seed: [u8; 32] = random(environment);
    let data_seed: [u8; 32] = random(environment);
    let public =
        |seed: [u8; 32]| seal::public_key(&Secret::new(seed)).map_err(|_source| RepoError::KeyFile);
    let generation = GenerationKeys {
        generation: 1,
        index: Some(random(environment)),
        manifest: Some(random(environment)),
        tree: Some(random(environment)),
        data: Some(random(environment)),
        tree_seal_public: public(tree_seed)?,
        data_seal_public: public(data_seed)?,
        tree_seal_secret: Some(tree_seed),
        data_seal_secret: Some(data_seed),
    };
    Ok(SlotKeys {
        authority_public: Signer::new(&Secret::new(authority)).public(),
        authority: Some(authority),
        maintenance: Some(random(environment)),
        client: random(environment),
        client_key: random(environment),
        id_key: Some(random(environment)),
        gear_key: Some(random(environment)),
        generations: vec![generation],
    })
}

fn first_identities(keys: &SlotKeys, created: i64) -> [Identity; 2] {
    let certificate = |seed: [u8; 32], subject| {
        Identity::Certificate(Certificate {
            subject,
            public_key: Signer::new(&Secret::new(seed)).public(),
            role: Role::Admin,
            valid_from: created,
            valid_until: None,
        })
    };
    [
        certificate(keys.client_key, Subject::Client(keys.client_id())),
        certificate(keys.maintenance.unwrap_or_default(), Subject::Maintenance),
    ]
}

fn first_config(plan: &InitPlan, created: i64, authority: [u8; 32]) -> Config {
    Config {
        format: FORMAT_VERSION,
        repository: plan.repository,
        created,
        authority,
        features: Features::default(),
        profiles: vec![
            profile("default", plan.options.chunk_average_bytes),
            profile("stream", plan.options.stream_chunk_average_bytes),
        ],
        limits: Limits {
            data_block_bytes: DATA_BLOCK_BYTES,
            tree_block_bytes: TREE_BLOCK_BYTES,
            data_pack_bytes: DATA_PACK_BYTES,
            tree_pack_bytes: TREE_PACK_BYTES,
            compression_level: plan.options.compression_level,
        },
        store: StoreMode::Registers,
    }
}

fn profile(name: &str, average: u32) -> ChunkerProfile {
    let ChunkParams { min_bytes, average_bytes, max_bytes, mask_small, mask_large } =
        chunk::params_for_average(average);
    ChunkerProfile {
        name: name.to_owned(),
        algorithm: CHUNKER_FASTCDC,
        min_bytes,
        average_bytes,
        max_bytes,
        mask_small,
        mask_large,
    }
}

/// Features that this program understands, beyond format 1 itself.
const KNOWN_FEATURES: &[&str] = &[];
/// How often an object is tried whose creation had an unknown outcome.
const CREATE_ATTEMPTS: u32 = 4;
/// What an interrupted `init` may have left.
const FIRST_FOLDERS: &[&str] = &[layout::KEYS, layout::IDENTITIES, "tmp"];
const COMPRESSION_LEVEL: i32 = 3;
const FILE_CHUNK_AVERAGE_BYTES: u32 = 65_536;
const STREAM_CHUNK_AVERAGE_BYTES: u32 = 32_768;
const DATA_BLOCK_BYTES: u32 = 2 * 1_048_576;
const TREE_BLOCK_BYTES: u32 = 262_144;
const DATA_PACK_BYTES: u32 = 32 * 1_048_576;
const TREE_PACK_BYTES: u32 = 8 * 1_048_576;
