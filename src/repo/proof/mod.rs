//! What auditors get: signed messages that stand alone, and whose signatures count.
//! Spec: format-spec/16-evidence.md.

pub(crate) mod gather;
pub(crate) mod keyless;
pub(crate) mod message;
pub(crate) mod trust;

/// The purpose of signatures on evidence.
pub(crate) const EVIDENCE_NAMESPACE: &str = "sbf-repo-evidence";
