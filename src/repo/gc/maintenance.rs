//! What the maintenance key signs: registers and bodies of collections, and fences.
//! Spec: format-spec/11-gc.md.

use crate::crypto::hash::digest;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::envelope::ObjectKind;
use crate::format::gc::Register;
use crate::format::gc::Step;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::format::outcome::Fence;
use crate::format::outcome::FenceReason;
use crate::format::outcome::Outcome;
use crate::id::Digest;
use crate::key::ObjectKey;
use crate::repo::create::create;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::history::gc_body_place;
use crate::repo::objects;
use crate::repo::register::Won;
use crate::repo::register::create_register;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;

/// Signs for collections.
pub(crate) struct Maintenance<'a> {
    repository: &'a Repository,
    signer: Signer,
}

impl<'a> Maintenance<'a> {
    /// The maintenance key of the slot in use.
    ///
    /// Errors: [`RepoError::RoleLacks`] if its role has none.
    pub(crate) fn new(repository: &'a Repository) -> Result<Self, RepoError> {
        let keys = &repository.keys;
        let seed = keys.keys.maintenance.ok_or_else(|| keys.lacks(Right::Collect))?;
        let signer = Signer::new(&Secret::new(seed));
        repository.check_key_counts(signer.id())?;
        Ok(Self { repository, signer })
    }

    /// Stores a body; returns the hash that names it.
    pub(crate) fn store_body(
        &self,
        kind: ObjectKind,
        number: u64,
        body: &[u8],
    ) -> Result<Digest, RepoError> {
        let bytes = self.seal(kind, &gc_body_place(number), body)?;
        let hash = digest(&bytes);
        let key = layout::gc_key(number, GcObject::Body(hash));
        create(self.repository.store.as_ref(), &key, &bytes)?;
        Ok(hash)
    }

    /// Creates a register of a collection, or finds that another process was first.
    pub(crate) fn decide(&self, number: u64, step: Step, body: Digest) -> Result<Won, RepoError> {
        let object = match step {
            Step::Plan => GcObject::Plan,
            Step::Verdict => GcObject::Verdict,
            Step::Done => GcObject::Done,
        };
        let nonce = random(self.repository.environment.as_ref());
        let register = Register { number, step, body, nonce };
        let key = layout::gc_key(number, object);
        let bytes = self.seal(ObjectKind::GcRegister, key.as_str(), &register.encode())?;
        create_register(self.repository.store.as_ref(), &key, &bytes)
    }

    /// Gives up a session, unless it was decided before.
    pub(crate) fn fence(&self, session: SessionRef, number: u64) -> Result<Won, RepoError> {
        let nonce = random(self.repository.environment.as_ref());
        let fence = Outcome::Fence(Fence { reason: FenceReason::Collection { number }, nonce });
        let key = session.outcome_key();
        let bytes = self.seal(ObjectKind::Outcome, key.as_str(), &fence.encode())?;
        create_register(self.repository.store.as_ref(), &key, &bytes)
    }

    /// The stored bytes of a clear object that is signed as it stands.
    pub(crate) fn sign_clear(&self, kind: ObjectKind, key: &ObjectKey, body: &[u8]) -> Vec<u8> {
        objects::sign_clear(kind, self.repository.id(), key.as_str(), body, &self.signer)
    }

    fn seal(&self, kind: ObjectKind, place: &str, body: &[u8]) -> Result<Vec<u8>, RepoError> {
        let Repository { keys, environment, .. } = self.repository;
        objects::seal(kind, keys, place, body, &self.signer, environment.as_ref())
    }
}
