//! The header of sealed objects, of clear objects, and the signature before a signed body.
//! Spec: format-spec/02-envelope.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::id::KeyId;
use crate::id::RepoId;
use crate::units::to_u64;
use crate::units::to_usize32;

/// What a sealed or clear object is; the number stands in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// The repository's config (clear).
    Config,
    /// A config amendment (clear).
    Amendment,
    /// A certificate or revocation (clear).
    Identity,
    /// An inventory of packs (clear).
    Inventory,
    /// A session's announcement.
    Session,
    /// A session's heartbeat.
    Heartbeat,
    /// A session's outcome.
    Outcome,
    /// An index segment.
    Segment,
    /// A snapshot's manifest.
    Manifest,
    /// A forget request.
    Forget,
    /// An audit record.
    Audit,
    /// A signed record.
    Record,
    /// A plan or verdict register, or the mark that a verdict is done.
    GcRegister,
    /// The body of a plan.
    GcPlan,
    /// The statement of a verdict.
    GcVerdict,
    /// What a verdict left valid.
    GcBase,
    /// A note that a place is a mirror, and how far it is.
    Mirror,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Config,
        Self::Amendment,
        Self::Identity,
        Self::Inventory,
        Self::Session,
        Self::Heartbeat,
        Self::Outcome,
        Self::Segment,
        Self::Manifest,
        Self::Forget,
        Self::Audit,
        Self::Record,
        Self::GcRegister,
        Self::GcPlan,
        Self::GcVerdict,
        Self::GcBase,
        Self::Mirror,
    ];

    /// The number in the header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::Amendment => 2,
            Self::Identity => 3,
            Self::Inventory => 4,
            Self::Session => 16,
            Self::Heartbeat => 17,
            Self::Outcome => 18,
            Self::Segment => 19,
            Self::Manifest => 20,
            Self::Forget => 21,
            Self::Audit => 22,
            Self::Record => 23,
            Self::GcRegister => 24,
            Self::GcPlan => 25,
            Self::GcVerdict => 26,
            Self::GcBase => 27,
            Self::Mirror => 28,
        }
    }

    /// What signatures on objects of the kind are for (04 of the format).
    pub fn namespace(self) -> String {
        format!("sbf-repo-{}", self.word())
    }

    /// The word that names the kind in key derivation and in signature namespaces.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Amendment => "amendment",
            Self::Identity => "identity",
            Self::Inventory => "inventory",
            Self::Session => "session",
            Self::Heartbeat => "heartbeat",
            Self::Outcome => "outcome",
            Self::Segment => "segment",
            Self::Manifest => "manifest",
            Self::Forget => "forget",
            Self::Audit => "audit",
            Self::Record => "record",
            Self::GcRegister => "gc-register",
            Self::GcPlan => "gc-plan",
            Self::GcVerdict => "gc-verdict",
            Self::GcBase => "gc-base",
            Self::Mirror => "mirror",
        }
    }

    /// Which of the repository's keys seals the kind; `None` for clear objects.
    pub const fn sealing_key(self) -> Option<SealingKey> {
        match self {
            Self::Config | Self::Amendment | Self::Identity | Self::Inventory => None,
            Self::Segment => Some(SealingKey::Index),
            Self::Session
            | Self::Heartbeat
            | Self::Outcome
            | Self::Manifest
            | Self::Forget
            | Self::Audit
            | Self::Record
            | Self::GcRegister
            | Self::GcPlan
            | Self::GcVerdict
            | Self::GcBase
            | Self::Mirror => Some(SealingKey::Manifest),
        }
    }

    /// Longest plaintext of the kind in bytes.
    pub const fn raw_bytes_max(self) -> u32 {
        match self {
            Self::Segment | Self::GcBase | Self::GcPlan | Self::GcVerdict | Self::Inventory => {
                64 * 1_048_576
            }
            Self::Outcome => 16 * 1_048_576,
            Self::Manifest | Self::Record | Self::Forget | Self::Audit | Self::Mirror => {
                4 * 1_048_576
            }
            Self::Config | Self::Amendment | Self::Identity => 65_536,
            Self::Session | Self::Heartbeat | Self::GcRegister => 4096,
        }
    }

    /// Whether the signed bytes are the body alone, a text that names its own place, so that stock
    /// tools verify it; otherwise repository and place are signed with the body.
    pub const fn is_statement(self) -> bool {
        matches!(self, Self::Manifest | Self::Record | Self::Forget | Self::Audit | Self::Inventory)
    }
}

/// The key that seals an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealingKey {
    /// Index segments, pack directories and the bases of collections.
    Index,
    /// Statements: manifests, outcomes, records, verdicts.
    Manifest,
}

/// How the plaintext of a sealed object is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeCodec {
    /// As it is.
    Raw,
    /// One zstd frame.
    Zstd,
}

/// The header of a sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeHeader {
    /// What the object is.
    pub kind: ObjectKind,
    /// How the plaintext is encoded.
    pub codec: EnvelopeCodec,
    /// Generation of the key that seals it.
    pub generation: u32,
    /// Length of the decoded plaintext.
    pub raw_length: u32,
    /// Nonce of XChaCha20-Poly1305; random.
    pub nonce: [u8; 24],
}

/// A sealed object taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The header's fields.
    pub header: EnvelopeHeader,
    /// The header's bytes, part of the associated data.
    pub header_bytes: &'a [u8],
    /// Ciphertext and tag.
    pub sealed: &'a [u8],
}

impl EnvelopeHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; ENVELOPE_HEADER_LEN] {
        let Self { kind, codec, generation, raw_length, nonce } = *self;
        let codec = match codec {
            EnvelopeCodec::Raw => 0,
            EnvelopeCodec::Zstd => 1,
        };
        let mut bytes = [0; ENVELOPE_HEADER_LEN];
        let fields: [&[u8]; 5] = [
            ENVELOPE_MAGIC,
            &[ENVELOPE_VERSION, kind.number(), ENVELOPE_SUITE, codec],
            &generation.to_le_bytes(),
            &raw_length.to_le_bytes(),
            &nonce,
        ];
        for (place, byte) in bytes.iter_mut().zip(fields.concat()) {
            *place = byte;
        }
        bytes
    }
}

impl<'a> Envelope<'a> {
    /// Takes a sealed object of the kind `kind` apart.
    pub fn decode(kind: ObjectKind, bytes: &'a [u8]) -> Result<Self, FormatError> {
        let wrong = |rule, at: usize| FormatError::new("sealed object", rule, to_u64(at));
        let (header_bytes, sealed) = bytes
            .split_at_checked(ENVELOPE_HEADER_LEN)
            .ok_or_else(|| wrong(Rule::EnvelopeLength, bytes.len()))?;
        let mut reader = Fields { bytes: header_bytes };
        let magic: [u8; 4] = reader.take();
        let [version, number, suite, codec] = reader.take();
        if &magic != ENVELOPE_MAGIC || version != ENVELOPE_VERSION || number != kind.number() {
            return Err(wrong(Rule::EnvelopeHeader, 0));
        }
        let codec = match (suite, codec) {
            (ENVELOPE_SUITE, 0) => EnvelopeCodec::Raw,
            (ENVELOPE_SUITE, 1) => EnvelopeCodec::Zstd,
            _ => return Err(wrong(Rule::EnvelopeSuite, 6)),
        };
        let generation = u32::from_le_bytes(reader.take());
        let raw_length = u32::from_le_bytes(reader.take());
        let nonce = reader.take();
        let longest = to_usize32(kind.raw_bytes_max()).saturating_add(SEALED_OVERHEAD_MAX);
        if sealed.len() < TAG_LEN || sealed.len() > longest || raw_length > kind.raw_bytes_max() {
            return Err(wrong(Rule::EnvelopeLength, 12));
        }
        let header = EnvelopeHeader { kind, codec, generation, raw_length, nonce };
        Ok(Self { header, header_bytes, sealed })
    }
}

/// Associated data of a sealed object: header, repository and the object's place, which is its key
/// without a hash of its content.
pub fn associated_data(header: &[u8], repository: RepoId, place: &str) -> Vec<u8> {
    [header, repository.as_bytes(), place.as_bytes()].concat()
}

/// A signed body taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedBody<'a> {
    /// Who signed.
    pub signer: KeyId,
    /// Ed25519 over the SSHSIG form of the message.
    pub signature: [u8; 64],
    /// What was signed.
    pub body: &'a [u8],
}

impl<'a> SignedBody<'a> {
    /// The signed form of a body.
    pub fn encode(&self) -> Vec<u8> {
        let Self { signer, signature, body } = self;
        [signer.as_bytes(), signature.as_slice(), body].concat()
    }

    /// Takes a signed body apart; says nothing about the signature.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let (head, body) = bytes
            .split_at_checked(SIGNED_HEADER_LEN)
            .ok_or_else(|| FormatError::new("signed body", Rule::SignedLength, 0))?;
        let mut reader = Fields { bytes: head };
        Ok(Self { signer: KeyId::new(reader.take()), signature: reader.take(), body })
    }
}

/// The message that is signed for a body of this kind at this place.
pub fn signed_message(kind: ObjectKind, repository: RepoId, place: &str, body: &[u8]) -> Vec<u8> {
    if kind.is_statement() {
        return body.to_vec();
    }
    let place_length = u16::try_from(place.len()).unwrap_or(u16::MAX).to_le_bytes();
    [repository.as_bytes(), place_length.as_slice(), place.as_bytes(), body].concat()
}

/// The clear form of a signed body: a small header, then the signed body.
pub fn encode_clear(kind: ObjectKind, signed: &SignedBody<'_>) -> Vec<u8> {
    let head = [ENVELOPE_VERSION, kind.number(), 0, 0];
    [CLEAR_MAGIC.as_slice(), &head, &signed.encode()].concat()
}

/// Takes a clear object of the kind `kind` apart.
pub fn decode_clear(kind: ObjectKind, bytes: &[u8]) -> Result<SignedBody<'_>, FormatError> {
    let wrong = || FormatError::new("clear object", Rule::EnvelopeClear, 0);
    let (head, signed) = bytes.split_at_checked(CLEAR_HEADER_LEN).ok_or_else(wrong)?;
    let expected = [CLEAR_MAGIC.as_slice(), &[ENVELOPE_VERSION, kind.number(), 0, 0]].concat();
    if head != expected || signed.len() > to_usize32(kind.raw_bytes_max()) {
        return Err(wrong());
    }
    SignedBody::decode(signed)
}

/// Reads fixed-width fields from the front of bytes whose length was checked.
pub(crate) struct Fields<'a> {
    /// What is left.
    pub(crate) bytes: &'a [u8],
}

impl Fields<'_> {
    /// The next `N` bytes; zeros past the end, which a length check before made impossible.
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        if let Some((front, rest)) = self.bytes.split_at_checked(N) {
            field.copy_from_slice(front);
            self.bytes = rest;
        }
        field
    }
}

/// First bytes of a sealed object.
pub const ENVELOPE_MAGIC: &[u8; 4] = b"SBFE";
/// First bytes of a clear signed object.
pub const CLEAR_MAGIC: &[u8; 4] = b"SBFC";
/// Version of both headers.
pub const ENVELOPE_VERSION: u8 = 1;
/// XChaCha20-Poly1305.
pub const ENVELOPE_SUITE: u8 = 1;
/// Length of a sealed object's header.
pub const ENVELOPE_HEADER_LEN: usize = 40;
/// Length of a clear object's header.
pub const CLEAR_HEADER_LEN: usize = 8;
/// Length of what stands before a signed body.
pub const SIGNED_HEADER_LEN: usize = 80;
/// Length of an authentication tag.
pub const TAG_LEN: usize = 16;
/// How much longer than the longest plaintext a ciphertext may be.
pub const SEALED_OVERHEAD_MAX: usize = 65_536;
