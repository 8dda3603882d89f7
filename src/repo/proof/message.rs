//! A signed message outside of its object: what was signed, by whom, and the signature.

use crate::crypto::CryptoError;
use crate::crypto::hash::sha256;
use crate::crypto::sign;
use crate::crypto::sign::Signer;
use crate::format::sshsig::SshSignature;
use crate::id::RepoId;
use crate::id::Sha256;

/// What was signed, and the signature; nothing is known of the signer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedMessage {
    pub(crate) message: Vec<u8>,
    pub(crate) signature: SshSignature,
}

impl SignedMessage {
    /// Signs a message.
    pub(crate) fn new(message: Vec<u8>, namespace: &str, signer: &Signer) -> Self {
        let signature = SshSignature {
            public_key: signer.public(),
            namespace: namespace.to_owned(),
            signature: signer.sign(namespace, &message),
        };
        Self { message, signature }
    }

    /// Checks the signature, and that it was made for this purpose.
    pub(crate) fn check(&self, namespace: &str) -> Result<(), CryptoError> {
        let SshSignature { public_key, namespace: stated, signature } = &self.signature;
        if stated != namespace {
            return Err(CryptoError::BadSignature);
        }
        sign::verify(public_key, namespace, &self.message, signature)
    }

    /// SHA-256 of what was signed.
    pub(crate) fn sha256(&self) -> Sha256 {
        sha256(&self.message)
    }

    /// The place that a message names, whatever its repository is.
    pub(crate) fn place(&self) -> Option<String> {
        let (length, rest) = self.message.get(16..)?.split_first_chunk::<2>()?;
        let place = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        String::from_utf8(place.to_vec()).ok()
    }

    /// The body of a message that names repository and place; nothing if it names others.
    pub(crate) fn body(&self, repository: RepoId, place: &str) -> Option<&[u8]> {
        let rest = self.message.strip_prefix(repository.as_bytes())?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        if usize::from(u16::from_le_bytes(*length)) != place.len() {
            return None;
        }
        rest.strip_prefix(place.as_bytes())
    }
}

/// SHA-256 of any bytes.
pub(crate) fn sha256_of(bytes: &[u8]) -> Sha256 {
    sha256(bytes)
}
