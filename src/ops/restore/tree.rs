//! Walks the tree of a snapshot and gathers windows of files.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::format::tree::InodeNumber;
use crate::format::tree::Totals;
use crate::localfs::LocalError;
use crate::localfs::apply::Target;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::special::Special;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::restore::FINDINGS_COUNT_MAX;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::RestoreReport;
use crate::ops::restore::after::After;
use crate::ops::restore::after::Meta;
use crate::ops::restore::after::lost_with_other_name;
use crate::ops::restore::after::meta_of;
use crate::ops::restore::execute::Executor;
use crate::ops::restore::execute::FailedFile;
use crate::ops::restore::execute::FileError;
use crate::ops::restore::window::ChunkTask;
use crate::ops::restore::window::FileTask;
use crate::ops::restore::window::Shape;
use crate::ops::restore::window::Window;
use crate::ops::restore::window::shape_of;
use crate::ops::restore::window::wrong_size;
use crate::ops::select::Found;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::totals_of;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;
use std::collections::HashMap;
use std::mem::Discriminant;
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Restores one tree.
pub(crate) struct TreeRestore<'a> {
    reader: &'a ChunkReader,
    target: Arc<Target>,
    options: &'a RestoreOptions,
    progress: &'a dyn Progress,
    pool: ThreadPool,
    window: Window,
    /// What is made once the files of the window are there, in order.
    after: Vec<After>,
    links: HashMap<LinkKey, TargetPath>,
    /// What failed, and how bad that is: an older file of the name must not be linked in its
    /// place.
    lost: HashMap<Vec<u8>, Severity>,
    report: RestoreReport,
    /// What the tree held so far, restored or not.
    seen: Totals,
    /// What the snapshot says there is: a tree that holds more is forged.
    declared: Totals,
}

/// An inode with several names; the kind, so that a forged tree cannot link one kind as another.
type LinkKey = (InodeNumber, Discriminant<EntryKind>);

/// A directory that is being walked.
struct Level<'a> {
    entries: Entries<'a>,
    path: Arc<TargetPath>,
    /// The path in the snapshot, with a slash before each name.
    shown: Vec<u8>,
    /// What the directory gets once it is full; nothing for the target itself.
    meta: Option<Meta>,
}

impl<'a> TreeRestore<'a> {
    /// Prepares to restore into `target`.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        target: Arc<Target>,
        options: &'a RestoreOptions,
        progress: &'a dyn Progress,
    ) -> Result<Self, OpError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(reader.reading_threads(options.threads))
            .build()
            .map_err(|error| OpError::Refused { why: error.to_string() })?;
        Ok(Self {
            reader,
            target,
            options,
            progress,
            pool,
            window: Window::default(),
            after: Vec::new(),
            links: HashMap::new(),
            lost: HashMap::new(),
            report: RestoreReport::default(),
            seen: Totals::default(),
            declared: Totals::default(),
        })
    }

    /// Restores what was found.
    pub(crate) fn run(mut self, found: &Found) -> Result<RestoreReport, OpError> {
        let top = Arc::new(TargetPath::root());
        match found {
            Found::Root { node, height, totals } => {
                self.declared = *totals;
                let entries = Entries::of_node(self.reader, *node, *height);
                self.walk(Level { entries, path: top, shown: Vec::new(), meta: None })?;
            }
            Found::Entry(entry) => {
                self.declared = totals_of(&entry.entry.node);
                if let EntryKind::Directory(directory) = &entry.entry.node {
                    let entries = Entries::of_listing(self.reader, &directory.listing)?;
                    let meta = Some(meta_of(entry));
                    self.walk(Level { entries, path: top, shown: Vec::new(), meta })?;
                } else {
                    self.entry(entry.as_ref().clone(), &top, &[])?;
                }
            }
        }
        self.flush()?;
        Ok(self.report)
    }

    /// Restores everything below a directory, without recursion: a forged tree may be deep.
    fn walk(&mut self, top: Level<'a>) -> Result<(), OpError> {
        let mut open = vec![top];
        while let Some(level) = open.last_mut() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            let inside = match level.entries.next() {
                Some(Ok(entry)) => self.entry(entry, &level.path, &level.shown)?,
                Some(Err(error)) => {
                    self.damaged(&level.shown, "some entries are not restored", error)?;
                    None
                }
                None => {
                    if let Some(Level { path, meta: Some(meta), .. }) = open.pop() {
                        self.after.push(After::Directory { path, meta });
                    }
                    None
                }
            };
            if let Some(inside) = inside {
                if open.len() >= DEPTH_MAX || inside.shown.len() > PATH_BYTES_MAX {
                    self.too_deep(&inside.shown);
                } else {
                    open.push(inside);
                }
            }
            if self.after.len() >= AFTER_COUNT_MAX {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn too_deep(&mut self, shown: &[u8]) {
        let effect = format!(
            "not restored: more than {DEPTH_MAX} directories deep, or a path of more than \
             {PATH_BYTES_MAX} bytes"
        );
        self.note(Finding::loss("tree.too_deep", path_words(shown), effect));
    }

    /// Restores an entry; returns the directory that is to be walked, if it is one.
    fn entry(
        &mut self,
        entry: OwnedEntry,
        parent: &Arc<TargetPath>,
        shown: &[u8],
    ) -> Result<Option<Level<'a>>, OpError> {
        let shown = [shown, b"/", &entry.entry.name].concat();
        let is_directory = matches!(entry.entry.node, EntryKind::Directory(_));
        if let Some(filter) = &self.options.filter
            && !filter(&shown, is_directory)
        {
            return Ok(None);
        }
        self.count(&entry)?;
        let directory = Arc::clone(parent);
        if let Some(existing) = self.first_name(&entry, parent)? {
            let one = totals_of(&entry.entry.node);
            self.after.push(After::HardLink { directory, name: entry.entry.name, existing, one });
            return Ok(None);
        }
        let meta = meta_of(&entry);
        let name = entry.entry.name;
        match entry.entry.node {
            EntryKind::Directory(inside) => {
                let path = Arc::new(parent.join(&name)?);
                if let Err(error) = self.target.make_directory(&path) {
                    self.uncount(Totals { directories: 1, ..Totals::default() });
                    return self.refused(error).map(|()| None);
                }
                match Entries::of_listing(self.reader, &inside.listing) {
                    Ok(entries) => {
                        return Ok(Some(Level { entries, path, shown, meta: Some(meta) }));
                    }
                    Err(error) => self.damaged(&shown, "its entries are not restored", error)?,
                }
                self.after.push(After::Directory { path, meta });
                Ok(())
            }
            EntryKind::File(file) => self.file(directory, name, meta, &file),
            EntryKind::Symlink { target } => {
                self.after.push(After::Symlink { directory, name, target, meta });
                Ok(())
            }
            EntryKind::Fifo => self.special(&directory, &name, Special::Fifo, &meta),
            EntryKind::Socket => self.special(&directory, &name, Special::Socket, &meta),
            EntryKind::CharacterDevice(device) => {
                self.special(&directory, &name, Special::CharacterDevice(device), &meta)
            }
            EntryKind::BlockDevice(device) => {
                self.special(&directory, &name, Special::BlockDevice(device), &meta)
            }
        }
        .map(|()| None)
    }

    /// What this entry is another name of; nothing if it is the first name.
    fn first_name(
        &mut self,
        entry: &OwnedEntry,
        parent: &TargetPath,
    ) -> Result<Option<TargetPath>, OpError> {
        let node = &entry.entry.node;
        let is_linked = match node {
            EntryKind::Directory(_) => false,
            // A device that is not made is reported under each of its names.
            EntryKind::CharacterDevice(_) | EntryKind::BlockDevice(_) => self.target.may_grant(),
            EntryKind::File(_)
            | EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket => true,
        };
        if entry.entry.metadata.links <= 1 || !is_linked {
            return Ok(None);
        }
        let key = (entry.entry.metadata.inode, discriminant(node));
        if let Some(existing) = self.links.get(&key) {
            return Ok(Some(existing.clone()));
        }
        self.links.insert(key, parent.join(&entry.entry.name)?);
        Ok(None)
    }

    fn file(
        &mut self,
        directory: Arc<TargetPath>,
        name: Vec<u8>,
        meta: Meta,
        file: &FileEntry,
    ) -> Result<(), OpError> {
        let inline = match &file.content {
            Content::Inline(extents) => Some(extents.as_slice()),
            Content::List { .. } => None,
        };
        let mut shape = shape_of(inline);
        if file.sparse && shape != Shape::Whole {
            shape = Shape::Sparse;
        }
        let Meta { metadata, owner } = meta;
        let task = Arc::new(FileTask {
            directory,
            name,
            size: file.size,
            metadata,
            owner,
            shape,
            remaining: AtomicU64::new(1),
            pending: Mutex::default(),
            failed: AtomicBool::new(false),
        });
        let listed = self.list_chunks(file, &task)?;
        if let Err(error) = listed {
            task.failed.store(true, Ordering::Relaxed);
            let (path, size) = (task.path(), task.size);
            return self.failed(vec![FailedFile { path, size, error: FileError::Repo(error) }]);
        }
        self.window.open_count += usize::from(shape != Shape::Whole);
        self.window.files.push(task);
        if self.window.is_full() { self.flush() } else { Ok(()) }
    }

    /// Adds a file's chunks to the window. A file with more chunks than a window holds is restored
    /// in several; it is open meanwhile.
    fn list_chunks(
        &mut self,
        file: &FileEntry,
        task: &Arc<FileTask>,
    ) -> Result<Result<(), RepoError>, OpError> {
        let reader = self.reader;
        let mut offset = 0_u64;
        let visited = visit_extents(reader, &file.content, &mut |extent| {
            let length = extent.length();
            let at = offset;
            offset = offset.saturating_add(length);
            if offset > file.size {
                return Err(ListError::WrongLength);
            }
            let Extent::Chunk { id, .. } = extent else { return Ok(()) };
            let place = reader.index.find(&id).ok_or(RepoError::UnknownChunk { chunk: id })?;
            if u64::from(place.length) != length {
                return Err(ListError::WrongLength);
            }
            task.remaining.fetch_add(1, Ordering::Relaxed);
            let file = Arc::clone(task);
            self.window.chunks.push(ChunkTask { place, id, file, offset: at });
            self.window.bytes += length;
            if self.window.is_full() {
                self.flush_files().map_err(ListError::Op)?;
            }
            Ok(())
        });
        match visited {
            Ok(()) if offset == file.size => Ok(Ok(())),
            Ok(()) | Err(ListError::WrongLength) => Ok(Err(wrong_size(&file.content))),
            Err(ListError::Repo(error)) => Ok(Err(error)),
            Err(ListError::Op(error)) => Err(error),
        }
    }

    fn special(
        &mut self,
        directory: &TargetPath,
        name: &[u8],
        special: Special,
        meta: &Meta,
    ) -> Result<(), OpError> {
        let made = self
            .target
            .make_directory(directory)
            .and_then(|handle| self.target.make_special((&handle, name), special, meta.wanted()));
        let Err(error) = made else { return Ok(()) };
        self.lost.insert(directory.join(name)?.as_bytes().to_vec(), Severity::Notice);
        self.uncount(Totals { others: 1, ..Totals::default() });
        self.refused(error)
    }

    /// Restores the window, then what had to wait for its files.
    fn flush(&mut self) -> Result<(), OpError> {
        self.flush_files()?;
        // Links after files, directories after everything in them.
        for after in std::mem::take(&mut self.after) {
            if let After::HardLink { existing, .. } = &after
                && let Some(severity) = self.lost.get(existing.as_bytes())
            {
                let finding = lost_with_other_name(&after.path()?, existing, *severity);
                self.uncount(after.one());
                self.note(finding);
                continue;
            }
            let Err(error) = after.make(&self.target) else { continue };
            if let After::Symlink { .. } = &after {
                self.lost.insert(after.path()?.as_bytes().to_vec(), Severity::Notice);
            }
            self.uncount(after.one());
            self.refused(error)?;
        }
        Ok(())
    }

    fn flush_files(&mut self) -> Result<(), OpError> {
        let window = std::mem::take(&mut self.window);
        let executor =
            Executor { reader: self.reader, target: &self.target, progress: self.progress };
        let failed = self.pool.install(|| executor.run(window));
        if self.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        self.failed(failed)
    }

    /// Counts an entry; a tree that holds more than its snapshot declares is forged.
    fn count(&mut self, entry: &OwnedEntry) -> Result<(), OpError> {
        let one = if matches!(entry.entry.node, EntryKind::Directory(_)) {
            // Its own totals are counted entry by entry.
            Totals { directories: 1, ..Totals::default() }
        } else {
            totals_of(&entry.entry.node)
        };
        self.report.totals = self.report.totals.plus(one);
        let totals = self.seen.plus(one);
        self.seen = totals;
        let declared = self.declared;
        let more = totals.files > declared.files
            || totals.directories > declared.directories.saturating_add(1)
            || totals.others > declared.others
            || totals.bytes > declared.bytes;
        if more {
            let why = "the snapshot holds more than it declares; nothing more is restored";
            return Err(OpError::Refused { why: why.to_owned() });
        }
        Ok(())
    }

    /// Takes back what was counted and is not restored.
    fn uncount(&mut self, one: Totals) {
        let Totals { files, directories, others, bytes } = &mut self.report.totals;
        *files = files.saturating_sub(one.files);
        *directories = directories.saturating_sub(one.directories);
        *others = others.saturating_sub(one.others);
        *bytes = bytes.saturating_sub(one.bytes);
    }

    fn failed(&mut self, failed: Vec<FailedFile>) -> Result<(), OpError> {
        for FailedFile { path, size, error } in failed {
            self.uncount(Totals { files: 1, bytes: size, ..Totals::default() });
            let severity = match error {
                FileError::Local(error) => {
                    self.refused(error)?;
                    Severity::Notice
                }
                FileError::Repo(error) => {
                    self.damaged(&path, "not restored", error)?;
                    Severity::Loss
                }
            };
            self.lost.insert(path, severity);
        }
        Ok(())
    }

    /// Notes damage, or ends with it.
    fn damaged(&mut self, path: &[u8], effect: &str, error: RepoError) -> Result<(), OpError> {
        if !self.reader.repository.is_damage(&error) || self.options.keep_going == KeepGoing::Stop {
            return Err(OpError::Restore { path: path_words(path), source: Box::new(error) });
        }
        let effect = format!("{effect}: {}", chain_words(&error));
        self.note(Finding::loss("file.damaged", path_words(path), effect));
        Ok(())
    }

    fn refused(&mut self, error: LocalError) -> Result<(), OpError> {
        if self.options.keep_going == KeepGoing::Stop {
            return Err(error.into());
        }
        self.note(error.into());
        Ok(())
    }

    fn note(&mut self, finding: Finding) {
        self.progress.warn(&format!("{}: {}", finding.object, finding.effect));
        self.report.failed_count += 1;
        self.report.damaged_count += u64::from(finding.severity == Severity::Loss);
        if self.report.failed.len() < FINDINGS_COUNT_MAX {
            self.report.failed.push(finding);
        }
    }
}

enum ListError {
    Repo(RepoError),
    Op(OpError),
    WrongLength,
}

impl From<RepoError> for ListError {
    fn from(error: RepoError) -> Self {
        Self::Repo(error)
    }
}

/// Most directories within each other; deeper ones end a forged tree.
pub(crate) const DEPTH_MAX: usize = 2048;
/// Longest path below the target.
pub(crate) const PATH_BYTES_MAX: usize = 32_768;
/// Most links and directories that wait for files.
const AFTER_COUNT_MAX: usize = 16_384;
