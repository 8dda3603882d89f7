//! How much of a repository was read in full, and how long ago: what to read next, and what to record.

use crate::format::coverage::CheckRecord;
use crate::format::coverage::SNAPSHOTS_COUNT_MAX;
use crate::format::layout::PackRef;
use crate::id::PackId;
use crate::ops::check::CheckReport;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::coverage::Coverage;
use crate::repo::coverage::newest_inventory;
use crate::repo::coverage::store_check;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::index::Index;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use serde::Serialize;
use std::collections::HashSet;

/// How much of the packs is read, those first that were not read for longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subset {
    /// So many parts of so many, by bytes.
    Share {
        /// Parts.
        parts: u64,
        /// Of how many.
        of: u64,
    },
    /// So many bytes.
    Bytes(u64),
}

/// How much of the packs was read in full, by whomever, and how long ago.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CoverageReport {
    /// Packs.
    pub packs: u64,
    /// Packs of them that were read in full and were what they should be, the last time.
    pub covered_packs: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Those of packs that were read.
    pub covered_bytes: u64,
    /// When the one was read that was not read for longest, RFC 3339 in UTC.
    pub oldest: Option<String>,
    /// How many days ago that was, the day begun included.
    pub days: Option<u64>,
}

/// What reading a pack came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadPack {
    pub(crate) pack: PackRef,
    pub(crate) is_sound: bool,
    pub(crate) bytes: u64,
    pub(crate) chunks: u64,
}

impl Subset {
    /// How many bytes that is at least.
    fn bytes_of(self, total: u64) -> u64 {
        match self {
            Self::Share { parts, of } => {
                let share = u128::from(total) * u128::from(parts);
                u64::try_from(share.div_ceil(u128::from(of.max(1)))).unwrap_or(u64::MAX)
            }
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Leaves of `work` what was not read for longest, as much as the subset asks for.
pub(crate) fn oldest_first<T>(
    work: Vec<T>,
    subset: Subset,
    coverage: &Coverage,
    pack: impl Fn(&T) -> (PackRef, u64),
) -> Vec<T> {
    let mut dated: Vec<(Option<String>, PackRef, u64, T)> = work
        .into_iter()
        .map(|work| {
            let (pack, bytes) = pack(&work);
            (coverage.of(&pack).map(str::to_owned), pack, bytes, work)
        })
        .collect();
    dated.sort_by(|left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
    let mut wanted = subset.bytes_of(dated.iter().map(|(_, _, bytes, _)| bytes).sum());
    let mut chosen = Vec::new();
    for (_time, _pack, bytes, work) in dated {
        if wanted == 0 {
            break;
        }
        wanted = wanted.saturating_sub(bytes);
        chosen.push(work);
    }
    chosen
}

/// The packs that count, each once, with their stored bytes.
pub(crate) fn live_packs(index: &Index, removed: &HashSet<PackRef>) -> Vec<(PackRef, u64)> {
    let mut seen = removed.clone();
    let mut packs = Vec::new();
    for run in index.runs() {
        for pack in run.packs() {
            if seen.insert(pack.reference()) {
                packs.push((pack.reference(), pack.length));
            }
        }
    }
    packs
}

/// How much of the packs that count was read in full.
pub(crate) fn coverage_of(
    repository: &Repository,
    index: &Index,
    removed: &HashSet<PackRef>,
) -> Result<CoverageReport, RepoError> {
    let live = live_packs(index, removed);
    let coverage = Coverage::load(repository, live.iter().map(|(pack, _bytes)| *pack))?;
    Ok(coverage_report(repository, &live, &coverage))
}

/// Sums up when packs were read.
pub(crate) fn coverage_report(
    repository: &Repository,
    packs: &[(PackRef, u64)],
    coverage: &Coverage,
) -> CoverageReport {
    let mut report = CoverageReport::default();
    for (pack, bytes) in packs {
        report.packs += 1;
        report.bytes += bytes;
        let Some(time) = coverage.of(pack) else { continue };
        report.covered_packs += 1;
        report.covered_bytes += bytes;
        if report.oldest.as_deref().is_none_or(|oldest| time < oldest) {
            report.oldest = Some(time.to_owned());
        }
    }
    let now = repository.environment.now().0;
    let begun = report.oldest.as_deref().and_then(parse_time);
    let age = begun.and_then(|(then, _)| u64::try_from(now.saturating_sub(then)).ok());
    report.days = age.map(|seconds| seconds / DAY_SECONDS + 1);
    report
}

/// Records which packs a check read, in as many records as that takes.
pub(crate) fn record_check(
    repository: &Repository,
    history: &History,
    started: &str,
    read: &[ReadPack],
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    if read.is_empty() {
        return Ok(());
    }
    let inventory = newest_inventory(repository).during("cannot list the inventories")?;
    let (seconds, nanoseconds) = repository.environment.now();
    let mut snapshots: Vec<_> = history.snapshots.iter().map(|live| live.snapshot).collect();
    snapshots.sort_unstable();
    snapshots.truncate(SNAPSHOTS_COUNT_MAX);
    let mut read = read.to_vec();
    read.sort_by_key(|read| read.pack);
    for read in read.chunks(RECORD_PACKS_MAX) {
        let mut check = CheckRecord::default();
        check.time.push_str(started);
        check.finished = time_words(seconds, nanoseconds);
        check.tool.push_str(TOOL);
        check.host = repository.environment.process().host;
        check.snapshots.clone_from(&snapshots);
        check.snapshots_count = to_u64(history.snapshots.len());
        check.findings = report.findings_count;
        (check.verdict, check.inventory) = (history.verdict.number, inventory);
        let mut damaged: HashSet<PackId> = HashSet::new();
        for ReadPack { pack, is_sound, bytes, chunks } in read {
            check.bytes += bytes;
            check.chunks += chunks;
            if *is_sound {
                check.covered.insert(pack.session.session, pack.sequence);
            } else {
                damaged.insert(pack.id);
            }
        }
        check.damaged = damaged.into_iter().collect();
        check.damaged.sort_unstable();
        if let Err(error) = store_check(repository, &check) {
            let effect = format!(
                "what was read could not be recorded, so that no later check knows of it: {}",
                chain_words(&error)
            );
            report.note(Finding::notice("check.unrecorded", "check".to_owned(), effect), progress);
            return Ok(());
        }
    }
    Ok(())
}

/// Packs of one record: a statement has at most 4 MiB, and each may be of a session of its own.
const RECORD_PACKS_MAX: usize = 50_000;
const DAY_SECONDS: u64 = 86_400;
