//! From a tree of one repository to the same tree in another: directories keep their order while
//! the chunks of their files are moved window by window.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::format::tree::Listing;
use crate::format::tree::Owner;
use crate::format::tree::TreeEntry;
use crate::id::ChunkId;
use crate::ops::commit::StoredTree;
use crate::ops::copy::earlier::Both;
use crate::ops::copy::earlier::EarlierCursor;
use crate::ops::copy::known::Known;
use crate::ops::copy::mover::Mover;
use crate::ops::copy::steps::Step;
use crate::ops::copy::steps::Window;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::tree::DEPTH_MAX;
use crate::ops::restore::tree::PATH_BYTES_MAX;
use crate::ops::restore::window::wrong_size;
use crate::ops::snapshot::pace::Pace;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::tree::content::ContentBuilder;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use crate::repo::write::ChunkStore;
use crate::repo::write::ChunkWriter;
use std::sync::Arc;

/// Copies one tree.
pub(crate) struct TreeCopy<'a> {
    parts: TreeCopyParts<'a>,
    known: &'a mut Known,
    tree: ChunkWriter<'a>,
    window: Window,
    open: Vec<DirectoryBuilder>,
    top: DirectoryBuilder,
    /// The file whose extents are being gathered.
    content: ContentBuilder,
    /// Files of which something was read.
    files_read: u64,
}

/// What a copy of a tree is made of.
pub(crate) struct TreeCopyParts<'a> {
    pub(crate) source: &'a ChunkReader,
    pub(crate) store: &'a ChunkStore,
    pub(crate) mover: &'a Mover<'a>,
    pub(crate) earlier: Option<EarlierCursor<'a>>,
    pub(crate) pace: &'a Pace<'a>,
    pub(crate) progress: &'a dyn Progress,
}

/// A tree that was copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopiedTree {
    pub(crate) tree: StoredTree,
    pub(crate) files_read: u64,
}

/// Why a tree is not copied.
#[derive(Debug)]
pub(crate) enum Halt {
    /// These paths of it are damaged, and maybe others.
    Damaged(Vec<(Vec<u8>, Arc<RepoError>)>),
    /// Nothing can go on.
    Failed(OpError),
}

impl From<OpError> for Halt {
    fn from(error: OpError) -> Self {
        Self::Failed(error)
    }
}

/// A directory of the source that is being walked.
struct Level<'a> {
    entries: Entries<'a>,
    path: Vec<u8>,
    /// Its own entry; none at the top.
    entry: Option<OwnedEntry>,
}

/// Why the list of a content is not walked to its end.
enum Torn {
    /// The list itself is damaged, or cannot be read.
    Source(RepoError),
    /// A window that it filled could not be moved.
    Window(Halt),
}

impl From<RepoError> for Torn {
    fn from(error: RepoError) -> Self {
        Self::Source(error)
    }
}

impl<'a> TreeCopy<'a> {
    /// Begins a copy.
    pub(crate) fn new(parts: TreeCopyParts<'a>, known: &'a mut Known) -> Result<Self, OpError> {
        use crate::format::pack::PackKind;
        let tree = parts.store.writer(PackKind::Tree).during("cannot begin to write")?;
        Ok(Self {
            parts,
            known,
            tree,
            window: Window::default(),
            open: Vec::new(),
            top: DirectoryBuilder::default(),
            content: ContentBuilder::default(),
            files_read: 0,
        })
    }

    /// Copies everything below a top node.
    pub(crate) fn run(mut self, root: ChunkId, height: u8) -> Result<CopiedTree, Halt> {
        let source = self.parts.source;
        let entries = Entries::of_node(source, root, height);
        let mut levels = vec![Level { entries, path: Vec::new(), entry: None }];
        // No recursion: a forged tree may be deep.
        while let Some(level) = levels.last_mut() {
            self.pause_if_due()?;
            match level.entries.next() {
                Some(Ok(entry)) => {
                    let path = [level.path.as_slice(), b"/", &entry.entry.name].concat();
                    if let Some(inside) = self.entry(&entry, path)? {
                        if levels.len() >= DEPTH_MAX || inside.path.len() > PATH_BYTES_MAX {
                            return Err(too_deep(inside.path));
                        }
                        levels.push(inside);
                    }
                }
                Some(Err(error)) => return Err(self.halt(&level.path, error)),
                None => {
                    if let Some(level) = levels.pop() {
                        self.leave(level);
                    }
                }
            }
            if self.window.is_full() {
                self.settle()?;
            }
        }
        self.settle()?;
        let what = "cannot build the tree";
        let (node, height, totals) = self.top.finish_root(&mut self.tree).during(what)?;
        self.tree.flush().during(what)?;
        self.parts.mover.flush().during("cannot store the data")?;
        let tree = StoredTree { node, height, totals };
        Ok(CopiedTree { tree, files_read: self.files_read })
    }

    fn pause_if_due(&mut self) -> Result<(), Halt> {
        if self.parts.progress.is_cancelled() {
            return Err(OpError::Interrupted.into());
        }
        if self.parts.pace.is_due().during("cannot store the data")? {
            self.settle()?;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Commits what was stored. Nothing may wait in the window.
    fn checkpoint(&mut self) -> Result<(), OpError> {
        let what = "cannot commit a checkpoint";
        self.tree.flush().during(what)?;
        self.parts.mover.flush().during(what)?;
        self.parts.pace.checkpoint().during(what)
    }

    /// Takes an entry; returns the directory that is to be walked, if it is one.
    fn entry(&mut self, found: &OwnedEntry, path: Vec<u8>) -> Result<Option<Level<'a>>, Halt> {
        let name = &found.entry.name;
        let both = self.parts.earlier.as_mut().and_then(|earlier| earlier.find(name));
        match &found.entry.node {
            EntryKind::Directory(directory) => {
                self.directory(directory, both.as_ref(), found, path)
            }
            EntryKind::File(file) => {
                self.file(file, both.as_ref(), found, path)?;
                Ok(None)
            }
            EntryKind::Symlink { .. }
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharacterDevice(_)
            | EntryKind::BlockDevice(_) => {
                self.ready(found, found.entry.node.clone());
                Ok(None)
            }
        }
    }

    fn directory(
        &mut self,
        directory: &DirectoryEntry,
        both: Option<&Both>,
        found: &OwnedEntry,
        path: Vec<u8>,
    ) -> Result<Option<Level<'a>>, Halt> {
        if let Some(copy) = self.copied_directory(directory, both) {
            self.parts.progress.advance(copy.totals.files, copy.totals.bytes);
            self.ready(found, EntryKind::Directory(copy));
            return Ok(None);
        }
        if let Some(earlier) = &mut self.parts.earlier {
            earlier.enter(both);
        }
        let entries = Entries::of_listing(self.parts.source, &directory.listing);
        let entries = entries.map_err(|error| self.halt(&path, error))?;
        self.window.push(Step::Enter);
        Ok(Some(Level { entries, path, entry: Some(found.clone()) }))
    }

    /// What a directory is in the other repository, if everything that it names is there.
    fn copied_directory(
        &mut self,
        directory: &DirectoryEntry,
        both: Option<&Both>,
    ) -> Option<DirectoryEntry> {
        // Where packs are missing, what they held is stored again.
        if self.parts.store.index().has_gaps() {
            return None;
        }
        if let Some(copy) = both.and_then(|both| both.directory(directory)) {
            return Some(copy.clone());
        }
        let Listing::Node { node, height } = &directory.listing else { return None };
        self.known.directory(*node, *height)
    }

    fn file(
        &mut self,
        file: &FileEntry,
        both: Option<&Both>,
        found: &OwnedEntry,
        path: Vec<u8>,
    ) -> Result<(), Halt> {
        let TreeCopyParts { store, earlier, progress, .. } = &self.parts;
        let copied = earlier.as_ref().zip(both);
        if let Some(copy) = copied.and_then(|(earlier, both)| earlier.file(both, file, store)) {
            progress.advance(1, file.size);
            self.ready(found, EntryKind::File(copy));
            return Ok(());
        }
        if let Content::List { node, height, .. } = &file.content
            && !store.index().has_gaps()
            && let Some(content) = self.known.list(*node, *height)
        {
            progress.advance(1, file.size);
            self.ready(found, EntryKind::File(FileEntry { content, ..file.clone() }));
            return Ok(());
        }
        if let Some((earlier, both)) = self.parts.earlier.as_ref().zip(both) {
            earlier.note_chunks(both, self.known);
        }
        self.content(file, &path)?;
        let owner = found.owner();
        self.window.push(Step::File { entry: found.entry.clone(), owner, path });
        Ok(())
    }

    /// Gathers the extents of a file; a long one fills several windows.
    fn content(&mut self, file: &FileEntry, path: &[u8]) -> Result<(), Halt> {
        let source = self.parts.source;
        let (mut seen, mut is_read) = (0_u64, false);
        let visited = visit_extents(source, &file.content, &mut |extent| {
            // A forged list may go on for longer than anybody can wait.
            if extent.length() > file.size - seen {
                return Err(Torn::Source(wrong_size(&file.content)));
            }
            seen += extent.length();
            is_read |= self.extent(extent);
            if self.window.is_full() {
                self.window.path = path.to_vec();
                self.settle().and_then(|()| self.pause_if_due()).map_err(Torn::Window)?;
            }
            Ok(())
        });
        match visited {
            Ok(()) if seen == file.size => {}
            Ok(()) => return Err(self.halt(path, wrong_size(&file.content))),
            Err(Torn::Source(error)) => return Err(self.halt(path, error)),
            Err(Torn::Window(halt)) => return Err(halt),
        }
        self.files_read += u64::from(is_read);
        Ok(())
    }

    /// Adds an extent to the window; says whether its chunk must be read.
    fn extent(&mut self, extent: Extent) -> bool {
        let mut is_read = false;
        if let Extent::Chunk { id, length } = extent
            && !self.window.has(&id)
        {
            let store = self.parts.store;
            // What it was named in an earlier session may have been collected since.
            let named = self.known.chunk(&id).filter(|named| store.knows(&named.id));
            is_read = named.is_none();
            match named {
                Some(named) => self.window.note(id, named),
                None => self.window.want(id, length),
            }
        }
        if !is_read {
            self.parts.progress.advance(0, extent.length());
        }
        self.window.push_extent(extent);
        is_read
    }

    fn ready(&mut self, found: &OwnedEntry, node: EntryKind) {
        let entry = TreeEntry { node, ..found.entry.clone() };
        self.window.push(Step::Ready { entry, owner: found.owner() });
    }

    fn leave(&mut self, level: Level<'_>) {
        let Some(found) = level.entry else { return };
        if let Some(earlier) = &mut self.parts.earlier {
            earlier.leave();
        }
        let owner = found.owner();
        self.window.push(Step::Leave { entry: found.entry, owner });
    }

    /// Moves the chunks that the window wants, and then its entries into the tree.
    fn settle(&mut self) -> Result<(), Halt> {
        let mut damaged = Vec::new();
        for (id, moved) in self.parts.mover.move_all(&self.window.take_wanted())? {
            match moved {
                Ok(named) => {
                    self.known.note_chunk(id, named);
                    self.window.note(id, named);
                }
                Err(error) => damaged.push((id, error)),
            }
        }
        let paths = self.window.damaged_paths(damaged);
        if !paths.is_empty() {
            return Err(Halt::Damaged(paths));
        }
        let (steps, named) = self.window.take();
        for step in steps {
            self.place(step, &named).during("cannot build the tree")?;
        }
        Ok(())
    }

    fn place(
        &mut self,
        step: Step,
        named: &crate::ops::copy::steps::Named,
    ) -> Result<(), RepoError> {
        match step {
            Step::Enter => {
                self.open.push(DirectoryBuilder::default());
                Ok(())
            }
            Step::Leave { mut entry, owner } => {
                let Some(builder) = self.open.pop() else { return Err(RepoError::WorkerLost) };
                let copy = builder.finish(&mut self.tree)?;
                if let EntryKind::Directory(original) = &entry.node
                    && let Listing::Node { node, height } = &original.listing
                {
                    self.known.note_directory(*node, *height, copy.clone());
                }
                entry.node = EntryKind::Directory(copy);
                self.push(entry, &owner)
            }
            Step::Ready { entry, owner } => self.push(entry, &owner),
            Step::Extents(extents) => {
                for extent in extents {
                    let extent = match extent {
                        Extent::Hole { .. } => extent,
                        Extent::Chunk { id, length } => {
                            let named = named.get(&id).ok_or(RepoError::WorkerLost)?;
                            Extent::Chunk { id: named.id, length }
                        }
                    };
                    self.content.push(&mut self.tree, extent)?;
                }
                Ok(())
            }
            Step::File { mut entry, owner, path: _ } => {
                let content = std::mem::take(&mut self.content).finish(&mut self.tree)?;
                if let EntryKind::File(file) = &mut entry.node {
                    if let Content::List { node, height, .. } = &file.content {
                        self.known.note_list(*node, *height, content.clone());
                    }
                    file.content = content;
                }
                self.parts.progress.advance(1, 0);
                self.push(entry, &owner)
            }
        }
    }

    fn push(&mut self, entry: TreeEntry, owner: &Owner) -> Result<(), RepoError> {
        let builder = self.open.last_mut().unwrap_or(&mut self.top);
        builder.push(&mut self.tree, entry, owner)
    }

    /// Why a path cannot be copied: damage, or a store that fails.
    fn halt(&self, path: &[u8], error: RepoError) -> Halt {
        if self.parts.source.repository.is_damage(&error) {
            return Halt::Damaged(vec![(path.to_vec(), Arc::new(error))]);
        }
        if matches!(error, RepoError::Interrupted) {
            return Halt::Failed(OpError::Interrupted);
        }
        Halt::Failed(OpError::Repo { what: "cannot read the snapshot", source: error.into() })
    }
}

fn too_deep(path: Vec<u8>) -> Halt {
    use crate::format::FormatError;
    use crate::format::Rule;
    let source = FormatError::new("tree", Rule::TreeHeight, crate::units::to_u64(path.len()));
    let error = RepoError::TreeNode { chunk: ChunkId::new([0; 32]), source };
    Halt::Damaged(vec![(path, Arc::new(error))])
}
