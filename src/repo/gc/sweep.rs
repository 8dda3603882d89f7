//! SWEEP: deletes what a verdict removed and what it made superfluous; then the collection is done.
//!
//! Whoever sweeps may be late: everything deleted here is dead for ever, whatever came since.

use crate::format::gc::Base;
use crate::format::gc::Step;
use crate::format::gc::Verdict;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::outcome::Outcome;
use crate::id::Digest;
use crate::id::SessionId;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::decision::Decision;
use crate::repo::decision::load_decision;
use crate::repo::error::RepoError;
use crate::repo::gc::certify::Doomed;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::inventory::store_inventory;
use crate::repo::gc::pulse::Pulse;
use crate::repo::history::LiveSnapshot;
use crate::repo::history::is_missing;
use crate::repo::history::load_outcome;
use crate::repo::history::load_plan;
use crate::repo::history::load_verdict;
use crate::units::to_u64;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// A verdict that is being carried out.
pub(super) struct Sweep {
    pub(super) number: u64,
    pub(super) verdict: Verdict,
    base: Base,
    /// Segments of the base before.
    before: BTreeSet<SegmentRef>,
    /// Snapshots of the base before.
    pub(super) snapshots_before: Vec<LiveSnapshot>,
    /// Snapshots of the base.
    snapshots: HashSet<SnapshotId>,
    /// Sessions that the verdict folded.
    folded: HashSet<SessionRef>,
}

impl Collector<'_> {
    /// Deletes what verdict `number` says, and what nobody needs after it.
    pub(crate) fn sweep(&mut self, number: u64) -> Result<(), RepoError> {
        let store = self.repository.store.as_ref();
        // Another process may have written it: durable before anything is gone for its sake.
        store.settle(&layout::gc_key(number, GcObject::Verdict))?;
        let sweep = self.load_sweep(number)?;
        let pulse = Pulse::watched(self.watch);
        if !store_inventory(self.repository, &self.maintenance, &sweep.base, pulse)? {
            self.warn("there are too many packs for an inventory".to_owned());
        }
        let doomed = self.doomed(&sweep.verdict)?;
        // What a manifest says is told in a record before it goes.
        self.certify(&sweep, &doomed)?;
        self.sweep_sidecars(&sweep)?;
        self.sweep_packs(&doomed)?;
        self.sweep_segments(&sweep)?;
        self.sweep_sessions(&sweep)?;
        self.sweep_forgets(&sweep)?;
        self.sweep_bodies(&sweep)?;
        self.certify_gone(&sweep, &doomed)?;
        self.summary.forgotten += to_u64(sweep.verdict.forgotten.len());
        let zeros = Digest::new([0; 32]);
        self.maintenance.decide(number, Step::Done, zeros).map(|_won| ())
    }

    /// Sidecars of packs that go, and of packs that are gone: a pack is stored before its sidecar, and
    /// the packs are listed after the sidecars.
    fn sweep_sidecars(&self, sweep: &Sweep) -> Result<(), RepoError> {
        if !self.repository.has_parity() {
            return Ok(());
        }
        let sidecars = self.repository.list_sidecars()?;
        let stored: HashSet<PackRef> =
            self.repository.list_packs()?.into_iter().map(|(pack, _length)| pack).collect();
        let removed = sweep.verdict.removed.iter().map(|&name| PackRef::from(name));
        let removed: HashSet<PackRef> = removed.collect();
        for pack in sidecars.iter().filter(|pack| removed.contains(pack) || !stored.contains(pack))
        {
            self.delete(&pack.parity_key())?;
        }
        Ok(())
    }

    fn sweep_packs(&mut self, doomed: &Doomed) -> Result<(), RepoError> {
        for (pack, length) in doomed {
            self.delete(&pack.key())?;
            self.summary.removed += 1;
            self.summary.removed_bytes += length;
        }
        Ok(())
    }

    /// Segments that the new base replaced, and those of closed sessions without any pack: those
    /// of a fenced session say what is in packs that may be adopted as long as they are there.
    fn sweep_segments(&self, sweep: &Sweep) -> Result<(), RepoError> {
        let listed = self.repository.segment_lengths()?;
        let kept: HashSet<SegmentRef> =
            sweep.base.segments.iter().map(|&name| name.into()).collect();
        let adopted = self.segments_of_commits(sweep)?;
        let with_packs: HashSet<SessionRef> =
            self.repository.list_packs()?.into_iter().map(|(pack, _length)| pack.session).collect();
        for (segment, _length) in listed {
            let is_old = segment.session.epoch < sweep.number;
            if !is_old || kept.contains(&segment) {
                continue;
            }
            let is_superseded = sweep.before.contains(&segment)
                || adopted.contains(&segment)
                || sweep.folded.contains(&segment.session);
            if is_superseded || !with_packs.contains(&segment.session) {
                self.delete(&segment.key())?;
            }
        }
        Ok(())
    }

    /// Segments that folded commits listed.
    fn segments_of_commits(&self, sweep: &Sweep) -> Result<HashSet<SegmentRef>, RepoError> {
        let mut segments = HashSet::new();
        for &session in &sweep.folded {
            match load_outcome(self.repository, session) {
                Ok((Outcome::Commit(commit), _digest)) => {
                    segments.extend(commit.segments.into_iter().map(SegmentRef::from));
                }
                Ok((Outcome::Fence(_), _digest)) => {}
                // Swept by another process, or by this one before it crashed.
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(segments)
    }

    /// Manifests that count for nothing, then heartbeats, outcomes and announcements of closed
    /// sessions.
    fn sweep_sessions(&self, sweep: &Sweep) -> Result<(), RepoError> {
        let repository = self.repository;
        // Manifests and heartbeats first: whoever stored one announced itself before.
        let manifests = repository.list_keys(layout::MANIFESTS)?;
        let heartbeats = repository.list_keys(layout::HEARTBEATS)?;
        let sessions = sessions_in(&repository.list_keys(layout::SESSIONS)?, |key| {
            SessionRef::parse_announcement(key).ok()
        });
        let outcomes = sessions_in(&repository.list_keys(layout::OUTCOMES)?, |key| {
            SessionRef::parse_outcome(key).ok()
        });
        // Later sweeps may have removed the traces of sessions that this base does not know.
        if GcChain::load(repository)?.verdict != sweep.number {
            return Ok(());
        }
        let alive: HashSet<SessionId> = sessions
            .iter()
            .chain(&outcomes)
            .filter(|session| session.epoch >= sweep.number)
            .map(|session| session.session)
            .collect();
        for key in manifests {
            let Some(session) = last_segment::<SessionId>(&key) else { continue };
            if !alive.contains(&session) && !sweep.snapshots.contains(&session.into()) {
                self.delete(&key)?;
            }
        }
        for key in heartbeats {
            let session = key.segments().nth(2).and_then(|text| text.parse::<SessionId>().ok());
            if session.is_some_and(|session| !alive.contains(&session)) {
                self.delete(&key)?;
            }
        }
        let is_closed = |session: &&SessionRef| session.epoch < sweep.number;
        for session in outcomes.iter().filter(is_closed) {
            self.delete(&session.outcome_key())?;
        }
        for session in sessions.iter().filter(is_closed) {
            self.delete(&session.announcement_key())?;
        }
        Ok(())
    }

    fn sweep_forgets(&self, sweep: &Sweep) -> Result<(), RepoError> {
        let plan = match load_plan(self.repository, sweep.number) {
            Ok(plan) => plan,
            // Plans go after the forgets that they folded. Which ones a damaged one folded is not
            // known: the next plan names them again.
            Err(error) if error.is_unreadable() => return Ok(()),
            Err(error) => return Err(error),
        };
        for record in plan.forgets {
            self.delete(&layout::forget_key(record))?;
        }
        Ok(())
    }

    /// Bodies that no register needs: plans, those of processes that were second, and bases but
    /// for the newest two.
    fn sweep_bodies(&self, sweep: &Sweep) -> Result<(), RepoError> {
        let mut bodies: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
        for key in self.repository.list_keys(layout::GC)? {
            if let Ok((number, GcObject::Body(digest))) = layout::parse_gc_key(&key)
                && number <= sweep.number
            {
                bodies.entry(number).or_default().push(digest);
            }
        }
        for (number, digests) in bodies {
            let keeps_base = number + 1 >= sweep.number;
            if digests.len() <= if keeps_base { 2 } else { 1 } {
                continue;
            }
            let (verdict, body) = match load_verdict(self.repository, number) {
                Ok(loaded) => loaded,
                // Which of them is the verdict is not known.
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            for digest in digests {
                if digest != body && !(keeps_base && digest == verdict.base) {
                    self.delete(&layout::gc_key(number, GcObject::Body(digest)))?;
                }
            }
        }
        Ok(())
    }

    fn load_sweep(&self, number: u64) -> Result<Sweep, RepoError> {
        let repository = self.repository;
        let decision = self.given_up.load_decision(repository, number)?;
        let Decision { verdict, digest: _, base } = decision;
        let (before, snapshots_before) = if number > 1 {
            match load_decision(repository, number - 1) {
                Ok(Decision { base, .. }) => (base.segments, base.snapshots),
                // What this one superseded is not known: it stays.
                Err(error) if error.is_unreadable() => (Vec::new(), Vec::new()),
                Err(error) => return Err(error),
            }
        } else {
            (Vec::new(), Vec::new())
        };
        let before = before.into_iter().map(SegmentRef::from).collect();
        let snapshots_before = snapshots_before.into_iter().map(LiveSnapshot::from).collect();
        let snapshots = base.snapshots.iter().map(|snapshot| snapshot.snapshot).collect();
        let folded = verdict.folded.iter().map(|folded| {
            let &crate::format::gc::FoldedOutcome { session, client, epoch, .. } = folded;
            SessionRef { client, epoch, session }
        });
        let folded = folded.collect();
        Ok(Sweep { number, verdict, base, before, snapshots_before, snapshots, folded })
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), RepoError> {
        self.check_cancelled()?;
        Ok(self.repository.store.delete(key)?)
    }
}

fn sessions_in(
    keys: &[ObjectKey],
    parse: impl Fn(&ObjectKey) -> Option<SessionRef>,
) -> Vec<SessionRef> {
    keys.iter().filter_map(parse).collect()
}

fn last_segment<T: std::str::FromStr>(key: &ObjectKey) -> Option<T> {
    key.segments().last()?.parse().ok()
}
