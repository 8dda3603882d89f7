//! The chunks of an older version around a place, however long it is.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::id::ChunkId;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::read::ChunkReader;
use crate::repo::tree::extents::Extents;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// A chunk of the older version, or a hole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Nothing for a hole.
    pub(crate) id: Option<ChunkId>,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// The older version. Holds a window of its pieces.
#[derive(Debug)]
pub(crate) struct OlderVersion<'a> {
    extents: Option<Source<'a>>,
    window: VecDeque<Piece>,
    /// Number of the first piece of the window.
    first: u64,
    /// Pieces of the window by their chunks.
    numbers: HashMap<ChunkId, u64>,
    /// Where the window ends in the content, in bytes.
    end: u64,
}

/// Where its extents come from.
#[derive(Debug)]
enum Source<'a> {
    Stored(Extents<'a>),
    /// What this host kept, and the number of the next extent.
    Kept(Arc<KeptDump>, usize),
}

impl Source<'_> {
    /// The next extent; nothing after the last one, or the last that can be read: what cannot is no base.
    fn advance(&mut self) -> Option<Extent> {
        match self {
            Self::Stored(extents) => extents.advance().ok().flatten(),
            Self::Kept(kept, next) => {
                let extent = kept.extent(*next);
                *next += 1;
                extent
            }
        }
    }
}

impl<'a> OlderVersion<'a> {
    /// A content that can be read.
    pub(crate) fn new(reader: &'a ChunkReader, content: &Content) -> Self {
        Self::of(Source::Stored(Extents::new(reader, content)))
    }

    /// A dump that this host kept.
    pub(crate) fn of_kept(kept: Arc<KeptDump>) -> Self {
        Self::of(Source::Kept(kept, 0))
    }

    fn of(source: Source<'a>) -> Self {
        Self {
            extents: Some(source),
            window: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
            end: 0,
        }
    }

    /// Where the piece begins that holds a chunk: the one at `expected`, or the first one.
    pub(crate) fn find(&self, id: &ChunkId, expected: u64) -> Option<u64> {
        let expected = self.number_at(expected);
        let is_it = |number: &u64| self.piece(*number).is_some_and(|piece| piece.id == Some(*id));
        let number = Some(expected).filter(is_it).or_else(|| self.numbers.get(id).copied())?;
        Some(self.piece(number)?.start)
    }

    /// The cut that is nearest to a byte, and how far off it is.
    pub(crate) fn nearest_cut(&self, byte: u64) -> Option<(u64, u64)> {
        let after = self.number_at(byte);
        let start = |number: u64| Some(self.piece(number)?.start);
        let before = after.checked_sub(1).and_then(start);
        let both = [before, start(after)].into_iter().flatten();
        both.map(|cut| (cut, cut.abs_diff(byte))).min_by_key(|(_cut, distance)| *distance)
    }

    /// The pieces of which some bytes lie here, in order.
    pub(crate) fn overlapping(&self, bytes: Range<u64>) -> impl Iterator<Item = &Piece> {
        let before = self.window.partition_point(|piece| piece.start + piece.length <= bytes.start);
        self.window.iter().skip(before).take_while(move |piece| piece.start < bytes.end)
    }

    /// The chunk that the window begins with.
    pub(crate) fn first_chunk(&self) -> Option<ChunkId> {
        self.window.front()?.id
    }

    /// Moves the window to a place.
    pub(crate) fn slide(&mut self, byte: u64) {
        let here = self.number_at(byte);
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
            let Some(extent) = self.extents.as_mut().and_then(Source::advance) else {
                self.extents = None;
                break;
            };
            self.push(extent);
        }
    }

    fn push(&mut self, extent: Extent) {
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

    /// Number of the first piece that begins at this byte or behind it.
    fn number_at(&self, byte: u64) -> u64 {
        self.first + to_u64(self.window.partition_point(|piece| piece.start < byte))
    }

    fn piece(&self, number: u64) -> Option<&Piece> {
        self.window.get(to_usize(number.checked_sub(self.first)?))
    }
}

/// On either side: half a GiB of chunks of 64 KiB.
const PIECES_ASIDE: u64 = 8192;
