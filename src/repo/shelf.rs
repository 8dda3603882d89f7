//! Stored bytes that are kept on this host, bounded: what is read over a network is read once.
//!
//! Nothing on a shelf is trusted: whoever takes something from it verifies it as if the store had
//! sent it, and takes it off if it is not what it should be. It may vanish at any time, and is
//! never a reason to fail.

use crate::repo::cache::replace;
use crate::units::to_u64;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Metadata;
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

/// A directory of files that together have at most a number of bytes; shared by processes.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    bytes_max: u64,
    /// Bytes that this process may put before it looks again how full the shelf is.
    unchecked_bytes: AtomicU64,
}

impl Shelf {
    /// A shelf in the directory `path`; nothing is made yet.
    pub(crate) fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max, unchecked_bytes: AtomicU64::new(0) }
    }

    /// All bytes of a file.
    pub(crate) fn whole(&self, name: &str) -> Option<Vec<u8>> {
        let mut file = File::open(self.path.join(name)).ok()?;
        mark_used(&file);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether a file is there.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// Reads a part of a file into `buffer`; says whether it is there.
    pub(crate) fn part(&self, name: &str, range: &Range<u64>, buffer: &mut Vec<u8>) -> bool {
        let Ok(file) = File::open(self.path.join(name)) else { return false };
        let Ok(length) = usize::try_from(range.end.saturating_sub(range.start)) else {
            return false;
        };
        mark_used(&file);
        buffer.clear();
        buffer.resize(length, 0);
        file.read_exact_at(buffer, range.start).is_ok()
    }

    /// Puts a file on the shelf; says whether it is there then. What was used longest ago goes.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> bool {
        let length = to_u64(bytes.len());
        if length > self.bytes_max / 2 {
            return false;
        }
        if DirBuilder::new().recursive(true).mode(0o700).create(&self.path).is_err() {
            return false;
        }
        let spend = |left: u64| left.checked_sub(length);
        if self.unchecked_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            self.make_room(length);
        }
        replace(&self.path.join(name), bytes)
    }

    /// Takes a file off the shelf.
    pub(crate) fn remove(&self, name: &str) {
        let _ignored = std::fs::remove_file(self.path.join(name));
    }

    /// Removes files until a sixteenth of the shelf is free, after what is put now.
    fn make_room(&self, length: u64) {
        let share = self.bytes_max / 16;
        let keep_bytes = self.bytes_max.saturating_sub(share).saturating_sub(length);
        let mut files = self.files();
        // Newest first.
        files.sort_by_key(|(_path, found)| std::cmp::Reverse(found.modified().ok()));
        let mut held_bytes = 0;
        for (path, found) in files {
            held_bytes += found.len();
            if held_bytes > keep_bytes {
                let _ignored = std::fs::remove_file(path);
            }
        }
        self.unchecked_bytes.store(share, Ordering::Relaxed);
    }

    fn files(&self) -> Vec<(PathBuf, Metadata)> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let found = |entry: std::fs::DirEntry| Some((entry.path(), entry.metadata().ok()?));
        entries.filter_map(|entry| found(entry.ok()?)).collect()
    }
}

/// Notes that a file is still of use; once a day is enough.
#[expect(clippy::disallowed_methods, reason = "a hint for the order in which cached files go")]
fn mark_used(file: &File) {
    let now = SystemTime::now();
    let modified = file.metadata().and_then(|found| found.modified());
    let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
    if age.is_none_or(|age| age > USE_NOTED_FOR) {
        let _ignored = file.set_modified(now);
    }
}

const USE_NOTED_FOR: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::Shelf;

    #[test]
    fn what_was_put_is_there_until_it_is_removed_or_there_is_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path().join("shelf"), 64_000);
        assert!(shelf.put("a", b"some bytes"));
        assert_eq!(shelf.whole("a").as_deref(), Some(b"some bytes".as_slice()));
        let mut part = vec![9];
        assert!(shelf.part("a", &(5..10), &mut part));
        assert_eq!(part, b"bytes");
        assert!(!shelf.part("a", &(5..11), &mut part));
        shelf.remove("a");
        assert_eq!(shelf.whole("a"), None);
        assert!(!shelf.put("huge", &vec![0; 40_000]));
    }

    #[test]
    fn a_shelf_keeps_to_its_size_across_processes() {
        let directory = tempfile::tempdir().unwrap();
        let held = || -> u64 {
            let entries = std::fs::read_dir(directory.path()).unwrap();
            entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
        };
        for number in 0..100 {
            // Each has its own notion of how full it is.
            let shelf = Shelf::new(directory.path().to_owned(), 64_000);
            assert!(shelf.put(&format!("{number}"), &[7; 3_000]));
            assert!(shelf.put(&format!("{number}-b"), &[7; 3_000]));
            assert!(held() <= 64_000 + 3_000, "{}", held());
        }
        assert!(held() > 32_000);
    }

    #[test]
    fn a_shelf_that_cannot_be_written_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(directory.path()).unwrap();
        let shelf = Shelf::new(file.path().join("shelf"), 64_000);
        assert!(!shelf.put("a", b"x"));
        assert_eq!(shelf.whole("a"), None);
    }
}
