//! `tag` and `note`: what people say of snapshots afterwards. Manifests never change.

use crate::format::label::NOTE_BYTES_MAX;
use crate::format::label::Note;
use crate::format::label::TAG_BYTES_MAX;
use crate::format::label::Tag;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::forget::record_finding;
use crate::ops::moved::is_missing_there;
use crate::ops::moved::unless_moved;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::ops::words::time_words;
use crate::repo::history::History;
use crate::repo::labels::Labels;
use crate::repo::labels::store_note;
use crate::repo::labels::store_tag;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How tags change.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TagChange {
    /// Tags that are added.
    pub add: BTreeSet<String>,
    /// Tags that are removed.
    pub remove: BTreeSet<String>,
    /// All tags that there are to be, if only these are to be.
    pub set: Option<BTreeSet<String>>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl TagChange {
    /// Nothing changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks that each is a tag, and that something is asked for.
    ///
    /// Errors: [`OpError::Usage`].
    pub fn check(&self) -> Result<(), OpError> {
        let Self { add, remove, set, reason: _ } = self;
        let wrong = |why: String| Err(OpError::Usage { why });
        if add.is_empty() && remove.is_empty() && set.is_none() {
            return wrong("say which tags: `--add`, `--remove` or `--set`".to_owned());
        }
        if let Some(both) = add.intersection(remove).next() {
            return wrong(format!("`{both}` cannot be added and removed"));
        }
        for tag in add.iter().chain(remove).chain(set.iter().flatten()) {
            if tag.is_empty() || tag.len() > TAG_BYTES_MAX || tag.chars().any(char::is_control) {
                return wrong(format!(
                    "a tag has 1 to {TAG_BYTES_MAX} bytes, and no control characters"
                ));
            }
        }
        Ok(())
    }

    /// The tags after the change.
    fn apply(&self, before: &BTreeSet<String>) -> BTreeSet<String> {
        let mut after = self.set.clone().unwrap_or_else(|| before.clone());
        after.retain(|tag| !self.remove.contains(tag));
        after.extend(self.add.iter().cloned());
        after
    }
}

/// The tags of a snapshot, before and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tagged {
    /// The snapshot.
    pub snapshot: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// What it has that it had not.
    pub added: BTreeSet<String>,
    /// What it had and has not.
    pub removed: BTreeSet<String>,
}

/// What a change of tags came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TagReport {
    /// The snapshots that were named.
    pub snapshots: Vec<Tagged>,
    /// Records that are not obeyed.
    pub findings: Vec<Finding>,
}

/// What one record says: tags to add, tags to remove, and the records whose additions end.
type Said = (Vec<String>, Vec<String>, Vec<String>);

/// Changes the tags of the snapshots that selectors name.
///
/// Errors: [`OpError::Usage`] of [`TagChange::check`]; the role's lack of the right to remove what
/// others gave, before anything is stored.
pub fn tag(
    repository: &Repository,
    selectors: &[Selector],
    change: &TagChange,
) -> Result<TagReport, OpError> {
    change.check()?;
    let selected = select_snapshots(repository, selectors)?;
    let labels = Labels::load(repository).during("cannot read the tags")?;
    let mut report = TagReport::default();
    report.findings.extend(labels.unreadable.iter().map(record_finding));
    let mut records: BTreeMap<Said, Vec<SnapshotId>> = BTreeMap::new();
    for (snapshot, one) in &selected {
        let stated = &one.manifest.predicate.tags;
        let given = labels.tags_of(*snapshot, one.live.client, stated);
        let before: BTreeSet<String> = given.iter().map(|tag| tag.tag.clone()).collect();
        let tags = change.apply(&before);
        let added: BTreeSet<String> = tags.difference(&before).cloned().collect();
        let removed: BTreeSet<String> = before.difference(&tags).cloned().collect();
        let mut ended = BTreeSet::new();
        for tag in given.iter().filter(|tag| removed.contains(&tag.tag)) {
            for client in &tag.clients {
                repository.check_releases(*client).during("cannot remove a tag")?;
            }
            ended.extend(tag.records.iter().cloned());
        }
        if !added.is_empty() || !removed.is_empty() {
            let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
            let said = (list(&added), list(&removed), list(&ended));
            records.entry(said).or_default().push(*snapshot);
        }
        report.snapshots.push(Tagged { snapshot: snapshot.to_string(), tags, added, removed });
    }
    let time = time_words(repository.environment.now().0, 0);
    for ((add, remove, records), snapshots) in records {
        let (reason, time) = (change.reason.clone(), Some(time.clone()));
        let tag = Tag { snapshots, add, remove, records, reason, time };
        store_tag(repository, &tag).during("cannot store the tags")?;
    }
    Ok(report)
}

/// Says something of the snapshots that selectors name; returns them.
///
/// Errors: [`OpError::Usage`] if it is nothing or too long.
pub fn note(
    repository: &Repository,
    selectors: &[Selector],
    text: &str,
) -> Result<Vec<SnapshotId>, OpError> {
    if text.is_empty() || text.len() > NOTE_BYTES_MAX {
        let why = format!("a note has 1 to {NOTE_BYTES_MAX} bytes");
        return Err(OpError::Usage { why });
    }
    let snapshots: Vec<SnapshotId> = select_snapshots(repository, selectors)?.into_keys().collect();
    let note = Note {
        snapshots: snapshots.clone(),
        text: text.to_owned(),
        time: Some(time_words(repository.environment.now().0, 0)),
        origin: None,
    };
    store_note(repository, &note).during("cannot store the note")?;
    Ok(snapshots)
}

/// The snapshots that selectors name, which have no paths.
pub(crate) fn select_snapshots(
    repository: &Repository,
    selectors: &[Selector],
) -> Result<BTreeMap<SnapshotId, Selected>, OpError> {
    let select = || {
        let history = History::load(repository).during("cannot read what is valid")?;
        history.check_not_back().during("cannot change what counts")?;
        let mut selected = BTreeMap::new();
        for selector in selectors {
            if selector.has_path() {
                let why = "a path in a snapshot cannot be meant here; name the snapshot".to_owned();
                return Err(OpError::Usage { why });
            }
            let one = selector.select_in(repository, &history)?;
            selected.insert(one.live.snapshot, one);
        }
        Ok(selected)
    };
    unless_moved(repository, select, is_missing_there)
}
