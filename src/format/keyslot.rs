//! Key slots: the keys of a role, wrapped for one secret. Spec: format-spec/04-keyslot.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::envelope::Fields;
use crate::format::pack::XWING_ENCAPSULATED_LEN;
use crate::id::ClientId;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;

/// The clear header of a slot; associated data of what it wraps.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SlotHeader {
    /// The repository.
    pub repository: RepoId,
    /// The slot, as in its key.
    pub slot: SlotId,
    /// The client that uses it.
    pub client: ClientId,
    /// What the slot's keys allow.
    pub role: Role,
    /// Words of the person who made it, in clear; at most [`LABEL_BYTES_MAX`] bytes.
    pub label: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What opens it.
    pub unlock: Unlock,
    /// Salt of the derivation; random.
    pub salt: [u8; 32],
    /// Commitment to the wrapping key, compared before unwrapping.
    pub commitment: [u8; 32],
    /// Nonce of XChaCha20-Poly1305; random.
    pub nonce: [u8; 24],
}

/// What a slot's keys allow. The table of rights is in `format-spec/04-keyslot.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Role {
    /// Everything.
    Admin,
    /// Adds snapshots; reads no content.
    Writer,
    /// Reads.
    Reader,
    /// Forgets and prunes; reads no content.
    Pruner,
    /// Verifies statements.
    Auditor,
}

impl Role {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Pruner => "pruner",
            Self::Auditor => "auditor",
        }
    }
}

/// What opens a slot.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Unlock {
    /// A passphrase, through Argon2id version 1.3.
    Passphrase(PassphraseCost),
    /// The 32 bytes of a key file.
    KeyFile,
    /// The secret half of an X-Wing pair, through HPKE.
    PublicKey {
        /// The encapsulated key.
        encapsulated: Vec<u8>,
    },
}

/// What deriving a key from a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// A slot taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The header's fields.
    pub header: SlotHeader,
    /// Every byte before the wrapped keys: the associated data.
    pub associated_data: Vec<u8>,
    /// The encoded [`SlotKeys`], sealed.
    pub wrapped: Vec<u8>,
}

/// The keys that a slot wraps. A key is missing if the role lacks it.
#[derive(Clone, PartialEq, Eq, Encode, Decode, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct SlotKeys {
    /// Public half of the authority key, against which the config is verified.
    pub authority_public: [u8; 32],
    /// Secret half of the authority key.
    pub authority: Option<[u8; 32]>,
    /// Secret half of the maintenance key.
    pub maintenance: Option<[u8; 32]>,
    /// Name of the client that uses this slot.
    pub client: [u8; 16],
    /// Secret half of that client's key.
    pub client_key: [u8; 32],
    /// Key of chunk names.
    pub id_key: Option<[u8; 32]>,
    /// Key of the chunker's table.
    pub gear_key: Option<[u8; 32]>,
    /// Keys that change with `key rotate`, oldest first.
    pub generations: Vec<GenerationKeys>,
}

/// The keys of one generation.
#[derive(Clone, PartialEq, Eq, Encode, Decode, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct GenerationKeys {
    /// The number in sealed headers, from 1.
    pub generation: u32,
    /// Seals index segments and pack directories.
    pub index: Option<[u8; 32]>,
    /// Seals statements.
    pub manifest: Option<[u8; 32]>,
    /// Wraps the keys of tree packs.
    pub tree: Option<[u8; 32]>,
    /// Wraps the keys of data packs.
    pub data: Option<[u8; 32]>,
    /// Public X-Wing key for the keys of tree packs; empty if the role does not write.
    pub tree_seal_public: Vec<u8>,
    /// Public X-Wing key for the keys of data packs; empty if the role does not write.
    pub data_seal_public: Vec<u8>,
    /// Secret seed of the first.
    pub tree_seal_secret: Option<[u8; 32]>,
    /// Secret seed of the second.
    pub data_seal_secret: Option<[u8; 32]>,
}

impl SlotHeader {
    /// The bytes before the wrapped keys.
    pub fn encode(&self) -> Vec<u8> {
        let header = encode(self);
        let length = to_u32(header.len()).to_le_bytes();
        [SLOT_MAGIC.as_slice(), &[SLOT_VERSION, 0, 0, 0], &length, &header].concat()
    }
}

impl Slot {
    /// The slot's bytes, for a checksum function that is BLAKE3.
    pub fn encode(&self, checksum: fn(&[u8]) -> [u8; 32]) -> Vec<u8> {
        let length = to_u32(self.wrapped.len()).to_le_bytes();
        let mut bytes = [self.associated_data.as_slice(), &length, &self.wrapped].concat();
        bytes.extend_from_slice(&checksum(&bytes));
        bytes
    }

    /// Takes a slot apart; `checksum` is BLAKE3.
    pub fn decode(bytes: &[u8], checksum: fn(&[u8]) -> [u8; 32]) -> Result<Self, FormatError> {
        let wrong = |rule, at: usize| FormatError::new("key slot", rule, to_u64(at));
        if bytes.len() > SLOT_BYTES_MAX {
            return Err(wrong(Rule::SlotHeader, SLOT_BYTES_MAX));
        }
        let end = bytes.len().saturating_sub(SLOT_CHECKSUM_LEN);
        let (content, stored_checksum) =
            bytes.split_at_checked(end).ok_or_else(|| wrong(Rule::SlotChecksum, 0))?;
        if stored_checksum != checksum(content) {
            return Err(wrong(Rule::SlotChecksum, end));
        }
        let (head, rest) = content
            .split_at_checked(SLOT_PREFIX_LEN)
            .ok_or_else(|| wrong(Rule::SlotHeader, content.len()))?;
        let mut fields = Fields { bytes: head };
        if &fields.take() != SLOT_MAGIC || fields.take() != [SLOT_VERSION, 0, 0, 0] {
            return Err(wrong(Rule::SlotHeader, 0));
        }
        let header_length = to_usize32(u32::from_le_bytes(fields.take()));
        let (header_bytes, tail) = rest
            .split_at_checked(header_length)
            .ok_or_else(|| wrong(Rule::SlotHeader, SLOT_PREFIX_LEN))?;
        let header = decode::<SlotHeader, SLOT_BYTES_MAX>("key slot", header_bytes)?;
        header.check().map_err(|rule| wrong(rule, SLOT_PREFIX_LEN))?;
        let (length, wrapped) =
            tail.split_at_checked(4).ok_or_else(|| wrong(Rule::SlotHeader, content.len()))?;
        let wrapped_length = to_usize32(u32::from_le_bytes(Fields { bytes: length }.take()));
        if wrapped_length != wrapped.len() {
            return Err(wrong(Rule::SlotHeader, content.len()));
        }
        let associated_data = [head, header_bytes].concat();
        Ok(Self { header, associated_data, wrapped: wrapped.to_vec() })
    }
}

impl SlotHeader {
    fn check(&self) -> Result<(), Rule> {
        if self.label.len() > LABEL_BYTES_MAX {
            return Err(Rule::RecordRange);
        }
        match self.unlock {
            Unlock::Passphrase(cost) if !cost.is_allowed() => Err(Rule::SlotParameters),
            Unlock::PublicKey { ref encapsulated }
                if encapsulated.len() != XWING_ENCAPSULATED_LEN =>
            {
                Err(Rule::RecordRange)
            }
            Unlock::Passphrase(_) | Unlock::KeyFile | Unlock::PublicKey { .. } => Ok(()),
        }
    }
}

impl PassphraseCost {
    /// Whether the cost lies within the bounds, so that a store can neither weaken a slot nor
    /// exhaust its reader.
    pub fn is_allowed(&self) -> bool {
        (PASSPHRASE_MEMORY_KIB_MIN..=PASSPHRASE_MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (PASSPHRASE_PASSES_MIN..=64).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

impl GenerationKeys {
    /// The plaintext that a renewal wraps.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes what a renewal wrapped.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::<Self, SLOT_BYTES_MAX>("generation keys", bytes)
    }
}

impl SlotKeys {
    /// The plaintext that a slot wraps.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes what a slot wrapped.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let keys = decode::<Self, SLOT_BYTES_MAX>("slot keys", bytes)?;
        let numbers: Vec<u32> = keys.generations.iter().map(|keys| keys.generation).collect();
        if numbers.is_empty() || !numbers.is_sorted_by(|left, right| left < right) {
            return Err(FormatError::new("slot keys", Rule::ListOrder, 0));
        }
        Ok(keys)
    }

    /// The client that uses the slot.
    pub fn client_id(&self) -> ClientId {
        ClientId::new(self.client)
    }
}

/// First bytes of a slot.
pub const SLOT_MAGIC: &[u8; 4] = b"SBFK";
/// Version of a slot.
pub const SLOT_VERSION: u8 = 1;
/// Length of what stands before a slot's header record.
pub const SLOT_PREFIX_LEN: usize = 12;
/// Length of the checksum at a slot's end.
pub const SLOT_CHECKSUM_LEN: usize = 32;
/// Longest slot.
pub const SLOT_BYTES_MAX: usize = 262_144;
/// Longest label.
pub const LABEL_BYTES_MAX: usize = 255;
/// Least memory of a passphrase slot in KiB; makers use 262,144 or more unless asked for less.
pub const PASSPHRASE_MEMORY_KIB_MIN: u32 = 65_536;
/// Most memory of a passphrase slot in KiB.
pub const PASSPHRASE_MEMORY_KIB_MAX: u32 = 4_194_304;
/// Fewest passes of a passphrase slot.
pub const PASSPHRASE_PASSES_MIN: u32 = 3;
