//! Selectors: which snapshot, and which path in it.

use crate::format::manifest::Manifest;
use crate::format::tree::EntryKind;
use crate::format::tree::Totals;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::rollback_finding;
use crate::ops::words::parse_time;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;

/// A snapshot and a path in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Selected {
    pub(crate) live: LiveSnapshot,
    /// The snapshot's manifest.
    pub manifest: Manifest,
    /// The names that lead to what is meant; empty for everything.
    pub path: Vec<Vec<u8>>,
    /// Outcomes that cannot be read, behind which a newer snapshot may hide, and manifests that
    /// cannot, of snapshots that were received earlier.
    pub findings: Vec<Finding>,
}

/// What stands at the path of a selector.
#[derive(Debug)]
pub(crate) enum Found {
    /// The top of the snapshot.
    Root { node: ChunkId, height: u8, totals: Totals },
    /// An entry.
    Entry(Box<OwnedEntry>),
}

/// Which snapshot and which path in it, as a person wrote it.
///
/// `latest`, the first digits of an id, `SOURCE@latest`, `SOURCE@2026-10-14` (the newest of that
/// day, in UTC), `SOURCE@2026-10-14T02:00:00Z` (the newest that is not newer), `SOURCE@7d` (the
/// newest at least 7 days old); then, after a colon, a path in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selector {
    text: String,
    /// What the text may mean; the first that names something counts.
    readings: Vec<Reading>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    which: Which,
    path: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Latest,
    Prefix(String),
    Of { source: String, when: When },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Latest,
    Day(jiff::civil::Date),
    NotAfter(i64, u32),
    DaysOld(u32),
}

impl Selector {
    /// Parses a selector.
    ///
    /// Errors: [`OpError::Usage`] if it is none.
    pub fn parse(text: &[u8]) -> Result<Self, OpError> {
        let words = path_words(text);
        let mut readings = Vec::new();
        for (which, path) in readings_of(text) {
            let path = split_path(path).ok_or_else(|| OpError::Usage {
                why: format!("the path of `{words}` leaves the snapshot"),
            })?;
            readings.push(Reading { which, path });
        }
        if readings.is_empty() {
            let why = format!("`{words}` names no snapshot");
            return Err(OpError::Usage { why });
        }
        Ok(Self { text: words, readings })
    }

    /// Finds the snapshot.
    ///
    /// Errors: [`OpError::NoSnapshot`]; [`OpError::Forgotten`]; [`OpError::Usage`] if several ids begin with the digits;
    /// the damage of a manifest that may be the one that is meant.
    pub fn select(&self, repository: &Repository) -> Result<Selected, OpError> {
        let history = History::load_readable(repository).during("cannot read what is valid")?;
        self.select_in(repository, &history)
    }

    /// Finds the snapshot among those of a history.
    pub(crate) fn select_in(
        &self,
        repository: &Repository,
        history: &History,
    ) -> Result<Selected, OpError> {
        for Reading { which, path } in &self.readings {
            if let Some((live, manifest, damaged)) = choose(repository, history, which)? {
                let hidden = history.unreadable.iter().map(history_finding);
                let back = history.went_back.iter().map(rollback_finding);
                let findings = back.chain(hidden).chain(damaged).collect();
                return Ok(Selected { live, manifest, path: path.clone(), findings });
            }
        }
        let selector = self.text.clone();
        let begins =
            |live: &&LiveSnapshot| self.digits().is_some_and(|digits| live.begins_with(digits));
        if let Some(live) = history.forgotten.iter().find(begins) {
            return Err(OpError::Forgotten { snapshot: live.snapshot.short() });
        }
        match history.unreadable.first() {
            Some(first) => {
                let Finding { object: key, effect: why, remedy, .. } = history_finding(first);
                Err(OpError::Hidden { selector, key, why, remedy })
            }
            None => Err(OpError::NoSnapshot { selector }),
        }
    }
}

impl Selector {
    /// The first digits of an id, if the selector may be nothing else.
    pub(crate) fn digits(&self) -> Option<&str> {
        match self.readings.as_slice() {
            [Reading { which: Which::Prefix(digits), .. }] => Some(digits),
            _ => None,
        }
    }

    /// Whether a path in a snapshot may be meant.
    pub(crate) fn has_path(&self) -> bool {
        self.readings.iter().all(|reading| !reading.path.is_empty())
    }
}

impl Selected {
    /// The snapshot.
    pub fn snapshot(&self) -> SnapshotId {
        self.live.snapshot
    }

    /// The time of its data, in seconds since 1970 and nanoseconds; one after its receipt does not count.
    pub fn data_time(&self) -> (i64, u32) {
        data_time(&self.live, &self.manifest)
    }

    /// The path in the snapshot, for people; `/` for everything.
    pub fn path_words(&self) -> String {
        format!("/{}", path_words(&self.path.join(&b'/')))
    }

    /// Follows the path; symbolic links in the snapshot are not followed.
    pub(crate) fn find(&self, reader: &ChunkReader) -> Result<Found, OpError> {
        self.find_path(reader, &self.path)
    }

    /// Follows another path in the same snapshot.
    pub(crate) fn find_path(
        &self,
        reader: &ChunkReader,
        path: &[Vec<u8>],
    ) -> Result<Found, OpError> {
        let (node, height) = self.manifest.root().ok_or_else(|| self.no_path())?;
        let mut entries = Entries::of_node(reader, node, height);
        let mut names = path.iter().peekable();
        let Some(mut name) = names.next() else {
            let stated = self.manifest.predicate.totals;
            let totals = Totals {
                files: stated.files,
                directories: stated.directories,
                others: stated.others,
                bytes: stated.bytes,
            };
            return Ok(Found::Root { node, height, totals });
        };
        loop {
            let found = find_name(&mut entries, name)?.ok_or_else(|| self.no_path())?;
            let Some(next) = names.next() else { return Ok(Found::Entry(Box::new(found))) };
            let EntryKind::Directory(directory) = &found.entry.node else {
                return Err(self.no_path());
            };
            entries = Entries::of_listing(reader, &directory.listing)
                .during("cannot read the snapshot's tree")?;
            name = next;
        }
    }

    fn no_path(&self) -> OpError {
        let snapshot = self.live.snapshot.short();
        OpError::NoPath { snapshot, path: path_words(&self.path.join(&b'/')) }
    }
}

fn find_name(entries: &mut Entries<'_>, name: &[u8]) -> Result<Option<OwnedEntry>, OpError> {
    for entry in entries {
        let entry = entry.during("cannot read the snapshot's tree")?;
        if entry.entry.name == name {
            return Ok(Some(entry));
        }
        if entry.entry.name.as_slice() > name {
            return Ok(None);
        }
    }
    Ok(None)
}

/// A snapshot, and what was found on the way to it.
type Chosen = Option<(LiveSnapshot, Manifest, Vec<Finding>)>;

fn choose(repository: &Repository, history: &History, which: &Which) -> Result<Chosen, OpError> {
    match which {
        Which::Latest => newest(repository, history.snapshots.iter().collect(), &|_time| true),
        Which::Prefix(digits) => by_prefix(repository, history, digits),
        Which::Of { source, when } => {
            let of_source = history.snapshots.iter().filter(|live| live.source == *source);
            let now = repository.environment.now();
            let fits = |time: (i64, u32)| match *when {
                When::Latest => true,
                When::Day(day) => day_of(time) == Some(day),
                When::NotAfter(seconds, nanoseconds) => time <= (seconds, nanoseconds),
                When::DaysOld(days) => time.0 <= now.0 - i64::from(days) * DAY_SECONDS,
            };
            newest(repository, of_source.collect(), &fits)
        }
    }
}

fn by_prefix(repository: &Repository, history: &History, digits: &str) -> Result<Chosen, OpError> {
    let begins = |live: &&LiveSnapshot| live.begins_with(digits);
    let found: Vec<&LiveSnapshot> = history.snapshots.iter().filter(begins).collect();
    let live = match found.as_slice() {
        [] => return Ok(None),
        [live] => *live,
        several => {
            let names: Vec<String> = several.iter().map(|live| live.snapshot.to_string()).collect();
            let why = format!("`{digits}` begins several ids: {}", names.join(", "));
            return Err(OpError::Usage { why });
        }
    };
    let manifest = live.manifest(repository).during("cannot read the snapshot's manifest")?;
    Ok(Some((live.clone(), manifest, Vec::new())))
}

/// The newest snapshot by the time of its data.
///
/// A damaged manifest among the candidates is an error if it may be the newest: that of a
/// snapshot which was not received before the one that is found.
fn newest(
    repository: &Repository,
    mut candidates: Vec<&LiveSnapshot>,
    fits: &dyn Fn((i64, u32)) -> bool,
) -> Result<Chosen, OpError> {
    candidates.sort_by_key(|live| std::cmp::Reverse(live.received));
    let mut best: Option<(Age, &LiveSnapshot, Manifest)> = None;
    let mut damaged = Vec::new();
    for live in candidates {
        if best.as_ref().is_some_and(|best| is_older(live, best.0.data)) {
            break;
        }
        match live.manifest(repository) {
            Ok(manifest) => {
                let age = Age::of(live, &manifest);
                if fits(age.data) && best.as_ref().is_none_or(|best| best.0 < age) {
                    best = Some((age, live, manifest));
                }
            }
            Err(error) if repository.is_damage(&error) => damaged.push((live, error)),
            Err(error) => return Err(error).during("cannot read the manifest of a snapshot"),
        }
    }
    let mut findings = Vec::new();
    for (live, error) in damaged {
        match &best {
            Some((age, _, _)) if is_older(live, age.data) => {}
            Some((_, best, _)) if live.received < best.received => {
                findings.push(damaged_earlier(live, &error));
            }
            Some(_) | None => {
                let (snapshot, source) = (live.snapshot.short(), error.into());
                return Err(OpError::MayBeMeant { snapshot, source });
            }
        }
    }
    Ok(best.map(|(_age, live, manifest)| (live.clone(), manifest, findings)))
}

/// How new a snapshot is; of those with data of one time, the one that came last is the newest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    data: (i64, u32),
    received: i64,
    finished: Option<(i64, u32)>,
}

impl Age {
    fn of(live: &LiveSnapshot, manifest: &Manifest) -> Self {
        let finished = parse_time(&manifest.predicate.times.finished);
        Self { data: data_time(live, manifest), received: live.received, finished }
    }
}

/// Whether a snapshot's data is certainly older than this: no data is newer than its receipt.
fn is_older(live: &LiveSnapshot, time: (i64, u32)) -> bool {
    live.received != 0 && time.0 > live.received.saturating_add(CLOCK_DRIFT_SECONDS)
}

fn damaged_earlier(live: &LiveSnapshot, error: &RepoError) -> Finding {
    let effect = "it was received earlier and is passed over, as its manifest cannot be read";
    Finding::damaged_manifest(live.snapshot, effect, error)
}

/// The time of a snapshot's data; a time after its receipt does not count.
pub(crate) fn data_time(live: &LiveSnapshot, manifest: &Manifest) -> (i64, u32) {
    let stated = parse_time(&manifest.predicate.times.data).unwrap_or((live.received, 0));
    let latest = (live.received.saturating_add(CLOCK_DRIFT_SECONDS), 0);
    if live.received == 0 { stated } else { stated.min(latest) }
}

fn day_of((seconds, _nanoseconds): (i64, u32)) -> Option<jiff::civil::Date> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// What a selector may mean: names of sources may hold colons, and paths may hold `@`.
fn readings_of(text: &[u8]) -> Vec<(Which, &[u8])> {
    let mut readings = Vec::new();
    if let Some(at) = text.iter().position(|byte| *byte == b'@')
        && let Ok(source) = str::from_utf8(&text[..at])
        && !source.is_empty()
        && let Some((when, path)) = parse_when(&text[at + 1..])
    {
        readings.push((Which::Of { source: source.to_owned(), when }, path));
    }
    let (head, path) = split_once(text, b':').unwrap_or((text, b""));
    if let Ok(head) = str::from_utf8(head) {
        let is_digit = |letter: char| matches!(letter, '0'..='9' | 'a'..='f');
        if head == "latest" {
            readings.push((Which::Latest, path));
        } else if head.len() >= PREFIX_DIGITS_MIN && head.chars().all(is_digit) {
            readings.push((Which::Prefix(head.to_owned()), path));
        }
    }
    readings
}

/// The longest time at the front of `text` that ends at a colon or at the end, and the path behind.
fn parse_when(text: &[u8]) -> Option<(When, &[u8])> {
    let colons = (0..text.len()).rev().filter(|at| text[*at] == b':');
    std::iter::once(text.len()).chain(colons).find_map(|end| {
        let when = parse_moment(str::from_utf8(&text[..end]).ok()?)?;
        Some((when, text.get(end + 1..).unwrap_or_default()))
    })
}

fn parse_moment(text: &str) -> Option<When> {
    if text == "latest" {
        return Some(When::Latest);
    }
    if let Some(days) = text.strip_suffix('d') {
        return days.parse().ok().map(When::DaysOld);
    }
    if text.len() == DAY_LETTERS {
        return text.parse().ok().map(When::Day);
    }
    let (seconds, nanoseconds) = parse_time(text)?;
    Some(When::NotAfter(seconds, nanoseconds))
}

/// The names of a path; `None` if it goes upwards.
fn split_path(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.map(|name| (name != b"..").then(|| name.to_vec())).collect()
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

const PREFIX_DIGITS_MIN: usize = 4;
const DAY_SECONDS: i64 = 86_400;
/// Letters of a day like 2026-10-14.
const DAY_LETTERS: usize = 10;
/// How far the clocks of a client and of the store may differ.
const CLOCK_DRIFT_SECONDS: i64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Which, &str)]) {
        let readings = readings_of(text.as_bytes());
        let expected: Vec<(Which, &[u8])> =
            expected.iter().map(|(which, path)| (which.clone(), path.as_bytes())).collect();
        assert_eq!(readings, expected);
    }

    fn of(source: &str, when: When) -> Which {
        Which::Of { source: source.to_owned(), when }
    }

    #[test]
    fn selectors_are_read_with_colons_in_sources_and_times() {
        let day = When::Day(jiff::civil::date(2026, 10, 14));
        let time = When::NotAfter(1_791_943_200, 0);
        check("latest", &[(Which::Latest, "")]);
        check(
            "latest:/a@latest",
            &[(of("latest:/a", When::Latest), ""), (Which::Latest, "/a@latest")],
        );
        check("7d1c02e4:/a:b", &[(Which::Prefix("7d1c02e4".to_owned()), "/a:b")]);
        check("db:/srv/data@latest", &[(of("db:/srv/data", When::Latest), "")]);
        check("db:/srv/data@latest:/a", &[(of("db:/srv/data", When::Latest), "/a")]);
        check("app-db@2026-10-14", &[(of("app-db", day), "")]);
        check("app-db@2026-10-14:/x:7d", &[(of("app-db", day), "/x:7d")]);
        check("app-db@2026-10-14T02:00:00Z:/x", &[(of("app-db", time), "/x")]);
        check("app-db@7d:/x@y", &[(of("app-db", When::DaysOld(7)), "/x@y")]);
    }

    #[test]
    fn texts_that_name_no_snapshot_are_refused() {
        for text in ["", "abc", "db", "@latest", "db@", "db@soon", "latest:/../x", "ABCD1234"] {
            assert!(Selector::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
