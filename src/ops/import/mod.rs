//! `import`: dated copies that other programs left in a directory become snapshots of their dates.

mod name;
pub mod plan;

use crate::id::SnapshotId;
use crate::ops::error::OpError;
use crate::ops::import::plan::ImportPlan;
use crate::ops::import::plan::OldCopy;
use crate::ops::progress::Progress;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::snapshot::options::Source;
use crate::ops::snapshot::options::StreamSource;
use crate::ops::snapshot::options::UnwrapMode;
use crate::ops::snapshot::report::SnapshotReport;
use crate::ops::snapshot::snapshot;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What became of a copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Imported {
    /// A snapshot of it was there.
    Present,
    /// A snapshot was made.
    Stored {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Whether its plain bytes are stored, and a recipe for the compressed file.
        is_unwrapped: bool,
        /// How many bytes the repository grew by.
        bytes_stored: u64,
    },
    /// It is damaged, or cannot be read.
    Failed {
        /// Why.
        why: String,
    },
}

/// Makes a snapshot of each copy that has none, oldest first; calls `tell` with each as soon as it is
/// known what became of it. The copies themselves stay.
///
/// Errors: whatever keeps the command from going on; snapshots that were made until then count, and the
/// next run goes on behind them. A copy that is damaged is no error.
pub fn import(
    repository: &Repository,
    plan: &ImportPlan,
    options: &SnapshotOptions,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(&OldCopy, &Imported),
) -> Result<(), OpError> {
    for copy in &plan.copies {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let imported = if copy.is_there {
            Imported::Present
        } else {
            import_one(repository, copy, options, progress)?
        };
        tell(copy, &imported);
    }
    Ok(())
}

fn import_one(
    repository: &Repository,
    copy: &OldCopy,
    options: &SnapshotOptions,
    progress: &dyn Progress,
) -> Result<Imported, OpError> {
    if let Some(why) = copy.refused.clone() {
        return Ok(Imported::Failed { why });
    }
    let mut options = options.clone();
    options.source.clone_from(&copy.source);
    options.time = Some(copy.time.clone());
    options.tags.push(copy.tag.clone());
    // Rows that were deleted since are history and no mistake; a dump that was cut off is none.
    options.guards.compared = false;
    options.unwrap = if copy.is_compressed { UnwrapMode::OnIfWhole } else { UnwrapMode::Off };
    let mut made = store(repository, copy, &options, progress);
    if matches!(made, Err(OpError::NotUnwrapped { .. })) {
        progress.warn(&format!(
            "{} is not unwrapped but stored as it is: what it was unwrapped to does not give it back",
            copy.words
        ));
        options.unwrap = UnwrapMode::Off;
        made = store(repository, copy, &options, progress);
    }
    match made {
        Ok(report) => Ok(stored(&report)),
        Err(OpError::SourceCommand { how }) => Ok(Imported::Failed { why: how }),
        Err(OpError::Local { call, path, source })
            if path == Path::new(&copy.name) || path == copy.path =>
        {
            Ok(Imported::Failed { why: format!("cannot {call} it: {source}") })
        }
        Err(error) => Err(error),
    }
}

fn store(
    repository: &Repository,
    copy: &OldCopy,
    options: &SnapshotOptions,
    progress: &dyn Progress,
) -> Result<SnapshotReport, OpError> {
    let file = File::open(&copy.path).map_err(|source| OpError::Local {
        call: "open",
        path: copy.path.clone(),
        source,
    })?;
    let (left, modified) = (copy.size, copy.modified);
    let input = Box::new(Unchanged { file, left, modified });
    let source = Source::Stream(StreamSource::new(copy.name.clone(), input));
    snapshot(repository, options, source, progress)
}

/// Of a stream, the plain bytes and the recipe are two files.
fn stored(report: &SnapshotReport) -> Imported {
    let Some(snapshot) = report.snapshot else {
        return Imported::Failed { why: "no snapshot was made".to_owned() };
    };
    let is_unwrapped = report.totals.files > 1;
    Imported::Stored { snapshot, is_unwrapped, bytes_stored: report.run.bytes_stored }
}

/// A file that must be as it was found, or reading it fails.
#[derive(Debug)]
struct Unchanged {
    file: File,
    left: u64,
    modified: (i64, i64),
}

impl Read for Unchanged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        let is_longer = to_u64(length) > self.left;
        self.left = self.left.saturating_sub(to_u64(length));
        if length > 0 && !is_longer {
            return Ok(length);
        }
        let metadata = self.file.metadata()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        if buffer.is_empty() || !is_longer && self.left == 0 && modified == self.modified {
            return Ok(length);
        }
        Err(io::Error::other("it changed while it was read"))
    }
}
