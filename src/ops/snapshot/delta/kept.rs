//! What this host keeps of the dumps of a run, for whoever stores them.

use crate::id::SnapshotId;
use crate::ops::progress::Progress;
use crate::ops::snapshot::delta::Before;
use crate::ops::snapshot::delta::HostKeeps;
use crate::repo::history::History;
use crate::repo::kept_dump::KeptDumps;
use crate::repo::kept_dump::newer::Stopped;
use crate::repo::repository::Repository;
use crate::units::human_bytes;
use std::cell::Cell;

/// The dumps of a run that are kept, if any are. Used on the thread that leads the run.
#[derive(Debug, Default)]
pub(crate) struct KeptStreams {
    dumps: Option<KeptDumps>,
    /// Whether some cannot be kept.
    has_failed: Cell<bool>,
    /// Whether an older version is missing that there should be.
    lacks_older: Cell<bool>,
    /// Whether there is an older snapshot of the source.
    has_older: bool,
}

impl KeptStreams {
    /// Those of a source. Whatever is wrong is told, and no reason to fail.
    pub(crate) fn begin(
        repository: &Repository,
        history: &History,
        source: &str,
        progress: &dyn Progress,
    ) -> Self {
        let has_older = history.snapshots.iter().any(|live| live.source == source);
        let (dumps, why) = match KeptDumps::begin(repository, history, source) {
            Ok(Some(dumps)) => (Some(dumps), None),
            Ok(None) => (None, Some("there is no cache or no state directory".to_owned())),
            Err(error) => (None, Some(crate::ops::finding::chain_words(&error))),
        };
        if let Some(why) = &why {
            progress.warn(&format!("this host keeps no dump for deltas: {why}"));
        }
        let (has_failed, lacks_older) = (Cell::new(why.is_some()), Cell::new(false));
        Self { dumps, has_failed, lacks_older, has_older }
    }

    /// The last version of a dump, and where the new one is kept.
    pub(crate) fn before<'a>(&self, name: &str, progress: &dyn Progress) -> Before<'a> {
        let Some(dumps) = &self.dumps else { return Before::default() };
        let kept = dumps.dump(name);
        if kept.is_none() {
            self.has_failed.set(true);
            progress.warn(&format!(
                "{name} is not kept for deltas: another run keeps it, or the cache cannot be written"
            ));
        }
        let before = Before::kept(kept);
        let lacks_older = self.has_older && before.predecessor.is_none();
        self.lacks_older.set(self.lacks_older.get() || lacks_older);
        before
    }

    /// Whether an older version was wanted, and not there.
    pub(crate) fn lacks_older(&self) -> bool {
        self.lacks_older.get()
    }

    /// The snapshot is committed.
    pub(crate) fn finish(&self, snapshot: SnapshotId, progress: &dyn Progress) -> HostKeeps {
        let failed = if self.has_failed.get() { HostKeeps::Failed } else { HostKeeps::Nothing };
        let Some(dumps) = self.dumps.as_ref().filter(|dumps| dumps.begun_count() > 0) else {
            return failed;
        };
        let (bytes, stopped) = dumps.finish(snapshot);
        let mut keeps = if self.has_failed.get() { failed } else { HostKeeps::Kept { bytes } };
        for (name, why) in stopped {
            match why {
                Stopped::DoesNotFit => {
                    let bytes_max = dumps.bytes_max();
                    progress.warn(&format!(
                        "{name} is not kept for deltas: what is kept of dumps may take {}, about half of the cache's \
                         `size`; the next one will be stored in full",
                        human_bytes(bytes_max)
                    ));
                    keeps = HostKeeps::DoesNotFit { bytes_max };
                }
                Stopped::Failed(why) => {
                    progress.warn(&format!("{name} could not be kept for deltas: {why}"));
                    if !matches!(keeps, HostKeeps::DoesNotFit { .. }) {
                        keeps = HostKeeps::Failed;
                    }
                }
            }
        }
        keeps
    }
}
