//! Selectors: which snapshot, and which path in it.

use crate::format::manifest::Manifest;
use crate::format::tree::EntryKind;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::words::path_words;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;

/// A snapshot and a path in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Selected {
    pub(crate) live: LiveSnapshot,
    /// The snapshot's manifest.
    pub manifest: Manifest,
    /// The names that lead to what is meant; empty for everything.
    pub path: Vec<Vec<u8>>,
}

/// What stands at the path of a selector.
#[derive(Debug)]
pub(crate) enum Found {
    /// The top of the snapshot.
    Root { node: ChunkId, height: u8, totals: Totals },
    /// An entry.
    Entry(Box<OwnedEntry>),
}

impl Selected {
    /// Follows the path; symbolic links in the snapshot are not followed.
    pub(crate) fn find(&self, reader: &ChunkReader) -> Result<Found, OpError> {
        let (node, height) = self.manifest.root().ok_or_else(|| self.no_path())?;
        let mut entries = Entries::of_node(reader, node, height);
        let mut names = self.path.iter().peekable();
        let Some(mut name) = names.next() else {
            let stated = self.manifest.predicate.totals;
            let totals = Totals {
                files: stated.files,
                directories: stated.directories,
                others: stated.others,
                bytes: stated.bytes,
            };
            return Ok(Found::Root { node, height, totals });
        };
        loop {
            let found = find_name(&mut entries, name)?.ok_or_else(|| self.no_path())?;
            let Some(next) = names.next() else { return Ok(Found::Entry(Box::new(found))) };
            let EntryKind::Directory(directory) = &found.entry.node else {
                return Err(self.no_path());
            };
            entries = Entries::of_listing(reader, &directory.listing)
                .during("cannot read the snapshot's tree")?;
            name = next;
        }
    }

    fn no_path(&self) -> OpError {
        let snapshot = self.live.snapshot.short();
        OpError::NoPath { snapshot, path: path_words(&self.path.join(&b'/')) }
    }
}

fn find_name(entries: &mut Entries<'_>, name: &[u8]) -> Result<Option<OwnedEntry>, OpError> {
    for entry in entries {
        let entry = entry.during("cannot read the snapshot's tree")?;
        if entry.entry.name == name {
            return Ok(Some(entry));
        }
        if entry.entry.name.as_slice() > name {
            return Ok(None);
        }
    }
    Ok(None)
}
