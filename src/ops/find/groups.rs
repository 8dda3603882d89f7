//! What was found: an entry that stays the same through snapshots is one group.

use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::InodeNumber;
use crate::format::tree::Listing;
use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::format::tree::Timestamp;
use crate::format::tree::Totals;
use crate::ops::error::OpError;
use crate::ops::look::ListedEntry;
use crate::ops::words::path_words;
use crate::repo::tree::reader::OwnedEntry;
use std::collections::HashMap;

/// An entry and the snapshots that have it, as it is.
///
/// Snapshots are numbers of [`crate::ops::find::FindReport::snapshots`]. An entry stays the same as
/// long as its kind, content and everything that a restore sets do; of a directory, what is in it
/// does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundEntry {
    /// The oldest snapshot that has it.
    pub first: usize,
    /// The newest one.
    pub last: usize,
    /// How many have it.
    pub count: usize,
    pub(crate) path: Vec<u8>,
    kind: EntryKind,
    metadata: Metadata,
    owner: Owner,
}

impl FoundEntry {
    /// The entry as `ls` shows it.
    pub fn listed(&self) -> ListedEntry<'_> {
        let path = format!("/{}", path_words(&self.path));
        ListedEntry { path, kind: &self.kind, metadata: &self.metadata, owner: self.owner.clone() }
    }

    fn new(snapshot: usize, path: Vec<u8>, found: &OwnedEntry) -> Self {
        let nowhere = InodeNumber { device: 0, inode: 0 };
        let kind = match &found.entry.node {
            EntryKind::Directory(_) => EntryKind::Directory(DirectoryEntry {
                listing: Listing::Inline(Vec::new()),
                totals: Totals::default(),
            }),
            EntryKind::File(_)
            | EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => found.entry.node.clone(),
        };
        // What a restore cannot set: it changes without anybody changing the entry.
        let metadata = Metadata {
            owner: 0,
            changed: Timestamp::default(),
            born: None,
            inode: nowhere,
            links: 0,
            ..found.entry.metadata.clone()
        };
        let owner = found.owner();
        Self { first: snapshot, last: snapshot, count: 1, path, kind, metadata, owner }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.metadata == other.metadata && self.owner == other.owner
    }

    fn touch(&mut self, snapshot: usize) {
        if self.last != snapshot {
            self.last = snapshot;
            self.count += 1;
        }
    }
}

/// The groups of all sources.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) all: Vec<FoundEntry>,
    /// Of the source that is searched, by path.
    by_path: HashMap<Vec<u8>, Vec<usize>>,
}

impl Groups {
    /// What follows is of another source.
    pub(crate) fn begin_source(&mut self) {
        self.by_path.clear();
    }

    /// Notes that a snapshot has an entry; returns the number of its group.
    pub(crate) fn add(
        &mut self,
        snapshot: usize,
        path: &[u8],
        found: &OwnedEntry,
    ) -> Result<usize, OpError> {
        let new = FoundEntry::new(snapshot, path.to_vec(), found);
        let of_path = self.by_path.entry(new.path.clone()).or_default();
        for number in of_path.iter() {
            if let Some(group) = self.all.get_mut(*number).filter(|group| group.is_same(&new)) {
                group.touch(snapshot);
                return Ok(*number);
            }
        }
        if self.all.len() >= FOUND_COUNT_MAX {
            let why = format!(
                "more than {FOUND_COUNT_MAX} entries are found; look for less, or in fewer snapshots"
            );
            return Err(OpError::Usage { why });
        }
        of_path.push(self.all.len());
        self.all.push(new);
        Ok(self.all.len() - 1)
    }

    /// Notes that a snapshot has a group's entry.
    pub(crate) fn touch(&mut self, number: usize, snapshot: usize) {
        if let Some(group) = self.all.get_mut(number) {
            group.touch(snapshot);
        }
    }
}

/// Most entries that are found: they are held in memory until the last snapshot is searched.
const FOUND_COUNT_MAX: usize = 1_000_000;
