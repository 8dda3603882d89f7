//! The walk: entries of the chosen paths, depth first, each directory sorted by name.
//! Invariant: the events depend on the files and the options alone, never on the threads.

mod ahead;
mod directory;
mod list;
mod page;
mod roots;

use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::descriptor::DescriptorBudget;
use crate::localfs::walk::ahead::Ahead;
use crate::localfs::walk::directory::Directory;
use crate::localfs::walk::directory::Scope;
use crate::localfs::walk::list::Lister;
use crate::localfs::walk::list::Scratch;
use crate::localfs::walk::page::Listed;
use crate::localfs::walk::page::Page;
use crate::localfs::walk::roots::RootTree;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

/// Says of an absolute path, and whether it is a directory, that it is not wanted.
pub(crate) type Matcher = Arc<dyn Fn(&Path, bool) -> bool + Send + Sync>;

/// What to walk, and how.
#[derive(Clone)]
pub(crate) struct WalkOptions {
    /// Absolute paths, not necessarily UTF-8; those inside others do not count.
    pub(crate) roots: Vec<Vec<u8>>,
    /// Whether to show but not to enter directories on another device than their root's.
    pub(crate) one_file_system: bool,
    /// What to leave out below the roots; a root itself is never left out.
    pub(crate) exclude: Option<Matcher>,
    /// Of a directory that holds one of these names, only the file of that name is shown.
    pub(crate) exclude_if_present: Vec<Vec<u8>>,
    /// The same for a `CACHEDIR.TAG` with its signature.
    pub(crate) exclude_caches: bool,
    /// Threads that list ahead of the consumer; 0 lists on the consumer's thread alone.
    pub(crate) threads: usize,
}

/// The walk itself; each event is made when it is asked for.
pub(crate) struct Walk {
    ahead: Arc<Ahead>,
    workers: Vec<JoinHandle<()>>,
    scratch: Scratch,
    stack: Vec<Frame>,
    queued: VecDeque<WalkEvent>,
}

/// One step of the walk.
#[derive(Debug)]
pub(crate) enum WalkEvent {
    /// A directory; its entries follow, then its [`WalkEvent::LeaveDirectory`].
    EnterDirectory(WalkEntry),
    /// Anything else than a directory.
    Entry(WalkEntry),
    /// The last directory that was entered and not left is complete.
    LeaveDirectory,
    /// A directory that cannot be read (just entered), an entry that is gone, a missing root.
    Failed(WalkFailure),
}

/// Something that the walk could not show.
#[derive(Debug)]
pub(crate) struct WalkFailure {
    /// The path and what happened.
    pub(crate) error: LocalError,
    /// Whether the path is one of the chosen ones.
    pub(crate) is_root: bool,
}

/// An entry; cheap to clone, and keeps the page of its directory alive.
#[derive(Debug, Clone)]
pub(crate) struct WalkEntry {
    page: Arc<Page>,
    index: u32,
    stat: Stat,
}

struct Frame {
    page: Arc<Page>,
    /// The place of the next entry; before it, the page of a directory is not listed.
    next: u32,
    /// The directory at `next - 1` was entered and not listed.
    pending: bool,
}

impl WalkOptions {
    /// Everything below `roots`, on the consumer's thread alone.
    pub(crate) fn new(roots: Vec<Vec<u8>>) -> Self {
        Self {
            roots,
            one_file_system: false,
            exclude: None,
            exclude_if_present: Vec::new(),
            exclude_caches: false,
            threads: 0,
        }
    }
}

impl Walk {
    /// Starts the threads that list ahead.
    ///
    /// Errors if `/` itself cannot be looked at; everything else is an event.
    pub(crate) fn start(options: WalkOptions) -> Result<Self, LocalError> {
        let (tree, refused) = RootTree::new(&options.roots);
        let budget = Arc::new(DescriptorBudget::new(DESCRIPTORS_MAX));
        let stat = Stat::of_entry(rustix::fs::CWD, c"/")
            .map_err(|errno| LocalError::new(b"/", "look at", errno))?;
        let scope = if tree.chosen {
            let device = options.one_file_system.then_some(stat.inode.device);
            Scope::Everything { device }
        } else {
            Scope::Only(Arc::new(tree))
        };
        let lister = Lister {
            exclude: options.exclude,
            exclude_if_present: options.exclude_if_present,
            exclude_caches: options.exclude_caches,
            one_file_system: options.one_file_system,
            page_ids: AtomicU64::new(0),
        };
        let ahead = Arc::new(Ahead::new(lister));
        let mut scratch = Scratch::default();
        let top = Arc::new(Directory::root(budget, stat.inode, scope));
        let page = Arc::new(ahead.lister().list(top, &mut scratch));
        ahead.offer(&page);
        let workers = (0..options.threads).map_while(|_| worker(&ahead)).collect();
        let queued = refused.iter().map(|path| root_failure(path, Errno::INVAL)).collect();
        let mut walk = Self { ahead, workers, scratch, stack: Vec::new(), queued };
        walk.push(page);
        Ok(walk)
    }

    fn push(&mut self, page: Arc<Page>) {
        if let Some(failure) = &page.failure {
            let error = failure.again();
            let is_root = page.directory.is_root_or_above();
            self.queued.push_back(WalkEvent::Failed(WalkFailure { error, is_root }));
        }
        let next = page.start;
        self.stack.push(Frame { page, next, pending: false });
    }

    /// Takes the next step in the directory on top; none if it only changed the stack.
    fn step(&mut self, frame: Frame) -> Option<WalkEvent> {
        let Frame { page, next, pending } = frame;
        if pending {
            let listed = self.ahead.obtain(&page, next - 1, &mut self.scratch);
            self.stack.push(Frame { page, next, pending: false });
            self.push(listed);
            return None;
        }
        let Some(listed) = page.listed(next) else {
            if let Some(start) = page.next {
                let page = self.ahead.obtain(&page, start, &mut self.scratch);
                self.push(page);
                return None;
            }
            return (!self.stack.is_empty()).then_some(WalkEvent::LeaveDirectory);
        };
        let event = match listed {
            Listed::Excluded => None,
            Listed::Failed(errno) => self.entry_failure(&page, next, *errno),
            Listed::Known(stat) => {
                let entry = WalkEntry { page: Arc::clone(&page), index: next, stat: *stat };
                let directory = stat.kind == FileKind::Directory;
                Some(if directory { WalkEvent::EnterDirectory } else { WalkEvent::Entry }(entry))
            }
        };
        let entered = matches!(event, Some(WalkEvent::EnterDirectory(_)));
        let pending = entered && page.enters(next);
        if entered && !pending {
            self.queued.push_back(WalkEvent::LeaveDirectory);
        }
        self.stack.push(Frame { page, next: next + 1, pending });
        event
    }

    fn entry_failure(&mut self, page: &Page, index: u32, errno: Errno) -> Option<WalkEvent> {
        let name = page.names.name(index).to_bytes();
        let path = page.directory.path_of(name);
        if let Scope::Only(tree) = &page.directory.scope {
            let missing = tree.children.get(name).map(|child| child.chosen_paths(&path));
            let failures = missing.unwrap_or_default().into_iter();
            self.queued.extend(failures.map(|path| root_failure(&path, errno)));
            return self.queued.pop_front();
        }
        let error = LocalError::new(&path, "look at", errno);
        Some(WalkEvent::Failed(WalkFailure { error, is_root: false }))
    }
}

impl Iterator for Walk {
    type Item = WalkEvent;

    fn next(&mut self) -> Option<WalkEvent> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Some(event);
            }
            let frame = self.stack.pop()?;
            if let Some(event) = self.step(frame) {
                return Some(event);
            }
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.ahead.stop();
        for worker in self.workers.drain(..) {
            // A worker that panicked gave its claim back, and the consumer met the same panic.
            drop(worker.join());
        }
    }
}

impl WalkEntry {
    /// The name in its directory.
    pub(crate) fn name(&self) -> &[u8] {
        self.name_with_nul().to_bytes()
    }

    /// What the walk saw.
    pub(crate) fn stat(&self) -> &Stat {
        &self.stat
    }

    /// The absolute path.
    pub(crate) fn path_bytes(&self) -> Vec<u8> {
        self.directory().path_of(self.name())
    }

    /// The directory that the entry is in.
    pub(crate) fn directory(&self) -> &Directory {
        &self.page.directory
    }

    pub(in crate::localfs) fn name_with_nul(&self) -> &CStr {
        self.page.names.name(self.index)
    }
}

fn worker(ahead: &Arc<Ahead>) -> Option<JoinHandle<()>> {
    let ahead = Arc::clone(ahead);
    let body = move || ahead.work();
    // Fewer threads than asked for make the walk slower, not wrong.
    std::thread::Builder::new().name("walk".to_owned()).spawn(body).ok()
}

fn root_failure(path: &[u8], errno: Errno) -> WalkEvent {
    let error = LocalError::new(path, "look at", errno);
    WalkEvent::Failed(WalkFailure { error, is_root: true })
}

/// Most directories that are kept open.
const DESCRIPTORS_MAX: usize = 512;

#[cfg(test)]
mod tests;
