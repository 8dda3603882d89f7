//! From the walk to a tree: entries keep their order while their contents are read out of order.

mod long;

use crate::chunk::Chunker;
use crate::format::pack::PackKind;
use crate::format::tree::EntryKind;
use crate::format::tree::ExtendedAttribute;
use crate::format::tree::FileEntry;
use crate::format::tree::InodeNumber;
use crate::format::tree::TreeEntry;
use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::attributes;
use crate::localfs::names::OwnerNames;
use crate::localfs::walk::Walk;
use crate::localfs::walk::WalkEntry;
use crate::localfs::walk::WalkEvent;
use crate::ops::commit::StoredTree;
use crate::ops::progress::Progress;
use crate::ops::snapshot::beside::Beside;
use crate::ops::snapshot::memory::HostMemory;
use crate::ops::snapshot::memory::Remembered;
use crate::ops::snapshot::pace::Pace;
use crate::ops::snapshot::parent::DELTA_BYTES_MIN;
use crate::ops::snapshot::parent::ParentCursor;
use crate::ops::snapshot::read::FileRead;
use crate::ops::snapshot::report::Tally;
use crate::ops::snapshot::workers::Done;
use crate::ops::snapshot::workers::Job;
use crate::ops::snapshot::workers::Workers;
use crate::repo::error::RepoError;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::tree::content::ContentBuilder;
use crate::repo::tree::reader::OwnedEntry;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use std::collections::HashMap;
use std::collections::VecDeque;

/// Builds the tree of one walk.
pub(crate) struct TreeRun<'a, 'scope> {
    pub(crate) store: &'a ChunkStore,
    pub(crate) workers: &'a Workers<'scope>,
    pub(crate) chunker: &'a Chunker,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) parent: Option<ParentCursor<'a>>,
    deltas: bool,
    memory: &'a mut HostMemory,
    pub(crate) pace: &'a Pace<'a>,
    pub(crate) tally: Tally,
    tree: ChunkWriter<'a>,
    names: OwnerNames,
    queue: VecDeque<Item>,
    batch: Vec<(u64, WalkEntry)>,
    batch_bytes: u64,
    next_ticket: u64,
    results: HashMap<u64, Result<Box<FileRead>, LocalError>>,
    linked: HashMap<InodeNumber, Option<(FileEntry, Vec<ExtendedAttribute>)>>,
    open: Vec<OpenDirectory>,
    top: DirectoryBuilder,
    beside: Beside,
    buffer: Vec<u8>,
}

enum Item {
    Enter {
        entry: WalkEntry,
        xattrs: Vec<ExtendedAttribute>,
    },
    Leave,
    Ready {
        name: Vec<u8>,
        stat: Stat,
        node: EntryKind,
        xattrs: Vec<ExtendedAttribute>,
    },
    Reading {
        entry: WalkEntry,
        ticket: u64,
    },
    /// Another name of an inode that stands earlier in the walk.
    Linked {
        entry: WalkEntry,
    },
}

struct OpenDirectory {
    name: Vec<u8>,
    stat: Stat,
    xattrs: Vec<ExtendedAttribute>,
    builder: DirectoryBuilder,
}

/// What a run is made of.
pub(crate) struct TreeRunParts<'a, 'scope> {
    pub(crate) store: &'a ChunkStore,
    pub(crate) workers: &'a Workers<'scope>,
    pub(crate) chunker: &'a Chunker,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) parent: Option<ParentCursor<'a>>,
    /// Whether files that changed become deltas.
    pub(crate) deltas: bool,
    pub(crate) memory: &'a mut HostMemory,
    pub(crate) pace: &'a Pace<'a>,
    pub(crate) beside: Beside,
}

impl<'a, 'scope> TreeRun<'a, 'scope> {
    /// Begins a run.
    pub(crate) fn new(parts: TreeRunParts<'a, 'scope>) -> Result<Self, RepoError> {
        let TreeRunParts {
            store,
            workers,
            chunker,
            progress,
            parent,
            deltas,
            memory,
            pace,
            beside,
        } = parts;
        Ok(Self {
            store,
            workers,
            chunker,
            progress,
            parent,
            deltas,
            memory,
            pace,
            tally: Tally::default(),
            tree: store.writer(PackKind::Tree)?,
            // Without names the numbers are kept.
            names: OwnerNames::load().unwrap_or_default(),
            queue: VecDeque::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            next_ticket: 0,
            results: HashMap::new(),
            linked: HashMap::new(),
            open: Vec::new(),
            top: DirectoryBuilder::default(),
            beside,
            buffer: Vec::new(),
        })
    }

    /// Walks everything and stores it.
    pub(crate) fn run(mut self, walk: Walk) -> Result<(StoredTree, Tally), RepoError> {
        for event in walk {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            self.take(event)?;
            self.assemble(Wait::IfFull)?;
            if self.pace.is_due()? {
                self.pause()?;
            }
        }
        self.send_batch()?;
        self.assemble(Wait::ForAll)?;
        self.beside.push_before(None, &mut self.top, &mut self.tree)?;
        let (node, height, totals) = self.top.finish_root(&mut self.tree)?;
        self.tree.flush()?;
        Ok((StoredTree { node, height, totals }, self.tally))
    }

    fn pause(&mut self) -> Result<(), RepoError> {
        self.send_batch()?;
        self.assemble(Wait::ForAll)?;
        self.tree.flush()?;
        self.workers.flush()?;
        self.pace.checkpoint()
    }

    fn take(&mut self, event: WalkEvent) -> Result<(), RepoError> {
        match event {
            WalkEvent::EnterDirectory(entry) => self.enter(entry),
            WalkEvent::LeaveDirectory => {
                if let Some(parent) = &mut self.parent {
                    parent.leave();
                }
                self.queue.push_back(Item::Leave);
            }
            // A source that is gone or closed is no snapshot without it.
            WalkEvent::Failed(failure) if failure.is_root => {
                let LocalError { path, call, source } = failure.error;
                let path = path.display().to_string();
                return Err(RepoError::Local { call, path, source });
            }
            WalkEvent::Failed(failure) => self.tally.skip(&failure.error, self.progress),
            WalkEvent::Entry(entry) => return self.entry(entry),
        }
        Ok(())
    }

    fn enter(&mut self, entry: WalkEntry) {
        let (found, unchanged) = self.find_in_parent(&entry);
        if let Some(parent) = &mut self.parent {
            parent.enter(found.as_ref());
        }
        let xattrs = match found {
            Some(found) if unchanged => found.entry.metadata.xattrs,
            Some(_) | None => self.xattrs_of(&entry),
        };
        self.queue.push_back(Item::Enter { entry, xattrs });
    }

    fn entry(&mut self, entry: WalkEntry) -> Result<(), RepoError> {
        let (found, unchanged) = self.find_in_parent(&entry);
        if entry.stat().kind == FileKind::File {
            return self.file(entry, found, unchanged);
        }
        if let Some(found) = found.filter(|_| unchanged) {
            let OwnedEntry { entry: TreeEntry { node, metadata, .. }, .. } = found;
            self.push_ready(&entry, node, metadata.xattrs);
            return Ok(());
        }
        let stat = *entry.stat();
        let node = match stat.kind {
            FileKind::Symlink => match attributes::symlink_target(&entry) {
                Ok(target) => EntryKind::Symlink { target },
                Err(error) => {
                    self.tally.skip(&error, self.progress);
                    return Ok(());
                }
            },
            FileKind::Fifo => EntryKind::Fifo,
            FileKind::Socket => EntryKind::Socket,
            FileKind::CharacterDevice => EntryKind::CharacterDevice(stat.device),
            FileKind::BlockDevice => EntryKind::BlockDevice(stat.device),
            FileKind::File | FileKind::Directory => return Ok(()),
        };
        let xattrs = self.xattrs_of(&entry);
        self.push_ready(&entry, node, xattrs);
        Ok(())
    }

    fn file(
        &mut self,
        entry: WalkEntry,
        found: Option<OwnedEntry>,
        unchanged: bool,
    ) -> Result<(), RepoError> {
        let size = entry.stat().size;
        let remembered = self.memory.find(&entry);
        let known = found.is_some() || remembered.is_some();
        if let Some(Remembered::Unchanged(file)) = remembered
            && self.parent.as_ref().is_some_and(|tree| tree.is_stored(self.store, &file.content))
        {
            self.tally.run.files_unchanged += 1;
            self.progress.advance(1, size);
            self.memory.push(&entry, entry.stat(), &file);
            let xattrs = self.xattrs_of(&entry);
            self.push_ready(&entry, EntryKind::File(file), xattrs);
            return Ok(());
        }
        let parent = self.parent.as_ref().filter(|_| self.deltas && size > DELTA_BYTES_MIN);
        let predecessor = parent.and_then(|parent| match &found {
            Some(found) => parent.predecessor_of(found),
            None => parent.predecessor_of_dated(entry.name()),
        });
        if let Some(OwnedEntry { entry: parent, .. }) = found.filter(|_| unchanged)
            && let EntryKind::File(file) = &parent.node
            && self.parent.as_ref().is_some_and(|tree| tree.is_stored(self.store, &file.content))
        {
            self.tally.run.files_unchanged += 1;
            self.progress.advance(1, size);
            self.push_ready(&entry, parent.node, parent.metadata.xattrs);
            return Ok(());
        }
        if known {
            self.tally.run.files_changed += 1;
        } else {
            self.tally.run.files_new += 1;
        }
        if entry.stat().links > 1 {
            if self.linked.contains_key(&entry.stat().inode) {
                self.progress.advance(1, 0);
                self.queue.push_back(Item::Linked { entry });
                return Ok(());
            }
            self.linked.insert(entry.stat().inode, None);
        }
        if size > LONG_BYTES_MIN || predecessor.is_some() {
            return self.long_file(&entry, predecessor);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.batch.push((ticket, entry.clone()));
        self.batch_bytes += size;
        self.queue.push_back(Item::Reading { entry, ticket });
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_COUNT {
            self.send_batch()?;
        }
        Ok(())
    }

    fn send_batch(&mut self) -> Result<(), RepoError> {
        let files = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if files.is_empty() || self.workers.jobs.send(Job::Files(files)).is_ok() {
            return Ok(());
        }
        // The workers ended: one of them said why.
        while let Ok(done) = self.workers.done.try_recv() {
            self.keep_result(done)?;
        }
        Err(RepoError::WorkerLost)
    }

    fn keep_result(&mut self, done: Done) -> Result<(), RepoError> {
        match done {
            Done::Failed(error) => Err(error),
            Done::File(ticket, read) => {
                self.results.insert(ticket, read);
                Ok(())
            }
        }
    }

    /// Moves items whose contents are known from the queue into the tree.
    fn assemble(&mut self, wait: Wait) -> Result<(), RepoError> {
        while let Ok(done) = self.workers.done.try_recv() {
            self.keep_result(done)?;
        }
        while let Some(item) = self.queue.front() {
            if let Item::Reading { ticket, .. } = item
                && !self.results.contains_key(ticket)
            {
                if wait == Wait::IfFull && self.queue.len() < QUEUE_COUNT_MAX {
                    return Ok(());
                }
                // The file may still be in the batch that is being gathered.
                self.send_batch()?;
                let done = self.workers.done.recv().map_err(|_closed| RepoError::WorkerLost)?;
                self.keep_result(done)?;
                continue;
            }
            if let Some(item) = self.queue.pop_front() {
                self.place(item)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, item: Item) -> Result<(), RepoError> {
        match item {
            Item::Enter { entry, xattrs } => {
                let (name, stat) = (entry.name().to_vec(), *entry.stat());
                let builder = DirectoryBuilder::default();
                self.open.push(OpenDirectory { name, stat, xattrs, builder });
                Ok(())
            }
            Item::Leave => {
                let Some(directory) = self.open.pop() else { return Ok(()) };
                let OpenDirectory { name, stat, xattrs, builder } = directory;
                let node = EntryKind::Directory(builder.finish(&mut self.tree)?);
                self.push(name, &stat, node, xattrs)
            }
            Item::Ready { name, stat, node, xattrs } => self.push(name, &stat, node, xattrs),
            Item::Linked { entry } => {
                let known = self.linked.get(&entry.stat().inode).cloned().flatten();
                let Some((file, xattrs)) = known else {
                    // Its first name could not be read, which was reported.
                    return Ok(());
                };
                let stat = Stat { size: file.size, ..*entry.stat() };
                self.memory.push(&entry, &stat, &file);
                self.push(entry.name().to_vec(), &stat, EntryKind::File(file), xattrs)
            }
            Item::Reading { entry, ticket } => match self.results.remove(&ticket) {
                Some(Ok(read)) => self.place_read(&entry, *read),
                Some(Err(error)) => {
                    self.tally.skip(&error, self.progress);
                    Ok(())
                }
                None => Err(RepoError::WorkerLost),
            },
        }
    }

    fn place_read(&mut self, entry: &WalkEntry, read: FileRead) -> Result<(), RepoError> {
        let FileRead { stat, extents, digest, sparse, changed, xattrs } = read;
        if changed {
            self.tally.changed(&entry.path_bytes(), self.progress);
        }
        self.tally.run.bytes_read += stat.size;
        let xattrs = match xattrs {
            Ok(xattrs) => xattrs,
            Err(error) => {
                self.tally.skip(&error, self.progress);
                Vec::new()
            }
        };
        let mut content = ContentBuilder::default();
        for extent in extents {
            content.push(&mut self.tree, extent)?;
        }
        let content = content.finish(&mut self.tree)?;
        let file = FileEntry { size: stat.size, content, digest, sparse };
        self.keep_linked(&stat, &file, &xattrs);
        self.memory.push(entry, &stat, &file);
        self.push(entry.name().to_vec(), &stat, EntryKind::File(file), xattrs)
    }

    fn keep_linked(&mut self, stat: &Stat, file: &FileEntry, xattrs: &[ExtendedAttribute]) {
        if let Some(place) = self.linked.get_mut(&stat.inode) {
            *place = Some((file.clone(), xattrs.to_vec()));
        }
    }

    fn push(
        &mut self,
        name: Vec<u8>,
        stat: &Stat,
        node: EntryKind,
        xattrs: Vec<ExtendedAttribute>,
    ) -> Result<(), RepoError> {
        if self.open.is_empty() {
            self.beside.push_before(Some(&name), &mut self.top, &mut self.tree)?;
        }
        let owner = self.names.owner(stat);
        let entry = TreeEntry { name, node, metadata: stat.metadata(0, xattrs) };
        let builder = match self.open.last_mut() {
            Some(directory) => &mut directory.builder,
            None => &mut self.top,
        };
        builder.push(&mut self.tree, entry, &owner)
    }

    fn push_ready(&mut self, entry: &WalkEntry, node: EntryKind, xattrs: Vec<ExtendedAttribute>) {
        let (name, stat) = (entry.name().to_vec(), *entry.stat());
        self.queue.push_back(Item::Ready { name, stat, node, xattrs });
    }

    fn find_in_parent(&mut self, entry: &WalkEntry) -> (Option<OwnedEntry>, bool) {
        let Some(parent) = &mut self.parent else { return (None, false) };
        let found = parent.find(entry.name());
        let unchanged =
            found.as_ref().is_some_and(|found| parent.is_unchanged(found, entry.stat()));
        (found, unchanged)
    }

    fn xattrs_of(&mut self, entry: &WalkEntry) -> Vec<ExtendedAttribute> {
        attributes::xattrs(entry).unwrap_or_else(|error| {
            self.tally.skip(&error, self.progress);
            Vec::new()
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Only if too much is waiting.
    IfFull,
    /// Until nothing waits.
    ForAll,
}

/// Files larger than this are read here and shared among all workers.
const LONG_BYTES_MIN: u64 = 16 * crate::units::MIB;
const BATCH_BYTES: u64 = 4 * crate::units::MIB;
const BATCH_COUNT: usize = 256;
/// Entries that wait for contents.
const QUEUE_COUNT_MAX: usize = 16_384;
