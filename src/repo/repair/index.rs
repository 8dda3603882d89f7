//! Lists again, in segments of a session of its own, the packs that only lost segments listed.
//!
//! A segment states the SHA-256 of each pack, which no pack can state of itself: each is read in full,
//! and only one whose bytes have the hash in its name is listed.

use crate::format::block::BlockCodec;
use crate::format::index::IndexedPack;
use crate::format::layout::PackRef;
use crate::id::ChunkId;
use crate::repo::damage::note_damaged;
use crate::repo::error::RepoError;
use crate::repo::heal::Watch;
use crate::repo::history::History;
use crate::repo::history::is_missing;
use crate::repo::history::load_verdict;
use crate::repo::index::Index;
use crate::repo::index::lost::Survey;
use crate::repo::index::lost::survey;
use crate::repo::repair::commit;
use crate::repo::repository::Repository;
use crate::repo::session::WriterSession;
use crate::repo::write::ChunkStore;
use crate::repo::write::salvage::read_pack_index;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// What was listed again.
#[derive(Debug, Default)]
pub(crate) struct Relisted {
    /// Packs and their lengths.
    pub(crate) packs: BTreeMap<PackRef, u64>,
    /// Packs that are damaged themselves, and why.
    pub(crate) damaged: Vec<(PackRef, RepoError)>,
    /// Packs that are deltas of chunks that are not stored any more.
    pub(crate) baseless: Vec<PackRef>,
}

/// Looks at what the segments that count list; changes nothing.
pub(crate) fn look(repository: &Repository) -> Result<Survey, RepoError> {
    let history = History::load_readable(repository)?;
    look_in(repository, &history)
}

fn look_in(repository: &Repository, history: &History) -> Result<Survey, RepoError> {
    let epoch_min = history.verdict.number;
    survey(repository, &history.segments, &history.condemned, epoch_min, &|| Ok(()))
}

/// Lists every pack again that a lost segment may have listed.
///
/// Errors: whatever keeps a session from being committed; nothing counts then.
pub(crate) fn relist(repository: &Repository, watch: &dyn Watch) -> Result<Relisted, RepoError> {
    let session = WriterSession::open(repository, "")?;
    let history = session.history.clone();
    let store = ChunkStore::new(session)?;
    let relisted = relist_in(repository, &history, &store, watch);
    let committed = relisted.and_then(|relisted| {
        if !relisted.packs.is_empty() {
            commit(&store)?;
        }
        Ok(relisted)
    });
    if !matches!(&committed, Ok(relisted) if !relisted.packs.is_empty()) {
        store.abandon();
    }
    committed
}

fn relist_in(
    repository: &Repository,
    history: &History,
    store: &ChunkStore,
    watch: &dyn Watch,
) -> Result<Relisted, RepoError> {
    // Once the session is announced: no collection can remove what it finds before it has ended.
    let Survey { loaded, mut unlisted } = look_in(repository, history)?;
    let mut relisted = Relisted::default();
    if loaded.unreadable.is_empty() {
        return Ok(relisted);
    }
    // One that was removed and is there again may still be deleted by whoever removes it.
    let lowest = unlisted.keys().map(|pack| pack.session.epoch).min().unwrap_or_default();
    for number in lowest + 1..=history.verdict.number {
        for name in load_verdict(repository, number)?.0.removed {
            unlisted.remove(&PackRef::from(name));
        }
    }
    let mut plain: HashSet<ChunkId> = HashSet::new();
    let mut with_deltas = Vec::new();
    for (reference, length) in unlisted {
        if watch.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        store.beat()?;
        watch.advance(length);
        match read_pack_index(repository, reference) {
            Ok(pack) if bases_of(&pack).next().is_some() => with_deltas.push((pack, length)),
            Ok(pack) => {
                plain.extend(chunks_of(&pack));
                store.list_pack(pack)?;
                relisted.packs.insert(reference, length);
            }
            Err(error) if is_missing(&error) => {}
            Err(error) if repository.is_damage(&error) => relisted.damaged.push((reference, error)),
            Err(error) => return Err(error),
        }
    }
    for (pack, length) in with_deltas {
        let has_bases =
            bases_of(&pack).all(|base| plain.contains(base) || is_plain(&loaded.index, base));
        let reference = pack.reference();
        if has_bases {
            store.list_pack(pack)?;
            relisted.packs.insert(reference, length);
        } else {
            relisted.baseless.push(reference);
        }
    }
    // So that nobody waits for a segment that lists them: they are not what they should be.
    let damaged: BTreeSet<_> = relisted.damaged.iter().map(|(pack, _why)| pack.id).collect();
    note_damaged(repository, &damaged)?;
    Ok(relisted)
}

fn is_plain(index: &Index, base: &ChunkId) -> bool {
    index.find_plain(base).is_some()
}

fn bases_of(pack: &IndexedPack) -> impl Iterator<Item = &ChunkId> {
    pack.blocks.iter().flat_map(|block| match &block.codec {
        BlockCodec::Delta { bases } => bases.as_slice(),
        BlockCodec::Raw | BlockCodec::Zstd => &[],
    })
}

fn chunks_of(pack: &IndexedPack) -> impl Iterator<Item = ChunkId> {
    pack.blocks.iter().flat_map(|block| &block.chunks).map(|chunk| chunk.id)
}
