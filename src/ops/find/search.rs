//! Walks the trees of snapshots. A directory that was searched at the same path is not read again.

use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::find::FindOptions;
use crate::ops::find::FindReport;
use crate::ops::find::groups::Groups;
use crate::ops::find::matching::is_meant;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
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
use std::collections::HashMap;

/// A search through snapshots, one after the other.
pub(crate) struct Search<'a> {
    reader: &'a ChunkReader,
    options: &'a FindOptions,
    progress: &'a dyn Progress,
    groups: Groups,
    /// Directories of the source that were searched, and what was found in them, if anything was.
    searched: HashMap<(Vec<u8>, ChunkId), Option<usize>>,
    /// What was found in directories; `below` are numbers of this list.
    found: Vec<Found>,
    findings: Vec<Finding>,
    directories_read: u64,
}

/// What was found in a directory and below it.
#[derive(Debug, Default)]
struct Found {
    /// Groups of entries.
    own: Vec<usize>,
    /// Directories in it in which something was found.
    below: Vec<usize>,
}

/// A directory that is being searched.
struct Level<'a> {
    entries: Entries<'a>,
    /// How much of the path is its own.
    path_length: usize,
    /// What names its tree; nothing if the listing stands in the entry, which is read anyway.
    node: Option<ChunkId>,
    found: Found,
}

impl<'a> Search<'a> {
    /// Begins to search.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        options: &'a FindOptions,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            reader,
            options,
            progress,
            groups: Groups::default(),
            searched: HashMap::new(),
            found: Vec::new(),
            findings: Vec::new(),
            directories_read: 0,
        }
    }

    /// What follows is of another source, whose entries are told apart.
    pub(crate) fn begin_source(&mut self) {
        self.groups.begin_source();
        self.searched.clear();
        self.found.clear();
    }

    /// Searches a snapshot; `number` is its place in the report.
    pub(crate) fn run(
        &mut self,
        number: usize,
        snapshot: SnapshotId,
        (root, height): (ChunkId, u8),
    ) -> Result<(), OpError> {
        let mut path = Vec::new();
        let listing = Listing::Node { node: root, height };
        let mut levels: Vec<Box<Level<'a>>> = Vec::new();
        if let Step::Down(level) = self.open(number, &path, &listing, snapshot)? {
            levels.push(level);
        }
        // No recursion: a forged tree may be deep.
        while let Some(level) = levels.last_mut() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            path.truncate(level.path_length);
            let entry = match level.entries.next() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    self.note(&path, snapshot, error)?;
                    continue;
                }
                None => {
                    if let Some(level) = levels.pop() {
                        let above = levels.last_mut().map(|level| &mut level.found);
                        self.close(*level, &path, above);
                    }
                    continue;
                }
            };
            push_name(&mut path, &entry.entry.name);
            if is_meant(self.options, &path, &entry.entry) {
                level.found.own.push(self.groups.add(number, &path, &entry)?);
            }
            let depth = levels.len();
            if let Some(inside) = self.inside(number, &path, &entry, depth, snapshot)? {
                match inside {
                    Step::Down(inside) => levels.push(inside),
                    Step::Known(found) => {
                        if let Some(level) = levels.last_mut() {
                            level.found.below.extend(found);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds to a report what was found.
    pub(crate) fn finish(self, report: &mut FindReport) {
        let Self { groups, findings, directories_read, .. } = self;
        report.entries = groups.all;
        let source = |number: usize| report.snapshots.get(number).map(|one| &one.source);
        report.entries.sort_by(|left, right| {
            let sources = source(left.first).cmp(&source(right.first));
            sources.then_with(|| (&left.path, left.first).cmp(&(&right.path, right.first)))
        });
        report.findings.extend(findings);
        report.directories_read = directories_read;
    }

    fn inside(
        &mut self,
        number: usize,
        path: &[u8],
        entry: &OwnedEntry,
        depth: usize,
        snapshot: SnapshotId,
    ) -> Result<Option<Step<'a>>, OpError> {
        let EntryKind::Directory(directory) = &entry.entry.node else { return Ok(None) };
        if depth >= DEPTH_MAX || path.len() > PATH_BYTES_MAX {
            let object = object_words(path, snapshot);
            let effect = format!(
                "not searched: more than {DEPTH_MAX} directories deep, or a path of more than \
                 {PATH_BYTES_MAX} bytes"
            );
            self.push_finding(Finding::loss("tree.too_deep", object, effect));
            return Ok(None);
        }
        self.open(number, path, &directory.listing, snapshot).map(Some)
    }

    /// Begins to search a directory, unless that is known.
    fn open(
        &mut self,
        number: usize,
        path: &[u8],
        listing: &Listing,
        snapshot: SnapshotId,
    ) -> Result<Step<'a>, OpError> {
        let node = match listing {
            Listing::Node { node, .. } => Some(*node),
            Listing::Inline(_) => None,
        };
        if let Some(node) = node
            && let Some(known) = self.searched.get(&(path.to_vec(), node)).copied()
        {
            if let Some(found) = known {
                self.touch(found, number);
            }
            return Ok(Step::Known(known));
        }
        match Entries::of_listing(self.reader, listing) {
            Ok(entries) => {
                self.directories_read += 1;
                let found = Found::default();
                let path_length = path.len();
                Ok(Step::Down(Box::new(Level { entries, path_length, node, found })))
            }
            Err(error) => {
                self.note(path, snapshot, error)?;
                Ok(Step::Known(None))
            }
        }
    }

    /// Keeps what was found in a directory, and hands it up.
    fn close(&mut self, level: Level<'_>, path: &[u8], above: Option<&mut Found>) {
        let Level { found: Found { own, below }, node, .. } = level;
        let is_kept = node.is_some() && self.searched.len() < SEARCHED_COUNT_MAX;
        let Some(node) = node.filter(|_node| is_kept) else {
            if let Some(above) = above {
                above.own.extend(own);
                above.below.extend(below);
            }
            return;
        };
        let mut number = None;
        if !own.is_empty() || !below.is_empty() {
            number = Some(self.found.len());
            self.found.push(Found { own, below });
        }
        self.searched.insert((path.to_vec(), node), number);
        if let Some(above) = above {
            above.below.extend(number);
        }
    }

    /// Notes that a snapshot has everything that was found in a directory.
    fn touch(&mut self, found: usize, snapshot: usize) {
        let mut open = vec![found];
        while let Some(number) = open.pop() {
            let Some(Found { own, below }) = self.found.get(number) else { continue };
            for group in own {
                self.groups.touch(*group, snapshot);
            }
            open.extend(below);
        }
    }

    fn note(&mut self, path: &[u8], snapshot: SnapshotId, error: RepoError) -> Result<(), OpError> {
        if !self.reader.repository.is_damage(&error) {
            return Err(error).during("cannot read a directory");
        }
        let effect = format!("not all of it is searched: {}", chain_words(&error));
        let object = object_words(path, snapshot);
        self.push_finding(Finding::loss("directory.damaged", object, effect));
        Ok(())
    }

    fn push_finding(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_COUNT_MAX {
            self.findings.push(finding);
        }
    }
}

/// What becomes of a directory that is met.
enum Step<'a> {
    /// It is searched.
    Down(Box<Level<'a>>),
    /// It was, and this was found.
    Known(Option<usize>),
}

fn object_words(path: &[u8], snapshot: SnapshotId) -> String {
    format!("snapshot {}: /{}", snapshot.short(), path_words(path))
}

/// Most directories that are remembered; what is beyond them is read in every snapshot.
const SEARCHED_COUNT_MAX: usize = 500_000;
