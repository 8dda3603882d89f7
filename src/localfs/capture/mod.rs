//! Reading regular files as the walk found them, and telling when they changed meanwhile.

use crate::format::tree::ExtendedAttribute;
use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::attributes;
use crate::localfs::walk::WalkEntry;
use crate::units::to_u64;
use crate::units::to_usize;
use rustix::fs::Advice;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

/// A regular file that is being read.
///
/// Several threads may use [`OpenFile::read_at`] at once.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: OwnedFd,
    path: Vec<u8>,
    opened: Stat,
}

/// What became of a file while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Captured {
    /// Every byte belongs to the state that this stat describes.
    Consistent(Stat),
    /// The file changed; this is how it was when reading began.
    Changed(Stat),
}

impl OpenFile {
    /// Opens the file that `entry` stands for.
    ///
    /// Errors if the name is gone or is no regular file any more; nothing is followed, and
    /// nothing blocks. The file may be another one than the walk saw: [`OpenFile::stat`] tells.
    pub(crate) fn open(entry: &WalkEntry) -> Result<Self, LocalError> {
        let file = open_to_read(entry)?;
        let path = entry.path_bytes();
        let opened = Stat::of_descriptor(&file).and_then(regular_only);
        let opened = opened.map_err(|errno| LocalError::new(&path, "open", errno))?;
        // Only advice: file systems without read-ahead refuse it.
        rustix::fs::fadvise(&file, 0, None, Advice::Sequential).ok();
        Ok(Self { file, path, opened })
    }

    /// How the file was when it was opened: what a snapshot records.
    pub(crate) fn stat(&self) -> &Stat {
        &self.opened
    }

    /// Fills `buffer` from the place where the last call ended; returns how many bytes came.
    ///
    /// Fewer than `buffer.len()` mean the end of the file.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LocalError> {
        fill(buffer, |_, rest| rustix::io::read(&self.file, rest))
            .map_err(|e| self.wrong("read", e))
    }

    /// Fills `buffer` from `offset`; returns how many bytes came.
    ///
    /// Fewer than `buffer.len()` mean the end of the file.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, LocalError> {
        let read = |done, rest: &mut [u8]| {
            let at = offset.checked_add(done).ok_or(Errno::OVERFLOW)?;
            rustix::io::pread(&self.file, rest, at)
        };
        fill(buffer, read).map_err(|errno| self.wrong("read", errno))
    }

    /// The first run of data at or after `offset`; what lies before it is a hole.
    ///
    /// None if there is only a hole up to the end. File systems that do not tell holes have one
    /// run. Moves the place of [`OpenFile::read`].
    pub(crate) fn data_run(&self, offset: u64) -> Result<Option<Range<u64>>, LocalError> {
        let size = self.opened.size;
        if offset >= size {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(offset..size)),
            Err(errno) => return Err(self.wrong("find the holes of", errno)),
        };
        // The file may have grown: what lies beyond the recorded length does not count.
        if start >= size {
            return Ok(None);
        }
        let end = match rustix::fs::seek(&self.file, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => size,
            Err(errno) => return Err(self.wrong("find the holes of", errno)),
        };
        Ok(Some(start..end))
    }

    /// Closes the file and tells whether it changed since it was opened.
    pub(crate) fn finish(self) -> Result<Captured, LocalError> {
        let now = Stat::of_descriptor(&self.file).map_err(|errno| self.wrong("look at", errno))?;
        let changed = now.content_differs(&self.opened);
        Ok(if changed { Captured::Changed } else { Captured::Consistent }(self.opened))
    }

    pub(in crate::localfs) fn path(&self) -> &[u8] {
        &self.path
    }

    fn wrong(&self, call: &'static str, errno: Errno) -> LocalError {
        LocalError::new(&self.path, call, errno)
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What was read of a small file, beside its bytes.
#[derive(Debug)]
pub(crate) struct SmallRead {
    /// Whether it changed.
    pub(crate) captured: Captured,
    /// Its extended attributes, or why they could not be read.
    pub(crate) xattrs: Result<Vec<ExtendedAttribute>, LocalError>,
}

/// Reads a whole file of at most `size_max` bytes into `buffer`, replacing what it held.
///
/// A file that changes is read once more. Costs five system calls if the file is as the walk
/// saw it. None if the file has grown beyond `size_max`: it is to be read as an [`OpenFile`].
pub(crate) fn read_small(
    entry: &WalkEntry,
    size_max: usize,
    buffer: &mut Vec<u8>,
) -> Result<Option<SmallRead>, LocalError> {
    let file = open_to_read(entry)?;
    let wrong = |call, errno| LocalError::new(&entry.path_bytes(), call, errno);
    let mut before = *entry.stat();
    let xattrs = attributes::xattrs_of_descriptor(&file)
        .map_err(|errno| wrong(attributes::READ_ATTRIBUTES, errno));
    let read = |captured| Ok(Some(SmallRead { captured, xattrs }));
    let mut length = 0;
    for _ in 0..SMALL_READS_MAX {
        if before.size > to_u64(size_max) {
            return Ok(None);
        }
        // One byte more than expected: a full buffer tells that the file has grown.
        buffer.resize(to_usize(before.size) + 1, 0);
        length = fill_small(&file, buffer).map_err(|errno| wrong("read", errno))?;
        let after = Stat::of_descriptor(&file).and_then(regular_only);
        let after = after.map_err(|errno| wrong("read", errno))?;
        if to_u64(length) == before.size && !after.content_differs(&before) {
            buffer.truncate(length);
            return read(Captured::Consistent(after));
        }
        before = after;
    }
    // What lies behind the bytes of the last read is of another file. The byte more than expected
    // belongs to a later state.
    length = length.min(buffer.len() - 1);
    buffer.truncate(length);
    let size = to_u64(length);
    read(Captured::Changed(Stat { size, ..before }))
}

fn open_to_read(entry: &WalkEntry) -> Result<OwnedFd, LocalError> {
    let wrong = |errno: Errno| LocalError::new(&entry.path_bytes(), "open", errno);
    if entry.stat().kind != FileKind::File {
        return Err(wrong(Errno::INVAL));
    }
    let directory = entry.directory().open()?;
    // A pipe in the file's place must not block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = entry.name_with_nul();
    let open = |flags| rustix::fs::openat(&directory, name, flags, Mode::empty());
    let opened = match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    };
    opened.map_err(wrong)
}

/// A name that stood for a regular file and does no longer.
fn regular_only(stat: Stat) -> Result<Stat, Errno> {
    if stat.kind == FileKind::File { Ok(stat) } else { Err(Errno::STALE) }
}

/// Calls `read` with how much is done and the rest until the buffer is full or the file ends.
fn fill(
    buffer: &mut [u8],
    mut read: impl FnMut(u64, &mut [u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match read(to_u64(done), &mut buffer[done..]) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Fills all of the buffer but its last byte, and that as well if one call gives it.
fn fill_small(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    // A call that ends before the last byte met the end of the file, which the stat that follows
    // confirms: asking once more would tell nothing new.
    while done == 0 || done + 1 < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], to_u64(done)) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// How often a small file that keeps changing is read.
const SMALL_READS_MAX: u32 = 2;

#[cfg(test)]
mod tests;
