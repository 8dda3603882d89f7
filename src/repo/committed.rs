//! The manifest of a snapshot that counts, as it was committed. Spec: format-spec/08-manifest.md.

use crate::crypto::hash::sha256;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::envelope::ObjectKind;
use crate::format::gc::BaseSnapshot;
use crate::format::layout;
use crate::format::manifest::Manifest;
use crate::id::KeyId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::LiveSnapshot;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;

impl LiveSnapshot {
    /// Whether the id begins with these digits.
    pub(crate) fn begins_with(&self, digits: &str) -> bool {
        self.snapshot.to_string().starts_with(digits)
    }

    /// Reads the snapshot's manifest and checks that it is the one that was committed.
    pub(crate) fn manifest(&self, repository: &Repository) -> Result<Manifest, RepoError> {
        let key = layout::manifest_key(self.client, self.snapshot);
        repository.read_kept(&key, length_max(ObjectKind::Manifest), |bytes| {
            self.manifest_of(repository, &key, bytes)
        })
    }

    fn manifest_of(
        &self,
        repository: &Repository,
        key: &ObjectKey,
        bytes: &[u8],
    ) -> Result<Manifest, RepoError> {
        let opened = repository.open_object(ObjectKind::Manifest, key, key.as_str(), bytes)?;
        let signer = opened.signer();
        let body = repository.identities.by_client(repository.id(), self.client, opened)?;
        if sha256(&body) != self.manifest {
            return Err(RepoError::WrongHash { key: key.to_string() });
        }
        let decode = |source| RepoError::Decode { key: key.to_string(), source };
        let manifest = Manifest::decode(&body).map_err(decode)?;
        if !self.is_in_base {
            check_finished(repository, key, signer, &manifest)?;
        }
        manifest.check_place(repository.id(), self.client, self.snapshot).map_err(decode)?;
        if manifest.predicate.source != self.source {
            return Err(decode(FormatError::new("manifest", Rule::ManifestPlace, 0)));
        }
        Ok(manifest)
    }
}

/// Checks that the client says it finished while its signatures counted.
fn check_finished(
    repository: &Repository,
    key: &ObjectKey,
    signer: KeyId,
    manifest: &Manifest,
) -> Result<(), RepoError> {
    let finished = manifest.predicate.times.finished.parse::<jiff::Timestamp>();
    let finished = finished.map(jiff::Timestamp::as_second).unwrap_or_default();
    match repository.identities.lapse_by_signer(signer, finished) {
        Some(lapse) => Err(RepoError::Lapsed { key: key.to_string(), signer, lapse }),
        None => Ok(()),
    }
}

impl From<BaseSnapshot> for LiveSnapshot {
    fn from(base: BaseSnapshot) -> Self {
        let BaseSnapshot { snapshot, client, manifest, source, received } = base;
        Self { client, snapshot, manifest, source, received, is_in_base: true }
    }
}
