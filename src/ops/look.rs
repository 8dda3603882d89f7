//! `snapshots` and `ls`: what there is.

use crate::format::manifest::Manifest;
use crate::format::tree::EntryKind;
use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::forget::record_finding;
use crate::ops::hold::SnapshotHold;
use crate::ops::hold::held_words;
use crate::ops::hold::holds_of;
use crate::ops::moved::unless_moved;
use crate::ops::progress::Progress;
use crate::ops::restore::open_reader;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::select::data_time;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::missing_finding;
use crate::ops::unreadable::rollback_finding;
use crate::ops::words::path_words;
use crate::repo::content_digest::content_name;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::labels::Labels;
use crate::repo::labels::NoteOf;
use crate::repo::marks::Marks;
use crate::repo::repository::Repository;
use crate::repo::roster::missing_commits;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use serde::Serialize;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Which snapshots are wanted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SnapshotFilter {
    /// Of this source.
    pub source: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Of this host.
    pub host: Option<String>,
    /// The newest so many of each source.
    pub latest: Option<usize>,
    /// Those that count, or those that were forgotten and are still stored.
    pub state: SnapshotState,
}

/// Whether a snapshot counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotState {
    /// It does.
    #[default]
    Live,
    /// It was forgotten, and no collection removed it yet.
    Forgotten,
}

impl SnapshotFilter {
    /// All snapshots.
    pub fn new() -> Self {
        Self::default()
    }

    /// A damaged manifest does not say its host and tags: such a snapshot is always wanted.
    fn wants(&self, row: &SnapshotRow) -> bool {
        let Some(manifest) = &row.manifest else { return true };
        let stated = &manifest.predicate;
        self.host.as_ref().is_none_or(|host| stated.host == *host)
            && self.tags.iter().all(|tag| row.tags.contains(tag))
    }
}

/// Snapshots, oldest data first, and what could not be read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SnapshotList {
    /// The snapshots that are wanted.
    pub rows: Vec<SnapshotRow>,
    /// What is damaged: manifests of rows, and outcomes that may hide other snapshots.
    pub findings: Vec<Finding>,
}

/// One snapshot.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SnapshotRow {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Who made it.
    pub client: ClientId,
    /// Its source.
    pub source: String,
    /// When the store received it, in seconds since 1970; 0 if it does not say.
    pub received: i64,
    /// Its manifest, unless that is damaged.
    pub manifest: Option<Manifest>,
    /// Its tags, as its manifest and records say.
    pub tags: Vec<String>,
    /// What was said of it afterwards, oldest first.
    pub notes: Vec<SnapshotNote>,
    /// What holds it.
    pub holds: Vec<SnapshotHold>,
    /// The snapshot for which it stands, of which something was left out.
    pub replaces: Option<SnapshotId>,
    /// Why it must be kept, or why it was forgotten.
    pub marks: Vec<String>,
    time: (i64, u32),
}

/// Something that was said of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnapshotNote {
    /// What.
    pub text: String,
    /// When, RFC 3339 in UTC, by the clock of whoever said it.
    pub time: Option<String>,
    /// Who.
    pub client: String,
}

impl SnapshotRow {
    /// The time of its data, in seconds since 1970 and nanoseconds; not later than its receipt.
    pub const fn data_time(&self) -> (i64, u32) {
        self.time
    }
}

/// Lists snapshots.
pub fn snapshots(
    repository: &Repository,
    filter: &SnapshotFilter,
) -> Result<SnapshotList, OpError> {
    let is_suspicious = |list: &Result<SnapshotList, OpError>| {
        list.as_ref().is_ok_and(|list| !list.findings.is_empty())
    };
    unless_moved(repository, || snapshots_once(repository, filter), is_suspicious)
}

fn snapshots_once(
    repository: &Repository,
    filter: &SnapshotFilter,
) -> Result<SnapshotList, OpError> {
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    let marks = Marks::load(repository).during("cannot read the marks on snapshots")?;
    let mut list = SnapshotList::default();
    list.findings.extend(marks.unreadable.iter().map(record_finding));
    list.findings.extend(history.unreadable.iter().map(history_finding));
    list.findings.extend(history.went_back.iter().map(rollback_finding));
    let labels = Labels::load(repository).during("cannot read tags and notes")?;
    list.findings.extend(labels.unreadable.iter().map(record_finding));
    let missing = missing_commits(repository, &history).during("cannot read what is valid")?;
    list.findings.extend(missing.iter().map(missing_finding));
    let lives = match filter.state {
        SnapshotState::Live => &history.snapshots,
        SnapshotState::Forgotten => &history.forgotten,
    };
    repository.keep_manifests_ahead(lives);
    for live in lives {
        if filter.source.as_ref().is_some_and(|source| live.source != *source) {
            continue;
        }
        let mut row = row(repository, live, &labels, &mut list.findings)?;
        row.marks = mark_words(&marks, live.snapshot);
        row.holds = holds_of(repository, &marks, live.snapshot);
        if filter.wants(&row) {
            list.rows.push(row);
        }
    }
    list.rows.sort_by_key(|row| (row.time, row.snapshot));
    if let Some(count) = filter.latest {
        keep_latest(&mut list.rows, count);
    }
    Ok(list)
}

fn row(
    repository: &Repository,
    live: &LiveSnapshot,
    labels: &Labels,
    findings: &mut Vec<Finding>,
) -> Result<SnapshotRow, OpError> {
    let manifest = match live.manifest(repository) {
        Ok(manifest) => Some(manifest),
        Err(error) if repository.is_damage(&error) => {
            let effect = "its manifest cannot be read";
            findings.push(Finding::damaged_manifest(live.snapshot, effect, &error));
            None
        }
        Err(error) => return Err(error).during("cannot read a manifest"),
    };
    let time = manifest.as_ref().map_or((live.received, 0), |manifest| data_time(live, manifest));
    let LiveSnapshot { client, snapshot, manifest: _, source, received, is_in_base: _ } =
        live.clone();
    let stated = manifest.as_ref().map(|manifest| manifest.predicate.tags.as_slice());
    let tags = labels.tag_words_of(snapshot, client, stated.unwrap_or_default());
    let note = |NoteOf { client, note, .. }: NoteOf<'_>| SnapshotNote {
        text: note.text.clone(),
        time: note.time.clone(),
        client: client.to_string(),
    };
    let notes = labels.notes_of(snapshot).map(note).collect();
    let replaces = labels.replaced_by(snapshot);
    let (holds, marks) = (Vec::new(), Vec::new());
    Ok(SnapshotRow {
        snapshot,
        client,
        source,
        received,
        manifest,
        tags,
        notes,
        holds,
        replaces,
        marks,
        time,
    })
}

/// What holds a snapshot, then what forgets it.
fn mark_words(marks: &Marks, snapshot: SnapshotId) -> Vec<String> {
    let holds = marks.held_by(&snapshot).iter().map(|held| held_words(&held.hold));
    let forgets = marks.forgets_of(snapshot).into_iter().map(|(_record, forget)| {
        let time = forget.time.as_ref().map(|time| format!(" {time}")).unwrap_or_default();
        let reason = forget.reason.as_ref().map(|reason| format!(": {reason}"));
        format!("forgotten{time}{}", reason.unwrap_or_default())
    });
    holds.chain(forgets).collect()
}

fn keep_latest(rows: &mut Vec<SnapshotRow>, count: usize) {
    let mut left: HashMap<String, usize> = HashMap::new();
    for row in rows.iter() {
        *left.entry(row.source.clone()).or_default() += 1;
    }
    rows.retain(|row| {
        let Some(left) = left.get_mut(&row.source) else { return true };
        *left -= 1;
        *left < count
    });
}

/// An entry as `ls` shows it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ListedEntry<'a> {
    /// Its path in the snapshot, for people.
    pub path: String,
    /// What it is.
    pub kind: &'a EntryKind,
    /// What every kind of entry has.
    pub metadata: &'a Metadata,
    /// Whose it is.
    pub owner: Owner,
}

impl ListedEntry<'_> {
    /// The name of a file's content in this repository: files of one name hold the same.
    pub fn content(&self) -> Option<Digest> {
        content_of(self.kind)
    }
}

/// The name of the content of a file.
pub(crate) fn content_of(kind: &EntryKind) -> Option<Digest> {
    kind.file().map(|file| content_name(&file.content))
}

/// What a listing came to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LsReport {
    /// Entries that were shown.
    pub entries: u64,
    /// Directories, or parts of them, that could not be read; at most [`LS_FINDINGS_COUNT_MAX`].
    pub findings: Vec<Finding>,
    /// How many there were in all.
    pub findings_count: u64,
}

/// Shows everything at and below what is selected, in order of paths, until `show` breaks off.
///
/// Holds one node for each level of directories.
pub fn ls(
    repository: &Repository,
    selected: &Selected,
    show: &mut dyn FnMut(ListedEntry<'_>) -> ControlFlow<()>,
    progress: &dyn Progress,
) -> Result<LsReport, OpError> {
    let reader = open_reader(repository)?;
    let mut report = LsReport::default();
    let path = selected.path.join(&b'/');
    let (entries, mut path) = match selected.find(&reader)? {
        Found::Root { node, height, .. } => (Entries::of_node(&reader, node, height), path),
        Found::Entry(entry) => {
            let parent = path.len().saturating_sub(entry.entry.name.len() + 1);
            if show_entry(&path[..parent], &entry, &mut report, show).is_break() {
                return Ok(report);
            }
            let EntryKind::Directory(directory) = &entry.entry.node else { return Ok(report) };
            let entries = Entries::of_listing(&reader, &directory.listing);
            (entries.during("cannot read the directory")?, path)
        }
    };
    let mut levels = vec![(entries, path.len())];
    while let Some((entries, length)) = levels.last_mut() {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        path.truncate(*length);
        match entries.next() {
            None => {
                levels.pop();
            }
            Some(Err(error)) => note(repository, &mut report, &path, error)?,
            Some(Ok(entry)) => {
                if show_entry(&path, &entry, &mut report, show).is_break() {
                    return Ok(report);
                }
                if let EntryKind::Directory(directory) = &entry.entry.node {
                    push_name(&mut path, &entry.entry.name);
                    match Entries::of_listing(&reader, &directory.listing) {
                        Ok(entries) => levels.push((entries, path.len())),
                        Err(error) => note(repository, &mut report, &path, error)?,
                    }
                }
            }
        }
    }
    Ok(report)
}

fn show_entry(
    parent: &[u8],
    entry: &OwnedEntry,
    report: &mut LsReport,
    show: &mut dyn FnMut(ListedEntry<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut path = parent.to_vec();
    push_name(&mut path, &entry.entry.name);
    report.entries += 1;
    let (kind, metadata) = (&entry.entry.node, &entry.entry.metadata);
    let path = format!("/{}", path_words(&path));
    show(ListedEntry { path, kind, metadata, owner: entry.owner() })
}

pub(crate) fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn note(
    repository: &Repository,
    report: &mut LsReport,
    path: &[u8],
    error: RepoError,
) -> Result<(), OpError> {
    if !repository.is_damage(&error) {
        return Err(error).during("cannot read a directory");
    }
    report.findings_count += 1;
    if report.findings.len() < LS_FINDINGS_COUNT_MAX {
        let effect = format!("not all of it is listed: {}", chain_words(&error));
        let object = format!("/{}", path_words(path));
        report.findings.push(Finding::loss("directory.damaged", object, effect));
    }
    Ok(())
}

/// Most findings that a listing keeps.
pub const LS_FINDINGS_COUNT_MAX: usize = 1000;
