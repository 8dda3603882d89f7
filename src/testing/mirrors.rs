//! Mirrors in any store. Invariant: nothing is added to what the library itself does.

use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::mirror::copier::Compare;
use crate::repo::mirror::copier::Watch;
use crate::repo::mirror::deletes::StaleSlots;
use crate::repo::mirror::place::open_place;
use crate::repo::mirror::promote::promote;
use crate::repo::mirror::run::Order;
use crate::repo::mirror::run::run;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::store::Store;
use std::sync::Arc;

/// What a mirroring did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Objects that were copied.
    pub copied: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// What is wrong: objects, and the words for what.
    pub flaws: Vec<(ObjectKey, String)>,
}

/// Mirrors `source` into `store`, one object after the other.
pub fn mirror_in(source: &Repository, store: &Arc<dyn Store>) -> Result<Mirrored, RepoError> {
    let located = Located::new(Arc::clone(store), Arc::clone(&source.environment));
    let place = open_place(source, &located)?;
    let watch = Watch { begin: &|_, _, _| {}, advance: &|_, _| {}, is_cancelled: &|| false };
    let order = Order { compare: Compare::Bytes, slots: StaleSlots::Keep, threads: 1 };
    let tally = run(source, &place, order, &watch)?.tally;
    let flaws = tally.flaws.into_iter().map(|flaw| (flaw.key, format!("{:?}", flaw.kind)));
    Ok(Mirrored { copied: tally.copied, deleted: tally.deleted, flaws: flaws.collect() })
}

/// Makes a repository of its own of a mirror, whatever is missing in it.
pub fn promote_in(mirror: &Repository) -> Result<(), RepoError> {
    promote(mirror, mirror.store_mode()).map(|_history| ())
}
