//! From a file or a stream to chunks: reading, holes, cutting.

use crate::chunk::Chunker;
use crate::format::content::Extent;
use crate::format::tree::ExtendedAttribute;
use crate::id::Digest;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::attributes;
use crate::localfs::capture;
use crate::localfs::capture::Captured;
use crate::localfs::capture::OpenFile;
use crate::localfs::capture::SmallRead;
use crate::localfs::walk::WalkEntry;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::write::ChunkWriter;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct FileRead {
    /// How the file was when reading began, with the size of what was read.
    pub(crate) stat: Stat,
    /// Where its bytes are.
    pub(crate) extents: Vec<Extent>,
    /// BLAKE3 of its content, if there is more than one extent.
    pub(crate) digest: Option<Digest>,
    /// Whether it had holes.
    pub(crate) sparse: bool,
    /// Whether it changed while it was read.
    pub(crate) changed: bool,
    /// Its extended attributes, or why they could not be read.
    pub(crate) xattrs: Result<Vec<ExtendedAttribute>, LocalError>,
}

/// Why a file was not read.
pub(crate) enum ReadError {
    /// The file.
    Local(LocalError),
    /// The repository: nothing can go on.
    Repo(RepoError),
}

impl From<LocalError> for ReadError {
    fn from(error: LocalError) -> Self {
        Self::Local(error)
    }
}

impl From<RepoError> for ReadError {
    fn from(error: RepoError) -> Self {
        Self::Repo(error)
    }
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    bytes: Vec<u8>,
}

/// Reads a file that one thread reads alone and stores its new chunks.
pub(crate) fn read_file(
    entry: &WalkEntry,
    chunker: &Chunker,
    writer: &mut ChunkWriter<'_>,
    buffers: &mut Buffers,
) -> Result<FileRead, ReadError> {
    let stat = entry.stat();
    let small = stat.size <= to_u64(SMALL_BYTES_MAX) && !stat.may_be_sparse();
    if small && let Some(read) = capture::read_small(entry, SMALL_BYTES_MAX, &mut buffers.bytes)? {
        return cut_whole(read, chunker, writer, &buffers.bytes);
    }
    let mut file = OpenFile::open(entry)?;
    let xattrs = attributes::xattrs_of_file(&file);
    let mut sink = ExtentSink { writer, extents: Vec::new(), digest: ContentDigest::default() };
    let sparse = read_open(&mut file, chunker, &mut sink, &mut buffers.bytes)?;
    let ExtentSink { extents, digest, writer: _ } = sink;
    let captured = file.finish()?;
    Ok(finish(captured, extents, &digest, sparse, xattrs))
}

/// Where chunks and holes of a file go.
pub(crate) trait Sink {
    /// Takes the chunks that were cut from the front of a buffer.
    ///
    /// May put another buffer in its place; either way what is not yet cut stands at its
    /// front when this returns.
    fn chunks(&mut self, cut: Cut<'_>) -> Result<(), ReadError>;
    /// Takes a hole.
    fn hole(&mut self, length: u64) -> Result<(), ReadError>;
}

/// A buffer that begins with chunks, and with what is not yet cut behind them.
pub(crate) struct Cut<'a> {
    /// The buffer.
    buffer: &'a mut Vec<u8>,
    /// Lengths of the chunks at its front.
    pub(crate) lengths: &'a [u32],
    /// Where they end.
    border: usize,
    /// Where the bytes behind them end.
    end: usize,
}

impl Cut<'_> {
    /// The chunks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.buffer.as_slice();
        self.lengths.iter().map(move |length| {
            let (chunk, behind) = rest.split_at(to_usize32(*length));
            rest = behind;
            chunk
        })
    }

    /// Moves what is not yet cut to the front.
    pub(crate) fn move_rest_to_front(self) {
        self.buffer.copy_within(self.border..self.end, 0);
    }

    /// Puts another buffer in place, with what is not yet cut at its front; returns the old one,
    /// which holds the chunks alone.
    pub(crate) fn exchange(self, mut other: Vec<u8>) -> Vec<u8> {
        other.resize(self.buffer.len(), 0);
        let rest = &self.buffer[self.border..self.end];
        other[..rest.len()].copy_from_slice(rest);
        let mut chunks = std::mem::replace(self.buffer, other);
        chunks.truncate(self.border);
        chunks
    }
}

struct ExtentSink<'a, 'b> {
    writer: &'a mut ChunkWriter<'b>,
    extents: Vec<Extent>,
    digest: ContentDigest,
}

impl Sink for ExtentSink<'_, '_> {
    fn chunks(&mut self, cut: Cut<'_>) -> Result<(), ReadError> {
        for bytes in cut.iter() {
            self.digest.update(bytes);
            let id = self.writer.write(bytes)?;
            self.extents.push(Extent::Chunk { id, length: to_u32(bytes.len()) });
        }
        cut.move_rest_to_front();
        Ok(())
    }

    fn hole(&mut self, length: u64) -> Result<(), ReadError> {
        self.extents.push(Extent::Hole { length });
        Ok(())
    }
}

/// Reads an open file, holes as holes; returns whether there were any.
pub(crate) fn read_open(
    file: &mut OpenFile,
    chunker: &Chunker,
    sink: &mut dyn Sink,
    buffer: &mut Vec<u8>,
) -> Result<bool, ReadError> {
    let size = file.stat().size;
    if !file.stat().may_be_sparse() {
        let mut read = |buffer: &mut [u8]| file.read(buffer).map_err(ReadError::from);
        cut_stream(&mut read, chunker, buffer, sink)?;
        return Ok(false);
    }
    let mut at = 0;
    let mut sparse = false;
    while at < size {
        let run = file.data_run(at)?.unwrap_or(size..size);
        if run.start > at {
            sink.hole(run.start - at)?;
            sparse = true;
        }
        at = run.start;
        let mut read = |buffer: &mut [u8]| {
            let room = to_usize(run.end - at).min(buffer.len());
            let length = file.read_at(at, &mut buffer[..room])?;
            at += to_u64(length);
            Ok(length)
        };
        cut_stream(&mut read, chunker, buffer, sink)?;
        if at < run.end {
            // The file was cut short while it was read; `finish` tells that it changed.
            break;
        }
    }
    Ok(sparse)
}

/// Cuts what `read` gives until it gives less than it was asked for.
pub(crate) fn cut_stream(
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, ReadError>,
    chunker: &Chunker,
    buffer: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let capacity = STREAM_BUFFER_BYTES.max(2 * chunker.max_bytes());
    buffer.resize(capacity, 0);
    let mut lengths = Vec::new();
    let (mut end, mut ended) = (0, false);
    while !ended {
        let room = capacity - end;
        let length = read(&mut buffer[end..])?;
        ended = length < room;
        end += length;
        lengths.clear();
        let mut start = 0;
        while end - start >= chunker.max_bytes() || (ended && start < end) {
            let length = chunker.next_length(&buffer[start..end]);
            lengths.push(to_u32(length));
            start += length;
        }
        sink.chunks(Cut { buffer, lengths: &lengths, border: start, end })?;
        end -= start;
    }
    Ok(())
}

fn cut_whole(
    read: SmallRead,
    chunker: &Chunker,
    writer: &mut ChunkWriter<'_>,
    bytes: &[u8],
) -> Result<FileRead, ReadError> {
    let SmallRead { captured, xattrs } = read;
    let mut extents = Vec::new();
    let mut digest = ContentDigest::default();
    let one = bytes.len() <= chunker.min_bytes();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = if one { rest.len() } else { chunker.next_length(rest) };
        let (chunk, behind) = rest.split_at(length);
        let id = writer.write(chunk)?;
        extents.push(Extent::Chunk { id, length: to_u32(length) });
        rest = behind;
    }
    if extents.len() > 1 {
        digest.update(bytes);
    }
    Ok(finish(captured, extents, &digest, false, xattrs))
}

fn finish(
    captured: Captured,
    extents: Vec<Extent>,
    digest: &ContentDigest,
    sparse: bool,
    xattrs: Result<Vec<ExtendedAttribute>, LocalError>,
) -> FileRead {
    let (mut stat, mut changed) = match captured {
        Captured::Consistent(stat) => (stat, false),
        Captured::Changed(stat) => (stat, true),
    };
    let size = extents.iter().map(Extent::length).sum();
    changed |= size != stat.size;
    stat.size = size;
    let digest = (extents.len() > 1).then(|| digest.finish());
    FileRead { stat, extents, digest, sparse, changed, xattrs }
}

/// Files up to this size are read at once.
const SMALL_BYTES_MAX: usize = 1_048_576;
const STREAM_BUFFER_BYTES: usize = 1_048_576;
