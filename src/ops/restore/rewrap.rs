//! `dump --rewrap`: the compressed file that a snapshot holds as plain bytes and a recipe.

use crate::format::tree::FileEntry;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::ahead::Piece;
use crate::ops::restore::dump::not_written;
use crate::ops::restore::dump::read_file;
use crate::ops::restore::open_reader;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::snapshot::unwrap::RECIPE_SUFFIX;
use crate::ops::snapshot::unwrap::plain_name;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::rewrap::Header;
use crate::rewrap::RECIPE_BYTES_MAX;
use crate::rewrap::Rewrapper;
use crate::units::to_u64;
use std::io::Write;

/// Writes a compressed file that was unwrapped, byte for byte as it was; `selected` names it as it was
/// called. Returns how many bytes were written.
///
/// Errors: damage, and [`RepoError::WrongDigest`] if the bytes are not those of the file; what was written
/// must not be used then.
pub fn rewrap(
    repository: &Repository,
    selected: &Selected,
    output: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let reader = open_reader(repository)?;
    let name = selected.path.last().ok_or_else(|| OpError::Usage {
        why: "`--rewrap` needs the path of the compressed file, as `latest:/app.sql.gz`".to_owned(),
    })?;
    let recipe = file_of(&reader, selected, &[name, RECIPE_SUFFIX.as_bytes()].concat())?;
    let plain = file_of(&reader, selected, &plain_name(name))?;
    if recipe.size > to_u64(RECIPE_BYTES_MAX) {
        return Err(does_not_fit());
    }
    let mut bytes = Vec::new();
    read_file(&reader, &recipe, progress, &mut |piece| match piece {
        Piece::Bytes(more) => {
            bytes.extend_from_slice(more);
            Ok(())
        }
        Piece::Hole(_) => Err(does_not_fit()),
    })?;
    let (header, parts) = Header::split(&bytes).ok_or_else(does_not_fit)?;
    if header.plain_length != plain.size {
        return Err(does_not_fit());
    }
    progress.begin("rewrapping", 1, plain.size);
    let mut rewrapper = Rewrapper::new(parts);
    let (mut out, mut digest, mut written) = (Vec::new(), ContentDigest::default(), 0);
    let mut give = |out: &mut Vec<u8>| {
        written += to_u64(out.len());
        if written > header.length {
            return Err(does_not_fit());
        }
        digest.update(out);
        output.write_all(out).map_err(not_written)?;
        out.clear();
        Ok(())
    };
    read_file(&reader, &plain, progress, &mut |piece| match piece {
        Piece::Bytes(bytes) => {
            rewrapper.push(bytes, &mut out).map_err(|_| does_not_fit())?;
            give(&mut out)
        }
        Piece::Hole(_) => Err(does_not_fit()),
    })?;
    rewrapper.finish(&mut out).map_err(|_| does_not_fit())?;
    give(&mut out)?;
    if written != header.length || *digest.finish().as_bytes() != header.digest {
        return Err(does_not_fit());
    }
    output.flush().map_err(not_written)?;
    progress.advance(1, 0);
    Ok(written)
}

fn file_of(reader: &ChunkReader, selected: &Selected, name: &[u8]) -> Result<FileEntry, OpError> {
    let mut path = selected.path.clone();
    path.pop();
    path.push(name.to_vec());
    let Found::Entry(entry) = selected.find_path(reader, &path)? else {
        return Err(does_not_fit());
    };
    entry.entry.node.file().cloned().ok_or_else(does_not_fit)
}

fn does_not_fit() -> OpError {
    let what = "the recipe does not give back the file that was unwrapped";
    OpError::Repo { what, source: Box::new(RepoError::WrongDigest) }
}
