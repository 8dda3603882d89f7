//! A pruner: plan, drain, verdict, deletes. It keeps nothing: any pruner may take any step. Pages: format-spec/11-gc.md
//! and the order in 09-session.md. What a plan condemns is in `choice.rs`, what a verdict keeps in `decision.rs`.

use crate::choice::Partly;
use crate::choice::choose;
use crate::config::Config;
use crate::config::Mutation;
use crate::decision::decide;
use crate::set::Set;
use crate::state::Collection;
use crate::state::FIRST_FREE;
use crate::state::Outcome;
use crate::state::Pruner;
use crate::state::PrunerStep;
use crate::state::SLOTS;
use crate::state::State;
use crate::state::Subject;
use crate::state::small;

/// Whether the pruner has a step to take: one that waits for open sessions has not.
pub(crate) fn can_step(config: &Config, state: &State, index: usize) -> bool {
    let pruner = &state.pruners[index];
    match pruner.step {
        PrunerStep::Idle => next_task(config, state, pruner).is_some(),
        PrunerStep::Drain => {
            config.breaks(Mutation::TimeoutInsteadOfFence) || open(state, index).is_empty()
        }
        PrunerStep::Announce
        | PrunerStep::ListClosed
        | PrunerStep::ReadBase
        | PrunerStep::Choose
        | PrunerStep::Repack
        | PrunerStep::CommitOwn
        | PrunerStep::CreatePlan
        | PrunerStep::ListRoster
        | PrunerStep::Decide
        | PrunerStep::CreateVerdict
        | PrunerStep::DeletePacks
        | PrunerStep::DeleteOutcomes
        | PrunerStep::DeleteSessions
        | PrunerStep::CreateDone => true,
    }
}

/// The sessions of its roster that a pruner in `Drain` may fence, each at any moment: no clock decides.
pub(crate) fn open(state: &State, index: usize) -> Set {
    let pruner = &state.pruners[index];
    if pruner.step != PrunerStep::Drain {
        return Set::EMPTY;
    }
    pruner.roster.only(|number| state.sessions[number].outcome == Outcome::Absent)
}

/// Takes the pruner's next step.
pub(crate) fn step(config: &Config, state: &mut State, index: usize, partly: Partly) {
    let pruner = state.pruners[index];
    let number = usize::from(pruner.number);
    let session = usize::from(pruner.session);
    let next = match pruner.step {
        PrunerStep::Idle => return begin(config, state, index),
        PrunerStep::Announce => {
            state.announce(session, pruner.number - 1);
            PrunerStep::ListClosed
        }
        PrunerStep::ListClosed => {
            state.pruners[index].closed = closed(state);
            PrunerStep::ReadBase
        }
        PrunerStep::ReadBase => read_base(config, state, index),
        PrunerStep::Choose => choose(config, state, index, partly),
        PrunerStep::Repack => {
            state.packs[session] = pruner.copied;
            state.put_pack(session);
            PrunerStep::CommitOwn
        }
        PrunerStep::CommitOwn => commit_own(state, &pruner),
        PrunerStep::CreatePlan => create_plan(state, &pruner),
        PrunerStep::ListRoster => {
            state.pruners[index].roster =
                state.announced.only(|other| usize::from(state.sessions[other].epoch) < number);
            PrunerStep::Drain
        }
        PrunerStep::Drain => PrunerStep::Decide,
        PrunerStep::Decide => {
            state.pruners[index].draft = decide(config, state, &pruner);
            PrunerStep::CreateVerdict
        }
        PrunerStep::CreateVerdict => create_verdict(config, state, index),
        PrunerStep::DeletePacks => match (pruner.draft.removed & state.stored).first() {
            Some(pack) => {
                state.stored -= Set::one(pack);
                state.damaged -= Set::one(pack);
                PrunerStep::DeletePacks
            }
            None => PrunerStep::DeleteOutcomes,
        },
        PrunerStep::DeleteOutcomes => {
            for old in old_sessions(state, number).iter() {
                state.sessions[old].outcome = Outcome::Absent;
            }
            PrunerStep::DeleteSessions
        }
        PrunerStep::DeleteSessions => {
            state.announced -= old_sessions(state, number);
            PrunerStep::CreateDone
        }
        PrunerStep::CreateDone => {
            state.collections[number].done = true;
            PrunerStep::Idle
        }
    };
    state.pruners[index].step = next;
}

/// What there is to do for a pruner that begins.
fn next_task(config: &Config, state: &State, pruner: &Pruner) -> Option<(PrunerStep, usize)> {
    let newest = state.newest_plan();
    let collection = &state.collections[newest];
    if collection.verdicts == 0 {
        return Some((PrunerStep::ListRoster, newest));
    }
    if !collection.done {
        return Some((PrunerStep::DeletePacks, newest));
    }
    let may_start = newest < config.generations && usize::from(pruner.tries) < config.starts;
    may_start.then_some((PrunerStep::Announce, newest + 1))
}

fn begin(config: &Config, state: &mut State, index: usize) {
    let old = state.pruners[index];
    let Some((step, number)) = next_task(config, state, &old) else { return };
    let mut pruner = Pruner { tries: old.tries, step, number: small(number), ..Pruner::default() };
    if step == PrunerStep::Announce {
        pruner.session = small(config.pruner_session(index, usize::from(old.tries)));
        pruner.tries += 1;
    } else {
        pruner.draft = state.collections[number];
    }
    state.pruners[index] = pruner;
}

fn closed(state: &State) -> Set {
    let mut all = Set::EMPTY;
    for (number, session) in state.sessions.iter().enumerate() {
        if number < FIRST_FREE || session.outcome != Outcome::Absent {
            all |= Set::one(number);
        }
    }
    all
}

/// Reads base, outcomes, forgets and undos. Anything that changes afterwards is in the roster.
fn read_base(config: &Config, state: &mut State, index: usize) -> PrunerStep {
    let base = state.newest_verdict();
    if base + 1 != usize::from(state.pruners[index].number) {
        return PrunerStep::Idle;
    }
    let checkpoints = if config.breaks(Mutation::CheckpointIgnored) {
        Set::EMPTY
    } else {
        state.checkpoints(config, base)
    };
    let draft = Collection {
        roots: state.live(config, base) | checkpoints,
        segments: state.valid(config, base),
        forgets: state.forgotten - state.undone,
        ..Collection::default()
    };
    let undone = state.undone;
    state.pruners[index] = Pruner { undone, draft, ..state.pruners[index] };
    PrunerStep::Choose
}

fn commit_own(state: &mut State, pruner: &Pruner) -> PrunerStep {
    let number = usize::from(pruner.session);
    let session = &mut state.sessions[number];
    if session.outcome != Outcome::Absent {
        return PrunerStep::Idle;
    }
    session.outcome = Outcome::Commit;
    session.subject = Subject::Maintenance;
    session.segments =
        if pruner.copied.chunks().is_empty() { Set::EMPTY } else { Set::one(number) };
    let nothing = pruner.draft.condemned.is_empty();
    if nothing { PrunerStep::Idle } else { PrunerStep::CreatePlan }
}

fn create_plan(state: &mut State, pruner: &Pruner) -> PrunerStep {
    let plan = &mut state.collections[usize::from(pruner.number)];
    if plan.plans > 0 {
        // Lost: the winner's plan is helped on.
        return PrunerStep::Idle;
    }
    let Collection { condemned, roots, forgets, .. } = pruner.draft;
    *plan = Collection { plans: 1, condemned, roots, forgets, ..*plan };
    PrunerStep::ListRoster
}

fn create_verdict(config: &Config, state: &mut State, index: usize) -> PrunerStep {
    let pruner = state.pruners[index];
    let verdict = &mut state.collections[usize::from(pruner.number)];
    if verdict.verdicts > 0 && !config.breaks(Mutation::VerdictOverwritable) {
        return PrunerStep::Idle;
    }
    let Collection { removed, snapshots, checkpoints, segments, .. } = pruner.draft;
    let verdicts = verdict.verdicts + 1;
    *verdict = Collection { verdicts, removed, snapshots, checkpoints, segments, ..*verdict };
    PrunerStep::DeletePacks
}

fn old_sessions(state: &State, number: usize) -> Set {
    let old = |session: usize| {
        (FIRST_FREE..SLOTS).contains(&session)
            && usize::from(state.sessions[session].epoch) < number
    };
    state.announced.only(old)
}
