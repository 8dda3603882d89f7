//! Damage that was found: collected, not thrown.

use crate::id::SnapshotId;
use crate::repo::error::RepoError;
use serde::Serialize;

/// Something that is wrong with a repository, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// A stable code, as `chunk.unauthentic`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Which object.
    pub object: String,
    /// What it means.
    pub effect: String,
    /// What can be done.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Nothing is lost.
    Notice,
    /// Something can no longer be restored.
    Loss,
}

/// Whether some of these are losses.
pub fn any_loss(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Loss)
}

impl Finding {
    /// What happened to which object, and what can be done, in one line.
    pub(crate) fn words(&self) -> String {
        let Self { object, effect, remedy, .. } = self;
        format!("{object}: {effect}; {remedy}")
    }

    /// A finding that costs data.
    pub(crate) fn loss(code: &'static str, object: String, effect: String) -> Self {
        let remedy = LOSS_REMEDY.to_owned();
        Self { code, severity: Severity::Loss, object, effect, remedy }
    }

    /// A snapshot whose manifest is damaged, and what follows from that.
    pub(crate) fn damaged_manifest(snapshot: SnapshotId, effect: &str, error: &RepoError) -> Self {
        let effect = format!("{effect}: {}", chain_words(error));
        Self::loss("manifest.damaged", format!("snapshot {snapshot}"), effect)
    }

    /// A finding that costs nothing yet.
    pub(crate) fn notice(code: &'static str, object: String, effect: String) -> Self {
        let remedy = NOTICE_REMEDY.to_owned();
        Self { code, severity: Severity::Notice, object, effect, remedy }
    }
}

/// The error with everything that caused it, in one line.
pub(crate) fn chain_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = source.source();
    }
    text
}

const LOSS_REMEDY: &str = "restore the object from a copy of the repository, or run \
     `sbf-repo check --read-data` and back the sources up again: what they still have is stored anew";
const NOTICE_REMEDY: &str = "none is needed";
