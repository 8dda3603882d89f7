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
use crate::repo::objects;
use crate::repo::repository::Repository;
use crate::repo::slots;
use crate::repo::slots::NewSecret;
use crate::repo::slots::NewSlot;
use crate::store::StoreErrorKind;

/// Whose keys a new slot wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A new client of this role, with a key of its own to sign with.
    New(Role),
    /// The client of the slot in use.
    Same,
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
        let Grant { slot, holder, label } = grant;
        let (role, keys) = match holder {
            Holder::Same => (self.role(), self.keys.keys.clone()),
            Holder::New(role) => (role, self.keys_of_role(role)?),
        };
        let new = NewSlot { repository: self.id(), slot, role, label };
        let bytes = slots::make_slot(new, secret, &keys, self.environment.as_ref())?;
        // First the certificate: a key that nobody can open harms nobody, and a slot whose
        // signatures do not count would lose its holder's work.
        // Every role signs its own audit log.
        if let Holder::New(role) = holder {
            self.certify(role, &keys)?;
        }
        create(self.store.as_ref(), &layout::slot_key(slot), &bytes)
    }

    /// Checks that the role in use makes snapshots: its client has a certificate, and what it
    /// commits counts.
    pub(crate) fn check_makes_snapshots(&self) -> Result<(), RepoError> {
        match self.role() {
            Role::Admin | Role::Writer => Ok(()),
            Role::Reader | Role::Pruner | Role::Auditor => {
                Err(self.keys.lacks("signing snapshots"))
            }
        }
    }

    /// Checks that the role in use may end a hold of this client.
    pub(crate) fn check_releases(&self, holder: ClientId) -> Result<(), RepoError> {
        match self.role() {
            Role::Admin | Role::Pruner => Ok(()),
            Role::Writer if self.keys.client == holder => Ok(()),
            Role::Writer | Role::Reader | Role::Auditor => {
                Err(self.keys.lacks("ending the holds of others"))
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
        let seed = self.keys.keys.authority.ok_or_else(|| self.keys.lacks("certifying clients"))?;
        Ok(Signer::new(&Secret::new(seed)))
    }

    /// The table of `format-spec/04-keyslot.md`, with a new client.
    fn keys_of_role(&self, role: Role) -> Result<SlotKeys, RepoError> {
        self.authority()?;
        let mut keys = self.keys.keys.clone();
        let environment = self.environment.as_ref();
        keys.client = random(environment);
        keys.client_key = random(environment);
        if role != Role::Admin {
            keys.authority = None;
        }
        if !matches!(role, Role::Admin | Role::Pruner) {
            keys.maintenance = None;
        }
        if role == Role::Auditor {
            keys.id_key = None;
            keys.gear_key = None;
        }
        for generation in &mut keys.generations {
            keep_keys_of(role, generation);
        }
        Ok(keys)
    }

    fn certify(&self, role: Role, keys: &SlotKeys) -> Result<(), RepoError> {
        let authority = self.authority()?;
        let certificate = Certificate {
            subject: Subject::Client(keys.client_id()),
            public_key: Signer::new(&Secret::new(keys.client_key)).public(),
            role,
            valid_from: self.environment.now().0,
            valid_until: None,
        };
        let body = Identity::Certificate(certificate).encode();
        let mut number = self.identities.count;
        for _attempt in 0..NUMBER_ATTEMPTS {
            number += 1;
            let key = layout::identity_key(number);
            let kind = ObjectKind::Identity;
            let bytes = objects::sign_clear(kind, self.id(), key.as_str(), &body, &authority);
            match create(self.store.as_ref(), &key, &bytes) {
                // Somebody else certifies a client at the same time.
                Err(RepoError::Store { source })
                    if source.kind == StoreErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
        Err(RepoError::Unsettled { attempts: NUMBER_ATTEMPTS })
    }
}

/// Whether what a role signs counts beyond its audit log and what it says of packs that it read.
pub(crate) fn signs(role: Role) -> bool {
    match role {
        Role::Admin | Role::Writer | Role::Pruner => true,
        Role::Reader | Role::Auditor => false,
    }
}

fn keep_keys_of(role: Role, keys: &mut GenerationKeys) {
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
