//! The repository's config and its amendments. Spec: format-spec/03-config.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::parity::PARITY_PER_MILLE_MAX;
use crate::id::Digest;
use crate::id::HistoryId;
use crate::id::RepoId;

/// What never changes about a repository. Stored in clear, signed with the authority key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Config {
    /// [`FORMAT_VERSION`].
    pub format: u32,
    /// The repository.
    pub repository: RepoId,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Public half of the authority key.
    pub authority: [u8; 32],
    /// What a program must understand.
    pub features: Features,
    /// Chunker profiles, the default one first.
    pub profiles: Vec<ChunkerProfile>,
    /// What writers make.
    pub limits: Limits,
    /// What the store was found to do.
    pub store: StoreMode,
}

/// Names of features that a program must understand for a right; unknown names refuse that right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Features {
    /// Needed to read.
    pub read: Vec<String>,
    /// Needed to write.
    pub write: Vec<String>,
    /// Needed to prune.
    pub prune: Vec<String>,
}

/// How content is cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ChunkerProfile {
    /// `default` or `stream`, or a later name.
    pub name: String,
    /// [`CHUNKER_FASTCDC`].
    pub algorithm: u8,
    /// Shortest chunk in bytes, but for the last of a content.
    pub min_bytes: u32,
    /// Where the mask changes.
    pub average_bytes: u32,
    /// Longest chunk.
    pub max_bytes: u32,
    /// Mask below the average.
    pub mask_small: u64,
    /// Mask above the average.
    pub mask_large: u64,
}

/// What writers make.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Limits {
    /// Plaintext bytes at which a data block is closed.
    pub data_block_bytes: u32,
    /// Plaintext bytes at which a tree block is closed.
    pub tree_block_bytes: u32,
    /// Stored bytes at which a data pack is closed.
    pub data_pack_bytes: u32,
    /// Stored bytes at which a tree pack is closed.
    pub tree_pack_bytes: u32,
    /// Level of zstd, -7 to 19.
    pub compression_level: i32,
    /// Bytes of a sidecar in thousandths of its pack, 0 to 500; packs have none if it is 0.
    pub parity_per_mille: u16,
}

/// What the store was found to do when the repository was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum StoreMode {
    /// Creating is atomic: exactly one writer of a key wins.
    Registers,
    /// It is not: dead sessions are never fenced, only aborted by hand.
    NoRegisters,
}

/// A change of the config: number `n` holds on top of all before it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Amendment {
    /// The number in its key, from 1.
    pub number: u32,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What changes.
    pub changes: Vec<Change>,
}

/// One change of the config.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// Replaces the features.
    Features(Features),
    /// Adds a chunker profile, or replaces the one of this name for new snapshots.
    Profile(ChunkerProfile),
    /// Replaces the limits.
    Limits(Limits),
    /// Replaces what is known of the store.
    Store(StoreMode),
    /// Names a copy of the repository.
    Copy {
        /// Name for commands.
        name: String,
        /// Where it is; no credentials.
        url: String,
    },
    /// Makes a mirror a repository of its own.
    Promote {
        /// Names what is written from now on, apart from what the source of the mirror writes.
        history: HistoryId,
        /// BLAKE3 of the stored bytes of the first note of the mirror.
        mirror: Digest,
    },
}

impl Config {
    /// The config's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        // Before anything else: a later version may have other fields behind its number.
        if bytes.first().copied().map(u32::from) != Some(FORMAT_VERSION) {
            return Err(FormatError::new("config", Rule::ConfigVersion, 0));
        }
        let config = decode::<Self, CONFIG_MEMORY_MAX>("config", bytes)?;
        let first = config.profiles.first().is_some_and(|profile| profile.name == "default");
        if !first || !config.profiles.iter().all(ChunkerProfile::is_valid) {
            return Err(FormatError::new("config", Rule::ConfigProfile, 0));
        }
        config.limits.check().map_err(|rule| FormatError::new("config", rule, 0))?;
        Ok(config)
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Option<&ChunkerProfile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

impl Amendment {
    /// The amendment's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let amendment = decode::<Self, CONFIG_MEMORY_MAX>("amendment", bytes)?;
        for change in &amendment.changes {
            let rule = match change {
                Change::Profile(profile) if !profile.is_valid() => Rule::ConfigProfile,
                Change::Limits(limits) if limits.check().is_err() => Rule::RecordRange,
                Change::Profile(_)
                | Change::Limits(_)
                | Change::Features(_)
                | Change::Store(_)
                | Change::Copy { .. }
                | Change::Promote { .. } => continue,
            };
            return Err(FormatError::new("amendment", rule, 0));
        }
        Ok(amendment)
    }
}

impl ChunkerProfile {
    fn is_valid(&self) -> bool {
        let sizes = [self.min_bytes, self.average_bytes, self.max_bytes];
        let masks = [self.mask_small, self.mask_large];
        self.algorithm == CHUNKER_FASTCDC
            && sizes.iter().all(|size| size.is_multiple_of(2))
            && self.min_bytes >= CHUNK_MIN_BYTES_MIN
            && self.min_bytes < self.average_bytes
            && self.average_bytes < self.max_bytes
            && self.max_bytes <= CHUNK_MAX_BYTES_MAX
            && masks.iter().all(|mask| (1..1 << 63).contains(mask))
    }
}

impl Limits {
    fn check(&self) -> Result<(), Rule> {
        let blocks = 4096..=BLOCK_TARGET_BYTES_MAX;
        let packs = 65_536..=PACK_TARGET_BYTES_MAX;
        let valid = blocks.contains(&self.data_block_bytes)
            && blocks.contains(&self.tree_block_bytes)
            && packs.contains(&self.data_pack_bytes)
            && packs.contains(&self.tree_pack_bytes)
            && (-7..=19).contains(&self.compression_level)
            && self.parity_per_mille <= PARITY_PER_MILLE_MAX;
        if valid { Ok(()) } else { Err(Rule::RecordRange) }
    }
}

/// The version these pages describe.
pub const FORMAT_VERSION: u32 = 1;
/// `FastCDC` 2020 with a keyed gear table.
pub const CHUNKER_FASTCDC: u8 = 1;
/// Smallest shortest chunk.
pub const CHUNK_MIN_BYTES_MIN: u32 = 256;
/// Largest longest chunk.
pub const CHUNK_MAX_BYTES_MAX: u32 = 8 * 1_048_576;
/// Largest plaintext at which a block is closed.
pub const BLOCK_TARGET_BYTES_MAX: u32 = 8 * 1_048_576;
/// Largest length at which a pack is closed.
pub const PACK_TARGET_BYTES_MAX: u32 = 128 * 1_048_576;
const CONFIG_MEMORY_MAX: usize = 1_048_576;
