//! Manifests on their way to the store. Spec: format-spec/08-manifest.md.

use crate::crypto::hash::sha256;
use crate::format::envelope::ObjectKind;
use crate::format::layout::SessionRef;
use crate::format::manifest;
use crate::format::manifest::Manifest;
use crate::id::PackId;
use crate::id::Sha256;
use crate::repo::create::create;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::repository::Repository;

/// Stores the manifest of a session, before the outcome that names its digest.
pub(crate) fn store_manifest(
    repository: &Repository,
    session: SessionRef,
    manifest: &Manifest,
) -> Result<Sha256, RepoError> {
    let key = session.manifest_key();
    let body = manifest.encode();
    let bytes = objects::seal(
        ObjectKind::Manifest,
        &repository.keys,
        key.as_str(),
        &body,
        &repository.keys.signer,
        repository.environment.as_ref(),
    )?;
    create(repository.store.as_ref(), &key, &bytes)?;
    repository.keep(&key, &bytes);
    Ok(sha256(&body))
}

/// Root of the Merkle tree over packs, sorted by id (RFC 9162).
pub(crate) fn merkle_root(packs: &[(PackId, u64)]) -> Sha256 {
    let mut packs = packs.to_vec();
    packs.sort_unstable();
    let leaves: Vec<Sha256> =
        packs.iter().map(|(id, length)| sha256(&manifest::merkle_leaf(id, *length))).collect();
    subtree(&leaves)
}

/// Root of the Merkle tree over hashed leaves (RFC 9162).
pub(crate) fn subtree(leaves: &[Sha256]) -> Sha256 {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            sha256(&manifest::merkle_node(&subtree(left), &subtree(right)))
        }
    }
}
