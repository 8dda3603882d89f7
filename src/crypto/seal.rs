//! Sealing for a public key: HPKE (RFC 9180) with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305.

use crate::crypto::CryptoError;
use crate::crypto::secret::Secret;
use hpke::Deserializable as _;
use hpke::Kem as _;
use hpke::OpModeR;
use hpke::OpModeS;
use hpke::Serializable as _;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use rand_core::TryCryptoRng;
use rand_core::TryRng;
use std::convert::Infallible;

/// Fills a buffer with random bytes.
pub(crate) type FillRandom<'a> = &'a mut dyn FnMut(&mut [u8]);

/// A secret sealed for a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedSecret {
    /// The encapsulated key, 1120 bytes.
    pub(crate) encapsulated: Vec<u8>,
    /// The secret and its tag.
    pub(crate) sealed: [u8; 48],
}

/// The public key, 1216 bytes, of a secret seed.
pub(crate) fn public_key(seed: &Secret) -> Result<Vec<u8>, CryptoError> {
    let secret = <XWing as hpke::Kem>::PrivateKey::from_bytes(seed.expose())
        .map_err(|_source| CryptoError::Malformed)?;
    Ok(XWing::sk_to_pk(&secret).to_bytes().to_vec())
}

/// Seals `secret` for `public`; `info` names the purpose.
pub(crate) fn seal_secret(
    public: &[u8],
    info: &str,
    associated_data: &[u8],
    secret: &Secret,
    random: FillRandom<'_>,
) -> Result<SealedSecret, CryptoError> {
    seal_secret_in(public, info, |_encapsulated| associated_data.to_vec(), secret, random)
}

/// [`seal_secret`], where the associated data hold the encapsulated key.
pub(crate) fn seal_secret_in(
    public: &[u8],
    info: &str,
    associated_data: impl FnOnce(&[u8]) -> Vec<u8>,
    secret: &Secret,
    random: FillRandom<'_>,
) -> Result<SealedSecret, CryptoError> {
    let recipient = <XWing as hpke::Kem>::PublicKey::from_bytes(public)
        .map_err(|_source| CryptoError::Malformed)?;
    let (encapsulated, mut context) =
        hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &recipient,
            info.as_bytes(),
            &mut Random(random),
        )
        .map_err(|_source| CryptoError::Malformed)?;
    let encapsulated = encapsulated.to_bytes().to_vec();
    let sealed = context
        .seal(secret.expose(), &associated_data(&encapsulated))
        .map_err(|_source| CryptoError::Malformed)?;
    let sealed = sealed.try_into().map_err(|_bytes| CryptoError::Malformed)?;
    Ok(SealedSecret { encapsulated, sealed })
}

/// Opens what [`seal_secret`] made with the seed of the public key.
pub(crate) fn open_secret(
    seed: &Secret,
    info: &str,
    associated_data: &[u8],
    encapsulated: &[u8],
    sealed: &[u8; 48],
) -> Result<Secret, CryptoError> {
    let malformed = |_source| CryptoError::Malformed;
    let secret = <XWing as hpke::Kem>::PrivateKey::from_bytes(seed.expose()).map_err(malformed)?;
    let encapsulated =
        <XWing as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(malformed)?;
    let mut context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        info.as_bytes(),
    )
    .map_err(|_source| CryptoError::Unauthentic)?;
    let opened =
        context.open(sealed, associated_data).map_err(|_source| CryptoError::Unauthentic)?;
    let bytes = opened.as_slice().try_into().map_err(|_source| CryptoError::Malformed)?;
    Ok(Secret::new(bytes))
}

/// The caller's randomness in the form the library asks for.
struct Random<'a>(FillRandom<'a>);

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        (self.0)(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        (self.0)(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pair_opens_for_the_same_place() {
        let seed = Secret::new([5; 32]);
        let public = public_key(&seed).unwrap();
        let mut random = |bytes: &mut [u8]| bytes.fill(9);
        let secret = Secret::new([8; 32]);
        let sealed = seal_secret(&public, "test", b"here", &secret, &mut random).unwrap();
        assert_eq!(sealed.encapsulated.len(), 1120);
        let open = |seed: &Secret, place: &[u8]| {
            open_secret(seed, "test", place, &sealed.encapsulated, &sealed.sealed)
        };
        assert_eq!(open(&seed, b"here").unwrap().expose(), secret.expose());
        assert!(open(&seed, b"there").is_err());
        assert!(open(&Secret::new([6; 32]), b"here").is_err());
    }
}
