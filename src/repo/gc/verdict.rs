//! VERDICT: every session before the plan is closed; what their new snapshots need is kept, the
//! rest of what the plan condemned goes.

use crate::format::envelope::ObjectKind;
use crate::format::gc::Base;
use crate::format::gc::BaseCheckpoint;
use crate::format::gc::BaseSnapshot;
use crate::format::gc::Plan;
use crate::format::gc::Step;
use crate::format::gc::Verdict;
use crate::format::layout::GcObject;
use crate::format::layout::PackRef;
use crate::format::outcome::SegmentName;
use crate::id::Digest;
use crate::id::RecordId;
use crate::id::SessionId;
use crate::id::SnapshotId;
use crate::repo::damage::damaged_packs;
use crate::repo::error::RepoError;
use crate::repo::gc::census::Census;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::choose::bases_of;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::live::LiveChunks;
use crate::repo::gc::mark::Marker;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::segments::settle_segments;
use crate::repo::gc::session::CollectSession;
use crate::repo::gc::start::pack_name;
use crate::repo::gc::start::reader_of;
use crate::repo::gc::view::View;
use crate::repo::gc::view::ids;
use crate::repo::history::load_plan;
use crate::repo::history::register_body;
use crate::repo::marks::Marks;
use crate::repo::register::Won;
use crate::units::to_u64;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

impl Collector<'_> {
    /// Decides collection `number`; nobody of an epoch below it can commit any more.
    pub(crate) fn decide(
        &mut self,
        number: u64,
        session: &CollectSession<'_>,
    ) -> Result<(), RepoError> {
        (self.watch.phase)("deciding what goes");
        let repository = self.repository;
        let pulse = Pulse::of_session(self.watch, session);
        let (plan, plan_digest) = self.plan_of(number)?;
        let view = View::load_without(repository, number, pulse, &self.given_up)?;
        if view.chain.verdict >= number {
            return session.give_up();
        }
        // After the plan: an undo or a hold that came since counts.
        let marks = Marks::load(repository)?;
        let (forgotten, snapshots) = split(&plan, view.snapshots(), &marks);
        let checkpoints = view.checkpoints(&dropped_checkpoints(&plan, &marks));
        let condemned: BTreeSet<PackRef> = plan.condemned.iter().map(|&name| name.into()).collect();
        let considered: HashSet<SnapshotId> = plan.roots.iter().copied().collect();
        let is_new = |snapshot: &&BaseSnapshot| !considered.contains(&snapshot.snapshot);
        let new: Vec<&BaseSnapshot> = snapshots.iter().filter(is_new).collect();
        let roots = Roots { snapshots: &new, checkpoints: &checkpoints };
        let kept = self.rescue(number, &view, &condemned, roots, pulse)?;
        let removed: BTreeSet<PackRef> = condemned.difference(&kept).copied().collect();
        let gone: HashSet<PackRef> = removed.union(&view.removed).copied().collect();
        let listed = view.segments();
        let segments = settle_segments(repository, session.reference, &listed, &gone, pulse)?;
        let mut names: Vec<SegmentName> =
            segments.all.iter().map(|&segment| segment.into()).collect();
        names.sort_unstable();
        let base = Base { number, snapshots, checkpoints, segments: names };
        let base = self.maintenance.store_body(ObjectKind::GcBase, number, &base.encode())?;
        let verdict = Verdict {
            number,
            plan: plan_digest,
            previous: view.verdict.digest,
            base,
            removed: removed.iter().map(|&pack| pack_name(pack)).collect(),
            forgotten: forgotten.into_iter().collect(),
            folded: view.folded(),
            epoch_min: number,
        };
        let body = self.maintenance.store_body(ObjectKind::GcVerdict, number, &verdict.encode())?;
        match self.maintenance.decide(number, Step::Verdict, body)? {
            Won::Mine => {
                self.summary.rescued += to_u64(kept.len());
                session.commit(&segments.new, &view).map(|_won| ())
            }
            Won::Theirs(_) => session.give_up(),
        }
    }

    /// A plan and the hash of its body.
    ///
    /// One that cannot be read condemns nothing: to remove less than a plan condemns is always right.
    fn plan_of(&mut self, number: u64) -> Result<(Plan, Digest), RepoError> {
        let repository = self.repository;
        let chain = GcChain::load(repository)?;
        let read = || -> Result<(Plan, Digest), RepoError> {
            let digest = register_body(repository, number, GcObject::Plan, Step::Plan)?;
            Ok((load_plan(repository, number)?, digest))
        };
        match read() {
            Err(error) if error.is_unreadable() && GcChain::load(repository)? == chain => {
                self.warn(format!(
                    "collection {number} deletes no packs, since its plan is damaged: {error}"
                ));
                let none = Plan { number, condemned: vec![], roots: vec![], forgets: vec![] };
                Ok((none, Digest::new([0; 32])))
            }
            read => read,
        }
    }

    /// The condemned packs that hold what is needed and nothing else does.
    ///
    /// If something that is needed cannot be read, all of them: then nothing is deleted.
    fn rescue(
        &mut self,
        number: u64,
        view: &View,
        condemned: &BTreeSet<PackRef>,
        roots: Roots<'_>,
        pulse: Pulse<'_>,
    ) -> Result<BTreeSet<PackRef>, RepoError> {
        if condemned.is_empty() {
            return Ok(BTreeSet::new());
        }
        match self.needed_of(view, condemned, roots, pulse) {
            Err(error) if error.is_damage() => {
                if GcChain::load(self.repository)?.verdict >= number {
                    return Err(error);
                }
                self.warn(format!("nothing is deleted, since something is damaged: {error}"));
                Ok(condemned.clone())
            }
            needed => needed,
        }
    }

    fn needed_of(
        &self,
        view: &View,
        condemned: &BTreeSet<PackRef>,
        roots: Roots<'_>,
        pulse: Pulse<'_>,
    ) -> Result<BTreeSet<PackRef>, RepoError> {
        let repository = self.repository;
        let stored: HashMap<PackRef, u64> = repository.list_packs()?.into_iter().collect();
        let reader = reader_of(repository, &view.segments(), pulse)?;
        let runs = reader.index.runs();
        let mut live = LiveChunks::new(runs.clone());
        let mut marker = Marker::new(&reader, &mut live, pulse);
        for snapshot in roots.snapshots {
            marker.add_snapshot(snapshot)?;
        }
        for checkpoint in roots.checkpoints {
            marker.add_checkpoint(checkpoint)?;
        }
        marker.finish()?;
        pulse.beat()?;
        let census = Census::new(&runs, &stored, damaged_packs(repository)?);
        let stays = census.packs.iter().map(|pack| !condemned.contains(&pack.reference)).collect();
        let mut rescue = Rescue { census: &census, stays };
        live.visit(&mut |_id, places, needed| {
            if needed {
                rescue.keep_a_copy(places, |_block| true);
            }
        });
        rescue.keep_bases();
        let packs = census.packs.iter().zip(&rescue.stays);
        let kept = packs.filter(|(pack, stays)| **stays && condemned.contains(&pack.reference));
        Ok(kept.map(|(pack, _stays)| pack.reference).collect())
    }
}

/// What is needed and was not walked for the plan.
#[derive(Clone, Copy)]
struct Roots<'a> {
    snapshots: &'a [&'a BaseSnapshot],
    checkpoints: &'a [BaseCheckpoint],
}

/// Which packs stay.
struct Rescue<'a> {
    census: &'a Census,
    stays: Vec<bool>,
}

impl Rescue<'_> {
    /// Keeps a pack with a copy, unless one stays that has one.
    fn keep_a_copy(
        &mut self,
        places: &[crate::repo::gc::live::Copy],
        accept: impl Fn(usize) -> bool,
    ) -> bool {
        let copies = self.census.copies(places, |_pack| true);
        let mut copies = copies.into_iter().filter(|copy| accept(copy.block));
        let Some(first) = copies.next() else { return false };
        if self.stays[first.pack] || copies.any(|copy| self.stays[copy.pack]) {
            return false;
        }
        self.stays[first.pack] = true;
        true
    }

    /// Keeps plain copies of the bases of every delta in a pack that stays.
    fn keep_bases(&mut self) {
        if !self.census.has_deltas() {
            return;
        }
        loop {
            let mut changed = false;
            for pack in 0..self.stays.len() {
                if !self.stays[pack] || !self.census.packs[pack].is_stored {
                    continue;
                }
                for base in bases_of(self.census, pack) {
                    let places = self.census.places_of(&base);
                    let census = self.census;
                    changed |= self.keep_a_copy(&places, |block| !census.is_delta(block));
                }
            }
            if !changed {
                return;
            }
        }
    }
}

/// The checkpoints that go: those of the plan's forgets. Others may be named since, but their chunks
/// were roots of the plan: they go with the next one.
fn dropped_checkpoints(plan: &Plan, marks: &Marks) -> BTreeSet<SessionId> {
    // What keeps snapshots is not fully known: then nothing is forgotten.
    if marks.keeps_unknown { BTreeSet::new() } else { marks.checkpoints_of(&plan.forgets) }
}

/// The snapshots that go, and those that stay.
fn split(
    plan: &Plan,
    snapshots: Vec<BaseSnapshot>,
    marks: &Marks,
) -> (BTreeSet<SnapshotId>, Vec<BaseSnapshot>) {
    let folded: HashSet<RecordId> = plan.forgets.iter().copied().collect();
    let goes = |snapshot: &BaseSnapshot| {
        // What keeps snapshots is not fully known: then nothing is forgotten.
        !marks.keeps_unknown
            && !marks.is_held(&snapshot.snapshot)
            && marks.forgets_of(snapshot.snapshot).iter().any(|(id, _)| folded.contains(id))
    };
    let (gone, stay): (Vec<_>, Vec<_>) = snapshots.into_iter().partition(goes);
    (ids(&gone), stay)
}
