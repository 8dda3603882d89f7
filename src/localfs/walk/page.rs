//! What listing a directory gives: its names once, and its entries in pages.

use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::walk::directory::Directory;
use crate::localfs::walk::roots::RootTree;
use crate::units::to_u32;
use crate::units::to_usize32;
use rustix::io::Errno;
use std::ffi::CStr;
use std::sync::Arc;

/// All names of a directory, sorted bytewise.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Each with a NUL at its end.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// What ended the listing early.
    pub(super) failure: Option<Errno>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    inode: u64,
    start: u32,
    /// Without the NUL.
    length: u16,
    /// Whether the exclusions were asked while the names were read.
    checked: bool,
}

/// A run of a directory's entries, so that a directory of millions is never held in full.
#[derive(Debug)]
pub(crate) struct Page {
    pub(super) id: u64,
    pub(super) directory: Arc<Directory>,
    pub(super) names: Arc<Names>,
    /// The place of the first entry in the directory.
    pub(super) start: u32,
    pub(super) listed: Vec<Listed>,
    /// The places of the directories that are to be entered.
    pub(super) subdirectories: Vec<u32>,
    /// The place where the next page starts.
    pub(super) next: Option<u32>,
    pub(super) failure: Option<LocalError>,
}

/// What became of one name.
#[derive(Debug, Clone)]
pub(super) enum Listed {
    /// The entry is there.
    Known(Stat),
    /// The entry is gone or cannot be looked at.
    Failed(Errno),
    /// The entry is not wanted.
    Excluded,
}

impl Names {
    pub(super) fn of_roots(tree: &RootTree) -> Self {
        let mut names = Self::default();
        for name in tree.children.keys() {
            let with_nul = [name.as_slice(), b"\0"].concat();
            if let Ok(name) = CStr::from_bytes_with_nul(&with_nul) {
                names.push(name, 0, true);
            }
        }
        names
    }

    /// Adds a name; one that does not fit below 4 GiB of names ends the listing as too large.
    pub(super) fn push(&mut self, name: &CStr, inode: u64, checked: bool) {
        let length = u16::try_from(name.to_bytes().len());
        match (u32::try_from(self.bytes.len()), length) {
            (Ok(start), Ok(length)) => {
                self.spans.push(Span { inode, start, length, checked });
                self.bytes.extend_from_slice(name.to_bytes_with_nul());
            }
            (Err(_), _) | (_, Err(_)) => self.failure = Some(Errno::OVERFLOW),
        }
    }

    pub(super) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.spans.sort_unstable_by(|a, b| a.name(bytes).cmp(b.name(bytes)));
        // A listing that changes while it is read may show a name twice.
        self.spans.dedup_by(|a, b| a.name(bytes) == b.name(bytes));
        self.bytes.shrink_to_fit();
        self.spans.shrink_to_fit();
    }

    pub(super) fn retain(&mut self, wanted: impl Fn(&CStr) -> bool) {
        let bytes = &self.bytes;
        self.spans.retain(|span| wanted(span.name_with_nul(bytes)));
    }

    pub(super) fn len(&self) -> u32 {
        to_u32(self.spans.len())
    }

    pub(super) fn name(&self, index: u32) -> &CStr {
        self.spans[to_usize32(index)].name_with_nul(&self.bytes)
    }

    pub(super) fn inode(&self, index: u32) -> u64 {
        self.spans[to_usize32(index)].inode
    }

    pub(super) fn is_checked(&self, index: u32) -> bool {
        self.spans[to_usize32(index)].checked
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

impl Span {
    fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = to_usize32(self.start);
        &bytes[start..start + usize::from(self.length)]
    }

    fn name_with_nul<'a>(&self, bytes: &'a [u8]) -> &'a CStr {
        let start = to_usize32(self.start);
        let with_nul = &bytes[start..=start + usize::from(self.length)];
        CStr::from_bytes_with_nul(with_nul).unwrap_or_default()
    }
}

impl Page {
    pub(super) fn empty(id: u64, directory: Arc<Directory>, failure: Option<LocalError>) -> Self {
        Self {
            id,
            directory,
            names: Arc::default(),
            start: 0,
            listed: Vec::new(),
            subdirectories: Vec::new(),
            next: None,
            failure,
        }
    }

    /// The entry at a place of the directory, if it lies on this page.
    pub(super) fn listed(&self, index: u32) -> Option<&Listed> {
        self.listed.get(to_usize32(index.checked_sub(self.start)?))
    }

    /// Whether the directory at `index` is to be entered.
    pub(super) fn enters(&self, index: u32) -> bool {
        self.subdirectories.binary_search(&index).is_ok()
    }

    /// What can be listed ahead from `index` on: a subdirectory or the next page.
    pub(super) fn claimable_from(&self, index: u32) -> Option<u32> {
        let at = self.subdirectories.partition_point(|subdirectory| *subdirectory < index);
        let next = self.next.filter(|next| index <= *next);
        self.subdirectories.get(at).copied().or(next)
    }

    /// About how much memory the page takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let names = if self.start == 0 { self.names.memory_bytes() } else { 0 };
        let directory = self.directory.path().len() + size_of_val(&*self.directory.key);
        let listed = self.listed.capacity() * size_of::<Listed>();
        PAGE_BYTES + names + directory + listed + size_of_val(&*self.subdirectories)
    }
}

/// Most entries of a page.
pub(super) const PAGE_ENTRIES_MAX: u32 = 4096;
/// What a page and its directory take besides names and entries.
const PAGE_BYTES: usize = 768;
