//! The store that all actors share, and the network before it: faults, late and doubled changes.
//! Invariant: whatever it does is drawn from the seed, by whoever has the turn.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::simulator::turns::Turns;
use crate::simulator::weather::Lie;
use crate::simulator::weather::Weather;
use sbf_repo::key::ObjectKey;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::Listed;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store as _;
use sbf_repo::testing::StoreError;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::UNIX_EPOCH;

/// What all processes share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) turns: Turns,
    pub(crate) store: MemoryStore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: SplitMix,
    weather: Weather,
    delayed: Vec<Change>,
    trace: Vec<String>,
    wrongs: Vec<String>,
    /// Who first asked for an object to be created, by key.
    creators: BTreeMap<ObjectKey, u64>,
    deleted: BTreeSet<ObjectKey>,
    /// The bodies of registers that were seen.
    registers: BTreeMap<ObjectKey, Arc<[u8]>>,
    is_calm: bool,
}

/// A create with its body, or a delete.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: ObjectKey,
    pub(crate) body: Option<Vec<u8>>,
}

/// What was drawn for one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drawn {
    pub(crate) fault: Option<Fault>,
    /// The clock of the process jumps to this, in seconds since 1970.
    pub(crate) clock: Option<i64>,
}

impl World {
    /// A world that begins with the objects of `store`.
    pub(crate) fn new(store: MemoryStore, seed: u64, weather: Weather, actors: usize) -> Self {
        let mut random = SplitMix::new(seed);
        let turns = Turns::new(random.below(u64::MAX), actors);
        let state = State {
            random,
            weather,
            delayed: Vec::new(),
            trace: Vec::new(),
            wrongs: Vec::new(),
            creators: BTreeMap::new(),
            deleted: BTreeSet::new(),
            registers: BTreeMap::new(),
            is_calm: false,
        };
        store.set_clock(Some(UNIX_EPOCH + Duration::from_secs(CLOCK_START)));
        Self { turns, store, state: Mutex::new(state) }
    }

    /// Draws what happens before and with a call.
    pub(crate) fn draw(&self, call: Call) -> Drawn {
        let mut state = self.state.lock().unwrap();
        if state.is_calm {
            return Drawn::default();
        }
        let weather = state.weather;
        if state.random.below(10_000) < weather.landing && !state.delayed.is_empty() {
            self.land_one(&mut state);
        }
        if state.random.below(10_000) < weather.clock_jump {
            let seconds = jumped(&mut state.random);
            self.store.set_clock(Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        }
        let jumps = state.random.below(10_000) < weather.clock_jump;
        let clock = jumps.then(|| i64::try_from(jumped(&mut state.random)).unwrap());
        let fault = weather.draw(&mut state.random, call);
        Drawn { fault, clock }
    }

    /// Makes a change at once.
    pub(crate) fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap();
        self.apply_in(&mut state, change)
    }

    fn apply_in(&self, state: &mut State, change: &Change) -> Result<(), StoreError> {
        let Change { key, body } = change;
        let Some(body) = body else {
            if is_register(key) {
                state.wrongs.push(format!("register {key} is deleted"));
            }
            if self.store.length(key).is_ok() {
                state.deleted.insert(key.clone());
            }
            return self.store.delete(key);
        };
        match state.weather.lie {
            Some(Lie::TwoWinners) if !state.is_calm => {
                self.store.replace(key, body);
                return Ok(());
            }
            Some(Lie::LostPack) if key.is_under("packs") && state.random.below(8) == 0 => {
                return Ok(());
            }
            _ => {}
        }
        self.store.create(key, body)?;
        if is_register(key) {
            let body: Arc<[u8]> = body.as_slice().into();
            let first = state.registers.entry(key.clone()).or_insert_with(|| Arc::clone(&body));
            if *first != body {
                state.wrongs.push(format!("register {key} was decided twice"));
            }
        }
        Ok(())
    }

    /// Notes that a process asks for an object to be created.
    pub(crate) fn note_create(&self, key: &ObjectKey, process: u64) {
        let mut state = self.state.lock().unwrap();
        let creator = *state.creators.entry(key.clone()).or_insert(process);
        let is_once = ["packs", "index", "gc"].iter().any(|folder| key.is_under(folder));
        if is_once && state.deleted.contains(key) && creator != process {
            state.wrongs.push(format!("process {process} creates {key} again after its delete"));
        }
    }

    /// Lets a change land later, if ever.
    pub(crate) fn delay(&self, change: Change) {
        self.state.lock().unwrap().delayed.push(change);
    }

    fn land_one(&self, state: &mut State) {
        let count = u64::try_from(state.delayed.len()).unwrap();
        let index = usize::try_from(state.random.below(count)).unwrap();
        let change = state.delayed.swap_remove(index);
        let landed = self.apply_in(state, &change).is_ok();
        let what = if change.body.is_some() { "create" } else { "delete" };
        state.trace.push(format!("  lands late ({landed}): {what} {}", change.key));
    }

    /// Lets everything land that is delayed, in any order.
    pub(crate) fn land_all(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.delayed.is_empty() {
            self.land_one(&mut state);
        }
    }

    /// A listing; a lying store leaves something out.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.store.list(prefix)?;
        let mut state = self.state.lock().unwrap();
        let lie = state.weather.lie;
        match lie {
            Some(Lie::HiddenSessions) if prefix == "sessions" => listed.clear(),
            Some(Lie::HiddenPlans) if prefix == "gc" && state.random.below(2) == 0 => {
                listed.retain(|listed| !listed.key.as_str().ends_with("/plan"));
            }
            _ => {}
        }
        Ok(listed)
    }

    /// From here on nothing goes wrong.
    pub(crate) fn calm_down(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_calm = true;
        state.weather.lie = None;
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, line: String) {
        self.state.lock().unwrap().trace.push(line);
    }

    /// Notes what must never be.
    pub(crate) fn wrong(&self, line: String) {
        let mut state = self.state.lock().unwrap();
        state.trace.push(format!("WRONG: {line}"));
        state.wrongs.push(line);
    }

    /// What was wrong so far.
    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.state.lock().unwrap().wrongs.clone()
    }

    /// Everything that happened, in order.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.state.lock().unwrap().trace.clone()
    }
}

/// Plans, verdicts and dones.
fn is_register(key: &ObjectKey) -> bool {
    let name = key.as_str();
    key.is_under("gc") && ["/plan", "/verdict", "/done"].iter().any(|step| name.ends_with(step))
}

/// Ten years back or forth.
fn jumped(random: &mut SplitMix) -> u64 {
    CLOCK_START - TEN_YEARS + random.below(2 * TEN_YEARS)
}

/// What every clock says first.
pub(crate) const CLOCK_START: u64 = 1_700_000_000;
const TEN_YEARS: u64 = 10 * 365 * 86_400;
