//! The older version of a content, read beside the new one.
//!
//! Where a chunk of it comes again, both stand at the same place. Where a new chunk ends near the
//! end of an older one, that is taken for the same cut: content decides where it is made, and a few
//! rows more or less before it have only moved it. What lies between two such places stood where the
//! new chunks stand.

use crate::format::content::Content;
use crate::id::ChunkId;
use crate::ops::snapshot::delta::older::OlderVersion;
use crate::ops::snapshot::delta::older::Piece;
use crate::ops::snapshot::delta::store::NamedChunk;
use crate::ops::snapshot::delta::track::Place;
use crate::ops::snapshot::delta::track::Track;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::read::ChunkReader;
use std::ops::Range;
use std::sync::Arc;

/// New chunks that become one delta, and what stood in their place.
#[derive(Debug)]
pub(crate) struct DeltaGroup {
    /// Which chunks of the run; those between them that are not new are no part of it.
    pub(crate) chunks: Range<usize>,
    /// Chunks of the older version, in order.
    pub(crate) stood_there: Vec<ChunkId>,
}

/// The older version, and how far the new one has come.
#[derive(Debug)]
pub(crate) struct Predecessor<'a> {
    older: OlderVersion<'a>,
    track: Track,
}

impl<'a> Predecessor<'a> {
    /// A content that can be read.
    pub(crate) fn new(reader: &'a ChunkReader, content: &Content) -> Self {
        Self { older: OlderVersion::new(reader, content), track: Track::new() }
    }

    /// A dump that this host kept.
    pub(crate) fn of_kept(kept: Arc<KeptDump>) -> Self {
        Self { older: OlderVersion::of_kept(kept), track: Track::new() }
    }

    /// Whether its beginning takes less than three quarters of its length.
    pub(crate) fn compresses(&mut self, reader: &ChunkReader) -> bool {
        self.older.slide(0);
        let compresses = |id: ChunkId| {
            let place = reader.index.find(&id)?;
            let (_run, block) = reader.index.block(place.block)?;
            Some(4 * (block.range.end - block.range.start) < 3 * u64::from(block.raw_length))
        };
        self.older.first_chunk().and_then(compresses) == Some(true)
    }

    /// What stood in the place of the new chunks of a run; the run that follows comes next.
    pub(crate) fn locate(&mut self, run: &[NamedChunk]) -> Vec<DeltaGroup> {
        self.older.slide(self.track.at());
        let places = self.places(run);
        let mut groups = Vec::new();
        let mut next = 0;
        while let Some(first) = run[next..].iter().position(|chunk| chunk.is_new) {
            let group = self.group(next + first, run, &places);
            next = group.chunks.end;
            if !group.stood_there.is_empty() {
                groups.push(group);
            }
        }
        groups
    }

    /// A hole of the new content.
    pub(crate) const fn skip(&mut self, length: u64) {
        self.track.skip(length);
    }

    /// Where each chunk of a run stands in the older version.
    fn places(&mut self, run: &[NamedChunk]) -> Vec<Place> {
        self.track.search(&self.older);
        let mut places: Vec<Place> = Vec::with_capacity(run.len());
        // Where the chunks since the last agreement begin, in the run and in the content.
        let (mut gap, mut gap_at) = (0, self.track.at());
        for chunk in run {
            let again =
                if chunk.is_new { None } else { self.older.find(&chunk.id, self.track.at()) };
            let agrees = if let Some(start) = again {
                stretch(&mut places[gap..], gap_at, start);
                places.push(self.track.came_again(start, chunk.length));
                true
            } else {
                let (place, ends_at_cut) = self.track.advance(&self.older, chunk.length);
                places.push(place);
                ends_at_cut
            };
            if agrees {
                (gap, gap_at) = (places.len(), self.track.at());
            }
        }
        places
    }

    /// The group whose first chunk is this one: as many of those that follow as its tables hold.
    fn group(&self, start: usize, run: &[NamedChunk], places: &[Place]) -> DeltaGroup {
        let mut group = DeltaGroup { chunks: start..start, stood_there: Vec::new() };
        let (mut bytes, mut stood_bytes) = (0, 0);
        for (number, (chunk, place)) in run.iter().zip(places).enumerate().skip(start) {
            if !chunk.is_new {
                continue;
            }
            bytes += u64::from(chunk.length);
            let before = group.stood_there.len();
            for piece in self.overlapping(place) {
                if let Some(id) = piece.id
                    && !group.stood_there.contains(&id)
                {
                    group.stood_there.push(id);
                    stood_bytes += piece.length;
                }
            }
            let fits = bytes <= GROUP_BYTES_MAX && stood_bytes <= STOOD_BYTES_MAX;
            if number > start && !fits {
                group.stood_there.truncate(before);
                break;
            }
            group.chunks.end = number + 1;
        }
        group
    }

    /// What stood in a place, and a little on each side where its border is not known.
    fn overlapping(&self, place: &Place) -> impl Iterator<Item = &Piece> {
        let (before, behind) = place.unsure;
        self.older.overlapping(place.bytes.start.saturating_sub(before)..place.bytes.end + behind)
    }
}

/// Spreads the places of chunks over what lies between their neighbours in the older version, if
/// that is about as long as they are.
fn stretch(places: &mut [Place], from: u64, to: u64) {
    let Some(last) = places.last_mut() else { return };
    let length = last.bytes.end.saturating_sub(from);
    let Some(stood) = to.checked_sub(from) else { return };
    if length == 0 || stood > length.saturating_mul(STRETCH_MAX) {
        return;
    }
    last.unsure.1 = 0;
    let scaled = |byte: u64| from + byte.saturating_sub(from).saturating_mul(stood) / length;
    for place in places {
        place.bytes = scaled(place.bytes.start)..scaled(place.bytes.end);
    }
}

/// Plaintext of a delta, but for a single longer chunk: zstd's tables hold that much and its bases.
const GROUP_BYTES_MAX: u64 = 384 * 1024;
/// What stood in a group's place: longer prefixes cost time and find little more.
const STOOD_BYTES_MAX: u64 = 768 * 1024;
/// What was longer by more than this factor was taken away, and little of it stands here.
const STRETCH_MAX: u64 = 4;
