//! A store that does wrong on purpose: crashes, lost answers, late deliveries, damaged reads.
//! Invariant: without a fault, every call goes through to the inner store unchanged.

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::testing::fault_plan::Call;
use crate::testing::fault_plan::Fault;
use crate::testing::fault_plan::FaultOdds;
use crate::testing::fault_plan::InjectedFault;
use crate::testing::fault_plan::Outcome;
use crate::testing::fault_plan::SplitMix;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A store with faults around the store `inner`.
///
/// Every call but `location` is an operation, numbered from 0; creates and deletes are also
/// changes, with numbers of their own.
pub struct FaultStore<S> {
    inner: S,
    state: Mutex<State>,
}

/// One operation of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// Its number.
    pub operation: u64,
    /// What was called.
    pub call: Call,
    /// The key or prefix.
    pub key: String,
    /// What went wrong.
    pub fault: Option<Fault>,
}

#[derive(Default)]
struct State {
    operations: u64,
    changes: u64,
    crash: Option<InjectedFault>,
    on_operation: BTreeMap<u64, Fault>,
    on_change: BTreeMap<u64, Fault>,
    on_key: BTreeMap<String, Fault>,
    drawn: Option<(FaultOdds, SplitMix)>,
    actions: BTreeMap<u64, Box<dyn FnOnce() + Send>>,
    delayed: Vec<Delayed>,
    trace: Vec<Traced>,
}

// A create has a body.
struct Delayed {
    key: ObjectKey,
    body: Option<Vec<u8>>,
}

// What `begin` decided about one call.
struct Begun<'a> {
    call: Call,
    key: &'a str,
    injected: Option<InjectedFault>,
}

impl<S: Store> FaultStore<S> {
    /// A store without faults.
    pub fn new(inner: S) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// A store that dies at operation `k`: that call and all later ones change nothing and fail.
    pub fn crash_at(inner: S, k: u64) -> Self {
        Self::new(inner).with_fault(k, Fault::Crash)
    }

    /// A store that dies at operation `k`, whose outcome its caller does not learn.
    pub fn unknown_at(inner: S, k: u64, outcome: Outcome) -> Self {
        Self::new(inner).with_fault(k, Fault::CrashUnknown(outcome))
    }

    /// A store with faults drawn from `seed`.
    pub fn seeded(inner: S, seed: u64, odds: FaultOdds) -> Self {
        let store = Self::new(inner);
        store.lock().drawn = Some((odds, SplitMix::new(seed)));
        store
    }

    /// Adds a fault at operation `k`.
    #[must_use]
    pub fn with_fault(self, k: u64, fault: Fault) -> Self {
        self.lock().on_operation.insert(k, fault);
        self
    }

    /// Adds a fault at change `k`, a create or delete.
    #[must_use]
    pub fn with_fault_on_change(self, k: u64, fault: Fault) -> Self {
        self.lock().on_change.insert(k, fault);
        self
    }

    /// Adds a fault at every later operation on `key`.
    pub fn break_key(&self, key: &ObjectKey, fault: Fault) {
        self.lock().on_key.insert(key.to_string(), fault);
    }

    /// Runs `action`, another process's work, just before operation `k`.
    pub fn interleave_at(&self, k: u64, action: impl FnOnce() + Send + 'static) {
        self.lock().actions.insert(k, Box::new(action));
    }

    /// Lets every later call fail, as after a crash.
    pub fn crash_now(&self) {
        let mut state = self.lock();
        let operation = state.operations;
        state.crash.get_or_insert(InjectedFault { operation, fault: Fault::Crash });
    }

    /// Delivers delayed calls, in order; returns how many. Their failures are nobody's.
    pub fn flush_delayed(&self) -> usize {
        let delayed = std::mem::take(&mut self.lock().delayed);
        for change in &delayed {
            if let Err(error) = self.deliver(&change.key, change.body.as_deref()) {
                tracing::trace!(%error, "late delivery refused");
            }
        }
        delayed.len()
    }

    /// How many operations were called, also after a crash.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How many of them were creates or deletes.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Whether the store died. `false` after a run means that the run ends before operation `k`.
    pub fn is_crashed(&self) -> bool {
        self.lock().crash.is_some()
    }

    /// Every operation so far.
    pub fn trace(&self) -> Vec<Traced> {
        self.lock().trace.clone()
    }

    /// The store within, without faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn begin<'a>(&self, call: Call, key: &'a str) -> Begun<'a> {
        let action = {
            let mut state = self.lock();
            let operation = state.operations;
            state.actions.remove(&operation)
        };
        if let Some(action) = action {
            action();
        }
        let injected = self.lock().decide(call, key);
        Begun { call, key, injected }
    }

    fn change(&self, begun: &Begun<'_>, key: &ObjectKey, body: Option<&[u8]>) -> Answer<()> {
        let delay = || {
            let change = Delayed { key: key.clone(), body: body.map(<[u8]>::to_vec) };
            self.lock().delayed.push(change);
        };
        let lose = |outcome| match outcome {
            // The answer is lost, whatever it was.
            Outcome::Applied => drop(self.deliver(key, body)),
            Outcome::Delayed => delay(),
            Outcome::Dropped => {}
        };
        match begun.fault() {
            Some(Fault::LostAnswer(outcome) | Fault::CrashUnknown(outcome)) => {
                lose(outcome);
                self.refuse(begun)
            }
            Some(Fault::DeliveredTwice) => {
                let answer = self.deliver(key, body);
                delay();
                answer
            }
            Some(Fault::DelayedDelete) if body.is_none() => {
                delay();
                Ok(())
            }
            _ => {
                self.refuse(begun)?;
                self.deliver(key, body)
            }
        }
    }

    fn deliver(&self, key: &ObjectKey, body: Option<&[u8]>) -> Answer<()> {
        match body {
            Some(body) => self.inner.create(key, body),
            None => self.inner.delete(key),
        }
    }

    // Fails if the fault, whatever the call, is a failure.
    fn refuse(&self, begun: &Begun<'_>) -> Answer<()> {
        let Some(injected) = begun.injected else { return Ok(()) };
        let kind = match injected.fault {
            Fault::Fail(kind) => kind,
            Fault::Crash | Fault::CrashUnknown(_) | Fault::LostAnswer(_) => {
                StoreErrorKind::Unavailable
            }
            Fault::DeliveredTwice
            | Fault::DelayedDelete
            | Fault::WrongBit(_)
            | Fault::MissingBytes(_)
            | Fault::ExtraBytes(_)
            | Fault::ShuffledList(_)
            | Fault::DoubledList
            | Fault::SplitList => return Ok(()),
        };
        let location = self.inner.location();
        Err(StoreError::new(operation(begun.call), begun.key, &location, kind, injected))
    }

    fn split_list(&self, prefix: &str) -> Answer<Vec<Listed>> {
        let before = self.inner.list(prefix)?;
        self.flush_delayed();
        let after = self.inner.list(prefix)?;
        let Some(middle) = after.get(after.len() / 2).map(|listed| listed.key.clone()) else {
            return Ok(before);
        };
        let first = before.into_iter().filter(|listed| listed.key < middle);
        Ok(first.chain(after.iter().filter(|listed| listed.key >= middle).cloned()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn decide(&mut self, call: Call, key: &str) -> Option<InjectedFault> {
        let operation = self.operations;
        self.operations += 1;
        let mut fault = self.on_operation.remove(&operation);
        fault = fault.or_else(|| self.on_key.get(key).copied());
        if matches!(call, Call::Create | Call::Delete) {
            fault = fault.or(self.on_change.remove(&self.changes));
            self.changes += 1;
        }
        if let Some((odds, random)) = &mut self.drawn {
            fault = fault.or(odds.draw(random, call));
        }
        let injected = match self.crash {
            Some(crash) => Some(InjectedFault { operation: crash.operation, fault: Fault::Crash }),
            None => fault.map(|fault| InjectedFault { operation, fault }),
        };
        if let Some(InjectedFault { fault: Fault::Crash | Fault::CrashUnknown(_), .. }) = injected {
            self.crash = injected;
        }
        let fault = injected.map(|injected| injected.fault);
        self.trace.push(Traced { operation, call, key: key.to_owned(), fault });
        injected
    }
}

impl Begun<'_> {
    fn fault(&self) -> Option<Fault> {
        self.injected.map(|injected| injected.fault)
    }
}

impl<S: Store> Store for FaultStore<S> {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Answer<()> {
        let begun = self.begin(Call::Create, key.as_str());
        self.change(&begun, key, Some(body))
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Answer<Vec<u8>> {
        let begun = self.begin(Call::Read, key.as_str());
        self.refuse(&begun)?;
        let mut body = self.inner.read(key, length_max)?;
        damage(begun.fault(), &mut body);
        Ok(body)
    }

    fn read_range(&self, key: &ObjectKey, range: Range<u64>, buffer: &mut Vec<u8>) -> Answer<()> {
        let begun = self.begin(Call::ReadRange, key.as_str());
        self.refuse(&begun)?;
        self.inner.read_range(key, range, buffer)?;
        damage(begun.fault(), buffer);
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Answer<u64> {
        let begun = self.begin(Call::Length, key.as_str());
        self.refuse(&begun)?;
        let length = self.inner.length(key)?;
        Ok(match begun.fault() {
            Some(Fault::MissingBytes(count)) => length.saturating_sub(to_u64(count)),
            Some(Fault::ExtraBytes(count)) => length.saturating_add(to_u64(count)),
            _ => length,
        })
    }

    fn list(&self, prefix: &str) -> Answer<Vec<Listed>> {
        let begun = self.begin(Call::List, prefix);
        self.refuse(&begun)?;
        if begun.fault() == Some(Fault::SplitList) {
            return self.split_list(prefix);
        }
        let mut listed = self.inner.list(prefix)?;
        match begun.fault() {
            Some(Fault::ShuffledList(seed)) => shuffle(&mut listed, seed),
            Some(Fault::DoubledList) => listed.extend(listed.clone()),
            _ => {}
        }
        Ok(listed)
    }

    fn delete(&self, key: &ObjectKey) -> Answer<()> {
        let begun = self.begin(Call::Delete, key.as_str());
        self.change(&begun, key, None)
    }

    fn settle(&self, key: &ObjectKey) -> Answer<()> {
        let begun = self.begin(Call::Settle, key.as_str());
        self.refuse(&begun)?;
        self.inner.settle(key)
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

impl<S: Store> fmt::Debug for FaultStore<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("FaultStore");
        shown.field("inner", &self.inner).field("operations", &self.operations());
        shown.finish_non_exhaustive()
    }
}

type Answer<T> = Result<T, StoreError>;

fn operation(call: Call) -> Operation {
    match call {
        Call::Create => Operation::Create,
        Call::Read | Call::ReadRange | Call::Length => Operation::Read,
        Call::List => Operation::List,
        Call::Delete => Operation::Delete,
        Call::Settle => Operation::Settle,
    }
}

fn damage(fault: Option<Fault>, body: &mut Vec<u8>) {
    match fault {
        Some(Fault::WrongBit(number)) => {
            let index = number.checked_rem(to_u64(body.len())).map(to_usize);
            if let Some(byte) = index.and_then(|index| body.get_mut(index)) {
                *byte ^= 1 << (number >> 32 & 7);
            }
        }
        Some(Fault::MissingBytes(count)) => body.truncate(body.len().saturating_sub(count)),
        Some(Fault::ExtraBytes(count)) => body.resize(body.len().saturating_add(count), 0),
        _ => {}
    }
}

fn shuffle(listed: &mut [Listed], seed: u64) {
    let mut random = SplitMix::new(seed);
    for index in (1..listed.len()).rev() {
        listed.swap(index, to_usize(random.below(to_u64(index) + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::testing::fault_plan::is_injected;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn a_crash_lets_earlier_calls_through_and_no_later_ones() {
        let store = FaultStore::crash_at(MemoryStore::new(), 1);
        store.create(&key("a"), b"1").unwrap();
        assert!(!store.is_crashed());
        let error = store.create(&key("b"), b"2").unwrap_err();
        assert!(is_injected(&error) && store.is_crashed());
        assert!(store.read(&key("a"), 9).is_err_and(|error| is_injected(&error)));
        assert_eq!(store.inner().objects().len(), 1);
        assert_eq!(store.operations(), 3);
    }

    #[test]
    fn an_unknown_outcome_is_applied_dropped_or_delayed() {
        for (outcome, at_once, later) in
            [(Outcome::Applied, 1, 1), (Outcome::Dropped, 0, 0), (Outcome::Delayed, 0, 1)]
        {
            let store = FaultStore::unknown_at(MemoryStore::new(), 0, outcome);
            assert!(store.create(&key("a"), b"1").is_err_and(|error| is_injected(&error)));
            assert_eq!(store.inner().objects().len(), at_once, "{outcome:?}");
            store.flush_delayed();
            assert_eq!(store.inner().objects().len(), later, "{outcome:?}");
        }
    }

    #[test]
    fn a_create_delivered_twice_comes_back_after_a_delete() {
        let store =
            FaultStore::new(MemoryStore::new()).with_fault_on_change(0, Fault::DeliveredTwice);
        store.create(&key("a"), b"1").unwrap();
        store.delete(&key("a")).unwrap();
        assert!(store.length(&key("a")).is_err());
        assert_eq!(store.flush_delayed(), 1);
        assert_eq!(store.length(&key("a")).unwrap(), 1);
    }

    #[test]
    fn a_delayed_delete_leaves_the_object_until_it_lands() {
        let store =
            FaultStore::new(MemoryStore::new()).with_fault_on_change(1, Fault::DelayedDelete);
        store.create(&key("a"), b"1").unwrap();
        store.delete(&key("a")).unwrap();
        assert!(store.length(&key("a")).is_ok());
        store.flush_delayed();
        assert!(store.length(&key("a")).is_err());
    }

    #[test]
    fn a_split_list_misses_what_lands_in_its_first_half() {
        let lost = Fault::LostAnswer(Outcome::Delayed);
        let store = FaultStore::new(MemoryStore::new())
            .with_fault(2, lost)
            .with_fault(3, lost)
            .with_fault(4, Fault::SplitList);
        store.create(&key("b"), b"").unwrap();
        store.create(&key("c"), b"").unwrap();
        assert!(store.create(&key("a"), b"").is_err());
        assert!(store.create(&key("d"), b"").is_err());
        let listed: Vec<_> =
            store.list("").unwrap().into_iter().map(|entry| entry.key.to_string()).collect();
        assert_eq!(listed, ["b", "c", "d"]);
    }

    #[test]
    fn reads_are_damaged_as_planned() {
        let store = FaultStore::new(MemoryStore::new())
            .with_fault(1, Fault::WrongBit(3))
            .with_fault(2, Fault::MissingBytes(2))
            .with_fault(3, Fault::ExtraBytes(1))
            .with_fault(4, Fault::Fail(StoreErrorKind::Denied));
        store.create(&key("a"), &[0; 4]).unwrap();
        assert_eq!(store.read(&key("a"), 4).unwrap(), [0, 0, 0, 1]);
        assert_eq!(store.read(&key("a"), 4).unwrap().len(), 2);
        assert_eq!(store.read(&key("a"), 4).unwrap().len(), 5);
        assert_eq!(store.read(&key("a"), 4).unwrap_err().kind, StoreErrorKind::Denied);
        assert_eq!(store.read(&key("a"), 4).unwrap(), [0; 4]);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let odds = FaultOdds { fail: 200, lost_answer: 200, ..FaultOdds::default() };
        let run = |seed| {
            let store = FaultStore::seeded(MemoryStore::new(), seed, odds);
            for number in 0..50 {
                drop(store.create(&key(&format!("k{number}")), b"x"));
            }
            store.trace()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!(run(7).iter().any(|traced| traced.fault.is_some()));
    }
}
