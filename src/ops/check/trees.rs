//! Trees: is every chunk that a snapshot names in the index, and is none of them damaged?

use crate::format::content::Extent;
use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::id::ChunkId;
use crate::ops::check::CheckReport;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;
use std::collections::HashSet;

/// Walks the trees of all snapshots; a directory that stands in several is walked once, unless
/// something in it is damaged.
pub(crate) struct TreeCheck<'a> {
    reader: &'a ChunkReader,
    bad: &'a HashSet<ChunkId>,
    progress: &'a dyn Progress,
    clean: HashSet<ChunkId>,
}

/// What is wrong with one entry.
struct Damage {
    path: Vec<u8>,
    effect: String,
}

impl<'a> TreeCheck<'a> {
    /// A walk that takes the chunks of `bad` for lost.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        bad: &'a HashSet<ChunkId>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self { reader, bad, progress, clean: HashSet::new() }
    }

    /// Walks everything.
    pub(crate) fn run(
        mut self,
        history: &History,
        report: &mut CheckReport,
    ) -> Result<(), OpError> {
        for live in &history.snapshots {
            report.snapshots += 1;
            let name = format!("{} ({})", live.snapshot.short(), live.source);
            let damages = self.snapshot(live, report)?;
            for Damage { path, effect } in damages {
                let object = format!("snapshot {name}: {}", path_words(&path));
                report.note(Finding::loss("file.damaged", object, effect), self.progress);
            }
        }
        Ok(())
    }

    fn snapshot(
        &mut self,
        live: &LiveSnapshot,
        report: &mut CheckReport,
    ) -> Result<Vec<Damage>, OpError> {
        let mut damages = Vec::new();
        let manifest = match live.manifest(&self.reader.repository) {
            Ok(manifest) => manifest,
            Err(error) if error.is_damage() => {
                let effect = format!("its manifest is damaged: {}", chain_words(&error));
                damages.push(Damage { path: b"/".to_vec(), effect });
                return Ok(damages);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some((node, height)) = manifest.root() {
            self.listing(&Listing::Node { node, height }, b"", report, &mut damages)?;
        }
        Ok(damages)
    }

    /// Checks a directory; remembers it if everything below it is well.
    fn listing(
        &mut self,
        listing: &Listing,
        path: &[u8],
        report: &mut CheckReport,
        damages: &mut Vec<Damage>,
    ) -> Result<(), OpError> {
        let node = match listing {
            Listing::Node { node, .. } => Some(*node),
            Listing::Inline(_) => None,
        };
        if node.is_some_and(|node| self.clean.contains(&node)) {
            return Ok(());
        }
        if self.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let before = damages.len();
        match Entries::of_listing(self.reader, listing) {
            Ok(entries) => self.entries(entries, path, report, damages)?,
            Err(error) => note(path, &error, damages),
        }
        if let Some(node) = node
            && damages.len() == before
        {
            self.clean.insert(node);
        }
        Ok(())
    }

    fn entries(
        &mut self,
        entries: Entries<'_>,
        path: &[u8],
        report: &mut CheckReport,
        damages: &mut Vec<Damage>,
    ) -> Result<(), OpError> {
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry.entry,
                Err(error) if error.is_damage() => {
                    note(path, &error, damages);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let inside = [path, b"/", &entry.name].concat();
            match &entry.node {
                EntryKind::Directory(directory) => {
                    if inside.len() > PATH_BYTES_MAX {
                        let effect = "it lies deeper than any path".to_owned();
                        damages.push(Damage { path: inside, effect });
                        continue;
                    }
                    self.listing(&directory.listing, &inside, report, damages)?;
                }
                EntryKind::File(file) => {
                    report.files += 1;
                    self.progress.advance(1, 0);
                    if let Err(error) = self.content(&file.content, file.size) {
                        if !error.is_damage() {
                            return Err(error.into());
                        }
                        note(&inside, &error, damages);
                    }
                }
                EntryKind::Symlink { .. }
                | EntryKind::Fifo
                | EntryKind::Socket
                | EntryKind::CharacterDevice(_)
                | EntryKind::BlockDevice(_) => {}
            }
        }
        Ok(())
    }

    fn content(
        &self,
        content: &crate::format::content::Content,
        size: u64,
    ) -> Result<(), RepoError> {
        let mut length = 0_u64;
        visit_extents(self.reader, content, &mut |extent| {
            length = length.saturating_add(extent.length());
            match extent {
                Extent::Chunk { id, .. } if self.bad.contains(&id) => {
                    // Another copy may be well: then nothing is lost.
                    self.reader.read(crate::format::pack::PackKind::Data, &id).map(|_bytes| ())
                }
                Extent::Chunk { id, length } => {
                    let found = self.reader.index.find(&id);
                    let right = found.is_some_and(|place| place.length == length);
                    if right { Ok(()) } else { Err(RepoError::UnknownChunk { chunk: id }) }
                }
                Extent::Hole { .. } => Ok(()),
            }
        })?;
        if length == size {
            return Ok(());
        }
        use crate::format::FormatError;
        use crate::format::Rule;
        let source = FormatError::new("content", Rule::ContentSize, length);
        Err(RepoError::TreeNode { chunk: ChunkId::new([0; 32]), source })
    }
}

fn note(path: &[u8], error: &RepoError, damages: &mut Vec<Damage>) {
    let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
    let effect = format!("it cannot be restored: {}", chain_words(error));
    damages.push(Damage { path, effect });
}

/// Longer paths cannot come from a file system; they end a forged tree.
const PATH_BYTES_MAX: usize = 262_144;
