//! What may stand before a delta: chunks of an older version that lie in plain blocks.
//! Spec: format-spec/05-pack.md, "Prefix of a delta block".

use crate::format::block::BASE_BYTES_MAX;
use crate::format::block::BASES_COUNT_MAX;
use crate::format::block::BlockCodec;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::repo::index::ChunkPlace;
use crate::repo::index::Index;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::read::ChunkReader;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// The plaintext of base chunks, in order.
#[derive(Debug, Default)]
pub(crate) struct Prefix {
    /// The chunks.
    pub(crate) bases: Vec<ChunkId>,
    /// Their bytes, back to back.
    pub(crate) bytes: Vec<u8>,
    /// How long such bytes are in plain blocks, in thousandths of their length.
    pub(crate) stored_per_mille: u64,
    /// Whether a version in between was made after these bases, too.
    pub(crate) is_aged: bool,
}

impl Prefix {
    /// The prefix of bases whose bytes are at hand; `None` if one of them is in no plain block.
    pub(crate) fn of_known(index: &Index, bases: Vec<ChunkId>, bytes: Vec<u8>) -> Option<Self> {
        let found = bases.iter().map(|id| Some(Base { id: *id, place: index.find_plain(id)? }));
        let found = found.collect::<Option<Vec<Base>>>()?;
        let stored_per_mille = per_mille(index, &found)?;
        Some(Self { bases, bytes, stored_per_mille, is_aged: false })
    }
}

/// Which blocks are read for bases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BasesFrom {
    /// Any.
    Anywhere,
    /// Those whose stored bytes this host has: no request of the store is made.
    ThisHost,
    /// None: the key reads no contents, and this host has kept the plaintext of bases.
    KeptDump,
}

impl BasesFrom {
    /// Whether what is stored is read.
    pub(crate) const fn reads_stored(self) -> bool {
        match self {
            Self::Anywhere | Self::ThisHost => true,
            Self::KeptDump => false,
        }
    }
}

/// Finds and reads bases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaseFinder<'a> {
    pub(crate) reader: &'a ChunkReader,
    pub(crate) from: BasesFrom,
    /// Set where a base was not to be had on this host.
    pub(crate) is_far: &'a AtomicBool,
}

struct Base {
    id: ChunkId,
    place: ChunkPlace,
}

impl BaseFinder<'_> {
    /// The prefix for what stands where these chunks stood; `None` if there is nothing to read.
    ///
    /// A chunk that is itself in a delta stands for its own bases, as far as they stood in its place.
    /// What cannot be read is left to whoever needs it: without a prefix nothing is lost but room.
    /// `kept` is what this host kept of the older version, if anything.
    pub(crate) fn prefix(
        &self,
        stood_there: &[ChunkId],
        kept: Option<&KeptDump>,
    ) -> Option<Prefix> {
        let mut bases: Vec<Base> = Vec::new();
        let mut total = 0;
        let mut is_aged = false;
        for chunk in stood_there {
            for base in self.plain_of(chunk) {
                if !self.is_near(&base, kept) {
                    continue;
                }
                is_aged |= base.id != *chunk;
                let length = u64::from(base.place.length);
                let is_full = total + length > PREFIX_BYTES_MAX || bases.len() >= BASES_COUNT_MAX;
                if is_full || bases.iter().any(|known| known.id == base.id) {
                    continue;
                }
                total += length;
                bases.push(base);
            }
        }
        let stored_per_mille = per_mille(&self.reader.index, &bases)?;
        let mut prefix = Prefix { stored_per_mille, is_aged, ..Prefix::default() };
        for Base { id, place } in bases {
            match self.from {
                BasesFrom::Anywhere | BasesFrom::ThisHost => {
                    self.reader.read_base(PackKind::Data, &id, place, &mut prefix.bytes).ok()?;
                }
                BasesFrom::KeptDump => kept?.read(&id, &mut prefix.bytes)?,
            }
            prefix.bases.push(id);
        }
        Some(prefix)
    }

    /// The chunks in plain blocks that stand for a chunk that is stored: itself, or its bases.
    pub(crate) fn plain_chunks_of(&self, chunk: &ChunkId) -> impl Iterator<Item = ChunkId> {
        self.plain_of(chunk).into_iter().map(|base| base.id)
    }

    fn plain_of(&self, chunk: &ChunkId) -> Vec<Base> {
        let index = &self.reader.index;
        if let Some(place) = index.find_plain(chunk) {
            return vec![Base { id: *chunk, place }];
        }
        let Some(place) = index.find(chunk) else { return Vec::new() };
        let Some((_run, block)) = index.block(place.block) else { return Vec::new() };
        let BlockCodec::Delta { bases } = block.codec else { return Vec::new() };
        let found = bases.iter().map_while(|id| Some((*id, index.find_plain(id)?)));
        let found: Vec<Base> = found.map(|(id, place)| Base { id, place }).collect();
        if found.len() < bases.len() {
            return Vec::new();
        }
        let whole: u64 = found.iter().map(|base| u64::from(base.place.length)).sum();
        let wanted = part(place, u64::from(block.raw_length), whole);
        let mut at = 0;
        let stood_there = |base: &Base| {
            let start = at;
            at += u64::from(base.place.length);
            start < wanted.end && at > wanted.start
        };
        let mut found = found;
        found.retain(stood_there);
        found
    }

    fn is_near(&self, base: &Base, kept: Option<&KeptDump>) -> bool {
        let is_near = match self.from {
            BasesFrom::Anywhere => true,
            BasesFrom::ThisHost => self.reader.is_on_this_host(base.place.block),
            BasesFrom::KeptDump => kept.is_some_and(|kept| kept.holds(&base.id)),
        };
        self.is_far.fetch_or(!is_near, Ordering::Relaxed);
        is_near
    }
}

/// How well the blocks of these bases compress; `None` if there are none.
fn per_mille(index: &Index, bases: &[Base]) -> Option<u64> {
    let (mut stored, mut raw) = (0, 0);
    for base in bases {
        let (_run, block) = index.block(base.place.block)?;
        stored += block.range.end - block.range.start;
        raw += u64::from(block.raw_length);
    }
    (raw > 0).then(|| stored.saturating_mul(1000) / raw)
}

/// Which part of the bases of a delta stood in the place of one of its chunks, with a margin: bases
/// come in the order of what they stand for.
fn part(place: ChunkPlace, raw_length: u64, whole: u64) -> Range<u64> {
    let scaled = |byte: u64| byte.saturating_mul(whole) / raw_length.max(1);
    let start = scaled(u64::from(place.offset));
    let end = scaled(u64::from(place.offset) + u64::from(place.length));
    start.saturating_sub(MARGIN_BYTES)..end + MARGIN_BYTES
}

/// Larger prefixes cost time and find little more: `benches/README.md`.
const PREFIX_BYTES_MAX: u64 = 1_048_576;
const _: () = assert!(PREFIX_BYTES_MAX <= BASE_BYTES_MAX, "readers take such prefixes");
const MARGIN_BYTES: u64 = 16 * 1024;
