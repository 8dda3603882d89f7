//! What of an entry differs: its content, and each part of its metadata.

use crate::format::tree::EntryKind;
use crate::format::tree::ExtendedAttribute;
use crate::format::tree::FileEntry;
use crate::format::tree::Owner;
use crate::ops::words::path_words;
use crate::ops::words::time_words;
use crate::repo::tree::reader::OwnedEntry;
use serde::Serialize;
use std::mem::discriminant;

/// A part of the metadata that differs, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AspectChange {
    /// Which: `mode`, `owner`, `group`, `modified`, `flags`, `sparse`, or `xattr` and its name.
    pub name: String,
    /// What it was; nothing if an attribute was not there.
    pub old: Option<String>,
    /// What it is; nothing if an attribute is not there.
    pub new: Option<String>,
}

/// Whether two entries are of different kinds.
pub(crate) fn is_other_kind(old: &OwnedEntry, new: &OwnedEntry) -> bool {
    discriminant(&old.entry.node) != discriminant(&new.entry.node)
}

/// Whether the contents of two entries of one kind differ; of directories, nothing is compared.
pub(crate) fn is_other_content(old: &EntryKind, new: &EntryKind) -> bool {
    match (old, new) {
        (EntryKind::Directory(_), EntryKind::Directory(_)) => false,
        (EntryKind::File(old), EntryKind::File(new)) => is_other_file(old, new),
        _other => old != new,
    }
}

/// A digest leaves holes out, and two profiles cut one content in different ways.
fn is_other_file(old: &FileEntry, new: &FileEntry) -> bool {
    if old.content == new.content {
        return false;
    }
    let is_whole = !old.sparse && !new.sparse;
    let same_digest = old.digest.is_some() && old.digest == new.digest;
    old.size != new.size || !(is_whole && same_digest)
}

/// What of the metadata differs, as far as a restore sets it.
pub(crate) fn aspects(old: &OwnedEntry, new: &OwnedEntry) -> Vec<AspectChange> {
    let (before, after) = (&old.entry.metadata, &new.entry.metadata);
    let (from, to) = (old.owner(), new.owner());
    let mut changes = Vec::new();
    let mut compare = |name: &str, old: String, new: String| {
        if old != new {
            let name = name.to_owned();
            changes.push(AspectChange { name, old: Some(old), new: Some(new) });
        }
    };
    compare("mode", format!("{:04o}", before.mode), format!("{:04o}", after.mode));
    compare("owner", user(&from), user(&to));
    compare("group", group(&from), group(&to));
    let time = |time: crate::format::tree::Timestamp| time_words(time.seconds, time.nanoseconds);
    compare("modified", time(before.modified), time(after.modified));
    compare("flags", format!("{:#x}", before.flags), format!("{:#x}", after.flags));
    if let (EntryKind::File(old), EntryKind::File(new)) = (&old.entry.node, &new.entry.node) {
        compare("sparse", old.sparse.to_string(), new.sparse.to_string());
    }
    changes.extend(attributes(&before.xattrs, &after.xattrs));
    changes
}

/// Attributes that differ: how long their values are, as those may be anything.
fn attributes(old: &[ExtendedAttribute], new: &[ExtendedAttribute]) -> Vec<AspectChange> {
    let mut names: Vec<&Vec<u8>> = old.iter().chain(new).map(|one| &one.name).collect();
    names.sort_unstable();
    names.dedup();
    let value = |of: &[ExtendedAttribute], name: &Vec<u8>| {
        of.iter().find(|one| one.name == *name).map(|one| one.value.clone())
    };
    let words = |value: &[u8]| {
        let shown = path_words(value.get(..SHOWN_BYTES_MAX).unwrap_or(value));
        let more = if value.len() > SHOWN_BYTES_MAX { "…" } else { "" };
        format!("{shown}{more} ({} bytes)", value.len())
    };
    let change = |name: &Vec<u8>| {
        let (before, after) = (value(old, name), value(new, name));
        (before != after).then(|| AspectChange {
            name: format!("xattr {}", path_words(name)),
            old: before.as_deref().map(words),
            new: after.as_deref().map(words),
        })
    };
    names.into_iter().filter_map(change).collect()
}

fn user(owner: &Owner) -> String {
    format!("{} ({})", path_words(&owner.user_name), owner.user_id)
}

fn group(owner: &Owner) -> String {
    format!("{} ({})", path_words(&owner.group_name), owner.group_id)
}

/// How much of an attribute's value is shown; it need not be text.
const SHOWN_BYTES_MAX: usize = 64;
