//! START: looks at everything, copies what is needed of packs that mostly are not, and makes a plan.
//!
//! The order of the reads is the safety argument: outcomes, then base and roots, then the packs.

use crate::format::codec;
use crate::format::envelope::ObjectKind;
use crate::format::gc::Base;
use crate::format::gc::BaseCheckpoint;
use crate::format::gc::BaseSnapshot;
use crate::format::gc::PackName;
use crate::format::gc::Plan;
use crate::format::gc::Step;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::outcome::SegmentName;
use crate::format::outcome::Subject;
use crate::id::PackId;
use crate::id::RecordId;
use crate::repo::damage::damaged_packs;
use crate::repo::error::RepoError;
use crate::repo::gc::census::Census;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::choose;
use crate::repo::gc::choose::Choice;
use crate::repo::gc::choose::Fate;
use crate::repo::gc::collector::Collector;
use crate::repo::gc::idle::Considered;
use crate::repo::gc::idle::Fingerprint;
use crate::repo::gc::idle::recall;
use crate::repo::gc::idle::remember;
use crate::repo::gc::live::LiveChunks;
use crate::repo::gc::mark::Marker;
use crate::repo::gc::pulse::Pulse;
use crate::repo::gc::repack::Known;
use crate::repo::gc::repack::Repacker;
use crate::repo::gc::session::CollectSession;
use crate::repo::gc::view::View;
use crate::repo::gc::view::ids;
use crate::repo::history::History;
use crate::repo::index::Index;
use crate::repo::index::load::LoadedIndex;
use crate::repo::index::load::load_without;
use crate::repo::index::lost::error_of;
use crate::repo::index::lost::superseded;
use crate::repo::marks::Marks;
use crate::repo::read::ChunkReader;
use crate::repo::register::Won;
use crate::repo::repository::Repository;
use crate::store::StoreErrorKind;
use crate::units::to_u64;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// What START came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// There is a plan: this one, or another process's that was first.
    Planned,
    /// The registers moved; look again.
    Moved,
    /// Nothing can be freed and nothing is worth folding.
    Nothing,
}

/// Stored bytes and packs by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, codec::Encode, codec::Decode)]
pub(crate) struct Tally {
    /// Needed, in packs that stay.
    pub(crate) live_bytes: u64,
    /// Not needed, in packs that stay because the waste is tolerated.
    pub(crate) tolerated_bytes: u64,
    /// Not needed, within blocks that stay whole.
    pub(crate) bound_bytes: u64,
    pub(crate) kept_packs: u64,
    /// Packs without anything needed.
    pub(crate) dead_packs: u64,
    pub(crate) dead_bytes: u64,
    /// Packs whose needed chunks are elsewhere, too.
    pub(crate) double_packs: u64,
    pub(crate) double_bytes: u64,
    /// Packs that no valid segment lists, of sessions that ended.
    pub(crate) orphaned_packs: u64,
    pub(crate) orphaned_bytes: u64,
    /// Packs of sessions that may still commit.
    pub(crate) open_packs: u64,
    pub(crate) open_bytes: u64,
    /// Packs that are copied in part.
    pub(crate) repacked_packs: u64,
    pub(crate) repacked_bytes: u64,
    /// How much of those is copied.
    pub(crate) copied_bytes: u64,
    /// Snapshots that go.
    pub(crate) forgotten: u64,
    pub(crate) snapshots: u64,
}

impl Tally {
    /// Stored bytes that go, less those that are written again.
    pub(crate) const fn freed_bytes(&self) -> u64 {
        (self.dead_bytes + self.double_bytes + self.orphaned_bytes + self.repacked_bytes)
            .saturating_sub(self.copied_bytes)
    }
}

/// What a collection finds before it reads what snapshots hold.
pub(crate) struct Look {
    view: View,
    roots: Roots,
    stored: HashMap<PackRef, u64>,
    damaged: HashSet<PackId>,
    fingerprint: Fingerprint,
}

/// Everything that a plan is made from.
pub(crate) struct Survey {
    view: View,
    roots: Roots,
    reader: ChunkReader,
    live: LiveChunks,
    census: Census,
    choice: Choice,
    orphans: Vec<PackRef>,
    pub(crate) tally: Tally,
}

impl Collector<'_> {
    /// Takes the step from the end of collection `number` − 1 to plan `number`.
    pub(crate) fn start(&mut self, chain: GcChain, number: u64) -> Result<Started, RepoError> {
        let repository = self.repository;
        let Some(session) = CollectSession::announce(repository, chain)? else {
            return Ok(Started::Moved);
        };
        let started = self.start_in(chain, number, &session);
        if !matches!(started, Ok(Started::Planned)) {
            // Others need not wait for it; if that fails, too, they fence it.
            let _ignored = session.give_up();
        }
        started
    }

    fn start_in(
        &mut self,
        chain: GcChain,
        number: u64,
        session: &CollectSession<'_>,
    ) -> Result<Started, RepoError> {
        self.fence_idle(number, session)?;
        let pulse = Pulse::of_session(self.watch, session);
        let look = self.look(number, pulse)?;
        if look.view.chain != chain {
            return Ok(Started::Moved);
        }
        let fingerprint = look.fingerprint;
        if let Some(tally) = self.known(&look) {
            self.summary.tally = Some(tally);
            return Ok(Started::Nothing);
        }
        let mut survey = self.survey(look, pulse)?;
        self.summary.tally = Some(survey.tally);
        if survey.is_futile() {
            remember(self.repository, fingerprint, survey.tally);
            return Ok(Started::Nothing);
        }
        let segments = self.repack(&mut survey, session)?;
        // Valid before any plan relies on them.
        if !session.commit(&segments, &survey.view)? {
            return Ok(Started::Moved);
        }
        let plan = survey.plan(number);
        // Others stored them: durable before anything is gone for their sake.
        for &forget in &plan.forgets {
            match self.repository.store.settle(&layout::forget_key(forget)) {
                // Folded before, and listed since its delete came late: it is gone now.
                Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Started::Moved),
                settled => settled?,
            }
        }
        let body = self.maintenance.store_body(ObjectKind::GcPlan, number, &plan.encode())?;
        match self.maintenance.decide(number, Step::Plan, body)? {
            Won::Mine | Won::Theirs(_) => Ok(Started::Planned),
        }
    }

    /// Gives up sessions that are long dead, so that what they left goes with this collection.
    fn fence_idle(&mut self, number: u64, session: &CollectSession<'_>) -> Result<(), RepoError> {
        for open in self.open_sessions(number, session)? {
            if self.may_give_up(&open) {
                self.maintenance.fence(open.session, number)?;
                self.summary.fenced.push(open.session);
            }
        }
        Ok(())
    }

    /// Finds everything that plan `number` depends on, and reads none of it yet; changes nothing.
    pub(crate) fn look(&self, number: u64, pulse: Pulse<'_>) -> Result<Look, RepoError> {
        let repository = self.repository;
        (self.watch.phase)("looking at what is needed");
        // Outcomes first: whoever is closed here has its commit among the roots.
        let view = View::load_without(repository, number, pulse, &self.given_up)?;
        let marks = Marks::load(repository)?;
        // After the outcomes: packs of sessions that were closed are all listed.
        let stored: HashMap<PackRef, u64> = repository.list_packs()?.into_iter().collect();
        let roots = Roots::new(&view, &marks);
        let damaged = damaged_packs(repository)?;
        let considered = considered(&self.policy.repack, &view, &roots, &stored, &damaged);
        let fingerprint = considered.fingerprint();
        Ok(Look { view, roots, stored, damaged, fingerprint })
    }

    /// What an earlier survey came to, if it found nothing to free and nothing changed since.
    pub(crate) fn known(&self, look: &Look) -> Option<Tally> {
        if is_worth_folding(&look.view, &look.roots) {
            return None;
        }
        recall(self.repository, look.fingerprint)
    }

    /// Reads what plan `number` depends on; changes nothing.
    pub(crate) fn survey(&self, look: Look, pulse: Pulse<'_>) -> Result<Survey, RepoError> {
        let repository = self.repository;
        let Look { view, roots, stored, damaged, fingerprint: _ } = look;
        let Roots { forgets: _, snapshots, checkpoints } = &roots;
        let reader = reader_of(repository, &view.segments(), pulse)?;
        let runs = reader.index.runs();
        let mut live = LiveChunks::new(runs.clone());
        let mut marker = Marker::new(&reader, &mut live, pulse);
        for snapshot in snapshots {
            marker.add_snapshot(snapshot)?;
        }
        for checkpoint in checkpoints {
            marker.add_checkpoint(checkpoint)?;
        }
        marker.finish()?;
        pulse.beat()?;
        let census = Census::new(&runs, &stored, damaged);
        pulse.beat()?;
        let choice = choose::choose(&census, &mut live, &self.policy.repack)?;
        pulse.beat()?;
        let (orphans, open) = unlisted(&view, &census, &stored);
        let mut tally = tally(&census, &choice, &self.policy.repack);
        tally.snapshots = to_u64(snapshots.len());
        tally.forgotten = to_u64(view.snapshots().len() - snapshots.len());
        (tally.orphaned_packs, tally.orphaned_bytes) = orphans.totals;
        (tally.open_packs, tally.open_bytes) = open.totals;
        let orphans = orphans.packs;
        Ok(Survey { view, roots, reader, live, census, choice, orphans, tally })
    }

    fn repack(
        &mut self,
        survey: &mut Survey,
        session: &CollectSession<'_>,
    ) -> Result<Vec<SegmentRef>, RepoError> {
        let Survey { reader, live, census, choice, .. } = survey;
        let wanted: Vec<usize> = choice.packs_of(Fate::Repacked).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        (self.watch.phase)("copying what is needed of packs with waste");
        let policy = self.policy.repack;
        let pulse = Pulse::of_session(self.watch, session);
        let mut repacker = Repacker::new(reader, session.reference, &policy);
        for pack in wanted {
            pulse.beat()?;
            if choice.fates[pack] != Fate::Repacked {
                continue;
            }
            let known = Known { census, needs: &choice.needs, live };
            match repacker.copy(known, pack) {
                Ok(()) => {}
                Err(error) if error.is_damage() && !crate::repo::history::is_missing(&error) => {
                    let key = census.packs[pack].reference.key().to_string();
                    self.warn(format!("{key}: it is damaged, so nothing of it is copied"));
                    self.summary.damaged.push(key);
                    choice.keep_with_doubles(pack);
                }
                Err(error) => return Err(error),
            }
        }
        repacker.finish()
    }
}

impl Survey {
    /// Whether a collection would change nothing worth its registers.
    fn is_futile(&self) -> bool {
        !is_worth_folding(&self.view, &self.roots)
            && self.orphans.is_empty()
            && self.choice.condemned(&self.census).is_empty()
    }

    fn plan(&self, number: u64) -> Plan {
        let condemned = self.choice.condemned(&self.census).into_iter();
        let condemned = condemned.chain(self.orphans.iter().copied()).map(pack_name);
        let condemned: BTreeSet<PackName> = condemned.collect();
        Plan {
            number,
            condemned: condemned.into_iter().collect(),
            roots: ids(&self.roots.snapshots).into_iter().collect(),
            forgets: self.roots.forgets.iter().copied().collect(),
        }
    }
}

/// What is needed before anything is decided.
struct Roots {
    /// The forgets that are obeyed.
    forgets: BTreeSet<RecordId>,
    /// The snapshots that stay.
    snapshots: Vec<BaseSnapshot>,
    /// The checkpoints that stay.
    checkpoints: Vec<BaseCheckpoint>,
}

impl Roots {
    fn new(view: &View, marks: &Marks) -> Self {
        let mut snapshots = view.snapshots();
        // What keeps a snapshot is not fully known: then nothing is forgotten.
        if marks.keeps_unknown {
            let checkpoints = view.checkpoints(&BTreeSet::new());
            return Self { forgets: BTreeSet::new(), snapshots, checkpoints };
        }
        snapshots.retain(|snapshot| !marks.forgotten().contains(&snapshot.snapshot));
        let checkpoints = view.checkpoints(marks.forgotten_checkpoints());
        Self { forgets: marks.forgets().clone(), snapshots, checkpoints }
    }
}

/// Whether there is anything for a base to take over.
fn is_worth_folding(view: &View, roots: &Roots) -> bool {
    let folds = view.commits.iter().any(|committed| match committed.commit.subject {
        Subject::Snapshot { .. } | Subject::Checkpoint { .. } => true,
        Subject::Maintenance => false,
    });
    let leftovers = view.commits.len() + view.fenced.len();
    folds
        || leftovers >= LEFTOVERS_COUNT_MAX
        || !roots.forgets.is_empty()
        || !view.given_up.is_empty()
}

/// What a survey depends on.
fn considered(
    policy: &choose::RepackPolicy,
    view: &View,
    roots: &Roots,
    stored: &HashMap<PackRef, u64>,
    damaged: &HashSet<PackId>,
) -> Considered {
    let Roots { forgets, snapshots, checkpoints } = roots;
    let segments = view.segments().into_iter().map(SegmentName::from).collect();
    let (snapshots, checkpoints) = (snapshots.clone(), checkpoints.clone());
    let base = Base { number: 0, snapshots, checkpoints, segments };
    let mut considered = Considered::new(policy, base);
    considered.forgets = forgets.iter().copied().collect();
    let decided = view.decided();
    let packs = stored.iter().map(|(pack, length)| {
        (pack_name(*pack), *length, is_closed(view, &decided, &pack.session))
    });
    considered.packs = packs.collect();
    considered.packs.sort_unstable();
    considered.damaged = damaged.iter().copied().collect();
    considered.damaged.sort_unstable();
    considered
}

/// Whether a session can no longer make anything valid.
fn is_closed(view: &View, decided: &HashSet<SessionRef>, session: &SessionRef) -> bool {
    session.epoch < view.epoch_min || decided.contains(session)
}

/// A reader of what these segments list.
///
/// Errors: whatever keeps one of them from being read that is not superseded.
pub(crate) fn reader_of(
    repository: &Repository,
    segments: &BTreeSet<SegmentRef>,
    pulse: Pulse<'_>,
) -> Result<ChunkReader, RepoError> {
    reader_and_lost(repository, segments, pulse).map(|(reader, _lost)| reader)
}

/// As [`reader_of`]; also those of the segments that are lost and that nothing depends on.
pub(crate) fn reader_and_lost(
    repository: &Repository,
    segments: &BTreeSet<SegmentRef>,
    pulse: Pulse<'_>,
) -> Result<(ChunkReader, BTreeSet<SegmentRef>), RepoError> {
    let listed = repository.segment_lengths()?.into_iter().map(|(segment, _length)| segment);
    let listed: BTreeSet<SegmentRef> = listed.collect();
    // This host's cache may still have what is missing; nobody else can read what it lists.
    if segments.is_subset(&listed) {
        let loaded = load_without(repository, segments, &HashSet::new(), 0, &|| pulse.beat())?;
        if loaded.unreadable.is_empty() {
            return Ok((reader(repository, loaded.index), BTreeSet::new()));
        }
    }
    let lost = superseded_of(repository, segments, pulse)?;
    let sound = segments.difference(&lost).copied().collect();
    let loaded = load_without(repository, &sound, &HashSet::new(), 0, &|| pulse.beat())?;
    let LoadedIndex { index, unreadable } = loaded;
    if let Some(at) = unreadable.into_iter().next() {
        return Err(error_of(at));
    }
    Ok((reader(repository, index), lost))
}

fn reader(repository: &Repository, index: Index) -> ChunkReader {
    ChunkReader::new(repository.clone(), Arc::new(index), TREE_CACHE_BYTES)
}

/// Those of these segments that are lost and that nothing depends on.
pub(crate) fn superseded_of(
    repository: &Repository,
    segments: &BTreeSet<SegmentRef>,
    pulse: Pulse<'_>,
) -> Result<BTreeSet<SegmentRef>, RepoError> {
    let history = History::load_readable(repository)?;
    let epoch_min = history.verdict.number;
    superseded(repository, segments, &history.condemned, epoch_min, &|| pulse.beat())
}

/// Packs that no valid segment lists.
#[derive(Default)]
struct Unlisted {
    packs: Vec<PackRef>,
    totals: (u64, u64),
}

/// Packs that no valid segment lists: of closed sessions, and of those that may still commit.
fn unlisted(view: &View, census: &Census, stored: &HashMap<PackRef, u64>) -> (Unlisted, Unlisted) {
    let decided = view.decided();
    let (mut orphans, mut open) = (Unlisted::default(), Unlisted::default());
    for (pack, length) in stored {
        if census.find(pack).is_some() {
            continue;
        }
        let list = if is_closed(view, &decided, &pack.session) { &mut orphans } else { &mut open };
        list.packs.push(*pack);
        list.totals.0 += 1;
        list.totals.1 += length;
    }
    (orphans, open)
}

fn tally(census: &Census, choice: &Choice, policy: &choose::RepackPolicy) -> Tally {
    let mut tally = Tally::default();
    for (number, pack) in census.packs.iter().enumerate() {
        match choice.fates[number] {
            Fate::Absent => {}
            Fate::Dead => {
                tally.dead_packs += 1;
                tally.dead_bytes += pack.length;
            }
            Fate::Double => {
                tally.double_packs += 1;
                tally.double_bytes += pack.length;
            }
            Fate::Kept => {
                let used = choice.use_of(census, number, policy);
                tally.kept_packs += 1;
                tally.live_bytes += used.live;
                tally.tolerated_bytes += used.dead + used.split;
                tally.bound_bytes += used.bound;
            }
            Fate::Repacked => {
                let used = choice.use_of(census, number, policy);
                tally.repacked_packs += 1;
                tally.repacked_bytes += pack.length;
                tally.copied_bytes += used.live + used.bound;
            }
        }
    }
    tally
}

/// A pack as records name it.
pub(crate) fn pack_name(pack: PackRef) -> PackName {
    let PackRef { session, sequence, id } = pack;
    let SessionRef { client, epoch, session } = session;
    PackName { client, epoch, session, sequence, id }
}

/// Outcomes that make nothing new valid, and are worth a collection of their own.
const LEFTOVERS_COUNT_MAX: usize = 64;
const TREE_CACHE_BYTES: usize = 32 * 1_048_576;
