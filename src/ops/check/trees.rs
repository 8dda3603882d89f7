//! Trees: is every chunk that a snapshot names in the index, and is none of them damaged?

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::content::ListNode;
use crate::format::pack::PackKind;
use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::ops::check::CheckReport;
use crate::ops::check::FINDINGS_COUNT_MAX;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::restore::tree::DEPTH_MAX;
use crate::ops::restore::tree::PATH_BYTES_MAX;
use crate::ops::restore::window::wrong_size;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::totals_of;
use crate::repo::tree::content::read_list_node;
use crate::repo::tree::reader::Entries;
use crate::units::to_u64;
use std::collections::HashMap;
use std::collections::HashSet;

/// Walks the trees of all snapshots; a directory that stands in several is walked once, unless
/// something in it is damaged and there is room for more findings.
pub(crate) struct TreeCheck<'a> {
    reader: &'a ChunkReader,
    bad: &'a HashSet<ChunkId>,
    progress: &'a dyn Progress,
    clean: HashSet<(ChunkId, u8, Totals)>,
    damaged: HashSet<(ChunkId, u8, Totals)>,
    /// Lists of extents that are well, with their height, and how many bytes they cover.
    lists: HashMap<(ChunkId, u8), u64>,
}

/// A directory that is being walked.
struct Level<'a> {
    entries: Entries<'a>,
    node: Option<(ChunkId, u8, Totals)>,
    path: Vec<u8>,
    declared: Totals,
    counted: Totals,
    /// How many findings there were before it.
    findings_before: u64,
}

impl<'a> TreeCheck<'a> {
    /// A walk that takes the chunks of `bad` for lost.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        bad: &'a HashSet<ChunkId>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            reader,
            bad,
            progress,
            clean: HashSet::new(),
            damaged: HashSet::new(),
            lists: HashMap::new(),
        }
    }

    /// Walks everything.
    pub(crate) fn run(
        mut self,
        history: &History,
        report: &mut CheckReport,
    ) -> Result<(), OpError> {
        history.snapshots.iter().try_for_each(|live| self.walk(live, report))
    }

    /// Walks one snapshot.
    pub(crate) fn walk(
        &mut self,
        live: &LiveSnapshot,
        report: &mut CheckReport,
    ) -> Result<(), OpError> {
        report.snapshots += 1;
        let mut found = Found { live, report, progress: self.progress };
        self.snapshot(live, &mut found)
    }

    fn snapshot(&mut self, live: &LiveSnapshot, found: &mut Found<'_>) -> Result<(), OpError> {
        let manifest = match live.manifest(&self.reader.repository) {
            Ok(manifest) => manifest,
            Err(error) if self.reader.repository.is_damage(&error) => {
                found.note(b"/", &format!("its manifest is damaged: {}", chain_words(&error)));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Some((node, height)) = manifest.root() else { return Ok(()) };
        let totals = manifest.predicate.totals.into();
        let top = DirectoryEntry { listing: Listing::Node { node, height }, totals };
        let mut open = Vec::new();
        open.extend(self.enter(&top, Vec::new(), found)?);
        // No recursion: a forged tree may be deep.
        while let Some(level) = open.last_mut() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            match level.entries.next() {
                Some(Ok(entry)) => {
                    level.counted = level.counted.plus(totals_of(&entry.entry.node));
                    let path = [&level.path, b"/".as_slice(), &entry.entry.name].concat();
                    let inside = self.entry(&entry.entry.node, path, found)?;
                    if let Some(inside) = inside {
                        if open.len() < DEPTH_MAX && inside.path.len() <= PATH_BYTES_MAX {
                            open.push(inside);
                        } else {
                            found.note(&inside.path, "it lies deeper than a restore goes");
                        }
                    }
                }
                Some(Err(error)) if self.reader.repository.is_damage(&error) => {
                    found.lost(&level.path, &error);
                }
                Some(Err(error)) => return Err(error.into()),
                None => {
                    if let Some(level) = open.pop() {
                        self.leave(&level, found);
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens a directory, unless what is in it is known.
    fn enter(
        &mut self,
        directory: &DirectoryEntry,
        path: Vec<u8>,
        found: &mut Found<'_>,
    ) -> Result<Option<Level<'a>>, OpError> {
        let DirectoryEntry { listing, totals } = directory;
        let node = match listing {
            Listing::Node { node, height } => Some((*node, *height, *totals)),
            Listing::Inline(_) => None,
        };
        if node.is_some_and(|node| self.clean.contains(&node)) {
            return Ok(None);
        }
        let full = found.report.findings_count >= to_u64(FINDINGS_COUNT_MAX);
        if full && node.is_some_and(|node| self.damaged.contains(&node)) {
            found.note(&path, "something in it is damaged, as said elsewhere");
            return Ok(None);
        }
        match Entries::of_listing(self.reader, listing) {
            Ok(entries) => {
                let findings_before = found.report.findings_count;
                let (declared, counted) = (*totals, Totals::default());
                Ok(Some(Level { entries, node, path, declared, counted, findings_before }))
            }
            Err(error) if self.reader.repository.is_damage(&error) => {
                found.lost(&path, &error);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers whether everything below a directory is well.
    fn leave(&mut self, level: &Level<'_>, found: &mut Found<'_>) {
        let was_clean = found.report.findings_count == level.findings_before;
        if was_clean && level.counted != level.declared {
            found.note(&level.path, "it declares other totals than its entries have");
        }
        let Some(node) = level.node else { return };
        let is_clean = found.report.findings_count == level.findings_before;
        if is_clean {
            self.clean.insert(node)
        } else {
            self.damaged.insert(node)
        };
    }

    /// Checks an entry; returns the directory that is to be walked, if it is one.
    fn entry(
        &mut self,
        node: &EntryKind,
        path: Vec<u8>,
        found: &mut Found<'_>,
    ) -> Result<Option<Level<'a>>, OpError> {
        match node {
            EntryKind::Directory(directory) => self.enter(directory, path, found),
            EntryKind::File(file) => {
                found.report.files += 1;
                self.progress.advance(1, 0);
                match self.content(&file.content, file.size) {
                    Ok(()) => Ok(None),
                    Err(error) if self.reader.repository.is_damage(&error) => {
                        found.lost(&path, &error);
                        Ok(None)
                    }
                    Err(error) => Err(error.into()),
                }
            }
            EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => Ok(None),
        }
    }

    fn content(&mut self, content: &Content, size: u64) -> Result<(), RepoError> {
        let length = match content {
            Content::Inline(extents) => self.extents(extents)?,
            Content::List { node, height, .. } => self.list(*node, *height)?,
        };
        if length == size { Ok(()) } else { Err(wrong_size(content)) }
    }

    /// Checks a list of extents, each node once: a forged one repeats them. At most nine levels.
    fn list(&mut self, node: ChunkId, height: u8) -> Result<u64, RepoError> {
        if let Some(length) = self.lists.get(&(node, height)) {
            return Ok(*length);
        }
        if self.progress.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let length = match read_list_node(self.reader, &node, height)? {
            ListNode::Leaf(extents) => self.extents(&extents)?,
            ListNode::Internal(children) => {
                let mut length = 0_u64;
                for child in children {
                    let bytes = self.list(child.node, height.saturating_sub(1))?;
                    if bytes != child.bytes {
                        let source = FormatError::new("list node", Rule::ContentSize, bytes);
                        return Err(RepoError::TreeNode { chunk: node, source });
                    }
                    length = length.saturating_add(bytes);
                }
                length
            }
        };
        self.lists.insert((node, height), length);
        Ok(length)
    }

    fn extents(&self, extents: &[Extent]) -> Result<u64, RepoError> {
        let mut sum = 0_u64;
        for extent in extents {
            sum = sum.saturating_add(extent.length());
            match *extent {
                Extent::Chunk { id, .. } if self.bad.contains(&id) => {
                    // Another copy may be well: then nothing is lost.
                    self.reader.read(PackKind::Data, &id)?;
                }
                Extent::Chunk { id, length } => {
                    let place = self.reader.index.find(&id);
                    if place.is_none_or(|place| place.length != length) {
                        return Err(RepoError::UnknownChunk { chunk: id });
                    }
                }
                Extent::Hole { .. } => {}
            }
        }
        Ok(sum)
    }
}

/// Where findings about a snapshot go.
struct Found<'a> {
    live: &'a LiveSnapshot,
    report: &'a mut CheckReport,
    progress: &'a dyn Progress,
}

impl Found<'_> {
    fn note(&mut self, path: &[u8], effect: &str) {
        let path = if path.is_empty() { b"/" } else { path };
        let name = format!("{} ({})", self.live.snapshot.short(), self.live.source);
        let object = format!("snapshot {name}: {}", path_words(path));
        let finding = Finding::loss("file.damaged", object, effect.to_owned());
        self.report.note(finding, self.progress);
    }

    fn lost(&mut self, path: &[u8], error: &RepoError) {
        self.note(path, &format!("it cannot be restored: {}", chain_words(error)));
    }
}
