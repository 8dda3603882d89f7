//! Whose turn it is: threads that each play an actor, of which the seed lets one run at a time.
//! Invariant: between two calls to the store only one actor computes, so that a run repeats.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use sbf_repo::testing::SplitMix;
use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::Mutex;
use std::time::Duration;

/// Hands out turns.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    moved: Condvar,
}

/// The process that asked has ended: its call must fail.
#[derive(Debug)]
pub(crate) struct Ended;

#[derive(Debug)]
struct State {
    random: SplitMix,
    actors: Vec<Actor>,
    /// Who computes, or is within a call.
    current: Option<usize>,
    granted: Option<Ticket>,
    /// Whether the granted call has not returned.
    is_inside: bool,
    tickets_count: u64,
}

#[derive(Debug, Default)]
struct Actor {
    waiting: VecDeque<Ticket>,
    has_ended: bool,
    /// How often it is chosen; actors with little weight are slow.
    weight: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket {
    number: u64,
    process: u64,
}

impl Turns {
    /// Turns for so many actors; none runs before all have asked.
    pub(crate) fn new(seed: u64, actors_count: usize) -> Self {
        let mut random = SplitMix::new(seed);
        let mut actors: Vec<Actor> = Vec::new();
        actors.resize_with(actors_count, Actor::default);
        for actor in &mut actors {
            actor.weight = drawn_weight(&mut random);
        }
        let state = State {
            random,
            actors,
            current: None,
            granted: None,
            is_inside: false,
            tickets_count: 0,
        };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// Lets others go on, and comes back when it is this actor's turn.
    pub(crate) fn pass(&self, actor: usize) {
        // No process has this number: nobody ends it.
        let taken = self.take(actor, u64::MAX);
        taken.unwrap();
        self.end_call(actor);
    }

    /// Waits for a turn of an actor, for a thread of one of its processes.
    pub(crate) fn take(&self, actor: usize, process: u64) -> Result<(), Ended> {
        let mut state = self.state.lock().unwrap();
        state.tickets_count += 1;
        let ticket = Ticket { number: state.tickets_count, process };
        state.actors[actor].waiting.push_back(ticket);
        if state.current == Some(actor) && !state.is_inside && state.granted.is_none() {
            state.current = None;
        }
        state.choose();
        self.moved.notify_all();
        while state.granted != Some(ticket) {
            if !state.is_known(actor, ticket) {
                return Err(Ended);
            }
            let (again, waited) = self.moved.wait_timeout(state, STANDSTILL).unwrap();
            state = again;
            assert!(!waited.timed_out(), "the run stands still: {state:?}");
        }
        state.granted = None;
        state.is_inside = true;
        Ok(())
    }

    /// Ends the call that a turn was taken for; the actor computes on until its next one.
    pub(crate) fn end_call(&self, actor: usize) {
        let mut state = self.state.lock().unwrap();
        state.is_inside = false;
        // Another of its threads may be what this one waits for.
        if !state.actors[actor].waiting.is_empty() {
            state.current = None;
            state.choose();
        }
        self.moved.notify_all();
    }

    /// Lets the calls of a process fail that still wait: nobody is left to see their answers.
    pub(crate) fn end_process(&self, actor: usize, process: u64) {
        let mut state = self.state.lock().unwrap();
        while state.is_inside && state.current == Some(actor) {
            state = self.moved.wait(state).unwrap();
        }
        state.actors[actor].waiting.retain(|ticket| ticket.process != process);
        if state.granted.is_some_and(|ticket| ticket.process == process) {
            state.granted = None;
        }
        self.moved.notify_all();
    }

    /// The actor has nothing left to do.
    pub(crate) fn end_actor(&self, actor: usize) {
        let mut state = self.state.lock().unwrap();
        state.actors[actor].has_ended = true;
        if state.current == Some(actor) {
            state.current = None;
        }
        state.choose();
        self.moved.notify_all();
    }
}

impl State {
    fn is_known(&self, actor: usize, ticket: Ticket) -> bool {
        self.granted == Some(ticket) || self.actors[actor].waiting.contains(&ticket)
    }

    /// Chooses who is next, once nobody computes.
    fn choose(&mut self) {
        let is_ready = |actor: &Actor| actor.has_ended || !actor.waiting.is_empty();
        if self.current.is_some() || !self.actors.iter().all(is_ready) {
            return;
        }
        if self.random.below(WEIGHTS_EVERY) == 0 {
            for actor in &mut self.actors {
                actor.weight = drawn_weight(&mut self.random);
            }
        }
        let weights = |actor: &Actor| if actor.has_ended { 0 } else { actor.weight };
        let total: u64 = self.actors.iter().map(weights).sum();
        let mut drawn = self.random.below(total);
        for (number, actor) in self.actors.iter_mut().enumerate() {
            let weight = weights(actor);
            if drawn < weight {
                self.current = Some(number);
                self.granted = actor.waiting.pop_front();
                return;
            }
            drawn -= weight;
        }
    }
}

/// Most run, some crawl, and now and then one runs alone for a while.
fn drawn_weight(random: &mut SplitMix) -> u64 {
    match random.below(8) {
        0 => 1,
        1..=5 => 20,
        6 => 100,
        _ => 2_000,
    }
}

/// Turns for which weights stay about the same.
const WEIGHTS_EVERY: u64 = 60;
const STANDSTILL: Duration = Duration::from_mins(2);
