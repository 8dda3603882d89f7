//! How commands tell what they are doing, and how they are asked to stop.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Hears of progress. Called from many threads.
pub trait Progress: Send + Sync + fmt::Debug {
    /// A phase begins; the expected sums are zero where they are not known.
    fn begin(&self, phase: &'static str, files_expected: u64, bytes_expected: u64);

    /// So many more files and bytes are done.
    fn advance(&self, files: u64, bytes: u64);

    /// Somebody should look at this; the command goes on.
    fn warn(&self, text: &str);

    /// Whether the command shall stop as soon as it can.
    fn is_cancelled(&self) -> bool;
}

/// Hears nothing; can be asked to stop.
#[derive(Debug, Default)]
pub struct NoProgress {
    cancelled: AtomicBool,
}

impl NoProgress {
    /// A silent listener.
    pub const fn new() -> Self {
        Self { cancelled: AtomicBool::new(false) }
    }

    /// Asks the command to stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Progress for NoProgress {
    fn begin(&self, _phase: &'static str, _files_expected: u64, _bytes_expected: u64) {}

    fn advance(&self, _files: u64, _bytes: u64) {}

    fn warn(&self, _text: &str) {}

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
