//! Keys of packs: made, wrapped, unwrapped. Spec: format-spec/13-crypto.md, "Pack keys".

use crate::crypto::CryptoError;
use crate::crypto::aead;
use crate::crypto::hash::derive;
use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::format::keyslot::GenerationKeys;
use crate::format::pack;
use crate::format::pack::PackKind;
use crate::format::pack::Wrap;
use crate::format::pack::WrappedKey;
use crate::id::PackUid;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::keyring::KeyRing;
use crate::repo::rights::Right;

/// Makes and wraps the key of a new pack.
pub(crate) fn make(
    keys: &KeyRing,
    kind: PackKind,
    pack_uid: PackUid,
    environment: &dyn Environment,
) -> Result<(Secret, WrappedKey), RepoError> {
    let key = Secret::new(random(environment));
    let generation = keys.newest();
    let place = pack::key_associated_data(keys.repository, kind, pack_uid);
    let (symmetric, public) = wrapping_keys(generation, kind);
    let wrap = if let Some(wrapping) = symmetric {
        let nonce = random(environment);
        let mut sealed = key.expose().to_vec();
        aead::seal_random(&wrapping, &nonce, &place, &mut sealed);
        let sealed = sealed.try_into().map_err(|_bytes| keys.lacks(Right::SealPacks))?;
        Wrap::Symmetric { nonce, sealed }
    } else {
        let mut fill = |bytes: &mut [u8]| environment.fill_random(bytes);
        let sealed = seal::seal_secret(public, SEAL_INFO, &place, &key, &mut fill)
            .map_err(|_source| keys.lacks(Right::SealPacks))?;
        Wrap::Sealed { encapsulated: sealed.encapsulated, sealed: sealed.sealed }
    };
    let commitment = *commitment(&key).expose();
    Ok((key, WrappedKey { generation: generation.generation, commitment, wrap }))
}

/// Unwraps the key of a pack.
pub(crate) fn unwrap(
    keys: &KeyRing,
    kind: PackKind,
    pack_uid: PackUid,
    wrapped: &WrappedKey,
    place: &dyn std::fmt::Display,
) -> Result<Secret, RepoError> {
    let generation = keys.generation(wrapped.generation, place)?;
    let associated_data = pack::key_associated_data(keys.repository, kind, pack_uid);
    let open = |source| RepoError::Open { key: place.to_string(), source };
    let key = match &wrapped.wrap {
        Wrap::Symmetric { nonce, sealed } => {
            let (wrapping, _public) = wrapping_keys(&generation, kind);
            let wrapping = wrapping.ok_or_else(|| keys.lacks(reading(kind)))?;
            let mut plain = sealed.to_vec();
            aead::open_random(&wrapping, nonce, &associated_data, &mut plain).map_err(open)?;
            let bytes = plain.as_slice().try_into();
            Secret::new(bytes.map_err(|_source| open(CryptoError::Malformed))?)
        }
        Wrap::Sealed { encapsulated, sealed } => {
            let seed = match kind {
                PackKind::Data => generation.data_seal_secret,
                PackKind::Tree => generation.tree_seal_secret,
            };
            let seed = Secret::new(seed.ok_or_else(|| keys.lacks(reading(kind)))?);
            seal::open_secret(&seed, SEAL_INFO, &associated_data, encapsulated, sealed)
                .map_err(open)?
        }
    };
    if *commitment(&key).expose() != wrapped.commitment {
        return Err(open(CryptoError::WrongKey));
    }
    Ok(key)
}

/// The key that wraps symmetrically, if the role has it, and the public key that always can.
fn wrapping_keys(generation: &GenerationKeys, kind: PackKind) -> (Option<Secret>, &[u8]) {
    let (master, public) = match kind {
        PackKind::Data => (generation.data, &generation.data_seal_public),
        PackKind::Tree => (generation.tree, &generation.tree_seal_public),
    };
    (master.map(|master| derive("sbf-repo 1 pack key wrap", &[&master])), public)
}

fn commitment(key: &Secret) -> Secret {
    derive("sbf-repo 1 pack key commitment", &[key.expose()])
}

fn reading(kind: PackKind) -> Right {
    match kind {
        PackKind::Data => Right::ReadContents,
        PackKind::Tree => Right::ReadTrees,
    }
}

const SEAL_INFO: &str = "sbf-repo 1 pack key seal";
