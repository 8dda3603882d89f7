//! Sidecars of packs: what damaged parts of a pack are computed from. Spec: format-spec/17-parity.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;
use std::ops::Range;

/// What a sidecar says of its shards, and of those of the pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ParityHeader {
    /// Length of the pack.
    pub pack_bytes: u64,
    /// Length of each shard; the last one of the pack is filled up with zeros.
    pub shard_bytes: u32,
    /// The beginning of the BLAKE3 of each shard: those of the pack, then those of the sidecar.
    pub hashes: Vec<ShardHash>,
}

/// The beginning of the BLAKE3 of a shard: says which shards are damaged, proves nothing.
pub type ShardHash = [u8; 8];

/// Which of the two headers of a sidecar is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one before the shards.
    Front,
    /// The one behind the shards.
    Back,
}

impl ParityHeader {
    /// Shards of the pack.
    pub fn data_count(&self) -> usize {
        to_usize(self.pack_bytes.div_ceil(u64::from(self.shard_bytes.max(1))))
    }

    /// Shards of the sidecar.
    pub fn parity_count(&self) -> usize {
        self.hashes.len().saturating_sub(self.data_count())
    }

    /// A sidecar with these shards, one behind the other.
    pub fn encode_with(&self, shards: &[u8]) -> Vec<u8> {
        let header = encode(self);
        let length = crate::units::to_u32(header.len()).to_le_bytes();
        let magic = PARITY_MAGIC.as_slice();
        [magic, &length, &header, shards, &header, &length, magic].concat()
    }

    /// Reads one of the headers of a sidecar; with it comes where the shards lie.
    pub fn decode_at(bytes: &[u8], end: End) -> Result<(Self, Range<usize>), FormatError> {
        let wrong = || FormatError::new("sidecar", Rule::ParityEnds, 0);
        let record = match end {
            End::Front => Self::front(bytes),
            End::Back => Self::back(bytes),
        };
        let record = record.ok_or_else(wrong)?;
        let header = decode::<Self, HEADER_MEMORY_MAX>("sidecar", record)?;
        header.check()?;
        let start = FRAME_BYTES.saturating_add(record.len());
        let shards = header.parity_count().saturating_mul(to_usize32(header.shard_bytes));
        let whole = start.saturating_mul(2).saturating_add(shards);
        if whole != bytes.len() {
            return Err(FormatError::new("sidecar", Rule::ParityShards, to_u64(bytes.len())));
        }
        Ok((header, start..start.saturating_add(shards)))
    }

    /// Reads a sidecar whose ends are both whole; returns the header and the shards.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let (header, place) = Self::decode_at(bytes, End::Front)?;
        let (other, _place) = Self::decode_at(bytes, End::Back)?;
        if header != other {
            return Err(FormatError::new("sidecar", Rule::ParityEnds, to_u64(place.end)));
        }
        Ok((header, bytes.get(place).unwrap_or_default()))
    }

    fn front(bytes: &[u8]) -> Option<&[u8]> {
        let rest = bytes.strip_prefix(PARITY_MAGIC.as_slice())?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        rest.get(..to_usize32(u32::from_le_bytes(*length)))
    }

    fn back(bytes: &[u8]) -> Option<&[u8]> {
        let rest = bytes.strip_suffix(PARITY_MAGIC.as_slice())?;
        let (rest, length) = rest.split_last_chunk::<4>()?;
        let start = rest.len().checked_sub(to_usize32(u32::from_le_bytes(*length)))?;
        rest.get(start..)
    }

    fn check(&self) -> Result<(), FormatError> {
        let counts = 1..=PARITY_SHARDS_MAX;
        let is_size = self.shard_bytes.is_multiple_of(SHARD_BYTES_UNIT)
            && (SHARD_BYTES_UNIT..=SHARD_BYTES_MAX).contains(&self.shard_bytes);
        if is_size && counts.contains(&self.data_count()) && counts.contains(&self.parity_count()) {
            return Ok(());
        }
        Err(FormatError::new("sidecar", Rule::ParityShards, 0))
    }
}

/// First and last bytes of a sidecar.
pub const PARITY_MAGIC: &[u8; 4] = b"SBFX";
/// Most shards of a pack, and most of a sidecar.
pub const PARITY_SHARDS_MAX: usize = 1024;
/// Shards have a multiple of this length.
pub const SHARD_BYTES_UNIT: u32 = 64;
/// Longest shard.
pub const SHARD_BYTES_MAX: u32 = 262_144;
/// Most parity in thousandths of the pack.
pub const PARITY_PER_MILLE_MAX: u16 = 500;
/// Longest sidecar.
pub const SIDECAR_BYTES_MAX: u64 = 300 * 1_048_576;
/// The magic and the length of the header.
const FRAME_BYTES: usize = 8;
const HEADER_MEMORY_MAX: usize = 65_536;
