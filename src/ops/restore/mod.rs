//! `restore` and `dump`: from a snapshot to files or a stream.
//!
//! Files are restored in windows of bounded size: the tree gives the files of a window, the index
//! says which blocks hold them, and every block is opened once, wherever its chunks belong.

mod account;
mod after;
pub(crate) mod ahead;
mod compare;
pub(crate) mod dump;
mod execute;
mod existing;
mod files;
pub mod forecast;
mod guard;
mod pipe;
pub mod plan;
mod rewrap;
mod sweep;
pub mod tally;
pub(crate) mod tree;
pub mod verify;
mod way;
pub(crate) mod window;
mod wrapped;

pub use dump::dump;
pub use pipe::restore_to_command;
pub use rewrap::rewrap;
pub use wrapped::restore_rewrapped;

use crate::format::tree::Totals;
use crate::localfs::LocalError;
use crate::localfs::apply;
use crate::localfs::apply::ApplyOptions;
use crate::localfs::apply::report::ApplyReport;
use crate::localfs::apply::report::Aspect;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::progress::Progress;
use crate::ops::restore::guard::check_delete;
use crate::ops::restore::guard::open_target;
use crate::ops::restore::sweep::Sweep;
use crate::ops::restore::tally::Counts;
use crate::ops::restore::tree::TreeRestore;
use crate::ops::restore::verify::Excused;
use crate::ops::restore::verify::Verified;
use crate::ops::restore::verify::verify;
use crate::ops::restore::way::Way;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::words::path_words;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use crate::units::to_u64;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Says of a path in a snapshot, and whether it is a directory, that it is wanted.
pub type Filter = Arc<dyn Fn(&[u8], bool) -> bool + Send + Sync>;

/// Where and how to restore.
#[derive(Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The directory that receives the entries; made if it is missing.
    pub target: PathBuf,
    /// Which entries are wanted; all if there is none.
    pub filter: Option<Filter>,
    /// Whose the entries become.
    pub ownership: Ownership,
    /// Whether the snapshot may give out rights.
    pub trust: Trust,
    /// What to do when something is damaged.
    pub keep_going: KeepGoing,
    /// What to do with files that are there.
    pub overwrite: Overwrite,
    /// Whether to remove what the snapshot lacks.
    pub delete: Delete,
    /// Whether to read everything back.
    pub read_back: ReadBack,
    /// Threads that read and write.
    pub threads: usize,
}

/// What to do with files, links and the like that are in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overwrite {
    /// Make all anew.
    Always,
    /// Read them, and make anew those that are not as in the snapshot.
    IfChanged,
    /// Leave them as they are.
    Never,
}

/// Whether to remove what the target holds and the snapshot lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delete {
    /// No.
    Nothing,
    /// Yes, if the snapshot is complete.
    Extra,
    /// Yes, although what it lacks may only not have been readable.
    EvenIfIncomplete,
}

/// Whether to read back what was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadBack {
    /// No.
    Nothing,
    /// All of it, from the disk where the system lets that be asked for.
    Everything,
}

/// Whose the restored entries become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// The user's who restores.
    Keep,
    /// The recorded numbers'.
    Ids,
    /// The recorded names' where this host knows them, else the recorded numbers'.
    Names,
}

/// Whether a snapshot may give out rights on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// No set-id bits, devices and foreign owners.
    Untrusted,
    /// Everything that the user who restores may set.
    Trusted,
}

/// What to do when something is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepGoing {
    /// End with the first error.
    Stop,
    /// Restore what can be restored, and list the rest.
    Continue,
}

impl RestoreOptions {
    /// Everything into `target`, with the ownership that the user may give.
    pub fn new(target: PathBuf) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            target,
            filter: None,
            ownership: Ownership::Names,
            trust: Trust::Untrusted,
            keep_going: KeepGoing::Stop,
            overwrite: Overwrite::IfChanged,
            delete: Delete::Nothing,
            read_back: ReadBack::Nothing,
            threads,
        }
    }

    pub(crate) fn apply_options(&self) -> ApplyOptions {
        let ownership = match self.ownership {
            Ownership::Keep => apply::Ownership::Keep,
            Ownership::Ids => apply::Ownership::Ids,
            Ownership::Names => apply::Ownership::Names,
        };
        let trust = match self.trust {
            Trust::Untrusted => apply::Trust::Untrusted,
            Trust::Trusted => apply::Trust::Trusted,
        };
        ApplyOptions { ownership, trust }
    }
}

impl fmt::Debug for RestoreOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RestoreOptions")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestoreReport {
    /// What was restored.
    pub totals: Totals,
    /// Entries that were not restored; at most [`FINDINGS_COUNT_MAX`].
    pub failed: Vec<Finding>,
    /// How many were not restored in all.
    pub failed_count: u64,
    /// How many of them for what is stored; the others could not be written.
    pub damaged_count: u64,
    /// Metadata that could not be set, in words; a bounded number.
    pub not_applied: Vec<String>,
    /// How much could not be set in all.
    pub not_applied_count: u64,
    /// How many entries were made, changed, kept and so on.
    pub counts: Counts,
    /// Temporary names that killed restores had left and that were removed.
    pub leftovers_count: u64,
    /// What reading back found, if it was asked for.
    pub verified: Option<Verified>,
}

/// Restores a snapshot, or what stands at a path of it, and makes it durable.
///
/// A directory's entries are put into the target; anything else becomes an entry of it. Nothing
/// is written whose chunk was not verified, and nothing outside the target is touched.
pub fn restore(
    repository: &Repository,
    selected: &Selected,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport, OpError> {
    check_delete(selected, options)?;
    let reader = open_reader(repository)?;
    let found = selected.find(&reader)?;
    let target = open_target(repository, options, false)?;
    begin(progress, "restoring", &found);
    let way = Way { overwrite: options.overwrite, is_dry: false, from_disk: false };
    let mut restore =
        TreeRestore::new(&reader, Arc::clone(&target), options, (way, false), progress)?;
    restore.run(&found)?;
    let mut report = std::mem::take(&mut restore.report);
    if options.delete != Delete::Nothing && report.failed_count == 0 {
        let mut sweep = Sweep {
            reader: &reader,
            target: &target,
            filter: options.filter.as_ref(),
            selected,
            tally: &restore.tally,
            progress,
            is_dry: false,
            failed: Vec::new(),
        };
        sweep.run(&found)?;
        report.failed_count += to_u64(sweep.failed.len());
        report.failed.extend(sweep.failed);
    }
    // Not before this is anything durable.
    let applied = target.finish()?;
    note_not_applied(&mut report, &applied);
    report.counts = restore.tally.counts();
    if options.read_back == ReadBack::Everything {
        begin(progress, "verifying", &found);
        let failed = report.failed.iter().map(|finding| finding.object.clone()).collect();
        let excused = Excused { tally: &restore.tally, applied: &applied, failed };
        let target = open_target(repository, options, true)?;
        report.verified = Some(verify(&reader, &target, &found, options, &excused, progress)?);
    }
    Ok(report)
}

/// Tells that a phase begins.
pub(crate) fn begin(progress: &dyn Progress, phase: &'static str, found: &Found) {
    let totals = match found {
        Found::Root { totals, .. } => *totals,
        Found::Entry(entry) => crate::repo::tree::builder::totals_of(&entry.entry.node),
    };
    progress.begin(phase, totals.files, totals.bytes);
}

/// A reader of everything that is valid now.
pub(crate) fn open_reader(repository: &Repository) -> Result<ChunkReader, OpError> {
    let (history, loaded) = load_valid(repository).during("cannot read what is valid")?;
    let index = Arc::new(loaded.index);
    let reader = ChunkReader::new(repository.clone(), index, TREE_CACHE_BYTES);
    Ok(reader.reloading(history.verdict.number))
}

fn note_not_applied(report: &mut RestoreReport, applied: &ApplyReport) {
    report.not_applied_count = applied.counts.values().sum();
    let words = |missing: &apply::report::NotApplied| {
        let why = match &missing.why {
            apply::report::Reason::Untrusted => "the restore is not trusted".to_owned(),
            apply::report::Reason::OtherOwner => "the owner is another one".to_owned(),
            apply::report::Reason::Refused(error) => error.to_string(),
        };
        let path = path_words(missing.path.as_os_str().as_bytes());
        let attribute = missing.attribute.as_deref().map(path_words).unwrap_or_default();
        format!("{path}: {} {attribute} not set: {why}", aspect_words(missing.aspect))
    };
    report.not_applied = applied.named.iter().map(words).collect();
}

fn aspect_words(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Ownership => "owner",
        Aspect::SetId => "set-id bits",
        Aspect::Mode => "mode",
        Aspect::Attribute => "attribute",
        Aspect::Flags => "flags",
        Aspect::Times => "times",
        Aspect::Device => "device",
    }
}

impl From<LocalError> for Finding {
    fn from(error: LocalError) -> Self {
        let object = path_words(error.path.as_os_str().as_bytes());
        let effect = format!("not restored: cannot {}: {}", error.call, error.source);
        Self::not_written(object, effect)
    }
}

impl Finding {
    /// Says of an entry that the target does not take it.
    fn not_written(object: String, effect: String) -> Self {
        let remedy = "make room or the rights for it, or choose another target".to_owned();
        Self { remedy, ..Self::notice("file.not_written", object, effect) }
    }
}

/// Most findings that a report lists.
pub const FINDINGS_COUNT_MAX: usize = 1000;
/// Plaintext of tree blocks that is kept.
const TREE_CACHE_BYTES: usize = 16 * 1_048_576;
