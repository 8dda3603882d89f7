//! Evidence for auditors: bundles of signed statements that stock tools verify without any secret key.
//! Spec: format-spec/16-evidence.md.

pub(crate) mod export;
mod exporter;
mod files;
mod logs;
mod population;
mod scrub;
mod signers;
mod verify;

pub use export::ExportOptions;
pub use export::ExportReport;
pub use export::Period;
pub use export::export;
pub use exporter::Exporter;
pub use scrub::ScrubReport;
pub use scrub::scrub;
pub use verify::BundleReport;
pub use verify::verify_bundle;

use crate::format::sshsig;
use crate::ops::error::OpError;
use crate::repo::repository::Repository;

/// The public half of the authority's key: what auditors must get by another way than the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityKey([u8; 32]);

impl AuthorityKey {
    /// The key of a repository.
    pub fn of(repository: &Repository) -> Self {
        Self(repository.keys.keys.authority_public)
    }

    /// Reads a line as OpenSSH writes it.
    ///
    /// Errors: [`OpError::Usage`] if the text has none of Ed25519.
    pub fn parse(text: &str) -> Result<Self, OpError> {
        let why = "there is no public key of the form `ssh-ed25519 AAAA…` in it".to_owned();
        sshsig::parse_public_key_line(text).map(Self).ok_or(OpError::Usage { why })
    }

    /// The key as a line that OpenSSH reads.
    pub fn line(&self, comment: &str) -> String {
        sshsig::public_key_line(&self.0, comment)
    }
}
