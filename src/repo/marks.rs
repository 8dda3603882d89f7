//! What signed records say of snapshots: forgets, and what keeps snapshots from being forgotten.
//! Spec: format-spec/10-record.md, "Kinds". Writing them: `mark_writer.rs`.

use crate::format::FormatError;
use crate::format::envelope::ObjectKind;
use crate::format::keyslot::Role;
use crate::format::layout;
use crate::format::mark::Forget;
use crate::format::mark::Hold;
use crate::format::mark::Release;
use crate::format::mark::Undo;
use crate::format::record::Record;
use crate::id::ClientId;
use crate::id::RecordId;
use crate::id::SessionId;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::grant::signs;
use crate::repo::history::RepoErrorAt;
use crate::repo::repository::Repository;
use crate::store::StoreErrorKind;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The marks on snapshots that count at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// Every forget that could be read, whether it counts or not.
    requests: BTreeMap<RecordId, Forget>,
    /// Every forget that is stored, whether it can be read or not.
    stored: BTreeSet<RecordId>,
    undone: Vec<Undo>,
    holds: BTreeMap<SnapshotId, Vec<HeldBy>>,
    forgotten: BTreeSet<SnapshotId>,
    forgotten_checkpoints: BTreeSet<SessionId>,
    counting: BTreeSet<RecordId>,
    /// Records that could not be read or whose signature does not count, and numbers that are
    /// missing. None of them is obeyed.
    pub(crate) unreadable: Vec<RepoErrorAt>,
    /// Whether one of `unreadable` may be a hold or an undo: then what it kept is not known, and
    /// a collection must not fold forgets.
    pub(crate) keeps_unknown: bool,
}

/// A hold that no release ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldBy {
    /// The record's key.
    pub(crate) place: String,
    /// Who holds it.
    pub(crate) client: ClientId,
    /// What the record says.
    pub(crate) hold: Hold,
}

impl Marks {
    /// Reads every forget and every record that keeps snapshots.
    ///
    /// Forgets first: whatever kept a snapshot before its forget was stored is then seen too.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let mut marks = Self::default();
        marks.load_forgets(repository)?;
        marks.load_keeps(repository)?;
        marks.settle();
        Ok(marks)
    }

    /// As [`Marks::load`], but without reading what keeps snapshots if nothing is forgotten.
    pub(crate) fn load_if_forgotten(repository: &Repository) -> Result<Self, RepoError> {
        let mut marks = Self::default();
        marks.load_forgets(repository)?;
        if !marks.requests.is_empty() {
            marks.load_keeps(repository)?;
        }
        marks.settle();
        Ok(marks)
    }

    /// Snapshots that a forget names which counts for them: it is not undone, nothing holds them.
    pub(crate) const fn forgotten(&self) -> &BTreeSet<SnapshotId> {
        &self.forgotten
    }

    /// Checkpoints that a forget names. Nothing undoes that, and nothing holds them.
    pub(crate) const fn forgotten_checkpoints(&self) -> &BTreeSet<SessionId> {
        &self.forgotten_checkpoints
    }

    /// The checkpoints that some forgets name.
    pub(crate) fn checkpoints_of(&self, forgets: &[RecordId]) -> BTreeSet<SessionId> {
        let requests = forgets.iter().filter_map(|forget| self.requests.get(forget));
        requests.flat_map(|request| &request.checkpoints).copied().collect()
    }

    /// Forgets that count for at least one snapshot or checkpoint. A collection folds them whole: what one of
    /// them names and something holds stays, and is forgotten by a new request only.
    pub(crate) const fn forgets(&self) -> &BTreeSet<RecordId> {
        &self.counting
    }

    /// Whether something holds a snapshot.
    pub(crate) fn is_held(&self, snapshot: &SnapshotId) -> bool {
        self.holds.contains_key(snapshot)
    }

    /// What holds a snapshot.
    pub(crate) fn held_by(&self, snapshot: &SnapshotId) -> &[HeldBy] {
        self.holds.get(snapshot).map(Vec::as_slice).unwrap_or_default()
    }

    /// The forgets that name a snapshot and are not undone for it.
    pub(crate) fn forgets_of(&self, snapshot: SnapshotId) -> Vec<(RecordId, &Forget)> {
        let names = |(id, forget): &(&RecordId, &Forget)| {
            forget.snapshots.contains(&snapshot) && !self.is_undone(**id, snapshot)
        };
        self.requests.iter().filter(names).map(|(id, forget)| (*id, forget)).collect()
    }

    /// When and why a snapshot was forgotten, and whether a policy chose it: as the first forget of it says.
    pub(crate) fn first_forget(
        &self,
        snapshot: SnapshotId,
    ) -> (Option<String>, Option<String>, bool) {
        let forgets = self.forgets_of(snapshot);
        let first = forgets.iter().min_by(|(_, one), (_, other)| one.time.cmp(&other.time));
        first.map_or((None, None, false), |(_id, forget)| {
            (forget.time.clone(), forget.reason.clone(), forget.policy.is_some())
        })
    }

    /// Whether a forget was stored when they were listed.
    pub(crate) fn is_stored(&self, forget: &RecordId) -> bool {
        self.stored.contains(forget)
    }

    /// Whether a forget names a snapshot, whether it counts for it or not.
    pub(crate) fn names(&self, forget: RecordId, snapshot: &SnapshotId) -> bool {
        self.requests.get(&forget).is_some_and(|request| request.snapshots.contains(snapshot))
    }

    fn load_forgets(&mut self, repository: &Repository) -> Result<(), RepoError> {
        for key in repository.list_keys(layout::FORGET)? {
            let Ok(id) = layout::parse_forget_key(&key) else { continue };
            self.stored.insert(id);
            match read_forget(repository, &key) {
                Ok(forget) => {
                    self.requests.insert(id, forget);
                }
                // Folded by a verdict and swept since it was listed.
                Err(error) if is_missing(&error) => {}
                Err(error) => self.unreadable.push(noted(repository, key, error)?),
            }
        }
        Ok(())
    }

    fn load_keeps(&mut self, repository: &Repository) -> Result<(), RepoError> {
        let mut undos = self.load_kind(repository, Undo::KIND, Undo::read)?;
        undos.retain(|stored| stored.role.is_some_and(signs));
        self.undone = undos.into_iter().map(|stored| stored.mark).collect();
        let mut holds = self.load_kind(repository, Hold::KIND, Hold::read)?;
        holds.retain(|stored| stored.role.is_some_and(signs));
        // After the holds: a release names holds that were there before it.
        let releases = self.load_kind(repository, Release::KIND, Release::read)?;
        for Stored { key, client, mark: hold, .. } in holds {
            let place = key.to_string();
            for snapshot in &hold.snapshots {
                let ends = |release: &Stored<Release>| {
                    let Stored { client: by, role, mark, .. } = release;
                    may_release(*by, *role, client)
                        && mark.holds.contains(&place)
                        && mark.snapshots.contains(snapshot)
                };
                if !releases.iter().any(ends) {
                    let held = HeldBy { place: place.clone(), client, hold: hold.clone() };
                    self.holds.entry(*snapshot).or_default().push(held);
                }
            }
        }
        Ok(())
    }

    /// Every record of a kind that counts; those that do not are noted.
    fn load_kind<T>(
        &mut self,
        repository: &Repository,
        kind: &str,
        read: impl Fn(&Record) -> Result<T, FormatError>,
    ) -> Result<Vec<Stored<T>>, RepoError> {
        let (found, unreadable) = load_records(repository, kind, read)?;
        // A release that cannot be read keeps more, never less.
        self.keeps_unknown |=
            kind != Release::KIND && unreadable.iter().any(|at| may_count(repository, &at.error));
        self.unreadable.extend(unreadable);
        Ok(found)
    }

    /// Decides which forgets count.
    fn settle(&mut self) {
        let mut forgotten = BTreeSet::new();
        let mut forgotten_checkpoints = BTreeSet::new();
        let mut counting = BTreeSet::new();
        for (id, forget) in &self.requests {
            if !forget.checkpoints.is_empty() {
                forgotten_checkpoints.extend(&forget.checkpoints);
                counting.insert(*id);
            }
            for snapshot in &forget.snapshots {
                if !self.is_undone(*id, *snapshot) && !self.is_held(snapshot) {
                    forgotten.insert(*snapshot);
                    counting.insert(*id);
                }
            }
        }
        self.forgotten = forgotten;
        self.forgotten_checkpoints = forgotten_checkpoints;
        self.counting = counting;
    }

    fn is_undone(&self, forget: RecordId, snapshot: SnapshotId) -> bool {
        self.undone.iter().any(|undo| undo.forget == forget && undo.covers(&snapshot))
    }
}

/// A record that was read, and who signed it.
pub(crate) struct Stored<T> {
    pub(crate) key: ObjectKey,
    pub(crate) client: ClientId,
    /// The role for which the signer was certified.
    pub(crate) role: Option<Role>,
    pub(crate) mark: T,
}

/// Every record of a kind, by client and number; and those that cannot be read or do not count.
pub(crate) fn load_records<T>(
    repository: &Repository,
    kind: &str,
    read: impl Fn(&Record) -> Result<T, FormatError>,
) -> Result<(Vec<Stored<T>>, Vec<RepoErrorAt>), RepoError> {
    let mut found = Vec::new();
    let mut unreadable = Vec::new();
    for (client, number) in numbers_of(repository, kind)? {
        let key = layout::record_key(kind, client, number);
        let stored = read_record(repository, kind, client, &key).and_then(|(record, role)| {
            let decode = |source| RepoError::Decode { key: key.to_string(), source };
            let mark = read(&record).map_err(decode)?;
            Ok(Stored { key: key.clone(), client, role, mark })
        });
        match stored {
            Ok(stored) => found.push(stored),
            Err(error) => unreadable.push(noted(repository, key, error)?),
        }
    }
    Ok((found, unreadable))
}

/// Reads one record of a client; the second value is the role for which its key was certified.
pub(crate) fn read_mark<T>(
    repository: &Repository,
    kind: &str,
    client: ClientId,
    number: u32,
    read: impl Fn(&Record) -> Result<T, FormatError>,
) -> Result<(T, Option<Role>), RepoError> {
    let key = layout::record_key(kind, client, number);
    let (record, role) = read_record(repository, kind, client, &key)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    Ok((read(&record).map_err(decode)?, role))
}

/// Whether a record that was not accepted may be one that counts: damaged, removed, or of a client
/// that was certified after this process began. One of a key that is known not to sign it is not.
pub(crate) fn may_count(repository: &Repository, error: &RepoError) -> bool {
    let is_known = |signer| repository.identities.certify(signer);
    !matches!(error, RepoError::Signature { signer, .. } if is_known(*signer))
}

fn noted(
    repository: &Repository,
    key: ObjectKey,
    error: RepoError,
) -> Result<RepoErrorAt, RepoError> {
    if repository.is_damage(&error) {
        return Ok(RepoErrorAt { key, error: Arc::new(error) });
    }
    Err(error)
}

/// The records of a kind, by client and number, and the numbers that are missing before them.
///
/// A client's numbers have no gaps: the record of one that is missing was removed, or stored while
/// the listing was made.
fn numbers_of(repository: &Repository, kind: &str) -> Result<BTreeSet<(ClientId, u32)>, RepoError> {
    let mut listed: BTreeMap<ClientId, BTreeSet<u32>> = BTreeMap::new();
    for key in repository.list_keys(&format!("{}/{kind}", layout::RECORDS))? {
        if let Ok((client, number)) = layout::parse_record_key(kind, &key) {
            listed.entry(client).or_default().insert(number);
        }
    }
    let mut numbers = BTreeSet::new();
    for (client, present) in listed {
        let last = present.last().copied().unwrap_or_default();
        let missing = (1..last).filter(|number| !present.contains(number));
        let missing: Vec<u32> = missing.take(MISSING_COUNT_MAX).collect();
        numbers.extend(present.into_iter().chain(missing).map(|number| (client, number)));
    }
    Ok(numbers)
}

/// Whether a client may end another's hold: only those that may forget, or its own.
pub(crate) fn may_release(by: ClientId, role: Option<Role>, of: ClientId) -> bool {
    by == of || matches!(role, Some(Role::Admin | Role::Pruner))
}

/// Reads a forget, which the maintenance key must have signed.
fn read_forget(repository: &Repository, key: &ObjectKey) -> Result<Forget, RepoError> {
    let (_bytes, opened) = repository.read_object(ObjectKind::Forget, key, key.as_str())?;
    let signer = opened.signer();
    let body = repository.identities.by_maintenance(repository.id(), opened)?;
    repository.check_signed_in_time(signer, key)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let record = Record::decode(&body).map_err(decode)?;
    record.check_place(Forget::KIND, repository.id(), key.as_str()).map_err(decode)?;
    Forget::read(&record).map_err(decode)
}

/// Reads a record of a client; the second value is the role for which its key was certified.
fn read_record(
    repository: &Repository,
    kind: &str,
    client: ClientId,
    key: &ObjectKey,
) -> Result<(Record, Option<Role>), RepoError> {
    let (_bytes, opened) = repository.read_object(ObjectKind::Record, key, key.as_str())?;
    let signer = opened.signer();
    let role = repository.identities.role_of(signer);
    let body = repository.identities.by_client(repository.id(), client, opened)?;
    repository.check_signed_in_time(signer, key)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let record = Record::decode(&body).map_err(decode)?;
    record.check_place(kind, repository.id(), key.as_str()).map_err(decode)?;
    Ok((record, role))
}

fn is_missing(error: &RepoError) -> bool {
    matches!(error, RepoError::Store { source } if source.kind == StoreErrorKind::NotFound)
}

/// Most missing numbers of a client that are looked for; a forged number may be far away.
const MISSING_COUNT_MAX: usize = 1000;
