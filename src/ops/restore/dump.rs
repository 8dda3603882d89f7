//! `dump`: one file of a snapshot to a stream.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::pack::PackKind;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::ahead::Piece;
use crate::ops::restore::ahead::check_length;
use crate::ops::restore::ahead::read_ahead;
use crate::ops::restore::open_reader;
use crate::ops::restore::window::wrong_size;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::io;
use std::io::Write;
use std::path::PathBuf;

/// Writes a file of a snapshot to `output`; a snapshot of one file needs no path. Returns how many
/// bytes were written.
///
/// Every chunk is verified before it is written; after an error the output is a part of the file.
pub fn dump(
    repository: &Repository,
    selected: &Selected,
    output: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let reader = open_reader(repository)?;
    let not_a_file = || OpError::Usage { why: "only one file can be dumped".to_owned() };
    let entry = match selected.find(&reader)? {
        Found::Entry(entry) => *entry,
        Found::Root { node, height, .. } => {
            let mut entries = crate::repo::tree::reader::Entries::of_node(&reader, node, height);
            let only = entries.next().ok_or_else(not_a_file)??;
            if entries.next().is_some() {
                return Err(not_a_file());
            }
            only
        }
    };
    let EntryKind::File(file) = &entry.entry.node else { return Err(not_a_file()) };
    write_file(&reader, file, output, progress)
}

/// Writes a file as [`dump`] does.
pub(crate) fn write_file(
    reader: &ChunkReader,
    file: &FileEntry,
    output: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    progress.begin("dumping", 1, file.size);
    let written = read_file(reader, file, progress, &mut |piece| match piece {
        Piece::Bytes(bytes) => output.write_all(bytes).map_err(not_written),
        Piece::Hole(length) => write_zeros(output, length),
    })?;
    output.flush().map_err(not_written)?;
    progress.advance(1, 0);
    Ok(written)
}

/// Calls `take` with every piece of a file in order, verified; returns how many bytes those are.
///
/// Errors: of `take`; damage, maybe after some pieces were taken; [`OpError::Interrupted`].
pub(crate) fn read_file(
    reader: &ChunkReader,
    file: &FileEntry,
    progress: &dyn Progress,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), OpError>,
) -> Result<u64, OpError> {
    let mut digest = ContentDigest::default();
    let mut seen = 0;
    let mut check = |piece: Piece<'_>| {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let length = match piece {
            Piece::Bytes(bytes) => {
                if file.digest.is_some() {
                    digest.update(bytes);
                }
                to_u64(bytes.len())
            }
            Piece::Hole(length) => length,
        };
        take(piece)?;
        seen += length;
        progress.advance(0, length);
        Ok(())
    };
    match &file.content {
        Content::Inline(extents) if file.size <= SMALL_BYTES_MAX => {
            read_small(reader, extents, &mut check)?;
        }
        Content::Inline(_) | Content::List { .. } => {
            read_ahead(reader, &file.content, file.size, &mut check)?;
        }
    }
    // Before the end of the output is told: a process that takes it may still be killed.
    if file.digest.is_some_and(|stated| stated != digest.finish()) {
        let what = "the file is not the one that was backed up";
        let source = Box::new(RepoError::WrongDigest);
        return Err(OpError::Repo { what, source });
    }
    if seen != file.size {
        return Err(damaged(wrong_size(&file.content)));
    }
    Ok(seen)
}

/// A small file: threads that read ahead would take longer to start than to read it.
fn read_small(
    reader: &ChunkReader,
    extents: &[Extent],
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), OpError>,
) -> Result<(), OpError> {
    for extent in extents {
        match extent {
            Extent::Hole { length } => take(Piece::Hole(*length))?,
            Extent::Chunk { id, .. } => {
                let bytes = reader.read(PackKind::Data, id).map_err(damaged)?;
                check_length(id, &bytes, extent)?;
                take(Piece::Bytes(&bytes))?;
            }
        }
    }
    Ok(())
}

pub(crate) fn damaged(source: RepoError) -> OpError {
    OpError::Repo { what: "the file cannot be read to its end", source: Box::new(source) }
}

pub(crate) fn write_zeros(output: &mut dyn Write, length: u64) -> Result<(), OpError> {
    let zeros = [0; 8192];
    let mut left = length;
    while left > 0 {
        let step = crate::units::to_usize(left).min(zeros.len());
        output.write_all(&zeros[..step]).map_err(not_written)?;
        left -= to_u64(step);
    }
    Ok(())
}

pub(crate) fn not_written(source: io::Error) -> OpError {
    OpError::Local { call: "write to", path: PathBuf::from("standard output"), source }
}

/// Longest file that is read without threads that read ahead.
const SMALL_BYTES_MAX: u64 = crate::units::MIB;
