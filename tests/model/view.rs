//! What counts, seen from the store alone. Page: format-spec/09-session.md.

use crate::config::Config;
use crate::config::Mutation;
use crate::set::Set;
use crate::state::Collection;
use crate::state::FIRST_FREE;
use crate::state::GENERATIONS;
use crate::state::Outcome;
use crate::state::SLOTS;
use crate::state::State;
use crate::state::Subject;

impl State {
    /// The number of the newest plan.
    pub(crate) fn newest_plan(&self) -> usize {
        (0..GENERATIONS).rev().find(|n| self.collections[*n].plans > 0).unwrap_or(0)
    }

    /// The number of the newest verdict.
    pub(crate) fn newest_verdict(&self) -> usize {
        (0..GENERATIONS).rev().find(|n| self.collections[*n].verdicts > 0).unwrap_or(0)
    }

    /// Packs that the newest plan condemns or its verdict removed.
    pub(crate) fn condemned(&self) -> Set {
        let newest = &self.collections[self.newest_plan()];
        if newest.verdicts > 0 { newest.removed } else { newest.condemned }
    }

    /// Whether sessions of the epoch count beside base `base`.
    pub(crate) fn is_open_epoch(config: &Config, epoch: u8, base: usize) -> bool {
        config.breaks(Mutation::NoWatermark) || usize::from(epoch) >= base
    }

    /// Sessions with a commit that counts beside base `base`.
    pub(crate) fn commits(&self, config: &Config, base: usize) -> Set {
        let mut all = Set::EMPTY;
        for (number, session) in self.sessions.iter().enumerate().skip(FIRST_FREE) {
            if session.outcome == Outcome::Commit
                && Self::is_open_epoch(config, session.epoch, base)
            {
                all |= Set::one(number);
            }
        }
        all
    }

    /// Those of the sessions that commit `subject`.
    pub(crate) fn with_subject(&self, sessions: Set, subject: Subject) -> Set {
        sessions.only(|number| self.sessions[number].subject == subject)
    }

    /// Packs in valid segments.
    pub(crate) fn valid(&self, config: &Config, base: usize) -> Set {
        let commits = self.commits(config, base);
        self.collections[base].segments | commits.union(|number| self.sessions[number].segments)
    }

    /// Snapshots that are live.
    pub(crate) fn live(&self, config: &Config, base: usize) -> Set {
        let new = self.with_subject(self.commits(config, base), Subject::Snapshot);
        (self.collections[base].snapshots | new) - (self.forgotten - self.undone)
    }

    /// Checkpoints that no later commit of their client ended.
    pub(crate) fn checkpoints(&self, config: &Config, base: usize) -> Set {
        let commits = self.commits(config, base);
        let counted = commits | self.collections[base].snapshots;
        let new = self.with_subject(commits, Subject::Checkpoint);
        (self.collections[base].checkpoints | new).only(|number| !ended(config, number, counted))
    }

    /// Chunks that sessions' snapshots or checkpoints need.
    pub(crate) fn chunks_of(&self, sessions: Set) -> Set {
        sessions.union(|number| self.sessions[number].roots)
    }

    /// Chunks in plain blocks of the packs.
    pub(crate) fn plain_in(&self, packs: Set) -> Set {
        packs.union(|number| self.packs[number].plain)
    }

    /// Chunks in delta blocks of the packs.
    pub(crate) fn delta_in(&self, packs: Set) -> Set {
        packs.union(|number| self.packs[number].delta)
    }

    /// Chunks of the packs that serve as bases.
    pub(crate) fn bases_in(&self, config: &Config, packs: Set) -> Set {
        if config.breaks(Mutation::PlainDroppedForDelta) {
            return self.plain_in(packs) | self.delta_in(packs);
        }
        self.plain_in(packs)
    }

    /// Of two keys with the same bytes the younger one is asked first: it was stored because the older is damaged.
    pub(crate) fn younger_first(&self, config: &Config, packs: Set) -> Vec<usize> {
        let healed = packs.only(|number| {
            config.heal
                && number >= FIRST_FREE
                && self.packs[number] == self.packs[0]
                && !config.breaks(Mutation::DamagedKeyPreferred)
        });
        healed.iter().chain((packs - healed).iter()).collect()
    }

    /// Chunks that can be read from the packs: in plain blocks, or in delta blocks with their bases.
    pub(crate) fn readable_in(&self, packs: Set) -> Set {
        let plain = self.plain_in(packs);
        plain | self.delta_in(packs).only(|chunk| Config::bases_of(Set::one(chunk)).within(plain))
    }

    /// A pack with a copy of the chunk in a block that is not delta.
    pub(crate) fn plain_copy_in(&self, packs: Set, chunk: usize) -> Option<usize> {
        packs.iter().find(|number| self.packs[*number].plain.has(chunk))
    }

    /// A pack with a copy of the chunk. What is valid has the bases of all its delta blocks: nobody asks.
    pub(crate) fn copy_in(&self, packs: Set, chunk: usize) -> Option<usize> {
        let delta = |number: &usize| self.packs[*number].delta.has(chunk);
        self.plain_copy_in(packs, chunk).or_else(|| packs.iter().find(delta))
    }

    /// Announces a session.
    pub(crate) fn announce(&mut self, number: usize, epoch: u8) {
        self.announced |= Set::one(number);
        self.began |= Set::one(number);
        self.sessions[number].epoch = epoch;
    }

    /// Creates a session's outcome as a commit.
    pub(crate) fn put_commit(&mut self, config: &Config, number: usize) {
        self.sessions[number].outcome = Outcome::Commit;
        if Self::is_open_epoch(config, self.sessions[number].epoch, self.newest_verdict()) {
            self.counted |= Set::one(number);
        }
    }

    /// Stores a pack.
    pub(crate) fn put_pack(&mut self, number: usize) {
        let key = Set::one(number);
        self.key_reused |= key.meets(self.created - self.stored);
        self.stored |= key;
        self.created |= key;
    }

    /// The newest base.
    pub(crate) fn base(&self) -> &Collection {
        &self.collections[self.newest_verdict()]
    }
}

/// Whether one of the counted commits is a later one of the same client.
pub(crate) fn ended(config: &Config, checkpoint: usize, counted: Set) -> bool {
    let Some(place) = checkpoint.checked_sub(FIRST_FREE) else { return false };
    let client = place / config.attempts;
    let client_end = config.writer_session(client, config.attempts);
    client < config.writers && (checkpoint + 1..client_end.min(SLOTS)).any(|n| counted.has(n))
}
