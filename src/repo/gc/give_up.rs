//! Objects that cannot be read and that a person gives up, so that collections go on without them.
//! Spec: format-spec/11-gc.md, "What cannot be read".
//!
//! Invariant: nothing is given up that can be read, or that a collection may have left and that decides
//! what is deleted.

use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::key::ObjectKey;
use crate::repo::audit_objects::open_any;
use crate::repo::decision::Decision;
use crate::repo::decision::bodies_of;
use crate::repo::decision::load_decision;
use crate::repo::decision::load_decision_by_body;
use crate::repo::error::RepoError;
use crate::repo::history::is_missing;
use crate::repo::open_sessions::read_announcement;
use crate::repo::registers::Registers;
use crate::repo::repository::Repository;
use std::collections::BTreeSet;

/// What is given up.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    /// Sessions whose outcomes are: what they may have committed counts no longer.
    outcomes: BTreeSet<SessionRef>,
    /// Verdicts whose registers are: their only bodies decide.
    verdicts: BTreeSet<u64>,
    /// Registers that no collection left, and outcomes that count for nothing: they go.
    strays: Vec<ObjectKey>,
}

impl GivenUp {
    /// Finds out what becomes of each object; changes nothing.
    ///
    /// Errors: [`RepoError::NotGivenUp`]; whatever else keeps an object from being looked at.
    pub(crate) fn new(repository: &Repository, keys: &[ObjectKey]) -> Result<Self, RepoError> {
        let mut given_up = Self::default();
        for key in keys {
            if let Ok(session) = SessionRef::parse_outcome(key) {
                check_unreadable(repository, key)?;
                let Registers { plan, verdict, .. } = Registers::load(repository)?;
                if session.epoch < verdict || session.epoch > plan.max(verdict) {
                    // It counts for nothing, whatever it says.
                    given_up.strays.push(key.clone());
                } else {
                    given_up.outcomes.insert(session);
                }
                continue;
            }
            let (number, object) = match layout::parse_gc_key(key) {
                Ok((_, GcObject::Body(_))) | Err(_) => return Err(refused(key, OTHER_KIND)),
                Ok(register) => register,
            };
            if is_stray(repository, key, number, object)? {
                given_up.strays.push(key.clone());
                continue;
            }
            check_unreadable(repository, key)?;
            if object != GcObject::Verdict {
                return Err(refused(key, NOTHING_HANGS_ON_IT));
            }
            load_decision_by_body(repository, number)?;
            given_up.verdicts.insert(number);
        }
        Ok(given_up)
    }

    /// Whether the outcome of a session is given up.
    pub(crate) fn has_outcome(&self, session: &SessionRef) -> bool {
        self.outcomes.contains(session)
    }

    /// Reads a verdict with its base; by its only body if the register is given up.
    pub(crate) fn load_decision(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<Decision, RepoError> {
        if self.verdicts.contains(&number) {
            return load_decision_by_body(repository, number);
        }
        load_decision(repository, number)
    }

    /// Deletes what no collection left and what counts for nothing.
    pub(crate) fn remove_strays(&mut self, repository: &Repository) -> Result<(), RepoError> {
        for key in self.strays.drain(..) {
            repository.store.delete(&key)?;
        }
        Ok(())
    }
}

/// Whether no collection can have left a register, and nobody went by it.
///
/// Errors: [`RepoError::NotGivenUp`] if what comes before it is missing, and yet a collection may
/// have left it.
fn is_stray(
    repository: &Repository,
    key: &ObjectKey,
    number: u64,
    object: GcObject,
) -> Result<bool, RepoError> {
    let registers = Registers::load(repository)?;
    let is_after_gap = registers.stray.is_some_and(|stray| stray.number <= number);
    if !is_after_gap {
        let before = match object {
            GcObject::Verdict => GcObject::Plan,
            GcObject::Done => GcObject::Verdict,
            GcObject::Plan | GcObject::Body(_) => return Ok(false),
        };
        if !is_absent(repository, &layout::gc_key(number, before))? {
            return Ok(false);
        }
        check_unreadable(repository, key)?;
        if has_readable_body(repository, number)? {
            return Err(refused(key, LEFT_BODIES));
        }
    } else if load_decision(repository, registers.verdict).is_ok() && registers.verdict >= number {
        return Err(refused(key, DECIDED));
    }
    check_listed(repository, key)?;
    for listed in repository.list_keys(layout::SESSIONS)? {
        let Ok(session) = SessionRef::parse_announcement(&listed) else { continue };
        if session.epoch >= number && read_announcement(repository, session).is_ok() {
            return Err(refused(key, HAS_SESSIONS));
        }
    }
    Ok(true)
}

fn check_unreadable(repository: &Repository, key: &ObjectKey) -> Result<(), RepoError> {
    match open_any(repository, key) {
        Ok(()) => Err(refused(key, "it can be read")),
        Err(error) if error.is_unreadable() && !is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn check_listed(repository: &Repository, key: &ObjectKey) -> Result<(), RepoError> {
    if is_absent(repository, key)? { Err(refused(key, "it is not there")) } else { Ok(()) }
}

fn is_absent(repository: &Repository, key: &ObjectKey) -> Result<bool, RepoError> {
    match repository.store.length(key) {
        Ok(_length) => Ok(false),
        Err(error) => {
            let error = RepoError::from(error);
            if is_missing(&error) { Ok(true) } else { Err(error) }
        }
    }
}

fn has_readable_body(repository: &Repository, number: u64) -> Result<bool, RepoError> {
    for digest in bodies_of(repository, number)? {
        match open_any(repository, &layout::gc_key(number, GcObject::Body(digest))) {
            Ok(()) => return Ok(true),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn refused(key: &ObjectKey, why: &'static str) -> RepoError {
    RepoError::NotGivenUp { key: key.to_string(), why }
}

const OTHER_KIND: &str = "only outcomes and the registers of collections can be";
const NOTHING_HANGS_ON_IT: &str = "nothing hangs on it, and a prune goes on as it is";
const LEFT_BODIES: &str = "other objects of its collection can be read, so that it is a real one";
const DECIDED: &str = "a verdict of its collection, or of a later one, can be read";
const HAS_SESSIONS: &str = "backups of its epoch were announced, so that it is a real one";
