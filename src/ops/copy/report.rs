//! How snapshots are copied, and what came of it.

use crate::ops::finding::Finding;
use crate::ops::finding::any_loss;
use serde::Serialize;

/// How to copy snapshots.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Whether anything is stored.
    pub run: Run,
    /// Who called `sudo`, for the manifests.
    pub sudo_user: Option<String>,
    /// Threads that read, compress and seal.
    pub threads: usize,
    /// If no snapshot is named, only so many of each source, the newest.
    pub newest_count: Option<u32>,
    /// Seconds after which a long copy commits a checkpoint of what it has stored.
    pub checkpoint_seconds: i64,
}

/// Whether anything is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Run {
    /// What is missing is copied.
    Copy,
    /// It is only told what would be.
    Dry,
}

impl CopyOptions {
    /// Copies with as many threads as the machine has processors.
    pub fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let checkpoint_seconds = crate::ops::snapshot::options::CHECKPOINT_SECONDS;
        Self { run: Run::Copy, sudo_user: None, threads, newest_count: None, checkpoint_seconds }
    }
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What copying did.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// Where the other repository is.
    pub location: String,
    /// The snapshots that were chosen, oldest data first.
    pub snapshots: Vec<CopiedSnapshot>,
    /// Plaintext bytes that were read.
    pub bytes_read: u64,
    /// Those of them that the other repository did not have, tree included.
    pub bytes_new: u64,
    /// Bytes stored for them.
    pub bytes_stored: u64,
    /// Notes that went along.
    pub notes: u64,
    /// Holds that went along.
    pub holds: u64,
    /// Erasures that went along.
    pub erasures: u64,
    /// What is wrong with either repository.
    pub findings: Vec<Finding>,
}

impl CopyReport {
    /// Whether something that was chosen is damaged.
    pub fn is_damaged(&self) -> bool {
        any_loss(&self.findings)
    }

    /// How many snapshots have this state.
    pub fn count(&self, state: CopyState) -> usize {
        self.snapshots.iter().filter(|snapshot| snapshot.state == state).count()
    }
}

/// One snapshot that was chosen.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CopiedSnapshot {
    /// The snapshot.
    pub snapshot: String,
    /// Its source.
    pub source: String,
    /// The time of its data, RFC 3339 in UTC.
    pub time: String,
    /// What became of it.
    pub state: CopyState,
    /// Its name in the other repository, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// Files of which something was read.
    pub files_read: u64,
    /// Plaintext bytes that were read.
    pub bytes_read: u64,
    /// Those of them that the other repository did not have, tree included.
    pub bytes_new: u64,
    /// Bytes stored for them.
    pub bytes_stored: u64,
}

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CopyState {
    /// It was copied.
    Copied,
    /// It is missing there, and would be copied.
    WouldCopy,
    /// The other repository has it.
    Present,
    /// It was forgotten there, and was not asked for by name.
    Forgotten,
    /// Something in it is damaged; there is no copy.
    Damaged,
}
