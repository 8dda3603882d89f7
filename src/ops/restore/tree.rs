//! Walks the tree of a snapshot and gathers windows of files.

use crate::format::tree::EntryKind;
use crate::format::tree::InodeNumber;
use crate::format::tree::Totals;
use crate::localfs::apply::Target;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::special::Special;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::progress::Progress;
use crate::ops::restore::Overwrite;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::RestoreReport;
use crate::ops::restore::after::After;
use crate::ops::restore::after::Meta;
use crate::ops::restore::after::Was;
use crate::ops::restore::after::lost_with_other_name;
use crate::ops::restore::after::meta_of;
use crate::ops::restore::forecast::Forecast;
use crate::ops::restore::tally::Tally;
use crate::ops::restore::way::Way;
use crate::ops::restore::window::Window;
use crate::ops::select::Found;
use crate::ops::words::path_words;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::totals_of;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;
use std::collections::HashMap;
use std::mem::Discriminant;
use std::mem::discriminant;
use std::sync::Arc;

/// Restores one tree.
pub(crate) struct TreeRestore<'a> {
    pub(super) reader: &'a ChunkReader,
    pub(super) target: Arc<Target>,
    pub(super) options: &'a RestoreOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) pool: ThreadPool,
    pub(super) window: Window,
    /// What is made once the files of the window are there, in order.
    pub(super) after: Vec<After>,
    pub(super) links: HashMap<LinkKey, TargetPath>,
    /// What failed, and how bad that is: an older file of the name must not be linked in its
    /// place.
    pub(super) lost: HashMap<Vec<u8>, Severity>,
    pub(super) report: RestoreReport,
    /// What the tree held so far, restored or not.
    pub(super) seen: Totals,
    /// What the snapshot says there is: a tree that holds more is forged.
    pub(super) declared: Totals,
    pub(super) way: Way,
    pub(super) tally: Tally,
    pub(super) forecast: Forecast,
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
    meta: Option<(Meta, Was)>,
}

impl<'a> TreeRestore<'a> {
    /// Prepares to restore into `target`.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        target: Arc<Target>,
        options: &'a RestoreOptions,
        (way, names): (Way, bool),
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
            way,
            tally: Tally::new(names),
            forecast: Forecast::default(),
        })
    }

    /// Restores what was found.
    pub(crate) fn run(&mut self, found: &Found) -> Result<(), OpError> {
        let top = Arc::new(TargetPath::root());
        self.remove_leftovers(&top)?;
        match found {
            Found::Root { node, height, totals } => {
                self.declared = *totals;
                let entries = Entries::of_node(self.reader, *node, *height);
                let level = Level { entries, path: top, shown: Vec::new(), meta: None };
                self.walk(level)?;
            }
            Found::Entry(entry) => {
                self.declared = totals_of(&entry.entry.node);
                if let EntryKind::Directory(directory) = &entry.entry.node {
                    let entries = Entries::of_listing(self.reader, &directory.listing)?;
                    let meta = meta_of(entry);
                    let was = self.was(&top, &meta)?;
                    let meta = Some((meta, was));
                    self.walk(Level { entries, path: top, shown: Vec::new(), meta })?;
                } else {
                    self.entry(entry.as_ref().clone(), &top, &[])?;
                }
            }
        }
        self.flush()
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
                    if let Some(Level { path, meta: Some((meta, was)), .. }) = open.pop() {
                        self.after.push(After::Directory { path, meta, was });
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
                let Some(was) = self.enter(&path, &meta)? else { return Ok(None) };
                match Entries::of_listing(self.reader, &inside.listing) {
                    Ok(entries) => {
                        let meta = Some((meta, was));
                        return Ok(Some(Level { entries, path, shown, meta }));
                    }
                    Err(error) => self.damaged(&shown, "its entries are not restored", error)?,
                }
                self.after.push(After::Directory { path, meta, was });
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
        // A file that is kept may be another one: the next name is to be the first.
        if self.way.overwrite == Overwrite::Never
            && let Some(handle) = self.target.find_directory(parent)?
            && !handle.is_new()
            && handle.look(&entry.entry.name)?.is_some()
        {
            return Ok(None);
        }
        self.links.insert(key, parent.join(&entry.entry.name)?);
        Ok(None)
    }

    /// Restores the window, then what had to wait for its files.
    pub(super) fn flush(&mut self) -> Result<(), OpError> {
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
            let error = match after.make(&self.target, self.way, &self.tally) {
                Ok(action) => {
                    self.tally.add(after.path()?.as_bytes(), action, 0);
                    continue;
                }
                Err(error) => error,
            };
            if let After::Symlink { .. } = &after {
                self.lost.insert(after.path()?.as_bytes().to_vec(), Severity::Notice);
            }
            self.uncount(after.one());
            self.refused(error)?;
        }
        Ok(())
    }

    pub(super) fn flush_files(&mut self) -> Result<(), OpError> {
        let window = std::mem::take(&mut self.window);
        let executor = self.executor();
        let failed = self.pool.install(|| executor.run(window));
        if self.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        self.failed(failed)
    }
}

/// Most directories within each other; deeper ones end a forged tree.
pub(crate) const DEPTH_MAX: usize = 2048;
/// Longest path below the target.
pub(crate) const PATH_BYTES_MAX: usize = 32_768;
/// Most links and directories that wait for files.
const AFTER_COUNT_MAX: usize = 16_384;
