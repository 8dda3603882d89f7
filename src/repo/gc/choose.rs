//! Which packs a plan condemns, which it copies first, and what becomes of every stored byte.

use crate::format::block::BlockCodec;
use crate::format::layout::PackRef;
use crate::format::pack::PackKind;
use crate::repo::error::RepoError;
use crate::repo::gc::census::Census;
use crate::repo::gc::live::LiveChunks;
use crate::repo::gc::live::Marked;
use crate::repo::gc::live::MarkedAs;
use crate::repo::gc::needs::Needs;
use crate::repo::index::run::RunBlock;
use crate::units::to_u64;

/// How much waste is tolerated, and how much may be copied to get rid of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepackPolicy {
    pub(crate) unused_max: UnusedMax,
    /// Stored bytes that may be read to be copied.
    pub(crate) repack_bytes_max: u64,
    /// Whether chunks of data packs can be taken out of their blocks.
    pub(crate) splits_data: bool,
}

/// How many unused bytes packs may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnusedMax {
    /// In ten thousandths of what stays.
    Share(u32),
    /// In bytes.
    Bytes(u64),
}

/// What becomes of a pack that the index lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays.
    Kept,
    /// Nothing in it is needed.
    Dead,
    /// What is needed of it is in other packs too.
    Double,
    /// What is needed of it is copied.
    Repacked,
    /// It is not stored, or not with its length, and nothing in it is needed.
    Absent,
}

/// What is decided about the packs of the index.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) needs: Needs,
    /// For each pack of the census.
    pub(crate) fates: Vec<Fate>,
}

/// Stored bytes of a pack by what they are good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PackUse {
    /// Needed, with header and directory.
    pub(crate) live: u64,
    /// Of blocks without any needed chunk.
    pub(crate) dead: u64,
    /// The unneeded share of blocks that a repack would split.
    pub(crate) split: u64,
    /// The unneeded share of blocks that stay whole.
    pub(crate) bound: u64,
}

/// Decides what becomes of each pack.
///
/// Errors: [`RepoError::UnknownChunk`] if a needed chunk is not stored.
pub(crate) fn choose(
    census: &Census,
    live: &mut LiveChunks,
    policy: &RepackPolicy,
) -> Result<Choice, RepoError> {
    loop {
        let choice = Choice::new(census, Needs::new(census, live, policy)?, policy);
        if !choice.mark_bases(census, live)? {
            return Ok(choice);
        }
    }
}

/// The bases of all deltas of a pack.
pub(crate) fn bases_of(census: &Census, pack: usize) -> Vec<crate::id::ChunkId> {
    census.blocks_of(pack).flat_map(|(_number, block)| bases_in(block)).collect()
}

fn bases_in(block: RunBlock) -> Vec<crate::id::ChunkId> {
    match block.codec {
        BlockCodec::Delta { bases } => bases,
        BlockCodec::Raw | BlockCodec::Zstd => Vec::new(),
    }
}

impl Choice {
    fn new(census: &Census, needs: Needs, policy: &RepackPolicy) -> Self {
        let mut fates = Vec::with_capacity(census.packs.len());
        for (number, pack) in census.packs.iter().enumerate() {
            fates.push(match (needs.is_needed(pack), needs.is_double[number]) {
                (true, _) => Fate::Kept,
                (false, _) if !pack.is_stored => Fate::Absent,
                (false, true) => Fate::Double,
                (false, false) => Fate::Dead,
            });
        }
        let mut choice = Self { needs, fates };
        choice.select_repacks(census, policy);
        choice
    }

    /// Marks the bases of every delta that stays, needed or not: what the index lists must be
    /// readable for the next writer that uses it. Says whether one was not marked before.
    fn mark_bases(&self, census: &Census, live: &mut LiveChunks) -> Result<bool, RepoError> {
        let mut changed = false;
        if !census.has_deltas() {
            return Ok(changed);
        }
        for (number, fate) in self.fates.iter().enumerate() {
            let stays = |(at, _block): &(usize, RunBlock)| match fate {
                Fate::Kept => true,
                Fate::Repacked => self.needs.live_bytes[*at] > 0,
                Fate::Dead | Fate::Double | Fate::Absent => false,
            };
            let blocks = census.blocks_of(number).filter(stays);
            for base in blocks.flat_map(|(_at, block)| bases_in(block)) {
                match live.mark(&base, MarkedAs::Bytes) {
                    Marked::First => changed = true,
                    Marked::Again => {}
                    Marked::Unknown => return Err(RepoError::UnknownChunk { chunk: base }),
                }
                // Only a plain copy serves as a base.
                let copies = census.copies(&census.places_of(&base), |_pack| true);
                if copies.iter().all(|copy| census.is_delta(copy.block)) {
                    return Err(RepoError::UnknownChunk { chunk: base });
                }
            }
        }
        Ok(changed)
    }

    /// The packs of one fate.
    pub(crate) fn packs_of(&self, fate: Fate) -> impl Iterator<Item = usize> {
        let fates = self.fates.iter().enumerate();
        fates.filter(move |(_number, of)| **of == fate).map(|(number, _of)| number)
    }

    /// Keeps a pack that turned out to be damaged, and with it every pack that holds chunks twice:
    /// theirs may be the only good copies.
    pub(crate) fn keep_with_doubles(&mut self, pack: usize) {
        for (number, fate) in self.fates.iter_mut().enumerate() {
            let goes_without = match fate {
                Fate::Double => true,
                // Of its chunks, those that are kept elsewhere were not copied.
                Fate::Repacked => self.needs.is_double[number],
                Fate::Kept | Fate::Dead | Fate::Absent => false,
            };
            if number == pack || goes_without {
                *fate = Fate::Kept;
            }
        }
    }

    /// Which packs are condemned, once what is needed of them was copied.
    pub(crate) fn condemned(&self, census: &Census) -> Vec<PackRef> {
        let packs = census.packs.iter().zip(&self.fates);
        let condemned = packs.filter(|(_pack, fate)| match fate {
            // What is listed and not there, or cut short, is no longer listed then.
            Fate::Dead | Fate::Double | Fate::Repacked | Fate::Absent => true,
            Fate::Kept => false,
        });
        condemned.map(|(pack, _fate)| pack.reference).collect()
    }

    /// What the bytes of a pack are good for.
    pub(crate) fn use_of(&self, census: &Census, pack: usize, policy: &RepackPolicy) -> PackUse {
        let facts = &census.packs[pack];
        let mut used = PackUse::default();
        for (number, block) in census.blocks_of(pack) {
            let stored = block.range.end - block.range.start;
            let live = self.needs.live_bytes[number];
            if live == 0 {
                used.dead += stored;
                continue;
            }
            let unneeded = u64::from(block.raw_length.saturating_sub(live));
            let unneeded = stored * unneeded / u64::from(block.raw_length.max(1));
            if is_split(facts.kind, &block, live, policy) {
                used.split += unneeded;
            } else {
                used.bound += unneeded;
            }
        }
        used.live = facts.length.saturating_sub(used.dead + used.split + used.bound);
        used
    }

    /// Packs with the largest share of waste first, until little enough is left.
    fn select_repacks(&mut self, census: &Census, policy: &RepackPolicy) {
        let mut kept_bytes = 0;
        let mut waste_bytes = 0;
        let mut candidates = Vec::new();
        for (number, pack) in census.packs.iter().enumerate() {
            if self.fates[number] != Fate::Kept {
                continue;
            }
            let used = self.use_of(census, number, policy);
            let waste = used.dead + used.split;
            kept_bytes += pack.length;
            waste_bytes += waste;
            if waste > 0 {
                candidates.push((number, waste, pack.length));
            }
        }
        let share =
            |waste: u64, length: u64| u128::from(waste) * (1 << 32) / u128::from(length.max(1));
        candidates.sort_by_key(|&(number, waste, length)| {
            (std::cmp::Reverse(share(waste, length)), census.packs[number].reference)
        });
        let mut read_bytes = 0_u64;
        for (number, waste, length) in candidates {
            if waste_bytes <= policy.unused_max.bytes_of(kept_bytes) {
                break;
            }
            if read_bytes.saturating_add(length) > policy.repack_bytes_max {
                continue;
            }
            self.fates[number] = Fate::Repacked;
            read_bytes += length;
            waste_bytes -= waste;
            kept_bytes -= waste;
        }
    }
}

impl UnusedMax {
    /// How many bytes that are of `kept` ones.
    fn bytes_of(self, kept: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(parts) => {
                let bytes = u128::from(kept) * u128::from(parts) / u128::from(SHARE_WHOLE);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Whether a repack takes the needed chunks out of a block, instead of copying it as it is.
pub(crate) fn is_split(
    kind: PackKind,
    block: &RunBlock,
    live_bytes: u32,
    policy: &RepackPolicy,
) -> bool {
    let can_read = match kind {
        PackKind::Data => policy.splits_data,
        PackKind::Tree => true,
    };
    let is_delta = matches!(block.codec, BlockCodec::Delta { .. });
    let dead = u64::from(block.raw_length.saturating_sub(live_bytes));
    can_read && !is_delta && dead * to_u64(SPLIT_PARTS) >= u64::from(block.raw_length)
}

/// A block is split if at least one of so many parts is not needed.
const SPLIT_PARTS: usize = 4;
/// What a share is counted in.
pub(crate) const SHARE_WHOLE: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::BlockEntry;
    use crate::format::block::ChunkEntry;
    use crate::format::index::IndexedPack;
    use crate::format::layout::SessionRef;
    use crate::format::pack::PackHeader;
    use crate::format::pack::Wrap;
    use crate::format::pack::WrappedKey;
    use crate::id::ChunkId;
    use crate::id::ClientId;
    use crate::id::PackId;
    use crate::id::PackUid;
    use crate::id::RepoId;
    use crate::id::SessionId;
    use crate::id::Sha256;
    use crate::repo::index::bytes::RunBytes;
    use crate::repo::index::run::Run;
    use std::collections::HashMap;
    use std::collections::HashSet;
    use std::sync::Arc;

    const POLICY: RepackPolicy = RepackPolicy {
        unused_max: UnusedMax::Bytes(u64::MAX),
        repack_bytes_max: 0,
        splits_data: true,
    };

    fn chunk(number: u8) -> ChunkId {
        ChunkId::new([number; 32])
    }

    /// A block of chunks of 100 bytes.
    fn block(chunks: &[u8], bases: &[u8]) -> BlockEntry {
        let codec = match bases {
            [] => BlockCodec::Zstd,
            bases => BlockCodec::Delta { bases: bases.iter().copied().map(chunk).collect() },
        };
        let raw_length = 100 * crate::units::to_u32(chunks.len());
        let chunks = chunks.iter().map(|&id| ChunkEntry { id: chunk(id), length: 100 }).collect();
        BlockEntry { stored_length: raw_length / 2, raw_length, codec, origin: None, chunks }
    }

    fn pack(number: u8, blocks: Vec<BlockEntry>) -> IndexedPack {
        let wrap = Wrap::Symmetric { nonce: [0; 24], sealed: [0; 48] };
        let key = WrappedKey { generation: 1, commitment: [0; 32], wrap };
        let pack_uid = PackUid::new([number; 16]);
        let header = PackHeader { kind: PackKind::Data, pack_uid, key, directory_generation: 1 };
        IndexedPack {
            client: ClientId::new([1; 16]),
            epoch: 0,
            session: SessionId::new([2; 16]),
            sequence: u32::from(number),
            id: PackId::new([number; 32]),
            sha256: Sha256::new([0; 32]),
            length: 1000,
            header,
            header_length: 10,
            blocks,
        }
    }

    /// The census of packs, each with its blocks, and what is needed of them.
    fn census_of(packs: Vec<Vec<BlockEntry>>, needed: &[u8]) -> (Census, LiveChunks) {
        let packs = (1..).zip(packs).map(|(number, blocks)| (0, pack(number, blocks))).collect();
        let repository = RepoId::new([7; 16]);
        let bytes = Run::build(repository, &[], packs);
        let run = Arc::new(Run::open(repository, RunBytes::Memory(bytes)).unwrap());
        let stored = run.packs().iter().map(|pack| (pack.reference(), pack.length));
        let stored: HashMap<PackRef, u64> = stored.collect();
        let mut live = LiveChunks::new(vec![Arc::clone(&run)]);
        for &id in needed {
            assert_eq!(live.mark(&chunk(id), MarkedAs::Bytes), Marked::First);
        }
        (Census::new(&[run], &stored, HashSet::new()), live)
    }

    /// What becomes of packs, each with its blocks, if these chunks are needed.
    #[track_caller]
    fn check(packs: Vec<Vec<BlockEntry>>, needed: &[u8], fates: &[Fate]) {
        let (census, mut live) = census_of(packs, needed);
        let choice = choose(&census, &mut live, &POLICY).unwrap();
        assert_eq!(choice.fates, fates);
        let session = SessionRef {
            client: ClientId::new([1; 16]),
            epoch: 0,
            session: SessionId::new([2; 16]),
        };
        assert!(choice.condemned(&census).iter().all(|pack| pack.session == session));
    }

    #[test]
    fn what_is_not_needed_goes_and_of_two_copies_one_stays() {
        let packs = vec![
            vec![block(&[1, 2], &[])],
            vec![block(&[1], &[]), block(&[3], &[])],
            vec![block(&[4], &[])],
        ];
        check(packs, &[1, 2], &[Fate::Kept, Fate::Double, Fate::Dead]);
    }

    #[test]
    fn a_plain_copy_is_never_given_up_for_a_copy_in_a_delta() {
        // The delta's pack stays anyway; chunk 1 is in it and, plain, in a pack of its own.
        let packs =
            vec![vec![block(&[1, 2, 5], &[3])], vec![block(&[1], &[])], vec![block(&[3], &[])]];
        check(packs, &[1, 2], &[Fate::Kept, Fate::Kept, Fate::Kept]);
    }

    #[test]
    fn bases_stay_as_long_as_a_pack_with_their_delta_does() {
        let bases = || vec![block(&[9], &[])];
        check(vec![vec![block(&[1], &[9])], bases()], &[1], &[Fate::Kept, Fate::Kept]);
        check(vec![vec![block(&[1], &[9])], bases()], &[], &[Fate::Dead, Fate::Dead]);
        // Nobody needs the delta, but the index goes on offering what is in it.
        let beside = vec![block(&[1], &[9]), block(&[2], &[])];
        check(vec![beside, bases()], &[2], &[Fate::Kept, Fate::Kept]);
        // Keeping bases keeps another delta, whose base must stay, too.
        let chain = vec![
            vec![block(&[1], &[9])],
            vec![block(&[9], &[]), block(&[2], &[8])],
            vec![block(&[8], &[])],
        ];
        check(chain, &[1], &[Fate::Kept, Fate::Kept, Fate::Kept]);
    }

    #[test]
    fn beside_a_damaged_pack_every_copy_of_what_it_has_stays() {
        // Chunk 1 is kept in the first pack, so that nobody copies it out of the second.
        let packs = vec![vec![block(&[1, 2, 3, 8, 9], &[])], vec![block(&[1, 4, 10, 11], &[])]];
        let (census, mut live) = census_of(packs, &[1, 2, 3, 4]);
        let mut choice = choose(&census, &mut live, &NO_WASTE).unwrap();
        assert_eq!(choice.fates, [Fate::Repacked, Fate::Repacked]);
        choice.keep_with_doubles(0);
        assert_eq!(choice.fates, [Fate::Kept, Fate::Kept]);
    }

    /// What a collection with this choice leaves: packs that stay, and one with all copies.
    fn leave(
        packs: &[Vec<BlockEntry>],
        census: &Census,
        live: &LiveChunks,
        choice: &Choice,
    ) -> Vec<Vec<BlockEntry>> {
        let (mut left, mut copied, mut loose) = (Vec::new(), Vec::new(), Vec::new());
        for (number, blocks) in packs.iter().enumerate() {
            match choice.fates[number] {
                Fate::Kept => left.push(blocks.clone()),
                Fate::Dead | Fate::Double | Fate::Absent => {}
                Fate::Repacked => {
                    for ((at, known), entry) in census.blocks_of(number).zip(blocks) {
                        let bytes = choice.needs.live_bytes[at];
                        if bytes == 0 {
                            continue;
                        }
                        if !is_split(PackKind::Data, &known, bytes, &NO_WASTE) {
                            copied.push(entry.clone());
                            continue;
                        }
                        let ids = entry.chunks.iter().map(|chunk| chunk.id);
                        loose.extend(
                            ids.filter(|id| live.is_live(id) && choice.needs.keeps(census, id, at)),
                        );
                    }
                }
            }
        }
        let loose: Vec<u8> = loose.iter().map(|id| id.as_bytes()[0]).collect();
        copied.extend(loose.chunks(4).map(|chunks| block(chunks, &[])));
        if !copied.is_empty() {
            left.push(copied);
        }
        left
    }

    const NO_WASTE: RepackPolicy = RepackPolicy {
        unused_max: UnusedMax::Bytes(0),
        repack_bytes_max: u64::MAX,
        splits_data: true,
    };

    /// Chunks that stand in several packs, in random packs, with and without deltas.
    fn random_packs(next: &mut impl FnMut(u64) -> u64) -> Vec<Vec<BlockEntry>> {
        let mut below = |bound: u64| u8::try_from(next(bound)).unwrap();
        let mut packs = Vec::new();
        for _pack in 0..2 + below(6) {
            let mut blocks = Vec::new();
            for _block in 0..=below(2) {
                let mut chunks: Vec<u8> = (0..=below(7)).map(|_| 1 + below(24)).collect();
                chunks.sort_unstable();
                chunks.dedup();
                let bases = if below(6) == 0 { vec![101 + below(4)] } else { Vec::new() };
                blocks.push(block(&chunks, &bases));
            }
            packs.push(blocks);
        }
        packs.extend((101..=104).map(|base| vec![block(&[base], &[])]));
        packs
    }

    #[test]
    fn what_one_collection_leaves_the_next_one_leaves_too() {
        for seed in 0..4000_u64 {
            let mut state = seed;
            let mut next = |bound: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                (state >> 33) % bound
            };
            let packs = random_packs(&mut next);
            let stored = packs.iter().flatten().flat_map(|block| &block.chunks);
            let mut needed: Vec<u8> = stored.map(|chunk| chunk.id.as_bytes()[0]).collect();
            needed.sort_unstable();
            needed.dedup();
            needed.retain(|&id| id < 100 && next(3) > 0);
            let (census, mut live) = census_of(packs.clone(), &needed);
            let choice = choose(&census, &mut live, &NO_WASTE).unwrap();
            let left = leave(&packs, &census, &live, &choice);
            let (census, mut live) = census_of(left, &needed);
            let again = choose(&census, &mut live, &NO_WASTE).unwrap();
            let is_kept = |fate: &Fate| *fate == Fate::Kept;
            assert!(again.fates.iter().all(is_kept), "seed {seed}: {:?}", again.fates);
        }
    }
}
