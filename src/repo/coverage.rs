//! When each pack was last read in full, by records of checks. Spec: format-spec/10-record.md, "Checks".

use crate::format::coverage::CheckRecord;
use crate::format::keyslot::Role;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::id::ClientId;
use crate::id::PackId;
use crate::repo::error::RepoError;
use crate::repo::mark_writer::store_record;
use crate::repo::marks::read_mark;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::collections::HashMap;
use std::collections::HashSet;

/// When packs were last read in full, and found to be what they were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    read: HashMap<PackRef, String>,
}

impl Coverage {
    /// Reads as many records of checks as tell of all of these packs, the newest first.
    ///
    /// Records that cannot be read tell nothing: their packs count as read before, or never.
    pub(crate) fn load(
        repository: &Repository,
        packs: impl Iterator<Item = PackRef>,
    ) -> Result<Self, RepoError> {
        let mut unknown: HashSet<PackRef> = packs.collect();
        let mut coverage = Self::default();
        let mut left: BTreeMap<ClientId, Vec<u32>> = BTreeMap::new();
        for key in repository.list_keys(&format!("{}/{}", layout::RECORDS, CheckRecord::KIND))? {
            if let Ok((client, number)) = layout::parse_record_key(CheckRecord::KIND, &key) {
                left.entry(client).or_default().push(number);
            }
        }
        // A client's records have the order of their numbers; among clients the time decides.
        let mut newest = BinaryHeap::new();
        for (client, numbers) in &mut left {
            newest.extend(next_of(repository, *client, numbers)?);
        }
        while let Some(Next { time, client, record }) = newest.pop() {
            let Some(Boxed(record)) = record else { continue };
            let damaged: HashSet<PackId> = record.damaged.iter().copied().collect();
            unknown.retain(|pack| {
                let covers = record.covered.contains(pack.session.session, pack.sequence);
                if covers {
                    coverage.read.insert(*pack, time.clone());
                }
                !covers && !damaged.contains(&pack.id)
            });
            if unknown.is_empty() {
                break;
            }
            if let Some(numbers) = left.get_mut(&client) {
                newest.extend(next_of(repository, client, numbers)?);
            }
        }
        Ok(coverage)
    }

    /// When a pack was last read in full and sound, RFC 3339 in UTC.
    pub(crate) fn of(&self, pack: &PackRef) -> Option<&str> {
        self.read.get(pack).map(String::as_str)
    }

    /// Notes that a pack was read now.
    pub(crate) fn note(&mut self, pack: PackRef, time: &str, is_sound: bool) {
        if is_sound {
            self.read.insert(pack, time.to_owned());
        } else {
            self.read.remove(&pack);
        }
    }
}

/// The newest record of a client that was not looked at yet; ordered by time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    time: String,
    client: ClientId,
    record: Option<Boxed>,
}

/// A record that takes no part in the order.
struct Boxed(Box<CheckRecord>);

impl PartialEq for Boxed {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Boxed {}

impl PartialOrd for Boxed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Boxed {
    fn cmp(&self, _other: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Reads a client's records from the last one down until one counts.
fn next_of(
    repository: &Repository,
    client: ClientId,
    numbers: &mut Vec<u32>,
) -> Result<Option<Next>, RepoError> {
    numbers.sort_unstable();
    while let Some(number) = numbers.pop() {
        let read = read_mark(repository, CheckRecord::KIND, client, number, CheckRecord::read);
        match read {
            // Another role cannot read what packs hold.
            Ok((record, Some(Role::Admin | Role::Reader))) => {
                let (time, record) = (record.time.clone(), Some(Boxed(Box::new(record))));
                return Ok(Some(Next { time, client, record }));
            }
            Ok(_other) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Stores what a check read.
pub(crate) fn store_check(repository: &Repository, check: &CheckRecord) -> Result<(), RepoError> {
    store_record(repository, CheckRecord::KIND, |record| check.write(record)).map(|_key| ())
}

/// The number of the newest inventory; 0 if there is none.
pub(crate) fn newest_inventory(repository: &Repository) -> Result<u64, RepoError> {
    let keys = repository.list_keys(layout::INVENTORY)?;
    Ok(keys.iter().filter_map(layout::parse_inventory_key).max().unwrap_or(0))
}
