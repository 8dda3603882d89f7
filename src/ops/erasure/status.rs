//! Which snapshots still hold what was erased, and until when.

use crate::id::SnapshotId;
use crate::ops::erasure::ErasureRow;
use crate::ops::erasure::expiry::Expiry;
use crate::ops::erasure::expiry::cadence;
use crate::ops::erasure::expiry::expiries;
use crate::ops::erasure::replays::ReplayRun;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::forget::ForgetOptions;
use crate::ops::forget::plan;
use crate::ops::forget::policy::Policy;
use crate::ops::forget::record_finding;
use crate::ops::select::data_time;
use crate::ops::unreadable::history_finding;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::locks::free_time;
use crate::repo::locks::lock_days;
use crate::repo::locks::lock_end;
use crate::repo::locks::old_versions;
use crate::repo::marks::Marks;
use crate::repo::policies::AcceptedPolicies;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How it stands with an erasure.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ErasureStatus {
    /// The erasure.
    #[serde(flatten)]
    pub erasure: ErasureRow,
    /// The repository and its copies.
    pub places: Vec<PlaceStatus>,
    /// Whether older data is nowhere any more, as far as all places could be looked at.
    pub is_gone: bool,
    /// When the last snapshot with older data goes, if backups go on as they did: RFC 3339 in UTC; `None` if that cannot
    /// be said, or if there is none.
    pub expires: Option<String>,
    /// The times that older data came back.
    pub runs: Vec<ReplayRun>,
    /// How many of them did not end with what was erased erased again.
    pub pending_count: usize,
}

/// How it stands in one place.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PlaceStatus {
    /// `repository`, or the name of a copy.
    pub place: String,
    /// Why it could not be looked at.
    pub error: Option<String>,
    /// Snapshots with older data, by time.
    pub snapshots: Vec<OlderSnapshot>,
    /// When the last of them goes; `None` if that cannot be said, or if there is none.
    pub expires: Option<String>,
    /// What a bucket keeps of what is deleted.
    pub versions: Option<PlaceVersions>,
}

/// A snapshot that still holds what was erased, or may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OlderSnapshot {
    /// The snapshot.
    pub snapshot: String,
    /// Its source.
    pub source: String,
    /// The time of its data, RFC 3339 in UTC.
    pub data_time: String,
    /// Whether it was forgotten, and waits for a prune.
    pub is_forgotten: bool,
    /// What keeps it, in words.
    pub why: String,
    /// When forget and prune would remove it, RFC 3339 in UTC; `None` if nothing says.
    pub expires: Option<String>,
}

/// What a bucket keeps of what is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlaceVersions {
    /// Versions that are kept now: some may hold what was erased.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the bucket's rules have freed them, RFC 3339 in UTC; `None` if no rule does.
    pub free_at: Option<String>,
    /// Until when at the latest locks keep some of them; `None` if objects are not locked.
    pub locked_until: Option<String>,
    /// When what the snapshots above leave is freed, too: `None` if it is never, or if nothing says when they go.
    pub expires: Option<String>,
}

/// What a place has of some erasures, and what could not be read there.
pub(crate) struct Looked {
    /// In the order of the erasures.
    places: Vec<PlaceStatus>,
    pub(crate) findings: Vec<Finding>,
}

/// Looks for older data in one place, for each of the erasures.
pub(crate) fn look(
    repository: &Repository,
    place: &str,
    erasures: &[ErasureRow],
) -> Result<Looked, OpError> {
    let mut findings = Vec::new();
    let history = History::load_readable(repository).during(WHAT)?;
    let marks = Marks::load(repository).during(WHAT)?;
    findings.extend(history.unreadable.iter().map(history_finding));
    findings.extend(marks.unreadable.iter().map(record_finding));
    let mut known: Vec<Known<'_>> = Vec::new();
    for (lives, is_forgotten) in [(&history.snapshots, false), (&history.forgotten, true)] {
        repository.keep_manifests_ahead(lives);
        for live in lives {
            known.push(Known {
                live,
                is_forgotten,
                data: time_of(repository, live, &mut findings)?,
            });
        }
    }
    known.sort_by_key(|known| (known.data, known.live.snapshot));
    let concerns = |known: &Known<'_>| {
        erasures.iter().any(|erasure| erasure.concerns(&known.live.source, known.data))
    };
    let older = known.iter().filter(|known| !known.is_forgotten && concerns(known));
    let mut wanted: BTreeMap<String, BTreeSet<SnapshotId>> = BTreeMap::new();
    for known in older {
        wanted.entry(known.live.source.clone()).or_default().insert(known.live.snapshot);
    }
    let ends = ends_of(repository, &wanted)?;
    let now = repository.environment.now().0;
    let versions = old_versions(repository).during("cannot ask what the bucket keeps")?;
    let locked_days = lock_days(repository);
    let places = erasures.iter().map(|erasure| {
        let is_older = |known: &&Known<'_>| erasure.concerns(&known.live.source, known.data);
        let found: Vec<(OlderSnapshot, Option<i64>)> = known
            .iter()
            .filter(is_older)
            .map(|known| older_of(known, &ends, &marks, now))
            .collect();
        let last = found.iter().map(|(_older, at)| *at).collect::<Option<Vec<i64>>>();
        let last = last.and_then(|ends| ends.into_iter().max());
        let snapshots = found.into_iter().map(|(older, _at)| older).collect();
        let versions = versions.map(|old| {
            let keeps = old.end_after_days.map(|days| days.max(locked_days.unwrap_or(0)));
            let after =
                |at: i64| keeps.map(|days| at.saturating_add(i64::from(days) * DAY_SECONDS));
            PlaceVersions {
                count: old.count,
                bytes: old.bytes,
                free_at: free_time(&old).map(|at| time_words(at, 0)),
                locked_until: lock_end(repository, &old).map(|at| time_words(at, 0)),
                expires: last.and_then(after).map(|at| time_words(at, 0)),
            }
        });
        let (place, expires) = (place.to_owned(), last.map(|at| time_words(at, 0)));
        PlaceStatus { place, error: None, snapshots, expires, versions }
    });
    Ok(Looked { places: places.collect(), findings })
}

/// A place that could not be looked at.
pub(crate) fn not_looked(place: &str, erasures: &[ErasureRow], error: &str) -> Looked {
    let failed = |_erasure: &ErasureRow| PlaceStatus {
        place: place.to_owned(),
        error: Some(error.to_owned()),
        ..PlaceStatus::default()
    };
    Looked { places: erasures.iter().map(failed).collect(), findings: Vec::new() }
}

/// How it stands with each erasure, from what was found in all places.
pub(crate) fn statuses(
    erasures: Vec<ErasureRow>,
    looked: Vec<Looked>,
    runs: &[ReplayRun],
) -> Vec<ErasureStatus> {
    let mut columns: Vec<std::vec::IntoIter<PlaceStatus>> =
        looked.into_iter().map(|looked| looked.places.into_iter()).collect();
    let status = |erasure: ErasureRow| {
        let places: Vec<PlaceStatus> = columns.iter_mut().filter_map(Iterator::next).collect();
        let runs: Vec<ReplayRun> =
            runs.iter().filter(|run| run.erasures.contains(&erasure.erasure)).cloned().collect();
        let pending_count = runs.iter().filter(|run| !run.is_done).count();
        let is_gone =
            places.iter().all(|place| place.error.is_none() && place.snapshots.is_empty());
        let with = places.iter().filter(|place| !place.snapshots.is_empty());
        let ends = with.map(|place| place.expires.clone()).collect::<Option<Vec<String>>>();
        let is_known = places.iter().all(|place| place.error.is_none());
        let expires = ends.filter(|_ends| is_known).and_then(|ends| ends.into_iter().max());
        ErasureStatus { erasure, places, is_gone, expires, runs, pending_count }
    };
    erasures.into_iter().map(status).collect()
}

struct Known<'a> {
    live: &'a LiveSnapshot,
    is_forgotten: bool,
    data: (i64, u32),
}

/// The time of a snapshot's data; that of its receipt if its manifest cannot be read.
fn time_of(
    repository: &Repository,
    live: &LiveSnapshot,
    findings: &mut Vec<Finding>,
) -> Result<(i64, u32), OpError> {
    match live.manifest(repository) {
        Ok(manifest) => Ok(data_time(live, &manifest)),
        Err(error) if repository.is_damage(&error) => {
            let effect = "how old its data is is not known";
            findings.push(Finding::damaged_manifest(live.snapshot, effect, &error));
            Ok((live.received, 0))
        }
        Err(error) => Err(error).during("cannot read a manifest"),
    }
}

/// When the policies that were accepted let go of snapshots, by source.
fn ends_of(
    repository: &Repository,
    wanted: &BTreeMap<String, BTreeSet<SnapshotId>>,
) -> Result<BTreeMap<SnapshotId, Expiry>, OpError> {
    let mut ends = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(ends);
    }
    let accepted = AcceptedPolicies::load(repository).during("cannot read the policies")?;
    for (source, wanted) in wanted {
        let Some(accepted) = accepted.of(source) else {
            let never = Expiry::Never("no policy was accepted for it".to_owned());
            ends.extend(wanted.iter().map(|snapshot| (*snapshot, never.clone())));
            continue;
        };
        let Some(policy) = Policy::of_form(&accepted.policy).filter(|policy| !policy.is_empty())
        else {
            let never = Expiry::Never("its policy says what this version does not know".to_owned());
            ends.extend(wanted.iter().map(|snapshot| (*snapshot, never.clone())));
            continue;
        };
        let mut options = ForgetOptions::new(policy);
        options.sources.push(source.clone());
        let planned = plan(repository, &options)?;
        let candidates = planned.sources.into_iter().flat_map(|source| source.decisions);
        let candidates: Vec<_> = candidates.map(|decision| decision.candidate).collect();
        let every = cadence(&candidates);
        ends.extend(expiries(&options.policy, &candidates, wanted, every));
    }
    Ok(ends)
}

/// What is told of a snapshot, and when it goes, in seconds since 1970.
fn older_of(
    known: &Known<'_>,
    ends: &BTreeMap<SnapshotId, Expiry>,
    marks: &Marks,
    now: i64,
) -> (OlderSnapshot, Option<i64>) {
    let snapshot = known.live.snapshot;
    let (mut why, mut expires) = if known.is_forgotten {
        ("forgotten: the next prune removes it".to_owned(), Some(now))
    } else {
        match ends.get(&snapshot) {
            Some(Expiry::Next) => {
                ("nothing keeps it: the next forget and prune remove it".to_owned(), Some(now))
            }
            Some(Expiry::At(at, words)) => (words.clone(), Some((*at).max(now))),
            Some(Expiry::Never(words)) => (words.clone(), None),
            // It was forgotten, or came, while this was looked at.
            None => ("what keeps it is not known".to_owned(), None),
        }
    };
    for held in marks.held_by(&snapshot) {
        let until = held.hold.until.as_deref().and_then(parse_time);
        why = format!("{}; {why}", crate::ops::hold::held_words(&held.hold));
        // After that time a forget ends the hold.
        expires = until.and_then(|(until, _)| expires.map(|expires| expires.max(until)));
    }
    let older = OlderSnapshot {
        snapshot: snapshot.to_string(),
        source: known.live.source.clone(),
        data_time: time_words(known.data.0, known.data.1),
        is_forgotten: known.is_forgotten,
        why,
        expires: expires.map(|at| time_words(at, 0)),
    };
    (older, expires)
}

const WHAT: &str = "cannot read what is valid";
const DAY_SECONDS: i64 = 24 * 3600;
