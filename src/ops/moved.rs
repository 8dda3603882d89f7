//! What is looked for while a collection removes it is no damage: it is looked for again.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::repo::history::Chain;
use crate::repo::history::is_missing;
use crate::repo::repository::Repository;

/// Does again what came to a suspicious end while a verdict came: what it removed was looked for.
pub(crate) fn unless_moved<T>(
    repository: &Repository,
    run: impl Fn() -> Result<T, OpError>,
    is_suspicious: impl Fn(&Result<T, OpError>) -> bool,
) -> Result<T, OpError> {
    let chain = || Chain::load(repository).during("cannot read the collections");
    let mut before = chain()?.verdict;
    for _attempt in 1..ATTEMPTS_COUNT_MAX {
        let ended = run();
        if !is_suspicious(&ended) {
            return ended;
        }
        let after = chain()?.verdict;
        if after == before {
            return ended;
        }
        before = after;
    }
    run()
}

/// Whether something ended because an object was missing.
pub(crate) fn is_missing_there<T>(ended: &Result<T, OpError>) -> bool {
    matches!(ended, Err(OpError::Repo { source, .. }) if is_missing(source))
}

/// How often something is done again because a verdict came.
const ATTEMPTS_COUNT_MAX: u32 = 8;
