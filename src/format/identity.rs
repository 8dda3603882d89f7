//! Certificates and revocations of signing keys. Spec: format-spec/04-keyslot.md, "Identities".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::format::keyslot::Role;
use crate::format::pack::XWING_ENCAPSULATED_LEN;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::units::to_u64;

/// What the authority key says about the keys of clients. Stored in clear, signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Identity {
    /// A key may sign.
    Certificate(Certificate),
    /// A key may no longer sign.
    Revocation(Revocation),
    /// Whoever holds a key gets the keys of later generations.
    Holder(Holder),
    /// The keys of a generation, for one holder.
    Renewal(Renewal),
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

/// Whose pair gets the keys of later generations.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Holder {
    /// The client of its slots.
    pub client: ClientId,
    /// Which keys it gets.
    pub role: Role,
    /// X-Wing public key; its seed is derived from the client's key.
    pub public_key: Vec<u8>,
    /// The newest generation that its slot had when it was made.
    pub generation: u32,
    /// The keys that sign for it, sorted.
    pub signing: Vec<KeyId>,
}

/// The keys of a generation, sealed for one holder.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Renewal {
    /// For whom.
    pub client: ClientId,
    /// The generation.
    pub generation: u32,
    /// The encapsulated key.
    pub encapsulated: Vec<u8>,
    /// The sealed secret.
    pub sealed: [u8; 48],
    /// Nonce of XChaCha20-Poly1305; random.
    pub nonce: [u8; 24],
    /// The encoded generation, sealed.
    pub wrapped: Vec<u8>,
}

impl Identity {
    /// The identity's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let identity = decode::<Self, 65_536>("identity", bytes)?;
        let (length, expected) = match &identity {
            Self::Holder(holder) if !holder.signing.is_sorted_by(|left, right| left < right) => {
                return Err(FormatError::new("identity", Rule::ListOrder, to_u64(bytes.len())));
            }
            Self::Holder(holder) => (holder.public_key.len(), XWING_PUBLIC_LEN),
            Self::Renewal(renewal) => (renewal.encapsulated.len(), XWING_ENCAPSULATED_LEN),
            Self::Certificate(_) | Self::Revocation(_) => return Ok(identity),
        };
        if length == expected {
            return Ok(identity);
        }
        Err(FormatError::new("identity", Rule::RecordRange, to_u64(bytes.len())))
    }
}

/// Length of an X-Wing public key.
pub const XWING_PUBLIC_LEN: usize = 1216;
