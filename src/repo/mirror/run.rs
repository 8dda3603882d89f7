//! One run of a mirror: step by step, again if a collection moved the source meanwhile.
//! Spec: format-spec/15-mirror.md, "What is copied".

use crate::format::gc::Step;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::mirror::copier::Compare;
use crate::repo::mirror::copier::Copier;
use crate::repo::mirror::copier::FlawKind;
use crate::repo::mirror::copier::Tally;
use crate::repo::mirror::copier::Watch;
use crate::repo::mirror::deletes::StaleSlots;
use crate::repo::mirror::part::Part;
use crate::repo::mirror::part::Stage;
use crate::repo::mirror::place::note_complete;
use crate::repo::mirror::survey::Survey;
use crate::repo::mirror::survey::Task;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use std::sync::Mutex;
use std::sync::PoisonError;

/// How to mirror.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) compare: Compare,
    pub(crate) slots: StaleSlots,
    pub(crate) threads: usize,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) tally: Tally,
    /// Snapshots that the source had.
    pub(crate) snapshots: u64,
    /// The state that is copied was that of this time.
    pub(crate) time: i64,
}

/// Brings a mirror up to its source.
///
/// Errors: [`crate::MirrorError::WentBack`] and [`crate::MirrorError::TwoBodies`] before anything is copied; what
/// either store says.
pub(crate) fn run(
    source: &Repository,
    place: &Repository,
    order: Order,
    watch: &Watch<'_>,
) -> Result<Summary, RepoError> {
    let mut before = Tally::default();
    for _attempt in 0..ATTEMPTS_COUNT_MAX {
        let survey = Survey::take(source, place)?;
        survey.check_not_behind(&place.location())?;
        let Order { compare, slots, threads } = order;
        let tally = Mutex::new(std::mem::take(&mut before));
        let copier = Copier { survey: &survey, place, compare, threads, watch, tally };
        let moved = copier.bring_up(slots)? == Ended::Moved;
        let mut tally = copier.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        if moved {
            // They are found again, if they are still there.
            tally.flaws.clear();
            before = tally;
            continue;
        }
        tally.flaws.sort_by(|left, right| left.key.cmp(&right.key));
        let Survey { time, receipts, history, .. } = survey;
        note_complete(source, place, time, receipts)?;
        let snapshots = to_u64(history.snapshots.len());
        return Ok(Summary { tally, snapshots, time });
    }
    Err(RepoError::Unsettled { attempts: ATTEMPTS_COUNT_MAX })
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Done,
    /// Objects went because a collection ended meanwhile.
    Moved,
}

impl Copier<'_> {
    fn bring_up(&self, slots: StaleSlots) -> Result<Ended, RepoError> {
        // First of all: two bodies of one key end everything.
        let compared = |task: &&Task| self.is_there(task) && !task.part.is_named_by_hash();
        let both: Vec<&Task> = self.survey.tasks.iter().filter(compared).collect();
        self.copy_stage("comparing", &both)?;
        for stage in Stage::BEFORE_REGISTERS {
            // An outcome must not be seen without what it relies on.
            if stage == Stage::Outcomes && self.has_moved()? {
                return Ok(Ended::Moved);
            }
            let tasks = self.survey.tasks_of(stage).filter(|task| !compared(task));
            self.copy_stage(stage.words(), &tasks.collect::<Vec<_>>())?;
        }
        if self.has_moved()? {
            return Ok(Ended::Moved);
        }
        self.copy_registers(slots)?;
        self.note_unreadable();
        Ok(if self.has_moved()? { Ended::Moved } else { Ended::Done })
    }

    /// The newest verdict first, whose base is there: those before may have none any more. What it
    /// ended is ended here, too, before its end is copied.
    fn copy_registers(&self, slots: StaleSlots) -> Result<(), RepoError> {
        let newest = self.survey.chain.verdict;
        let of = |wanted: Part| {
            let missing =
                self.survey.tasks_of(Stage::Registers).filter(|task| !self.is_there(task));
            missing.filter(move |task| task.part == wanted).collect::<Vec<_>>()
        };
        let verdict = Part::Register(newest, Step::Verdict);
        let done = Part::Register(newest, Step::Done);
        let mut others: Vec<&Task> = self.survey.tasks_of(Stage::Registers).collect();
        others.retain(|task| !self.is_there(task) && task.part != verdict && task.part != done);
        others.sort_by_key(|task| {
            task.part.register().map(|(number, step)| (number, step_order(step)))
        });
        (self.watch.begin)(Stage::Registers.words(), to_u64(others.len()), 0);
        self.copy_all(&of(verdict))?;
        for register in others {
            self.copy_all(&[register])?;
        }
        if self.survey.is_decided() && self.has_verdict(newest)? {
            self.sweep(slots)?;
            self.copy_all(&of(done))?;
        }
        Ok(())
    }

    /// Whether the mirror goes by the newest verdict of the source.
    fn has_verdict(&self, newest: u64) -> Result<bool, RepoError> {
        if newest == 0 {
            return Ok(true);
        }
        let key = layout::gc_key(newest, GcObject::Verdict);
        let there = self.place.store.length(&key).map(|_length| true);
        match there.map_err(RepoError::from) {
            Err(error) if error.is_damage() => Ok(false),
            there => there,
        }
    }

    /// Notes what keeps the source from being read as a whole, and was not looked at so far.
    fn note_unreadable(&self) {
        for at in &self.survey.history.unreadable {
            if self.tally().flaws.iter().any(|flaw| flaw.key == at.key) {
                continue;
            }
            let is_mirrored = self.survey.mirrored.contains_key(&at.key);
            let kind = if is_mirrored { FlawKind::SourceDamaged } else { FlawKind::NotCopied };
            self.flaw(&at.key, kind, None);
        }
    }

    fn copy_stage(&self, words: &'static str, tasks: &[&Task]) -> Result<(), RepoError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let bytes = tasks.iter().map(|task| task.length).sum();
        (self.watch.begin)(words, to_u64(tasks.len()), bytes);
        self.copy_all(tasks)
    }

    fn is_there(&self, task: &Task) -> bool {
        self.survey.mirrored.contains_key(&task.key)
    }

    /// Whether something vanished because a collection ended; what vanished otherwise is noted.
    fn has_moved(&self) -> Result<bool, RepoError> {
        let vanished = std::mem::take(&mut self.tally().vanished);
        if vanished.is_empty() {
            return Ok(false);
        }
        if Chain::load(&self.survey.source)? != self.survey.chain {
            return Ok(true);
        }
        for key in vanished {
            self.flaw(&key, FlawKind::NotCopied, None);
        }
        Ok(false)
    }
}

const fn step_order(step: Step) -> u8 {
    match step {
        Step::Plan => 0,
        Step::Verdict => 1,
        Step::Done => 2,
    }
}

/// How many collections may end while a mirror is brought up.
const ATTEMPTS_COUNT_MAX: u32 = 64;
