//! ChaCha20-Poly1305 for blocks and directories, XChaCha20-Poly1305 for everything with a random
//! nonce. Tags stand after the ciphertext.

use crate::crypto::CryptoError;
use crate::crypto::secret::Secret;
use chacha20poly1305::AeadInOut;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::KeyInit as _;
use chacha20poly1305::XChaCha20Poly1305;

/// Encrypts `buffer` in place and appends the tag, with a nonce that is never used twice under
/// `key`.
pub(crate) fn seal(key: &Secret, nonce: &[u8; 12], associated_data: &[u8], buffer: &mut Vec<u8>) {
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    seal_with(&cipher, nonce.into(), associated_data, buffer);
}

/// Opens what [`seal`] made, in place; on failure `buffer` is cleared.
pub(crate) fn open(
    key: &Secret,
    nonce: &[u8; 12],
    associated_data: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    open_with(&cipher, nonce.into(), associated_data, buffer)
}

/// As [`seal`], with a random nonce of 24 bytes.
pub(crate) fn seal_random(
    key: &Secret,
    nonce: &[u8; 24],
    associated_data: &[u8],
    buffer: &mut Vec<u8>,
) {
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    seal_with(&cipher, nonce.into(), associated_data, buffer);
}

/// Opens what [`seal_random`] made, in place; on failure `buffer` is cleared.
pub(crate) fn open_random(
    key: &Secret,
    nonce: &[u8; 24],
    associated_data: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    open_with(&cipher, nonce.into(), associated_data, buffer)
}

#[expect(clippy::expect_used, reason = "the only failure is a length beyond 256 GiB")]
fn seal_with<C: AeadInOut>(
    cipher: &C,
    nonce: &chacha20poly1305::aead::Nonce<C>,
    associated_data: &[u8],
    buffer: &mut Vec<u8>,
) {
    cipher
        .encrypt_in_place(nonce, associated_data, buffer)
        .expect("a vector grows, and buffers are far below the cipher's limit");
}

fn open_with<C: AeadInOut>(
    cipher: &C,
    nonce: &chacha20poly1305::aead::Nonce<C>,
    associated_data: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    cipher.decrypt_in_place(nonce, associated_data, buffer).map_err(|_source| {
        buffer.clear();
        CryptoError::Unauthentic
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_or_place_does_not_open() {
        let key = Secret::new([7; 32]);
        let mut sealed = b"plain".to_vec();
        seal(&key, &[1; 12], b"place", &mut sealed);
        for (nonce, place, flip) in
            [([1; 12], b"place", Some(2)), ([2; 12], b"place", None), ([1; 12], b"other", None)]
        {
            let mut copy = sealed.clone();
            if let Some(at) = flip {
                copy[at] ^= 1;
            }
            assert_eq!(open(&key, &nonce, place, &mut copy), Err(CryptoError::Unauthentic));
            assert!(copy.is_empty());
        }
        open(&key, &[1; 12], b"place", &mut sealed).unwrap();
        assert_eq!(sealed, b"plain");
    }
}
