//! Many runs become one, without the segments that no longer count. Rows are read in order and
//! written to a file: the memory that takes does not grow with the chunks.

use crate::crypto::hash::Blake3;
use crate::format::index::IndexedPack;
use crate::format::layout::SegmentRef;
use crate::format::outcome::SegmentName;
use crate::id::ChunkId;
use crate::id::RepoId;
use crate::repo::index::run::BLOCK_ROW_BYTES;
use crate::repo::index::run::PLACE_BYTES;
use crate::repo::index::run::RUN_CHECKED_FROM;
use crate::repo::index::run::Run;
use crate::repo::index::run::RunHead;
use crate::repo::index::run::RunLocation;
use crate::repo::index::run::prefix_of;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A run and which of its segments go into the merged one.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) run: Arc<Run>,
    /// For each segment of the run.
    pub(crate) keeps: Vec<bool>,
}

impl Part {
    /// A run as a whole.
    pub(crate) fn whole(run: Arc<Run>) -> Self {
        let keeps = vec![true; run.segments().len()];
        Self { run, keeps }
    }

    /// The segments that go into the merged run.
    pub(crate) fn kept_segments(&self) -> impl Iterator<Item = SegmentRef> {
        let segments = self.run.segments().iter().zip(&self.keeps);
        segments.filter(|(_segment, keeps)| **keeps).map(|(&segment, _keeps)| segment)
    }
}

/// Writes the run of all parts into an empty file.
///
/// The bytes are those that [`Run::build`] makes of the same packs in the same order.
pub(crate) fn merge(repository: RepoId, parts: &[Part], file: &File) -> io::Result<()> {
    let mut head = RunHead::default();
    let mut rows = Rows::default();
    let numbers: Vec<Numbers> = parts
        .iter()
        .map(|part| rows.add(part, &mut head))
        .collect::<Option<_>>()
        .ok_or_else(torn)?;
    let counts = parts.iter().zip(&numbers).map(|(part, numbers)| numbers.count_chunks(&part.run));
    head.chunk_count = counts.sum::<Option<u64>>().ok_or_else(torn)?;
    head.block_count = to_u64(rows.blocks.len() / BLOCK_ROW_BYTES);
    let head = (crate::format::codec::encode(&head), head.chunk_count);
    let prefix = prefix_of(repository, &[0; 32], head.0.len());
    let ids_at = to_u64(prefix.len() + head.0.len());
    let places_at = ids_at + head.1 * to_u64(ChunkId::LENGTH);
    let blocks_at = places_at + head.1 * to_u64(PLACE_BYTES);
    file.write_all_at(&prefix, 0)?;
    file.write_all_at(&head.0, to_u64(prefix.len()))?;
    file.write_all_at(&rows.blocks, blocks_at)?;
    file.write_all_at(&rows.extra, blocks_at + to_u64(rows.blocks.len()))?;
    let mut ids = Region::new(file, ids_at);
    let mut places = Region::new(file, places_at);
    merge_chunks(parts, &numbers, &mut |id, RunLocation { block, offset, length }| {
        ids.write(id.as_bytes())?;
        [block, offset, length].iter().try_for_each(|field| places.write(&field.to_le_bytes()))
    })?;
    ids.flush()?;
    places.flush()?;
    file.write_all_at(&prefix_of(repository, &checksum_of(file)?, head.0.len()), 0)
}

/// The blocks of all parts, with their new numbers.
#[derive(Default)]
struct Rows {
    blocks: Vec<u8>,
    extra: Vec<u8>,
}

/// The new numbers of a part's blocks; [`GONE`] for those that are left out.
struct Numbers(Vec<u32>);

impl Rows {
    /// Adds the packs and the blocks of a part; `None` if it is torn.
    fn add(&mut self, part: &Part, head: &mut RunHead) -> Option<Numbers> {
        let Part { run, keeps } = part;
        let segments: Vec<u32> = renumber(keeps, to_u32(head.segments.len()));
        head.segments.extend(part.kept_segments().map(SegmentName::from));
        let owners = run.owners().iter().map(|&owner| segments.get(to_usize32(owner)).copied());
        let owners: Vec<u32> = owners.collect::<Option<_>>()?;
        let is_kept: Vec<bool> = owners.iter().map(|&owner| owner != GONE).collect();
        let packs = renumber(&is_kept, to_u32(head.packs.len()));
        let of_kept = run.packs().iter().zip(&owners).filter(|(_pack, owner)| **owner != GONE);
        for (pack, &owner) in of_kept {
            head.packs.push(IndexedPack::clone(pack));
            head.owners.push(owner);
        }
        let mut numbers = Vec::with_capacity(run.block_count());
        for block in 0..to_u32(run.block_count()) {
            numbers.push(self.add_block(run, block, &packs)?);
        }
        Some(Numbers(numbers))
    }

    fn add_block(&mut self, run: &Run, block: u32, packs: &[u32]) -> Option<u32> {
        let (mut row, extra) = run.block_row(block)?;
        let pack = *packs.get(to_usize32(row[0]))?;
        if pack == GONE {
            return Some(GONE);
        }
        let number = to_u32(self.blocks.len() / BLOCK_ROW_BYTES);
        row[0] = pack;
        row[6] = to_u32(self.extra.len());
        self.blocks.extend(row.iter().flat_map(|field| field.to_le_bytes()));
        self.extra.extend_from_slice(extra);
        Some(number)
    }
}

impl Numbers {
    fn of(&self, place: RunLocation) -> Option<u32> {
        self.0.get(to_usize32(place.block)).copied()
    }

    /// How many chunks of a run stay; `None` if it is torn.
    fn count_chunks(&self, run: &Run) -> Option<u64> {
        if !self.0.contains(&GONE) {
            return Some(to_u64(run.chunk_count()));
        }
        let mut count = 0;
        for index in 0..run.chunk_count() {
            let (_id, place) = run.chunk_at(index)?;
            count += u64::from(self.of(place)? != GONE);
        }
        Some(count)
    }
}

/// Numbers from `first` on for everything that stays.
fn renumber(keeps: &[bool], first: u32) -> Vec<u32> {
    let mut next = first;
    let number = |&keeps: &bool| {
        if !keeps {
            return GONE;
        }
        next += 1;
        next - 1
    };
    keeps.iter().map(number).collect()
}

/// Every chunk that stays, in the order of a run: by name, plain blocks first, by block.
fn merge_chunks(
    parts: &[Part],
    numbers: &[Numbers],
    write: &mut dyn FnMut(ChunkId, RunLocation) -> io::Result<()>,
) -> io::Result<()> {
    let mut cursors = vec![0; parts.len()];
    // The next chunk of a part that stays.
    let mut next = |part: usize| -> Option<(ChunkId, bool, usize, RunLocation)> {
        let Part { run, .. } = &parts[part];
        loop {
            let (id, place) = run.chunk_at(cursors[part])?;
            cursors[part] += 1;
            match numbers[part].of(place)? {
                GONE => {}
                block => {
                    let is_delta = run.is_delta(place.block);
                    return Some((id, is_delta, part, RunLocation { block, ..place }));
                }
            }
        }
    };
    let mut heads: BinaryHeap<_> = (0..parts.len()).filter_map(&mut next).map(Reverse).collect();
    let mut written = 0_usize;
    while let Some(mut top) = heads.peek_mut() {
        let Reverse((id, _is_delta, part, place)) = *top;
        write(id, place)?;
        match next(part) {
            Some(follows) => *top = Reverse(follows),
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
        written += 1;
        if written.is_multiple_of(RELEASE_EVERY) {
            for part in parts {
                part.run.release();
            }
        }
    }
    Ok(())
}

/// BLAKE3 of everything that the checksum of a run covers.
fn checksum_of(file: &File) -> io::Result<[u8; 32]> {
    let mut hash = Blake3::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = to_u64(RUN_CHECKED_FROM);
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(*hash.finish().as_bytes()),
            count => {
                hash.update(&buffer[..count]);
                at += to_u64(count);
            }
        }
    }
}

/// Writes one part of a file from its beginning on.
struct Region<'a> {
    file: &'a File,
    at: u64,
    waiting: Vec<u8>,
}

impl<'a> Region<'a> {
    const fn new(file: &'a File, at: u64) -> Self {
        Self { file, at, waiting: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.waiting, self.at)?;
        self.at += to_u64(self.waiting.len());
        self.waiting.clear();
        Ok(())
    }
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a run of the cache is torn")
}

/// The number of what is left out.
const GONE: u32 = u32::MAX;
const BUFFER_BYTES: usize = 1_048_576;
/// Chunks after which the pages that were read are given back.
const RELEASE_EVERY: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::BlockCodec;
    use crate::format::block::BlockEntry;
    use crate::format::block::BlockOrigin;
    use crate::format::block::ChunkEntry;
    use crate::format::layout::SessionRef;
    use crate::format::pack::PackHeader;
    use crate::format::pack::PackKind;
    use crate::format::pack::Wrap;
    use crate::format::pack::WrappedKey;
    use crate::id::ClientId;
    use crate::id::PackId;
    use crate::id::PackUid;
    use crate::id::SegmentId;
    use crate::id::SessionId;
    use crate::id::Sha256;
    use crate::repo::index::bytes::RunBytes;

    const REPOSITORY: RepoId = RepoId::new([7; 16]);

    /// Numbers from a seed, each below a bound.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u64) -> u8 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            u8::try_from((self.0 >> 33) % bound).unwrap()
        }
    }

    fn block(numbers: &mut Numbers) -> BlockEntry {
        let chunk = |numbers: &mut Numbers| ChunkEntry {
            id: ChunkId::new([numbers.below(40); 32]),
            length: u32::from(numbers.below(9)),
        };
        let codec = match numbers.below(4) {
            0 => BlockCodec::Delta { bases: vec![ChunkId::new([numbers.below(9); 32])] },
            1 => BlockCodec::Raw,
            _ => BlockCodec::Zstd,
        };
        let origin = (numbers.below(3) == 0).then(|| BlockOrigin {
            pack_uid: PackUid::new([numbers.below(9); 16]),
            number: 3,
            key: key(),
        });
        let chunks = (0..=numbers.below(6)).map(|_| chunk(numbers)).collect();
        let (stored_length, raw_length) = (u32::from(numbers.below(99)), 100);
        BlockEntry { stored_length, raw_length, codec, origin, chunks }
    }

    fn key() -> WrappedKey {
        let wrap = Wrap::Symmetric { nonce: [0; 24], sealed: [0; 48] };
        WrappedKey { generation: 1, commitment: [0; 32], wrap }
    }

    fn pack(numbers: &mut Numbers) -> IndexedPack {
        let pack_uid = PackUid::new([numbers.below(200); 16]);
        IndexedPack {
            client: ClientId::new([1; 16]),
            epoch: 0,
            session: SessionId::new([2; 16]),
            sequence: u32::from(numbers.below(9)),
            id: PackId::new([numbers.below(200); 32]),
            sha256: Sha256::new([0; 32]),
            length: 1000,
            header: PackHeader {
                kind: PackKind::Data,
                pack_uid,
                key: key(),
                directory_generation: 1,
            },
            header_length: 10,
            blocks: (0..numbers.below(4)).map(|_| block(numbers)).collect(),
        }
    }

    fn segment(number: u32) -> SegmentRef {
        let client = ClientId::new([1; 16]);
        let session = SessionRef { client, epoch: 0, session: SessionId::new([2; 16]) };
        SegmentRef { session, sequence: number, id: SegmentId::new([3; 32]) }
    }

    /// A run of some segments with some packs each; what it was made of.
    fn random_run(first: u32, numbers: &mut Numbers) -> (Vec<SegmentRef>, Vec<(u32, IndexedPack)>) {
        let count = 1 + u32::from(numbers.below(4));
        let mut packs = Vec::new();
        for owner in 0..count {
            packs.extend((0..numbers.below(4)).map(|_| (owner, pack(numbers))));
        }
        ((first..first + count).map(segment).collect(), packs)
    }

    fn opened(segments: &[SegmentRef], packs: Vec<(u32, IndexedPack)>) -> Arc<Run> {
        let bytes = Run::build(REPOSITORY, segments, packs);
        Arc::new(Run::open(REPOSITORY, RunBytes::Memory(bytes)).unwrap())
    }

    #[test]
    fn a_merged_run_is_the_run_of_all_that_was_kept() {
        for seed in 0..500 {
            let mut numbers = Numbers(seed);
            let (mut parts, mut segments, mut packs) = (Vec::new(), Vec::new(), Vec::new());
            for number in 0..=u32::from(numbers.below(4)) {
                let (own, own_packs) = random_run(number * 10, &mut numbers);
                let all = numbers.below(2) == 0;
                let keeps: Vec<bool> = own.iter().map(|_| all || numbers.below(3) > 0).collect();
                let owners = renumber(&keeps, to_u32(segments.len()));
                let kept = own_packs.iter().filter_map(|(owner, pack)| {
                    let owner = owners[to_usize32(*owner)];
                    (owner != GONE).then(|| (owner, pack.clone()))
                });
                packs.extend(kept);
                let part = Part { run: opened(&own, own_packs), keeps };
                segments.extend(part.kept_segments());
                parts.push(part);
            }
            let file = tempfile::tempfile().unwrap();
            merge(REPOSITORY, &parts, &file).unwrap();
            let mut merged = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
            file.read_exact_at(&mut merged, 0).unwrap();
            assert!(merged == Run::build(REPOSITORY, &segments, packs), "seed {seed}");
            assert!(Run::open(REPOSITORY, RunBytes::Memory(merged)).is_some());
        }
    }
}
