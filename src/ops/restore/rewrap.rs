//! `dump --rewrap`: the compressed file that a snapshot holds as plain bytes and a recipe.

use crate::format::FormatError;
use crate::format::tree::FileEntry;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::ahead::Piece;
use crate::ops::restore::dump::not_written;
use crate::ops::restore::dump::read_file;
use crate::ops::restore::dump::write_file;
use crate::ops::restore::open_reader;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::snapshot::unwrap::RECIPE_SUFFIX;
use crate::ops::snapshot::unwrap::plain_name;
use crate::ops::words::path_words;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::rewrap::Needs;
use crate::rewrap::Rewrapper;
use crate::units::to_u64;
use std::io::Write;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::sync_channel;

/// Writes a compressed file that was unwrapped, byte for byte as it was; `selected` names it as it was
/// called. What was stored as it is comes as it is. Returns how many bytes were written.
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
    let recipe_name = [name, RECIPE_SUFFIX.as_bytes()].concat();
    let recipe = match file_of(&reader, selected, &recipe_name) {
        Err(OpError::NoPath { .. }) => {
            let as_it_is = file_of(&reader, selected, name)?;
            return write_file(&reader, &as_it_is, output, progress);
        }
        recipe => recipe?,
    };
    let plain = file_of(&reader, selected, &plain_name(name))?;
    let wrapped = WrappedFile { recipe_name: &recipe_name, recipe: &recipe, plain: &plain };
    progress.begin("rewrapping", 1, plain.size + recipe.size);
    let written = wrapped
        .make(&reader, progress, &mut |bytes| output.write_all(bytes).map_err(not_written))?;
    output.flush().map_err(not_written)?;
    progress.advance(1, 0);
    Ok(written)
}

/// A compressed file in two.
pub(crate) struct WrappedFile<'a> {
    pub(crate) recipe_name: &'a [u8],
    pub(crate) recipe: &'a FileEntry,
    pub(crate) plain: &'a FileEntry,
}

impl WrappedFile<'_> {
    /// Gives the file piece by piece; returns its length. Both are read at once, a little ahead.
    ///
    /// Errors: of `give`; damage, maybe after some pieces were given.
    pub(crate) fn make(
        &self,
        reader: &ChunkReader,
        progress: &dyn Progress,
        give: &mut dyn FnMut(&[u8]) -> Result<(), OpError>,
    ) -> Result<u64, OpError> {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(PIECES_AHEAD);
            let recipe = scope.spawn(move || {
                read_file(reader, self.recipe, progress, &mut |piece| match piece {
                    Piece::Bytes(bytes) => {
                        sender.send(bytes.to_vec()).map_err(|_closed| OpError::Interrupted)
                    }
                    Piece::Hole(_) => Err(does_not_fit(RepoError::WrongDigest)),
                })
            });
            let (out, digest) = (Vec::new(), ContentDigest::default());
            let making = Making { file: self, receiver, out, digest, written: 0, give };
            let made = making.run(reader, progress);
            match recipe.join().unwrap_or_else(|_panic| Err(RepoError::WorkerLost.into())) {
                // Nobody took more of it.
                Ok(_) | Err(OpError::Interrupted) => made,
                Err(error) => Err(error),
            }
        })
    }

    fn wrong(&self, source: FormatError) -> OpError {
        does_not_fit(RepoError::Decode { key: path_words(self.recipe_name), source })
    }
}

struct Making<'a> {
    file: &'a WrappedFile<'a>,
    receiver: Receiver<Vec<u8>>,
    out: Vec<u8>,
    digest: ContentDigest,
    written: u64,
    give: &'a mut dyn FnMut(&[u8]) -> Result<(), OpError>,
}

impl Making<'_> {
    fn run(mut self, reader: &ChunkReader, progress: &dyn Progress) -> Result<u64, OpError> {
        let mut rewrapper = Rewrapper::default();
        read_file(reader, self.file.plain, progress, &mut |piece| match piece {
            Piece::Bytes(bytes) => {
                rewrapper.take_plain(bytes);
                self.make_what_can_be(&mut rewrapper)
            }
            Piece::Hole(_) => Err(does_not_fit(RepoError::WrongDigest)),
        })?;
        self.make_what_can_be(&mut rewrapper)?;
        self.receiver.iter().for_each(|bytes| rewrapper.take_recipe(&bytes));
        let stated = rewrapper.finish().map_err(|error| self.file.wrong(error))?;
        if self.written != stated.length || *self.digest.finish().as_bytes() != stated.digest {
            return Err(does_not_fit(RepoError::WrongDigest));
        }
        Ok(self.written)
    }

    /// Goes on until plain bytes are needed, or nothing.
    fn make_what_can_be(&mut self, rewrapper: &mut Rewrapper) -> Result<(), OpError> {
        loop {
            let needs = rewrapper.make(&mut self.out).map_err(|error| self.file.wrong(error))?;
            self.written += to_u64(self.out.len());
            self.digest.update(&self.out);
            (self.give)(&self.out)?;
            self.out.clear();
            match needs {
                None => {}
                Some(Needs::Recipe) => match self.receiver.recv() {
                    Ok(bytes) => rewrapper.take_recipe(&bytes),
                    // It ended too early, which is told at the end.
                    Err(_closed) => return Ok(()),
                },
                Some(Needs::Plain | Needs::Nothing) => return Ok(()),
            }
        }
    }
}

fn file_of(reader: &ChunkReader, selected: &Selected, name: &[u8]) -> Result<FileEntry, OpError> {
    let mut path = selected.path.clone();
    path.pop();
    path.push(name.to_vec());
    let no_path = || OpError::NoPath {
        snapshot: selected.snapshot().to_string(),
        path: path_words(&path.join(&b'/')),
    };
    let Found::Entry(entry) = selected.find_path(reader, &path)? else {
        return Err(no_path());
    };
    entry.entry.node.file().cloned().ok_or_else(no_path)
}

fn does_not_fit(source: RepoError) -> OpError {
    let what = "the recipe does not give back the file that was unwrapped";
    OpError::Repo { what, source: Box::new(source) }
}

/// Chunks of a recipe that wait.
const PIECES_AHEAD: usize = 8;
