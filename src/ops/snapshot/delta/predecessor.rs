//! The older version of a content, read beside the new one.
//!
//! Where a chunk of it comes again, both stand at the same place. Where a new chunk ends near the
//! end of an older one, that is taken for the same cut: content decides where it is made, and a few
//! rows more or less before it have only moved it. What lies between two such places stood where the
//! new chunks stand.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::id::ChunkId;
use crate::ops::snapshot::delta::store::NamedChunk;
use crate::repo::read::ChunkReader;
use crate::repo::tree::extents::Extents;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::ops::Range;

/// New chunks that become one delta, and what stood in their place.
#[derive(Debug)]
pub(crate) struct DeltaGroup {
    /// Which chunks of the run.
    pub(crate) chunks: Range<usize>,
    /// Chunks of the older version, in order.
    pub(crate) stood_there: Vec<ChunkId>,
}

/// The older version. Holds a window of its chunks, however long it is.
#[derive(Debug)]
pub(crate) struct Predecessor<'a> {
    extents: Option<Extents<'a>>,
    window: VecDeque<Piece>,
    /// Number of the first piece of the window.
    first: u64,
    /// Pieces of the window by their chunks.
    numbers: HashMap<ChunkId, u64>,
    /// Where the window ends in the content, in bytes.
    end: u64,
    /// Where the next new byte is expected to stand.
    at: u64,
    /// Bytes since the last chunk whose place was found.
    lost_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Nothing for a hole.
    id: Option<ChunkId>,
    start: u64,
    length: u64,
}

impl<'a> Predecessor<'a> {
    /// A content that can be read.
    pub(crate) fn new(reader: &'a ChunkReader, content: &Content) -> Self {
        Self {
            extents: Some(Extents::new(reader, content)),
            window: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
            end: 0,
            at: 0,
            lost_bytes: 0,
        }
    }

    /// What stood in the place of the new chunks of a run; the run that follows comes next.
    pub(crate) fn locate(&mut self, run: &[NamedChunk]) -> Vec<DeltaGroup> {
        self.slide();
        let places = self.places(run);
        let mut groups = Vec::new();
        let mut start = 0;
        while start < run.len() {
            let length = group_length(&run[start..]);
            if length == 0 {
                start += 1;
                continue;
            }
            let chunks = start..start + length;
            let stood = places[chunks.start].start..places[chunks.end - 1].end;
            let stood_there = self.overlapping(&stood);
            if !stood_there.is_empty() {
                groups.push(DeltaGroup { chunks, stood_there });
            }
            start += length;
        }
        groups
    }

    /// A hole of the new content.
    pub(crate) fn skip(&mut self, length: u64) {
        self.at += length;
    }

    /// Where each chunk of a run stands in the older version, in bytes.
    fn places(&mut self, run: &[NamedChunk]) -> Vec<Range<u64>> {
        let mut places: Vec<Range<u64>> = Vec::with_capacity(run.len());
        // Where the chunks since the last one that came again begin, in the run and in the content.
        let (mut gap, mut gap_at) = (0, self.at);
        for chunk in run {
            let length = u64::from(chunk.length);
            let found = if chunk.is_new { None } else { self.find(&chunk.id) };
            if let Some(start) = found {
                stretch(&mut places[gap..], gap_at, start);
                self.at = start;
            }
            let start = self.at;
            self.lost_bytes += length;
            let same_cut = self.same_cut(start + length).filter(|cut| *cut > start);
            self.at = same_cut.unwrap_or(start + length);
            places.push(start..self.at);
            if same_cut.is_some() {
                (gap, gap_at) = (places.len(), self.at);
                self.lost_bytes = 0;
            }
        }
        places
    }

    /// The end of a piece that is near this byte; the longer nothing was found, the farther off.
    fn same_cut(&self, byte: u64) -> Option<u64> {
        let after = self.number_at(byte);
        let start = |number: u64| Some(self.piece(number)?.start);
        let before = after.checked_sub(1).and_then(start);
        let distance = |cut: &u64| cut.abs_diff(byte);
        let cut = [before, start(after)].into_iter().flatten().min_by_key(distance)?;
        let reach = CUT_MOVES_BYTES + self.lost_bytes / CUT_MOVES_SHARE;
        let reach = reach.min(MARGIN_BYTES);
        (distance(&cut) <= reach).then_some(cut)
    }

    /// Where the piece begins that holds a chunk: the one that is expected here, or the first one.
    fn find(&self, id: &ChunkId) -> Option<u64> {
        let expected = self.number_at(self.at);
        let is_it = |number: &u64| self.piece(*number).is_some_and(|piece| piece.id == Some(*id));
        let number = Some(expected).filter(is_it).or_else(|| self.numbers.get(id).copied())?;
        Some(self.piece(number)?.start)
    }

    /// Number of the first piece that begins at this byte or behind it.
    fn number_at(&self, byte: u64) -> u64 {
        self.first + to_u64(self.window.partition_point(|piece| piece.start < byte))
    }

    fn piece(&self, number: u64) -> Option<&Piece> {
        self.window.get(to_usize(number.checked_sub(self.first)?))
    }

    fn overlapping(&self, bytes: &Range<u64>) -> Vec<ChunkId> {
        let (start, end) = (bytes.start.saturating_sub(MARGIN_BYTES), bytes.end + MARGIN_BYTES);
        let before = self.window.partition_point(|piece| piece.start + piece.length <= start);
        let pieces = self.window.iter().skip(before);
        pieces.take_while(|piece| piece.start < end).filter_map(|piece| piece.id).collect()
    }

    /// Moves the window to where the new content has come.
    fn slide(&mut self) {
        let here = self.number_at(self.at);
        while self.first + PIECES_ASIDE < here
            && let Some(piece) = self.window.pop_front()
        {
            if let Some(id) = piece.id
                && self.numbers.get(&id) == Some(&self.first)
            {
                self.numbers.remove(&id);
            }
            self.first += 1;
        }
        while self.first + to_u64(self.window.len()) < here + PIECES_ASIDE {
            // What cannot be read is no base.
            let next = self.extents.as_mut().and_then(|extents| extents.advance().ok().flatten());
            let Some(extent) = next else {
                self.extents = None;
                break;
            };
            let number = self.first + to_u64(self.window.len());
            let id = match extent {
                Extent::Chunk { id, .. } => Some(id),
                Extent::Hole { .. } => None,
            };
            if let Some(id) = id {
                self.numbers.entry(id).or_insert(number);
            }
            let length = extent.length();
            self.window.push_back(Piece { id, start: self.end, length });
            self.end += length;
        }
    }
}

/// How many chunks at the front of a run become one delta: none if the first is not new.
fn group_length(run: &[NamedChunk]) -> usize {
    let mut bytes = 0;
    let fits = |chunk: &&NamedChunk| {
        let is_first = bytes == 0;
        bytes += u64::from(chunk.length);
        chunk.is_new && (is_first || bytes <= GROUP_BYTES_MAX)
    };
    run.iter().take_while(fits).count()
}

/// Spreads the places of chunks over what lies between their neighbours in the older version, if
/// that is about as long as they are.
fn stretch(places: &mut [Range<u64>], from: u64, to: u64) {
    let Some(last) = places.last() else { return };
    let length = last.end.saturating_sub(from);
    let Some(stood) = to.checked_sub(from) else { return };
    if length == 0 || stood > length.saturating_mul(STRETCH_MAX) {
        return;
    }
    let scaled = |byte: u64| from + byte.saturating_sub(from).saturating_mul(stood) / length;
    for place in places {
        *place = scaled(place.start)..scaled(place.end);
    }
}

/// Plaintext of a delta, but for a single longer chunk: zstd's tables hold that much and its bases.
const GROUP_BYTES_MAX: u64 = 384 * 1024;
/// How much on either side may have moved into a group's place.
const MARGIN_BYTES: u64 = 24 * 1024;
/// What was longer by more than this factor was taken away, and little of it stands here.
const STRETCH_MAX: u64 = 4;
/// How far a cut is looked for from where it is expected, and how much farther for all bytes since
/// the last one: few more rows may have come or gone.
const CUT_MOVES_BYTES: u64 = 1024;
const CUT_MOVES_SHARE: u64 = 20;
/// On either side: half a GiB of chunks of 64 KiB.
const PIECES_ASIDE: u64 = 8192;
