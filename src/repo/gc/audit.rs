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
    let present: BTreeSet<u64> = steps.iter().flatten().copied().collect();
    let newest = present.last().copied().unwrap_or_default();
    let objects = [GcObject::Plan, GcObject::Verdict, GcObject::Done];
    let mut missing = Vec::new();
    let mut before = 0;
    for &number in &present {
        if number - before > GAP_COUNT_MAX {
            // A forged number may be far away: it is called stray, and those before it are not missing.
            before = number;
            continue;
        }
        for number in before + 1..=number {
            for (step, object) in objects.into_iter().enumerate() {
                let later = steps[step + 1..].iter().any(|numbers| numbers.contains(&number));
                if !steps[step].contains(&number) && (later || number < newest) {
                    let key = layout::gc_key(number, object);
                    let effect = "a register is missing";
                    missing.push(BrokenCollection { key, effect });
                }
            }
        }
        before = number;
    }
    Ok(missing)
}

fn broken_links(repository: &Repository) -> Result<Vec<BrokenCollection>, RepoError> {
    let mut broken = Vec::new();
    let nothing = Digest::new([0; 32]);
    let mut before = Some(nothing);
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
            let key = key.clone();
            broken.push(BrokenCollection { key, effect });
        }
        match register_body(repository, number, GcObject::Plan, Step::Plan) {
            // A plan that could not be read is followed by a verdict that removes nothing.
            Ok(_) if verdict.plan == nothing && verdict.removed.is_empty() => {}
            Ok(plan) if plan != verdict.plan => {
                let effect = "the verdict is of another plan";
                broken.push(BrokenCollection { key, effect });
            }
            Ok(_) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        before = Some(digest);
    }
    Ok(broken)
}

/// Collections in a row whose missing registers are named one by one.
const GAP_COUNT_MAX: u64 = 64;
