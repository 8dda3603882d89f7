//! Whose signatures count, by the authority's public key alone.
//! Spec: format-spec/04-keyslot.md, "Identities".

use crate::crypto::sign::key_id;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Certificate;
use crate::format::identity::Identity;
use crate::format::identity::Subject;
use crate::format::layout;
use crate::id::RepoId;
use crate::repo::proof::message::SignedMessage;

/// The identities that an authority certified.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    repository: RepoId,
    authority: [u8; 32],
    identities: Vec<Identity>,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    /// It does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// Nothing certifies its key for this.
    #[error("the authority did not certify the key that signed it for this")]
    NotCertified,
    /// It was made before the certificate begins, or after it ends.
    #[error("the certificate of the key that signed it was not valid at that time")]
    OutsideValidity,
    /// The key had been revoked by then.
    #[error("the key that signed it had been revoked by then")]
    Revoked,
    /// It is of another repository, or says that it is something else.
    #[error("it is not what its name says")]
    Misplaced,
}

impl Trust {
    /// Trusts what the authority signs.
    pub(crate) fn new(repository: RepoId, authority: [u8; 32]) -> Self {
        Self { repository, authority, identities: Vec::new() }
    }

    /// The repository.
    pub(crate) const fn repository(&self) -> RepoId {
        self.repository
    }

    /// Adds the identity with this number, if the authority signed it.
    pub(crate) fn add(&mut self, number: u32, signed: &SignedMessage) -> Result<(), Untrusted> {
        if signed.signature.public_key != self.authority {
            return Err(Untrusted::NotCertified);
        }
        signed.check(&ObjectKind::Identity.namespace()).map_err(|_source| Untrusted::Signature)?;
        let place = layout::identity_key(number);
        let body = signed.body(self.repository, place.as_str()).ok_or(Untrusted::Misplaced)?;
        let identity = Identity::decode(body).map_err(|_source| Untrusted::Misplaced)?;
        self.identities.push(identity);
        Ok(())
    }

    /// Checks that a message was signed for `namespace` by a key that counts for `subject` at `time`, in
    /// seconds since 1970; without a time only revoked keys are refused.
    pub(crate) fn check(
        &self,
        signed: &SignedMessage,
        namespace: &str,
        subject: Signatory,
        time: Option<i64>,
    ) -> Result<(), Untrusted> {
        signed.check(namespace).map_err(|_source| Untrusted::Signature)?;
        let public = &signed.signature.public_key;
        let certificate = self.certificates().find(|found| found.public_key == *public);
        let certificate = certificate.filter(|found| subject.fits(found.subject));
        let certificate = certificate.ok_or(Untrusted::NotCertified)?;
        let ended = |until: i64| time.is_some_and(|time| time > until);
        if time.is_some_and(|time| time < certificate.valid_from)
            || certificate.valid_until.is_some_and(ended)
        {
            return Err(Untrusted::OutsideValidity);
        }
        match self.revoked_from(public) {
            Some(from) if time.is_none_or(|time| time >= from) => Err(Untrusted::Revoked),
            Some(_) | None => Ok(()),
        }
    }

    /// Every certificate, in the order of their numbers.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.identities.iter().filter_map(|identity| match identity {
            Identity::Certificate(certificate) => Some(certificate),
            Identity::Revocation(_) | Identity::Holder(_) | Identity::Renewal(_) => None,
        })
    }

    /// From when on a key no longer counts.
    pub(crate) fn revoked_from(&self, public: &[u8; 32]) -> Option<i64> {
        let id = key_id(public);
        let of_key = self.identities.iter().filter_map(|identity| match identity {
            Identity::Revocation(revocation) if revocation.key == id => Some(revocation.from),
            Identity::Revocation(_)
            | Identity::Certificate(_)
            | Identity::Holder(_)
            | Identity::Renewal(_) => None,
        });
        of_key.min()
    }
}

/// Who must have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatory {
    /// One client, or maintenance.
    Of(Subject),
}

impl Signatory {
    fn fits(self, subject: Subject) -> bool {
        match self {
            Self::Of(wanted) => wanted == subject,
        }
    }
}
