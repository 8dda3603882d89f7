//! Storing again, from a copy of the repository, what its own store lost.
//! Spec: format-spec/09-session.md, format-spec/05-pack.md, "Blocks".
//!
//! The blocks of a pack are copied as they are sealed into a pack of the session that heals: a key is
//! never created a second time while a collection may delete it, and a damaged object stays what it is
//! until a collection removes it. What is missing and no collection can be about to delete is created
//! again.

use crate::format::block::BlockCodec;
use crate::format::index::IndexedPack;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::key::ObjectKey;
use crate::repo::create::create;
use crate::repo::create::create_in;
use crate::repo::damage::note_damaged;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::index::Index;
use crate::repo::mirror::part::Part;
use crate::repo::mirror::sound::Soundness;
use crate::repo::mirror::sound::judge;
use crate::repo::repair::commit;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::session::WriterSession;
use crate::repo::write::ChunkStore;
use crate::repo::write::foreign::foreign_entry;
use crate::repo::write::salvage;
use crate::store::StorageClass;
use crate::store::StoreErrorKind;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// What was stored again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Healed {
    /// Packs whose blocks are stored again, all of them.
    pub(crate) packs: BTreeSet<PackRef>,
    /// Their bytes.
    pub(crate) pack_bytes: u64,
    /// Objects that were created again under their keys.
    pub(crate) objects: Vec<ObjectKey>,
}

/// What a healing run tells and asks while it goes on.
pub(crate) trait Watch {
    /// Whether to stop.
    fn is_cancelled(&self) -> bool;
    /// A pack with so many bytes was looked at.
    fn advance(&self, bytes: u64);
}

/// Creates again what every command needs and no collection deletes: identities, amendments, config.
///
/// Only what a copy has and the authority signed.
pub(crate) fn recreate_foundation(
    repository: &Repository,
    copies: &[Located],
    healed: &mut Healed,
) -> Result<(), RepoError> {
    for copy in copies {
        let mut keys = Vec::new();
        for folder in [layout::IDENTITIES, layout::AMENDMENTS] {
            let listed = copy.store().list(folder)?.into_iter().map(|listed| listed.key);
            keys.extend(listed.filter(|key| layout::parse_mirror_key(key).is_err()));
        }
        // Last, as when the repository was made: nobody takes this place for one before.
        keys.push(layout::config_key());
        for key in keys {
            recreate(repository, copy, &key, healed)?;
        }
    }
    Ok(())
}

/// Stores again the blocks of these packs, and segments and manifests that count and are missing.
///
/// A pack that no copy has whole is left out. Errors: whatever keeps a session from being committed;
/// nothing counts then but what was created again.
pub(crate) fn heal(
    repository: &Repository,
    copies: &[Located],
    broken: &BTreeSet<PackRef>,
    watch: &dyn Watch,
    healed: &mut Healed,
) -> Result<(), RepoError> {
    let session = WriterSession::open(repository, "")?;
    let history = session.history.clone();
    let store = ChunkStore::new(session)?;
    let run = Run { repository, copies, watch, store: &store, plain: HashSet::new() };
    let filled = run.fill(&history, broken, healed);
    if filled.is_ok() && healed.pack_bytes == 0 {
        store.abandon();
        return Ok(());
    }
    let committed = filled.and_then(|()| commit(&store));
    if committed.is_err() {
        store.abandon();
        healed.packs.clear();
        healed.pack_bytes = 0;
    }
    committed
}

struct Run<'a> {
    repository: &'a Repository,
    copies: &'a [Located],
    watch: &'a dyn Watch,
    store: &'a ChunkStore,
    /// Chunks of blocks that are no deltas and were stored again.
    plain: HashSet<ChunkId>,
}

impl Run<'_> {
    fn fill(
        mut self,
        history: &History,
        broken: &BTreeSet<PackRef>,
        healed: &mut Healed,
    ) -> Result<(), RepoError> {
        self.recreate_counting(history, healed)?;
        let packs: Vec<PackRef> =
            broken.iter().filter(|pack| !history.condemned.contains(pack)).copied().collect();
        self.note(&packs)?;
        // Deltas last: they may rely on what is stored again, too.
        let mut with_deltas = Vec::new();
        for reference in packs {
            if self.watch.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            self.store.beat()?;
            let Some((pack, bytes)) = self.fetch(reference)? else { continue };
            let length = to_u64(bytes.len());
            if pack.blocks.iter().any(|block| matches!(block.codec, BlockCodec::Delta { .. })) {
                with_deltas.push(reference);
            }
            self.store_plain(&pack, &bytes)?;
            healed.packs.insert(reference);
            healed.pack_bytes += length;
            self.watch.advance(length);
        }
        for reference in with_deltas {
            let Some((pack, bytes)) = self.fetch(reference)? else { continue };
            if !self.store_deltas(&pack, &bytes)? {
                healed.packs.remove(&reference);
            }
        }
        Ok(())
    }

    /// Tells collections which packs are not what they should be, so that the sound ones stay.
    fn note(&self, packs: &[PackRef]) -> Result<(), RepoError> {
        let stored: HashSet<PackRef> =
            self.repository.list_packs()?.into_iter().map(|(pack, _length)| pack).collect();
        let there = packs.iter().filter(|pack| stored.contains(pack));
        let damaged: BTreeSet<PackId> = there.map(|pack| pack.id).collect();
        note_damaged(self.repository, &damaged)
    }

    fn fetch(&self, reference: PackRef) -> Result<Option<(IndexedPack, Vec<u8>)>, RepoError> {
        let Some(bytes) = self.copies.iter().find_map(|copy| copy.whole_pack(&reference)) else {
            return Ok(None);
        };
        let pack = salvage::index_of(self.repository, reference, &bytes)?;
        Ok(Some((pack, bytes)))
    }

    fn store_plain(&mut self, pack: &IndexedPack, bytes: &[u8]) -> Result<(), RepoError> {
        for (number, stored) in blocks_of(pack, bytes) {
            let block = &pack.blocks[number];
            if !matches!(block.codec, BlockCodec::Delta { .. }) {
                self.store_block(pack, number, stored)?;
                self.plain.extend(block.chunks.iter().map(|chunk| chunk.id));
            }
        }
        Ok(())
    }

    /// Stores the deltas of a pack; says whether all their bases are there.
    fn store_deltas(&self, pack: &IndexedPack, bytes: &[u8]) -> Result<bool, RepoError> {
        let index = self.store.index();
        let mut is_whole = true;
        for (number, stored) in blocks_of(pack, bytes) {
            if let BlockCodec::Delta { bases } = &pack.blocks[number].codec {
                if bases.iter().all(|base| self.has_plain(&index, base)) {
                    self.store_block(pack, number, stored)?;
                } else {
                    is_whole = false;
                }
            }
        }
        Ok(is_whole)
    }

    fn has_plain(&self, index: &Index, base: &ChunkId) -> bool {
        self.plain.contains(base) || index.find_plain(base).is_some()
    }

    fn store_block(
        &self,
        pack: &IndexedPack,
        number: usize,
        stored: &[u8],
    ) -> Result<(), RepoError> {
        let entry = foreign_entry(pack, to_u32(number)).ok_or(RepoError::WorkerLost)?;
        self.store.write_sealed(pack.header.kind, &entry, stored)
    }

    /// Creates again the segments and manifests that count and are missing: while this session is
    /// open, no collection deletes them.
    fn recreate_counting(&self, history: &History, healed: &mut Healed) -> Result<(), RepoError> {
        let listed = self.repository.segment_lengths()?.into_iter();
        let listed: HashSet<SegmentRef> = listed.map(|(segment, _length)| segment).collect();
        let segments = history.segments.iter().filter(|segment| !listed.contains(segment));
        let mut missing: Vec<ObjectKey> = segments.map(SegmentRef::key).collect();
        let listed = self.repository.list_keys(layout::MANIFESTS)?;
        let listed: HashSet<ObjectKey> = listed.into_iter().collect();
        let manifests = history
            .snapshots
            .iter()
            .chain(&history.forgotten)
            .map(|live| layout::manifest_key(live.client, live.snapshot));
        missing.extend(manifests.filter(|key| !listed.contains(key)));
        for key in missing {
            for copy in self.copies {
                recreate(self.repository, copy, &key, healed)?;
            }
        }
        Ok(())
    }
}

/// The blocks of a pack whose bytes have its hash.
fn blocks_of<'a>(
    pack: &'a IndexedPack,
    bytes: &'a [u8],
) -> impl Iterator<Item = (usize, &'a [u8])> {
    let mut start = u64::from(pack.header_length);
    pack.blocks.iter().enumerate().map(move |(number, block)| {
        let end = start + u64::from(block.stored_length);
        let stored = bytes.get(to_usize(start)..to_usize(end)).unwrap_or_default();
        start = end;
        (number, stored)
    })
}

/// Creates an object that is missing with what a copy has, if that is sound.
fn recreate(
    repository: &Repository,
    copy: &Located,
    key: &ObjectKey,
    healed: &mut Healed,
) -> Result<(), RepoError> {
    match repository.store.length(key) {
        Err(error) if error.kind == StoreErrorKind::NotFound => {}
        Ok(_length) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let Some(part) = Part::of(key) else { return Ok(()) };
    let length = copy.store().length(key);
    let Ok(bytes) = length.and_then(|length| copy.store().read(key, length.min(OBJECT_BYTES_MAX)))
    else {
        return Ok(());
    };
    if !matches!(judge(repository, key, part, &bytes), Soundness::Sound) {
        return Ok(());
    }
    let store = repository.store.as_ref();
    if matches!(part, Part::Segment(_)) {
        create_in(store, key, &bytes, StorageClass::Metadata)?;
    } else {
        create(store, key, &bytes)?;
    }
    healed.objects.push(key.clone());
    Ok(())
}

/// Longer objects are packs.
const OBJECT_BYTES_MAX: u64 = 256 * crate::units::MIB;
