//! `--verify`: what was restored is read back and compared with the snapshot.

use crate::localfs::apply::Target;
use crate::localfs::apply::report::ApplyReport;
use crate::localfs::apply::report::path_hash;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::progress::Progress;
use crate::ops::restore::FINDINGS_COUNT_MAX;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::Overwrite;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::tally::Action;
use crate::ops::restore::tally::Tally;
use crate::ops::restore::tree::TreeRestore;
use crate::ops::restore::way::Way;
use crate::ops::select::Found;
use crate::ops::words::path_words;
use crate::repo::read::ChunkReader;
use crate::units::to_u64;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;

/// What reading a target back found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Entries that are as in the snapshot.
    pub entries: u64,
    /// Bytes of files that were read and are as in the snapshot.
    pub bytes: u64,
    /// Entries that are not; at most [`FINDINGS_COUNT_MAX`].
    pub findings: Vec<Finding>,
    /// How many are not in all.
    pub findings_count: u64,
}

/// What a restore knows to be otherwise than in the snapshot.
pub(crate) struct Excused<'a> {
    /// Files that were not to be touched.
    pub(crate) tally: &'a Tally,
    /// Metadata that could not be set.
    pub(crate) applied: &'a ApplyReport,
    /// Entries that were not restored.
    pub(crate) failed: HashSet<String>,
}

/// Reads back what a selection restored.
pub(crate) fn verify(
    reader: &ChunkReader,
    target: &Arc<Target>,
    found: &Found,
    options: &RestoreOptions,
    excused: &Excused<'_>,
    progress: &dyn Progress,
) -> Result<Verified, OpError> {
    let way = Way { overwrite: Overwrite::IfChanged, is_dry: true, from_disk: true };
    let mut options = options.clone();
    options.keep_going = KeepGoing::Continue;
    let mut look = TreeRestore::new(reader, Arc::clone(target), &options, (way, true), progress)?;
    look.run(found)?;
    let counts = look.tally.counts();
    let mut verified = Verified {
        entries: counts.unchanged,
        bytes: counts.bytes_unchanged,
        ..Verified::default()
    };
    let (changes, unnamed) = look.tally.take_raw();
    for (path, action) in changes {
        let (object, hash) = (path_words(&path), path_hash(&path));
        let told = excused.tally.is_kept(&path) || excused.failed.contains(&object);
        let effect = match action {
            Action::Create => "it is not there",
            Action::Change => "its content or its kind is another one",
            Action::Metadata if excused.applied.paths.contains(&hash) => continue,
            Action::Metadata => "its owner, mode, times or attributes are others",
            Action::Unchanged | Action::Keep | Action::Delete => continue,
        };
        if !told {
            verified.add(differs(object, effect));
        }
    }
    for finding in std::mem::take(&mut look.report.failed) {
        if !excused.failed.contains(&finding.object) {
            let effect = finding.effect.replace("not restored: ", "it cannot be read back: ");
            verified.add(differs(finding.object, &effect));
        }
    }
    verified.findings_count += unnamed;
    Ok(verified)
}

impl Verified {
    fn add(&mut self, finding: Finding) {
        self.findings_count += 1;
        if to_u64(self.findings.len()) < to_u64(FINDINGS_COUNT_MAX) {
            self.findings.push(finding);
        }
    }
}

fn differs(object: String, effect: &str) -> Finding {
    let effect = format!("differs from the snapshot: {effect}");
    let remedy = "see whether something else writes to the target, then run the restore again; \
                  if it differs again, do not trust the disk"
        .to_owned();
    Finding { code: "restore.differs", severity: Severity::Loss, object, effect, remedy }
}
