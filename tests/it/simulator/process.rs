//! A process of an actor: the store as it sees it, its clock and its randomness.
//! Invariant: after its end, or its crash, every call fails and changes nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::simulator::world::CLOCK_START;
use crate::simulator::world::Change;
use crate::simulator::world::World;
use sbf_repo::Environment;
use sbf_repo::StoreErrorKind;
use sbf_repo::format::layout::PackRef;
use sbf_repo::key::ObjectKey;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::InjectedFault;
use sbf_repo::testing::Listed;
use sbf_repo::testing::Operation;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use sbf_repo::testing::StoreError;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::ThreadId;
use std::time::Duration;

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    world: Arc<World>,
    actor: usize,
    number: u64,
    is_dead: AtomicBool,
    injected: AtomicU64,
    calls: AtomicU64,
    seconds: AtomicI64,
    /// Of the thread that began it, and of those that it starts.
    random: Mutex<[SplitMix; 2]>,
    thread: ThreadId,
    /// Packs of each session that were sent, so that threads send them in order.
    sent: Mutex<HashMap<String, u32>>,
    sent_more: Condvar,
}

/// The store as a process sees it.
#[derive(Debug)]
pub(crate) struct View(pub(crate) Arc<Process>);

/// The clock and randomness of a process.
#[derive(Debug)]
struct Surroundings(Arc<Process>);

impl Process {
    /// A process that begins.
    pub(crate) fn new(world: &Arc<World>, actor: usize, number: u64, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            actor,
            number,
            is_dead: AtomicBool::new(false),
            injected: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            seconds: AtomicI64::new(i64::try_from(CLOCK_START).unwrap()),
            random: Mutex::new([seed, seed ^ OTHERS].map(SplitMix::new)),
            thread: std::thread::current().id(),
            sent: Mutex::new(HashMap::new()),
            sent_more: Condvar::new(),
        })
    }

    /// Its store.
    pub(crate) fn store(self: &Arc<Self>) -> Arc<dyn Store> {
        Arc::new(View(Arc::clone(self)))
    }

    /// Its clock and randomness.
    pub(crate) fn environment(self: &Arc<Self>) -> Arc<dyn Environment> {
        Arc::new(Surroundings(Arc::clone(self)))
    }

    /// Whether a call failed that would not have without a fault.
    pub(crate) fn was_disturbed(&self) -> bool {
        self.injected.load(Ordering::SeqCst) > 0
    }

    /// The process ends: threads that it leaves behind do nothing more.
    pub(crate) fn end(&self) {
        self.die();
        self.world.turns.end_process(self.actor, self.number);
    }

    fn die(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        self.sent_more.notify_all();
    }

    fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Waits for a turn, draws what goes wrong, and makes the call.
    fn call<T>(
        &self,
        call: Call,
        key: &str,
        make: impl FnOnce(Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.is_dead() || self.world.turns.take(self.actor, self.number).is_err() {
            return Err(self.error(call, key, StoreErrorKind::Unavailable));
        }
        let answer = if self.is_dead() {
            Err(self.error(call, key, StoreErrorKind::Unavailable))
        } else {
            self.make(call, key, make)
        };
        self.world.turns.end_call(self.actor);
        answer
    }

    fn make<T>(
        &self,
        call: Call,
        key: &str,
        make: impl FnOnce(Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let drawn = self.world.draw(call);
        if let Some(seconds) = drawn.clock {
            self.seconds.store(seconds, Ordering::SeqCst);
        }
        match drawn.fault {
            Some(Fault::Crash | Fault::CrashUnknown(_)) => {
                self.injected.fetch_add(1, Ordering::SeqCst);
                self.die();
            }
            Some(Fault::Fail(_) | Fault::LostAnswer(_)) => {
                self.injected.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
        let answer = make(drawn.fault);
        let how = match (&drawn.fault, &answer) {
            (Some(fault), _) => format!(" {fault:?}"),
            (None, Err(error)) => format!(" -> {:?}", error.kind),
            (None, Ok(_)) => String::new(),
        };
        self.world.note(format!("{}.{} {call:?} {key}{how}", self.actor, self.number));
        answer
    }

    fn change(&self, call: Call, change: &Change) -> Result<(), StoreError> {
        let name = change.key.as_str().to_owned();
        self.call(call, &name, |fault| {
            if let Some(body) = &change.body {
                self.world.note(format!("  {} bytes", body.len()));
                self.world.note_create(&change.key, self.number);
            }
            match fault {
                Some(Fault::Fail(kind)) => Err(self.error(call, &name, kind)),
                Some(Fault::Crash) => Err(self.error(call, &name, StoreErrorKind::Unavailable)),
                Some(Fault::LostAnswer(outcome) | Fault::CrashUnknown(outcome)) => {
                    match outcome {
                        // The answer is lost, whatever it was.
                        Outcome::Applied => drop(self.world.apply(change)),
                        Outcome::Delayed => self.world.delay(change.clone()),
                        Outcome::Dropped => {}
                    }
                    Err(self.error(call, &name, StoreErrorKind::Unavailable))
                }
                Some(Fault::DeliveredTwice) => {
                    let answer = self.world.apply(change);
                    self.world.delay(change.clone());
                    answer
                }
                Some(Fault::DelayedDelete) => {
                    self.world.delay(change.clone());
                    Ok(())
                }
                _ => self.world.apply(change),
            }
        })
    }

    fn look<T>(
        &self,
        call: Call,
        key: &str,
        make: impl FnOnce(Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.call(call, key, |fault| match fault {
            Some(Fault::Fail(kind)) => Err(self.error(call, key, kind)),
            Some(Fault::Crash) => Err(self.error(call, key, StoreErrorKind::Unavailable)),
            other => make(other),
        })
    }

    /// Packs of one session are sent by several threads at once; here they go in order: each waits
    /// until the thread that sent the one before has ended.
    fn in_order(self: &Arc<Self>, key: &ObjectKey) {
        let Ok(pack) = PackRef::parse(key) else { return };
        let session = pack.session.packs_prefix();
        let sending = SENDING.take();
        if sending.as_ref().is_some_and(|it| it.session == session && it.sequence == pack.sequence)
        {
            SENDING.set(sending);
            return;
        }
        drop(sending);
        let mut sent = self.sent.lock().unwrap();
        for _wait in 0..ORDER_WAITS_MAX {
            let before = sent.get(&session).copied().unwrap_or_default();
            if before + 1 >= pack.sequence || self.is_dead() {
                break;
            }
            sent = self.sent_more.wait_timeout(sent, ORDER_WAIT).unwrap().0;
        }
        let sending = Sending { process: Arc::clone(self), session, sequence: pack.sequence };
        SENDING.set(Some(sending));
    }

    fn error(&self, call: Call, key: &str, kind: StoreErrorKind) -> StoreError {
        let operation = match call {
            Call::Create => Operation::Create,
            Call::Read | Call::ReadRange | Call::Length => Operation::Read,
            Call::List => Operation::List,
            Call::Delete => Operation::Delete,
            Call::Settle => Operation::Settle,
        };
        let operation_number = self.calls.load(Ordering::SeqCst);
        let source = InjectedFault { operation: operation_number, fault: Fault::Fail(kind) };
        StoreError::new(operation, key, "simulated store", kind, source)
    }
}

impl Store for View {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.0.in_order(key);
        self.0.change(Call::Create, &Change { key: key.clone(), body: Some(body.to_vec()) })
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        let make = |_fault| self.0.world.store.read(key, length_max);
        self.0.look(Call::Read, key.as_str(), make)
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let make = |_fault| self.0.world.store.read_range(key, range, buffer);
        self.0.look(Call::ReadRange, key.as_str(), make)
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.0.look(Call::Length, key.as_str(), |_fault| self.0.world.store.length(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let process = &self.0;
        let mut is_split = false;
        let mut listed = process.look(Call::List, prefix, |fault| {
            let mut listed = process.world.list(prefix)?;
            match fault {
                Some(Fault::ShuffledList(seed)) => shuffle(&mut listed, seed),
                Some(Fault::DoubledList) => listed.extend(listed.clone()),
                Some(Fault::SplitList) => is_split = true,
                _ => {}
            }
            Ok(listed)
        })?;
        if is_split {
            // The second page is read in another turn: what others do between is in it.
            let middle = listed.get(listed.len() / 2).map(|listed| listed.key.clone());
            let rest = process.look(Call::List, prefix, |_fault| process.world.list(prefix))?;
            if let Some(middle) = middle {
                listed.retain(|listed| listed.key < middle);
                listed.extend(rest.into_iter().filter(|listed| listed.key >= middle));
            } else {
                listed = rest;
            }
        }
        Ok(listed)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.0.change(Call::Delete, &Change { key: key.clone(), body: None })
    }

    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.0.look(Call::Settle, key.as_str(), |_fault| self.0.world.store.settle(key))
    }

    fn location(&self) -> String {
        "simulated store".to_owned()
    }
}

impl Environment for Surroundings {
    fn now(&self) -> (i64, u32) {
        (self.0.seconds.load(Ordering::SeqCst), 0)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        // Two threads at once must not decide who draws what.
        let is_other = std::thread::current().id() != self.0.thread;
        let random = &mut self.0.random.lock().unwrap()[usize::from(is_other)];
        for byte in buffer {
            *byte = random.below(256).to_le_bytes()[0];
        }
    }
}

/// A pack that a thread sends until it ends.
#[derive(Debug)]
struct Sending {
    process: Arc<Process>,
    session: String,
    sequence: u32,
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut sent = self.process.sent.lock().unwrap();
        let newest = sent.entry(std::mem::take(&mut self.session)).or_default();
        *newest = self.sequence.max(*newest);
        self.process.sent_more.notify_all();
    }
}

thread_local! {
    static SENDING: Cell<Option<Sending>> = const { Cell::new(None) };
}

fn shuffle(listed: &mut [Listed], seed: u64) {
    let mut random = SplitMix::new(seed);
    for index in (1..listed.len()).rev() {
        let bound = u64::try_from(index).unwrap() + 1;
        listed.swap(index, usize::try_from(random.below(bound)).unwrap());
    }
}

const OTHERS: u64 = 1 << 63;
const ORDER_WAIT: Duration = Duration::from_millis(200);
const ORDER_WAITS_MAX: u32 = 100;
