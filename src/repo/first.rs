//! What a new repository begins with: keys, certificates, config.
//! Spec: format-spec/03-config.md, format-spec/04-keyslot.md.

use crate::chunk;
use crate::chunk::ChunkParams;
use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
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
use crate::format::keyslot::SlotKeys;
use crate::format::layout;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::repo::create::create;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::key_file::AuthorityFile;
use crate::repo::keyring::KeyRing;
use crate::repo::objects;
use crate::repo::renewal::holder_of;
use crate::repo::repository::Located;
use crate::repo::signed_at::VALID_FROM;
use crate::repo::slots;
use crate::repo::slots::NewSecret;
use crate::repo::slots::NewSlot;
use crate::units::to_u64;

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
    /// Bytes of a sidecar in thousandths of its pack; packs have none if it is 0.
    pub parity_per_mille: u16,
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
            parity_per_mille: 0,
            label: String::new(),
        }
    }
}

impl Default for InitOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What `init` decided before it stores anything.
#[derive(Debug, Clone)]
pub(crate) struct InitPlan {
    pub(crate) repository: RepoId,
    pub(crate) slot: SlotId,
    pub(crate) options: InitOptions,
    /// How the store is used.
    pub(crate) store: StoreMode,
}

impl InitPlan {
    /// Random names for a new repository.
    pub(crate) fn new(options: InitOptions, environment: &dyn Environment) -> Self {
        Self {
            repository: RepoId::new(random(environment)),
            slot: SlotId::new(random(environment)),
            options,
            store: StoreMode::Registers,
        }
    }
}

impl Located {
    /// Makes a repository with one admin slot; nothing is visible as a repository until the last
    /// step, so that a crash leaves a place where it can be tried again. Returns the slot's keys.
    pub(crate) fn init(
        &self,
        plan: &InitPlan,
        secret: NewSecret<'_>,
    ) -> Result<KeyRing, RepoError> {
        let keys = first_keys(self.environment())?;
        self.init_with(plan, secret, &keys, &keys)
    }

    /// Makes a repository whose first slot does not hold `authority`.
    pub(crate) fn init_apart(
        &self,
        plan: &InitPlan,
        secret: NewSecret<'_>,
        authority: &AuthorityFile,
    ) -> Result<KeyRing, RepoError> {
        let mut keys = first_keys(self.environment())?;
        keys.authority = Some(*authority.seed.expose());
        keys.authority_public = Signer::new(&authority.seed).public();
        let mut wrapped = keys.clone();
        wrapped.authority = None;
        self.init_with(plan, secret, &keys, &wrapped)
    }

    fn init_with(
        &self,
        plan: &InitPlan,
        secret: NewSecret<'_>,
        keys: &SlotKeys,
        wrapped: &SlotKeys,
    ) -> Result<KeyRing, RepoError> {
        let store = self.store().as_ref();
        let environment = self.environment();
        self.check_absent()?;
        let authority = Signer::new(&Secret::new(keys.authority.unwrap_or_default()));
        let new = NewSlot {
            repository: plan.repository,
            slot: plan.slot,
            role: Role::Admin,
            label: plan.options.label.clone(),
        };
        let slot = slots::make_slot(new, secret, wrapped, environment)?;
        create(store, &layout::slot_key(plan.slot), &slot)?;
        let created = environment.now().0;
        // Numbers taken by an attempt that did not get to its config belong to no repository.
        let mut number = to_u64(store.list(layout::IDENTITIES)?.len());
        for identity in first_identities(keys)? {
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
        create(store, &key, &bytes)?;
        Ok(KeyRing::new(plan.repository, plan.slot, Role::Admin, wrapped.clone()))
    }
}

/// Random keys of every kind, and the pairs for writers that must not read.
pub(crate) fn first_keys(environment: &dyn Environment) -> Result<SlotKeys, RepoError> {
    let authority: [u8; 32] = random(environment);
    Ok(SlotKeys {
        authority_public: Signer::new(&Secret::new(authority)).public(),
        authority: Some(authority),
        maintenance: Some(random(environment)),
        client: random(environment),
        client_key: random(environment),
        id_key: Some(random(environment)),
        gear_key: Some(random(environment)),
        generations: vec![new_generation(1, environment)?],
    })
}

/// Random keys of a generation.
pub(crate) fn new_generation(
    generation: u32,
    environment: &dyn Environment,
) -> Result<GenerationKeys, RepoError> {
    let tree_seed: [u8; 32] = random(environment);
    let data_seed: [u8; 32] = random(environment);
    let public =
        |seed: [u8; 32]| seal::public_key(&Secret::new(seed)).map_err(|_source| RepoError::KeyFile);
    Ok(GenerationKeys {
        generation,
        index: Some(random(environment)),
        manifest: Some(random(environment)),
        tree: Some(random(environment)),
        data: Some(random(environment)),
        tree_seal_public: public(tree_seed)?,
        data_seal_public: public(data_seed)?,
        tree_seal_secret: Some(tree_seed),
        data_seal_secret: Some(data_seed),
    })
}

/// Certificates of the first client and of maintenance, and the pair that gets later generations.
pub(crate) fn first_identities(keys: &SlotKeys) -> Result<[Identity; 3], RepoError> {
    let certificate = |seed: [u8; 32], subject| {
        Identity::Certificate(Certificate {
            subject,
            public_key: Signer::new(&Secret::new(seed)).public(),
            role: Role::Admin,
            valid_from: VALID_FROM,
            valid_until: None,
        })
    };
    Ok([
        certificate(keys.client_key, Subject::Client(keys.client_id())),
        certificate(keys.maintenance.unwrap_or_default(), Subject::Maintenance),
        Identity::Holder(holder_of(Role::Admin, keys)?),
    ])
}

/// The config of a new repository.
pub(crate) fn first_config(plan: &InitPlan, created: i64, authority: [u8; 32]) -> Config {
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
            parity_per_mille: plan.options.parity_per_mille,
        },
        store: plan.store,
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

const COMPRESSION_LEVEL: i32 = 2;
const FILE_CHUNK_AVERAGE_BYTES: u32 = 65_536;
const STREAM_CHUNK_AVERAGE_BYTES: u32 = 32_768;
const DATA_BLOCK_BYTES: u32 = 2 * 1_048_576;
const TREE_BLOCK_BYTES: u32 = 262_144;
const DATA_PACK_BYTES: u32 = 32 * 1_048_576;
const TREE_PACK_BYTES: u32 = 8 * 1_048_576;
