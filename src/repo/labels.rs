//! Tags and notes of snapshots that count, and which snapshots stand for others.
//! Spec: format-spec/10-record.md, "Tags and notes".

use crate::format::keyslot::Role;
use crate::format::label::Note;
use crate::format::label::Rewrite;
use crate::format::label::Tag;
use crate::id::ClientId;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::grant::signs;
use crate::repo::history::RepoErrorAt;
use crate::repo::mark_writer::store_record;
use crate::repo::marks::Stored;
use crate::repo::marks::load_records;
use crate::repo::marks::may_count;
use crate::repo::marks::may_release;
use crate::repo::repository::Repository;
use std::collections::BTreeSet;

/// What records say of snapshots, at one moment.
#[derive(Default)]
pub(crate) struct Labels {
    tags: Vec<Stored<Tag>>,
    notes: Vec<Stored<Note>>,
    rewrites: Vec<Stored<Rewrite>>,
    /// Records that cannot be read or do not count, and numbers that are missing.
    pub(crate) unreadable: Vec<RepoErrorAt>,
    /// Whether one of them may be of a tag: then it is not known what tags there are.
    pub(crate) tags_unknown: bool,
}

/// A tag of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagOf {
    pub(crate) tag: String,
    /// Who gave it: the client of the snapshot, or of records.
    pub(crate) clients: BTreeSet<ClientId>,
    /// The records that gave it; of the manifest, there is none.
    pub(crate) records: BTreeSet<String>,
}

/// A note on a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteOf<'a> {
    pub(crate) place: &'a str,
    pub(crate) client: ClientId,
    pub(crate) note: &'a Note,
}

impl Labels {
    /// Reads every record of a tag, a note or a rewrite.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let mut labels = Self::default();
        let (mut tags, unreadable) = load_records(repository, Tag::KIND, Tag::read)?;
        labels.tags_unknown = unreadable.iter().any(|at| may_count(repository, &at.error));
        labels.unreadable.extend(unreadable);
        tags.retain(|stored| stored.role.is_some_and(signs));
        labels.tags = tags;
        let (mut notes, unreadable) = load_records(repository, Note::KIND, Note::read)?;
        labels.unreadable.extend(unreadable);
        notes.retain(|stored| stored.role.is_some_and(signs));
        // By time, as far as clients say one: people read them so.
        notes.sort_by(|left, right| left.mark.time.cmp(&right.mark.time));
        labels.notes = notes;
        let (mut rewrites, unreadable) = load_records(repository, Rewrite::KIND, Rewrite::read)?;
        labels.unreadable.extend(unreadable);
        rewrites.retain(|stored| stored.role == Some(Role::Admin));
        labels.rewrites = rewrites;
        Ok(labels)
    }

    /// The tags of a snapshot that `client` made with these `stated` in its manifest: those of the
    /// manifest in their order, then the others.
    pub(crate) fn tags_of(
        &self,
        snapshot: SnapshotId,
        client: ClientId,
        stated: &[String],
    ) -> Vec<TagOf> {
        let of_snapshot: Vec<&Stored<Tag>> =
            self.tags.iter().filter(|stored| stored.mark.snapshots.contains(&snapshot)).collect();
        let is_removed = |tag: &String, by: ClientId, record: Option<&ObjectKey>| {
            of_snapshot.iter().any(|stored| {
                may_release(stored.client, stored.role, by)
                    && stored.mark.remove.contains(tag)
                    && record.is_none_or(|key| {
                        stored.mark.records.iter().any(|named| named == key.as_str())
                    })
            })
        };
        let mut tags: Vec<TagOf> = Vec::new();
        for tag in stated {
            if !is_removed(tag, client, None) && !tags.iter().any(|known| known.tag == *tag) {
                let clients = BTreeSet::from([client]);
                tags.push(TagOf { tag: tag.clone(), clients, records: BTreeSet::new() });
            }
        }
        let stated_count = tags.len();
        for stored in &of_snapshot {
            for tag in &stored.mark.add {
                if is_removed(tag, stored.client, Some(&stored.key)) {
                    continue;
                }
                let known = tags.iter().position(|known| known.tag == *tag);
                let place = known.unwrap_or_else(|| {
                    let (clients, records) = (BTreeSet::new(), BTreeSet::new());
                    tags.push(TagOf { tag: tag.clone(), clients, records });
                    tags.len() - 1
                });
                tags[place].clients.insert(stored.client);
                tags[place].records.insert(stored.key.to_string());
            }
        }
        tags[stated_count..].sort_by(|left, right| left.tag.cmp(&right.tag));
        tags
    }

    /// The words of [`Self::tags_of`].
    pub(crate) fn tag_words_of(
        &self,
        snapshot: SnapshotId,
        client: ClientId,
        stated: &[String],
    ) -> Vec<String> {
        self.tags_of(snapshot, client, stated).into_iter().map(|tag| tag.tag).collect()
    }

    /// The notes on a snapshot, oldest first.
    pub(crate) fn notes_of(&self, snapshot: SnapshotId) -> impl Iterator<Item = NoteOf<'_>> {
        let of_snapshot =
            self.notes.iter().filter(move |stored| stored.mark.snapshots.contains(&snapshot));
        of_snapshot.map(|stored| NoteOf {
            place: stored.key.as_str(),
            client: stored.client,
            note: &stored.mark,
        })
    }

    /// The snapshot that a snapshot stands for.
    pub(crate) fn replaced_by(&self, snapshot: SnapshotId) -> Option<SnapshotId> {
        let named = self.rewrites.iter().find(|stored| stored.mark.snapshot == snapshot);
        named.map(|stored| stored.mark.replaces)
    }
}

/// Stores that snapshots get or lose tags.
pub(crate) fn store_tag(repository: &Repository, tag: &Tag) -> Result<ObjectKey, RepoError> {
    store_record(repository, Tag::KIND, |record| tag.write(record))
}

/// Stores a note.
pub(crate) fn store_note(repository: &Repository, note: &Note) -> Result<ObjectKey, RepoError> {
    store_record(repository, Note::KIND, |record| note.write(record))
}

/// Stores which snapshot another one stands for.
pub(crate) fn store_rewrite(
    repository: &Repository,
    rewrite: &Rewrite,
) -> Result<ObjectKey, RepoError> {
    store_record(repository, Rewrite::KIND, |record| rewrite.write(record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::layout;

    const SNAPSHOT: SnapshotId = SnapshotId::new([1; 16]);
    const OWNER: ClientId = ClientId::new([2; 16]);
    const OTHER: ClientId = ClientId::new([3; 16]);

    /// The record `number` of a client: `+a` adds, `-a` removes, `@1` names a record of the owner.
    fn said(client: ClientId, role: Role, number: u32, words: &[&str]) -> Stored<Tag> {
        let of = |sign: char| words.iter().filter_map(move |word| word.strip_prefix(sign));
        let record = |number: &str| {
            layout::record_key(Tag::KIND, OWNER, number.parse().unwrap()).to_string()
        };
        let mark = Tag {
            snapshots: vec![SNAPSHOT],
            add: of('+').map(str::to_owned).collect(),
            remove: of('-').map(str::to_owned).collect(),
            records: of('@').map(record).collect(),
            ..Tag::default()
        };
        let key = layout::record_key(Tag::KIND, client, number);
        Stored { key, client, role: Some(role), mark }
    }

    #[track_caller]
    fn check(tags: Vec<Stored<Tag>>, stated: &[&str], expected: &[&str]) {
        let labels = Labels { tags, ..Labels::default() };
        let stated: Vec<String> = stated.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(labels.tag_words_of(SNAPSHOT, OWNER, &stated), expected);
    }

    #[test]
    fn a_removal_ends_what_it_has_seen_in_whatever_order_records_are_read() {
        let writer = Role::Writer;
        let records = || {
            vec![
                said(OWNER, writer, 1, &["+a", "+b"]),
                said(OWNER, writer, 2, &["-a", "@1"]),
                // Nobody who removed it had seen this one.
                said(OWNER, writer, 3, &["+a"]),
            ]
        };
        check(records(), &[], &["a", "b"]);
        check(records().into_iter().rev().collect(), &[], &["a", "b"]);
        check(records().into_iter().take(2).collect(), &[], &["b"]);
    }

    #[test]
    fn a_tag_of_the_manifest_that_was_removed_comes_back_by_a_record_only() {
        let writer = Role::Writer;
        check(vec![said(OWNER, writer, 1, &["-a"])], &["b", "a"], &["b"]);
        let again = vec![said(OWNER, writer, 1, &["-a"]), said(OWNER, writer, 2, &["+a"])];
        check(again, &["b", "a"], &["b", "a"]);
    }

    #[test]
    fn a_writer_removes_nothing_of_others_and_who_may_forget_does() {
        let added = || said(OWNER, Role::Writer, 1, &["+a"]);
        for (role, expected) in
            [(Role::Writer, &["s", "a"][..]), (Role::Pruner, &[]), (Role::Admin, &[])]
        {
            let removal = said(OTHER, role, 1, &["-a", "-s", "@1"]);
            check(vec![added(), removal], &["s"], expected);
        }
    }
}
