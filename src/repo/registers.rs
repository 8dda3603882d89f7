//! Which registers of collections there are, as a listing shows them.
//! Spec: format-spec/11-gc.md.
//!
//! Numbers have no gaps: a register before which nothing of the collection before is there was not left
//! by a collection.

use crate::format::layout;
use crate::format::layout::GcObject;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::repository::Repository;
use std::collections::BTreeSet;

/// The newest registers; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) plan: u64,
    pub(crate) verdict: u64,
    pub(crate) done: u64,
    pub(crate) stray: Option<Stray>,
}

/// The first of the newest registers, if nothing of the collection before is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) number: u64,
    object: GcObject,
}

impl Stray {
    /// The error of whoever would have to rely on it.
    pub(crate) fn error(&self) -> RepoError {
        RepoError::StrayRegister { key: self.key().to_string(), missing: self.number - 1 }
    }

    /// The register.
    pub(crate) fn key(&self) -> ObjectKey {
        layout::gc_key(self.number, self.object)
    }
}

impl Registers {
    /// Lists the registers.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let registers = Self::of(&repository.list_keys(layout::GC)?);
        if registers.stray.is_none() {
            return Ok(registers);
        }
        // A listing may miss registers that come while it is made, and show those that follow.
        Ok(Self::of(&repository.list_keys(layout::GC)?))
    }

    fn of(keys: &[ObjectKey]) -> Self {
        let mut registers = Self::default();
        let mut present: BTreeSet<(u64, u8)> = BTreeSet::new();
        for key in keys {
            let (number, step) = match layout::parse_gc_key(key) {
                Ok((number, GcObject::Plan)) => {
                    registers.plan = registers.plan.max(number);
                    (number, 0)
                }
                Ok((number, GcObject::Verdict)) => {
                    registers.verdict = registers.verdict.max(number);
                    (number, 1)
                }
                Ok((number, GcObject::Done)) => {
                    registers.done = registers.done.max(number);
                    (number, 2)
                }
                Ok((_, GcObject::Body(_))) | Err(_) => continue,
            };
            present.insert((number, step));
        }
        registers.stray = stray(&present);
        registers
    }
}

fn stray(present: &BTreeSet<(u64, u8)>) -> Option<Stray> {
    let mut first = *present.last()?;
    for &register in present.iter().rev() {
        if register.0 < first.0.saturating_sub(1) {
            break;
        }
        first = register;
    }
    let (number, step) = first;
    let object = match step {
        0 => GcObject::Plan,
        1 => GcObject::Verdict,
        _ => GcObject::Done,
    };
    (number > 1).then_some(Stray { number, object })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &[&str], expected: Option<&str>) {
        let keys: Vec<_> = keys.iter().map(|&key| ObjectKey::new(key).unwrap()).collect();
        let found = Registers::of(&keys).stray.map(|stray| stray.key().to_string());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_register_after_a_gap_is_stray() {
        let plan = "gc/000000000001/plan";
        check(&[], None);
        check(&[plan], None);
        check(&[plan, "gc/000000000002/done", "gc/000000000003/verdict"], None);
        check(&[plan, "gc/000000000003/verdict"], Some("gc/000000000003/verdict"));
        let far = ["gc/000000000008/verdict", "gc/000000000009/plan", plan];
        check(&far, Some("gc/000000000008/verdict"));
        check(&["gc/000000000000/plan"], None);
        check(&["gc/18446744073709551615/plan"], Some("gc/18446744073709551615/plan"));
    }
}
