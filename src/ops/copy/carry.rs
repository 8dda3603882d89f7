//! What was said of snapshots afterwards goes along: tags, notes and holds; and what must be erased again when they come
//! back.

use crate::format::attest::erasure::Erasure;
use crate::format::label::Note;
use crate::format::mark::Hold;
use crate::id::SnapshotId;
use crate::ops::copy::plan::Chosen;
use crate::ops::copy::report::CopyReport;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::forget::record_finding;
use crate::ops::ledger::load;
use crate::repo::labels::Labels;
use crate::repo::labels::store_note;
use crate::repo::mark_writer::store_attested;
use crate::repo::mark_writer::store_hold;
use crate::repo::marks::HeldBy;
use crate::repo::marks::Marks;
use crate::repo::marks::load_records;
use crate::repo::repository::Repository;
use std::collections::HashSet;

/// Stores there the erasures that another repository does not have: all of them, since its snapshots may be as old.
pub(crate) fn carry_erasures(
    source: &Repository,
    target: &Repository,
    report: &mut CopyReport,
) -> Result<(), OpError> {
    let known = load::<Erasure>(source, &mut report.findings)?;
    let mut there: HashSet<String> = load::<Erasure>(target, &mut report.findings)?
        .into_iter()
        .map(|found| found.said.erasure)
        .collect();
    for found in known {
        let mut said = found.said;
        if there.insert(said.erasure.clone()) {
            said.origin = Some(format!("{}/{}", source.id(), found.key));
            let what = "cannot store an erasure in the other repository";
            store_attested(target, &said).during(what)?;
            report.erasures += 1;
        }
    }
    Ok(())
}

/// Carries notes and holds to copies, each once: one that was ended there stays ended.
pub(crate) struct Carrier<'a> {
    target: &'a Repository,
    source_name: String,
    labels: Labels,
    marks: Marks,
    /// Records that the other repository has, ended or not, and the copies that they name.
    there: HashSet<(String, SnapshotId)>,
}

impl<'a> Carrier<'a> {
    /// Reads what both repositories have.
    pub(crate) fn load(
        source: &Repository,
        target: &'a Repository,
        report: &mut CopyReport,
    ) -> Result<Self, OpError> {
        let labels = Labels::load(source).during("cannot read tags and notes")?;
        let marks = Marks::load(source).during("cannot read the marks on snapshots")?;
        report
            .findings
            .extend(labels.unreadable.iter().chain(&marks.unreadable).map(record_finding));
        let what = "cannot read the records of the other repository";
        let (notes, _unreadable) = load_records(target, Note::KIND, Note::read).during(what)?;
        let (holds, _unreadable) = load_records(target, Hold::KIND, Hold::read).during(what)?;
        let notes = notes.into_iter().map(|stored| (stored.mark.origin, stored.mark.snapshots));
        let holds = holds.into_iter().map(|stored| (stored.mark.origin, stored.mark.snapshots));
        let mut there = HashSet::new();
        for (origin, snapshots) in notes.chain(holds) {
            let Some(origin) = origin else { continue };
            there.extend(snapshots.into_iter().map(|snapshot| (origin.clone(), snapshot)));
        }
        Ok(Self { target, source_name: source.id().to_string(), labels, marks, there })
    }

    /// Gives the manifest of a copy the tags that the snapshot has now.
    pub(crate) fn tag(&self, chosen: &mut Chosen) {
        let stated = &chosen.manifest.predicate.tags;
        let tags = self.labels.tag_words_of(chosen.live.snapshot, chosen.live.client, stated);
        chosen.manifest.predicate.tags = tags;
    }

    /// Stores for a copy the notes and holds of its original.
    pub(crate) fn carry(
        &self,
        chosen: &Chosen,
        copy: SnapshotId,
        report: &mut CopyReport,
    ) -> Result<(), OpError> {
        for note in self.labels.notes_of(chosen.live.snapshot) {
            let Some(origin) = self.missing(note.place, note.note.origin.as_ref(), copy) else {
                continue;
            };
            let (snapshots, origin) = (vec![copy], Some(origin));
            let note = Note { snapshots, origin, ..note.note.clone() };
            store_note(self.target, &note).during("cannot store a note in the other repository")?;
            report.notes += 1;
        }
        for HeldBy { place, hold, .. } in self.marks.held_by(&chosen.live.snapshot) {
            let Some(origin) = self.missing(place, hold.origin.as_ref(), copy) else { continue };
            let (snapshots, origin) = (vec![copy], Some(origin));
            let hold = Hold { snapshots, origin, ..hold.clone() };
            store_hold(self.target, &hold).during("cannot store a hold in the other repository")?;
            report.holds += 1;
        }
        Ok(())
    }

    /// The name of a record there, if the other repository does not have it: as a copy, or since it
    /// came from there.
    fn missing(&self, place: &str, own: Option<&String>, copy: SnapshotId) -> Option<String> {
        let target = self.target.id().to_string();
        let came_from_there = own.is_some_and(|origin| origin.starts_with(&target));
        let origin = format!("{}/{place}", self.source_name);
        let is_missing = !came_from_there && !self.there.contains(&(origin.clone(), copy));
        is_missing.then_some(origin)
    }
}
