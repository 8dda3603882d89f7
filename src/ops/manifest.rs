//! `manifest`: what the signed statement of a snapshot says, and whether it counts.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::rollback_finding;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::proof::gather;
use crate::repo::repository::Repository;
use serde::Serialize;

/// A manifest as it was signed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Shown {
    /// The bytes that were signed.
    pub statement: Vec<u8>,
    /// The public key that signed them, as OpenSSH writes it.
    pub signer: String,
    /// SHA-256 of the bytes, hexadecimal: what the commit names.
    pub sha256: String,
    /// The role for which the client's key was made.
    pub role: &'static str,
}

/// Reads the manifest of a snapshot.
pub fn show(repository: &Repository, selected: &Selected) -> Result<Shown, OpError> {
    let message =
        gather::manifest(repository, &selected.live).during("cannot read the manifest")?;
    let sha256 = message.sha256().to_string();
    let role = repository.identities.role_of_client(selected.live.client);
    let role = role.map_or("unknown", crate::format::keyslot::Role::word);
    let signer = crate::format::sshsig::public_key_line(&message.signature.public_key, "");
    Ok(Shown { statement: message.message, signer, sha256, role })
}

/// What a verification of manifests came to.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Manifests that are signed by their client and that were committed.
    pub verified: u64,
    /// What does not verify.
    pub findings: Vec<Finding>,
}

/// Verifies the manifests of these snapshots, or of all of them if none is named.
pub fn verify(repository: &Repository, selectors: &[Selector]) -> Result<VerifyReport, OpError> {
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    let mut report = VerifyReport::default();
    report.findings.extend(history.unreadable.iter().map(history_finding));
    report.findings.extend(history.went_back.iter().map(rollback_finding));
    let mut chosen: Vec<LiveSnapshot> = Vec::new();
    for selector in selectors {
        chosen.push(selector.select_in(repository, &history)?.live);
    }
    if selectors.is_empty() {
        chosen.extend(history.snapshots.iter().cloned());
    }
    for live in &chosen {
        // It compares signature, certificate, digest and place.
        match live.manifest(repository) {
            Ok(_manifest) => report.verified += 1,
            Err(error) if repository.is_damage(&error) => {
                let effect = "its manifest does not verify";
                let finding = Finding::damaged_manifest(live.snapshot, effect, &error);
                report.findings.push(finding);
            }
            Err(error) => return Err(error).during("cannot read a manifest"),
        }
    }
    Ok(report)
}
