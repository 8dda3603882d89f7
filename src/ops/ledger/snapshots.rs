//! Snapshots that are stored, and those of which only a certificate of their deletion is left.

use crate::format::attest::deletion::DeletedSnapshot;
use crate::format::attest::deletion::Deletion;
use crate::format::layout;
use crate::format::manifest::Manifest;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::rollback_finding;
use crate::ops::words::parse_time;
use crate::repo::attest::Attestation;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::labels::Labels;
use crate::repo::marks::Marks;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::HashSet;

/// What is known of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownSnapshot {
    /// Its name, hexadecimal.
    pub(crate) snapshot: String,
    /// Who made it, hexadecimal.
    pub(crate) client: String,
    pub(crate) source: String,
    /// The time of its data, in seconds since 1970.
    pub(crate) data: i64,
    /// When its run began.
    pub(crate) started: i64,
    /// When its data was complete.
    pub(crate) finished: i64,
    /// Regular files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes that its run stored.
    pub(crate) bytes_stored: u64,
    /// Whether something was left out.
    pub(crate) incomplete: bool,
    pub(crate) state: SnapshotFate,
    /// When it was forgotten, in seconds since 1970, as far as that is known.
    pub(crate) forgotten: Option<i64>,
    /// Why, in words.
    pub(crate) reason: Option<String>,
    /// Whether a policy chose it.
    pub(crate) by_policy: bool,
    /// When the store received it, in seconds since 1970; 0 if that is not known or says nothing of its time.
    pub(crate) received: i64,
    /// Its tags, as far as they are known.
    pub(crate) tags: Vec<String>,
    /// Whether something holds it.
    pub(crate) is_held: bool,
    /// SHA-256 of its manifest's statement, hexadecimal.
    pub(crate) manifest: String,
    /// The certificate of its deletion.
    pub(crate) certificate: Option<String>,
}

impl KnownSnapshot {
    /// The key of the record that says it: its manifest, or the certificate of its deletion.
    pub(crate) fn evidence(&self) -> String {
        let manifest = || format!("{}/{}/{}", layout::MANIFESTS, self.client, self.snapshot);
        self.certificate.clone().unwrap_or_else(manifest)
    }
}

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SnapshotFate {
    /// It counts.
    Live,
    /// It was forgotten, and is still stored.
    Forgotten,
    /// A collection removed it.
    Deleted,
}

/// Every snapshot that is known, by the time of its data; and what this host has seen and does not find.
pub(super) fn known_snapshots(
    repository: &Repository,
    deletions: &[Attestation<Deletion>],
    findings: &mut Vec<Finding>,
) -> Result<(Vec<KnownSnapshot>, Option<Finding>), OpError> {
    let history = History::load_readable(repository).during(WHAT)?;
    let marks = Marks::load(repository).during(WHAT)?;
    let labels = Labels::load(repository).during(WHAT)?;
    findings.extend(history.unreadable.iter().map(history_finding));
    let back = history.went_back.as_ref().map(rollback_finding);
    let mut known = Vec::new();
    for (lives, fate) in
        [(&history.snapshots, SnapshotFate::Live), (&history.forgotten, SnapshotFate::Forgotten)]
    {
        repository.keep_manifests_ahead(lives);
        for live in lives {
            match live.manifest(repository) {
                Ok(manifest) => known.push(stored(live, &manifest, fate, (&marks, &labels))),
                Err(error) if repository.is_damage(&error) => findings.push(
                    Finding::damaged_manifest(live.snapshot, "what it says is not known", &error),
                ),
                Err(error) => return Err(error).during("cannot read a manifest"),
            }
        }
    }
    let mut seen: HashSet<String> = known.iter().map(|known| known.snapshot.clone()).collect();
    for certificate in deletions {
        for gone in &certificate.said.snapshots {
            // Told again by whoever went on with a collection; or it is still stored.
            if seen.insert(gone.snapshot.clone()) {
                known.push(deleted(gone, certificate.key.as_str()));
            }
        }
    }
    known.sort_by(|one, other| (one.data, &one.snapshot).cmp(&(other.data, &other.snapshot)));
    Ok((known, back))
}

fn stored(
    live: &LiveSnapshot,
    manifest: &Manifest,
    state: SnapshotFate,
    (marks, labels): (&Marks, &Labels),
) -> KnownSnapshot {
    let stated = &manifest.predicate;
    let (forgotten, reason, by_policy) = marks.first_forget(live.snapshot);
    let forgotten = forgotten.as_deref().and_then(seconds);
    KnownSnapshot {
        snapshot: live.snapshot.to_string(),
        client: live.client.to_string(),
        source: live.source.clone(),
        data: seconds(&stated.times.data).unwrap_or(live.received),
        started: seconds(&stated.times.started).unwrap_or(live.received),
        finished: seconds(&stated.times.finished).unwrap_or(live.received),
        files: stated.totals.files,
        bytes: stated.totals.bytes,
        bytes_stored: stated.run.bytes_stored,
        incomplete: stated.incomplete,
        state,
        forgotten,
        reason,
        by_policy,
        // As for a policy: one that stands for another was received when it was made.
        received: if labels.replaced_by(live.snapshot).is_some() { 0 } else { live.received },
        tags: labels.tag_words_of(live.snapshot, live.client, &stated.tags),
        is_held: marks.is_held(&live.snapshot),
        manifest: live.manifest.to_string(),
        certificate: None,
    }
}

fn deleted(gone: &DeletedSnapshot, certificate: &str) -> KnownSnapshot {
    let time = |text: &str| seconds(text).unwrap_or(0);
    KnownSnapshot {
        snapshot: gone.snapshot.clone(),
        client: gone.client.clone(),
        source: gone.source.clone(),
        data: time(&gone.data_time),
        started: time(&gone.started),
        finished: time(&gone.finished),
        files: gone.files,
        bytes: gone.bytes,
        bytes_stored: gone.bytes_stored,
        incomplete: gone.incomplete,
        state: SnapshotFate::Deleted,
        forgotten: gone.forgotten.as_deref().and_then(seconds),
        reason: gone.reason.clone(),
        by_policy: gone.by_policy,
        received: 0,
        tags: Vec::new(),
        is_held: false,
        manifest: gone.manifest.clone(),
        certificate: Some(certificate.to_owned()),
    }
}

fn seconds(text: &str) -> Option<i64> {
    parse_time(text).map(|(seconds, _nanoseconds)| seconds)
}

const WHAT: &str = "cannot read what is valid";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SnapshotId;
    use crate::ops::ledger::Ledger;
    use crate::ops::progress::NoProgress;
    use crate::ops::prune::PruneOptions;
    use crate::ops::prune::prune;
    use crate::ops::snapshot::options::SnapshotOptions;
    use crate::ops::snapshot::options::Source;
    use crate::ops::snapshot::options::StreamSource;
    use crate::ops::snapshot::snapshot;
    use crate::repo::environment::Environment;
    use crate::repo::first::InitOptions;
    use crate::store::Store;
    use crate::testing::FixedEnvironment;
    use crate::testing::MemoryStore;
    use crate::testing::forget_in;
    use crate::testing::init_in;
    use crate::testing::open_in;
    use std::sync::Arc;

    #[test]
    fn a_snapshot_is_known_after_a_prune_removed_it() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let environment =
            |seed| -> Arc<dyn Environment> { Arc::new(FixedEnvironment::new(1_700_000_000, seed)) };
        let key = init_in(&store, &environment(1), InitOptions::new()).unwrap();
        let open = |seed| open_in(&store, &environment(seed), &key, None).unwrap();
        let made = [(2, "one"), (3, "two")].map(|(seed, source)| {
            let input = Box::new(std::io::Cursor::new(source.as_bytes().to_vec()));
            let stream = Source::Stream(StreamSource::new(source.to_owned(), input));
            let options = SnapshotOptions::new(source.to_owned(), "host".to_owned());
            let report = snapshot(&open(seed), &options, stream, &NoProgress::new()).unwrap();
            report.snapshot.unwrap()
        });
        forget_in(&open(4), &made[..1]).unwrap();
        let fate = |seed| {
            let known = Ledger::load(&open(seed)).unwrap().snapshots;
            let of = |id: SnapshotId| {
                let id = id.to_string();
                known.iter().find(|known| known.snapshot == id).unwrap().clone()
            };
            (of(made[0]), of(made[1]))
        };
        let (before, kept) = fate(5);
        assert_eq!((before.state, kept.state), (SnapshotFate::Forgotten, SnapshotFate::Live));
        prune(&open(6), &PruneOptions::new(), &NoProgress::new()).unwrap();
        let (after, kept) = fate(7);
        assert_eq!((after.state, kept.state), (SnapshotFate::Deleted, SnapshotFate::Live));
        let certificate = after.certificate.clone().unwrap();
        assert!(certificate.starts_with("records/deletion/"), "{certificate}");
        assert_eq!(after.evidence(), certificate);
        let gone = |known: KnownSnapshot| KnownSnapshot {
            state: SnapshotFate::Deleted,
            certificate: None,
            ..known
        };
        assert_eq!(gone(after), gone(before));
    }
}
