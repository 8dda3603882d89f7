//! Verdicts with their bases, also beside registers that cannot be read.
//! Spec: format-spec/11-gc.md, "What cannot be read".

use crate::format::gc::Base;
use crate::format::gc::Step;
use crate::format::gc::Verdict;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::id::Digest;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::RepoErrorAt;
use crate::repo::history::load_base;
use crate::repo::history::load_verdict;
use crate::repo::history::register_body;
use crate::repo::history::verdict_body;
use crate::repo::registers::Registers;
use crate::repo::registers::Stray;
use crate::repo::repository::Repository;
use std::sync::Arc;

/// A verdict and the base that it names.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    /// The hash of its body.
    pub(crate) digest: Digest,
    pub(crate) base: Base,
}

/// Reads a verdict with the base that it names.
pub(crate) fn load_decision(repository: &Repository, number: u64) -> Result<Decision, RepoError> {
    let (verdict, digest) = load_verdict(repository, number)?;
    let base = load_base(repository, &verdict)?;
    Ok(Decision { verdict, digest, base })
}

/// As [`load_decision`], but if the register cannot be read, by the only body that there is: every
/// register is stored after its body, and no verdict's body is ever deleted.
pub(crate) fn load_decision_by_body(
    repository: &Repository,
    number: u64,
) -> Result<Decision, RepoError> {
    let error = match load_decision(repository, number) {
        Err(error) if error.is_unreadable() && is_register(&error, number) => error,
        loaded => return loaded,
    };
    let mut found = None;
    for digest in bodies_of(repository, number)? {
        match verdict_body(repository, number, digest) {
            // Two processes decided at once: only the register says who was first.
            Ok(_other) if found.is_some() => return Err(error),
            Ok(verdict) => found = Some((verdict, digest)),
            Err(body) if body.is_unreadable() => {}
            Err(body) => return Err(body),
        }
    }
    let Some((verdict, digest)) = found else { return Err(error) };
    let base = load_base(repository, &verdict)?;
    Ok(Decision { verdict, digest, base })
}

/// The newest decision that can be read, from `number` down; and what could not be.
///
/// For readers: what counts since then may be missing, and what was removed since may be named.
pub(crate) fn newest_readable(
    repository: &Repository,
    number: u64,
    stray: Option<Stray>,
) -> Result<(Option<Decision>, Vec<RepoErrorAt>), RepoError> {
    let mut unreadable = Vec::new();
    for number in verdicts_up_to(repository, number)? {
        match load_decision(repository, number) {
            Ok(decision) => return Ok((Some(decision), unreadable)),
            Err(error) if error.is_unreadable() => {
                let key = key_of(&error, number);
                let stray = stray.filter(|stray| stray.number <= number);
                let error = Arc::new(stray.map_or(error, |stray| stray.error()));
                unreadable.push(RepoErrorAt { key, error });
            }
            Err(error) => return Err(error),
        }
        match load_decision_by_body(repository, number) {
            Ok(decision) => return Ok((Some(decision), unreadable)),
            Err(error) if error.is_unreadable() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((None, unreadable))
}

/// The register that no collection can have left and that keeps collections from going on: no verdict
/// that can be read has the last word.
pub(crate) fn stray_in_the_way(repository: &Repository) -> Result<Option<Stray>, RepoError> {
    let Registers { plan, verdict, done, stray } = Registers::load(repository)?;
    let Some(stray) = stray else { return Ok(None) };
    // A plan may follow it at once.
    let has_last_word = verdict >= stray.number && verdict >= done && verdict + 1 >= plan;
    let is_decided = has_last_word && load_decision(repository, verdict).is_ok();
    Ok((!is_decided).then_some(stray))
}

/// Whether a register or a verdict that can be read names a body.
pub(crate) fn names_body(
    repository: &Repository,
    number: u64,
    digest: Digest,
) -> Result<bool, RepoError> {
    let unless_damaged = |named: Result<bool, RepoError>| match named {
        Err(error) if error.is_damage() => Ok(false),
        named => named,
    };
    let plan = register_body(repository, number, GcObject::Plan, Step::Plan);
    let verdict = register_body(repository, number, GcObject::Verdict, Step::Verdict);
    let base = load_verdict(repository, number).map(|(verdict, _digest)| verdict.base);
    for named in [plan, verdict, base] {
        if unless_damaged(named.map(|named| named == digest))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The hashes that the bodies of a collection are stored under.
pub(crate) fn bodies_of(repository: &Repository, number: u64) -> Result<Vec<Digest>, RepoError> {
    let keys = repository.list_keys(&format!("{}/{number:012}", layout::GC))?;
    let body = |key: &ObjectKey| match layout::parse_gc_key(key) {
        Ok((_number, GcObject::Body(digest))) => Some(digest),
        Ok((_, GcObject::Plan | GcObject::Verdict | GcObject::Done)) | Err(_) => None,
    };
    Ok(keys.iter().filter_map(body).collect())
}

/// The newest numbers with a verdict's register, the highest first.
fn verdicts_up_to(repository: &Repository, number: u64) -> Result<Vec<u64>, RepoError> {
    let keys = repository.list_keys(layout::GC)?;
    let verdict = |key: &ObjectKey| match layout::parse_gc_key(key) {
        Ok((found, GcObject::Verdict)) if found <= number => Some(found),
        Ok(_) | Err(_) => None,
    };
    let mut numbers: Vec<u64> = keys.iter().filter_map(verdict).collect();
    numbers.sort_unstable_by_key(|&number| std::cmp::Reverse(number));
    numbers.truncate(VERDICTS_COUNT_MAX);
    Ok(numbers)
}

fn is_register(error: &RepoError, number: u64) -> bool {
    error.object() == Some(layout::gc_key(number, GcObject::Verdict).as_str())
}

/// The object that an error is about: the verdict's register, if it does not say.
fn key_of(error: &RepoError, number: u64) -> ObjectKey {
    let named = error.object().and_then(|key| ObjectKey::new(key).ok());
    named.unwrap_or_else(|| layout::gc_key(number, GcObject::Verdict))
}

/// Verdicts that are tried: forged ones may be many.
const VERDICTS_COUNT_MAX: usize = 64;
