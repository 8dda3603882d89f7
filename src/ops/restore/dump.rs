//! `dump`: one file of a snapshot to a stream.

use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::ahead::Piece;
use crate::ops::restore::ahead::read_ahead;
use crate::ops::restore::open_reader;
use crate::ops::restore::window::wrong_size;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
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
    progress.begin("dumping", 1, file.size);
    let mut writer =
        Writer { file, output, progress, digest: ContentDigest::default(), written: 0 };
    read_ahead(&reader, &file.content, file.size, &mut |piece| writer.write(piece))?;
    let Writer { digest, written, .. } = writer;
    // Before the end of the output is told: a process that takes it may still be killed.
    if file.digest.is_some_and(|stated| stated != digest.finish()) {
        let what = "the file is not the one that was backed up";
        let source = Box::new(RepoError::WrongDigest);
        return Err(OpError::Repo { what, source });
    }
    output.flush().map_err(not_written)?;
    if written != file.size {
        return Err(damaged(wrong_size(&file.content)));
    }
    progress.advance(1, 0);
    Ok(written)
}

/// Where the pieces of a file go.
struct Writer<'a> {
    file: &'a FileEntry,
    output: &'a mut dyn Write,
    progress: &'a dyn Progress,
    digest: ContentDigest,
    written: u64,
}

impl Writer<'_> {
    fn write(&mut self, piece: Piece<'_>) -> Result<(), OpError> {
        if self.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let length = match piece {
            Piece::Bytes(bytes) => {
                if self.file.digest.is_some() {
                    self.digest.update(bytes);
                }
                self.output.write_all(bytes).map_err(not_written)?;
                to_u64(bytes.len())
            }
            Piece::Hole(length) => {
                write_zeros(self.output, length)?;
                length
            }
        };
        self.written += length;
        self.progress.advance(0, length);
        Ok(())
    }
}

pub(crate) fn damaged(source: RepoError) -> OpError {
    OpError::Repo { what: "the file cannot be read to its end", source: Box::new(source) }
}

fn write_zeros(output: &mut dyn Write, length: u64) -> Result<(), OpError> {
    let zeros = [0; 8192];
    let mut left = length;
    while left > 0 {
        let step = crate::units::to_usize(left).min(zeros.len());
        output.write_all(&zeros[..step]).map_err(not_written)?;
        left -= to_u64(step);
    }
    Ok(())
}

fn not_written(source: io::Error) -> OpError {
    OpError::Local { call: "write to", path: PathBuf::from("standard output"), source }
}
