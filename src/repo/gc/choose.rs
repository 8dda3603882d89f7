//! Which packs a plan condemns, which it copies first, and what becomes of every stored byte.

use crate::format::block::BlockCodec;
use crate::format::layout::PackRef;
use crate::format::pack::PackKind;
use crate::repo::error::RepoError;
use crate::repo::gc::census::Census;
use crate::repo::gc::census::Needs;
use crate::repo::gc::live::LiveChunks;
use crate::repo::gc::live::Marked;
use crate::repo::gc::live::MarkedAs;
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
    /// It is not stored, and nothing in it is needed.
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
    let needs = settle_bases(census, live)?;
    let mut fates = Vec::with_capacity(census.packs.len());
    for (number, pack) in census.packs.iter().enumerate() {
        fates.push(match (needs.is_needed(pack), needs.is_double[number]) {
            (true, _) => Fate::Kept,
            (false, _) if !pack.is_stored => Fate::Absent,
            (false, true) => Fate::Double,
            (false, false) => Fate::Dead,
        });
    }
    let mut choice = Choice { needs, fates };
    choice.select_repacks(census, policy);
    Ok(choice)
}

/// Marks the bases of every delta in a pack that stays, needed or not: what the index lists must
/// be readable for the next writer that uses it.
fn settle_bases(census: &Census, live: &mut LiveChunks) -> Result<Needs, RepoError> {
    loop {
        let needs = census.needs(live)?;
        let mut changed = false;
        if census.has_deltas() {
            for (number, pack) in census.packs.iter().enumerate() {
                if !needs.is_needed(pack) {
                    continue;
                }
                for base in bases_of(census, number) {
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
        }
        if !changed {
            return Ok(needs);
        }
    }
}

/// The bases of all deltas of a pack.
pub(crate) fn bases_of(census: &Census, pack: usize) -> Vec<crate::id::ChunkId> {
    let bases = |(_number, block): (usize, RunBlock)| match block.codec {
        BlockCodec::Delta { bases } => bases,
        BlockCodec::Raw | BlockCodec::Zstd => Vec::new(),
    };
    census.blocks_of(pack).flat_map(bases).collect()
}

impl Choice {
    /// The packs of one fate.
    pub(crate) fn packs_of(&self, fate: Fate) -> impl Iterator<Item = usize> {
        let fates = self.fates.iter().enumerate();
        fates.filter(move |(_number, of)| **of == fate).map(|(number, _of)| number)
    }

    /// Keeps a pack that turned out to be damaged, and with it every pack that holds chunks twice:
    /// theirs may be the only good copies.
    pub(crate) fn keep_with_doubles(&mut self, pack: usize) {
        for (number, fate) in self.fates.iter_mut().enumerate() {
            if number == pack || *fate == Fate::Double {
                *fate = Fate::Kept;
            }
        }
    }

    /// Which packs are condemned, once what is needed of them was copied.
    pub(crate) fn condemned(&self, census: &Census) -> Vec<PackRef> {
        let packs = census.packs.iter().zip(&self.fates);
        let condemned = packs.filter(|(_pack, fate)| match fate {
            Fate::Dead | Fate::Double | Fate::Repacked => true,
            Fate::Kept | Fate::Absent => false,
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

    /// What becomes of packs, each with its blocks, if these chunks are needed.
    #[track_caller]
    fn check(packs: Vec<Vec<BlockEntry>>, needed: &[u8], fates: &[Fate]) {
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
        let census = Census::new(&[run], &stored, HashSet::new());
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
}
