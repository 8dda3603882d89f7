//! What whoever completes a command line is offered: snapshots as this host listed them last, with
//! their sources. Part of the disposable cache; it may be old, and nothing else reads it.

use crate::crypto::hash::sha256;
use crate::id::SnapshotId;
use crate::repo::cache::replace;
use crate::repo::history::History;
use crate::repo::repository::Repository;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// A snapshot that this host has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownSnapshot {
    /// The digits of its id.
    pub(crate) id: String,
    /// When the store received it, in seconds since 1970; 0 if it does not say.
    pub(crate) received: i64,
    pub(crate) source: String,
}

/// The same history, which is left for the next completion if there is a cache that takes it.
pub(crate) fn left(repository: &Repository, history: History) -> History {
    let known = history.snapshots.iter().rev().map(|live| KnownSnapshot {
        id: live.snapshot.to_string(),
        received: live.received,
        source: live.source.clone(),
    });
    store(repository, known);
    history
}

/// Adds a snapshot that was just committed.
pub(crate) fn add(repository: &Repository, snapshot: SnapshotId, source: &str) {
    let Some(cache) = &repository.cache else { return };
    let new = KnownSnapshot {
        id: snapshot.to_string(),
        received: repository.environment.now().0,
        source: source.to_owned(),
    };
    let older = read(&cache.path().join(file_name(&repository.location())));
    store(repository, std::iter::once(new).chain(older));
}

/// What the cache at this path knows of the repository at a location, newest first.
pub(crate) fn known(cache: &Path, location: &str) -> Vec<KnownSnapshot> {
    let name = file_name(location);
    let Ok(repositories) = std::fs::read_dir(cache) else { return Vec::new() };
    let files = repositories.flatten().map(|entry| entry.path().join(&name));
    files.take(REPOSITORIES_MAX).map(|file| read(&file)).max_by_key(Vec::len).unwrap_or_default()
}

/// Writes the newest, and of other sources the newest of each.
fn store(repository: &Repository, known: impl Iterator<Item = KnownSnapshot>) {
    let Some(cache) = &repository.cache else { return };
    let mut sources = HashSet::new();
    let mut text = String::new();
    let mut others = 0;
    for (index, KnownSnapshot { id, received, source }) in known.enumerate() {
        let is_first = !sources.contains(&source);
        let is_wanted = index < SNAPSHOTS_MAX || (is_first && others < SNAPSHOTS_MAX);
        // A name with a line break could pass for two.
        if !is_wanted || source.contains(char::is_control) {
            continue;
        }
        others += usize::from(index >= SNAPSHOTS_MAX);
        // Writing into memory does not fail.
        let _ignored = writeln!(text, "{id} {received} {source}");
        sources.insert(source);
    }
    let path = cache.path().join(file_name(&repository.location()));
    let is_same = std::fs::read(&path).is_ok_and(|there| there == text.as_bytes());
    if !is_same && DirBuilder::new().recursive(true).mode(0o700).create(cache.path()).is_ok() {
        replace(&path, text.as_bytes());
    }
}

fn read(path: &Path) -> Vec<KnownSnapshot> {
    let mut text = String::new();
    let Ok(file) = File::open(path) else { return Vec::new() };
    if file.take(FILE_BYTES_MAX).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<KnownSnapshot> {
    let (id, rest) = line.split_once(' ')?;
    let (received, source) = rest.split_once(' ')?;
    let received = received.parse().ok()?;
    Some(KnownSnapshot { id: id.to_owned(), received, source: source.to_owned() })
}

/// A place has one file, whatever its repository: a mirror shows other snapshots than its source.
fn file_name(location: &str) -> String {
    let digest = sha256(location.trim_end_matches('/').as_bytes()).to_string();
    let digits: String = digest.chars().take(NAME_DIGITS).collect();
    format!("names-{digits}")
}

/// How many snapshots are remembered, and how many more for the sake of their sources.
const SNAPSHOTS_MAX: usize = 1000;
/// More than so many have no place on a command line.
const FILE_BYTES_MAX: u64 = 4 * crate::units::MIB;
/// How many repositories of one cache are looked at.
const REPOSITORIES_MAX: usize = 1000;
const NAME_DIGITS: usize = 16;
