//! `check`: is everything there that the snapshots need, and does it read back?

pub mod coverage;
mod foundation;
mod packs;
mod sessions;
mod sidecars;
pub(crate) mod trees;

use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::id::PackId;
use crate::ops::audit::accept::audit_went_back;
use crate::ops::audit::verify::lapsed_finding;
use crate::ops::check::coverage::CoverageReport;
use crate::ops::check::coverage::ReadPack;
use crate::ops::check::coverage::Subset;
use crate::ops::check::coverage::coverage_report;
use crate::ops::check::coverage::live_packs;
use crate::ops::check::coverage::record_check;
use crate::ops::check::foundation::check_foundation;
use crate::ops::check::packs::Known;
use crate::ops::check::packs::check_packs;
use crate::ops::check::packs::note_broken;
use crate::ops::check::packs::read_packs;
use crate::ops::check::sessions::check_collections;
use crate::ops::check::sessions::check_identities;
use crate::ops::check::sessions::check_sessions;
use crate::ops::check::sidecars::check_sidecars;
use crate::ops::check::trees::TreeCheck;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::finding::any_loss;
use crate::ops::finding::chain_words;
use crate::ops::forget::record_finding;
use crate::ops::progress::Progress;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::object_finding;
use crate::ops::unreadable::rollback_finding;
use crate::ops::words::time_words;
use crate::repo::audit_objects::FOLDERS;
use crate::repo::audit_objects::open_any;
use crate::repo::coverage::Coverage;
use crate::repo::damage::note_damaged;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::RepoErrorAt;
use crate::repo::history::is_missing;
use crate::repo::index::load::LoadedIndex;
use crate::repo::index::lost::survey;
use crate::repo::joined::at_once;
use crate::repo::marks::Marks;
use crate::repo::policies::AcceptedPolicies;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use serde::Serialize;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

/// How to check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckOptions {
    /// How much is read.
    pub depth: Depth,
    /// Threads that read.
    pub threads: usize,
    /// Of the packs that are read, only so many.
    pub subset: Option<Subset>,
}

/// How much a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Depth {
    /// Keys, statements, index, trees, and whether every pack is there with its length.
    Structure,
    /// Every byte of every pack, and the name of every chunk.
    ReadData,
}

impl CheckOptions {
    /// A check of this depth, with as many threads as the machine has processors.
    pub fn new(depth: Depth) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { depth, threads, subset: None }
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong, the worst first; at most [`FINDINGS_COUNT_MAX`].
    pub findings: Vec<Finding>,
    /// How much is wrong in all.
    pub findings_count: u64,
    /// Snapshots that were walked.
    pub snapshots: u64,
    /// Files that were found in them, each tree node once.
    pub files: u64,
    /// Packs that the index lists.
    pub packs: u64,
    /// Packs that were read in full.
    pub packs_read: u64,
    /// Stored bytes that were read.
    pub bytes_read: u64,
    /// Chunks that were named again.
    pub chunks_read: u64,
    /// Plaintext bytes of those chunks.
    pub plain_bytes_read: u64,
    /// What was read in full, by this check and before.
    pub coverage: CoverageReport,
    /// Packs that are damaged or missing, and hold something that no other pack has.
    #[serde(skip)]
    pub(crate) broken: BTreeSet<PackRef>,
    /// Packs whose sidecar is missing or damaged.
    #[serde(skip)]
    pub(crate) without_parity: BTreeSet<PackRef>,
}

impl CheckReport {
    /// Whether something can no longer be restored, or stored bytes are not what they were.
    pub fn is_damaged(&self) -> bool {
        any_loss(&self.findings)
    }

    /// Drops losses that another check did not find: each may be what a collection took away.
    fn keep_losses_of(&mut self, other: &Self) {
        let count = self.findings.len();
        self.findings.retain(|finding| {
            let is_same =
                |found: &Finding| (found.code, &found.object) == (finding.code, &finding.object);
            finding.severity != Severity::Loss || other.findings.iter().any(is_same)
        });
        let dropped = crate::units::to_u64(count - self.findings.len());
        self.findings_count = self.findings_count.saturating_sub(dropped);
    }

    /// Takes over what another check read, which this one did not.
    pub(crate) fn take_over_reading(&mut self, other: &Self) {
        self.packs_read = other.packs_read;
        self.bytes_read = other.bytes_read;
        self.chunks_read = other.chunks_read;
        self.plain_bytes_read = other.plain_bytes_read;
    }

    pub(crate) fn note(&mut self, finding: Finding, progress: &dyn Progress) {
        if finding.severity == Severity::Loss {
            progress.warn(&format!("{}: {}", finding.object, finding.effect));
        }
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_COUNT_MAX {
            self.findings.push(finding);
        }
    }
}

/// Checks a repository.
///
/// Errors only if the check cannot go on; damage is in the report.
pub fn check(
    repository: &Repository,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<CheckReport, OpError> {
    // What this host keeps may be better than what is stored.
    let repository = &repository.without_kept();
    let mut attempt = 0;
    let mut before: Option<CheckReport> = None;
    loop {
        attempt += 1;
        let chain = || Chain::load(repository).during("cannot read the collections");
        let verdict = chain()?.verdict;
        let mut report = check_once(repository, options, progress)?;
        // A collection that ends meanwhile takes away what was about to be read.
        if !report.is_damaged() || chain()?.verdict == verdict {
            return Ok(report);
        }
        if let Some(before) = before.filter(|_before| attempt >= ATTEMPTS_COUNT_MAX) {
            report.keep_losses_of(&before);
            return Ok(report);
        }
        before = Some(report);
    }
}

/// Checks what is valid now.
fn check_once(
    repository: &Repository,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<CheckReport, OpError> {
    let mut report = CheckReport::default();
    check_foundation(repository, &mut report, progress)?;
    check_slots(repository, &mut report, progress)?;
    check_identities(repository, &mut report, progress);
    let (history, loaded) = load_valid(repository).during("cannot read what is valid")?;
    for at in &history.unreadable {
        report.note(history_finding(at), progress);
    }
    let audit = audit_went_back(repository)?;
    if let Some(back) = history.went_back.as_ref().or(audit.as_ref()) {
        report.note(rollback_finding(back), progress);
    }
    check_objects(repository, &history, &mut report, progress)?;
    check_marks(repository, &mut report, progress)?;
    check_sessions(repository, &history, &mut report, progress)?;
    check_collections(repository, &mut report, progress)?;
    note_unreadable(&mut report, &loaded.unreadable, "segment.damaged", progress);
    check_segments(repository, &history, &mut report, progress)?;
    let loaded = judge_segments(repository, &history, &mut report, loaded)?;
    let reader = ChunkReader::new(repository.clone(), Arc::new(loaded.index), TREE_CACHE_BYTES);
    let mut broken = check_packs(&reader, &history, &mut report, progress)?;
    let (seconds, nanoseconds) = repository.environment.now();
    let started = time_words(seconds, nanoseconds);
    let live = live_packs(&reader.index, &history.removed);
    let packs = live.iter().map(|(pack, _bytes)| *pack);
    let mut coverage = Coverage::load(repository, packs).during("cannot read earlier checks")?;
    let mut read = Vec::new();
    if options.depth == Depth::ReadData {
        let known = Known { history: &history, coverage: &coverage };
        let damaged;
        (read, damaged) = read_packs(&reader, &known, options, &mut report, &mut broken, progress)?;
        note_for_writers(repository, &damaged, &mut report, progress);
    }
    let packs: Vec<PackRef> = live.iter().map(|(pack, _bytes)| *pack).collect();
    check_sidecars(repository, &packs, options.depth, &mut report, progress)?;
    let bad = note_broken(&reader, &broken, &mut report, progress);
    progress.begin("checking trees", 0, 0);
    TreeCheck::new(&reader, &bad, progress).run(&history, &mut report)?;
    record_check(repository, &history, &started, &read, &mut report, progress)?;
    for ReadPack { pack, is_sound, .. } in read {
        coverage.note(pack, &started, is_sound);
    }
    report.coverage = coverage_report(repository, &live, &coverage);
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(report)
}

fn check_slots(
    repository: &Repository,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    for (key, slot) in repository.located().slots().during("cannot read the key slots")? {
        if let Err(error) = slot {
            let effect = format!("it opens nothing any more: {}", chain_words(&error));
            report.note(Finding::loss("slot.damaged", key.to_string(), effect), progress);
        }
    }
    Ok(())
}

/// Opens every object beside packs and slots, whether anything refers to it or not.
fn check_objects(
    repository: &Repository,
    history: &History,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    for folder in FOLDERS {
        let keys = repository.list_keys(folder).during("cannot list the objects")?;
        for keys in keys.chunks(OBJECTS_AT_ONCE) {
            if progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            let opened = at_once(keys, |key| open_any(repository, key));
            for (key, opened) in keys.iter().zip(opened) {
                match opened {
                    Ok(()) => {}
                    // Swept since it was listed; whatever needs it says so.
                    Err(error) if is_missing(&error) => {}
                    Err(error @ RepoError::Lapsed { .. })
                        if layout::parse_audit_key(key).is_ok() =>
                    {
                        report.note(lapsed_finding(key.to_string(), &error), progress);
                    }
                    Err(error) if repository.is_damage(&error) => {
                        let newest = history.verdict.number;
                        let finding = object_finding(repository, key, &error, newest)
                            .during("cannot read the collections")?;
                        if report.findings.iter().all(|found| found.object != finding.object) {
                            report.note(finding, progress);
                        }
                    }
                    Err(error) => return Err(error).during("cannot read an object"),
                }
            }
        }
    }
    Ok(())
}

/// Finds segments that only the cache of this host still has: no other host can read with them.
fn check_segments(
    repository: &Repository,
    history: &History,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let listed = repository.segment_lengths().during("cannot list the index")?;
    let listed: HashSet<SegmentRef> =
        listed.into_iter().map(|(segment, _length)| segment).collect();
    for segment in history.segments.iter().filter(|segment| !listed.contains(segment)) {
        let object = segment.key().to_string();
        if report.findings.iter().all(|found| found.object != object) {
            let effect = "it is missing; only the cache of this host has what it lists".to_owned();
            report.note(Finding::loss("segment.missing", object, effect), progress);
        }
    }
    Ok(())
}

/// Finds out whether anything depends on segments that are missing or damaged; returns the index without
/// what only this host's cache has.
fn judge_segments(
    repository: &Repository,
    history: &History,
    report: &mut CheckReport,
    loaded: LoadedIndex,
) -> Result<LoadedIndex, OpError> {
    let segments: HashSet<String> =
        history.segments.iter().map(|segment| segment.key().to_string()).collect();
    let is_lost = |finding: &Finding| {
        finding.severity == Severity::Loss && segments.contains(&finding.object)
    };
    if !report.findings.iter().any(is_lost) {
        return Ok(loaded);
    }
    let epoch_min = history.verdict.number;
    let survey = survey(repository, &history.segments, &history.condemned, epoch_min, &|| Ok(()))
        .during("cannot read the index")?;
    for finding in report.findings.iter_mut().filter(|finding| is_lost(finding)) {
        if survey.unlisted.is_empty() {
            finding.code = "segment.superseded";
            finding.severity = Severity::Notice;
            finding.effect.push_str("; other segments list every pack that is stored");
            SUPERSEDED_REMEDY.clone_into(&mut finding.remedy);
        } else {
            LOST_SEGMENT_REMEDY.clone_into(&mut finding.remedy);
        }
    }
    Ok(survey.loaded)
}

/// Tells writers which packs are damaged, so that they store again what those held.
fn note_for_writers(
    repository: &Repository,
    damaged: &BTreeSet<PackId>,
    report: &mut CheckReport,
    progress: &dyn Progress,
) {
    if damaged.is_empty() {
        return;
    }
    if let Err(error) = note_damaged(repository, damaged) {
        let effect = format!(
            "it could not be recorded, so that backups do not store again what is lost: {}",
            chain_words(&error)
        );
        report.note(Finding::notice("damage.unrecorded", "damage".to_owned(), effect), progress);
    }
}

/// Finds records of snapshots that are missing; damaged ones were found with all objects.
fn check_marks(
    repository: &Repository,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let what = "cannot read the records of snapshots";
    let marks = Marks::load(repository).during(what)?;
    let policies = AcceptedPolicies::load(repository).during(what)?;
    for at in marks.unreadable.iter().chain(&policies.unreadable) {
        let finding = record_finding(at);
        if report.findings.iter().all(|found| found.object != finding.object) {
            report.note(finding, progress);
        }
    }
    Ok(())
}

fn note_unreadable(
    report: &mut CheckReport,
    unreadable: &[RepoErrorAt],
    code: &'static str,
    progress: &dyn Progress,
) {
    for RepoErrorAt { key, error } in unreadable {
        let effect = format!("what it adds is missing: {}", chain_words(error.as_ref()));
        report.note(Finding::loss(code, key.to_string(), effect), progress);
    }
}

const SUPERSEDED_REMEDY: &str = "the next `sbf-repo prune` drops it";
const LOST_SEGMENT_REMEDY: &str =
    "run `sbf-repo repair index --apply`: the packs themselves say what they hold";
/// Most findings that a report lists.
pub const FINDINGS_COUNT_MAX: usize = 1000;
/// How often collections may end while a check runs that finds damage.
const ATTEMPTS_COUNT_MAX: u32 = 3;
/// Objects that are opened before the next look at whether to stop.
const OBJECTS_AT_ONCE: usize = 256;
const TREE_CACHE_BYTES: usize = 16 * 1_048_576;
