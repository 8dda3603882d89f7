//! Packs: sealed blocks, then a sealed directory. Spec: format-spec/05-pack.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::block::BlockEntry;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::envelope::Fields;
use crate::format::envelope::TAG_LEN;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;
use std::ops::Range;

/// What a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum PackKind {
    /// Content of files and streams.
    Data,
    /// Tree nodes and lists of extents.
    Tree,
}

impl PackKind {
    /// The number in the header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Tree => 2,
        }
    }
}

/// A pack's key, wrapped for those who may read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WrappedKey {
    /// Generation of the keys that wrap it.
    pub generation: u32,
    /// Commitment to the pack's key, compared before it is used.
    pub commitment: [u8; 32],
    /// How it is wrapped.
    pub wrap: Wrap,
}

/// How a pack's key is wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Wrap {
    /// XChaCha20-Poly1305 under the generation's tree or data key.
    Symmetric {
        /// Random nonce.
        nonce: [u8; 24],
        /// The key and its tag.
        sealed: [u8; 48],
    },
    /// HPKE with X-Wing for the generation's tree or data pair.
    Sealed {
        /// The encapsulated key, 1120 bytes.
        encapsulated: Vec<u8>,
        /// The key and its tag.
        sealed: [u8; 48],
    },
}

/// The header of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PackHeader {
    /// What the pack holds.
    pub kind: PackKind,
    /// Random number to which the blocks are bound.
    pub pack_uid: PackUid,
    /// The pack's key.
    pub key: WrappedKey,
    /// Generation of the index key that seals the directory.
    pub directory_generation: u32,
}

/// The directory of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PackDirectory {
    /// The blocks, in order, back to back from the end of the header.
    pub blocks: Vec<BlockEntry>,
}

/// The trailer of a pack: its last [`PACK_TRAILER_LEN`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackTrailer {
    /// Length of the sealed directory before the trailer.
    pub directory_length: u32,
    /// Length of the directory's plaintext.
    pub directory_raw_length: u32,
}

impl PackHeader {
    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let record = encode(self);
        let length = u16::try_from(record.len()).unwrap_or(u16::MAX).to_le_bytes();
        [PACK_MAGIC.as_slice(), &[PACK_VERSION, PACK_SUITE], &length, &record].concat()
    }

    /// Decodes the header at the front of `bytes`; returns it and its length.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        let wrong = |at: usize| FormatError::new("pack header", Rule::PackHeader, to_u64(at));
        let (head, rest) =
            bytes.split_at_checked(PACK_PREFIX_LEN).ok_or_else(|| wrong(bytes.len()))?;
        let mut fields = Fields { bytes: head };
        if &fields.take() != PACK_MAGIC || fields.take() != [PACK_VERSION, PACK_SUITE] {
            return Err(wrong(0));
        }
        let length = usize::from(u16::from_le_bytes(fields.take()));
        let record = rest.get(..length).ok_or_else(|| wrong(6))?;
        let header = decode::<Self, 65_536>("pack header", record)?;
        header.key.check()?;
        Ok((header, PACK_PREFIX_LEN.saturating_add(length)))
    }
}

impl WrappedKey {
    /// Checks the lengths of the wrap.
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        match &self.wrap {
            Wrap::Sealed { encapsulated, .. } if encapsulated.len() != XWING_ENCAPSULATED_LEN => {
                Err(FormatError::new("wrapped key", Rule::PackHeader, 0))
            }
            Wrap::Sealed { .. } | Wrap::Symmetric { .. } => Ok(()),
        }
    }
}

impl PackDirectory {
    /// The directory's plaintext.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a directory's plaintext and checks every rule that needs no other object.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let directory = decode::<Self, DIRECTORY_MEMORY_MAX>("pack directory", bytes)?;
        for (index, block) in directory.blocks.iter().enumerate() {
            block.check(index)?;
        }
        Ok(directory)
    }

    /// Where the blocks lie in a pack whose header has `header_length` bytes.
    pub fn block_ranges(&self, header_length: usize) -> Vec<Range<u64>> {
        let mut start = to_u64(header_length);
        let range = |block: &BlockEntry| {
            let end = start.saturating_add(u64::from(block.stored_length));
            let range = start..end;
            start = end;
            range
        };
        self.blocks.iter().map(range).collect()
    }

    /// Checks that the blocks fill the space between header and directory exactly.
    pub fn check_fills(&self, header_length: usize, end: u64) -> Result<(), FormatError> {
        let stored = self
            .blocks
            .iter()
            .fold(0_u64, |sum, block| sum.saturating_add(u64::from(block.stored_length)));
        if to_u64(header_length).saturating_add(stored) == end {
            return Ok(());
        }
        Err(FormatError::new("pack", Rule::PackBlocks, end))
    }
}

impl PackTrailer {
    /// The trailer's bytes.
    pub fn encode(&self) -> [u8; PACK_TRAILER_LEN] {
        let Self { directory_length, directory_raw_length } = *self;
        let mut bytes = [0; PACK_TRAILER_LEN];
        let fields = directory_length.to_le_bytes().into_iter();
        let fields = fields.chain(directory_raw_length.to_le_bytes()).chain(*PACK_END_MAGIC);
        for (place, byte) in bytes.iter_mut().zip(fields) {
            *place = byte;
        }
        bytes
    }

    /// Decodes the trailer at the end of the last bytes of a pack.
    pub fn decode(tail: &[u8]) -> Result<Self, FormatError> {
        let wrong = |rule| FormatError::new("pack trailer", rule, to_u64(tail.len()));
        let start = tail.len().checked_sub(PACK_TRAILER_LEN);
        let bytes =
            start.and_then(|start| tail.get(start..)).ok_or_else(|| wrong(Rule::PackTrailer))?;
        let mut fields = Fields { bytes };
        let directory_length = u32::from_le_bytes(fields.take());
        let directory_raw_length = u32::from_le_bytes(fields.take());
        if &fields.take() != PACK_END_MAGIC {
            return Err(wrong(Rule::PackTrailer));
        }
        if directory_length < to_u32(TAG_LEN)
            || directory_length > DIRECTORY_BYTES_MAX
            || directory_raw_length > DIRECTORY_BYTES_MAX
        {
            return Err(wrong(Rule::PackDirectoryRange));
        }
        Ok(Self { directory_length, directory_raw_length })
    }

    /// Where the sealed directory of a pack of `pack_length` bytes lies.
    pub fn directory_range(
        &self,
        header_length: usize,
        pack_length: u64,
    ) -> Result<Range<u64>, FormatError> {
        let wrong = || FormatError::new("pack trailer", Rule::PackDirectoryRange, pack_length);
        let end = pack_length.checked_sub(to_u64(PACK_TRAILER_LEN)).ok_or_else(wrong)?;
        let start = end.checked_sub(u64::from(self.directory_length)).ok_or_else(wrong)?;
        if start < to_u64(header_length) { Err(wrong()) } else { Ok(start..end) }
    }
}

/// Associated data of a pack's directory.
pub fn directory_associated_data(repository: RepoId, header: &[u8]) -> Vec<u8> {
    [repository.as_bytes().as_slice(), b"directory", header].concat()
}

/// Associated data of a pack's wrapped key.
pub fn key_associated_data(repository: RepoId, kind: PackKind, pack_uid: PackUid) -> Vec<u8> {
    [repository.as_bytes().as_slice(), &[kind.number()], pack_uid.as_bytes()].concat()
}

/// How many bytes of a pack's front hold its header for certain.
pub fn header_bytes_max() -> usize {
    PACK_PREFIX_LEN.saturating_add(to_usize32(u32::from(u16::MAX)))
}

/// First bytes of a pack.
pub const PACK_MAGIC: &[u8; 4] = b"SBFP";
/// Last bytes of a pack.
pub const PACK_END_MAGIC: &[u8; 8] = b"SBFPEND1";
/// Version of a pack.
pub const PACK_VERSION: u8 = 1;
/// ChaCha20-Poly1305 for blocks and directory.
pub const PACK_SUITE: u8 = 1;
/// Length of what stands before the header's record.
pub const PACK_PREFIX_LEN: usize = 8;
/// Length of the trailer.
pub const PACK_TRAILER_LEN: usize = 16;
/// Length of an encapsulated X-Wing key.
pub const XWING_ENCAPSULATED_LEN: usize = 1120;
/// Longest sealed directory.
pub const DIRECTORY_BYTES_MAX: u32 = 64 * 1_048_576;
/// Length of the directory record at which a writer closes a pack that is not full.
pub const DIRECTORY_BYTES_TARGET: u32 = 4 * 1_048_576;
/// Longest pack: the largest target and one block beyond it, with its directory.
pub const PACK_BYTES_MAX: u64 = 256 * 1_048_576;
const DIRECTORY_MEMORY_MAX: usize = 128 * 1_048_576;
