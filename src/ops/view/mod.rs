//! Snapshots as directories and files that are read when they are asked for: what `mount` and `serve` show.
//!
//! Nothing is written to this host's disk.

pub(crate) mod ahead;
pub(crate) mod catalogue;
pub(crate) mod file;
pub(crate) mod place;

use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::format::tree::Timestamp;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::view::ahead::Ahead;
use crate::ops::view::catalogue::Catalogue;
use crate::ops::view::catalogue::Child;
use crate::ops::view::file::OpenFile;
use crate::ops::view::place::Place;
use crate::ops::view::place::Top;
use crate::ops::words::parse_time;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::repo::tree::reader::Entries;
use crate::repo::valid::load_valid;
use crate::units::to_u64;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Says what is wrong while something is shown.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// What is shown.
pub(crate) struct View {
    reader: Arc<ChunkReader>,
    /// Opens blocks that are likely to be read next.
    ahead: Ahead,
    /// What everything lies in.
    pub(crate) root: Place,
    listings: Mutex<Listings>,
    catalogue: Mutex<Listed>,
    warn: Warn,
    warned: AtomicU64,
    /// Bytes of files that were handed out.
    pub(crate) bytes_read: Arc<AtomicU64>,
}

/// The snapshots, and when they were listed.
struct Listed {
    catalogue: Arc<Catalogue>,
    seconds: i64,
    /// When a list differed from the one before; the nanoseconds count how often one did.
    changed: Timestamp,
}

/// A directory: what is read of it carries the snapshot along.
type ListingKey = (SnapshotId, ChunkId);

/// Directories that were listed lately.
#[derive(Default)]
struct Listings {
    kept: HashMap<ListingKey, (Arc<Vec<Child>>, u64)>,
    entries: usize,
    clock: u64,
}

impl View {
    /// Everything, or what is selected.
    pub(crate) fn new(
        repository: &Repository,
        selected: Option<&Selected>,
        cache_bytes: usize,
        warn: Warn,
    ) -> Result<Self, OpError> {
        if !Right::ReadContents.roles().contains(&repository.keys.role) {
            return Err(repository.keys.lacks(Right::ReadContents))
                .during("cannot show what is stored");
        }
        let (history, loaded) = load_valid(repository).during("cannot read what is valid")?;
        let reader = ChunkReader::new(repository.clone(), Arc::new(loaded.index), cache_bytes);
        let reader = Arc::new(reader.reloading(history.verdict.number));
        let (root, catalogue) = match selected {
            Some(selected) => (root_of(selected, &reader)?, Catalogue::default()),
            None => (Place::Root, Catalogue::load(repository)?),
        };
        if catalogue.damaged > 0 {
            warn("some snapshots are not shown: run `sbf-repo snapshots`");
        }
        let ahead = Ahead::new().map_err(|error| OpError::Refused { why: error.to_string() })?;
        let seconds = repository.environment.now().0;
        let changed = Timestamp { seconds, nanoseconds: 0 };
        Ok(Self {
            reader,
            ahead,
            root,
            listings: Mutex::default(),
            catalogue: Mutex::new(Listed { catalogue: Arc::new(catalogue), seconds, changed }),
            warn,
            warned: AtomicU64::new(0),
            bytes_read: Arc::default(),
        })
    }

    /// The names in a directory; `None` if it is none.
    pub(crate) fn children(&self, place: &Place) -> Result<Option<Arc<Vec<Child>>>, RepoError> {
        match place {
            Place::Root | Place::Snapshots | Place::Sources | Place::Source(_) => {
                Ok(Some(Arc::new(self.snapshots().children(place))))
            }
            Place::Top(top) => self.node_listing(top, top.node, top.height).map(Some),
            Place::Entry(entry, top) => match &entry.entry.node {
                EntryKind::Directory(directory) => self.listing(top, &directory.listing).map(Some),
                EntryKind::File(_)
                | EntryKind::Symlink { .. }
                | EntryKind::Fifo
                | EntryKind::Socket
                | EntryKind::CharacterDevice(_)
                | EntryKind::BlockDevice(_) => Ok(None),
            },
            Place::Link(_) => Ok(None),
        }
    }

    /// What a name in a directory stands for.
    pub(crate) fn child(&self, place: &Place, name: &[u8]) -> Result<Option<Place>, RepoError> {
        let Some(children) = self.children(place)? else { return Ok(None) };
        let found = match place {
            Place::Top(_) | Place::Entry(..) => {
                let at = children.binary_search_by(|child| child.name.as_slice().cmp(name));
                at.ok().and_then(|at| children.get(at))
            }
            Place::Root | Place::Snapshots | Place::Sources | Place::Source(_) | Place::Link(_) => {
                children.iter().find(|child| child.name == name)
            }
        };
        let found = found.map(|child| child.place.clone());
        Ok(match (place, found) {
            (Place::Snapshots, None) => self.snapshots().by_digits(name),
            (_, found) => found,
        })
    }

    /// Opens a file; `None` if it is none.
    pub(crate) fn open_file(place: &Place) -> Option<OpenFile> {
        let Place::Entry(entry, _top) = place else { return None };
        let EntryKind::File(file) = &entry.entry.node else { return None };
        Some(OpenFile::new(file))
    }

    /// Reads from a file; fewer bytes than `length` only at its end.
    pub(crate) fn read(
        &self,
        file: &OpenFile,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, RepoError> {
        let read = || file.read(&self.reader, &self.ahead, offset, length);
        let bytes = self.ahead.run(read)?;
        self.bytes_read.fetch_add(to_u64(bytes.len()), Ordering::Relaxed);
        Ok(bytes)
    }

    /// Says that something could not be read.
    pub(crate) fn tell(&self, error: &RepoError) {
        let count = self.warned.fetch_add(1, Ordering::Relaxed);
        if count < WARNINGS_COUNT_MAX {
            (self.warn)(&format!("cannot read what was asked for: {}", chain_words(error)));
        } else if count == WARNINGS_COUNT_MAX {
            (self.warn)("more could not be read: run `sbf-repo check`");
        }
    }

    /// The snapshots, listed anew if that was a while ago.
    fn snapshots(&self) -> Arc<Catalogue> {
        Arc::clone(&self.listed().catalogue)
    }

    /// When the list of snapshots changed, as far as it was looked at.
    pub(crate) fn changed(&self) -> Timestamp {
        self.listed().changed
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        let now = self.reader.repository.environment.now().0;
        let mut listed = locked(&self.catalogue);
        if now.saturating_sub(listed.seconds).unsigned_abs() >= LIST_AGAIN.as_secs() {
            listed.seconds = now;
            // What was there before is shown if nothing newer can be listed.
            if let Ok(catalogue) = Catalogue::load(&self.reader.repository)
                && (listed.catalogue.has_all_of(&catalogue) || self.renewed())
            {
                if !listed.catalogue.shows_what(&catalogue) {
                    let nanoseconds = listed.changed.nanoseconds + 1;
                    listed.changed = Timestamp { seconds: now, nanoseconds };
                }
                listed.catalogue = Arc::new(catalogue);
            }
        }
        listed
    }

    /// Has the index of new snapshots loaded; says whether that went well.
    fn renewed(&self) -> bool {
        let renewed = self.reader.renew();
        renewed.inspect_err(|error| self.tell(error)).is_ok()
    }

    fn listing(&self, top: &Arc<Top>, listing: &Listing) -> Result<Arc<Vec<Child>>, RepoError> {
        match listing {
            Listing::Node { node, height } => self.node_listing(top, *node, *height),
            Listing::Inline(_) => {
                let entries = Entries::of_listing(&self.reader, listing)?;
                Ok(self.gather(top, entries)?.children)
            }
        }
    }

    fn node_listing(
        &self,
        top: &Arc<Top>,
        node: ChunkId,
        height: u8,
    ) -> Result<Arc<Vec<Child>>, RepoError> {
        let key = (top.snapshot, node);
        if let Some(kept) = locked(&self.listings).find(&key) {
            return Ok(kept);
        }
        let entries = Entries::of_node(&self.reader, node, height);
        let Gathered { children, is_whole } = self.ahead.run(|| self.gather(top, entries))?;
        if is_whole {
            locked(&self.listings).keep(key, &children);
        }
        Ok(children)
    }

    /// Reads a directory; what lies in damaged nodes of it is left out and told, unless nothing else is there.
    fn gather(&self, top: &Arc<Top>, entries: Entries<'_>) -> Result<Gathered, RepoError> {
        let mut children = Vec::new();
        let mut is_whole = true;
        for found in entries {
            match found {
                Ok(found) => {
                    let name = found.entry.name.clone();
                    let place = Place::Entry(Arc::new(found), Arc::clone(top));
                    children.push(Child { name, place });
                }
                Err(error) if !children.is_empty() => {
                    self.tell(&error);
                    is_whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Gathered { children: Arc::new(children), is_whole })
    }
}

/// What a directory has, as far as it can be read.
struct Gathered {
    children: Arc<Vec<Child>>,
    is_whole: bool,
}

impl Listings {
    fn find(&mut self, key: &ListingKey) -> Option<Arc<Vec<Child>>> {
        self.clock += 1;
        let clock = self.clock;
        let (children, used) = self.kept.get_mut(key)?;
        *used = clock;
        Some(Arc::clone(children))
    }

    fn keep(&mut self, key: ListingKey, children: &Arc<Vec<Child>>) {
        self.clock += 1;
        self.remove(&key);
        self.entries += children.len() + 1;
        self.kept.insert(key, (Arc::clone(children), self.clock));
        while self.entries > LISTED_COUNT_MAX && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_key, (_children, used))| *used);
            let Some((&oldest, _kept)) = oldest else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &ListingKey) {
        if let Some((children, _used)) = self.kept.remove(key) {
            self.entries = self.entries.saturating_sub(children.len() + 1);
        }
    }
}

/// The place that a selector means, as a root.
fn root_of(selected: &Selected, reader: &ChunkReader) -> Result<Place, OpError> {
    let (node, height) = selected.manifest.root().ok_or_else(|| no_directory(selected))?;
    let time = parse_time(&selected.manifest.predicate.times.data);
    let time = time.map_or(0, |(seconds, _nanoseconds)| seconds);
    let top = Arc::new(Top { snapshot: selected.snapshot(), node, height, time });
    match selected.find(reader)? {
        Found::Root { .. } => Ok(Place::Top(top)),
        Found::Entry(entry) if matches!(entry.entry.node, EntryKind::Directory(_)) => {
            Ok(Place::Entry(Arc::new(*entry), top))
        }
        Found::Entry(_) => Err(no_directory(selected)),
    }
}

fn no_directory(selected: &Selected) -> OpError {
    let why = format!("{} is no directory: use `sbf-repo dump`", selected.path_words());
    OpError::Usage { why }
}

/// Locks what no thread leaves half-changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries of directories that are kept in memory.
const LISTED_COUNT_MAX: usize = 32_768;
/// How old the list of snapshots may be.
pub(crate) const LIST_AGAIN: Duration = Duration::from_secs(5);
const WARNINGS_COUNT_MAX: u64 = 20;
