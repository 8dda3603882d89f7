//! What this host keeps of a source whose tree it cannot read.

use crate::format::tree::FileEntry;
use crate::format::tree::Timestamp;
use crate::id::SnapshotId;
use crate::localfs::Stat;
use crate::localfs::walk::WalkEntry;
use crate::ops::snapshot::parent::before;
use crate::repo::file_memory::FileMemory;
use crate::repo::file_memory::KnownFile;
use crate::repo::file_memory::NewFileMemory;
use crate::repo::history::History;
use crate::repo::repository::Repository;

/// The memory of the snapshot before, and what the next one will have.
#[derive(Debug, Default)]
pub(crate) struct HostMemory {
    known: Option<FileMemory>,
    trusted_before: Option<Timestamp>,
    next: Option<NewFileMemory>,
}

/// A file that the memory knows.
#[derive(Debug)]
pub(crate) enum Remembered {
    /// It is as it was.
    Unchanged(FileEntry),
    /// It is not.
    Changed,
}

impl HostMemory {
    /// The memory of a source; it counts only while its snapshot does, since then everything is
    /// stored that it names.
    pub(crate) fn open(repository: &Repository, history: &History, source: &str) -> Self {
        let is_live = |memory: &FileMemory| {
            history.snapshots.iter().any(|live| live.snapshot == memory.snapshot)
        };
        let known = FileMemory::load(repository, source).filter(is_live);
        let started = known.as_ref().map(|known| known.started);
        let trusted_before = started.map(|at| before((at.seconds, at.nanoseconds)));
        Self { known, trusted_before, next: None }
    }

    /// The same, and what is found is kept for the next run.
    pub(crate) fn begin(repository: &Repository, history: &History, source: &str) -> Self {
        let next = NewFileMemory::begin(repository, source);
        Self { next, ..Self::open(repository, history, source) }
    }

    /// What is known of a file.
    pub(crate) fn find(&self, entry: &WalkEntry) -> Option<Remembered> {
        let found = self.known.as_ref()?.find(&entry.path_bytes())?;
        let KnownFile { inode, modified, changed, file } = found;
        let stat = entry.stat();
        let is_same = file.size == stat.size
            && inode == stat.inode.inode
            && modified == stat.modified
            && changed == stat.changed
            && self.trusted_before.is_some_and(|before| stat.changed < before);
        Some(if is_same { Remembered::Unchanged(file) } else { Remembered::Changed })
    }

    /// Keeps a file for the next run.
    pub(crate) fn push(&mut self, entry: &WalkEntry, stat: &Stat, file: &FileEntry) {
        let Some(next) = &mut self.next else { return };
        let (inode, modified, changed) = (stat.inode.inode, stat.modified, stat.changed);
        let known = KnownFile { inode, modified, changed, file: file.clone() };
        next.push(&entry.path_bytes(), &known);
    }

    /// Keeps it all: the snapshot counts.
    pub(crate) fn finish(self, snapshot: SnapshotId, (seconds, nanoseconds): (i64, u32)) {
        if let Some(next) = self.next {
            next.finish(snapshot, Timestamp { seconds, nanoseconds });
        }
    }
}
