//! The records that this host stored itself: one that is missing without a reason was removed.
//! Spec: format-spec/09-session.md, "Memory".

use crate::crypto::hash::digest;
use crate::format::config::StoreMode;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::RecordId;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::is_missing;
use crate::repo::memory::Memory;
use crate::repo::memory::WentBack;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;
use std::collections::HashSet;

/// The last record of a kind that a host stored. Nothing ever deletes one, and the numbers below have no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnRecord {
    pub(crate) number: u32,
    /// BLAKE3 of its stored bytes.
    pub(crate) digest: Digest,
}

/// A forget that a host stored. A sweep deletes it once a verdict has folded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnForget {
    /// The newest verdict that the host had seen.
    pub(crate) verdict: u64,
    /// What it names; none if it names checkpoints only.
    pub(crate) snapshots: Vec<SnapshotId>,
}

impl Memory {
    /// Notes a record of this host, which is durable.
    pub(crate) fn add_record(&mut self, client: ClientId, kind: &str, record: OwnRecord) {
        let known = self.records.entry((client, kind.to_owned())).or_insert(record);
        if known.number < record.number {
            *known = record;
        }
    }

    /// Notes a forget of this host, which is durable.
    pub(crate) fn add_forget(&mut self, id: RecordId, snapshots: &[SnapshotId]) {
        let verdict = self.verdict.number;
        self.forgets.insert(id, OwnForget { verdict, snapshots: snapshots.to_vec() });
    }
}

/// Looks for the last record of each kind that this host stored.
pub(crate) fn compare_records(
    repository: &Repository,
    memory: &Memory,
) -> Result<Option<WentBack>, RepoError> {
    for ((client, kind), OwnRecord { number, digest: known }) in &memory.records {
        let key = layout::record_key(kind, *client, *number);
        let read =
            repository.read_or_copy(|store| Ok(store.read(&key, length_max(ObjectKind::Record))?));
        let found = match read {
            // Where creates may replace what is there, another process of the client may have.
            Ok(_bytes) if repository.config.store == StoreMode::NoRegisters => continue,
            Ok(bytes) if digest(&bytes) == *known => continue,
            // Damage is told where the record matters.
            Ok(bytes) if is_damaged(repository, &key, &bytes) => continue,
            Ok(_another) => "another one of that number",
            Err(error) if is_missing(&error) => "no such record",
            Err(error) if repository.is_damage(&error) => continue,
            Err(error) => return Err(error),
        };
        return Ok(Some(WentBack::new(format!("its own record {key}"), found)));
    }
    Ok(None)
}

fn is_damaged(repository: &Repository, key: &ObjectKey, bytes: &[u8]) -> bool {
    let opened = repository.open_object(ObjectKind::Record, key, key.as_str(), bytes);
    opened.is_err_and(|error| repository.is_damage(&error))
}

/// Looks for the forgets of this host among those that are stored, and drops those from its memory that verdicts folded.
///
/// A verdict folds a forget only if it forgets a snapshot that it names: while all of them are there, somebody removed it.
pub(crate) fn compare_forgets(
    repository: &Repository,
    memory: &Memory,
    history: &History,
    stored: impl Fn(&RecordId) -> bool,
) -> Option<WentBack> {
    if history.is_behind || repository.is_mirror() {
        // What the newest verdict folded is not known.
        return None;
    }
    let live: HashSet<SnapshotId> = history.snapshots.iter().map(|live| live.snapshot).collect();
    let mut folded = Vec::new();
    for (id, OwnForget { verdict, snapshots }) in &memory.forgets {
        if stored(id) {
            continue;
        }
        let is_closed = history.verdict.number > *verdict;
        if is_closed && (snapshots.is_empty() || snapshots.iter().any(|id| !live.contains(id))) {
            folded.push(*id);
            continue;
        }
        let known = format!("its own record {}", layout::forget_key(*id));
        return Some(WentBack::new(known, "neither it nor a collection that carried it out"));
    }
    if !folded.is_empty() {
        // Who cannot write on this host may read all the same.
        let _ignored = repository.remember(|memory| {
            memory.forgets.retain(|id, _forget| !folded.contains(id));
        });
    }
    None
}
