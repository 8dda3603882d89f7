//! When an object was signed, and whether its signature counts then.
//! Spec: format-spec/04-keyslot.md, "Identities".
//!
//! A client says when it signed; the store says when it received. Only the store's word is taken
//! where a key may be in the hands of a thief, who would say what pleases.

use crate::format::layout::SessionRef;
use crate::id::KeyId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::received_seconds;
use crate::repo::identities::Identities;
use crate::repo::repository::Repository;
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Why a signature does not count at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lapse {
    /// The key is revoked from this time on.
    Revoked(i64),
    /// No certificate of the key reaches beyond this time.
    Ended(i64),
    /// No certificate of the key begins before this time.
    NotBegun(i64),
}

impl fmt::Display for Lapse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, seconds) = match self {
            Self::Revoked(from) => ("is revoked from", *from),
            Self::Ended(until) => ("was certified until", *until),
            Self::NotBegun(from) => ("is certified from", *from),
        };
        match jiff::Timestamp::from_second(seconds) {
            Ok(time) => write!(formatter, "{words} {time}"),
            Err(_out_of_range) => write!(formatter, "{words} second {seconds}"),
        }
    }
}

impl Identities {
    /// Whether the signatures of a key stop counting at some time.
    pub(crate) fn is_bounded(&self, key: KeyId) -> bool {
        let ends = self.certificates_of(key).iter().any(|found| found.valid_until.is_some());
        ends || self.revoked_from(key).is_some()
    }

    /// Whether a signature that the store received then comes too late.
    pub(crate) fn lapse_at(&self, key: KeyId, received: i64) -> Option<Lapse> {
        if let Some(from) = self.revoked_from(key).filter(|&from| from <= received) {
            return Some(Lapse::Revoked(from));
        }
        let mut latest = None;
        for certificate in self.certificates_of(key) {
            let until = certificate.valid_until?;
            latest = latest.max(Some(until));
        }
        latest.filter(|&until| until < received).map(Lapse::Ended)
    }

    /// The same of a time by the signer's own clock, which must not be before the certificate's.
    pub(crate) fn lapse_by_signer(&self, key: KeyId, time: i64) -> Option<Lapse> {
        let begins = self.certificates_of(key).iter().map(|found| found.valid_from).min();
        let early = begins.filter(|&from| time < from).map(Lapse::NotBegun);
        early.or_else(|| self.lapse_at(key, time))
    }
}

/// When objects were received, as far as listings told.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<HashMap<ObjectKey, i64>>);

impl Repository {
    /// Checks that the store received an object while its signer's signatures counted.
    ///
    /// Where nobody says when that was, they count. Lists the object's folder if there is a bound.
    pub(crate) fn check_signed_in_time(
        &self,
        signer: KeyId,
        key: &ObjectKey,
    ) -> Result<(), RepoError> {
        if !self.identities.is_bounded(signer) {
            return Ok(());
        }
        let Some(received) = self.receipt_of(key)? else { return Ok(()) };
        match self.identities.lapse_at(signer, received) {
            Some(lapse) => Err(RepoError::Lapsed { key: key.to_string(), signer, lapse }),
            None => Ok(()),
        }
    }

    /// Checks, before anything is written, that what the client in use signs from now on counts.
    pub(crate) fn check_may_sign(&self) -> Result<(), RepoError> {
        self.check_key_counts(self.keys.signer.id())
    }

    /// The same of any key that it signs with.
    pub(crate) fn check_key_counts(&self, signer: KeyId) -> Result<(), RepoError> {
        match self.identities.lapse_by_signer(signer, self.environment.now().0) {
            Some(lapse) => Err(RepoError::MaySignNoMore { signer, lapse }),
            None => Ok(()),
        }
    }

    /// When an object was received: by this store, or by that from which it was mirrored.
    pub(crate) fn receipt_of(&self, key: &ObjectKey) -> Result<Option<i64>, RepoError> {
        let mirror = self.mirror.as_deref();
        if let (Some(mirror), Ok(session)) = (mirror, SessionRef::parse_outcome(key))
            && let Some(noted) = mirror.noted(session.session)
        {
            return Ok(Some(noted));
        }
        let received = self.listed_receipt(key)?;
        Ok(received.filter(|&received| mirror.is_none_or(|mirror| !mirror.copied(received))))
    }

    fn listed_receipt(&self, key: &ObjectKey) -> Result<Option<i64>, RepoError> {
        let mut receipts = self.receipts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !receipts.contains_key(key) {
            let folder = key.as_str().rsplit_once('/').map_or("", |(folder, _name)| folder);
            let listed = self.store.list(folder)?;
            receipts.extend(listed.into_iter().map(|listed| {
                let received = received_seconds(&listed);
                (listed.key, received)
            }));
        }
        Ok(receipts.get(key).copied().filter(|&received| received != 0))
    }
}

/// From when on certificates are valid: nobody has a key before it is certified, and a clock that is
/// far behind must not cost a snapshot. Not 0, which OpenSSH takes for no time.
pub(crate) const VALID_FROM: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::identity::Certificate;
    use crate::format::identity::Identity;
    use crate::format::identity::Revocation;
    use crate::format::identity::Subject;
    use crate::format::keyslot::Role;
    use crate::id::ClientId;

    fn known(bounds: &[(i64, Option<i64>)], revoked: &[i64]) -> (Identities, KeyId) {
        let (public_key, subject) = ([7; 32], Subject::Client(ClientId::new([1; 16])));
        let key = crate::crypto::sign::key_id(&public_key);
        let mut identities = Identities::default();
        for &(valid_from, valid_until) in bounds {
            let role = Role::Writer;
            let certificate = Certificate { subject, public_key, role, valid_from, valid_until };
            identities.add(Identity::Certificate(certificate));
        }
        for &from in revoked {
            let reason = String::new();
            identities.add(Identity::Revocation(Revocation { key, from, reason }));
        }
        (identities, key)
    }

    #[track_caller]
    fn check(bounds: &[(i64, Option<i64>)], revoked: &[i64], time: i64, expected: Option<Lapse>) {
        let (identities, key) = known(bounds, revoked);
        assert_eq!(identities.lapse_by_signer(key, time), expected);
        let at_store = expected.filter(|lapse| !matches!(lapse, Lapse::NotBegun(_)));
        assert_eq!(identities.lapse_at(key, time), at_store, "another clock has no beginning");
    }

    #[test]
    fn a_signature_counts_within_the_bounds_and_before_every_revocation() {
        let (ended, revoked) = (Some(Lapse::Ended(20)), Some(Lapse::Revoked(15)));
        check(&[(10, None)], &[], 1 << 40, None);
        check(&[(10, None)], &[], 9, Some(Lapse::NotBegun(10)));
        check(&[(10, Some(20))], &[], 20, None);
        check(&[(10, Some(20))], &[], 21, ended);
        check(&[(10, Some(20))], &[15], 14, None);
        check(&[(10, Some(20))], &[15], 15, revoked);
        check(&[(10, None)], &[18, 15, 16], 15, revoked);
        // A second certificate of the key prolongs the first.
        check(&[(10, Some(12)), (12, Some(20))], &[], 19, None);
        check(&[(10, Some(12)), (12, Some(20))], &[], 21, ended);
        check(&[(10, Some(12)), (12, None)], &[], 21, None);
    }
}
