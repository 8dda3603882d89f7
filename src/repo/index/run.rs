//! Runs: the content of some index segments, fixed-width and sorted by chunk, in memory or in a
//! mapped file. Disposable: a run is made again from its segments at any time.

use crate::crypto::hash::blake3;
use crate::format::block::BlockCodec;
use crate::format::block::BlockEntry;
use crate::format::block::BlockOrigin;
use crate::format::codec;
use crate::format::index::IndexedPack;
use crate::format::layout::SegmentRef;
use crate::format::outcome::SegmentName;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::RepoId;
use crate::repo::index::bytes::RunBytes;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;
use std::fmt;
use std::ops::Range;

/// A place of a chunk: a block of a run and the bytes in its plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunLocation {
    /// Number of the block in the run.
    pub(crate) block: u32,
    /// Where the chunk begins in the block's plaintext.
    pub(crate) offset: u32,
    /// The chunk's length.
    pub(crate) length: u32,
}

/// A block as a run describes it.
#[derive(Debug, Clone)]
pub(crate) struct RunBlock {
    /// Number of the pack in the run.
    pub(crate) pack: u32,
    /// The block's number in its pack.
    pub(crate) number: u32,
    /// Where its stored bytes are in the pack.
    pub(crate) range: Range<u64>,
    /// Length of its plaintext.
    pub(crate) raw_length: u32,
    /// How it is encoded.
    pub(crate) codec: BlockCodec,
    /// Where it was sealed, if elsewhere.
    pub(crate) origin: Option<BlockOrigin>,
}

/// The content of some segments.
pub(crate) struct Run {
    bytes: RunBytes,
    layout: Layout,
    segments: Vec<SegmentRef>,
    packs: Vec<IndexedPack>,
    owners: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Layout {
    chunk_count: usize,
    ids: usize,
    places: usize,
    block_count: usize,
    blocks: usize,
    extra: usize,
}

impl Run {
    /// Makes the bytes of a run from packs, each with the number of the segment that lists it.
    ///
    /// Takes memory for 44 bytes a chunk while it sorts.
    pub(crate) fn build(
        repository: RepoId,
        segments: &[SegmentRef],
        packs: Vec<(u32, IndexedPack)>,
    ) -> Vec<u8> {
        let count = packs.iter().flat_map(|(_owner, pack)| &pack.blocks);
        let count = count.map(|block| block.chunks.len()).sum();
        let mut chunks: Vec<(ChunkId, RunLocation)> = Vec::with_capacity(count);
        let mut blocks = Vec::new();
        let mut extra = Vec::new();
        let mut heads = Vec::new();
        let mut owners = Vec::new();
        for (pack_number, (owner, mut pack)) in packs.into_iter().enumerate() {
            let mut start = u64::from(pack.header_length);
            for (number, block) in std::mem::take(&mut pack.blocks).into_iter().enumerate() {
                let block_number = to_u32(blocks.len() / BLOCK_ROW_BYTES);
                let mut offset = 0;
                for chunk in &block.chunks {
                    let length = chunk.length;
                    chunks.push((chunk.id, RunLocation { block: block_number, offset, length }));
                    offset += length;
                }
                push_block(
                    &mut blocks,
                    &mut extra,
                    to_u32(pack_number),
                    to_u32(number),
                    start,
                    &block,
                );
                start += u64::from(block.stored_length);
            }
            heads.push(pack);
            owners.push(owner);
        }
        // One place a chunk is enough; plain blocks come first, since deltas need plain bases.
        chunks.sort_unstable_by_key(|(id, place)| (*id, is_delta(&blocks, place.block), *place));
        let head = RunHead {
            segments: segments.iter().map(|&segment| segment.into()).collect(),
            packs: heads,
            owners,
            chunk_count: to_u64(chunks.len()),
            block_count: to_u64(blocks.len() / BLOCK_ROW_BYTES),
        };
        assemble(repository, &head, &chunks, &blocks, &extra)
    }

    /// Opens the bytes of a run; `None` if they are torn, damaged or of another repository.
    pub(crate) fn open(repository: RepoId, bytes: RunBytes) -> Option<Self> {
        let all = bytes.as_slice();
        let prefix = all.get(..RUN_PREFIX_BYTES)?;
        let (magic, rest) = prefix.split_at(8);
        let (stored_repository, rest) = rest.split_at(16);
        let (checksum, lengths) = rest.split_at(32);
        let sound = magic == RUN_MAGIC
            && stored_repository == repository.as_bytes()
            && checksum == blake3(all.get(RUN_CHECKED_FROM..)?);
        if !sound {
            return None;
        }
        let head_length = to_usize(u64::from_le_bytes(lengths.try_into().ok()?));
        let head_end = RUN_PREFIX_BYTES.checked_add(head_length)?;
        let head: RunHead =
            codec::decode::<_, RUN_HEAD_MEMORY_MAX>("run", all.get(RUN_PREFIX_BYTES..head_end)?)
                .ok()?;
        let chunk_count = to_usize(head.chunk_count);
        let block_count = to_usize(head.block_count);
        let ids = head_end;
        let places = ids.checked_add(chunk_count.checked_mul(ChunkId::LENGTH)?)?;
        let blocks = places.checked_add(chunk_count.checked_mul(PLACE_BYTES)?)?;
        let extra = blocks.checked_add(block_count.checked_mul(BLOCK_ROW_BYTES)?)?;
        if extra > all.len() {
            return None;
        }
        let layout = Layout { chunk_count, ids, places, block_count, blocks, extra };
        let segments = head.segments.into_iter().map(SegmentRef::from).collect();
        // Read for the checksum alone.
        bytes.release();
        Some(Self { bytes, layout, segments, packs: head.packs, owners: head.owners })
    }

    /// The segments whose content this is.
    pub(crate) fn segments(&self) -> &[SegmentRef] {
        &self.segments
    }

    /// The packs, without their blocks.
    pub(crate) fn packs(&self) -> &[IndexedPack] {
        &self.packs
    }

    /// For each pack the number of the segment that lists it.
    pub(super) fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// The segment that lists a pack.
    pub(crate) fn segment_of(&self, pack: usize) -> Option<SegmentRef> {
        self.segments.get(to_usize32(*self.owners.get(pack)?)).copied()
    }

    /// How many chunks it lists.
    pub(crate) fn chunk_count(&self) -> usize {
        self.layout.chunk_count
    }

    /// How many blocks it lists.
    pub(crate) fn block_count(&self) -> usize {
        self.layout.block_count
    }

    /// The chunk at a place of the sorted list, with one of its locations.
    pub(crate) fn chunk_at(&self, index: usize) -> Option<(ChunkId, RunLocation)> {
        Some((self.id_at(index)?, self.location_at(index)?))
    }

    /// The first index in the sorted list whose chunk is `id`.
    ///
    /// Names are spread evenly, so the search begins where the name would be and seldom goes far.
    pub(crate) fn find(&self, id: &ChunkId) -> Option<usize> {
        let (mut low, mut high) = (0, self.layout.chunk_count);
        let mut guess = expected_index(id, self.layout.chunk_count);
        let mut step = GUESS_STEP;
        // Close in on the name from the guess, then halve.
        while low < high {
            let probe = guess.clamp(low, high - 1);
            let found = self.id_at(probe)?;
            if found < *id {
                low = probe + 1;
                guess = probe + step;
            } else {
                high = probe;
                guess = probe.saturating_sub(step);
            }
            step *= 4;
            if step > high - low {
                guess = low + (high - low) / 2;
                step = 1;
            }
        }
        (self.id_at(low)? == *id).then_some(low)
    }

    /// Every place of a chunk, those in plain blocks first.
    pub(crate) fn locations(&self, id: &ChunkId) -> impl Iterator<Item = RunLocation> {
        let first = self.find(id);
        let id = *id;
        let indexes = first.into_iter().flat_map(|first| first..self.layout.chunk_count);
        indexes
            .take_while(move |&index| self.id_at(index) == Some(id))
            .filter_map(|index| self.location_at(index))
    }

    /// A block of the run.
    pub(crate) fn block(&self, number: u32) -> Option<RunBlock> {
        let (row, extra) = self.block_row(number)?;
        let [pack, number, start, stored, raw_length, codec, ..] = row;
        let more = match extra {
            [] => BlockExtra::default(),
            bytes => codec::decode::<_, EXTRA_MEMORY_MAX>("run", bytes).ok()?,
        };
        let codec = match codec {
            CODEC_RAW => BlockCodec::Raw,
            CODEC_ZSTD => BlockCodec::Zstd,
            _ => BlockCodec::Delta { bases: more.bases },
        };
        let range = u64::from(start)..u64::from(start) + u64::from(stored);
        Some(RunBlock { pack, number, range, raw_length, codec, origin: more.origin })
    }

    /// What the pack of a block holds.
    pub(crate) fn kind_of(&self, block: u32) -> Option<PackKind> {
        let pack = self.block(block)?.pack;
        Some(self.packs.get(to_usize32(pack))?.header.kind)
    }

    /// The fields of a block, and the encoded rest that few have.
    pub(super) fn block_row(&self, number: u32) -> Option<([u32; 8], &[u8])> {
        let start = self.layout.blocks + to_usize32(number) * BLOCK_ROW_BYTES;
        if start + BLOCK_ROW_BYTES > self.layout.extra {
            return None;
        }
        let all = self.bytes.as_slice();
        let (fields, _rest) = all.get(start..start + BLOCK_ROW_BYTES)?.as_chunks::<4>();
        let mut row = [0; 8];
        for (field, bytes) in row.iter_mut().zip(fields) {
            *field = u32::from_le_bytes(*bytes);
        }
        let [.., extra, extra_length] = row;
        let extra = self.layout.extra + to_usize32(extra);
        Some((row, all.get(extra..extra + to_usize32(extra_length))?))
    }

    /// Whether a block is a delta.
    pub(super) fn is_delta(&self, block: u32) -> bool {
        self.block_row(block).is_some_and(|(row, _extra)| row[5] == CODEC_DELTA)
    }

    /// Gives back the memory of a mapped file; what is used again is read again.
    pub(crate) fn release(&self) {
        self.bytes.release();
    }

    fn id_at(&self, index: usize) -> Option<ChunkId> {
        let start = self.layout.ids + index * ChunkId::LENGTH;
        if start + ChunkId::LENGTH > self.layout.places {
            return None;
        }
        let bytes = self.bytes.as_slice().get(start..start + ChunkId::LENGTH)?;
        Some(ChunkId::new(bytes.try_into().ok()?))
    }

    fn location_at(&self, index: usize) -> Option<RunLocation> {
        let start = self.layout.places + index * PLACE_BYTES;
        let row = self.bytes.as_slice().get(start..start + PLACE_BYTES)?;
        let (fields, _rest) = row.as_chunks::<4>();
        let [block, offset, length] = fields else { return None };
        Some(RunLocation {
            block: u32::from_le_bytes(*block),
            offset: u32::from_le_bytes(*offset),
            length: u32::from_le_bytes(*length),
        })
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Run({} chunks, {} packs)", self.layout.chunk_count, self.packs.len())
    }
}

/// What a run says of itself; encoded like a record, and not part of the format.
#[derive(Debug, Default, codec::Encode, codec::Decode)]
pub(super) struct RunHead {
    pub(super) segments: Vec<SegmentName>,
    pub(super) packs: Vec<IndexedPack>,
    /// For each pack the number of its segment.
    pub(super) owners: Vec<u32>,
    pub(super) chunk_count: u64,
    pub(super) block_count: u64,
}

/// What few blocks have.
#[derive(Debug, Default, codec::Encode, codec::Decode)]
struct BlockExtra {
    bases: Vec<ChunkId>,
    origin: Option<BlockOrigin>,
}

fn push_block(
    blocks: &mut Vec<u8>,
    extra: &mut Vec<u8>,
    pack: u32,
    number: u32,
    start: u64,
    block: &BlockEntry,
) {
    let (codec, bases) = match &block.codec {
        BlockCodec::Raw => (CODEC_RAW, Vec::new()),
        BlockCodec::Zstd => (CODEC_ZSTD, Vec::new()),
        BlockCodec::Delta { bases } => (CODEC_DELTA, bases.clone()),
    };
    let extra_start = extra.len();
    if block.origin.is_some() || !bases.is_empty() {
        codec::encode_into(&BlockExtra { bases, origin: block.origin.clone() }, extra);
    }
    let extra_length = extra.len() - extra_start;
    let start = u32::try_from(start).unwrap_or(u32::MAX);
    let row = [
        pack,
        number,
        start,
        block.stored_length,
        block.raw_length,
        codec,
        to_u32(extra_start),
        to_u32(extra_length),
    ];
    for field in row {
        blocks.extend_from_slice(&field.to_le_bytes());
    }
}

fn is_delta(blocks: &[u8], number: u32) -> bool {
    let at = to_usize32(number) * BLOCK_ROW_BYTES + 20;
    blocks.get(at..at + 4) == Some(CODEC_DELTA.to_le_bytes().as_slice())
}

fn assemble(
    repository: RepoId,
    head: &RunHead,
    chunks: &[(ChunkId, RunLocation)],
    blocks: &[u8],
    extra: &[u8],
) -> Vec<u8> {
    let head_bytes = codec::encode(head);
    let rows = chunks.len() * (ChunkId::LENGTH + PLACE_BYTES);
    let length = RUN_PREFIX_BYTES + head_bytes.len() + rows + blocks.len() + extra.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&prefix_of(repository, &[0; 32], head_bytes.len()));
    bytes.extend_from_slice(&head_bytes);
    for (id, _place) in chunks {
        bytes.extend_from_slice(id.as_bytes());
    }
    for (_id, RunLocation { block, offset, length }) in chunks {
        for field in [block, offset, length] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
    }
    bytes.extend_from_slice(blocks);
    bytes.extend_from_slice(extra);
    let checksum = blake3(&bytes[RUN_CHECKED_FROM..]);
    bytes[RUN_CHECKED_FROM - 32..RUN_CHECKED_FROM].copy_from_slice(&checksum);
    bytes
}

/// The checksum that a run says it has: no two runs share one.
pub(crate) fn checksum_in(run: &[u8]) -> Option<[u8; 32]> {
    run.get(RUN_CHECKED_FROM - 32..RUN_CHECKED_FROM)?.try_into().ok()
}

/// What stands before the head of a run.
pub(super) fn prefix_of(repository: RepoId, checksum: &[u8; 32], head_length: usize) -> Vec<u8> {
    let length = to_u64(head_length).to_le_bytes();
    [RUN_MAGIC.as_slice(), repository.as_bytes(), checksum, &length].concat()
}

/// Where a name would stand among `count` evenly spread ones.
fn expected_index(id: &ChunkId, count: usize) -> usize {
    let bytes = id.as_bytes();
    // Names compare from their first byte on: those are the high bits.
    let high = bytes.iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let index = (u128::from(high) * u128::from(to_u64(count))) >> 64;
    usize::try_from(index).unwrap_or(0)
}

const RUN_MAGIC: &[u8; 8] = b"SBFRUN02";
/// Magic, repository, checksum, length of the head.
const RUN_PREFIX_BYTES: usize = 8 + 16 + 32 + 8;
/// The checksum covers everything behind it.
pub(super) const RUN_CHECKED_FROM: usize = 8 + 16 + 32;
const RUN_HEAD_MEMORY_MAX: usize = 1 << 30;
const EXTRA_MEMORY_MAX: usize = 1 << 20;
pub(super) const PLACE_BYTES: usize = 12;
pub(super) const BLOCK_ROW_BYTES: usize = 32;
const CODEC_RAW: u32 = 0;
const CODEC_ZSTD: u32 = 1;
const CODEC_DELTA: u32 = 2;
const GUESS_STEP: usize = 16;
