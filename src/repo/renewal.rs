//! The keys of later generations, sealed for the holders of slots. Spec: format-spec/04-keyslot.md,
//! "Generations".
//!
//! Whoever rotates needs nobody's secret: the pair for which they are sealed follows from the key of
//! the slot's client, and the authority signs both halves of the bargain.

use crate::crypto::CryptoError;
use crate::crypto::aead;
use crate::crypto::hash::derive;
use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::crypto::sign::key_id;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Holder;
use crate::format::identity::Identity;
use crate::format::identity::Renewal;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::format::keyslot::SlotKeys;
use crate::format::layout;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::RepoId;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::repository::verified_by_authority;
use crate::store::Store;
use zeroize::Zeroizing;

/// The record that tells whoever rotates for whom keys are to be sealed.
pub(crate) fn holder_of(role: Role, keys: &SlotKeys) -> Result<Holder, RepoError> {
    let public_key = seal::public_key(&seed(&Secret::new(keys.client_key)))
        .map_err(|_source| RepoError::KeyFile)?;
    let generation = keys.generations.last().map_or(0, |keys| keys.generation);
    let signing = std::iter::once(keys.client_key).chain(keys.maintenance);
    let mut signing: Vec<KeyId> =
        signing.map(|seed| Signer::new(&Secret::new(seed)).id()).collect();
    signing.sort_unstable();
    Ok(Holder { client: keys.client_id(), role, public_key, generation, signing })
}

/// The name by which a holder is revoked.
pub(crate) fn holder_id(holder: &Holder) -> KeyId {
    key_id(&holder.public_key)
}

/// Seals the keys of a generation for a holder.
pub(crate) fn seal_for(
    repository: RepoId,
    holder: &Holder,
    keys: &GenerationKeys,
    environment: &dyn Environment,
) -> Result<Renewal, RepoError> {
    let Holder { client, public_key, .. } = holder;
    let generation = keys.generation;
    let place = associated_data(repository, *client, generation);
    let secret = Secret::new(random(environment));
    let mut fill = |bytes: &mut [u8]| environment.fill_random(bytes);
    let sealed = seal::seal_secret(public_key, SEAL_INFO, &place, &secret, &mut fill)
        .map_err(|source| not_opened(*client, source))?;
    let nonce = random(environment);
    let mut wrapped = keys.encode();
    aead::seal_random(&wrapping_key(&secret), &nonce, &place, &mut wrapped);
    let seal::SealedSecret { encapsulated, sealed } = sealed;
    Ok(Renewal { client: *client, generation, encapsulated, sealed, nonce, wrapped })
}

/// The keys of every later generation that the authority sealed for a slot's client.
pub(crate) fn load(
    store: &dyn Store,
    repository: RepoId,
    keys: &SlotKeys,
) -> Result<Vec<GenerationKeys>, RepoError> {
    let authority = &keys.authority_public;
    let (client, client_key) = (keys.client_id(), Secret::new(keys.client_key));
    let mut found = Vec::new();
    for listed in store.list(layout::IDENTITIES)? {
        let key = listed.key;
        // Too short for one, as most are.
        if listed.length < RENEWAL_BYTES_MIN {
            continue;
        }
        let bytes = store.read(&key, u64::from(ObjectKind::Identity.raw_bytes_max()))?;
        // What the authority did not sign is for others to report.
        let Ok(opened) = objects::open_clear(ObjectKind::Identity, key.as_str(), &bytes) else {
            continue;
        };
        let Ok(body) = verified_by_authority(opened, repository, authority) else { continue };
        let Ok(Identity::Renewal(renewal)) = Identity::decode(&body) else { continue };
        if renewal.client == client {
            found.push(open(repository, &client_key, &renewal)?);
        }
    }
    Ok(found)
}

/// Opens the keys of a generation with the key of the client that they are for.
pub(crate) fn open(
    repository: RepoId,
    client_key: &Secret,
    renewal: &Renewal,
) -> Result<GenerationKeys, RepoError> {
    let Renewal { client, generation, encapsulated, sealed, nonce, wrapped } = renewal;
    let place = associated_data(repository, *client, *generation);
    let open = |source| not_opened(*client, source);
    let secret = seal::open_secret(&seed(client_key), SEAL_INFO, &place, encapsulated, sealed)
        .map_err(open)?;
    let mut plain = Zeroizing::new(wrapped.clone());
    aead::open_random(&wrapping_key(&secret), nonce, &place, &mut plain).map_err(open)?;
    let decode = |source| RepoError::Decode { key: words(*client), source };
    let keys = GenerationKeys::decode(&plain).map_err(decode)?;
    if keys.generation != *generation {
        return Err(decode(FormatError::new("renewal", Rule::RecordRange, 0)));
    }
    Ok(keys)
}

fn seed(client_key: &Secret) -> Secret {
    derive("sbf-repo 1 renewal seed", &[client_key.expose()])
}

fn wrapping_key(secret: &Secret) -> Secret {
    derive("sbf-repo 1 renewal wrap", &[secret.expose()])
}

fn associated_data(repository: RepoId, client: ClientId, generation: u32) -> Vec<u8> {
    [repository.as_bytes().as_slice(), client.as_bytes(), &generation.to_le_bytes()].concat()
}

fn not_opened(client: ClientId, source: CryptoError) -> RepoError {
    RepoError::Open { key: words(client), source }
}

fn words(client: ClientId) -> String {
    format!("the keys of a later generation for client {client}")
}

/// No renewal is shorter: the encapsulated key alone takes more than all other kinds but holders.
const RENEWAL_BYTES_MIN: u64 = 1200;
const SEAL_INFO: &str = "sbf-repo 1 renewal seal";
