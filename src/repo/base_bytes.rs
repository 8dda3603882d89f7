//! What deltas were made after.

use crate::format::block::BASE_BYTES_MAX;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::repo::error::BlockError;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::index::ChunkPlace;
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

/// A block and what of it is a base.
type BaseAt = (BlockHandle, OpenBlock, Range<usize>);

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
            let (handle, block, range) = self.plain_base(kind, base, &found)?;
            found.add(handle, block, range);
            if to_u64(found.as_slice().len()) > BASE_BYTES_MAX {
                return Err(BasesError::Block(BlockError::BasesTooLong));
            }
        }
        Ok(found)
    }

    /// A plain block that has a base, and where in it; other copies are tried if one is damaged.
    fn plain_base(
        &self,
        kind: PackKind,
        base: &ChunkId,
        found: &BaseBytes,
    ) -> Result<BaseAt, BasesError> {
        let first = self.index.find_plain(base);
        let first = first.ok_or(BasesError::Block(BlockError::BaseNotPlain(*base)))?;
        let error = match self.base_at(kind, base, first, found) {
            Ok(there) => return Ok(there),
            Err(error) => error,
        };
        let others = self.index.find_all(base).into_iter();
        let plain =
            others.filter(|place| place.block != first.block && !self.is_delta(place.block));
        let mut there = plain.filter_map(|place| self.base_at(kind, base, place, found).ok());
        there.next().ok_or(BasesError::Repo(Box::new(error)))
    }

    fn base_at(
        &self,
        kind: PackKind,
        base: &ChunkId,
        place: ChunkPlace,
        found: &BaseBytes,
    ) -> Result<BaseAt, RepoError> {
        let block = match found.of_block(place.block) {
            Some(block) => block,
            None => self.base_block(kind, place.block)?,
        };
        let start = to_usize32(place.offset);
        let range = start..start.saturating_add(to_usize32(place.length));
        if block.plaintext.get(range.clone()).is_none() {
            return Err(RepoError::WrongChunk { chunk: *base, pack: block.pack });
        }
        Ok((place.block, block, range))
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
