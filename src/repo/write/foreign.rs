//! Blocks that stay sealed as they were sealed first, in another pack.
//! Spec: format-spec/05-pack.md, "Blocks".

use crate::format::block::BlockEntry;
use crate::format::block::BlockOrigin;
use crate::format::index::IndexedPack;
use crate::format::pack::PackKind;
use crate::repo::error::RepoError;
use crate::repo::write::ChunkStore;
use crate::units::to_usize32;

/// The entry of a block of `pack` in any other pack.
pub(crate) fn foreign_entry(pack: &IndexedPack, number: u32) -> Option<BlockEntry> {
    let block = pack.blocks.get(to_usize32(number))?;
    let own =
        || BlockOrigin { pack_uid: pack.header.pack_uid, number, key: pack.header.key.clone() };
    let origin = Some(block.origin.clone().unwrap_or_else(own));
    Some(BlockEntry { origin, ..block.clone() })
}

impl ChunkStore {
    /// Lists a pack that is stored already, in a segment of this session.
    pub(crate) fn list_pack(&self, pack: IndexedPack) -> Result<(), RepoError> {
        self.uploader.add_indexed(pack)
    }

    /// Stores a block that was sealed for another pack, whose bytes are known to be right, whether
    /// its chunks are known or not.
    pub(crate) fn write_sealed(
        &self,
        kind: PackKind,
        entry: &BlockEntry,
        stored: &[u8],
    ) -> Result<(), RepoError> {
        let packer = match kind {
            PackKind::Data => &self.data,
            PackKind::Tree => &self.tree,
        };
        if let Some(full) = packer.add_sealed(&self.repository, entry, stored)? {
            self.uploader.send(full)?;
        }
        Ok(())
    }
}
