//! What a run has copied, from the names of one repository to those of the other, in bounded memory.

use crate::format::content::Content;
use crate::format::tree::DirectoryEntry;
use crate::id::ChunkId;
use std::collections::HashMap;
use std::hash::Hash;

/// What a run knows of both repositories.
///
/// What is no longer remembered is read again and named again, and then found stored.
#[derive(Debug)]
pub(crate) struct Known {
    chunks: Recent<ChunkId, NamedChunk>,
    /// Top nodes of directories, with their heights.
    directories: Recent<(ChunkId, u8), DirectoryEntry>,
    /// Top nodes of lists of extents, with their heights.
    lists: Recent<(ChunkId, u8), Content>,
    epoch: u64,
}

/// A chunk as the other repository names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedChunk {
    pub(crate) id: ChunkId,
    pub(crate) length: u32,
}

impl Known {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self {
            chunks: Recent::new(CHUNKS_COUNT),
            directories: Recent::new(DIRECTORIES_COUNT),
            lists: Recent::new(LISTS_COUNT),
            epoch: 0,
        }
    }

    /// A session of this epoch begins.
    ///
    /// That a node is stored says nothing about what it names, unless no plan was made since that
    /// was seen: a collection may condemn the pack of a chunk and not that of the node.
    pub(crate) fn begin(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.forget_trees();
        }
        self.epoch = epoch;
    }

    /// What nodes name may no longer be there. Of chunks the index can be asked.
    pub(crate) fn forget_trees(&mut self) {
        self.directories.clear();
        self.lists.clear();
    }

    /// What a chunk is in the other repository; whether it is still there is not known.
    pub(crate) fn chunk(&mut self, id: &ChunkId) -> Option<NamedChunk> {
        self.chunks.find(id)
    }

    /// Notes what a chunk is in the other repository.
    pub(crate) fn note_chunk(&mut self, id: ChunkId, named: NamedChunk) {
        self.chunks.note(id, named);
    }

    /// What a directory is in the other repository.
    pub(crate) fn directory(&mut self, node: ChunkId, height: u8) -> Option<DirectoryEntry> {
        self.directories.find(&(node, height))
    }

    /// Notes what a directory is in the other repository.
    pub(crate) fn note_directory(&mut self, node: ChunkId, height: u8, copy: DirectoryEntry) {
        self.directories.note((node, height), copy);
    }

    /// What a list of extents is in the other repository.
    pub(crate) fn list(&mut self, node: ChunkId, height: u8) -> Option<Content> {
        self.lists.find(&(node, height))
    }

    /// Notes what a list of extents is in the other repository.
    pub(crate) fn note_list(&mut self, node: ChunkId, height: u8, copy: Content) {
        self.lists.note((node, height), copy);
    }
}

/// Remembers what was noted or found last: at least `count` entries, at most twice as many.
#[derive(Debug)]
struct Recent<Key, Value> {
    count: usize,
    young: HashMap<Key, Value>,
    old: HashMap<Key, Value>,
}

impl<Key: Copy + Eq + Hash, Value: Clone> Recent<Key, Value> {
    fn new(count: usize) -> Self {
        Self { count, young: HashMap::new(), old: HashMap::new() }
    }

    fn find(&mut self, key: &Key) -> Option<Value> {
        if let Some(found) = self.young.get(key) {
            return Some(found.clone());
        }
        let found = self.old.remove(key)?;
        self.note(*key, found.clone());
        Some(found)
    }

    fn note(&mut self, key: Key, value: Value) {
        if self.young.len() >= self.count {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn clear(&mut self) {
        self.young = HashMap::new();
        self.old = HashMap::new();
    }
}

/// As many as a table of 2^19 places takes: 36 MiB, and twice that in all; 28 GiB of files.
const CHUNKS_COUNT: usize = 458_752;
const DIRECTORIES_COUNT: usize = 65_536;
const LISTS_COUNT: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_remembered_and_no_more_than_that() {
        let mut recent = Recent::new(10);
        for number in 0..1000_u32 {
            recent.note(number, number);
            assert_eq!(recent.find(&0), Some(0), "used again and again");
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert!((995..1000).all(|number| recent.find(&number) == Some(number)));
        assert_eq!(recent.find(&500), None);
    }

    #[test]
    fn nodes_are_known_within_one_epoch() {
        let (mut known, node) = (Known::new(), ChunkId::new([1; 32]));
        let chunk = NamedChunk { id: node, length: 3 };
        known.begin(4);
        known.note_chunk(node, chunk);
        known.note_list(node, 0, Content::Inline(Vec::new()));
        known.begin(4);
        assert!(known.list(node, 0).is_some());
        known.begin(5);
        assert!(known.list(node, 0).is_none());
        assert_eq!(known.chunk(&node), Some(chunk));
    }
}
