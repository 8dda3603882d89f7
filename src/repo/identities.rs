//! Who may sign what, and who gets keys: what the authority key says of the keys of clients.
//! Spec: format-spec/04-keyslot.md, "Identities". Times of signatures: `signed_at.rs`.

use crate::crypto::sign::key_id;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Certificate;
use crate::format::identity::Holder;
use crate::format::identity::Identity;
use crate::format::identity::Renewal;
use crate::format::identity::Subject;
use crate::format::keyslot::Role;
use crate::format::layout;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::received_seconds;
use crate::repo::objects;
use crate::repo::objects::Opened;
use crate::repo::renewal::holder_id;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

/// The keys that may sign, and those for which keys are sealed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    certificates: HashMap<KeyId, Vec<Certificate>>,
    /// From when on the signatures of a key no longer count.
    revoked: HashMap<KeyId, i64>,
    /// When the store received the newest certificate of a key, in seconds since 1970, as far as it says.
    received: HashMap<KeyId, i64>,
    holders: BTreeMap<ClientId, Holder>,
    /// For whom which generations were sealed.
    renewals: BTreeMap<(u32, ClientId), Renewal>,
    /// How many objects there are; the next one has this number plus one.
    pub(crate) count: u32,
    /// Numbers below the last one that no object has.
    pub(crate) missing: Vec<ObjectKey>,
    /// Objects before the first that the authority signed: an attempt to make a repository here
    /// came to nothing and left them.
    pub(crate) foreign: Vec<ObjectKey>,
    /// When they were listed, by the clock of this host.
    listed: i64,
    /// How many objects were listed.
    stored: usize,
}

/// The name of the key that a certificate is of.
pub(crate) fn key_of(certificate: &Certificate) -> KeyId {
    key_id(&certificate.public_key)
}

impl Identities {
    /// Reads every identity of the repository.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let mut identities = Self { listed: repository.environment.now().0, ..Self::default() };
        let authority = &repository.keys.keys.authority_public;
        let authority_id = key_id(authority);
        let listed = repository.store.list(layout::IDENTITIES)?.into_iter();
        let keys: BTreeMap<ObjectKey, i64> = listed
            .map(|listed| {
                let received = received_seconds(&listed);
                (listed.key, received)
            })
            .collect();
        identities.stored = keys.len();
        for (key, received) in keys {
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
                Some(identity) => {
                    if let Identity::Certificate(certificate) = &identity {
                        let newest = identities.received.entry(key_of(certificate)).or_default();
                        *newest = received.max(*newest);
                    }
                    identities.add(identity);
                }
                None => identities.foreign.push(key),
            }
        }
        Ok(identities)
    }

    /// Whether a certificate names this key.
    pub(crate) fn certify(&self, key: KeyId) -> bool {
        self.certificates.contains_key(&key)
    }

    /// The numbers below the last one that no object has.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = u32> {
        self.missing.iter().filter_map(|key| key.segments().last()?.parse().ok())
    }

    /// Every certificate, in no order.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.values().flatten()
    }

    /// The public half of a key that a certificate names.
    pub(crate) fn public_key_of(&self, key: KeyId) -> Option<[u8; 32]> {
        self.certificates_of(key).first().map(|certificate| certificate.public_key)
    }

    /// The certificates of a key.
    pub(crate) fn certificates_of(&self, key: KeyId) -> &[Certificate] {
        self.certificates.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// From when on the signatures of a key no longer count, if it is revoked.
    pub(crate) fn revoked_from(&self, key: KeyId) -> Option<i64> {
        self.revoked.get(&key).copied()
    }

    /// When the store received the newest certificate of a key, in seconds since 1970; `None` if it does not say.
    pub(crate) fn certified_at(&self, key: KeyId) -> Option<i64> {
        self.received.get(&key).copied().filter(|received| *received != 0)
    }

    /// The role for which a key was certified.
    pub(crate) fn role_of(&self, key: KeyId) -> Option<Role> {
        self.certificates_of(key).first().map(|certificate| certificate.role)
    }

    /// The role for which the key of a client was certified.
    pub(crate) fn role_of_client(&self, client: ClientId) -> Option<Role> {
        self.keys_of(client).first().and_then(|key| self.role_of(*key))
    }

    /// The keys that sign for a client: its own, and its maintenance key if it has one.
    pub(crate) fn keys_of(&self, client: ClientId) -> Vec<KeyId> {
        if let Some(holder) = self.holders.get(&client) {
            return holder.signing.clone();
        }
        let of_client = |found: &Certificate| found.subject == Subject::Client(client);
        let is_own = |(_key, found): &(&KeyId, &Vec<Certificate>)| found.iter().any(of_client);
        self.certificates.iter().filter(is_own).map(|(key, _found)| *key).collect()
    }

    /// Every key by which a client can be revoked: those that sign, and that for which later
    /// generations are sealed.
    pub(crate) fn all_keys_of(&self, client: ClientId) -> Vec<KeyId> {
        let holder = self.holders.get(&client).map(holder_id);
        self.keys_of(client).into_iter().chain(holder).collect()
    }

    /// Who gets the keys of later generations.
    pub(crate) fn holder(&self, client: ClientId) -> Option<&Holder> {
        self.holders.get(&client).filter(|holder| self.revoked_from(holder_id(holder)).is_none())
    }

    /// Everybody who gets the keys of later generations.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.keys().filter_map(|client| self.holder(*client))
    }

    /// Whether a client was told to get no more keys.
    pub(crate) fn is_removed(&self, client: ClientId) -> bool {
        self.holders.contains_key(&client) && self.holder(client).is_none()
    }

    /// Whether a holder has the keys of a generation, from its slot or since.
    pub(crate) fn has_generation(&self, holder: &Holder, generation: u32) -> bool {
        holder.generation >= generation || self.renewals.contains_key(&(generation, holder.client))
    }

    /// What is sealed for a client, oldest generation first.
    pub(crate) fn renewals_for(&self, client: ClientId) -> impl Iterator<Item = &Renewal> {
        self.renewals.values().filter(move |renewal| renewal.client == client)
    }

    /// The newest generation that was sealed for anybody; 0 if none was.
    pub(crate) fn newest_generation(&self) -> u32 {
        let last = self.renewals.last_key_value();
        let renewed = last.map_or(0, |((generation, _client), _renewal)| *generation);
        self.holders.values().map(|holder| holder.generation).fold(renewed, u32::max)
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
                let key = key_id(&certificate.public_key);
                self.certificates.entry(key).or_default().push(certificate);
            }
            Identity::Revocation(revocation) => {
                let from = self.revoked.entry(revocation.key).or_insert(revocation.from);
                *from = revocation.from.min(*from);
            }
            Identity::Holder(holder) => {
                self.holders.insert(holder.client, holder);
            }
            Identity::Renewal(renewal) => {
                // The first one decides: it may be in use.
                self.renewals.entry((renewal.generation, renewal.client)).or_insert(renewal);
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
        let subject = self.certificates_of(object.signer()).first().map(|found| found.subject);
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
        let mut certificates = self.certificates_of(signer).iter();
        match certificates.find(|found| allowed(found.subject)) {
            Some(certificate) => object.verified(repository, &certificate.public_key),
            None => Err(object.refused()),
        }
    }
}

impl Repository {
    /// The same repository with the identities that are stored by now.
    pub(crate) fn with_newest_identities(&self) -> Result<Self, RepoError> {
        let identities = Arc::new(Identities::load(self)?);
        Ok(Self { identities, ..self.clone() })
    }

    /// Checks before a commit that the client's signatures count still: its certificate may have
    /// ended, or been revoked, while it worked.
    ///
    /// What was listed seconds ago is not listed again: then it is time to look after the commit, which
    /// readers judge by when the store received it.
    pub(crate) fn check_may_sign_still(&self) -> Result<Looked, RepoError> {
        let age = self.environment.now().0.checked_sub(self.identities.listed);
        if age.is_some_and(|age| (0..FRESH_SECONDS).contains(&age)) {
            return self.check_may_sign().map(|()| Looked::Earlier);
        }
        self.check_may_sign_now().map(|()| Looked::Now)
    }

    /// Looks whether what is said of keys by now lets the client sign. Nothing that was said ever changes: it
    /// is read again only if there is more of it.
    pub(crate) fn check_may_sign_now(&self) -> Result<(), RepoError> {
        let stored = self.list_keys(layout::IDENTITIES)?.len();
        if stored == self.identities.stored {
            return self.check_may_sign();
        }
        self.with_newest_identities()?.check_may_sign()
    }
}

/// When it was last looked at who may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Just now.
    Now,
    /// Some seconds ago.
    Earlier,
}

/// For how long identities count as just listed.
const FRESH_SECONDS: i64 = 10;
/// Most missing numbers that are listed; a forged number may be far away.
const MISSING_COUNT_MAX: usize = 1000;
