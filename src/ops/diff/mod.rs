//! `diff`: what changed between two trees.

mod aspects;
mod compare;
mod tables;

pub use aspects::AspectChange;
pub use tables::TableChange;
pub use tables::diff_tables;

use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::format::tree::Totals;
use crate::ops::diff::compare::Compare;
use crate::ops::diff::compare::Top;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::look::ListedEntry;
use crate::ops::progress::Progress;
use crate::ops::restore::open_reader;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::ops::ControlFlow;

/// An entry that differs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Change<'a> {
    /// How.
    pub difference: Difference,
    /// What it was, unless it was added.
    pub old: Option<ListedEntry<'a>>,
    /// What it is, unless it was removed.
    pub new: Option<ListedEntry<'a>>,
    /// What of its metadata differs, if both are of one kind.
    pub aspects: Vec<AspectChange>,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Difference {
    /// Only the new tree has it.
    Added,
    /// Only the old tree has it.
    Removed,
    /// Its content differs, or the target of a link, or the number of a device.
    Content,
    /// Only its metadata differs.
    Metadata,
    /// It is of another kind.
    Kind,
}

/// How much differs.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct DiffReport {
    /// What was added. What is of another kind counts as removed and added.
    pub added: DiffTotals,
    /// What was removed.
    pub removed: DiffTotals,
    /// Entries whose content differs.
    pub content_changed: u64,
    /// The sizes of those files before.
    pub content_bytes_old: u64,
    /// Their sizes after.
    pub content_bytes_new: u64,
    /// Entries of which only metadata differs.
    pub metadata_changed: u64,
    /// Entries that are of another kind.
    pub kind_changed: u64,
    /// What was not compared, as it cannot be read.
    pub findings: Vec<Finding>,
}

/// Sums over entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DiffTotals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// The sum of the sizes of regular files.
    pub bytes: u64,
}

impl DiffReport {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        let none = DiffTotals::default();
        let changed = self.content_changed + self.metadata_changed + self.kind_changed;
        self.added == none && self.removed == none && changed == 0
    }
}

impl DiffTotals {
    fn add(&mut self, kind: &EntryKind) {
        let one = match kind {
            EntryKind::Directory(_) => Totals { directories: 1, ..Totals::default() },
            EntryKind::File(_)
            | EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => crate::repo::tree::builder::totals_of(kind),
        };
        self.files = self.files.saturating_add(one.files);
        self.directories = self.directories.saturating_add(one.directories);
        self.others = self.others.saturating_add(one.others);
        self.bytes = self.bytes.saturating_add(one.bytes);
    }
}

/// Shows how `new` differs from `old`, in the order of paths, until `show` breaks off.
///
/// Directories whose trees have one name are not read. What differs is what a restore would set;
/// not inode numbers, and times that nobody sets. Errors: [`OpError::Usage`] if only one of both
/// is a directory; [`OpError::NoPath`].
pub fn diff(
    repository: &Repository,
    old: &Selected,
    new: &Selected,
    show: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    progress: &dyn Progress,
) -> Result<DiffReport, OpError> {
    let reader = open_reader(repository)?;
    let mut compare = Compare::new(&reader, show, progress);
    let (from, to) = (old.find(&reader)?, new.find(&reader)?);
    let prefixes = (old.path.join(&b'/'), new.path.join(&b'/'));
    match (listing_of(&from), listing_of(&to)) {
        (Some(before), Some(after)) => {
            if let (Found::Entry(from), Found::Entry(to)) = (&from, &to)
                && compare.entry(Some(from), Some(to), &prefixes.0, &prefixes.1).is_break()
            {
                return Ok(compare.report);
            }
            compare.trees(
                Top { listing: before, path: prefixes.0 },
                Top { listing: after, path: prefixes.1 },
            )?;
        }
        (None, None) => {
            if let (Found::Entry(from), Found::Entry(to)) = (&from, &to) {
                let _ended = compare.entry(Some(from), Some(to), &prefixes.0, &prefixes.1);
            }
        }
        (Some(_), None) | (None, Some(_)) => {
            let why = "a directory cannot be compared with something else".to_owned();
            return Err(OpError::Usage { why });
        }
    }
    Ok(compare.report)
}

fn listing_of(found: &Found) -> Option<Listing> {
    match found {
        Found::Root { node, height, .. } => Some(Listing::Node { node: *node, height: *height }),
        Found::Entry(entry) => match &entry.entry.node {
            EntryKind::Directory(directory) => Some(directory.listing.clone()),
            EntryKind::File(_)
            | EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => None,
        },
    }
}
