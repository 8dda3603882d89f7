//! What deltas were made after.

use crate::format::block::BASE_BYTES_MAX;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::repo::error::BlockError;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::read::ChunkReader;
use crate::repo::read::OpenBlock;
use crate::units::to_u64;
use crate::units::to_usize32;
use std::ops::Range;

/// The plaintext of a delta's base chunks, in order.
#[derive(Debug)]
pub(crate) struct BaseBytes {
    /// The block and what of it is meant, as long as the chunks stand in one, one behind the other: most do, and
    /// then nothing is copied.
    run: Option<(BlockHandle, OpenBlock, Range<usize>)>,
    /// Otherwise all of them.
    joined: Vec<u8>,
}

impl BaseBytes {
    const fn new() -> Self {
        Self { run: None, joined: Vec::new() }
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.run {
            Some((_handle, block, range)) => &block.plaintext[range.clone()],
            None => &self.joined,
        }
    }

    /// The block that the last bytes are of, if it is this one.
    fn of_block(&self, handle: BlockHandle) -> Option<OpenBlock> {
        let run = self.run.as_ref().filter(|(of, _block, _range)| *of == handle);
        run.map(|(_of, block, _range)| block.clone())
    }

    /// Adds bytes of a block, which has them.
    fn add(&mut self, handle: BlockHandle, block: OpenBlock, range: Range<usize>) {
        match &mut self.run {
            None if self.joined.is_empty() => self.run = Some((handle, block, range)),
            Some((of, _block, before)) if *of == handle && before.end == range.start => {
                before.end = range.end;
            }
            run => {
                if let Some((_handle, before, range)) = run.take() {
                    self.joined.extend_from_slice(&before.plaintext[range]);
                }
                self.joined.extend_from_slice(&block.plaintext[range]);
            }
        }
    }
}

impl ChunkReader {
    /// The plaintext of a delta's base chunks, in order, from plain blocks only. Their bytes are
    /// authentic; whether they are the chunks is seen by what is made after them, which has names, too.
    pub(crate) fn base_bytes(
        &self,
        kind: PackKind,
        bases: &[ChunkId],
    ) -> Result<BaseBytes, BasesError> {
        let mut found = BaseBytes::new();
        for base in bases {
            let place = self
                .index
                .find_plain(base)
                .ok_or(BasesError::Block(BlockError::BaseNotPlain(*base)))?;
            let failed = |error| BasesError::Repo(Box::new(error));
            let block = match found.of_block(place.block) {
                Some(block) => block,
                None => self.base_block(kind, place.block).map_err(failed)?,
            };
            let wrong = || failed(RepoError::WrongChunk { chunk: *base, pack: block.pack });
            let start = to_usize32(place.offset);
            let range = start..start.saturating_add(to_usize32(place.length));
            if block.plaintext.get(range.clone()).is_none() {
                return Err(wrong());
            }
            found.add(place.block, block, range);
            if to_u64(found.as_slice().len()) > BASE_BYTES_MAX {
                return Err(BasesError::Block(BlockError::BasesTooLong));
            }
        }
        Ok(found)
    }
}

/// Why the bases of a delta cannot be had.
#[derive(Debug)]
pub(crate) enum BasesError {
    /// A base cannot be read.
    Repo(Box<RepoError>),
    /// The delta asks for what no delta may have.
    Block(BlockError),
}

impl BasesError {
    /// The error of the delta block that has these bases.
    pub(crate) fn into_repo_error(self, pack: PackId, block: u32) -> RepoError {
        match self {
            Self::Repo(error) => *error,
            Self::Block(source) => RepoError::OpenBlock { pack, block, source },
        }
    }
}
