//! What goes from a mirror: what its source no longer has, if a verdict says that it may.
//! Spec: format-spec/15-mirror.md, "What is copied".

use crate::format::envelope::ObjectKind;
use crate::format::gc::Step;
use crate::format::gc::Verdict;
use crate::format::layout::GcObject;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::mark::Forget;
use crate::format::record::Record;
use crate::id::Digest;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::decision::Decision;
use crate::repo::decision::load_decision;
use crate::repo::error::RepoError;
use crate::repo::history::load_verdict;
use crate::repo::history::register_body;
use crate::repo::mirror::copier::Copier;
use crate::repo::mirror::copier::FlawKind;
use crate::repo::mirror::part::Part;
use crate::repo::repository::Repository;
use crate::store::StoreErrorKind;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// Whether key slots go that the source no longer has: no verdict speaks of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaleSlots {
    Keep,
    Delete,
}

/// What the newest verdict left, and what verdicts before it took.
struct Left {
    number: u64,
    segments: HashSet<SegmentRef>,
    snapshots: HashSet<SnapshotId>,
    /// Sessions with an outcome that no base has folded.
    sessions: HashSet<SnapshotId>,
    bases: HashSet<Digest>,
    removed: HashSet<PackRef>,
    forgotten: HashSet<SnapshotId>,
}

impl Copier<'_> {
    /// Deletes what may go, and notes what the source lost.
    pub(crate) fn sweep(&self, slots: StaleSlots) -> Result<(), RepoError> {
        let survey = self.survey;
        let gone: Vec<(&ObjectKey, Part)> = survey
            .mirrored
            .keys()
            .filter(|key| !survey.present.contains_key(*key))
            .filter_map(|key| Some((key, Part::of(key)?)))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let left = self.load_left(&gone)?;
        for (key, part) in gone {
            if (self.watch.is_cancelled)() {
                return Err(RepoError::Interrupted);
            }
            let goes = match (part, slots) {
                (Part::Slot, StaleSlots::Keep) => {
                    self.flaw(key, FlawKind::SlotStays, None);
                    continue;
                }
                (Part::Slot, StaleSlots::Delete) => true,
                (part, _) => self.is_dead(&left, key, part)?,
            };
            if goes {
                self.delete(key)?;
            } else {
                self.flaw(key, FlawKind::SourceMissing, None);
            }
        }
        Ok(())
    }

    fn is_dead(&self, left: &Left, key: &ObjectKey, part: Part) -> Result<bool, RepoError> {
        Ok(match part {
            Part::Pack(pack) => left.removed.contains(&pack),
            Part::Segment(segment) => {
                segment.session.epoch < left.number && !left.segments.contains(&segment)
            }
            Part::Outcome(session) => session.epoch < left.number,
            Part::Manifest(snapshot) => {
                !left.snapshots.contains(&snapshot) && !left.sessions.contains(&snapshot)
            }
            Part::Body(number, digest) => {
                number <= left.number
                    && !left.bases.contains(&digest)
                    && !self.is_verdict(number, digest)?
            }
            Part::Forget => self.is_folded(left, key)?,
            Part::Slot
            | Part::Identity
            | Part::Amendment
            | Part::Config
            | Part::Statement
            | Part::Register(..) => false,
        })
    }

    /// Whether a body is that of a verdict, or may be.
    fn is_verdict(&self, number: u64, digest: Digest) -> Result<bool, RepoError> {
        match register_body(self.place, number, GcObject::Verdict, Step::Verdict) {
            Ok(body) => Ok(body == digest),
            Err(error) if error.is_damage() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether a verdict took a snapshot that a forget names, or none of them is left.
    fn is_folded(&self, left: &Left, key: &ObjectKey) -> Result<bool, RepoError> {
        let snapshots = match forgotten_by(self.place, key) {
            Ok(snapshots) => snapshots,
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        };
        let is_taken = |snapshot: &SnapshotId| left.forgotten.contains(snapshot);
        let is_left = |snapshot: &SnapshotId| {
            left.snapshots.contains(snapshot) || left.sessions.contains(snapshot)
        };
        Ok(left.number > 0 && (snapshots.iter().any(is_taken) || !snapshots.iter().any(is_left)))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), RepoError> {
        let length = self.survey.mirrored.get(key).copied().unwrap_or_default();
        let deleted = self.place.store.delete(key);
        let mut tally = self.tally();
        match deleted {
            // Dead objects harm nobody: a mirror may be one that nothing can be deleted from.
            Err(error) if error.kind == StoreErrorKind::Denied => {
                tally.undeleted += 1;
                return Ok(());
            }
            deleted => deleted?,
        }
        tally.deleted += 1;
        tally.deleted_bytes += length;
        Ok(())
    }

    fn load_left(&self, gone: &[(&ObjectKey, Part)]) -> Result<Left, RepoError> {
        let source = &self.survey.source;
        let number = self.survey.chain.verdict;
        let keys = self.survey.present.keys().chain(self.survey.mirrored.keys());
        let outcomes = keys.filter_map(|key| Part::of(key)?.outcome());
        let sessions = outcomes.filter(|session| session.epoch >= number);
        let sessions = sessions.map(|session| session.session.into());
        let mut left = Left {
            number,
            segments: HashSet::new(),
            snapshots: HashSet::new(),
            sessions: sessions.collect(),
            bases: HashSet::new(),
            removed: HashSet::new(),
            forgotten: HashSet::new(),
        };
        if number == 0 {
            return Ok(left);
        }
        let Decision { verdict, digest: _, base } = load_decision(source, number)?;
        left.bases.insert(verdict.base);
        left.segments.extend(base.segments.into_iter().map(SegmentRef::from));
        left.snapshots.extend(base.snapshots.iter().map(|snapshot| snapshot.snapshot));
        if number > 1
            && let Ok((before, _digest)) = load_verdict(source, number - 1)
        {
            left.bases.insert(before.base);
        }
        left.take(verdict);
        self.take_earlier(&mut left, gone)?;
        Ok(left)
    }

    /// Reads earlier verdicts until each pack that is gone is explained, and all for forgets.
    fn take_earlier(&self, left: &mut Left, gone: &[(&ObjectKey, Part)]) -> Result<(), RepoError> {
        let mut packs: BTreeSet<PackRef> = gone
            .iter()
            .filter_map(|(_key, part)| if let Part::Pack(pack) = part { Some(*pack) } else { None })
            .collect();
        let has_forgets = gone.iter().any(|(_key, part)| *part == Part::Forget);
        for number in (1..left.number).rev() {
            packs.retain(|pack| !left.removed.contains(pack));
            if packs.is_empty() && !has_forgets {
                return Ok(());
            }
            match load_verdict(&self.survey.source, number) {
                Ok((verdict, _digest)) => left.take(verdict),
                // What it took is not known: it stays.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Left {
    fn take(&mut self, verdict: Verdict) {
        self.removed.extend(verdict.removed.into_iter().map(PackRef::from));
        self.forgotten.extend(verdict.forgotten);
    }
}

/// The snapshots that a forget names.
fn forgotten_by(place: &Repository, key: &ObjectKey) -> Result<Vec<SnapshotId>, RepoError> {
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let (_bytes, opened) = place.read_object(ObjectKind::Forget, key, key.as_str())?;
    let signer = opened.signer();
    let body = place.identities.by_maintenance(place.id(), opened)?;
    place.check_signed_in_time(signer, key)?;
    let record = Record::decode(&body).map_err(decode)?;
    let forget = Forget::read(&record).map_err(decode)?;
    Ok(forget.snapshots)
}
