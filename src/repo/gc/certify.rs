//! Certificates of deletion: what a sweep takes away for good is told in a record before the first object goes.
//! Spec: format-spec/19-attest.md, "Deletions".
//!
//! Whoever sweeps certifies all of it that is still stored, whether somebody did before or not: so a sweep that was
//! cut off between its certificate and its last delete leaves nothing that is gone and not told.

use crate::crypto::hash::sha256;
use crate::format::attest::deletion::DeletedSnapshot;
use crate::format::attest::deletion::Deletion;
use crate::format::attest::deletion::DeletionPhase;
use crate::format::attest::deletion::KeptVersions;
use crate::format::envelope::ObjectKind;
use crate::format::gc::Verdict;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SessionRef;
use crate::format::manifest::Manifest;
use crate::format::outcome::Outcome;
use crate::format::outcome::Subject;
use crate::id::ClientId;
use crate::id::Sha256;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::announce::TOOL;
use crate::repo::attest::load_attested;
use crate::repo::environment::now_words;
use crate::repo::environment::time_words;
use crate::repo::error::RepoError;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::sweep::Sweep;
use crate::repo::history::LiveSnapshot;
use crate::repo::history::is_missing;
use crate::repo::history::load_outcome;
use crate::repo::locks::free_time;
use crate::repo::locks::lock_end;
use crate::repo::locks::old_versions;
use crate::repo::mark_writer::store_attested;
use crate::repo::marks::Marks;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;
use crate::units::to_u64;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// Packs that a verdict removed and that are still stored, with their lengths.
pub(super) type Doomed = Vec<(PackRef, u64)>;

impl Collector<'_> {
    /// Packs that a verdict removed and that are still stored.
    pub(super) fn doomed(&self, verdict: &Verdict) -> Result<Doomed, RepoError> {
        if verdict.removed.is_empty() {
            return Ok(Vec::new());
        }
        let stored: HashMap<PackRef, u64> = self.repository.list_packs()?.into_iter().collect();
        let removed = verdict.removed.iter().map(|&name| PackRef::from(name));
        Ok(removed.filter_map(|pack| Some((pack, *stored.get(&pack)?))).collect())
    }

    /// Stores what a sweep is about to delete.
    ///
    /// Errors: [`RepoError::Uncertified`]; then nothing may be deleted.
    pub(super) fn certify(&mut self, sweep: &Sweep, doomed: &Doomed) -> Result<(), RepoError> {
        let snapshots = self.deleted_snapshots(sweep)?;
        if snapshots.is_empty() && doomed.is_empty() {
            return Ok(());
        }
        for part in parts_of(snapshots) {
            let mut deletion = self.deletion(sweep.number, DeletionPhase::Decided);
            deletion.snapshots = part;
            deletion.packs = to_u64(doomed.len());
            deletion.bytes = doomed.iter().map(|(_pack, length)| length).sum();
            self.store_certificate(sweep.number, &deletion)?;
        }
        Ok(())
    }

    /// Stores what a sweep deleted, and what the store keeps of it all the same.
    pub(super) fn certify_gone(&mut self, sweep: &Sweep, doomed: &Doomed) -> Result<(), RepoError> {
        if sweep.verdict.removed.is_empty() && sweep.verdict.forgotten.is_empty() {
            return Ok(());
        }
        let mut deletion = self.deletion(sweep.number, DeletionPhase::Gone);
        deletion.packs = to_u64(doomed.len());
        deletion.bytes = doomed.iter().map(|(_pack, length)| length).sum();
        // A store that does not say is no reason to go without the record; `prune` warns of it.
        self.summary.old_versions = old_versions(self.repository).ok().flatten();
        deletion.versions = self.summary.old_versions.map(|old| {
            let mut kept = KeptVersions::default();
            (kept.count, kept.bytes) = (old.count, old.bytes);
            kept.free_at = free_time(&old).map(|at| time_words(at, 0));
            kept.locked_until = lock_end(self.repository, &old).map(|at| time_words(at, 0));
            kept
        });
        self.store_certificate(sweep.number, &deletion)
    }

    fn deletion(&self, number: u64, phase: DeletionPhase) -> Deletion {
        let environment = self.repository.environment.as_ref();
        Deletion {
            time: now_words(environment),
            host: environment.process().host,
            tool: TOOL.to_owned(),
            verdict: number,
            phase,
            ..Deletion::default()
        }
    }

    fn store_certificate(&mut self, number: u64, deletion: &Deletion) -> Result<(), RepoError> {
        let stored = store_attested(self.repository, deletion);
        let key = stored.map_err(|source| uncertified(number, source))?;
        self.summary.certificates.push(key);
        Ok(())
    }

    /// The snapshots whose manifests go with a sweep.
    fn deleted_snapshots(&self, sweep: &Sweep) -> Result<Vec<DeletedSnapshot>, RepoError> {
        let forgotten = &sweep.verdict.forgotten;
        if forgotten.is_empty() {
            return Ok(Vec::new());
        }
        let repository = self.repository;
        let lives = self.forgotten_lives(sweep)?;
        let known: Vec<LiveSnapshot> = lives.values().cloned().collect();
        repository.keep_manifests_ahead(&known);
        let marks = Marks::load(repository)?;
        let alone = if lives.len() < forgotten.len() {
            stored_manifests(repository)?
        } else {
            BTreeMap::new()
        };
        let mut told: Option<BTreeSet<String>> = None;
        let mut deleted = Vec::new();
        for &snapshot in forgotten {
            self.check_cancelled()?;
            let live = lives.get(&snapshot);
            let read = match (live, alone.get(&snapshot)) {
                (Some(live), _) => live.manifest(repository).map(|read| told_of(live, &read)),
                (None, Some(&client)) => told_alone(repository, client, snapshot),
                // Neither what accepted it nor its manifest is there: a sweep was here.
                (None, None) => continue,
            };
            let mut gone = match read {
                Ok(gone) => gone,
                Err(error) if is_missing(&error) => {
                    let told = match &mut told {
                        Some(told) => told,
                        none => none.insert(certified(repository)?),
                    };
                    if told.contains(&snapshot.to_string()) {
                        continue;
                    }
                    unread(snapshot, live)
                }
                Err(error) if repository.is_damage(&error) => unread(snapshot, live),
                Err(error) => return Err(error),
            };
            (gone.forgotten, gone.reason, gone.by_policy) = marks.first_forget(snapshot);
            deleted.push(gone);
        }
        deleted.sort_by(|one, other| one.snapshot.cmp(&other.snapshot));
        Ok(deleted)
    }

    /// What accepted the forgotten snapshots: the base before, or the commits that the verdict folded.
    fn forgotten_lives(
        &self,
        sweep: &Sweep,
    ) -> Result<BTreeMap<SnapshotId, LiveSnapshot>, RepoError> {
        let forgotten: BTreeSet<SnapshotId> = sweep.verdict.forgotten.iter().copied().collect();
        let mut lives: BTreeMap<SnapshotId, LiveSnapshot> = BTreeMap::new();
        for live in &sweep.snapshots_before {
            if forgotten.contains(&live.snapshot) {
                lives.insert(live.snapshot, live.clone());
            }
        }
        for folded in &sweep.verdict.folded {
            let snapshot = SnapshotId::from(folded.session);
            if !forgotten.contains(&snapshot) || lives.contains_key(&snapshot) {
                continue;
            }
            let (client, epoch, received) = (folded.client, folded.epoch, folded.received);
            let session = SessionRef { client, epoch, session: folded.session };
            match load_outcome(self.repository, session) {
                Ok((Outcome::Commit(commit), _digest)) => {
                    if let Subject::Snapshot { manifest, source } = commit.subject {
                        let is_in_base = true;
                        let live = LiveSnapshot {
                            client,
                            snapshot,
                            manifest,
                            source,
                            received,
                            is_in_base,
                        };
                        lives.insert(snapshot, live);
                    }
                }
                Ok((Outcome::Fence(_), _digest)) => {}
                // Swept, after the manifest; or it became unreadable since the verdict.
                Err(error) if self.repository.is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lives)
    }
}

/// What a manifest tells of a snapshot that goes.
fn told_of(live: &LiveSnapshot, manifest: &Manifest) -> DeletedSnapshot {
    told_by(live.snapshot, live.client, live.manifest, manifest)
}

fn told_by(
    snapshot: SnapshotId,
    client: ClientId,
    hash: Sha256,
    manifest: &Manifest,
) -> DeletedSnapshot {
    let stated = &manifest.predicate;
    DeletedSnapshot {
        snapshot: snapshot.to_string(),
        client: client.to_string(),
        source: stated.source.clone(),
        manifest: hash.to_string(),
        data_time: stated.times.data.clone(),
        started: stated.times.started.clone(),
        finished: stated.times.finished.clone(),
        files: stated.totals.files,
        bytes: stated.totals.bytes,
        bytes_stored: stated.run.bytes_stored,
        incomplete: stated.incomplete,
        ..DeletedSnapshot::default()
    }
}

/// What is told of a snapshot whose manifest cannot be read.
fn unread(snapshot: SnapshotId, live: Option<&LiveSnapshot>) -> DeletedSnapshot {
    let received = time_words(live.map_or(0, |live| live.received), 0);
    DeletedSnapshot {
        snapshot: snapshot.to_string(),
        client: live.map_or_else(|| "0".repeat(32), |live| live.client.to_string()),
        source: live.map(|live| live.source.clone()).unwrap_or_default(),
        manifest: live.map_or_else(|| "0".repeat(64), |live| live.manifest.to_string()),
        data_time: received.clone(),
        started: received.clone(),
        finished: received,
        incomplete: true,
        unreadable: true,
        ..DeletedSnapshot::default()
    }
}

/// What the manifest of a snapshot tells of which no base is left that names it.
fn told_alone(
    repository: &Repository,
    client: ClientId,
    snapshot: SnapshotId,
) -> Result<DeletedSnapshot, RepoError> {
    let key = layout::manifest_key(client, snapshot);
    repository.read_kept(&key, length_max(ObjectKind::Manifest), |bytes| {
        let opened = repository.open_object(ObjectKind::Manifest, &key, key.as_str(), bytes)?;
        let body = repository.identities.by_client(repository.id(), client, opened)?;
        let decode = |source| RepoError::Decode { key: key.to_string(), source };
        let manifest = Manifest::decode(&body).map_err(decode)?;
        manifest.check_place(repository.id(), client, snapshot).map_err(decode)?;
        Ok(told_by(snapshot, client, sha256(&body), &manifest))
    })
}

fn stored_manifests(repository: &Repository) -> Result<BTreeMap<SnapshotId, ClientId>, RepoError> {
    let parse = |key: &ObjectKey| {
        let mut names = key.segments().skip(1);
        let client: ClientId = names.next()?.parse().ok()?;
        Some((names.next()?.parse().ok()?, client))
    };
    Ok(repository.list_keys(layout::MANIFESTS)?.iter().filter_map(parse).collect())
}

/// Snapshots of which a certificate tells.
fn certified(repository: &Repository) -> Result<BTreeSet<String>, RepoError> {
    let (found, _unreadable) = load_attested::<Deletion>(repository)?;
    let snapshots = found.into_iter().flat_map(|found| found.said.snapshots);
    Ok(snapshots.map(|gone| gone.snapshot).collect())
}

fn uncertified(number: u64, source: RepoError) -> RepoError {
    RepoError::Uncertified { number, source: Box::new(source) }
}

/// At least one part, each short enough for one record.
fn parts_of(snapshots: Vec<DeletedSnapshot>) -> Vec<Vec<DeletedSnapshot>> {
    let mut parts = vec![Vec::new()];
    let mut length = 0;
    for gone in snapshots {
        let words = gone.source.len() + gone.reason.as_ref().map_or(0, String::len);
        length += SNAPSHOT_BYTES + words;
        if length > PART_BYTES_MAX {
            parts.push(Vec::new());
            length = SNAPSHOT_BYTES + words;
        }
        if let Some(part) = parts.last_mut() {
            part.push(gone);
        }
    }
    parts
}

/// About as many bytes a certificate has for a snapshot beside words that people chose.
const SNAPSHOT_BYTES: usize = 700;
/// Far below the longest record, since words may be longer in JSON than they are.
const PART_BYTES_MAX: usize = 512 * 1024;
