//! Certificates and revocations of signing keys. Spec: format-spec/04-keyslot.md, "Identities".

use crate::format::FormatError;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::keyslot::Role;
use crate::id::ClientId;
use crate::id::KeyId;

/// What the authority key says about a signing key. Stored in clear, signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Identity {
    /// A key may sign.
    Certificate(Certificate),
    /// A key may no longer sign.
    Revocation(Revocation),
}

/// A key may sign for its subject.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Certificate {
    /// Who holds the key.
    pub subject: Subject,
    /// Public half of the key, Ed25519.
    pub public_key: [u8; 32],
    /// The role for which the key was made.
    pub role: Role,
    /// Seconds since 1970 from which signatures count.
    pub valid_from: i64,
    /// Seconds since 1970 after which they do not.
    pub valid_until: Option<i64>,
}

/// Who holds a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Subject {
    /// A client: outcomes, manifests, segments, records.
    Client(ClientId),
    /// Maintenance: plans, verdicts, forgets, fences, inventories.
    Maintenance,
}

/// A key may no longer sign.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Revocation {
    /// Which key.
    pub key: KeyId,
    /// Seconds since 1970 from which signatures no longer count.
    pub from: i64,
    /// Why, for people.
    pub reason: String,
}

impl Identity {
    /// The identity's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::<Self, 65_536>("identity", bytes)
    }
}
