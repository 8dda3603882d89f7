//! A tree without what is lost of it: everything else keeps its place, and every path that is left
//! out is named.

use crate::format::manifest::SKIPPED_COUNT_MAX;
use crate::format::manifest::SkippedPath;
use crate::format::pack::PackKind;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::format::tree::TreeEntry;
use crate::id::ChunkId;
use crate::ops::commit::StoredTree;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::restore::tree::DEPTH_MAX;
use crate::ops::restore::tree::PATH_BYTES_MAX;
use crate::ops::restore::window::wrong_size;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;

/// What is left of a tree.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    pub(crate) tree: StoredTree,
    /// What is left out and why; at most [`SKIPPED_COUNT_MAX`].
    pub(crate) left_out: Vec<SkippedPath>,
    pub(crate) left_out_count: u64,
}

/// A directory that is being walked and built again.
struct Level<'a> {
    entries: Entries<'a>,
    path: Vec<u8>,
    /// Its own entry; none at the top.
    entry: Option<OwnedEntry>,
    builder: DirectoryBuilder,
}

struct Rebuild<'a> {
    reader: &'a ChunkReader,
    tree: ChunkWriter<'a>,
    left_out: Vec<SkippedPath>,
    left_out_count: u64,
}

/// Builds a tree again from what `reader` has of it.
pub(crate) fn rebuild(
    reader: &ChunkReader,
    store: &ChunkStore,
    (node, height): (ChunkId, u8),
    progress: &dyn Progress,
) -> Result<Rebuilt, OpError> {
    let what = "cannot build the tree";
    let tree = store.writer(PackKind::Tree).during(what)?;
    let mut rebuild = Rebuild { reader, tree, left_out: Vec::new(), left_out_count: 0 };
    let entries = Entries::of_node(reader, node, height);
    let top =
        Level { entries, path: Vec::new(), entry: None, builder: DirectoryBuilder::default() };
    let mut levels = vec![top];
    loop {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        store.beat().during("cannot store the data")?;
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Err(worker_lost(what)) };
        match level.entries.next() {
            Some(Ok(entry)) => {
                if let Some(inside) = rebuild.entry(entry, level, depth).during(what)? {
                    levels.push(inside);
                }
            }
            Some(Err(error)) if reader.repository.is_damage(&error) => {
                rebuild.leave_out(
                    &level.path,
                    &format!("entries of it are lost: {}", chain_words(&error)),
                );
            }
            Some(Err(error)) => return Err(error).during("cannot read the snapshot"),
            None => {
                let Some(Level { entry, builder, .. }) = levels.pop() else {
                    return Err(worker_lost(what));
                };
                let (Some(entry), Some(above)) = (entry, levels.last_mut()) else {
                    return rebuild.finish(builder).during(what);
                };
                let directory = builder.finish(&mut rebuild.tree).during(what)?;
                let owner = entry.owner();
                let entry = TreeEntry { node: EntryKind::Directory(directory), ..entry.entry };
                above.builder.push(&mut rebuild.tree, entry, &owner).during(what)?;
            }
        }
    }
}

fn worker_lost(what: &'static str) -> OpError {
    OpError::Repo { what, source: Box::new(RepoError::WorkerLost) }
}

impl<'a> Rebuild<'a> {
    /// Takes an entry over; returns the directory that is to be walked, if it is one.
    fn entry(
        &mut self,
        found: OwnedEntry,
        level: &mut Level<'a>,
        depth: usize,
    ) -> Result<Option<Level<'a>>, RepoError> {
        let path = [level.path.as_slice(), b"/", &found.entry.name].concat();
        match &found.entry.node {
            EntryKind::Directory(_) if depth >= DEPTH_MAX || path.len() > PATH_BYTES_MAX => {
                self.leave_out(&path, "it lies deeper than a restore goes");
                return Ok(None);
            }
            EntryKind::Directory(directory) => {
                match Entries::of_listing(self.reader, &directory.listing) {
                    Ok(entries) => {
                        let builder = DirectoryBuilder::default();
                        return Ok(Some(Level { entries, path, entry: Some(found), builder }));
                    }
                    Err(error) => self.lost(&path, error)?,
                }
                return Ok(None);
            }
            EntryKind::File(file) => {
                if let Err(error) = self.content(file) {
                    self.lost(&path, error)?;
                    return Ok(None);
                }
            }
            EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => {}
        }
        let owner = found.owner();
        level.builder.push(&mut self.tree, found.entry, &owner)?;
        Ok(None)
    }

    /// Whether everything is stored that a file holds.
    fn content(&self, file: &FileEntry) -> Result<(), RepoError> {
        use crate::format::content::Extent;
        let mut seen = 0_u64;
        visit_extents(self.reader, &file.content, &mut |extent| {
            // A forged list may go on for longer than anybody can wait.
            if extent.length() > file.size - seen {
                return Err(wrong_size(&file.content));
            }
            seen += extent.length();
            match extent {
                Extent::Chunk { id, length } => match self.reader.index.find(&id) {
                    Some(place) if place.length == length => Ok(()),
                    Some(_) | None => Err(RepoError::UnknownChunk { chunk: id }),
                },
                Extent::Hole { .. } => Ok(()),
            }
        })?;
        if seen == file.size { Ok(()) } else { Err(wrong_size(&file.content)) }
    }

    /// Leaves out what is damaged.
    ///
    /// Errors: what says nothing of damage.
    fn lost(&mut self, path: &[u8], error: RepoError) -> Result<(), RepoError> {
        if !self.reader.repository.is_damage(&error) {
            return Err(error);
        }
        self.leave_out(path, &format!("it is lost: {}", chain_words(&error)));
        Ok(())
    }

    fn leave_out(&mut self, path: &[u8], why: &str) {
        self.left_out_count += 1;
        if self.left_out.len() < SKIPPED_COUNT_MAX {
            let path = path_words(if path.is_empty() { b"/" } else { path });
            self.left_out.push(SkippedPath { path, reason: why.to_owned() });
        }
    }

    fn finish(mut self, top: DirectoryBuilder) -> Result<Rebuilt, RepoError> {
        let (node, height, totals) = top.finish_root(&mut self.tree)?;
        self.tree.flush()?;
        let Self { left_out, left_out_count, .. } = self;
        let tree = StoredTree { node, height, totals };
        Ok(Rebuilt { tree, left_out, left_out_count })
    }
}
