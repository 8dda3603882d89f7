//! Who exported a bundle, and what the export says of itself. Spec: format-spec/16-evidence.md.

use crate::format::identity::Subject;
use crate::format::sshsig;
use crate::id::ClientId;
use crate::ops::evidence::files;
use crate::ops::evidence::verify::Bundle;
use crate::ops::finding::Finding;
use crate::ops::words::parse_time;
use crate::repo::proof::EVIDENCE_NAMESPACE;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::message::sha256_of;
use crate::repo::proof::trust::Signatory;
use crate::repo::proof::trust::Trust;
use crate::repo::proof::trust::Untrusted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Who exported a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Exporter {
    /// The client, hexadecimal.
    pub client: String,
    /// Its key as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// For what the authority certified the key.
    pub role: String,
}

/// What a bundle says of itself.
#[derive(Debug, Default)]
pub(super) struct About {
    /// When it was made, in seconds since 1970.
    pub(super) created: Option<i64>,
    pub(super) exporter: Option<ClientId>,
    /// What could not be exported, a line each.
    left_out: Vec<String>,
}

impl About {
    pub(super) fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let bytes = files.get(files::ABOUT).map(Vec::as_slice).unwrap_or_default();
        let about: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |member: &str| about.get(member).and_then(Value::as_str);
        let created = text("created").and_then(parse_time).map(|(seconds, _nanoseconds)| seconds);
        let exporter = text("exporter").and_then(|client| client.parse().ok());
        let left_out = about.get("left_out").and_then(Value::as_array).cloned();
        let left_out = left_out.unwrap_or_default().iter().map(left_out_words).collect();
        Self { created, exporter, left_out }
    }
}

/// A public key as `ssh-keygen -l` names it.
fn fingerprint(public: &[u8; 32]) -> String {
    let digest = sha256_of(&sshsig::key_blob(public));
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest.as_bytes()))
}

/// One finding of an export, in words.
fn left_out_words(finding: &Value) -> String {
    let text = |member: &str| finding.get(member).and_then(Value::as_str).unwrap_or("?");
    format!("{}: {}", text("object"), text("effect"))
}

impl Exporter {
    /// Who signed, by the certificate of the key.
    pub(super) fn of(trust: &Trust, signed: &SignedMessage) -> Option<Self> {
        let public = signed.signature.public_key;
        let certificate = trust.certificates().find(|found| found.public_key == public)?;
        let Subject::Client(client) = certificate.subject else { return None };
        let (fingerprint, role) = (fingerprint(&public), certificate.role.word());
        Some(Self { client: client.to_string(), fingerprint, role: role.to_owned() })
    }
}

impl Bundle {
    /// Checks that the exporter signed it whom the bundle names: another client could sign a changed one else.
    pub(super) fn check_exporter(&self, signed: &SignedMessage) -> Result<(), Untrusted> {
        let exporter = self.about.exporter.ok_or(Untrusted::Misplaced)?;
        let by = Signatory::Of(Subject::Client(exporter));
        self.trust.check(signed, EVIDENCE_NAMESPACE, by, self.about.created)
    }

    /// Tells what the exporter left out.
    pub(super) fn tell_left_out(&mut self) {
        for words in std::mem::take(&mut self.about.left_out) {
            let object = files::ABOUT.to_owned();
            let effect = format!("the exporter left out: {words}");
            self.report.notices.push(Finding::notice("evidence.left_out", object, effect));
        }
    }

    /// Tells that numbers are missing between two statements of the authority.
    pub(super) fn tell_gap(&mut self, last: u32, number: u32) {
        if number > last.saturating_add(1) {
            let first = last.saturating_add(1);
            let effect = format!(
                "no statement of the authority is here before it from number {first} on: it may be a revocation"
            );
            let object = format!("{}/{number:08}", files::IDENTITIES);
            self.report.notices.push(Finding::notice("evidence.identity_gap", object, effect));
        }
    }
}
