//! What actors were promised: which snapshots must count, which must not, and what each restores.
//! Invariant: whatever an unknown answer may have done leaves it open.

use crate::simulator::contents::Content;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::forget::undo::Kept;
use std::collections::BTreeMap;

/// What is known of every snapshot, and what was tried for every source.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    moment: u64,
    notes: BTreeMap<SnapshotId, Note>,
    tried: BTreeMap<String, Vec<Content>>,
}

/// What is known of one snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    /// Its source and content, if its writer was told that it is safe.
    pub(crate) acknowledged: Option<(String, Content)>,
    /// A hold of it was acknowledged: nothing may forget it.
    is_held: bool,
    fate: Fate,
    /// Forgets that name it and have not ended.
    forgets_open: u32,
    forget_began: u64,
    forget_ended: u64,
    /// A forget of it came to an unknown end: it may land at any time.
    may_land: bool,
    /// Undos and holds of it that have not ended.
    rescues_open: u32,
    rescue_ended: u64,
    /// An undo or hold of it came to an unknown end: its record may be there, or land at any time.
    rescue_may_land: bool,
    /// When the last forget of it began to look at what there is.
    forget_planned: u64,
    /// When an undo that was acknowledged began; 0 if there was none.
    undo_began: u64,
}

/// What is certain of a snapshot that was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    /// Nothing.
    #[default]
    Open,
    /// A forget ended, with no undo or hold meanwhile or since.
    Forgotten,
    /// An undo said that a collection removed it.
    Removed,
}

/// Whether a snapshot counts, as far as anybody was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It must.
    Live,
    /// It must not.
    Gone,
    /// It may.
    Either,
}

impl Note {
    /// Whether the snapshot must count.
    pub(crate) fn expected(&self) -> Expected {
        if self.is_held {
            return Expected::Live;
        }
        if self.fate != Fate::Open {
            return Expected::Gone;
        }
        if self.acknowledged.is_none() || self.may_land || self.forgets_open > 0 {
            return Expected::Either;
        }
        let is_undone = self.forget_ended < self.undo_began;
        if self.forget_began == 0 || is_undone { Expected::Live } else { Expected::Either }
    }
}

impl Note {
    /// Whether the snapshot had to count all the time from the moment of `before` to this one: a forget
    /// and its undo in between end as if nothing had been.
    pub(crate) fn is_live_since(&self, before: &Self) -> bool {
        let no_forget = before.is_held || self.forget_began == before.forget_began;
        [before, self].map(Self::expected) == [Expected::Live; 2] && no_forget
    }
}

impl Ledger {
    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// A writer begins.
    pub(crate) fn tries(&mut self, source: &str, content: &Content) {
        self.tried.entry(source.to_owned()).or_default().push(content.clone());
    }

    /// A writer was told that its snapshot is safe.
    pub(crate) fn acknowledges(&mut self, snapshot: SnapshotId, source: &str, content: &Content) {
        let note = self.notes.entry(snapshot).or_default();
        note.acknowledged = Some((source.to_owned(), content.clone()));
    }

    /// A forget of these snapshots begins; returns those that must not be among them.
    pub(crate) fn forget_begins(&mut self, snapshots: &[SnapshotId], planned: u64) -> Vec<String> {
        let moment = self.tick();
        let mut wrongs = Vec::new();
        for snapshot in snapshots {
            let note = self.notes.entry(*snapshot).or_default();
            if note.is_held && note.rescue_ended < planned {
                wrongs.push(format!("the policy forgets snapshot {snapshot}, which is held"));
            }
            note.forgets_open += 1;
            note.forget_began = moment;
            note.forget_planned = planned;
        }
        wrongs
    }

    /// A forget ended.
    pub(crate) fn forget_ends(&mut self, snapshots: &[SnapshotId], is_known: bool) {
        let moment = self.tick();
        for snapshot in snapshots {
            let note = self.notes.entry(*snapshot).or_default();
            note.forgets_open -= 1;
            note.forget_ended = moment;
            note.may_land |= !is_known;
            let is_undisturbed = note.rescues_open == 0
                && !note.rescue_may_land
                && note.rescue_ended < note.forget_planned;
            if is_known && is_undisturbed && note.forgets_open == 0 && note.fate == Fate::Open {
                note.fate = Fate::Forgotten;
            }
        }
    }

    /// An undo or a hold begins.
    pub(crate) fn rescue_begins(&mut self, snapshot: SnapshotId) -> u64 {
        let moment = self.tick();
        let note = self.notes.entry(snapshot).or_default();
        note.rescues_open += 1;
        if note.fate == Fate::Forgotten {
            note.fate = Fate::Open;
        }
        moment
    }

    /// An undo or a hold ended.
    pub(crate) fn rescue_ends(
        &mut self,
        snapshot: SnapshotId,
        (is_hold, began): (bool, u64),
        said: Option<Kept>,
    ) {
        let moment = self.tick();
        let note = self.notes.entry(snapshot).or_default();
        note.rescues_open -= 1;
        note.rescue_ended = moment;
        match said {
            Some(Kept::Yes) if is_hold => note.is_held = true,
            Some(Kept::Yes) => note.undo_began = note.undo_began.max(began),
            Some(Kept::TooLate { .. }) => note.fate = Fate::Removed,
            Some(_) => {}
            None => note.rescue_may_land = true,
        }
    }

    /// The present moment.
    pub(crate) fn now(&mut self) -> u64 {
        self.tick()
    }

    /// What is known of a snapshot.
    pub(crate) fn note(&self, snapshot: SnapshotId) -> Note {
        self.notes.get(&snapshot).cloned().unwrap_or_default()
    }

    /// What is known of all.
    pub(crate) fn notes(&self) -> &BTreeMap<SnapshotId, Note> {
        &self.notes
    }

    /// What was tried for a source.
    pub(crate) fn tried(&self, source: &str) -> &[Content] {
        self.tried.get(source).map_or(&[], Vec::as_slice)
    }
}
