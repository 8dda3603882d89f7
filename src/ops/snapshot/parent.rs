//! The snapshot before: files that did not change since are taken from it unread.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::dump::StatedStream;
use crate::format::manifest::StatedTotals;
use crate::format::tree::EntryKind;
use crate::format::tree::Timestamp;
use crate::id::SnapshotId;
use crate::localfs::FileKind;
use crate::localfs::Stat;
use crate::ops::snapshot::delta::predecessor::Predecessor;
use crate::ops::words::parse_time;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use crate::repo::write::ChunkStore;

/// The newest snapshot of a source.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) snapshot: SnapshotId,
    /// What it held: about what the next one will.
    pub(crate) totals: StatedTotals,
    /// What it stated of its streams.
    pub(crate) streams: Vec<StatedStream>,
    root: crate::id::ChunkId,
    height: u8,
    /// Files that changed at or after this time may have changed behind its back.
    trusted_before: Timestamp,
}

impl Parent {
    /// The newest snapshot of files of this source; `None` if there is none that can be read.
    pub(crate) fn find(repository: &Repository, history: &History, source: &str) -> Option<Self> {
        let rank = |live: &&LiveSnapshot| (live.client == repository.keys.client, live.received);
        let of_source = history.snapshots.iter().filter(|live| live.source == source);
        let newest = of_source.clone().map(|live| rank(&live)).max()?;
        // Several may have been received within one second: what they say of their own time decides.
        let read = |live: &LiveSnapshot| {
            let manifest = live.manifest(repository).ok()?;
            let finished = parse_time(&manifest.predicate.times.finished)?;
            Some((finished, live.clone(), manifest))
        };
        let tied = of_source.filter(|live| rank(live) == newest).filter_map(read);
        let (_finished, live, manifest) = tied.max_by_key(|(finished, _, _)| *finished)?;
        let (root, height) = manifest.root()?;
        let started = parse_time(&manifest.predicate.times.started)?;
        let trusted_before = before(started);
        let totals = manifest.predicate.totals;
        let streams = manifest.predicate.streams;
        Some(Self { snapshot: live.snapshot, totals, streams, root, height, trusted_before })
    }

    /// A cursor over its tree.
    pub(crate) fn cursor<'a>(&self, reader: &'a ChunkReader) -> ParentCursor<'a> {
        let top = Level::new(Entries::of_node(reader, self.root, self.height));
        ParentCursor { reader, levels: vec![Some(top)], trusted_before: self.trusted_before }
    }
}

/// Walks the parent's tree beside the walk of the files.
#[derive(Debug)]
pub(crate) struct ParentCursor<'a> {
    reader: &'a ChunkReader,
    levels: Vec<Option<Level<'a>>>,
    trusted_before: Timestamp,
}

/// A directory of a tree, in which names are looked for in their order.
#[derive(Debug)]
pub(crate) struct Level<'a> {
    entries: Entries<'a>,
    next: Option<OwnedEntry>,
    /// The last large file that was passed.
    passed: Option<OwnedEntry>,
}

impl<'a> Level<'a> {
    /// A directory of these entries.
    pub(crate) fn new(entries: Entries<'a>) -> Self {
        let mut level = Self { entries, next: None, passed: None };
        level.advance();
        level
    }

    /// A node that cannot be read has no entries: its files are read again, which heals it.
    fn advance(&mut self) {
        self.next = self.entries.by_ref().find_map(Result::ok);
    }

    /// The entry of this name; names that are looked for must rise.
    pub(crate) fn find(&mut self, name: &[u8]) -> Option<OwnedEntry> {
        while self.next.as_ref().is_some_and(|next| next.entry.name.as_slice() < name) {
            self.pass();
        }
        let found = self.next.as_ref().is_some_and(|next| next.entry.name == name);
        if !found {
            return None;
        }
        let entry = self.next.take();
        if entry.as_ref().is_some_and(is_large) {
            self.passed.clone_from(&entry);
        }
        self.advance();
        entry
    }

    fn pass(&mut self) {
        if let Some(large) = self.next.take().filter(is_large) {
            self.passed = Some(large);
        }
        self.advance();
    }

    /// The file before a name that was looked for last and is not here, if their names differ in
    /// nothing but numbers: the dump of yesterday, of which today's has another date in its name.
    fn dated_like(&self, name: &[u8]) -> Option<&OwnedEntry> {
        self.passed.as_ref().filter(|passed| is_same_but_for_numbers(&passed.entry.name, name))
    }
}

impl<'a> ParentCursor<'a> {
    /// The older version of a file of this name in the directory that is open.
    pub(crate) fn predecessor(&mut self, name: &[u8]) -> Option<Predecessor<'a>> {
        let found = self.find(name)?;
        self.predecessor_of(&found)
    }

    /// What a file held that changed.
    pub(crate) fn predecessor_of(&self, found: &OwnedEntry) -> Option<Predecessor<'a>> {
        let file = found.entry.node.file()?;
        Some(Predecessor::new(self.reader, &file.content))
    }

    /// What the file held that had another date in its name than one that was looked for last and is
    /// not here.
    pub(crate) fn predecessor_of_dated(&self, name: &[u8]) -> Option<Predecessor<'a>> {
        let dated = self.levels.last()?.as_ref()?.dated_like(name)?;
        let mut predecessor = self.predecessor_of(dated)?;
        // Pictures have dates in their names, too, and nothing in common with each other.
        predecessor.compresses(self.reader).then_some(predecessor)
    }
}

impl ParentCursor<'_> {
    /// Whether everything is stored that a content of the parent names.
    pub(crate) fn is_stored(&self, store: &ChunkStore, content: &Content) -> bool {
        is_stored(self.reader, store, content)
    }

    /// The parent's entry of this name in the directory that is open.
    pub(crate) fn find(&mut self, name: &[u8]) -> Option<OwnedEntry> {
        self.levels.last_mut()?.as_mut()?.find(name)
    }

    /// Goes down into a directory, which the parent may not have.
    pub(crate) fn enter(&mut self, found: Option<&OwnedEntry>) {
        let level = found.and_then(|found| match &found.entry.node {
            EntryKind::Directory(directory) => {
                Entries::of_listing(self.reader, &directory.listing).ok().map(Level::new)
            }
            EntryKind::File(_)
            | EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => None,
        });
        self.levels.push(level);
    }

    /// Goes up again.
    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether the inode is as it was: its content, target and attributes need no reading.
    pub(crate) fn is_unchanged(&self, found: &OwnedEntry, stat: &Stat) -> bool {
        let metadata = &found.entry.metadata;
        let same_kind = match &found.entry.node {
            EntryKind::File(file) => stat.kind == FileKind::File && file.size == stat.size,
            EntryKind::Directory(_) => stat.kind == FileKind::Directory,
            EntryKind::Symlink { .. } => stat.kind == FileKind::Symlink,
            EntryKind::Fifo => stat.kind == FileKind::Fifo,
            EntryKind::Socket => stat.kind == FileKind::Socket,
            EntryKind::CharacterDevice(_) => stat.kind == FileKind::CharacterDevice,
            EntryKind::BlockDevice(_) => stat.kind == FileKind::BlockDevice,
        };
        // The device's number may change from boot to boot, so it does not count.
        same_kind
            && metadata.inode.inode == stat.inode.inode
            && metadata.modified == stat.modified
            && metadata.changed == stat.changed
            && stat.changed < self.trusted_before
    }
}

/// Whether everything is stored that a committed content names.
///
/// Where all packs are whole, whatever names a chunk was committed with it. Only where some are
/// not, the lists of long contents are read.
pub(crate) fn is_stored(reader: &ChunkReader, store: &ChunkStore, content: &Content) -> bool {
    if let Content::List { node, .. } = content
        && !reader.index.has_gaps()
    {
        return store.knows(node);
    }
    let visited = visit_extents(reader, content, &mut |extent| match extent {
        Extent::Chunk { id, .. } if !store.knows(&id) => Err(RepoError::UnknownChunk { chunk: id }),
        Extent::Chunk { .. } | Extent::Hole { .. } => Ok(()),
    });
    visited.is_ok()
}

/// The time before which a file can be trusted that a run looked at which began then.
///
/// A file that changes twice within one tick of the file system's clock has one time for both.
pub(crate) fn before((seconds, nanoseconds): (i64, u32)) -> Timestamp {
    match nanoseconds.checked_sub(CLOCK_TICK_NANOSECONDS) {
        Some(nanoseconds) => Timestamp { seconds, nanoseconds },
        None => Timestamp {
            seconds: seconds - 1,
            nanoseconds: nanoseconds + 1_000_000_000 - CLOCK_TICK_NANOSECONDS,
        },
    }
}

fn is_large(entry: &OwnedEntry) -> bool {
    entry.entry.node.file().is_some_and(|file| file.size > DELTA_BYTES_MIN)
}

fn is_same_but_for_numbers(one: &[u8], other: &[u8]) -> bool {
    words(one).eq(words(other))
}

/// A name without its digits, in the pieces that they leave.
fn words(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(u8::is_ascii_digit).filter(|part| !part.is_empty())
}

/// Larger files whose older version is known become deltas, if they may.
pub(crate) const DELTA_BYTES_MIN: u64 = crate::units::MIB;
const CLOCK_TICK_NANOSECONDS: u32 = 20_000_000;
