//! An open file: which chunks lie where, and those that come next.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::content::ListNode;
use crate::format::pack::PackKind;
use crate::format::tree::FileEntry;
use crate::id::ChunkId;
use crate::ops::restore::window::wrong_size;
use crate::ops::view::ahead::Ahead;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::read::ChunkReader;
use crate::repo::tree::content::read_list_node;
use crate::units::to_u64;
use crate::units::to_usize;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A file that is read.
#[derive(Debug)]
pub(crate) struct OpenFile {
    content: Content,
    size: u64,
    cursor: Mutex<Cursor>,
}

#[derive(Debug, Default)]
struct Cursor {
    /// The piece of the list that was used last.
    piece: Arc<Piece>,
    /// Where the next read begins if the file is read from front to back.
    expected: u64,
    /// The block that was fetched ahead last.
    fetched: Option<BlockHandle>,
    /// The chunk that was read last.
    chunk: Option<(ChunkId, Arc<Vec<u8>>)>,
}

/// Extents that follow each other, each with its place in the file.
#[derive(Debug, Default)]
struct Piece {
    extents: Vec<(u64, Extent)>,
    end: u64,
}

impl Piece {
    fn new(start: u64, extents: &[Extent]) -> Self {
        let mut end = start;
        let placed = extents.iter().map(|extent| {
            let at = end;
            end = end.saturating_add(extent.length());
            (at, *extent)
        });
        let extents = placed.collect();
        Self { extents, end }
    }

    fn has(&self, offset: u64) -> bool {
        self.extents.first().is_some_and(|(start, _extent)| *start <= offset) && offset < self.end
    }

    /// The extents from the one at `offset` on.
    fn from(&self, offset: u64) -> &[(u64, Extent)] {
        let behind = self.extents.partition_point(|(start, _extent)| *start <= offset);
        self.extents.get(behind.saturating_sub(1)..).unwrap_or_default()
    }
}

impl OpenFile {
    /// A file to be read.
    pub(crate) fn new(file: &FileEntry) -> Self {
        Self { content: file.content.clone(), size: file.size, cursor: Mutex::default() }
    }

    /// The bytes from `offset` on; fewer than `length` only at the end.
    pub(crate) fn read(
        &self,
        reader: &Arc<ChunkReader>,
        ahead: &Ahead,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, RepoError> {
        let end = self.size.min(offset.saturating_add(to_u64(length)));
        let mut bytes = Vec::with_capacity(to_usize(end.saturating_sub(offset)));
        let mut at = offset;
        let is_sequential = std::mem::replace(&mut self.cursor().expected, end) == offset;
        while at < end {
            let piece = self.piece(reader, at)?;
            let Some(&(start, extent)) = piece.from(at).first() else { return Err(self.wrong()) };
            if is_sequential {
                self.fetch_ahead(reader, ahead, &piece, at);
            }
            let stop = end.min(start.saturating_add(extent.length()));
            if stop <= at {
                return Err(self.wrong());
            }
            let (from, until) = (to_usize(at - start), to_usize(stop - start));
            match extent {
                Extent::Hole { .. } => bytes.resize(bytes.len() + (until - from), 0),
                Extent::Chunk { id, .. } => {
                    let chunk = self.chunk(reader, ahead, &id)?;
                    bytes.extend_from_slice(chunk.get(from..until).ok_or_else(|| self.wrong())?);
                }
            }
            at = stop;
        }
        Ok(bytes)
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunk(
        &self,
        reader: &Arc<ChunkReader>,
        ahead: &Ahead,
        id: &ChunkId,
    ) -> Result<Arc<Vec<u8>>, RepoError> {
        let last = self.cursor().chunk.clone();
        if let Some((last, bytes)) = last
            && last == *id
        {
            return Ok(bytes);
        }
        if let Some(place) = reader.index.find(id) {
            ahead.note(reader, place.block);
        }
        let bytes = Arc::new(reader.read(PackKind::Data, id)?);
        self.cursor().chunk = Some((*id, Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// The piece of the list that has `offset`.
    fn piece(&self, reader: &ChunkReader, offset: u64) -> Result<Arc<Piece>, RepoError> {
        let last = Arc::clone(&self.cursor().piece);
        if last.has(offset) {
            return Ok(last);
        }
        let piece = match &self.content {
            Content::Inline(extents) => Piece::new(0, extents),
            Content::List { node, height, .. } => self.find(reader, *node, *height, offset)?,
        };
        if !piece.has(offset) {
            return Err(self.wrong());
        }
        let piece = Arc::new(piece);
        self.cursor().piece = Arc::clone(&piece);
        Ok(piece)
    }

    /// Goes down a list to the leaf that has `offset`.
    fn find(
        &self,
        reader: &ChunkReader,
        top: ChunkId,
        height: u8,
        offset: u64,
    ) -> Result<Piece, RepoError> {
        let (mut node, mut start) = (top, 0_u64);
        for level in (0..=height).rev() {
            match read_list_node(reader, &node, level)? {
                ListNode::Leaf(extents) => return Ok(Piece::new(start, &extents)),
                ListNode::Internal(children) => {
                    let mut found = None;
                    for child in children {
                        let end = start.saturating_add(child.bytes);
                        if offset < end {
                            found = Some(child.node);
                            break;
                        }
                        start = end;
                    }
                    node = found.ok_or_else(|| self.wrong())?;
                }
            }
        }
        Err(self.wrong())
    }

    /// Has the blocks opened that are likely to be read next.
    fn fetch_ahead(&self, reader: &Arc<ChunkReader>, ahead: &Ahead, piece: &Piece, at: u64) {
        let near = piece.from(at).iter().take_while(|(start, _extent)| *start < at + AHEAD_BYTES);
        let mut last = self.cursor().fetched;
        let mut is_behind = last.is_none();
        for (_start, extent) in near {
            let Extent::Chunk { id, .. } = *extent else { continue };
            let Some(place) = reader.index.find(&id) else { continue };
            if last == Some(place.block) {
                is_behind = true;
                continue;
            }
            if !is_behind {
                continue;
            }
            last = Some(place.block);
            ahead.fetch(reader, id);
        }
        // What was fetched last is not near: the file was read elsewhere meanwhile.
        self.cursor().fetched = if is_behind { last } else { None };
    }

    fn wrong(&self) -> RepoError {
        wrong_size(&self.content)
    }
}

/// How far ahead of a reader blocks are opened.
const AHEAD_BYTES: u64 = 12 * 1_048_576;
