//! From segments to runs: fetched once, kept in the cache, merged when there are many.

use crate::crypto::hash::blake3;
use crate::format::envelope::ObjectKind;
use crate::format::index::IndexedPack;
use crate::format::index::Segment;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::RepoErrorAt;
use crate::repo::index::Index;
use crate::repo::index::bytes::RunBytes;
use crate::repo::index::merge::Part;
use crate::repo::index::merge::merge;
use crate::repo::index::run::Run;
use crate::repo::joined::at_once;
use crate::repo::repository::Repository;
use crate::units::to_u32;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// An index, and the segments that should be in it and could not be read.
#[derive(Debug)]
pub(crate) struct LoadedIndex {
    pub(crate) index: Index,
    pub(crate) unreadable: Vec<RepoErrorAt>,
}

/// Loads the index of everything that counts in `history`, for reading.
pub(crate) fn load_index(
    repository: &Repository,
    history: &History,
) -> Result<LoadedIndex, RepoError> {
    let epoch_min = history.verdict.number;
    load_without(repository, &history.segments, &history.removed, epoch_min, &|| Ok(()))
}

/// Loads the index of these segments, without what lies in some packs.
///
/// Cached runs of other segments of an epoch below `epoch_min` go: those never count again. Calls
/// `beat` before each segment that is read: there may be many.
pub(crate) fn load_without(
    repository: &Repository,
    segments: &BTreeSet<SegmentRef>,
    excluded: &HashSet<PackRef>,
    epoch_min: u64,
    beat: &dyn Fn() -> Result<(), RepoError>,
) -> Result<LoadedIndex, RepoError> {
    let is_dead =
        |segment: &SegmentRef| segment.session.epoch < epoch_min && !segments.contains(segment);
    let mut missing: BTreeSet<SegmentRef> = segments.clone();
    let reused = reuse_cached(repository, &mut missing);
    if let Some(cache) = &repository.cache
        && reused.has_others
    {
        cache.drop_runs(repository.id(), |run| run.segments().iter().any(is_dead));
    }
    let mut runs = reused.counting;
    let mut unreadable = Vec::new();
    let mut batch = Batch::default();
    let missing: Vec<SegmentRef> = missing.into_iter().collect();
    for some in missing.chunks(if repository.is_remote() { SEGMENTS_AT_ONCE } else { 1 }) {
        beat()?;
        for (&segment, loaded) in some.iter().zip(load_segments(repository, some)) {
            match loaded {
                Ok(loaded) => batch.add(segment, loaded),
                Err(error) if repository.is_damage(&error) => {
                    let error = Arc::new(error);
                    unreadable.push(RepoErrorAt { key: segment.key(), error });
                }
                Err(error) => return Err(error),
            }
            if batch.chunk_count >= BATCH_CHUNKS_MAX {
                runs.push(Arc::new(batch.finish(repository)));
                batch = Batch::default();
            }
        }
    }
    if !batch.segments.is_empty() {
        runs.push(Arc::new(batch.finish(repository)));
    }
    // The largest run answers most questions.
    runs.sort_by_key(|run| std::cmp::Reverse(run.chunk_count()));
    merge_small(repository, &mut runs);
    Ok(LoadedIndex { index: Index::new(runs, excluded.clone()), unreadable })
}

fn load_segments(
    repository: &Repository,
    segments: &[SegmentRef],
) -> Vec<Result<Segment, RepoError>> {
    match segments {
        [only] => vec![load_segment(repository, *only)],
        several => at_once(several, |segment| load_segment(repository, *segment)),
    }
}

/// Reads a segment and checks its hash and its signature.
pub(crate) fn load_segment(
    repository: &Repository,
    segment: SegmentRef,
) -> Result<Segment, RepoError> {
    let key = segment.key();
    let (bytes, opened) = repository.read_object(ObjectKind::Segment, &key, &segment.place())?;
    if blake3(&bytes) != *segment.id.as_bytes() {
        return Err(RepoError::WrongHash { key: key.to_string() });
    }
    // A large segment's bytes and what is decoded from them need not be in memory together.
    drop(bytes);
    let body = repository.identities.by_client(repository.id(), segment.session.client, opened)?;
    Segment::decode(&body).map_err(|source| RepoError::Decode { key: key.to_string(), source })
}

/// The segments of a session that can be read and whose packs are all there: what it listed, if
/// nobody can say what it came to.
pub(crate) fn whole_segments_of(
    repository: &Repository,
    session: SessionRef,
) -> Result<Vec<SegmentRef>, RepoError> {
    let stored: HashMap<PackRef, u64> = repository.list_packs()?.into_iter().collect();
    let mut whole = Vec::new();
    for (segment, _length) in repository.segment_lengths()? {
        if segment.session != session {
            continue;
        }
        let is_there = |pack: &IndexedPack| stored.get(&pack.reference()) == Some(&pack.length);
        match load_segment(repository, segment) {
            Ok(described) if described.packs.iter().all(is_there) => whole.push(segment),
            Ok(_) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// The run of packs that this process stored; not written to the cache until it is committed.
pub(crate) fn session_run(
    repository: &Repository,
    segment: SegmentRef,
    packs: Vec<IndexedPack>,
) -> Option<Run> {
    let packs = packs.into_iter().map(|pack| (0, pack)).collect();
    let bytes = Run::build(repository.id(), &[segment], packs);
    // On disk and mapped, so that a long session's own index does not fill the memory.
    let bytes = match &repository.cache {
        Some(cache) => cache.store_run(&bytes).unwrap_or(RunBytes::Memory(bytes)),
        None => RunBytes::Memory(bytes),
    };
    Run::open(repository.id(), bytes)
}

#[derive(Default)]
struct Batch {
    segments: Vec<SegmentRef>,
    packs: Vec<(u32, IndexedPack)>,
    chunk_count: usize,
}

impl Batch {
    fn add(&mut self, segment: SegmentRef, loaded: Segment) {
        let blocks = loaded.packs.iter().flat_map(|pack| &pack.blocks);
        self.chunk_count += blocks.map(|block| block.chunks.len()).sum::<usize>();
        let owner = to_u32(self.segments.len());
        self.segments.push(segment);
        self.packs.extend(loaded.packs.into_iter().map(|pack| (owner, pack)));
    }

    fn finish(self, repository: &Repository) -> Run {
        let bytes = Run::build(repository.id(), &self.segments, self.packs);
        open_stored(repository, bytes)
    }
}

#[expect(clippy::expect_used, reason = "the bytes were made by the other half of this module")]
fn open_stored(repository: &Repository, bytes: Vec<u8>) -> Run {
    let stored = repository.cache.as_ref().and_then(|cache| cache.store_run(&bytes));
    let mapped = stored.and_then(|stored| Run::open(repository.id(), stored));
    mapped.unwrap_or_else(|| {
        Run::open(repository.id(), RunBytes::Memory(bytes)).expect("a run that was just built")
    })
}

/// Runs of the cache that count.
#[derive(Default)]
struct Reused {
    counting: Vec<Arc<Run>>,
    /// Whether there are runs with segments that do not count here.
    has_others: bool,
}

/// Takes what the cache has of the `missing` segments, and leaves the rest in there.
fn reuse_cached(repository: &Repository, missing: &mut BTreeSet<SegmentRef>) -> Reused {
    let mut reused = Reused::default();
    for run in cached_runs(repository) {
        let keeps: Vec<bool> =
            run.segments().iter().map(|segment| missing.contains(segment)).collect();
        let kept_count = keeps.iter().filter(|keeps| **keeps).count();
        let part = Part { run: Arc::new(run), keeps };
        let taken: BTreeSet<SegmentRef> = part.kept_segments().collect();
        reused.has_others |= kept_count < part.keeps.len();
        let counting = if kept_count == part.keeps.len() {
            (kept_count > 0).then(|| Arc::clone(&part.run))
        } else if kept_count * KEPT_PARTS_MIN >= part.keeps.len() {
            // Cheaper than to read most of its segments again.
            merge_stored(repository, &[part])
        } else {
            None
        };
        if let Some(run) = counting {
            missing.retain(|segment| !taken.contains(segment));
            reused.counting.push(run);
        }
    }
    reused
}

/// Makes one run of several and keeps it in the cache; `None` if there is none that can take it.
fn merge_stored(repository: &Repository, parts: &[Part]) -> Option<Arc<Run>> {
    let cache = repository.cache.as_ref()?;
    let merged = cache.write_run(|file| merge(repository.id(), parts, file))?;
    Some(Arc::new(Run::open(repository.id(), merged)?))
}

fn cached_runs(repository: &Repository) -> Vec<Run> {
    let Some(cache) = &repository.cache else { return Vec::new() };
    let mut runs: Vec<Run> =
        cache.runs().into_iter().filter_map(|bytes| Run::open(repository.id(), bytes)).collect();
    // Two processes may both have merged: prefer the run that covers more.
    runs.sort_by_key(|run| std::cmp::Reverse(run.segments().len()));
    runs
}

/// Merges the smallest runs when there are many.
fn merge_small(repository: &Repository, runs: &mut Vec<Arc<Run>>) {
    if runs.len() <= RUNS_COUNT_MAX {
        return;
    }
    let small = runs.split_off(RUNS_COUNT_MAX / 2);
    let parts: Vec<Part> = small.iter().map(|run| Part::whole(Arc::clone(run))).collect();
    let Some(merged) = merge_stored(repository, &parts) else {
        runs.extend(small);
        return;
    };
    if let Some(cache) = &repository.cache {
        // Those whose segments all lie in the merged one.
        let inside: HashSet<&SegmentRef> = merged.segments().iter().collect();
        cache.drop_runs(repository.id(), |run| {
            merged.segments().len() > run.segments().len()
                && run.segments().iter().all(|segment| inside.contains(segment))
        });
    }
    runs.push(merged);
}

/// Most chunks of one run that is made at once: bounds the memory of sorting.
const BATCH_CHUNKS_MAX: usize = 262_144;
/// A run of the cache is used without what no longer counts, if at least one of so many segments does.
const KEPT_PARTS_MIN: usize = 2;
/// Segments that are fetched together over a network: some 10 MiB each at most, mostly far less.
const SEGMENTS_AT_ONCE: usize = 8;
const RUNS_COUNT_MAX: usize = 8;
