//! The machine of collections: the newest registers say which step is next, whoever took the last.
//! Spec: format-spec/09-session.md, "Order in a collection".

use crate::format::layout::SessionRef;
use crate::key::ObjectKey;
use crate::repo::decision::stray_in_the_way;
use crate::repo::error::RepoError;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::chain::Step;
use crate::repo::gc::choose::RepackPolicy;
use crate::repo::gc::drain::Drained;
use crate::repo::gc::give_up::GivenUp;
use crate::repo::gc::maintenance::Maintenance;
use crate::repo::gc::session::close_dead_collections;
use crate::repo::gc::start::Started;
use crate::repo::gc::start::Tally;
use crate::repo::locks::OldVersions;
use crate::repo::repository::Repository;
use std::time::Duration;

/// Advances collections as far as they go.
pub(crate) struct Collector<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) maintenance: Maintenance<'a>,
    pub(crate) policy: Policy,
    pub(crate) watch: Watch<'a>,
    pub(crate) summary: Summary,
    pub(crate) given_up: GivenUp,
}

/// How collections go about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) fence: FenceAfter,
    pub(crate) repack: RepackPolicy,
}

/// When a session without outcome is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FenceAfter {
    /// When it has stored nothing for so long, by the store's clock.
    Idle(Duration),
    /// At once.
    Now,
}

/// How a collection tells what it does, and how it is asked to stop.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    pub(crate) phase: &'a (dyn Fn(&'static str) + Sync),
    pub(crate) warn: &'a (dyn Fn(&str) + Sync),
    pub(crate) is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    /// Collections that were finished.
    pub(crate) collections: Vec<u64>,
    /// What the plan of this process decided, if it made one.
    pub(crate) tally: Option<Tally>,
    /// Packs that were condemned and that new snapshots need.
    pub(crate) rescued: u64,
    /// Packs that were deleted.
    pub(crate) removed: u64,
    /// Their bytes.
    pub(crate) removed_bytes: u64,
    /// Snapshots whose forgets were carried out.
    pub(crate) forgotten: u64,
    /// Sessions that were given up.
    pub(crate) fenced: Vec<SessionRef>,
    /// Packs that could not be copied because they are damaged.
    pub(crate) damaged: Vec<String>,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
    /// Records of what was deleted, in the order in which they were stored.
    pub(crate) certificates: Vec<ObjectKey>,
    /// What the store keeps of what was deleted, as of the last collection that deleted something.
    pub(crate) old_versions: Option<OldVersions>,
}

/// How far a run got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything that could be deleted is.
    Done,
    /// There was nothing to do.
    Nothing,
    /// These sessions may still commit what uses condemned packs.
    Waiting(Vec<OpenSession>),
}

/// A session that a collection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenSession {
    pub(crate) session: SessionRef,
    /// How long it has stored nothing, by the store's clock, if that says.
    pub(crate) idle: Option<Duration>,
}

impl<'a> Collector<'a> {
    /// A collector with the keys of the slot in use.
    ///
    /// Errors: [`RepoError::RoleLacks`] without the maintenance key; [`RepoError::Feature`].
    pub(crate) fn new(
        repository: &'a Repository,
        policy: Policy,
        watch: Watch<'a>,
    ) -> Result<Self, RepoError> {
        let maintenance = Maintenance::new(repository)?;
        let (summary, given_up) = (Summary::default(), GivenUp::default());
        Ok(Self { repository, maintenance, policy, watch, summary, given_up })
    }

    /// Goes on without these objects from now on; registers that no collection left are deleted.
    ///
    /// Errors: [`RepoError::NotGivenUp`] if one of them must not be; then all of them stay.
    pub(crate) fn give_up(&mut self, keys: &[ObjectKey]) -> Result<(), RepoError> {
        self.repository.check_prunable()?;
        self.given_up = GivenUp::new(self.repository, keys)?;
        self.given_up.remove_strays(self.repository)
    }

    /// Finishes the collection that runs, if one does, then makes one of its own.
    pub(crate) fn run(&mut self) -> Result<Ended, RepoError> {
        self.repository.check_prunable()?;
        // Leftovers of crashes take space and harm nobody: whether they go is not decisive.
        let _ignored = self.repository.store.sweep();
        close_dead_collections(self.repository)?;
        let mut has_started = false;
        for _step in 0..STEPS_COUNT_MAX {
            let chain = GcChain::load(self.repository)?;
            let ended = self.step(chain, &mut has_started);
            match ended {
                Ok(None) => {}
                Ok(Some(ended)) => return Ok(ended),
                // Another process went on meanwhile: what it deleted was looked for here.
                Err(error) if error.is_damage() && self.has_moved(chain)? => {}
                Err(error) => return Err(error),
            }
        }
        Err(RepoError::Unsettled { attempts: STEPS_COUNT_MAX })
    }

    /// Takes collection `number` to its verdict, unless a session must be waited for.
    pub(crate) fn run_to_verdict(&mut self, number: u64) -> Result<(), RepoError> {
        self.repository.check_prunable()?;
        for _step in 0..STEPS_COUNT_MAX {
            self.check_cancelled()?;
            let chain = GcChain::load(self.repository)?;
            self.check_stray(chain)?;
            if chain.step() != Step::Drain(number) {
                return Ok(());
            }
            match self.drain(chain, number) {
                Ok(Drained::Waiting(_open)) => return Ok(()),
                Ok(Drained::Moved) => {}
                // Another process went on meanwhile: what it deleted was looked for here.
                Err(error) if error.is_damage() && self.has_moved(chain)? => {}
                Err(error) => return Err(error),
            }
        }
        Err(RepoError::Unsettled { attempts: STEPS_COUNT_MAX })
    }

    fn step(&mut self, chain: GcChain, has_started: &mut bool) -> Result<Option<Ended>, RepoError> {
        self.check_cancelled()?;
        self.check_stray(chain)?;
        match chain.step() {
            Step::Start(_) if *has_started => return Ok(Some(Ended::Done)),
            Step::Start(number) => match self.start(chain, number)? {
                Started::Nothing => return Ok(Some(Ended::Nothing)),
                Started::Planned => *has_started = true,
                Started::Moved => {}
            },
            Step::Drain(number) => {
                (self.watch.phase)("waiting for sessions");
                if let Drained::Waiting(open) = self.drain(chain, number)? {
                    return Ok(Some(Ended::Waiting(open)));
                }
            }
            Step::Sweep(number) => {
                (self.watch.phase)("deleting");
                self.sweep(number)?;
                self.summary.collections.push(number);
            }
        }
        Ok(None)
    }

    /// Tells a person something, at once and in the summary.
    pub(crate) fn warn(&mut self, text: String) {
        (self.watch.warn)(&text);
        self.summary.warnings.push(text);
    }

    /// Refuses to go on from a register that no collection can have left, unless a verdict that can
    /// be read has the last word.
    pub(crate) fn check_stray(&self, chain: GcChain) -> Result<(), RepoError> {
        if chain.stray.is_none() {
            return Ok(());
        }
        let stray = stray_in_the_way(self.repository)?;
        stray.map_or(Ok(()), |stray| Err(stray.error()))
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), RepoError> {
        if (self.watch.is_cancelled)() { Err(RepoError::Interrupted) } else { Ok(()) }
    }

    fn has_moved(&self, chain: GcChain) -> Result<bool, RepoError> {
        Ok(GcChain::load(self.repository)? != chain)
    }
}

/// Steps that may be needed: one that runs, one of its own, and those of others that come between.
const STEPS_COUNT_MAX: u32 = 64;
