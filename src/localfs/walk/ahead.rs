//! Listings ahead of the consumer, in the order of the walk, within a bound of memory.
//!
//! Each directory is claimed once, by a worker or by the consumer that needs it next. Only
//! workers wait for memory, and only before they claim, so that a claim always ends.

use crate::localfs::walk::list::Lister;
use crate::localfs::walk::list::Scratch;
use crate::localfs::walk::page::Page;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// The workers' and the consumer's common state.
pub(super) struct Ahead {
    lister: Lister,
    state: Mutex<State>,
    /// Workers wait here for something to claim or for memory.
    work: Condvar,
    /// The consumer waits here for what a worker has claimed.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// For each listed page the next place that nobody has claimed, in the order of the walk.
    cursors: BTreeMap<Box<[u32]>, Arc<Page>>,
    /// What was claimed and not yet consumed, by page and place.
    slots: HashMap<(u64, u32), Slot>,
    ahead_bytes: usize,
    /// Set at the bound, cleared at half of it, so that workers are not woken for each page.
    paused: bool,
    idle_workers: usize,
    stopping: bool,
}

enum Slot {
    Claimed,
    Listed(Arc<Page>),
}

/// A claimed place; gives the claim up if listing panics, so that the consumer does not wait.
struct Claim<'a> {
    ahead: &'a Ahead,
    page: Arc<Page>,
    index: u32,
}

impl Ahead {
    pub(super) fn new(lister: Lister) -> Self {
        Self { lister, state: Mutex::default(), work: Condvar::new(), done: Condvar::new() }
    }

    pub(super) fn lister(&self) -> &Lister {
        &self.lister
    }

    /// Lists ahead until [`Ahead::stop`].
    pub(super) fn work(&self) {
        let mut scratch = Scratch::default();
        while let Some(claim) = self.claim_next() {
            let listed = self.list(&claim.page, claim.index, &mut scratch);
            claim.fulfil(listed);
        }
    }

    /// Makes the workers end.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_all();
    }

    /// Offers a page's directories to the workers.
    pub(super) fn offer(&self, page: &Arc<Page>) {
        let mut state = self.lock();
        state.offer_from(page, 0);
        self.wake_worker(&state);
    }

    /// The listing of the directory, or the page, at `index` of `page`: a worker's or a new one.
    ///
    /// Blocks while a worker is listing it.
    pub(super) fn obtain(&self, page: &Arc<Page>, index: u32, scratch: &mut Scratch) -> Arc<Page> {
        let place = (page.id, index);
        let mut state = self.lock();
        loop {
            match state.slots.remove(&place) {
                Some(Slot::Listed(listed)) => {
                    state.ahead_bytes -= listed.memory_bytes();
                    if state.paused && state.ahead_bytes < AHEAD_BYTES_MAX / 2 {
                        state.paused = false;
                        self.work.notify_all();
                    }
                    return listed;
                }
                Some(Slot::Claimed) => {
                    state.slots.insert(place, Slot::Claimed);
                    state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        // The consumer takes places in order, so the cursor of an unclaimed one stands at it.
        if state.cursors.remove(&cursor_key(page, index)).is_some() {
            state.offer_from(page, index.saturating_add(1));
        }
        drop(state);
        let listed = Arc::new(self.list(page, index, scratch));
        self.offer(&listed);
        listed
    }

    fn list(&self, page: &Page, index: u32, scratch: &mut Scratch) -> Page {
        match self.lister.subdirectory(page, index) {
            Some(directory) => self.lister.list(Arc::new(directory), scratch),
            None => self.lister.next_page(page, index, scratch),
        }
    }

    fn claim_next(&self) -> Option<Claim<'_>> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            if !state.paused
                && let Some((key, page)) = state.cursors.pop_first()
            {
                let index = key.last().copied().unwrap_or_default();
                state.slots.insert((page.id, index), Slot::Claimed);
                state.offer_from(&page, index.saturating_add(1));
                return Some(Claim { ahead: self, page, index });
            }
            state.idle_workers += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle_workers -= 1;
        }
    }

    fn wake_worker(&self, state: &State) {
        if state.idle_workers > 0 && !state.paused && !state.cursors.is_empty() {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn offer_from(&mut self, page: &Arc<Page>, index: u32) {
        if let Some(index) = page.claimable_from(index) {
            self.cursors.insert(cursor_key(page, index), Arc::clone(page));
        }
    }
}

impl Claim<'_> {
    fn fulfil(self, listed: Page) {
        let listed = Arc::new(listed);
        let mut state = self.ahead.lock();
        state.ahead_bytes += listed.memory_bytes();
        state.paused |= state.ahead_bytes >= AHEAD_BYTES_MAX;
        state.offer_from(&listed, 0);
        state.slots.insert((self.page.id, self.index), Slot::Listed(listed));
        self.ahead.wake_worker(&state);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.ahead.lock();
        let place = (self.page.id, self.index);
        if matches!(state.slots.get(&place), Some(Slot::Claimed)) {
            state.slots.remove(&place);
        }
        drop(state);
        self.ahead.done.notify_one();
    }
}

fn cursor_key(page: &Page, index: u32) -> Box<[u32]> {
    [&page.directory.key[..], &[index]].concat().into_boxed_slice()
}

/// Memory of the listings that wait for the consumer: about 64 thousand entries.
const AHEAD_BYTES_MAX: usize = 12 * 1024 * 1024;
