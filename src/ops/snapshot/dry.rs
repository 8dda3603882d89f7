//! A dry run: walks the files beside the parent's tree, and reads and stores nothing.

use crate::format::tree::Totals;
use crate::localfs::FileKind;
use crate::localfs::walk::Walk;
use crate::localfs::walk::WalkEntry;
use crate::localfs::walk::WalkEvent;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::PARENT_CACHE_BYTES;
use crate::ops::snapshot::memory::HostMemory;
use crate::ops::snapshot::memory::Remembered;
use crate::ops::snapshot::options::FilesSource;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::snapshot::options::Source;
use crate::ops::snapshot::parent::Parent;
use crate::ops::snapshot::parent::ParentCursor;
use crate::ops::snapshot::report::Reported;
use crate::ops::snapshot::report::SnapshotReport;
use crate::ops::snapshot::report::Tally;
use crate::ops::unreadable::history_finding;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use std::sync::Arc;

/// Tells what [`snapshot`](crate::ops::snapshot::snapshot) would read, by names, sizes and times
/// alone. The repository hears nothing of it.
///
/// `bytes_read` of the report is what would be read; how much of it is new is not known.
pub fn dry_run(
    repository: &Repository,
    options: &SnapshotOptions,
    files: FilesSource,
    progress: &dyn Progress,
) -> Result<SnapshotReport, OpError> {
    let source = Source::Files(files.clone());
    options.check(&source)?;
    let (history, loaded) = load_valid(repository).during("cannot read what is valid")?;
    for at in &history.unreadable {
        progress.warn(&history_finding(at).words());
    }
    let index = Arc::new(loaded.index);
    let reader = ChunkReader::new(repository.clone(), index, PARENT_CACHE_BYTES);
    let parent = Parent::find(repository, &history, &options.source);
    let cursor = parent.as_ref().map(|parent| parent.cursor(&reader));
    progress.begin("comparing", 0, 0);
    let memory = HostMemory::open(repository, &history, &options.source);
    let (tally, totals) = (Tally::default(), Totals::default());
    let mut run = DryRun { parent: cursor, memory, tally, totals };
    for event in Walk::start(files.into_walk(options.threads))? {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        run.take(event, progress);
    }
    let DryRun { parent: _, memory: _, tally, totals } = run;
    let of = Reported {
        snapshot: None,
        source: options.source.clone(),
        parent: parent.map(|parent| parent.snapshot),
        totals,
    };
    Ok(tally.report(of))
}

struct DryRun<'a> {
    parent: Option<ParentCursor<'a>>,
    memory: HostMemory,
    tally: Tally,
    totals: Totals,
}

impl DryRun<'_> {
    fn take(&mut self, event: WalkEvent, progress: &dyn Progress) {
        match event {
            WalkEvent::EnterDirectory(entry) => {
                self.totals.directories += 1;
                if let Some(parent) = &mut self.parent {
                    let found = parent.find(entry.name());
                    parent.enter(found.as_ref());
                }
            }
            WalkEvent::LeaveDirectory => {
                if let Some(parent) = &mut self.parent {
                    parent.leave();
                }
            }
            WalkEvent::Failed(failure) => self.tally.skip(&failure.error, progress),
            WalkEvent::Entry(entry) => self.entry(&entry, progress),
        }
    }

    fn entry(&mut self, entry: &WalkEntry, progress: &dyn Progress) {
        let stat = entry.stat();
        let (mut known, mut unchanged) = (false, false);
        if let Some(parent) = &mut self.parent
            && let Some(found) = parent.find(entry.name())
        {
            known = true;
            unchanged = parent.is_unchanged(&found, stat);
        }
        if stat.kind != FileKind::File {
            self.totals.others += 1;
            return;
        }
        if let Some(remembered) = self.memory.find(entry) {
            known = true;
            unchanged |= matches!(remembered, Remembered::Unchanged(_));
        }
        self.totals.files += 1;
        self.totals.bytes += stat.size;
        let run = &mut self.tally.run;
        match (known, unchanged) {
            (true, true) => run.files_unchanged += 1,
            (true, false) => run.files_changed += 1,
            (false, _) => run.files_new += 1,
        }
        if !unchanged {
            run.bytes_read += stat.size;
        }
        progress.advance(1, stat.size);
    }
}
