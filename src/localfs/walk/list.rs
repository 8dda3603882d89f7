//! Listing one directory: its names in order, what is excluded, and pages of stats.

use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::walk::Matcher;
use crate::localfs::walk::directory::Directory;
use crate::localfs::walk::directory::Scope;
use crate::localfs::walk::page::Listed;
use crate::localfs::walk::page::Names;
use crate::localfs::walk::page::PAGE_ENTRIES_MAX;
use crate::localfs::walk::page::Page;
use crate::localfs::walk::roots::DEPTH_MAX;
use crate::units::to_u32;
use crate::units::to_usize32;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::io::Errno;
use std::ffi::CStr;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// What listing depends on besides the directory.
pub(super) struct Lister {
    pub(super) exclude: Option<Matcher>,
    pub(super) exclude_if_present: Vec<Vec<u8>>,
    pub(super) exclude_caches: bool,
    pub(super) one_file_system: bool,
    pub(super) page_ids: AtomicU64,
}

/// Buffers of one thread, used again for each directory.
#[derive(Default)]
pub(super) struct Scratch {
    kernel: Vec<u8>,
    path: Vec<u8>,
    order: Vec<u32>,
}

impl Lister {
    /// Lists a directory up to its first page.
    ///
    /// Never fails: a directory that cannot be read is a page with its failure.
    pub(super) fn list(&self, directory: Arc<Directory>, scratch: &mut Scratch) -> Page {
        let descriptor = match directory.open_to_list() {
            Ok(descriptor) => descriptor,
            Err(error) => return self.empty_page(directory, Some(error)),
        };
        let names = match &directory.scope {
            Scope::Only(tree) => Names::of_roots(tree),
            Scope::Everything { .. } => self.names(&directory, descriptor.as_fd(), scratch),
        };
        let page = self.page(directory, Arc::new(names), descriptor.as_fd(), (0, scratch));
        if !page.subdirectories.is_empty() || page.next.is_some() {
            page.directory.keep(descriptor);
        }
        page
    }

    /// Looks at the entries of the page after `page`.
    pub(super) fn next_page(&self, page: &Page, start: u32, scratch: &mut Scratch) -> Page {
        let (directory, names) = (Arc::clone(&page.directory), Arc::clone(&page.names));
        match directory.open() {
            Ok(descriptor) => self.page(directory, names, descriptor.as_fd(), (start, scratch)),
            Err(error) => self.empty_page(directory, Some(error)),
        }
    }

    /// The directory for the entry at `index`, which the page counts among its subdirectories.
    pub(super) fn subdirectory(&self, page: &Page, index: u32) -> Option<Directory> {
        let Listed::Known(stat) = page.listed(index)? else { return None };
        let name = page.names.name(index);
        let scope = match &page.directory.scope {
            Scope::Everything { device } => Scope::Everything { device: *device },
            Scope::Only(tree) => {
                let child = tree.children.get(name.to_bytes())?;
                let device = self.one_file_system.then_some(stat.inode.device);
                if child.chosen {
                    Scope::Everything { device }
                } else {
                    Scope::Only(Arc::clone(child))
                }
            }
        };
        Some(Directory::child(&page.directory, (name, stat), index, scope))
    }

    fn names(&self, directory: &Directory, fd: BorrowedFd<'_>, scratch: &mut Scratch) -> Names {
        let mut names = Names::default();
        let mut has_marker = false;
        scratch.path.clear();
        scratch.path.extend_from_slice(directory.path());
        scratch.path.push(b'/');
        scratch.kernel.reserve(KERNEL_BUFFER_BYTES);
        let mut entries = RawDir::new(fd, scratch.kernel.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    names.failure = Some(errno);
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let is_marker = self.is_marker(fd, name);
            has_marker |= is_marker;
            let kind = entry.file_type();
            let known = kind != FileType::Unknown;
            // Before the stat: an excluded mount point whose server is gone would block it.
            let excluded = known && self.excludes(&mut scratch.path, name, kind.is_dir());
            if is_marker || !excluded {
                names.push(name, entry.ino(), known || is_marker);
            }
        }
        if has_marker {
            names.retain(|name| self.is_marker(fd, name));
        }
        names.sort();
        names
    }

    fn page(
        &self,
        directory: Arc<Directory>,
        names: Arc<Names>,
        fd: BorrowedFd<'_>,
        (start, scratch): (u32, &mut Scratch),
    ) -> Page {
        let end = names.len().min(start.saturating_add(PAGE_ENTRIES_MAX));
        let mut listed = vec![Listed::Excluded; to_usize32(end - start)];
        scratch.order.clear();
        scratch.order.extend(start..end);
        // By inode: close to the order on the disk, which cold caches reward.
        scratch.order.sort_unstable_by_key(|index| names.inode(*index));
        for index in &scratch.order {
            listed[to_usize32(*index - start)] = look(&directory, &names, fd, *index);
        }
        self.drop_excluded(&directory, &names, (start, &mut listed), &mut scratch.path);
        let enters = |(index, listed): (u32, &Listed)| enters(&directory, listed).then_some(index);
        let subdirectories = (start..end).zip(&listed).filter_map(enters).collect();
        let next = (end < names.len()).then_some(end);
        let failure = names.failure.filter(|_| start == 0);
        let failure = failure.map(|errno| LocalError::new(directory.path(), "list", errno));
        let id = self.page_ids.fetch_add(1, Ordering::Relaxed);
        Page { id, directory, names, start, listed, subdirectories, next, failure }
    }

    /// Leaves out entries whose kind the listing did not tell; the others were asked before.
    fn drop_excluded(
        &self,
        directory: &Directory,
        names: &Names,
        (start, page): (u32, &mut [Listed]),
        path: &mut Vec<u8>,
    ) {
        if self.exclude.is_none() || matches!(directory.scope, Scope::Only(_)) {
            return;
        }
        for (index, listed) in (start..).zip(page) {
            let Listed::Known(seen) = listed else { continue };
            if names.is_checked(index) {
                continue;
            }
            path.clear();
            path.extend_from_slice(directory.path());
            path.push(b'/');
            if self.excludes(path, names.name(index), seen.kind == FileKind::Directory) {
                *listed = Listed::Excluded;
            }
        }
    }

    /// `path` ends in a slash and is left as it was.
    fn excludes(&self, path: &mut Vec<u8>, name: &CStr, is_directory: bool) -> bool {
        let Some(exclude) = &self.exclude else { return false };
        let length = path.len();
        path.extend_from_slice(name.to_bytes());
        let excluded = exclude(Path::new(OsStr::from_bytes(path)), is_directory);
        path.truncate(length);
        excluded
    }

    fn is_marker(&self, directory: BorrowedFd<'_>, name: &CStr) -> bool {
        let bytes = name.to_bytes();
        self.exclude_if_present.iter().any(|marker| marker == bytes)
            || (self.exclude_caches && bytes == CACHE_TAG_NAME && is_cache_tag(directory, name))
    }

    fn empty_page(&self, directory: Arc<Directory>, failure: Option<LocalError>) -> Page {
        let id = self.page_ids.fetch_add(1, Ordering::Relaxed);
        Page::empty(id, directory, failure)
    }
}

fn look(directory: &Directory, names: &Names, fd: BorrowedFd<'_>, index: u32) -> Listed {
    let name = names.name(index);
    let stat = match &directory.scope {
        Scope::Everything { .. } => Stat::of_entry(fd, name),
        Scope::Only(tree) => match tree.children.get(name.to_bytes()) {
            Some(child) if !child.chosen => Stat::of_destination(fd, name).and_then(directory_only),
            Some(_) | None => Stat::of_entry(fd, name),
        },
    };
    stat.map_or_else(Listed::Failed, Listed::Known)
}

/// A file above a chosen path: the path does not exist.
fn directory_only(stat: Stat) -> Result<Stat, Errno> {
    if stat.kind == FileKind::Directory { Ok(stat) } else { Err(Errno::NOTDIR) }
}

fn enters(directory: &Directory, listed: &Listed) -> bool {
    let Listed::Known(stat) = listed else { return false };
    let here = match &directory.scope {
        Scope::Everything { device: Some(device) } => stat.inode.device == *device,
        Scope::Everything { device: None } | Scope::Only(_) => true,
    };
    here && stat.kind == FileKind::Directory && directory.depth() < DEPTH_MAX
}

/// Whether `name` is a regular file with the signature of <https://bford.info/cachedir/>.
fn is_cache_tag(directory: BorrowedFd<'_>, name: &CStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut start = [0_u8; CACHE_TAG_SIGNATURE.len()];
    let Ok(file) = rustix::fs::openat(directory, name, flags, Mode::empty()) else { return false };
    let read = rustix::io::read(file, &mut start);
    read.is_ok_and(|length| to_u32(length) == to_u32(start.len())) && start == CACHE_TAG_SIGNATURE
}

const CACHE_TAG_NAME: &[u8] = b"CACHEDIR.TAG";
const CACHE_TAG_SIGNATURE: [u8; 43] = *b"Signature: 8a477f597d28d172789f06886806bc55";
/// Room for what the kernel lists in one call.
const KERNEL_BUFFER_BYTES: usize = 64 * 1024;
