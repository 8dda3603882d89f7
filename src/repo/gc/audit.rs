//! Is the history of collections whole? Spec: format-spec/11-gc.md, "Reading".

use crate::format::gc::Step;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::id::Digest;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::load_verdict;
use crate::repo::history::register_body;
use crate::repo::repository::Repository;
use std::collections::BTreeSet;

/// A collection whose registers do not fit the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokenCollection {
    pub(crate) key: ObjectKey,
    pub(crate) effect: &'static str,
}

/// Registers that are missing, and verdicts that do not name the plan and the verdict before.
///
/// What cannot be read at all is passed over: whoever opens every object says so.
pub(crate) fn broken_collections(
    repository: &Repository,
) -> Result<Vec<BrokenCollection>, RepoError> {
    let mut missing = missing_registers(repository)?;
    if !missing.is_empty() {
        // A listing may show a register and miss those before that came while it was made.
        let again = missing_registers(repository)?;
        missing.retain(|broken| again.contains(broken));
    }
    missing.extend(broken_links(repository)?);
    Ok(missing)
}

fn missing_registers(repository: &Repository) -> Result<Vec<BrokenCollection>, RepoError> {
    let mut steps = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    for key in repository.list_keys(layout::GC)? {
        match layout::parse_gc_key(&key) {
            Ok((number, GcObject::Plan)) => steps[0].insert(number),
            Ok((number, GcObject::Verdict)) => steps[1].insert(number),
            Ok((number, GcObject::Done)) => steps[2].insert(number),
            Ok((_, GcObject::Body(_))) | Err(_) => false,
        };
    }
    let newest = steps.iter().filter_map(|numbers| numbers.last()).max().copied().unwrap_or(0);
    let objects = [GcObject::Plan, GcObject::Verdict, GcObject::Done];
    let mut missing = Vec::new();
    for number in 1..=newest.min(COLLECTIONS_COUNT_MAX) {
        for (step, object) in objects.into_iter().enumerate() {
            let later = steps[step + 1..].iter().any(|numbers| numbers.contains(&number));
            if !steps[step].contains(&number) && (later || number < newest) {
                let key = layout::gc_key(number, object);
                missing.push(BrokenCollection { key, effect: "a register is missing" });
            }
        }
    }
    Ok(missing)
}

fn broken_links(repository: &Repository) -> Result<Vec<BrokenCollection>, RepoError> {
    let mut broken = Vec::new();
    let mut before = Some(Digest::new([0; 32]));
    let mut numbers: Vec<u64> = Vec::new();
    for key in repository.list_keys(layout::GC)? {
        if let Ok((number, GcObject::Verdict)) = layout::parse_gc_key(&key) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    for number in numbers {
        let key = layout::gc_key(number, GcObject::Verdict);
        let (verdict, digest) = match load_verdict(repository, number) {
            Ok(loaded) => loaded,
            Err(error) if error.is_damage() => {
                before = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        if before.is_some_and(|before| before != verdict.previous) {
            let effect = "the verdict does not follow the one before";
            broken.push(BrokenCollection { key: key.clone(), effect });
        }
        match register_body(repository, number, GcObject::Plan, Step::Plan) {
            Ok(plan) if plan != verdict.plan => {
                broken.push(BrokenCollection { key, effect: "the verdict is of another plan" });
            }
            Ok(_) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        before = Some(digest);
    }
    Ok(broken)
}

/// A forged number may be far away.
const COLLECTIONS_COUNT_MAX: u64 = 1_000_000;
