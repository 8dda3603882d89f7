//! Walks two trees side by side, in the order of names.

use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::ops::diff::Change;
use crate::ops::diff::DiffReport;
use crate::ops::diff::Difference;
use crate::ops::diff::aspects::aspects;
use crate::ops::diff::aspects::is_other_content;
use crate::ops::diff::aspects::is_other_kind;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::look::ListedEntry;
use crate::ops::look::push_name;
use crate::ops::progress::Progress;
use crate::ops::restore::FINDINGS_COUNT_MAX;
use crate::ops::restore::tree::DEPTH_MAX;
use crate::ops::restore::tree::PATH_BYTES_MAX;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::ControlFlow;

/// A comparison of two trees.
pub(crate) struct Compare<'a> {
    reader: &'a ChunkReader,
    show: &'a mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    progress: &'a dyn Progress,
    pub(crate) report: DiffReport,
}

/// A directory that is compared.
pub(crate) struct Top {
    pub(crate) listing: Listing,
    pub(crate) path: Vec<u8>,
}

/// A directory of both trees, or of one of them.
struct Level<'a> {
    old: Side<'a>,
    new: Side<'a>,
}

/// What one of the trees has there.
struct Side<'a> {
    entries: Option<Peekable<Entries<'a>>>,
    path: Vec<u8>,
}

/// The next name of a directory: what both trees have under it.
type Both = (Option<Box<OwnedEntry>>, Option<Box<OwnedEntry>>);

impl<'a> Compare<'a> {
    /// Begins to compare.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        show: &'a mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self { reader, show, progress, report: DiffReport::default() }
    }

    /// Compares what is in two directories.
    pub(crate) fn trees(&mut self, old: Top, new: Top) -> Result<(), OpError> {
        let mut levels = Vec::new();
        levels.extend(self.open(Some(&old.listing), Some(&new.listing), old.path, new.path)?);
        // No recursion: a forged tree may be deep.
        while let Some(level) = levels.last_mut() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            let (old, new) = match next_of(level) {
                Ok((None, None)) => {
                    levels.pop();
                    continue;
                }
                Ok(both) => both,
                // Behind a damaged part it is not known what is missing on that side.
                Err(error) => {
                    let path = level.new.path.clone();
                    levels.pop();
                    self.note(&path, error)?;
                    continue;
                }
            };
            let name = old.as_ref().or(new.as_ref()).map(|one| one.entry.name.clone());
            let below = |path: &Vec<u8>| {
                let mut path = path.clone();
                push_name(&mut path, name.as_deref().unwrap_or_default());
                path
            };
            let (old_path, new_path) = (below(&level.old.path), below(&level.new.path));
            let (old, new) = (old.as_deref(), new.as_deref());
            if self.entry(old, new, &old_path, &new_path).is_break() {
                return Ok(());
            }
            let is_too_deep = levels.len() >= DEPTH_MAX || new_path.len() > PATH_BYTES_MAX;
            let (before, after) = (old.and_then(listing_of), new.and_then(listing_of));
            if is_too_deep && (before.is_some() || after.is_some()) {
                self.too_deep(&new_path);
                continue;
            }
            levels.extend(self.open(before, after, old_path, new_path)?);
        }
        Ok(())
    }

    /// Compares two entries, without what is in them, and shows how they differ.
    pub(crate) fn entry(
        &mut self,
        old: Option<&OwnedEntry>,
        new: Option<&OwnedEntry>,
        old_path: &[u8],
        new_path: &[u8],
    ) -> ControlFlow<()> {
        let mut changes = Vec::new();
        let difference = match (old, new) {
            (None, None) => return ControlFlow::Continue(()),
            (None, Some(new)) => {
                self.report.added.add(&new.entry.node);
                Difference::Added
            }
            (Some(old), None) => {
                self.report.removed.add(&old.entry.node);
                Difference::Removed
            }
            (Some(old), Some(new)) if is_other_kind(old, new) => {
                self.report.removed.add(&old.entry.node);
                self.report.added.add(&new.entry.node);
                self.report.kind_changed += 1;
                Difference::Kind
            }
            (Some(old), Some(new)) => {
                changes = aspects(old, new);
                if is_other_content(&old.entry.node, &new.entry.node) {
                    self.report.content_changed += 1;
                    self.report.content_bytes_old += size_of(&old.entry.node);
                    self.report.content_bytes_new += size_of(&new.entry.node);
                    Difference::Content
                } else if changes.is_empty() {
                    return ControlFlow::Continue(());
                } else {
                    self.report.metadata_changed += 1;
                    Difference::Metadata
                }
            }
        };
        let old = old.map(|entry| listed(entry, old_path));
        let new = new.map(|entry| listed(entry, new_path));
        (self.show)(&Change { difference, old, new, aspects: changes })
    }

    /// Begins to compare directories; one that is not there is empty.
    fn open(
        &mut self,
        old: Option<&Listing>,
        new: Option<&Listing>,
        old_path: Vec<u8>,
        new_path: Vec<u8>,
    ) -> Result<Option<Level<'a>>, OpError> {
        if old == new {
            return Ok(None);
        }
        let reader = self.reader;
        let entries = |listing: Option<&Listing>| {
            let entries = listing.map(|listing| Entries::of_listing(reader, listing)).transpose();
            entries.map(|entries| entries.map(Iterator::peekable))
        };
        match (entries(old), entries(new)) {
            (Ok(old), Ok(new)) => Ok(Some(Level {
                old: Side { entries: old, path: old_path },
                new: Side { entries: new, path: new_path },
            })),
            (Err(error), _) | (_, Err(error)) => {
                self.note(&new_path, error)?;
                Ok(None)
            }
        }
    }

    fn note(&mut self, path: &[u8], error: RepoError) -> Result<(), OpError> {
        if !self.reader.repository.is_damage(&error) {
            return Err(error).during("cannot read a directory");
        }
        let effect = format!("not all of it is compared: {}", chain_words(&error));
        let object = format!("/{}", path_words(path));
        self.push_finding(Finding::loss("directory.damaged", object, effect));
        Ok(())
    }

    fn too_deep(&mut self, path: &[u8]) {
        let effect = format!(
            "not compared: more than {DEPTH_MAX} directories deep, or a path of more than \
             {PATH_BYTES_MAX} bytes"
        );
        self.push_finding(Finding::loss("tree.too_deep", format!("/{}", path_words(path)), effect));
    }

    fn push_finding(&mut self, finding: Finding) {
        if self.report.findings.len() < FINDINGS_COUNT_MAX {
            self.report.findings.push(finding);
        }
    }
}

/// What both sides have under the next name.
fn next_of(level: &mut Level<'_>) -> Result<Both, RepoError> {
    let order = match (peek(&mut level.old), peek(&mut level.new)) {
        (None, None) => return Ok((None, None)),
        (Some(Ok(old)), Some(Ok(new))) => old.cmp(&new),
        (Some(Err(())), _) | (Some(Ok(_)), None) => Ordering::Less,
        (_, Some(Err(()))) | (None, Some(Ok(_))) => Ordering::Greater,
    };
    let old = if order == Ordering::Greater { None } else { take(&mut level.old)? };
    let new = if order == Ordering::Less { None } else { take(&mut level.new)? };
    Ok((old, new))
}

/// The next name of a side, or that it cannot be read.
fn peek(side: &mut Side<'_>) -> Option<Result<Vec<u8>, ()>> {
    let next = side.entries.as_mut()?.peek()?;
    Some(next.as_ref().map(|entry| entry.entry.name.clone()).map_err(|_error| ()))
}

fn take(side: &mut Side<'_>) -> Result<Option<Box<OwnedEntry>>, RepoError> {
    side.entries.as_mut().and_then(Iterator::next).transpose().map(|entry| entry.map(Box::new))
}

fn listing_of(entry: &OwnedEntry) -> Option<&Listing> {
    match &entry.entry.node {
        EntryKind::Directory(directory) => Some(&directory.listing),
        EntryKind::File(_)
        | EntryKind::Symlink { .. }
        | EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice(_)
        | EntryKind::BlockDevice(_) => None,
    }
}

fn listed<'e>(entry: &'e OwnedEntry, path: &[u8]) -> ListedEntry<'e> {
    let path = format!("/{}", path_words(path));
    let (kind, metadata) = (&entry.entry.node, &entry.entry.metadata);
    ListedEntry { path, kind, metadata, owner: entry.owner() }
}

fn size_of(kind: &EntryKind) -> u64 {
    crate::repo::tree::builder::totals_of(kind).bytes
}
