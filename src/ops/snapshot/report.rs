//! What a snapshot did and what it had to leave out.

use crate::format::manifest::RunSummary;
use crate::format::manifest::SKIPPED_COUNT_MAX;
use crate::format::manifest::SkippedPath;
use crate::format::tree::Totals;
use crate::id::SnapshotId;
use crate::localfs::LocalError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::delta::DeltaUse;
use crate::ops::snapshot::delta::HostKeeps;
use crate::ops::words::path_words;
use std::os::unix::ffi::OsStrExt as _;

/// A snapshot that was committed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// The snapshot; `None` after a dry run.
    pub snapshot: Option<SnapshotId>,
    /// The source.
    pub source: String,
    /// The snapshot whose unchanged files were not read again.
    pub parent: Option<SnapshotId>,
    /// Sums over its tree.
    pub totals: Totals,
    /// What the run did.
    pub run: RunSummary,
    /// Paths that were left out; at most [`SKIPPED_COUNT_MAX`].
    pub skipped: Vec<SkippedPath>,
    /// How many were left out in all.
    pub skipped_count: u64,
    /// What was stored as the difference to an older version.
    pub deltas: DeltaUse,
    /// What this host keeps of the streams, and can read.
    pub host_keeps: HostKeeps,
}

impl SnapshotReport {
    /// Whether something that was asked for is missing.
    pub const fn is_incomplete(&self) -> bool {
        self.skipped_count > 0
    }
}

/// What a report says of a run beside what it did.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) snapshot: Option<SnapshotId>,
    pub(crate) source: String,
    pub(crate) parent: Option<SnapshotId>,
    pub(crate) totals: Totals,
}

/// What a run has done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) run: RunSummary,
    pub(crate) skipped: Vec<SkippedPath>,
    pub(crate) skipped_count: u64,
    pub(crate) deltas: DeltaUse,
}

impl Tally {
    /// The report of a run that ended; whoever keeps dumps says so later.
    pub(crate) fn report(self, of: Reported) -> SnapshotReport {
        let Self { run, skipped, skipped_count, deltas } = self;
        let Reported { snapshot, source, parent, totals } = of;
        SnapshotReport {
            snapshot,
            source,
            parent,
            totals,
            run,
            skipped,
            skipped_count,
            deltas,
            host_keeps: HostKeeps::Nothing,
        }
    }

    /// Notes a path that could not be read.
    pub(crate) fn skip(&mut self, error: &LocalError, progress: &dyn Progress) {
        let path = path_words(error.path.as_os_str().as_bytes());
        let reason = format!("cannot {}: {}", error.call, error.source);
        self.note(path, reason, progress);
    }

    /// Notes a file that changed while it was read; what was read is kept.
    pub(crate) fn changed(&mut self, path: &[u8], progress: &dyn Progress) {
        self.note(path_words(path), CHANGED.to_owned(), progress);
    }

    /// Notes a compressed stream that is damaged; all of it is kept.
    pub(crate) fn damaged(&mut self, name: &str, what: &str, progress: &dyn Progress) {
        let reason = format!(
            "the stream, compressed with gzip, {what}; it is stored as it came, and what could be read of it plain"
        );
        self.note(name.to_owned(), reason, progress);
    }

    fn note(&mut self, path: String, reason: String, progress: &dyn Progress) {
        progress.warn(&format!("{path}: {reason}"));
        self.skipped_count += 1;
        if self.skipped.len() < SKIPPED_COUNT_MAX {
            self.skipped.push(SkippedPath { path, reason });
        }
    }
}

/// What a reader of the snapshot must know of such a file.
const CHANGED: &str = "changed while it was read: its content in the snapshot may mix older and \
                       newer bytes";
