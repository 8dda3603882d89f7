//! Walks a tree and hands its entries to an archive.

use crate::format::tree::EntryKind;
use crate::format::tree::InodeNumber;
use crate::format::tree::Totals;
use crate::ops::archive::ArchiveReport;
use crate::ops::archive::LEFT_OUT_COUNT_MAX;
use crate::ops::archive::member::Added;
use crate::ops::archive::member::Archive;
use crate::ops::archive::member::Body;
use crate::ops::archive::member::Contents;
use crate::ops::archive::member::Member;
use crate::ops::error::OpError;
use crate::ops::look::push_name;
use crate::ops::progress::Progress;
use crate::ops::restore::tree::DEPTH_MAX;
use crate::ops::restore::tree::PATH_BYTES_MAX;
use crate::ops::select::Found;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::totals_of;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use std::collections::HashMap;
use std::mem::Discriminant;
use std::mem::discriminant;

/// A walk of what is archived.
pub(crate) struct ArchiveWalk<'a> {
    reader: &'a ChunkReader,
    archive: &'a mut dyn Archive,
    progress: &'a dyn Progress,
    /// The first names of inodes with several; the kind, so that a forged tree cannot link one kind
    /// as another.
    links: HashMap<(InodeNumber, Discriminant<EntryKind>), Vec<u8>>,
    seen: Totals,
    /// What the snapshot says there is: a tree that holds more is forged.
    declared: Totals,
    report: ArchiveReport,
}

impl<'a> ArchiveWalk<'a> {
    /// Prepares to walk.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        archive: &'a mut dyn Archive,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            reader,
            archive,
            progress,
            links: HashMap::new(),
            seen: Totals::default(),
            declared: Totals::default(),
            report: ArchiveReport::default(),
        }
    }

    /// Archives what was found.
    pub(crate) fn run(mut self, found: &Found) -> Result<ArchiveReport, OpError> {
        let top = match found {
            Found::Root { node, height, totals } => {
                self.declared = *totals;
                Entries::of_node(self.reader, *node, *height)
            }
            Found::Entry(entry) => {
                self.declared = totals_of(&entry.entry.node);
                let EntryKind::Directory(directory) = &entry.entry.node else {
                    self.progress.begin("archiving", self.declared.files, self.declared.bytes);
                    self.entry(entry, &entry.entry.name)?;
                    return Ok(self.report);
                };
                let entries = Entries::of_listing(self.reader, &directory.listing);
                entries.map_err(|error| damaged(b"", error))?
            }
        };
        self.progress.begin("archiving", self.declared.files, self.declared.bytes);
        self.walk(top)?;
        Ok(self.report)
    }

    /// Archives everything below a directory, without recursion: a forged tree may be deep.
    fn walk(&mut self, top: Entries<'a>) -> Result<(), OpError> {
        let mut path = Vec::new();
        let mut levels = vec![(top, 0)];
        while let Some((entries, length)) = levels.last_mut() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            path.truncate(*length);
            let entry = match entries.next() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => return Err(damaged(&path, error)),
                None => {
                    levels.pop();
                    continue;
                }
            };
            push_name(&mut path, &entry.entry.name);
            self.entry(&entry, &path)?;
            if let EntryKind::Directory(directory) = &entry.entry.node {
                if levels.len() >= DEPTH_MAX || path.len() > PATH_BYTES_MAX {
                    return Err(too_deep(&path));
                }
                let inside = Entries::of_listing(self.reader, &directory.listing);
                let inside = inside.map_err(|error| damaged(&path, error))?;
                levels.push((inside, path.len()));
            }
        }
        Ok(())
    }

    fn entry(&mut self, found: &OwnedEntry, path: &[u8]) -> Result<(), OpError> {
        self.count(&found.entry.node)?;
        let (node, metadata) = (&found.entry.node, &found.entry.metadata);
        let member = Member { path, metadata, owner: found.owner() };
        if let Some(first) = self.first_name(found, path) {
            let added = self.archive.add(&member, Body::HardLink(&first))?;
            self.progress.advance(1, totals_of(node).bytes);
            self.note(path, added);
            return Ok(());
        }
        let body = match node {
            EntryKind::File(file) => {
                let contents = Contents { reader: self.reader, progress: self.progress };
                self.archive
                    .add_file(&member, file, contents)
                    .map_err(|error| of_path(path, error))?;
                self.progress.advance(1, 0);
                self.report.bytes = self.report.bytes.saturating_add(file.size);
                self.note(path, Added::Yes);
                return Ok(());
            }
            EntryKind::Directory(_) => Body::Directory,
            EntryKind::Symlink { target } => Body::Symlink(target),
            EntryKind::Fifo => Body::Fifo,
            EntryKind::Socket => Body::Socket,
            EntryKind::CharacterDevice(device) => Body::CharacterDevice(*device),
            EntryKind::BlockDevice(device) => Body::BlockDevice(*device),
        };
        let added = self.archive.add(&member, body)?;
        self.note(path, added);
        Ok(())
    }

    /// What this entry is another name of; nothing if it is the first name.
    fn first_name(&mut self, found: &OwnedEntry, path: &[u8]) -> Option<Vec<u8>> {
        let (node, metadata) = (&found.entry.node, &found.entry.metadata);
        // A socket is in no archive, and no name of one.
        let is_linked = !matches!(node, EntryKind::Directory(_) | EntryKind::Socket);
        if metadata.links <= 1 || !is_linked || !self.archive.has_hard_links() {
            return None;
        }
        let key = (metadata.inode, discriminant(node));
        if let Some(first) = self.links.get(&key) {
            return Some(first.clone());
        }
        self.links.insert(key, path.to_vec());
        None
    }

    fn note(&mut self, path: &[u8], added: Added) {
        match added {
            Added::Yes => self.report.entries += 1,
            Added::LeftOut(what) => {
                self.report.left_out_count += 1;
                let words = format!("{} is left out: {what}", path_words(path));
                self.progress.warn(&words);
                if self.report.left_out.len() < LEFT_OUT_COUNT_MAX {
                    self.report.left_out.push(words);
                }
            }
        }
    }

    /// Counts an entry; a tree that holds more than its snapshot declares is forged.
    fn count(&mut self, node: &EntryKind) -> Result<(), OpError> {
        let one = if matches!(node, EntryKind::Directory(_)) {
            Totals { directories: 1, ..Totals::default() }
        } else {
            totals_of(node)
        };
        self.seen = self.seen.plus(one);
        let (seen, declared) = (self.seen, self.declared);
        let more = seen.files > declared.files
            || seen.directories > declared.directories
            || seen.others > declared.others
            || seen.bytes > declared.bytes;
        if more {
            let why = "the snapshot holds more than it declares; the archive is not whole";
            return Err(OpError::Refused { why: why.to_owned() });
        }
        Ok(())
    }
}

fn damaged(path: &[u8], error: RepoError) -> OpError {
    if matches!(error, RepoError::Interrupted) {
        return OpError::Interrupted;
    }
    OpError::Restore { path: format!("/{}", path_words(path)), source: Box::new(error) }
}

/// Says of which path something cannot be read.
fn of_path(path: &[u8], error: OpError) -> OpError {
    if let OpError::Repo { source, .. } = error { damaged(path, *source) } else { error }
}

fn too_deep(path: &[u8]) -> OpError {
    let why = format!(
        "{} is more than {DEPTH_MAX} directories deep, or its path longer than {PATH_BYTES_MAX} bytes",
        path_words(path)
    );
    OpError::Refused { why }
}
