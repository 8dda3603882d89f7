//! What a store really does, found out by trying: nothing else is relied on.
//! Source: design of the protocol, "Primitives"; several stores say that a condition was met when
//! it was never looked at, or let several writers win when they come at once.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::StoreFeatures;
use serde::Serialize;
use std::sync::Barrier;
use std::thread;
use std::time::SystemTime;

/// How often everything is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Keys that several writers want at once.
    pub(crate) contests: u32,
    /// Writers that want a key at once.
    pub(crate) writers: u32,
    /// Objects that must be listed as soon as they are acknowledged.
    pub(crate) listings: u32,
}

impl Effort {
    /// For a directory of this host, which is made with every repository.
    pub(crate) const SMALL: Self = Self { contests: 2, writers: 4, listings: 2 };
    /// For a store over a network that is about to hold a repository: seconds, also where writers
    /// that come at once wait for each other.
    #[cfg(any(test, feature = "cloud"))]
    pub(crate) const MEDIUM: Self = Self { contests: 3, writers: 8, listings: 5 };
    /// To look for what happens rarely.
    pub(crate) const LARGE: Self = Self { contests: 50, writers: 32, listings: 200 };
}

/// What was found out.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct ProbeReport {
    /// Keys that several writers wanted at once.
    pub contests: u32,
    /// Of those, keys that more than one writer was told to have created.
    pub shared_wins: u32,
    /// Keys that a second writer, who came later, was told to have created.
    pub repeated_wins: u32,
    /// Keys that nobody was told to have created.
    pub lost_wins: u32,
    /// Keys under which lay what another writer than the one who won had sent.
    pub replaced: u32,
    /// Objects that were acknowledged and missing in the listing after that.
    pub missed_by_listings: u32,
    /// Objects that were deleted and still read or listed after that.
    pub kept_after_delete: u32,
    /// How far the store's clock is ahead of this host's, in seconds, if it tells the time.
    pub clock_ahead_seconds: Option<i64>,
    /// Whether the store keeps what is deleted or replaced as older versions, if it says so.
    pub versioning: Option<bool>,
    /// Whether objects can be locked against deletion, if it says so.
    pub object_lock: Option<bool>,
}

impl ProbeReport {
    /// Whether of several writers exactly one wins, always.
    pub fn has_registers(&self) -> bool {
        self.shared_wins + self.repeated_wins + self.lost_wins + self.replaced == 0
    }

    /// Whether what was acknowledged is there at once, and what was deleted is not.
    pub fn is_consistent(&self) -> bool {
        self.missed_by_listings + self.kept_after_delete == 0
    }
}

/// Tries a store out under `probe/` and a name that no other probe has, and cleans up.
///
/// Errors: what the store refuses; then nothing is found out.
pub(crate) fn probe(
    store: &dyn Store,
    name: &str,
    effort: Effort,
    now: SystemTime,
) -> Result<ProbeReport, StoreError> {
    let probe = Probe { store, name, effort };
    let tried = probe.run(now);
    let cleaned = probe.clean();
    tried.and_then(|report| cleaned.map(|()| report))
}

struct Probe<'a> {
    store: &'a dyn Store,
    name: &'a str,
    effort: Effort,
}

impl Probe<'_> {
    fn run(&self, now: SystemTime) -> Result<ProbeReport, StoreError> {
        let mut report = ProbeReport::default();
        // First what fails soonest where the credentials lack a right.
        self.try_listings(&mut report, now)?;
        self.try_deletes(&mut report)?;
        for number in 0..self.effort.contests {
            self.contest(number, &mut report)?;
        }
        let StoreFeatures { versioning, object_lock } = self.store.features()?;
        Ok(ProbeReport { versioning, object_lock, ..report })
    }

    /// Several writers want one key, and another one comes late.
    fn contest(&self, number: u32, report: &mut ProbeReport) -> Result<(), StoreError> {
        let key = self.key("contest", number)?;
        let barrier = Barrier::new(crate::units::to_usize(self.effort.writers.into()));
        let winners = thread::scope(|scope| {
            let write = |writer: u32| {
                barrier.wait();
                self.try_create(&key, writer)
            };
            let writers: Vec<_> = (0..self.effort.writers)
                .map(|writer| scope.spawn(move || write(writer).map(|won| (writer, won))))
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap_or_else(|_panic| Ok((0, false))))
                .filter_map(|ended| ended.map(|(writer, won)| won.then_some(writer)).transpose())
                .collect::<Result<Vec<u32>, StoreError>>()
        })?;
        report.contests += 1;
        report.shared_wins += u32::from(winners.len() > 1);
        report.lost_wins += u32::from(winners.is_empty());
        let late = self.effort.writers;
        report.repeated_wins += u32::from(self.try_create(&key, late)?);
        let found = self.store.read(&key, BODY_BYTES)?;
        let is_of_winner = winners.iter().any(|winner| found == body(*winner));
        report.replaced += u32::from(!is_of_winner);
        Ok(())
    }

    fn try_create(&self, key: &ObjectKey, writer: u32) -> Result<bool, StoreError> {
        match self.store.create(key, &body(writer)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn try_listings(&self, report: &mut ProbeReport, now: SystemTime) -> Result<(), StoreError> {
        for number in 0..self.effort.listings {
            let key = self.key("listed", number)?;
            self.store.create(&key, &body(number))?;
            let listed = self.listed()?;
            let found = listed.iter().find(|listed| listed.key == key);
            report.missed_by_listings += u32::from(found.is_none());
            let received = found.and_then(|found| found.received);
            report.clock_ahead_seconds = report
                .clock_ahead_seconds
                .or_else(|| received.map(|time| seconds_ahead(time, now)));
        }
        Ok(())
    }

    fn try_deletes(&self, report: &mut ProbeReport) -> Result<(), StoreError> {
        for number in 0..self.effort.listings {
            let key = self.key("listed", number)?;
            self.store.delete(&key)?;
            let reads = match self.store.read(&key, BODY_BYTES) {
                Ok(_bytes) => true,
                Err(error) if error.kind == StoreErrorKind::NotFound => false,
                Err(error) => return Err(error),
            };
            let lists = self.listed()?.iter().any(|listed| listed.key == key);
            report.kept_after_delete += u32::from(reads || lists);
            // Twice is as good as once.
            self.store.delete(&key)?;
        }
        Ok(())
    }

    fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        self.store.list(&self.prefix())
    }

    fn prefix(&self) -> String {
        format!("{PROBE_FOLDER}/{}", self.name)
    }

    fn key(&self, folder: &str, number: u32) -> Result<ObjectKey, StoreError> {
        let text = format!("{}/{folder}/{number}", self.prefix());
        ObjectKey::new(&text).map_err(|error| {
            let location = self.store.location();
            let operation = crate::store::Operation::Create;
            StoreError::new(operation, &text, &location, StoreErrorKind::Other, error)
        })
    }

    fn clean(&self) -> Result<(), StoreError> {
        for listed in self.listed()? {
            self.store.delete(&listed.key)?;
        }
        Ok(())
    }
}

/// What a writer sends: of one length, and different for each.
fn body(writer: u32) -> Vec<u8> {
    writer.to_le_bytes().repeat(BODY_WORDS)
}

fn seconds_ahead(time: SystemTime, now: SystemTime) -> i64 {
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(now) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}

/// What probes store; readers of repositories never look there.
pub(crate) const PROBE_FOLDER: &str = "probe";
const BODY_WORDS: usize = 256;
const BODY_BYTES: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn try_out(store: &dyn Store) -> ProbeReport {
        probe(store, "0123", Effort::MEDIUM, SystemTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_store_that_keeps_the_rules_is_found_to() {
        let store = MemoryStore::new();
        let report = try_out(&store);
        assert!(report.has_registers() && report.is_consistent(), "{report:?}");
        assert_eq!(report.contests, Effort::MEDIUM.contests);
        assert!(store.list("").unwrap().is_empty());
    }
}
