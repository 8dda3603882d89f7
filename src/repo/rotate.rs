//! A new generation of keys, sealed for everybody who holds a slot. Spec: format-spec/04-keyslot.md,
//! "Generations".
//!
//! Invariant: no two rotations make the same generation. The first renewal takes the very next number
//! among the identities, or the rotation starts over with what it finds then; and it is that of
//! whoever rotates, so that nothing is ever sealed under a generation that no admin has.

use crate::format::identity::Holder;
use crate::format::identity::Identity;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::id::ClientId;
use crate::repo::error::RepoError;
use crate::repo::first::new_generation;
use crate::repo::grant::keep_keys_of;
use crate::repo::renewal;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::store::StoreErrorKind;

/// What a rotation did.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    /// The new generation.
    pub(crate) generation: u32,
    /// Who has its keys.
    pub(crate) renewed: Vec<ClientId>,
}

impl Repository {
    /// Begins a generation and seals its keys, and those that a rotation before did not get to, for
    /// everybody whom the authority knows and did not revoke.
    ///
    /// Errors: [`RepoError::RoleLacks`] without the authority's key, or without all others.
    pub(crate) fn rotate(&self) -> Result<Rotation, RepoError> {
        self.check_no_mirror()?;
        self.check_certifies()?;
        if self.role() != Role::Admin {
            return Err(self.keys.lacks(Right::Certify));
        }
        for _attempt in 0..ATTEMPTS_COUNT_MAX {
            let current = self.with_newest_keys()?;
            let Some(own) = current.identities.holder(self.keys.client) else {
                return Err(RepoError::NotAHolder { client: self.keys.client });
            };
            let generation = 1 + current.identities.newest_generation();
            let keys = new_generation(generation, self.environment.as_ref())?;
            let first = Identity::Renewal(current.sealed(own, &keys)?);
            match current.store_identity_at(current.identities.count + 1, &first) {
                Err(RepoError::Store { source })
                    if source.kind == StoreErrorKind::AlreadyExists => {}
                stored => {
                    stored?;
                    let renewed = self.with_newest_keys()?.renew_all()?;
                    return Ok(Rotation { generation, renewed });
                }
            }
        }
        Err(RepoError::Unsettled { attempts: ATTEMPTS_COUNT_MAX })
    }

    /// The same repository with the identities and generations that are stored by now.
    pub(crate) fn with_newest_keys(&self) -> Result<Self, RepoError> {
        let current = self.with_newest_identities()?;
        let renewals = current.identities.renewals_for(self.keys.client);
        let keys = self.keys.with_renewals(std::sync::Arc::clone(&self.store), renewals)?;
        Ok(Self { keys: std::sync::Arc::new(keys), ..current })
    }

    /// Seals for each holder the generations that it lacks; returns all who have the newest one.
    pub(crate) fn renew_all(&self) -> Result<Vec<ClientId>, RepoError> {
        let mut number = self.identities.count;
        let mut renewed = Vec::new();
        for holder in self.identities.holders() {
            for keys in &self.keys.keys.generations {
                if !self.identities.has_generation(holder, keys.generation) {
                    let renewal = Identity::Renewal(self.sealed(holder, keys)?);
                    number = self.store_identity(number, &renewal)?;
                }
            }
            renewed.push(holder.client);
        }
        Ok(renewed)
    }

    /// What a holder's role has of a generation, sealed for it.
    fn sealed(
        &self,
        holder: &Holder,
        keys: &GenerationKeys,
    ) -> Result<crate::format::identity::Renewal, RepoError> {
        let mut keys = keys.clone();
        keep_keys_of(holder.role, &mut keys);
        renewal::seal_for(self.id(), holder, &keys, self.environment.as_ref())
    }
}

/// How often others may store identities while a generation is begun.
const ATTEMPTS_COUNT_MAX: u32 = 16;
