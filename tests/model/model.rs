//! The model: every call to the store is one step, and any process may rest for ever between two of them.

use crate::choice::Partly;
use crate::config::Config;
use crate::config::Forgetting;
use crate::config::Mutation;
use crate::properties;
use crate::pruner;
use crate::reader;
use crate::set::Set;
use crate::state::Outcome;
use crate::state::PrunerStep;
use crate::state::ReaderStep;
use crate::state::State;
use crate::state::WriterStep;
use crate::writer;
use stateright::Model;
use stateright::Property;

/// The protocol within the bounds of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol(pub(crate) Config);

/// One step of one process, or of its surroundings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// A writer goes on.
    Write(usize),
    /// A writer's process ends; another session of the same client begins.
    CrashWriter(usize),
    /// A pruner goes on.
    Prune(usize, PrunerStep),
    /// A pruner chooses, and keeps packs that are dead in part.
    PruneLittle(usize),
    /// A pruner's process ends; another begins.
    CrashPruner(usize),
    /// A pruner fences a session.
    Fence(usize, usize),
    /// The reader goes on, reading this snapshot.
    Read(usize),
    /// The command that keeps the first snapshot goes on.
    Keep,
    /// A snapshot is forgotten.
    Forget(usize),
    /// A request to create a commit arrives for the second time.
    LateCommit(usize),
    /// A request to create a pack arrives for the second time.
    LatePack(usize),
    /// A request to announce a session arrives for the second time.
    LateAnnouncement(usize),
    /// The first pack's bytes turn out to be damaged.
    Damage,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.0.assert_fits();
        vec![State::first(&self.0)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let config = &self.0;
        for index in 0..config.writers {
            if writer::can_step(config, state, index) {
                actions.push(Action::Write(index));
                if config.crashes && state.writers[index].step != WriterStep::ReadEpoch {
                    actions.push(Action::CrashWriter(index));
                }
            }
        }
        for index in 0..config.pruners {
            prunings(config, state, index, actions);
        }
        readings(config, state, actions);
        surroundings(config, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let config = &self.0;
        let mut state = *last;
        match action {
            Action::Write(index) => writer::step(config, &mut state, index),
            Action::CrashWriter(index) => writer::retry(config, &mut state, index),
            Action::Prune(index, _) => pruner::step(config, &mut state, index, Partly::Condemned),
            Action::PruneLittle(index) => pruner::step(config, &mut state, index, Partly::Kept),
            Action::CrashPruner(index) => state.pruners[index].step = PrunerStep::Idle,
            Action::Fence(_, session) => state.sessions[session].outcome = Outcome::Fence,
            Action::Read(snapshot) => reader::read(config, &mut state, snapshot),
            Action::Keep => reader::keep(config, &mut state),
            Action::Forget(snapshot) => state.forgotten |= Set::one(snapshot),
            Action::LateCommit(session) => {
                state.put_commit(config, session);
                state.doubled |= Set::one(session);
            }
            Action::LatePack(pack) => {
                state.stored |= Set::one(pack);
                state.doubled_packs |= Set::one(pack);
            }
            Action::LateAnnouncement(session) => {
                state.announced |= Set::one(session);
                state.doubled_announcements |= Set::one(session);
            }
            Action::Damage => state.damaged |= Set::one(0),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

fn prunings(config: &Config, state: &State, index: usize, actions: &mut Vec<Action>) {
    let step = state.pruners[index].step;
    if pruner::can_step(config, state, index) {
        actions.push(Action::Prune(index, step));
        if config.partly_dead && step == PrunerStep::Choose {
            actions.push(Action::PruneLittle(index));
        }
    }
    if !config.breaks(Mutation::TimeoutInsteadOfFence) {
        let open = pruner::open(state, index);
        actions.extend(open.iter().map(|session| Action::Fence(index, session)));
    }
    if config.crashes && step != PrunerStep::Idle {
        actions.push(Action::CrashPruner(index));
    }
}

fn readings(config: &Config, state: &State, actions: &mut Vec<Action>) {
    if !reader::can_read(config, state) {
        return;
    }
    if state.reader.step == ReaderStep::ListOutcomes {
        let live = state.live(config, usize::from(state.reader.base));
        actions.extend(live.iter().map(Action::Read));
    } else {
        actions.push(Action::Read(usize::from(state.reader.snapshot)));
    }
}

fn surroundings(config: &Config, state: &State, actions: &mut Vec<Action>) {
    if reader::can_keep(config, state) {
        actions.push(Action::Keep);
    }
    let live = match config.forget {
        Forgetting::First => Set::one(0),
        Forgetting::Any => state.live(config, state.newest_verdict()),
    };
    actions.extend((live - state.forgotten).iter().map(Action::Forget));
    if config.heal && state.stored.has(0) && state.damaged.is_empty() {
        actions.push(Action::Damage);
    }
    if config.late_objects {
        let packs = state.created - state.stored - state.doubled_packs;
        actions.extend(packs.iter().map(Action::LatePack));
        let sessions = state.began - state.announced - state.doubled_announcements;
        actions.extend(sessions.iter().map(Action::LateAnnouncement));
    }
    if config.late_commits {
        let late = state.requested - state.doubled;
        let late = late.only(|session| state.sessions[session].outcome == Outcome::Absent);
        actions.extend(late.iter().map(Action::LateCommit));
    }
}
