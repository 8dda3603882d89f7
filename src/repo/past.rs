//! What was valid at an earlier verdict: whoever has the keys to forget and prune can take away what is
//! valid, but not old versions that a bucket keeps.
//! Spec: format-spec/11-gc.md.

use crate::format::layout;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::Unreadable;
use crate::repo::history::is_missing;
use crate::repo::memory::Memory;
use crate::repo::repository::Repository;

impl History {
    /// What was valid before the collection after verdict `number`: its base, and the commits of its
    /// epoch. No forget is obeyed that no verdict up to that one had folded.
    ///
    /// Errors: [`RepoError::NoVerdict`].
    pub(crate) fn load_as_of(repository: &Repository, number: u64) -> Result<Self, RepoError> {
        let newest = Chain::load(repository)?.verdict;
        let listed = repository.store.list(layout::OUTCOMES)?;
        let chain = Chain { plan: number, verdict: number, stray: None };
        // What this host saw since is meant to be missing.
        let memory = Memory::default();
        match Self::load_at(repository, chain, &listed, Unreadable::Refused, &memory) {
            _ if number > newest => Err(RepoError::NoVerdict { number, newest }),
            Err(error) if is_missing(&error) => Err(RepoError::NoVerdict { number, newest }),
            loaded => loaded,
        }
    }
}

impl Repository {
    /// The same repository as it was before the collection after verdict `number`, to read from;
    /// without a number, as it is.
    #[must_use]
    pub(crate) fn at(self, at_verdict: Option<u64>) -> Self {
        Self { at_verdict, ..self }
    }

    /// Checks that it is the present state.
    pub(crate) fn check_present(&self) -> Result<(), RepoError> {
        match self.at_verdict {
            Some(number) => Err(RepoError::PastIsRead { number }),
            None => Ok(()),
        }
    }
}
