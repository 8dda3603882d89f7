//! Ed25519 signatures in the form of SSHSIG, so that `ssh-keygen -Y verify` can check them.
//! Source: PROTOCOL.sshsig of OpenSSH.

use crate::crypto::CryptoError;
use crate::crypto::hash::sha256;
use crate::crypto::secret::Secret;
use crate::id::KeyId;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::Signature;
use ed25519_dalek::Signer as _;
use ed25519_dalek::SigningKey;
use ed25519_dalek::VerifyingKey;
use sha2::Digest as _;
use std::fmt;

/// A key that signs.
#[derive(Clone)]
pub(crate) struct Signer(SigningKey);

impl Signer {
    /// The signer of a secret seed.
    pub(crate) fn new(seed: &Secret) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The name of the key.
    pub(crate) fn id(&self) -> KeyId {
        key_id(&self.public())
    }

    /// Signs `message` for the purpose `namespace`.
    pub(crate) fn sign(&self, namespace: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&signed_data(namespace, message)).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.id())
    }
}

/// Checks a signature strictly: no weak keys, no second forms.
pub(crate) fn verify(
    public: &[u8; 32],
    namespace: &str,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), CryptoError> {
    let key = VerifyingKey::from_bytes(public).map_err(|_source| CryptoError::Malformed)?;
    key.verify_strict(&signed_data(namespace, message), &Signature::from_bytes(signature))
        .map_err(|_source| CryptoError::BadSignature)
}

impl Signer {
    /// Signs bytes as they are, for forms that say themselves what they are.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A signed note: the text, an empty line, and a line with the signature.
/// Source: C2SP signed-note.
pub(crate) fn signed_note(signer: &Signer, name: &str, text: &str) -> String {
    let public = signer.public();
    let mut named = name.as_bytes().to_vec();
    named.extend_from_slice(b"\n\x01");
    named.extend_from_slice(&public);
    let hash = sha2::Sha256::digest(&named);
    let mut blob = hash.as_slice().get(..NOTE_HASH_BYTES).unwrap_or_default().to_vec();
    blob.extend_from_slice(&signer.sign_raw(text.as_bytes()));
    format!("{text}\n\u{2014} {name} {}\n", BASE64_STANDARD.encode(blob))
}

/// Bytes of a key's hash in a signed note.
const NOTE_HASH_BYTES: usize = 4;

/// The name of a public key: the first 16 bytes of its SHA-256, which auditors can compute.
pub(crate) fn key_id(public: &[u8]) -> KeyId {
    let mut id = [0; 16];
    id.copy_from_slice(&sha256(public).as_bytes()[..16]);
    KeyId::new(id)
}

/// What SSHSIG signs: its magic, namespace, an empty field, the hash's name and the hash.
fn signed_data(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut data = b"SSHSIG".to_vec();
    let hash = sha2::Sha512::digest(message);
    for field in [namespace.as_bytes(), b"", b"sha512", hash.as_slice()] {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        #[expect(clippy::big_endian_bytes, reason = "the SSH wire format is big-endian")]
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_for_its_namespace_only() {
        let signer = Signer::new(&Secret::new([3; 32]));
        let signature = signer.sign("one", b"message");
        assert_eq!(verify(&signer.public(), "one", b"message", &signature), Ok(()));
        let wrong = Err(CryptoError::BadSignature);
        assert_eq!(verify(&signer.public(), "two", b"message", &signature), wrong);
        assert_eq!(verify(&signer.public(), "one", b"massage", &signature), wrong);
    }
}
