//! Disks that write while a restore still makes files: the sync at its end finds little left.

use crate::units::MIB;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::thread::JoinHandle;

/// Syncs a file system again and again on a thread of its own, whenever enough was written.
#[derive(Debug)]
pub(super) struct Writeback {
    written_bytes: AtomicU64,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    due: SyncSender<()>,
    thread: JoinHandle<Result<(), Errno>>,
}

impl Writeback {
    /// Begins for the file system of a directory.
    ///
    /// Without a thread or a descriptor, everything is left to the sync at the end.
    pub(super) fn start(directory: impl AsFd, is_needed: bool) -> Self {
        // The system tells each open descriptor once of an error that happened in the background:
        // with one of its own, the thread takes none away from the sync at the end.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = rustix::fs::openat(directory, ".", flags, Mode::empty());
        let running = own.ok().filter(|_| is_needed).and_then(spawn);
        Self { written_bytes: AtomicU64::new(0), running: Mutex::new(running) }
    }

    /// Counts bytes that were written; never waits for a disk.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / DUE_BYTES == (before + bytes) / DUE_BYTES {
            return;
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_ref() {
            // If one is waiting to begin already, it takes these bytes along.
            running.due.try_send(()).ok();
        }
    }

    /// Waits for the thread; tells of an error that any of its syncs had.
    pub(super) fn finish(&self) -> Result<(), Errno> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { due, thread }) = running else { return Ok(()) };
        drop(due);
        thread.join().unwrap_or(Err(Errno::IO))
    }
}

fn spawn(directory: OwnedFd) -> Option<Running> {
    let (due, waiting) = sync_channel(1);
    let sync = move || {
        let mut result = Ok(());
        for () in waiting {
            result = result.and(rustix::fs::syncfs(&directory));
        }
        result
    };
    let thread = thread::Builder::new().name("writeback".to_owned()).spawn(sync).ok()?;
    Some(Running { due, thread })
}

/// What is written between two syncs: enough to keep a disk busy, far below what a system lets
/// wait by itself.
const DUE_BYTES: u64 = 64 * MIB;
