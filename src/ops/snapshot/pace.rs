//! When a long run pauses: heartbeats, and checkpoints that commit what was uploaded.

use crate::repo::error::RepoError;
use crate::repo::write::ChunkStore;
use std::cell::Cell;

/// The pace of one run, on the thread that leads it.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    store: &'a ChunkStore,
    source: &'a str,
    interval_seconds: i64,
    /// Whether the tree can be checked after a checkpoint, as it must be then: not by a key that
    /// reads nothing, whose run stays one session.
    may_check: bool,
    due_at: Cell<i64>,
    checkpoint_count: Cell<u32>,
}

impl<'a> Pace<'a> {
    /// A run of `source` with a checkpoint every so many seconds.
    pub(crate) fn new(store: &'a ChunkStore, source: &'a str, interval_seconds: i64) -> Self {
        let due_at = Cell::new(store.repository.environment.now().0 + interval_seconds);
        let may_check = store.repository.keys.newest().tree.is_some();
        Self { store, source, interval_seconds, may_check, due_at, checkpoint_count: Cell::new(0) }
    }

    /// Whether a checkpoint is due; stores a heartbeat if the session was silent for long.
    pub(crate) fn is_due(&self) -> Result<bool, RepoError> {
        self.store.beat()?;
        let now = self.store.repository.environment.now().0;
        // A clock that was set back would put the next checkpoint far away.
        if self.due_at.get() - now > self.interval_seconds {
            self.due_at.set(now + self.interval_seconds);
        }
        Ok(self.may_check && now >= self.due_at.get())
    }

    /// Commits what was uploaded. No thread may be writing, and none may hold an open block.
    pub(crate) fn checkpoint(&self) -> Result<(), RepoError> {
        self.store.checkpoint(self.source)?;
        self.checkpoint_count.set(self.checkpoint_count.get() + 1);
        self.due_at.set(self.store.repository.environment.now().0 + self.interval_seconds);
        Ok(())
    }

    /// How many checkpoints there were: then the tree was begun in an earlier session.
    pub(crate) fn checkpoint_count(&self) -> u32 {
        self.checkpoint_count.get()
    }
}
