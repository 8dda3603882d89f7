//! Makes the tree of a snapshot anew without what is excluded. Contents are shared, not read.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::manifest::SnapshotPredicate;
use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::format::tree::Owner;
use crate::format::tree::Totals;
use crate::format::tree::TreeEntry;
use crate::id::ChunkId;
use crate::ops::commit::StoredTree;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::look::push_name;
use crate::ops::progress::Progress;
use crate::ops::restore::Filter;
use crate::ops::restore::tree::DEPTH_MAX;
use crate::ops::restore::tree::PATH_BYTES_MAX;
use crate::ops::snapshot::parent::is_stored;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::tree::builder::totals_of;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use std::collections::BTreeMap;
use std::collections::HashSet;

/// Directories in which nothing is excluded, by path and the name of their tree.
#[derive(Debug, Default)]
pub(crate) struct Unchanged(HashSet<(Vec<u8>, ChunkId)>);

/// What was left out of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// What, with everything below.
    pub(crate) totals: Totals,
    /// Paths that were backed up by name, in words.
    pub(crate) roots: Vec<String>,
    /// Names at the top, of which something is left out, and whether all is.
    tops: BTreeMap<Vec<u8>, bool>,
}

/// Walks one tree.
pub(crate) struct TreeRewrite<'a> {
    reader: &'a ChunkReader,
    exclude: &'a Filter,
    progress: &'a dyn Progress,
    unchanged: &'a mut Unchanged,
    /// What was backed up by name, in words: what leads there stays.
    roots: &'a [String],
    /// Where the tree is built; nothing if it is only looked at.
    target: Option<Target<'a>>,
    left_out: LeftOut,
}

/// Where a tree is built.
struct Target<'a> {
    store: &'a ChunkStore,
    writer: ChunkWriter<'a>,
}

/// A directory that is being walked.
struct Level<'a> {
    entries: Entries<'a>,
    path_length: usize,
    builder: DirectoryBuilder,
    /// Its own entry; none at the top.
    entry: Option<OwnedEntry>,
    is_changed: bool,
}

impl<'a> TreeRewrite<'a> {
    /// Looks for what is excluded.
    pub(crate) fn new(
        reader: &'a ChunkReader,
        exclude: &'a Filter,
        roots: &'a [String],
        unchanged: &'a mut Unchanged,
        progress: &'a dyn Progress,
    ) -> Self {
        let left_out = LeftOut::default();
        Self { reader, exclude, progress, unchanged, roots, target: None, left_out }
    }

    /// Builds the tree, too.
    pub(crate) fn into_store(mut self, store: &'a ChunkStore) -> Result<Self, OpError> {
        use crate::format::pack::PackKind;
        let writer = store.writer(PackKind::Tree).during("cannot begin to write")?;
        self.target = Some(Target { store, writer });
        Ok(self)
    }

    /// Walks everything; returns the new tree, if it is built, and what is left out of it.
    pub(crate) fn run(
        mut self,
        (root, height): (ChunkId, u8),
    ) -> Result<(Option<StoredTree>, LeftOut), OpError> {
        let mut path = Vec::new();
        let entries = Entries::of_node(self.reader, root, height);
        let top = Level {
            entries,
            path_length: 0,
            builder: DirectoryBuilder::default(),
            entry: None,
            is_changed: false,
        };
        let mut levels = vec![top];
        // No recursion: a forged tree may be deep.
        while let Some(level) = levels.last_mut() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            path.truncate(level.path_length);
            let Some(entry) = level.entries.next() else {
                let Some(done) = levels.pop() else { break };
                let Some(above) = levels.last_mut() else { return self.finish(done) };
                self.leave(done, &path, above)?;
                continue;
            };
            let entry = entry.map_err(|error| damaged(&path, error))?;
            push_name(&mut path, &entry.entry.name);
            if self.excludes(&path, &entry.entry.node) {
                level.is_changed = true;
                self.leave_out(&path, &entry.entry.node);
                continue;
            }
            match self.inside(&entry, &path, levels.len())? {
                Some(inside) => levels.push(inside),
                None => self.keep(levels.last_mut(), entry, &path)?,
            }
        }
        Err(RepoError::WorkerLost.into())
    }

    /// What is directly above paths that were backed up by name stays, as it does in a snapshot.
    fn excludes(&self, path: &[u8], node: &EntryKind) -> bool {
        let shown = [b"/", path].concat();
        let is_directory = matches!(node, EntryKind::Directory(_));
        if !(self.exclude)(&shown, is_directory) {
            return false;
        }
        !(is_directory && self.leads_to_root(path))
    }

    fn leads_to_root(&self, path: &[u8]) -> bool {
        let above = format!("/{}/", path_words(path));
        self.roots.iter().any(|root| root.starts_with(&above))
    }

    fn leave_out(&mut self, path: &[u8], node: &EntryKind) {
        self.left_out.totals = self.left_out.totals.plus(totals_of(node));
        let words = path_words(&[b"/", path].concat());
        let below = format!("{words}/");
        let gone = self.roots.iter().filter(|root| **root == words || root.starts_with(&below));
        self.left_out.roots.extend(gone.cloned());
        let top = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        let is_whole = top.len() == path.len();
        match self.left_out.tops.get_mut(top) {
            Some(is_gone) => *is_gone |= is_whole,
            None => drop(self.left_out.tops.insert(top.to_vec(), is_whole)),
        }
    }

    /// The directory that is to be walked, if the entry is one in which something may be excluded.
    fn inside(
        &self,
        entry: &OwnedEntry,
        path: &[u8],
        depth: usize,
    ) -> Result<Option<Level<'a>>, OpError> {
        let EntryKind::Directory(directory) = &entry.entry.node else { return Ok(None) };
        if let Some(key) = key_of(path, directory)
            && self.unchanged.0.contains(&key)
        {
            return Ok(None);
        }
        if depth >= DEPTH_MAX || path.len() > PATH_BYTES_MAX {
            let why = format!(
                "`/{}` is more than {DEPTH_MAX} directories deep, or longer than {PATH_BYTES_MAX} bytes",
                path_words(path)
            );
            return Err(OpError::Refused { why });
        }
        let entries = Entries::of_listing(self.reader, &directory.listing);
        Ok(Some(Level {
            entries: entries.map_err(|error| damaged(path, error))?,
            path_length: path.len(),
            builder: DirectoryBuilder::default(),
            entry: Some(entry.clone()),
            is_changed: false,
        }))
    }

    /// Takes an entry as it is.
    fn keep(
        &mut self,
        level: Option<&mut Level<'_>>,
        found: OwnedEntry,
        path: &[u8],
    ) -> Result<(), OpError> {
        let Some((target, level)) = self.target.as_mut().zip(level) else { return Ok(()) };
        target.store.beat().during("cannot keep the session alive")?;
        if let EntryKind::File(file) = &found.entry.node
            && !is_stored(self.reader, target.store, &file.content)
        {
            return Err(damaged(path, missing(target.store, &file.content)));
        }
        let owner = found.owner();
        push(target, level, found.entry, &owner)
    }

    /// Ends a directory and puts it into the one above.
    fn leave(
        &mut self,
        done: Level<'_>,
        path: &[u8],
        above: &mut Level<'_>,
    ) -> Result<(), OpError> {
        let Level { builder, entry, is_changed, .. } = done;
        let Some(found) = entry else { return Ok(()) };
        above.is_changed |= is_changed;
        let owner = found.owner();
        let mut entry = found.entry;
        if is_changed {
            if let Some(target) = &mut self.target {
                let listing = builder.finish(&mut target.writer).during(BUILD)?;
                entry.node = EntryKind::Directory(listing);
            }
        } else if let EntryKind::Directory(directory) = &entry.node
            && let Some(key) = key_of(path, directory)
            && self.unchanged.0.len() < UNCHANGED_COUNT_MAX
            // What stays for the paths of this snapshot may go in another one.
            && !self.leads_to_root(path)
        {
            self.unchanged.0.insert(key);
        }
        match &mut self.target {
            Some(target) => push(target, above, entry, &owner),
            None => Ok(()),
        }
    }

    fn finish(self, top: Level<'_>) -> Result<(Option<StoredTree>, LeftOut), OpError> {
        let Self { target, left_out, .. } = self;
        let Some(Target { mut writer, .. }) = target else { return Ok((None, left_out)) };
        let (node, height, totals) = top.builder.finish_root(&mut writer).during(BUILD)?;
        writer.flush().during(BUILD)?;
        Ok((Some(StoredTree { node, height, totals }), left_out))
    }
}

fn push(
    target: &mut Target<'_>,
    level: &mut Level<'_>,
    entry: TreeEntry,
    owner: &Owner,
) -> Result<(), OpError> {
    level.builder.push(&mut target.writer, entry, owner).during(BUILD)
}

/// The chunk of a content that is not stored.
fn missing(store: &ChunkStore, content: &Content) -> RepoError {
    let chunk = match content {
        Content::List { node, .. } => Some(*node),
        Content::Inline(extents) => extents.iter().find_map(|extent| match extent {
            Extent::Chunk { id, .. } => (!store.knows(id)).then_some(*id),
            Extent::Hole { .. } => None,
        }),
    };
    RepoError::UnknownChunk { chunk: chunk.unwrap_or(ChunkId::new([0; 32])) }
}

fn key_of(path: &[u8], directory: &DirectoryEntry) -> Option<(Vec<u8>, ChunkId)> {
    match &directory.listing {
        Listing::Node { node, .. } => Some((path.to_vec(), *node)),
        Listing::Inline(_) => None,
    }
}

/// Drops from what a manifest states the paths of what was left out.
pub(crate) fn drop_paths(predicate: &mut SnapshotPredicate, exclude: &Filter, left_out: &LeftOut) {
    predicate.paths.retain(|path| !left_out.roots.contains(path));
    // What is stated of a dump names tables, and says how many rows they had. One that is a directory is
    // no dump any more if a file of it is gone.
    let tops = &left_out.tops;
    predicate.streams.retain(|stream| !tops.contains_key(stream.name.as_bytes()));
    let stays = |name: &str| tops.get(name.as_bytes()) != Some(&true);
    // Streams stand there with their names, which begin with no slash.
    predicate.paths.retain(|path| path.starts_with('/') || stays(path));
    let before = predicate.skipped.len();
    predicate.skipped.retain(|skipped| !is_below(&skipped.path, exclude));
    let dropped = crate::units::to_u64(before - predicate.skipped.len());
    predicate.skipped_count = predicate.skipped_count.saturating_sub(dropped);
}

/// Whether a path in words, or one above it, is excluded, be it a directory or not.
fn is_below(words: &str, exclude: &Filter) -> bool {
    let path = path_bytes(words);
    let ends = path.iter().enumerate().skip(1).filter(|(_at, byte)| **byte == b'/');
    let above = ends.map(|(at, _byte)| &path[..at]);
    above.into_iter().any(|path| exclude(path, true))
        || exclude(&path, true)
        || exclude(&path, false)
}

/// The bytes of which [`path_words`] made words.
fn path_bytes(words: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), words.as_bytes());
    while let [first, behind @ ..] = rest {
        let escaped = match (first, behind) {
            (b'\\', [b'\\', ..]) => Some((b'\\', 1)),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok();
                digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(|byte| (byte, 3))
            }
            _plain => None,
        };
        let (byte, length) = escaped.unwrap_or((*first, 0));
        bytes.push(byte);
        rest = behind.get(length..).unwrap_or_default();
    }
    bytes
}

fn damaged(path: &[u8], error: RepoError) -> OpError {
    if matches!(error, RepoError::Interrupted) {
        return OpError::Interrupted;
    }
    OpError::Rewrite { path: format!("/{}", path_words(path)), source: Box::new(error) }
}

const BUILD: &str = "cannot build the tree";
/// Most directories that are remembered; what is beyond them is walked in every snapshot.
const UNCHANGED_COUNT_MAX: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_bytes() {
        for bytes in [&b"/a\\b\n\xff\xc3\xa4"[..], b"\\x41", b"\\", b"plain"] {
            assert_eq!(path_bytes(&path_words(bytes)), bytes);
        }
    }

    #[test]
    fn what_lies_below_something_excluded_is_found() {
        let exclude: Filter =
            std::sync::Arc::new(|path, is_directory| path == b"/a/b" && is_directory);
        assert!(is_below("/a/b/c", &exclude) && is_below("/a/b", &exclude));
        assert!(!is_below("/a", &exclude) && !is_below("/a/bc", &exclude));
    }
}
