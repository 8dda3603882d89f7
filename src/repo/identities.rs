//! Who may sign what: certificates and revocations by the authority key.
//! Spec: format-spec/04-keyslot.md, "Identities".

use crate::crypto::sign::key_id;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Certificate;
use crate::format::identity::Identity;
use crate::format::identity::Subject;
use crate::format::keyslot::Role;
use crate::format::layout;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::repo::repository::Repository;
use std::collections::HashMap;
use std::collections::HashSet;

/// The keys that may sign.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    certificates: HashMap<KeyId, Certificate>,
    revoked: HashSet<KeyId>,
    /// How many objects there are; the next one has this number plus one.
    pub(crate) count: u32,
    /// Numbers below the last one that no object has.
    pub(crate) missing: Vec<ObjectKey>,
    /// Objects before the first that the authority signed: an attempt to make a repository here
    /// came to nothing and left them.
    pub(crate) foreign: Vec<ObjectKey>,
}

impl Identities {
    /// Reads every identity of the repository.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let mut identities = Self::default();
        let authority = &repository.keys.keys.authority_public;
        let authority_id = key_id(authority);
        let mut keys: Vec<ObjectKey> = repository
            .store
            .list(layout::IDENTITIES)?
            .into_iter()
            .map(|listed| listed.key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            identities.count_up_to(&key);
            let accept = |bytes: &[u8]| {
                let opened = objects::open_clear(ObjectKind::Identity, key.as_str(), bytes)?;
                if opened.signer() != authority_id {
                    // Only before the first of ours: later on, a revocation could hide so.
                    return if identities.is_empty() { Ok(None) } else { Err(opened.refused()) };
                }
                let body = opened.verified(repository.id(), authority)?;
                let decode = |source| RepoError::Decode { key: key.to_string(), source };
                Identity::decode(&body).map(Some).map_err(decode)
            };
            let length_max = u64::from(ObjectKind::Identity.raw_bytes_max());
            match repository.read_kept(&key, length_max, accept)? {
                Some(identity) => identities.add(identity),
                None => identities.foreign.push(key),
            }
        }
        Ok(identities)
    }

    /// Whether a certificate names this key.
    pub(crate) fn certify(&self, key: KeyId) -> bool {
        self.certificates.contains_key(&key)
    }

    /// Every certificate, in no order.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.values()
    }

    /// The public half of a key that a certificate names.
    pub(crate) fn public_key_of(&self, key: KeyId) -> Option<[u8; 32]> {
        self.certificates.get(&key).map(|certificate| certificate.public_key)
    }

    /// The role for which a key was certified.
    pub(crate) fn role_of(&self, key: KeyId) -> Option<Role> {
        self.certificates.get(&key).map(|certificate| certificate.role)
    }

    /// The role for which the key of a client was certified.
    pub(crate) fn role_of_client(&self, client: ClientId) -> Option<Role> {
        let of_client = |found: &&Certificate| found.subject == Subject::Client(client);
        self.certificates.values().find(of_client).map(|certificate| certificate.role)
    }

    /// Counts an object, and the numbers that are missing before it.
    fn count_up_to(&mut self, key: &ObjectKey) {
        self.count += 1;
        let mut expected = layout::identity_key(self.count);
        while expected < *key && self.missing.len() < MISSING_COUNT_MAX {
            self.missing.push(expected);
            self.count += 1;
            expected = layout::identity_key(self.count);
        }
    }

    fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.revoked.is_empty()
    }

    /// Adds an identity whose signature was checked.
    pub(crate) fn add(&mut self, identity: Identity) {
        match identity {
            Identity::Certificate(certificate) => {
                self.certificates.insert(key_id(&certificate.public_key), certificate);
            }
            Identity::Revocation(revocation) => {
                self.revoked.insert(revocation.key);
            }
        }
    }

    /// The body of an object that any client must have signed.
    pub(crate) fn by_any_client(
        &self,
        repository: RepoId,
        object: Opened,
    ) -> Result<Vec<u8>, RepoError> {
        self.signed(repository, object, |subject| matches!(subject, Subject::Client(_)))
    }

    /// The body of an object that a client must have signed.
    pub(crate) fn by_client(
        &self,
        repository: RepoId,
        client: ClientId,
        object: Opened,
    ) -> Result<Vec<u8>, RepoError> {
        self.signed(repository, object, |subject| subject == Subject::Client(client))
    }

    /// The body of an object that the maintenance key must have signed.
    pub(crate) fn by_maintenance(
        &self,
        repository: RepoId,
        object: Opened,
    ) -> Result<Vec<u8>, RepoError> {
        self.signed(repository, object, |subject| subject == Subject::Maintenance)
    }

    /// The body of an object that a client or the maintenance key must have signed, and which.
    pub(crate) fn by_either(
        &self,
        repository: RepoId,
        client: ClientId,
        object: Opened,
    ) -> Result<(Vec<u8>, Subject), RepoError> {
        let subject = self.certificates.get(&object.signer()).map(|found| found.subject);
        let allowed =
            |subject| subject == Subject::Maintenance || subject == Subject::Client(client);
        let body = self.signed(repository, object, allowed)?;
        Ok((body, subject.unwrap_or(Subject::Maintenance)))
    }

    fn signed(
        &self,
        repository: RepoId,
        object: Opened,
        allowed: impl Fn(Subject) -> bool,
    ) -> Result<Vec<u8>, RepoError> {
        let signer = object.signer();
        let certificate = self.certificates.get(&signer).filter(|found| allowed(found.subject));
        match certificate {
            Some(certificate) if !self.revoked.contains(&signer) => {
                object.verified(repository, &certificate.public_key)
            }
            Some(_) | None => Err(object.refused()),
        }
    }
}

/// Most missing numbers that are listed; a forged number may be far away.
const MISSING_COUNT_MAX: usize = 1000;
