//! The content of a recipe, which grows while the plain bytes beside it are stored.

use crate::chunk::Chunker;
use crate::format::content::Extent;
use crate::format::pack::PackKind;
use crate::format::tree::FileEntry;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::content_digest::ContentDigest;
use crate::repo::error::RepoError;
use crate::repo::tree::content::ContentBuilder;
use crate::repo::write::ChunkStore;
use crate::units::to_u32;

/// A recipe on its way into the repository; of its bytes, a bounded number is in memory.
///
/// No block stays open between two calls: a checkpoint may come there.
pub(crate) struct RecipeContent<'a> {
    store: &'a ChunkStore,
    chunker: &'a Chunker,
    open: Vec<u8>,
    extents: Vec<Extent>,
    digest: ContentDigest,
}

impl<'a> RecipeContent<'a> {
    /// Begins one.
    pub(crate) fn new(store: &'a ChunkStore, chunker: &'a Chunker) -> Self {
        let (open, extents, digest) = (Vec::new(), Vec::new(), ContentDigest::default());
        Self { store, chunker, open, extents, digest }
    }

    /// Takes all of these bytes.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>) -> Result<(), OpError> {
        self.digest.update(bytes);
        self.open.append(bytes);
        if self.open.len() < OPEN_BYTES_MAX.max(4 * self.chunker.max_bytes()) {
            return Ok(());
        }
        self.write(self.chunker.max_bytes()).during(WHAT)
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> Result<FileEntry, OpError> {
        self.write(1).during(WHAT)?;
        self.build().during(WHAT)
    }

    /// Stores chunks while at least so many bytes are there.
    fn write(&mut self, bytes_min: usize) -> Result<(), RepoError> {
        let mut writer = self.store.writer(PackKind::Data)?;
        let mut rest = self.open.as_slice();
        while rest.len() >= bytes_min {
            let (chunk, behind) = rest.split_at(self.chunker.next_length(rest));
            let id = writer.write(chunk)?;
            self.extents.push(Extent::Chunk { id, length: to_u32(chunk.len()) });
            rest = behind;
        }
        let goes = self.open.len() - rest.len();
        self.open.drain(..goes);
        writer.flush()
    }

    fn build(self) -> Result<FileEntry, RepoError> {
        let mut tree = self.store.writer(PackKind::Tree)?;
        let mut builder = ContentBuilder::default();
        let digest = (self.extents.len() > 1).then(|| self.digest.finish());
        for extent in self.extents {
            builder.push(&mut tree, extent)?;
        }
        let size = builder.bytes();
        let content = builder.finish(&mut tree)?;
        tree.flush()?;
        Ok(FileEntry { size, content, digest, sparse: false })
    }
}

const WHAT: &str = "cannot store the recipe";
const OPEN_BYTES_MAX: usize = 4_194_304;
