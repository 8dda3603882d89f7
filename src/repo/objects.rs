//! Signed and sealed objects: from body to stored bytes and back.
//! Spec: format-spec/02-envelope.md.

use crate::compress::Compressor;
use crate::compress::Decompressor;
use crate::crypto::CryptoError;
use crate::crypto::aead;
use crate::crypto::sign;
use crate::crypto::sign::Signer;
use crate::format::envelope;
use crate::format::envelope::Envelope;
use crate::format::envelope::EnvelopeCodec;
use crate::format::envelope::EnvelopeHeader;
use crate::format::envelope::ObjectKind;
use crate::format::envelope::SignedBody;
use crate::format::sshsig::SshSignature;
use crate::id::KeyId;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::keyring::KeyRing;
use crate::repo::proof::message::SignedMessage;
use crate::repo::rights::Right;
use crate::units::to_u32;
use crate::units::to_usize32;

/// A body that was opened, with the signature that was not yet checked.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    kind: ObjectKind,
    place: String,
    /// What errors name: the place, or the key where the object is stored.
    name: String,
    signer: KeyId,
    signature: [u8; 64],
    body: Vec<u8>,
}

impl Opened {
    /// Who signed, as the object says.
    pub(crate) const fn signer(&self) -> KeyId {
        self.signer
    }

    /// The body, of which nothing was checked yet.
    pub(crate) fn unverified(&self) -> &[u8] {
        &self.body
    }

    /// The signature, which may not be checked yet.
    pub(crate) const fn signature(&self) -> [u8; 64] {
        self.signature
    }

    /// The same body, read from this key: its place may be a part of that only.
    pub(crate) fn stored_at(self, key: &ObjectKey) -> Self {
        Self { name: key.to_string(), ..self }
    }

    /// The body, once the signature by `public` is found good.
    pub(crate) fn verified(
        self,
        repository: RepoId,
        public: &[u8; 32],
    ) -> Result<Vec<u8>, RepoError> {
        let Self { kind, place, name, signer, signature, body } = self;
        let message = envelope::signed_message(kind, repository, &place, &body);
        sign::verify(public, &kind.namespace(), &message, &signature)
            .map_err(|source| RepoError::Signature { key: name, signer, source })?;
        Ok(body)
    }

    /// What was signed and the signature by `public`, as stock tools verify it.
    pub(crate) fn into_message(self, repository: RepoId, public: [u8; 32]) -> SignedMessage {
        let message = envelope::signed_message(self.kind, repository, &self.place, &self.body);
        let (namespace, signature) = (self.kind.namespace(), self.signature);
        SignedMessage {
            message,
            signature: SshSignature { public_key: public, namespace, signature },
        }
    }

    /// The error of a signer that may not sign this.
    pub(crate) fn refused(&self) -> RepoError {
        let source = CryptoError::BadSignature;
        RepoError::Signature { key: self.name.clone(), signer: self.signer, source }
    }
}

/// The stored bytes of a clear object.
pub(crate) fn sign_clear(
    kind: ObjectKind,
    repository: RepoId,
    place: &str,
    body: &[u8],
    signer: &Signer,
) -> Vec<u8> {
    let signature = signature(kind, repository, place, body, signer);
    envelope::encode_clear(kind, &SignedBody { signer: signer.id(), signature, body })
}

/// Takes a clear object apart.
pub(crate) fn open_clear(kind: ObjectKind, place: &str, bytes: &[u8]) -> Result<Opened, RepoError> {
    let signed = envelope::decode_clear(kind, bytes)
        .map_err(|source| RepoError::Decode { key: place.to_owned(), source })?;
    Ok(opened(kind, place, &signed))
}

/// The stored bytes of a signed and sealed object.
pub(crate) fn seal(
    kind: ObjectKind,
    keys: &KeyRing,
    place: &str,
    body: &[u8],
    signer: &Signer,
    environment: &dyn Environment,
) -> Result<Vec<u8>, RepoError> {
    let signature = signature(kind, keys.repository, place, body, signer);
    seal_signed(
        kind,
        keys,
        place,
        &SignedBody { signer: signer.id(), signature, body },
        environment,
    )
}

/// The stored bytes of a sealed object with the signature that it has.
pub(crate) fn seal_signed(
    kind: ObjectKind,
    keys: &KeyRing,
    place: &str,
    signed: &SignedBody<'_>,
    environment: &dyn Environment,
) -> Result<Vec<u8>, RepoError> {
    let plaintext = signed.encode();
    let raw_length = to_u32(plaintext.len());
    let mut frame = Vec::new();
    let small = plaintext.len() < COMPRESS_BYTES_MIN;
    let compressed = !small && Compressor::new(OBJECT_LEVEL).compress(&plaintext, &mut frame);
    let (codec, mut sealed) =
        if compressed { (EnvelopeCodec::Zstd, frame) } else { (EnvelopeCodec::Raw, plaintext) };
    let generation = keys.newest();
    let sealing = kind.sealing_key().ok_or_else(|| keys.lacks(Right::Statements))?;
    let key = keys.envelope_key(generation, sealing, kind.word())?;
    let nonce = random(environment);
    let header =
        EnvelopeHeader { kind, codec, generation: generation.generation, raw_length, nonce };
    let header_bytes = header.encode();
    let associated_data = envelope::associated_data(&header_bytes, keys.repository, place);
    aead::seal_random(&key, &nonce, &associated_data, &mut sealed);
    Ok([header_bytes.as_slice(), &sealed].concat())
}

/// Opens a sealed object; the signature is checked by [`Opened::verified`].
pub(crate) fn open(
    kind: ObjectKind,
    keys: &KeyRing,
    place: &str,
    bytes: &[u8],
) -> Result<Opened, RepoError> {
    let decode = |source| RepoError::Decode { key: place.to_owned(), source };
    let Envelope { header, header_bytes, sealed } =
        Envelope::decode(kind, bytes).map_err(decode)?;
    let generation = keys.generation(header.generation, &place)?;
    let sealing = kind.sealing_key().ok_or_else(|| keys.lacks(Right::Statements))?;
    let key = keys.envelope_key(&generation, sealing, kind.word())?;
    let associated_data = envelope::associated_data(header_bytes, keys.repository, place);
    let mut plaintext = sealed.to_vec();
    aead::open_random(&key, &header.nonce, &associated_data, &mut plaintext)
        .map_err(|source| RepoError::Open { key: place.to_owned(), source })?;
    let raw_length = to_usize32(header.raw_length);
    if header.codec == EnvelopeCodec::Zstd {
        let mut raw = Vec::new();
        Decompressor::new()
            .decompress(&plaintext, raw_length, &mut raw)
            .map_err(|source| RepoError::Decompress { key: place.to_owned(), source })?;
        plaintext = raw;
    }
    if plaintext.len() != raw_length {
        use crate::format::FormatError;
        use crate::format::Rule;
        return Err(decode(FormatError::new("sealed object", Rule::EnvelopeRawLength, 12)));
    }
    let signed = SignedBody::decode(&plaintext).map_err(decode)?;
    Ok(opened(kind, place, &signed))
}

fn opened(kind: ObjectKind, place: &str, signed: &SignedBody<'_>) -> Opened {
    let SignedBody { signer, signature, body } = *signed;
    let (place, name, body) = (place.to_owned(), place.to_owned(), body.to_vec());
    Opened { kind, place, name, signer, signature, body }
}

fn signature(
    kind: ObjectKind,
    repository: RepoId,
    place: &str,
    body: &[u8],
    signer: &Signer,
) -> [u8; 64] {
    let message = envelope::signed_message(kind, repository, place, body);
    signer.sign(&kind.namespace(), &message)
}

/// Shorter plaintexts are not worth a frame.
const COMPRESS_BYTES_MIN: usize = 512;
const OBJECT_LEVEL: i32 = 3;
