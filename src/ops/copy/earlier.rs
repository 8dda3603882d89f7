//! A snapshot that was copied before, in both repositories side by side: what the next snapshot has
//! in common with it is taken from its copy unread.

use crate::format::content::Extent;
use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::commit::StoredTree;
use crate::ops::copy::known::Known;
use crate::ops::copy::known::NamedChunk;
use crate::ops::snapshot::parent::Level;
use crate::ops::snapshot::parent::is_stored;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;
use crate::repo::write::ChunkStore;

/// A snapshot and its copy, which this client made and signed.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) source: String,
    /// The time of its data.
    pub(crate) time: (i64, u32),
    pub(crate) origin: SnapshotId,
    pub(crate) copy: SnapshotId,
    pub(crate) tree: StoredTree,
}

/// The pair that a snapshot is compared with, and the top of its original's tree.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    pub(crate) pair: Pair,
    root: (ChunkId, u8),
}

impl Earlier {
    /// The pair whose data is the nearest before `time`, else the oldest; of those that count in
    /// both repositories and can be read.
    pub(crate) fn find(
        pairs: &[Pair],
        source_name: &str,
        time: (i64, u32),
        source: (&Repository, &[LiveSnapshot]),
        target: &History,
    ) -> Option<Self> {
        let (repository, lives) = source;
        let counts = |pair: &&Pair| {
            pair.source == source_name
                && target.snapshots.iter().any(|live| live.snapshot == pair.copy)
        };
        // Of pairs of one time, the one that was copied last is the nearest.
        let mut found: Vec<&Pair> = pairs.iter().rev().filter(counts).collect();
        found.sort_by_key(|pair| (pair.time > time, std::cmp::Reverse(pair.time)));
        found.into_iter().take(TRIED_COUNT).find_map(|pair| {
            let live = lives.iter().find(|live| live.snapshot == pair.origin)?;
            let root = live.manifest(repository).ok()?.root()?;
            Some(Self { pair: pair.clone(), root })
        })
    }

    /// The copy's tree, if a snapshot with this root has the same.
    pub(crate) fn same_tree(&self, root: (ChunkId, u8)) -> Option<StoredTree> {
        (self.root == root).then_some(self.pair.tree)
    }

    /// A cursor over both trees.
    pub(crate) fn cursor<'a>(
        &self,
        source: &'a ChunkReader,
        target: &'a ChunkReader,
    ) -> EarlierCursor<'a> {
        let (node, height) = self.root;
        let original = Level::new(Entries::of_node(source, node, height));
        let StoredTree { node, height, totals: _ } = self.pair.tree;
        let copy = Level::new(Entries::of_node(target, node, height));
        EarlierCursor { source, target, levels: vec![Some((original, copy))] }
    }
}

/// Walks both trees beside the one that is being copied.
#[derive(Debug)]
pub(crate) struct EarlierCursor<'a> {
    source: &'a ChunkReader,
    target: &'a ChunkReader,
    levels: Vec<Option<(Level<'a>, Level<'a>)>>,
}

/// What both trees have under one name.
#[derive(Debug, Clone)]
pub(crate) struct Both {
    original: EntryKind,
    copy: EntryKind,
}

impl EarlierCursor<'_> {
    /// What both have under the next name of the directory that is open.
    pub(crate) fn find(&mut self, name: &[u8]) -> Option<Both> {
        let (originals, copies) = self.levels.last_mut()?.as_mut()?;
        let (original, copy) = (originals.find(name), copies.find(name));
        Some(Both { original: original?.entry.node, copy: copy?.entry.node })
    }

    /// Goes down into a directory, which neither may have.
    pub(crate) fn enter(&mut self, both: Option<&Both>) {
        let levels = both.and_then(|both| match (&both.original, &both.copy) {
            (EntryKind::Directory(original), EntryKind::Directory(copy)) => {
                let original = Entries::of_listing(self.source, &original.listing).ok()?;
                let copy = Entries::of_listing(self.target, &copy.listing).ok()?;
                Some((Level::new(original), Level::new(copy)))
            }
            _other => None,
        });
        self.levels.push(levels);
    }

    /// Goes up again.
    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    /// The copy of a file, if it was the same and everything that it names is there.
    pub(crate) fn file(
        &self,
        both: &Both,
        file: &FileEntry,
        store: &ChunkStore,
    ) -> Option<FileEntry> {
        match (&both.original, &both.copy) {
            (EntryKind::File(original), EntryKind::File(copy))
                if original == file
                    && copy.size == file.size
                    && copy.digest == file.digest
                    && is_stored(self.target, store, &copy.content) =>
            {
                Some(copy.clone())
            }
            _other => None,
        }
    }

    /// Notes what the chunks of a file that changed are in the copy; what cannot be read is read
    /// anew where it is wanted.
    pub(crate) fn note_chunks(&self, both: &Both, known: &mut Known) {
        let (EntryKind::File(original), EntryKind::File(copy)) = (&both.original, &both.copy)
        else {
            return;
        };
        let mut extents = Vec::new();
        let gathered = visit_extents(self.source, &original.content, &mut |extent| {
            if extents.len() >= EXTENTS_COUNT_MAX {
                return Err(RepoError::Interrupted);
            }
            extents.push(extent);
            Ok(())
        });
        if gathered.is_err() {
            return;
        }
        let mut originals = extents.into_iter();
        let _as_far_as_they_agree = visit_extents(
            self.target,
            &copy.content,
            &mut |extent| match (originals.next(), extent) {
                (
                    Some(Extent::Chunk { id: original, length }),
                    Extent::Chunk { id, length: same },
                ) if length == same => {
                    known.note_chunk(original, NamedChunk { id, length });
                    Ok(())
                }
                (Some(Extent::Hole { length }), Extent::Hole { length: same })
                    if length == same =>
                {
                    Ok(())
                }
                _other => Err(RepoError::Interrupted),
            },
        );
    }
}

impl Both {
    /// The copy of a directory that was the same; what it names is there unless packs are missing.
    pub(crate) fn directory(&self, directory: &DirectoryEntry) -> Option<&DirectoryEntry> {
        match (&self.original, &self.copy) {
            (EntryKind::Directory(original), EntryKind::Directory(copy))
                if original == directory && copy.totals == directory.totals =>
            {
                Some(copy)
            }
            _other => None,
        }
    }
}

/// Extents of a file whose chunks are noted, 40 bytes each; a longer file is read anew.
const EXTENTS_COUNT_MAX: usize = 458_752;
/// How many manifests are read to find one that can be.
const TRIED_COUNT: usize = 4;
