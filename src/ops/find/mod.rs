//! `find`: entries of many snapshots, each told once with the snapshots that have it.

mod groups;
mod matching;
mod search;

pub use groups::FoundEntry;
pub use matching::EntryType;
pub use matching::SizeBound;

use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::find::search::Search;
use crate::ops::finding::Finding;
use crate::ops::forget::record_finding;
use crate::ops::moved::is_missing_there;
use crate::ops::moved::unless_moved;
use crate::ops::progress::Progress;
use crate::ops::restore::Filter;
use crate::ops::restore::open_reader;
use crate::ops::select::Selector;
use crate::ops::select::data_time;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::rollback_finding;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::labels::Labels;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::fmt;

/// What is looked for, and where. Everything that is given must hold.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct FindOptions {
    /// Says of a path, which begins with a slash, and whether it is a directory, that it is meant.
    pub filter: Option<Filter>,
    /// Changed at this time or later, in seconds since 1970.
    pub newer: Option<i64>,
    /// Changed before this time.
    pub older: Option<i64>,
    /// Files of such sizes.
    pub sizes: Vec<SizeBound>,
    /// One of these types; of all if there are none.
    pub types: Vec<EntryType>,
    /// Files whose content's name begins with these digits.
    pub content: Option<String>,
    /// In snapshots of these sources; of all if there are none.
    pub sources: Vec<String>,
    /// In snapshots that have all of these tags.
    pub tags: Vec<String>,
    /// In these snapshots; in all that count if there are none.
    pub selectors: Vec<Selector>,
}

impl FindOptions {
    /// Everything in all snapshots.
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for FindOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FindOptions").finish_non_exhaustive()
    }
}

/// A snapshot that was searched.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchedSnapshot {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its source.
    pub source: String,
    /// The time of its data, RFC 3339 in UTC.
    pub time: String,
    age: (i64, u32),
    live: LiveSnapshot,
    stated_tags: Vec<String>,
    root: Option<(crate::id::ChunkId, u8)>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FindReport {
    /// The snapshots that were searched: by source, oldest data first.
    pub snapshots: Vec<SearchedSnapshot>,
    /// What was found in them, by source, path and first snapshot.
    pub entries: Vec<FoundEntry>,
    /// What could not be searched.
    pub findings: Vec<Finding>,
    /// How many directories were read: those of equal trees once.
    pub directories_read: u64,
}

/// Looks for entries in snapshots.
///
/// A directory that an earlier snapshot of the source has at the same path is not read again.
/// Errors: [`OpError::Usage`] if more is found than memory is made for; [`OpError::NoSnapshot`]
/// if there is nothing to search.
pub fn find(
    repository: &Repository,
    options: &FindOptions,
    progress: &dyn Progress,
) -> Result<FindReport, OpError> {
    let is_suspicious = |ended: &Result<FindReport, OpError>| {
        is_missing_there(ended) || ended.as_ref().is_ok_and(|report| !report.findings.is_empty())
    };
    unless_moved(repository, || find_once(repository, options, progress), is_suspicious)
}

fn find_once(
    repository: &Repository,
    options: &FindOptions,
    progress: &dyn Progress,
) -> Result<FindReport, OpError> {
    let mut report = FindReport::default();
    report.snapshots = choose(repository, options, &mut report.findings)?;
    if report.snapshots.is_empty() && report.findings.is_empty() {
        let named = |option: &str, values: &[String]| {
            values.iter().map(|value| format!("{option} {value}")).collect::<Vec<_>>()
        };
        let words = [named("--source", &options.sources), named("--tag", &options.tags)].concat();
        let selector = if words.is_empty() { "latest".to_owned() } else { words.join(" ") };
        return Err(OpError::NoSnapshot { selector });
    }
    let reader = open_reader(repository)?;
    let mut search = Search::new(&reader, options, progress);
    progress.begin("searching", crate::units::to_u64(report.snapshots.len()), 0);
    for (number, snapshot) in report.snapshots.iter().enumerate() {
        let is_next = |before: usize| report.snapshots.get(before).map(|before| &before.source);
        if number.checked_sub(1).and_then(is_next).is_some_and(|name| *name != snapshot.source) {
            search.begin_source();
        }
        if let Some(root) = snapshot.root {
            search.run(number, snapshot.snapshot, root)?;
        }
        progress.advance(1, 0);
    }
    search.finish(&mut report);
    Ok(report)
}

/// The snapshots that are to be searched, by source, oldest data first.
fn choose(
    repository: &Repository,
    options: &FindOptions,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SearchedSnapshot>, OpError> {
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    findings.extend(history.went_back.iter().map(rollback_finding));
    findings.extend(history.unreadable.iter().map(history_finding));
    let mut chosen: BTreeMap<SnapshotId, SearchedSnapshot> = BTreeMap::new();
    for selector in &options.selectors {
        if selector.has_path() {
            let why = "a path in a snapshot cannot be meant here; name the snapshot, and give the path as a pattern".to_owned();
            return Err(OpError::Usage { why });
        }
        let selected = selector.select_in(repository, &history)?;
        findings.extend(selected.findings.into_iter().filter(|new| !history_has(&history, new)));
        chosen.insert(selected.live.snapshot, searched(selected.live, &selected.manifest));
    }
    if options.selectors.is_empty() {
        repository.keep_manifests_ahead(&history.snapshots);
        for live in &history.snapshots {
            if !is_wanted(options, &live.source) {
                continue;
            }
            match live.manifest(repository) {
                Ok(manifest) => {
                    chosen.insert(live.snapshot, searched(live.clone(), &manifest));
                }
                Err(error) if repository.is_damage(&error) => {
                    let effect = "it is not searched, as its manifest cannot be read";
                    findings.push(Finding::damaged_manifest(live.snapshot, effect, &error));
                }
                Err(error) => return Err(error).during("cannot read a manifest"),
            }
        }
    }
    let mut chosen: Vec<SearchedSnapshot> = chosen.into_values().collect();
    chosen.retain(|one| is_wanted(options, &one.source));
    if !options.tags.is_empty() {
        let labels = Labels::load(repository).during("cannot read the tags")?;
        findings.extend(labels.unreadable.iter().map(record_finding));
        chosen.retain(|one| {
            let tags = labels.tag_words_of(one.snapshot, one.live.client, &one.stated_tags);
            options.tags.iter().all(|tag| tags.contains(tag))
        });
    }
    chosen.sort_by(|left, right| {
        let key = |one: &SearchedSnapshot| (one.age, one.live.received, one.snapshot);
        left.source.cmp(&right.source).then_with(|| key(left).cmp(&key(right)))
    });
    Ok(chosen)
}

fn is_wanted(options: &FindOptions, source: &String) -> bool {
    options.sources.is_empty() || options.sources.contains(source)
}

/// Whether a finding of a selection is one of the history, which was told already.
fn history_has(history: &History, finding: &Finding) -> bool {
    history.unreadable.iter().map(history_finding).any(|told| told == *finding)
        || history.went_back.iter().map(rollback_finding).any(|told| told == *finding)
}

fn searched(live: LiveSnapshot, manifest: &crate::format::manifest::Manifest) -> SearchedSnapshot {
    SearchedSnapshot {
        snapshot: live.snapshot,
        source: live.source.clone(),
        time: manifest.predicate.times.data.clone(),
        age: data_time(&live, manifest),
        stated_tags: manifest.predicate.tags.clone(),
        root: manifest.root(),
        live,
    }
}
