//! The stages of a backup one by one, for benchmarks: cut, name, compress, seal, look up.
//! Invariant: each function does what the stage does and nothing else that takes time.

use crate::chunk::Chunker;
use crate::chunk::params_for_average;
use crate::compress::Compressor;
use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::blake3;
use crate::crypto::secret::Secret;
use crate::format::block::BlockCodec;
use crate::format::block::BlockEntry;
use crate::format::block::ChunkEntry;
use crate::format::index::IndexedPack;
use crate::format::pack::PackHeader;
use crate::format::pack::PackKind;
use crate::format::pack::Wrap;
use crate::format::pack::WrappedKey;
use crate::id::ChunkId;
use crate::id::ClientId;
use crate::id::PackId;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::id::SessionId;
use crate::id::Sha256;
use crate::repo::index::bytes::RunBytes;
use crate::repo::index::run::Run;
use crate::repo::write::block::BlockDraft;
use crate::repo::write::block::BlockPlace;
use crate::repo::write::block::Scratch;
use crate::repo::write::block::reads_back;
use crate::repo::write::block::seal;
use crate::testing::fuzz_decode::gear_table;
use crate::units::to_u32;
use crate::units::to_usize32;

/// Cuts content with a profile of this average; returns how many chunks it has.
pub fn cut(content: &[u8], average_bytes: u32) -> usize {
    let chunker = Chunker::new(params_for_average(average_bytes), &gear_table(&[7; 32]));
    let mut rest = content;
    let mut count = 0;
    while !rest.is_empty() {
        let length = chunker.next_length(rest).max(1);
        rest = rest.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Names pieces of content; returns how many names begin with a zero, so that each is made.
pub fn name(content: &[u8], chunk_bytes: usize) -> usize {
    let namer = ChunkNamer::new(Secret::new([1; 32]));
    let all = content.chunks(chunk_bytes).map(|chunk| namer.name(chunk));
    all.filter(|name| name.as_bytes().starts_with(&[0])).count()
}

/// What sealing a block also does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readback {
    /// Opens, decompresses and names it again, as a writer does.
    Yes,
    /// Nothing.
    No,
}

/// Turns content into sealed blocks of `block_bytes`; returns their stored length.
///
/// # Panics
///
/// If a block does not read back.
pub fn seal_blocks(content: &[u8], block_bytes: u32, level: i32, readback: Readback) -> usize {
    let namer = ChunkNamer::new(Secret::new([1; 32]));
    let key = Secret::new([2; 32]);
    let mut compressor = Compressor::new(level);
    let mut scratch = Scratch::new();
    let mut draft = BlockDraft::new(block_bytes);
    let mut sealed = Vec::new();
    let mut stored = 0;
    for (number, plaintext) in (0..).zip(content.chunks(to_usize32(block_bytes))) {
        draft.push(namer.name(plaintext), plaintext);
        let block = draft.compress(&mut compressor);
        let repository = RepoId::new([3; 16]);
        let pack_uid = PackUid::new([4; 16]);
        let place = BlockPlace { repository, pack_kind: 1, pack_uid, key: &key, number };
        seal(place, &block.encoded, &mut sealed);
        if readback == Readback::Yes {
            let reads = reads_back(place, &block.entry, &sealed, &[], &namer, &mut scratch);
            assert!(reads, "block {number} does not read back");
        }
        stored += sealed.len();
        draft.clear(block);
    }
    stored
}

/// An index of chunks with made-up names.
#[derive(Debug)]
pub struct BenchIndex(Run);

impl BenchIndex {
    /// An index of `chunk_count` chunks, 64 a block, in packs of 4096.
    ///
    /// # Panics
    ///
    /// If what was made does not open.
    pub fn new(chunk_count: u32) -> Self {
        let numbers: Vec<u32> = (0..chunk_count).collect();
        let packs: Vec<IndexedPack> = (0..).zip(numbers.chunks(4096)).map(pack_of).collect();
        let repository = RepoId::new([3; 16]);
        let bytes = Run::build(repository, &[], packs.into_iter().map(|pack| (0, pack)).collect());
        #[expect(clippy::expect_used, reason = "made one line above")]
        let run = Run::open(repository, RunBytes::Memory(bytes)).expect("a run opens");
        Self(run)
    }

    /// Whether the chunk with this number is listed; numbers from the count on are not.
    pub fn contains(&self, number: u32) -> bool {
        self.0.find(&made_up_name(number)).is_some()
    }
}

fn pack_of((sequence, numbers): (u32, &[u32])) -> IndexedPack {
    let key = WrappedKey {
        generation: 1,
        commitment: [0; 32],
        wrap: Wrap::Symmetric { nonce: [0; 24], sealed: [0; 48] },
    };
    let pack_uid = PackUid::new([4; 16]);
    let header = PackHeader { kind: PackKind::Data, pack_uid, key, directory_generation: 1 };
    let blocks: Vec<BlockEntry> = numbers.chunks(64).map(block_of).collect();
    let header_length = to_u32(header.encode().len());
    let stored: u64 = blocks.iter().map(|block| u64::from(block.stored_length)).sum();
    IndexedPack {
        client: ClientId::new([5; 16]),
        epoch: 0,
        session: SessionId::new([6; 16]),
        sequence,
        id: PackId::new(*made_up_name(sequence).as_bytes()),
        sha256: Sha256::new([0; 32]),
        length: u64::from(header_length) + stored + 1000,
        header,
        header_length,
        blocks,
    }
}

fn block_of(numbers: &[u32]) -> BlockEntry {
    let chunks: Vec<ChunkEntry> = numbers
        .iter()
        .map(|number| ChunkEntry { id: made_up_name(*number), length: 16_384 })
        .collect();
    let raw_length = to_u32(chunks.len()) * 16_384;
    BlockEntry {
        stored_length: raw_length / 2,
        raw_length,
        codec: BlockCodec::Zstd,
        origin: None,
        chunks,
    }
}

/// Names are hashes, so that they are spread as real ones are.
fn made_up_name(number: u32) -> ChunkId {
    ChunkId::new(blake3(&number.to_le_bytes()))
}
