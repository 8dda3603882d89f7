//! Slots for other people and machines: the keys of a role, and its certificate.
//! Spec: format-spec/04-keyslot.md.

use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Certificate;
use crate::format::identity::Identity;
use crate::format::identity::Subject;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::format::keyslot::SlotKeys;
use crate::format::layout;
use crate::format::layout::SegmentRef;
use crate::id::ClientId;
use crate::id::SlotId;
use crate::key::ObjectKey;
use crate::repo::create::create;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::key_file::AuthorityFile;
use crate::repo::objects;
use crate::repo::renewal::holder_of;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::repo::signed_at::VALID_FROM;
use crate::repo::slots;
use crate::repo::slots::NewSecret;
use crate::repo::slots::NewSlot;
use crate::store::StoreErrorKind;
use std::sync::Arc;

/// Whose keys a new slot wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A new client of this role, with keys of its own to sign with.
    New(NewClient),
    /// The client of the slot in use.
    Same,
}

/// A client that is to be certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewClient {
    /// What its slot allows.
    pub(crate) role: Role,
    /// When its signatures stop counting, in seconds since 1970.
    pub(crate) valid_until: Option<i64>,
    /// Whether the slot of an admin holds the authority key.
    pub(crate) authority: HoldsAuthority,
}

/// Whether the slot of an admin holds the authority key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HoldsAuthority {
    /// As the slot in use does.
    LikeThis,
    /// It does not.
    No,
}

/// A slot to be made.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) slot: SlotId,
    pub(crate) holder: Holder,
    pub(crate) label: String,
}

impl Repository {
    /// Stores a new slot.
    ///
    /// Errors: [`RepoError::RoleLacks`] if a new client is to be certified without the authority.
    pub(crate) fn grant(&self, grant: Grant, secret: NewSecret<'_>) -> Result<(), RepoError> {
        self.check_no_mirror()?;
        let current = self.with_newest_keys()?;
        let Grant { slot, holder, label } = grant;
        let (role, keys) = match holder {
            Holder::Same => (self.role(), current.own_keys()),
            Holder::New(client) => (client.role, current.keys_of(client)?),
        };
        let new = NewSlot { repository: self.id(), slot, role, label };
        let bytes = slots::make_slot(new, secret, &keys, self.environment.as_ref())?;
        // First the identities: a key that nobody can open harms nobody, and a slot whose
        // signatures do not count would lose its holder's work.
        if let Holder::New(client) = holder {
            current.store_identities(&identities_of(client, &keys)?)?;
        }
        create(self.store.as_ref(), &layout::slot_key(slot), &bytes)?;
        if let Holder::New(_client) = holder {
            // A generation may have begun meanwhile, whose maker did not see the new holder.
            self.with_newest_keys()?.renew_all()?;
        }
        Ok(())
    }

    /// Stores what the authority says, each under the next number.
    ///
    /// Errors: [`RepoError::RoleLacks`] without the authority's key.
    pub(crate) fn store_identities(&self, identities: &[Identity]) -> Result<(), RepoError> {
        let mut number = self.identities.count;
        for identity in identities {
            number = self.store_identity(number, identity)?;
        }
        Ok(())
    }

    /// Stores an identity under the first free number after `number`; returns the number it got.
    pub(crate) fn store_identity(
        &self,
        mut number: u32,
        identity: &Identity,
    ) -> Result<u32, RepoError> {
        for _attempt in 0..NUMBER_ATTEMPTS {
            number += 1;
            match self.store_identity_at(number, identity) {
                // Somebody else certifies a client at the same time.
                Err(RepoError::Store { source })
                    if source.kind == StoreErrorKind::AlreadyExists => {}
                stored => return stored.map(|()| number),
            }
        }
        Err(RepoError::Unsettled { attempts: NUMBER_ATTEMPTS })
    }

    /// Stores an identity under this number and no other.
    pub(crate) fn store_identity_at(
        &self,
        number: u32,
        identity: &Identity,
    ) -> Result<(), RepoError> {
        let authority = self.authority()?;
        let key = layout::identity_key(number);
        let (kind, body) = (ObjectKind::Identity, identity.encode());
        let bytes = objects::sign_clear(kind, self.id(), key.as_str(), &body, &authority);
        create(self.store.as_ref(), &key, &bytes)?;
        // It is stored, whether this host can remember that or not.
        let _ignored = self.remember(|memory| memory.identities = memory.identities.max(number));
        Ok(())
    }

    /// The same repository with the authority's key out of a file.
    ///
    /// Errors: [`RepoError::AuthorityFile`] if it is that of another repository.
    pub(crate) fn with_authority(self, file: &AuthorityFile) -> Result<Self, RepoError> {
        let keys = Arc::new(self.keys.with_authority(file)?);
        Ok(Self { keys, ..self })
    }

    /// The authority's key, for a file.
    ///
    /// Errors: [`RepoError::RoleLacks`] if the slot in use does not hold it.
    pub(crate) fn authority_file(&self) -> Result<AuthorityFile, RepoError> {
        let seed = self.keys.keys.authority.ok_or_else(|| self.keys.lacks(Right::Certify))?;
        Ok(AuthorityFile { repository: self.id(), seed: Secret::new(seed) })
    }

    /// Checks that the authority's key is at hand.
    pub(crate) fn check_certifies(&self) -> Result<(), RepoError> {
        self.authority().map(|_signer| ())
    }

    /// Checks that the role in use makes snapshots: its client has a certificate, and what it
    /// commits counts.
    pub(crate) fn check_makes_snapshots(&self) -> Result<(), RepoError> {
        match self.role() {
            Role::Admin | Role::Writer => Ok(()),
            Role::Reader | Role::Pruner | Role::Auditor => {
                Err(self.keys.lacks(Right::SignSnapshots))
            }
        }
    }

    /// Checks that the role in use may end a hold of this client.
    pub(crate) fn check_releases(&self, holder: ClientId) -> Result<(), RepoError> {
        match self.role() {
            Role::Admin | Role::Pruner => Ok(()),
            Role::Writer if self.keys.client == holder => Ok(()),
            Role::Writer | Role::Reader | Role::Auditor => {
                Err(self.keys.lacks(Right::EndHoldsOfOthers))
            }
        }
    }

    /// Deletes a slot, damaged or not.
    pub(crate) fn remove_slot(&self, key: &ObjectKey) -> Result<(), RepoError> {
        self.check_no_mirror()?;
        Ok(self.store.delete(key)?)
    }

    /// The stored index segments with their lengths.
    pub(crate) fn segment_lengths(&self) -> Result<Vec<(SegmentRef, u64)>, RepoError> {
        let listed = self.store.list(layout::INDEX)?;
        let parsed = |listed: crate::store::Listed| {
            Some((SegmentRef::parse(&listed.key).ok()?, listed.length))
        };
        Ok(listed.into_iter().filter_map(parsed).collect())
    }

    fn authority(&self) -> Result<Signer, RepoError> {
        let seed = self.keys.keys.authority.ok_or_else(|| self.keys.lacks(Right::Certify))?;
        Ok(Signer::new(&Secret::new(seed)))
    }

    /// What the slot in use wraps, with the generations since.
    fn own_keys(&self) -> SlotKeys {
        let mut keys = self.keys.keys.clone();
        if self.keys.has_authority_file {
            keys.authority = None;
        }
        keys
    }

    /// The table of `format-spec/04-keyslot.md`, with a new client.
    fn keys_of(&self, client: NewClient) -> Result<SlotKeys, RepoError> {
        self.authority()?;
        let NewClient { role, authority, valid_until: _ } = client;
        let mut keys = self.own_keys();
        let environment = self.environment.as_ref();
        keys.client = random(environment);
        keys.client_key = random(environment);
        if role != Role::Admin || authority == HoldsAuthority::No {
            keys.authority = None;
        }
        // Each has a maintenance key of its own, so that it can be revoked alone.
        let maintains = matches!(role, Role::Admin | Role::Pruner);
        keys.maintenance = maintains.then(|| random(environment));
        if role == Role::Auditor {
            keys.id_key = None;
            keys.gear_key = None;
        }
        for generation in &mut keys.generations {
            keep_keys_of(role, generation);
        }
        Ok(keys)
    }
}

/// What the authority says of a new client and its keys.
fn identities_of(client: NewClient, keys: &SlotKeys) -> Result<Vec<Identity>, RepoError> {
    let NewClient { role, valid_until, authority: _ } = client;
    let certificate = |seed: [u8; 32], subject| {
        let public_key = Signer::new(&Secret::new(seed)).public();
        Identity::Certificate(Certificate {
            subject,
            public_key,
            role,
            valid_from: VALID_FROM,
            valid_until,
        })
    };
    // Every role signs its own audit log.
    let client = Subject::Client(keys.client_id());
    let mut identities = vec![certificate(keys.client_key, client)];
    if let Some(seed) = keys.maintenance {
        identities.push(certificate(seed, Subject::Maintenance));
    }
    identities.push(Identity::Holder(holder_of(role, keys)?));
    Ok(identities)
}

/// Whether what a role signs counts beyond its audit log and what it says of packs that it read.
pub(crate) fn signs(role: Role) -> bool {
    match role {
        Role::Admin | Role::Writer | Role::Pruner => true,
        Role::Reader | Role::Auditor => false,
    }
}

pub(crate) fn keep_keys_of(role: Role, keys: &mut GenerationKeys) {
    let GenerationKeys {
        generation: _,
        index,
        manifest: _,
        tree,
        data,
        tree_seal_public,
        data_seal_public,
        tree_seal_secret,
        data_seal_secret,
    } = keys;
    match role {
        Role::Admin => {}
        Role::Writer => {
            (*tree, *data, *tree_seal_secret, *data_seal_secret) = (None, None, None, None);
        }
        Role::Reader => {
            tree_seal_public.clear();
            data_seal_public.clear();
        }
        Role::Pruner => (*data, *data_seal_secret) = (None, None),
        Role::Auditor => {
            *index = None;
            (*tree, *data, *tree_seal_secret, *data_seal_secret) = (None, None, None, None);
            tree_seal_public.clear();
            data_seal_public.clear();
        }
    }
}

/// How many others may certify clients at the same time.
const NUMBER_ATTEMPTS: u32 = 16;
