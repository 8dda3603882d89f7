//! The segments of a base: those that list packs that are gone are written anew, small ones merged.
//! Spec: format-spec/06-index.md.

use crate::format::index::IndexedPack;
use crate::format::index::SEGMENT_CHUNKS_TARGET;
use crate::format::index::Segment;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::repo::error::RepoError;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::start::reader_and_lost;
use crate::repo::gc::start::superseded_of;
use crate::repo::index::load::load_segment;
use crate::repo::index::run::Run;
use crate::repo::repository::Repository;
use crate::repo::session::store_segment;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// The segments of a base.
#[derive(Debug, Default)]
pub(crate) struct SettledSegments {
    /// All of them.
    pub(crate) all: Vec<SegmentRef>,
    /// Those that were written.
    pub(crate) new: Vec<SegmentRef>,
}

/// Makes segments that list every pack of `segments` once, but none of `gone`; those that are lost and
/// superseded fall out.
///
/// Reads those that change alone; holds one of them at a time, and the one that is being filled.
pub(crate) fn settle_segments(
    repository: &Repository,
    session: SessionRef,
    segments: &BTreeSet<SegmentRef>,
    gone: &HashSet<PackRef>,
    pulse: Pulse<'_>,
) -> Result<SettledSegments, RepoError> {
    let lengths: HashMap<SegmentRef, u64> = repository.segment_lengths()?.into_iter().collect();
    let mut changed = to_merge(segments, &lengths);
    let mut lost = match reader_and_lost(repository, segments, pulse) {
        Ok((reader, lost)) => {
            if !gone.is_empty() {
                changed.extend(unclean(&reader.index.runs(), gone));
            }
            lost
        }
        // Nothing goes: what is damaged can stay listed.
        Err(error) if gone.is_empty() && error.is_damage() => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    let stays = |segment: &&SegmentRef| !changed.contains(segment) && !lost.contains(segment);
    let all = segments.iter().filter(stays).copied().collect();
    let mut settled = SettledSegments { all, new: Vec::new() };
    let mut filling = Filling { repository, session, packs: Vec::new(), chunk_count: 0 };
    let mut seen: HashSet<PackRef> = HashSet::new();
    for &segment in segments.intersection(&changed.into_iter().collect()) {
        pulse.beat()?;
        if lost.contains(&segment) {
            continue;
        }
        let described = match load_segment(repository, segment) {
            Err(error) if error.is_damage() => {
                lost.extend(superseded_of(repository, segments, pulse)?);
                if lost.contains(&segment) {
                    settled.all.retain(|kept| !lost.contains(kept));
                    continue;
                }
                return Err(error);
            }
            loaded => loaded?,
        };
        for pack in described.packs {
            let reference = pack.reference();
            if !gone.contains(&reference) && seen.insert(reference) {
                filling.add(pack, &mut settled)?;
            }
        }
    }
    filling.store(&mut settled)?;
    Ok(settled)
}

/// Segments that list packs that are gone, or packs that another one lists, too.
fn unclean(runs: &[Arc<Run>], gone: &HashSet<PackRef>) -> HashSet<SegmentRef> {
    let mut listed: HashMap<PackRef, SegmentRef> = HashMap::new();
    let mut unclean = HashSet::new();
    for run in runs {
        for (number, pack) in run.packs().iter().enumerate() {
            let Some(segment) = run.segment_of(number) else { continue };
            let reference = pack.reference();
            let first = *listed.entry(reference).or_insert(segment);
            if gone.contains(&reference) {
                unclean.insert(segment);
            }
            if first != segment {
                unclean.extend([first, segment]);
            }
        }
    }
    unclean
}

/// Small segments of about the same size, wherever there are many.
fn to_merge(
    segments: &BTreeSet<SegmentRef>,
    lengths: &HashMap<SegmentRef, u64>,
) -> HashSet<SegmentRef> {
    let mut tiers: BTreeMap<u32, Vec<SegmentRef>> = BTreeMap::new();
    for segment in segments {
        let length = lengths.get(segment).copied().unwrap_or_default();
        if length < FULL_BYTES {
            tiers.entry(tier(length)).or_default().push(*segment);
        }
    }
    let many = tiers.into_values().filter(|tier| tier.len() > TIER_COUNT_MAX);
    many.flatten().collect()
}

/// Tiers are eight times as large as the one before.
const fn tier(length: u64) -> u32 {
    let units = length / TIER_BYTES;
    if units == 0 { 0 } else { units.ilog2() / 3 + 1 }
}

struct Filling<'a> {
    repository: &'a Repository,
    session: SessionRef,
    packs: Vec<IndexedPack>,
    chunk_count: usize,
}

impl Filling<'_> {
    fn add(&mut self, pack: IndexedPack, settled: &mut SettledSegments) -> Result<(), RepoError> {
        self.chunk_count += pack.blocks.iter().map(|block| block.chunks.len()).sum::<usize>();
        self.packs.push(pack);
        if self.chunk_count >= SEGMENT_CHUNKS_TARGET {
            self.store(settled)?;
        }
        Ok(())
    }

    fn store(&mut self, settled: &mut SettledSegments) -> Result<(), RepoError> {
        let mut packs = std::mem::take(&mut self.packs);
        self.chunk_count = 0;
        if packs.is_empty() {
            return Ok(());
        }
        packs.sort_unstable_by_key(IndexedPack::reference);
        let sequence = crate::units::to_u32(settled.new.len()) + 1;
        let stored = store_segment(self.repository, self.session, sequence, &Segment { packs })?;
        settled.new.push(stored);
        settled.all.push(stored);
        Ok(())
    }
}

/// Stored bytes of a segment that is as good as full.
const FULL_BYTES: u64 = 8 * 1_048_576;
const TIER_BYTES: u64 = 16 * 1024;
/// Segments of about one size that are left alone.
const TIER_COUNT_MAX: usize = 7;
