//! Copies what is needed of packs that are mostly not: whole blocks as they are, so that no data
//! key is needed, and single chunks where the role can read them.
//! Spec: format-spec/05-pack.md, "Blocks".

use crate::compress::Compressor;
use crate::crypto::hash::blake3;
use crate::format::block::BlockEntry;
use crate::format::index::IndexedPack;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::gc::census::Census;
use crate::repo::gc::choose::RepackPolicy;
use crate::repo::gc::choose::is_split;
use crate::repo::gc::live::LiveChunks;
use crate::repo::gc::needs::Needs;
use crate::repo::index::Index;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::write::block::BlockDraft;
use crate::repo::write::foreign::foreign_entry;
use crate::repo::write::pack::Packer;
use crate::repo::write::salvage;
use crate::repo::write::upload::Uploader;
use crate::units::to_u32;
use crate::units::to_usize;
use std::sync::Arc;

/// Writes the copies of one session.
pub(crate) struct Repacker<'a> {
    reader: &'a ChunkReader,
    policy: &'a RepackPolicy,
    uploader: Uploader,
    data: Copier,
    tree: Copier,
}

struct Copier {
    packer: Packer,
    draft: BlockDraft,
    compressor: Compressor,
}

/// What is known of the packs that are copied.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) census: &'a Census,
    pub(crate) needs: &'a Needs,
    pub(crate) live: &'a LiveChunks,
}

impl<'a> Repacker<'a> {
    /// A repacker that writes in a session.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        session: SessionRef,
        policy: &'a RepackPolicy,
    ) -> Self {
        let repository = &reader.repository;
        let uploader = Uploader::new(repository, session, Arc::new(Index::default()));
        let data = Copier::new(repository, PackKind::Data);
        let tree = Copier::new(repository, PackKind::Tree);
        Self { reader, policy, uploader, data, tree }
    }

    /// Copies what is needed of a pack.
    ///
    /// The whole pack is read and compared with its name first: nothing that is damaged is copied.
    /// Errors: [`RepoError::WrongHash`] and others if it is damaged; nothing was copied then.
    pub(crate) fn copy(&mut self, known: Known<'_>, pack: usize) -> Result<(), RepoError> {
        let facts = &known.census.packs[pack];
        let (bytes, directory) = read_pack(&self.reader.repository, facts.reference)?;
        let blocks: Vec<_> = known.census.blocks_of(pack).collect();
        let lengths = |block: &BlockEntry| u64::from(block.stored_length);
        let agrees = blocks.len() == directory.blocks.len()
            && blocks
                .iter()
                .zip(&directory.blocks)
                .all(|((_, indexed), own)| indexed.range.end - indexed.range.start == lengths(own));
        if !agrees {
            return Err(RepoError::IndexDiffers { key: facts.reference.key().to_string() });
        }
        for (at, (number, block)) in blocks.iter().enumerate() {
            let live_bytes = known.needs.live_bytes[*number];
            if live_bytes == 0 {
                continue;
            }
            let entry = &directory.blocks[at];
            if is_split(facts.kind, block, live_bytes, self.policy) {
                self.copy_chunks(known, facts.kind, entry, *number)?;
                known.live.release();
            } else {
                let range = to_usize(block.range.start)..to_usize(block.range.end);
                let stored = bytes.get(range).unwrap_or_default();
                self.copy_block(&directory, facts.kind, to_u32(at), stored)?;
            }
        }
        Ok(())
    }

    /// Stores everything that is open; returns the segments that list the copies.
    pub(crate) fn finish(mut self) -> Result<Vec<SegmentRef>, RepoError> {
        for kind in [PackKind::Data, PackKind::Tree] {
            self.close_draft(kind)?;
            if let Some(pack) = self.copier(kind).packer.close()? {
                self.uploader.send(pack)?;
            }
        }
        self.uploader.finish()
    }

    /// Copies a block as it is: it stays sealed where it was sealed first.
    fn copy_block(
        &mut self,
        pack: &IndexedPack,
        kind: PackKind,
        number: u32,
        stored: &[u8],
    ) -> Result<(), RepoError> {
        let entry = foreign_entry(pack, number).ok_or(RepoError::WorkerLost)?;
        let repository = &self.reader.repository;
        let copier = match kind {
            PackKind::Data => &mut self.data,
            PackKind::Tree => &mut self.tree,
        };
        if let Some(full) = copier.packer.add_sealed(repository, &entry, stored)? {
            self.uploader.send(full)?;
        }
        Ok(())
    }

    /// Copies the chunks of a block that are kept there; each is verified by its name.
    fn copy_chunks(
        &mut self,
        known: Known<'_>,
        kind: PackKind,
        block: &BlockEntry,
        number: usize,
    ) -> Result<(), RepoError> {
        for chunk in &block.chunks {
            let is_kept =
                known.live.is_live(&chunk.id) && known.needs.keeps(known.census, &chunk.id, number);
            if is_kept {
                self.copy_chunk(kind, &chunk.id)?;
            }
        }
        Ok(())
    }

    fn copy_chunk(&mut self, kind: PackKind, id: &ChunkId) -> Result<(), RepoError> {
        let plaintext = self.reader.read(kind, id)?;
        if self.copier(kind).draft.is_full_for(plaintext.len()) {
            self.close_draft(kind)?;
        }
        self.copier(kind).draft.push(*id, &plaintext);
        Ok(())
    }

    fn close_draft(&mut self, kind: PackKind) -> Result<(), RepoError> {
        let repository = &self.reader.repository;
        let copier = match kind {
            PackKind::Data => &mut self.data,
            PackKind::Tree => &mut self.tree,
        };
        if copier.draft.is_empty() {
            return Ok(());
        }
        let namer = repository.keys.namer(kind)?;
        let block = copier.draft.compress(&mut copier.compressor);
        let full = copier.packer.add(repository, namer, &block, &[])?;
        copier.draft.clear(block);
        if let Some(full) = full {
            self.uploader.send(full)?;
        }
        Ok(())
    }

    const fn copier(&mut self, kind: PackKind) -> &mut Copier {
        match kind {
            PackKind::Data => &mut self.data,
            PackKind::Tree => &mut self.tree,
        }
    }
}

impl Copier {
    fn new(repository: &Repository, kind: PackKind) -> Self {
        let limits = &repository.config.limits;
        let (pack_bytes, block_bytes) = match kind {
            PackKind::Data => (limits.data_pack_bytes, limits.data_block_bytes),
            PackKind::Tree => (limits.tree_pack_bytes, limits.tree_block_bytes),
        };
        Self {
            packer: Packer::new(kind, pack_bytes),
            draft: BlockDraft::new(block_bytes),
            compressor: Compressor::new(limits.compression_level),
        }
    }
}

/// Reads a pack and its directory, and compares it with its name.
fn read_pack(
    repository: &Repository,
    reference: crate::format::layout::PackRef,
) -> Result<(Vec<u8>, IndexedPack), RepoError> {
    let key = reference.key();
    let bytes = repository.store.read(&key, PACK_BYTES_MAX)?;
    if blake3(&bytes) != *reference.id.as_bytes() {
        return Err(RepoError::WrongHash { key: key.to_string() });
    }
    let directory = salvage::index_of(repository, reference, &bytes)?;
    Ok((bytes, directory))
}
