//! Stores again, in packs of a session of its own, every block of a damaged pack that is still good.
//!
//! A block is copied as it was sealed: it authenticates, and every chunk of it has its name.

use crate::format::block::BlockCodec;
use crate::format::index::IndexedPack;
use crate::format::layout::PackRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::repo::damage::note_damaged;
use crate::repo::error::RepoError;
use crate::repo::heal::Watch;
use crate::repo::index::order::RunOrder;
use crate::repo::index::run::Run;
use crate::repo::read::ChunkReader;
use crate::repo::repair::commit;
use crate::repo::session::WriterSession;
use crate::repo::verify::VerifyBuffers;
use crate::repo::verify::sound_blocks;
use crate::repo::verify::verify_pack;
use crate::repo::write::ChunkStore;
use crate::repo::write::foreign::foreign_entry;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use rayon::ThreadPool;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// Which packs are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    /// All of them.
    All,
    /// Those that are missing or have another length, and those that somebody found damaged.
    Suspect(&'a HashSet<PackId>),
}

/// A pack that does not give back all that it should.
#[derive(Debug)]
pub(crate) struct BrokenPack {
    /// What the index has of it.
    pub(crate) indexed: IndexedPack,
    /// Whether anything is stored under its key.
    pub(crate) is_stored: bool,
    pub(crate) problems: Vec<RepoError>,
    /// Numbers of its blocks that are good.
    pub(crate) sound: Vec<usize>,
}

/// What is wrong with the packs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) read_count: u64,
    pub(crate) read_bytes: u64,
    pub(crate) broken: Vec<BrokenPack>,
    /// What no pack gives any more.
    pub(crate) lost: HashSet<(ChunkId, PackKind)>,
    /// Chunks of damaged packs that other packs have, too.
    elsewhere: HashSet<(ChunkId, PackKind)>,
}

/// What was stored again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Salvaged {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

impl BrokenPack {
    fn chunks_of(&self, number: usize) -> impl Iterator<Item = (ChunkId, PackKind)> {
        let kind = self.indexed.header.kind;
        self.indexed.blocks[number].chunks.iter().map(move |chunk| (chunk.id, kind))
    }

    fn chunks(&self) -> impl Iterator<Item = (ChunkId, PackKind)> {
        (0..self.indexed.blocks.len()).flat_map(|number| self.chunks_of(number))
    }

    /// How many of its chunks no pack gives any more.
    pub(crate) fn lost_count(&self, found: &Found) -> u64 {
        to_u64(self.chunks().filter(|chunk| found.lost.contains(chunk)).count())
    }

    fn is_delta(&self, number: usize) -> bool {
        matches!(self.indexed.blocks[number].codec, BlockCodec::Delta { .. })
    }
}

impl Found {
    /// The blocks of a pack that are good and hold something that no sound pack has.
    pub(crate) fn wanted<'a>(&'a self, pack: &'a BrokenPack) -> impl Iterator<Item = usize> {
        let is_wanted =
            |number: &usize| pack.chunks_of(*number).any(|chunk| !self.elsewhere.contains(&chunk));
        pack.sound.iter().copied().filter(is_wanted)
    }
}

/// Reads packs and finds what is wrong with them; changes nothing.
pub(crate) fn find(
    reader: &ChunkReader,
    removed: &HashSet<PackRef>,
    which: Which<'_>,
    pool: &ThreadPool,
    watch: &(dyn Watch + Sync),
) -> Result<Found, RepoError> {
    let stored: HashMap<PackRef, u64> = reader.repository.list_packs()?.into_iter().collect();
    let work = packs_of(reader, removed);
    let look = |at: &PackAt| -> Result<(u64, Option<BrokenPack>), RepoError> {
        let pack = &at.run.packs()[at.number];
        if watch.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let length = stored.get(&pack.reference());
        let is_suspect = match which {
            Which::All => true,
            Which::Suspect(known) => length != Some(&pack.length) || known.contains(&pack.id),
        };
        if !is_suspect {
            return Ok((0, None));
        }
        let blocks = at.order.blocks_of(&at.run, at.number);
        let whole = IndexedPack { blocks, ..pack.clone() };
        let looked = look_at(reader, &whole, length.is_some())?;
        watch.advance(pack.length);
        Ok(looked)
    };
    let looked: Result<Vec<_>, RepoError> = pool.install(|| work.par_iter().map(look).collect());
    let mut found = Found::default();
    for (bytes, broken) in looked? {
        found.read_count += u64::from(bytes > 0);
        found.read_bytes += bytes;
        found.broken.extend(broken);
    }
    found.weigh(reader);
    Ok(found)
}

/// A pack of a run.
struct PackAt {
    run: Arc<Run>,
    order: Arc<RunOrder>,
    number: usize,
}

/// Every pack that counts once.
fn packs_of(reader: &ChunkReader, removed: &HashSet<PackRef>) -> Vec<PackAt> {
    let mut seen = removed.clone();
    let mut packs = Vec::new();
    for run in reader.index.runs() {
        let order = Arc::new(RunOrder::new(&run));
        for number in 0..run.packs().len() {
            if seen.insert(run.packs()[number].reference()) {
                packs.push(PackAt { run: Arc::clone(&run), order: Arc::clone(&order), number });
            }
        }
    }
    packs
}

fn look_at(
    reader: &ChunkReader,
    pack: &IndexedPack,
    is_stored: bool,
) -> Result<(u64, Option<BrokenPack>), RepoError> {
    let mut buffers = VerifyBuffers::new();
    let reference = pack.reference();
    let verdict = verify_pack(reader, reference, pack, &mut buffers)?;
    if verdict.problems.is_empty() {
        return Ok((verdict.stored_bytes, None));
    }
    let sound = match reader.repository.store.read(&reference.key(), PACK_BYTES_MAX) {
        Ok(bytes) => sound_blocks(reader, pack, &bytes, &mut buffers)?,
        // It was said with the other problems.
        Err(_unreadable) => Vec::new(),
    };
    let (indexed, problems) = (pack.clone(), verdict.problems);
    Ok((verdict.stored_bytes, Some(BrokenPack { indexed, is_stored, problems, sound })))
}

impl Found {
    /// Finds out which chunks other packs have, and which nobody has.
    fn weigh(&mut self, reader: &ChunkReader) {
        let broken: HashSet<PackRef> =
            self.broken.iter().map(|pack| pack.indexed.reference()).collect();
        let has_sound_copy = |(id, kind): &(ChunkId, PackKind)| {
            reader.index.find_all(id).into_iter().any(|place| {
                let Some((run, block)) = reader.index.block(place.block) else { return false };
                let pack = run.packs().get(crate::units::to_usize32(block.pack));
                pack.is_some_and(|pack| {
                    pack.header.kind == *kind && !broken.contains(&pack.reference())
                })
            })
        };
        let all: HashSet<(ChunkId, PackKind)> =
            self.broken.iter().flat_map(BrokenPack::chunks).collect();
        let salvageable: HashSet<(ChunkId, PackKind)> = self
            .broken
            .iter()
            .flat_map(|pack| pack.sound.iter().flat_map(|number| pack.chunks_of(*number)))
            .collect();
        for chunk in all {
            if has_sound_copy(&chunk) {
                self.elsewhere.insert(chunk);
            } else if !salvageable.contains(&chunk) {
                self.lost.insert(chunk);
            }
        }
    }
}

/// Stores what is good of the packs that were found, once they are recorded as damaged.
///
/// Errors: whatever keeps a session from being committed; nothing counts then.
pub(crate) fn salvage(
    reader: &ChunkReader,
    found: &Found,
    watch: &dyn Watch,
) -> Result<Salvaged, RepoError> {
    let repository = &reader.repository;
    // First, so that neither this session nor a later one relies on what they hold.
    let stored = found.broken.iter().filter(|pack| pack.is_stored);
    let damaged: BTreeSet<PackId> = stored.map(|pack| pack.indexed.id).collect();
    note_damaged(repository, &damaged)?;
    if found.broken.iter().all(|pack| found.wanted(pack).next().is_none()) {
        return Ok(Salvaged::default());
    }
    let store = ChunkStore::new(WriterSession::open(repository, "")?)?;
    let stored = copy_blocks(reader, found, &store, watch);
    let committed = stored.and_then(|salvaged| commit(&store).map(|()| salvaged));
    if committed.is_err() {
        store.abandon();
    }
    committed
}

fn copy_blocks(
    reader: &ChunkReader,
    found: &Found,
    store: &ChunkStore,
    watch: &dyn Watch,
) -> Result<Salvaged, RepoError> {
    let mut salvaged = Salvaged::default();
    let mut plain: HashSet<ChunkId> = HashSet::new();
    let index = store.index();
    // Deltas last: they may rely on what is stored again, too.
    for deltas in [false, true] {
        for pack in &found.broken {
            if watch.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let mut wanted = found.wanted(pack).filter(|number| pack.is_delta(*number) == deltas);
            let Some(first) = wanted.next() else { continue };
            let key = pack.indexed.reference().key();
            let bytes = reader.repository.store.read(&key, PACK_BYTES_MAX)?;
            // Again: what a failing disk gives may be something else every time.
            let sound = sound_blocks(reader, &pack.indexed, &bytes, &mut VerifyBuffers::new())?;
            for number in std::iter::once(first).chain(wanted) {
                store.beat()?;
                let block = &pack.indexed.blocks[number];
                let has_bases = match &block.codec {
                    BlockCodec::Delta { bases } => bases
                        .iter()
                        .all(|base| plain.contains(base) || index.find_plain(base).is_some()),
                    BlockCodec::Raw | BlockCodec::Zstd => true,
                };
                if !has_bases || !sound.contains(&number) {
                    continue;
                }
                if !copy_block(store, &pack.indexed, number, &bytes)? {
                    continue;
                }
                salvaged.blocks += 1;
                salvaged.bytes += u64::from(block.stored_length);
                if !deltas {
                    plain.extend(block.chunks.iter().map(|chunk| chunk.id));
                }
            }
        }
    }
    Ok(salvaged)
}

/// Copies a block; says whether its bytes are there.
fn copy_block(
    store: &ChunkStore,
    pack: &IndexedPack,
    number: usize,
    bytes: &[u8],
) -> Result<bool, RepoError> {
    let before = &pack.blocks[..number];
    let start = u64::from(pack.header_length)
        + before.iter().map(|block| u64::from(block.stored_length)).sum::<u64>();
    let end = start + u64::from(pack.blocks[number].stored_length);
    let Some(stored) = bytes.get(to_usize(start)..to_usize(end)) else { return Ok(false) };
    let entry = foreign_entry(pack, to_u32(number)).ok_or(RepoError::WorkerLost)?;
    store.write_sealed(pack.header.kind, &entry, stored)?;
    Ok(true)
}
