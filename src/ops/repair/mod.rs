//! `repair`: makes the best of what a damaged repository still has.
//!
//! Nothing is deleted or changed in place. What is written is new objects of a session that is
//! committed as any other, so that a repair that is cut off leaves nothing that counts.

pub mod index;
pub mod packs;
mod rebuild;
pub mod snapshots;

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::repository::Repository;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;

/// How to repair.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairOptions {
    /// Whether anything is written; else the plan is told.
    pub apply: bool,
    /// Whether every pack is read; else those that are missing or were found damaged before.
    pub read_data: bool,
    /// Threads that read.
    pub threads: usize,
}

impl RepairOptions {
    /// A repair that writes nothing, with as many threads as the machine has processors.
    pub fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { apply: false, read_data: true, threads }
    }

    fn pool(&self) -> Result<ThreadPool, OpError> {
        let pool = ThreadPoolBuilder::new().num_threads(self.threads).build();
        pool.map_err(|error| OpError::Refused { why: error.to_string() })
    }
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses a role that cannot carry the plan out, before anything is read.
fn check_rights(
    repository: &Repository,
    options: &RepairOptions,
    what: &'static str,
) -> Result<(), OpError> {
    if options.apply {
        repository.check_makes_snapshots().during(what)?;
        repository.check_writable().during(what)?;
    }
    Ok(())
}

/// Plaintext of trees that is kept while they are walked.
const TREE_CACHE_BYTES: usize = 16 * 1_048_576;
