//! What is valid together with its index: read again while a collection moves it.
//! Spec: format-spec/09-session.md, "What is valid".

use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::is_missing;
use crate::repo::index::load::LoadedIndex;
use crate::repo::index::load::load_index;
use crate::repo::repository::Repository;

/// Reads what is valid, as far as it can be read, and loads its index.
///
/// A segment that is missing although it counts is looked for again; if the newest verdict did not
/// change meanwhile, it is damage and stands among what cannot be read.
pub(crate) fn load_valid(repository: &Repository) -> Result<(History, LoadedIndex), RepoError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let before = Chain::load(repository)?;
        let history = History::load_readable(repository)?;
        let loaded = load_index(repository, &history)?;
        let lost = loaded.unreadable.iter().any(|at| is_missing(&at.error));
        let moved = lost && Chain::load(repository)?.verdict != before.verdict;
        if !moved || attempt >= ATTEMPTS_COUNT_MAX {
            return Ok((history, loaded));
        }
    }
}

/// How often the base may move while the index is read.
const ATTEMPTS_COUNT_MAX: u32 = 16;
