//! Who may sign what: certificates and revocations by the authority key.
//! Spec: format-spec/04-keyslot.md, "Identities".

use crate::crypto::sign::key_id;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Certificate;
use crate::format::identity::Identity;
use crate::format::identity::Subject;
use crate::format::layout;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::RepoId;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::store::Store;
use std::collections::HashMap;
use std::collections::HashSet;

/// The keys that may sign.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    certificates: HashMap<KeyId, Certificate>,
    revoked: HashSet<KeyId>,
    /// How many objects there are; the next one has this number plus one.
    pub(crate) count: u32,
}

impl Identities {
    /// Reads every identity of the repository.
    pub(crate) fn load(
        store: &dyn Store,
        repository: RepoId,
        authority: &[u8; 32],
    ) -> Result<Self, RepoError> {
        let mut identities = Self::default();
        for listed in store.list(layout::IDENTITIES)? {
            let key = listed.key;
            let bytes = store.read(&key, u64::from(ObjectKind::Identity.raw_bytes_max()))?;
            let body = objects::open_clear(ObjectKind::Identity, key.as_str(), &bytes)?
                .verified(repository, authority)?;
            let identity = Identity::decode(&body)
                .map_err(|source| RepoError::Decode { key: key.to_string(), source })?;
            identities.add(identity);
            identities.count += 1;
        }
        Ok(identities)
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
