//! The audit logs of a bundle: each chain, its end as the exporter signed it, and as records state it.
//! Spec: format-spec/16-evidence.md.

use crate::format::audit::AuditHeads;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Subject;
use crate::format::keyslot::Role;
use crate::format::layout;
use crate::format::record::Record;
use crate::format::sshsig::SshSignature;
use crate::id::ClientId;
use crate::id::Sha256;
use crate::ops::evidence::files;
use crate::ops::evidence::verify::Bundle;
use crate::ops::finding::Finding;
use crate::ops::words::parse_time;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::message::sha256_of;
use crate::repo::proof::trust::Signatory;
use crate::repo::proof::trust::Untrusted;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A record of a log: whose, its number, and SHA-256 of its statement.
type End = (ClientId, u64, Sha256);
/// The last record of each log.
type Heads = BTreeMap<ClientId, (u64, Sha256)>;

/// The end of a log as a record states it that verifies.
pub(super) struct StatedEnd {
    /// The file with the record.
    name: String,
    end: End,
    /// Whether a log that lacks it was cut off: the client itself or an admin states it.
    proves_loss: bool,
}

impl Bundle {
    /// Notes the ends of logs that a record states which was verified.
    pub(super) fn add_stated(&mut self, name: &str, verified: &SignedMessage) {
        let Ok(record) = Record::decode(&verified.message) else { return };
        let Ok(AuditHeads { heads }) = AuditHeads::read(&record) else { return };
        let public = verified.signature.public_key;
        let signer = self.trust.certificates().find(|found| found.public_key == public);
        let Some(signer) = signer else { return };
        let (by, is_admin) = (signer.subject, signer.role == Role::Admin);
        self.stated.extend(heads.into_iter().map(|stated| {
            let proves_loss = is_admin || by == Subject::Client(stated.client);
            let end = (stated.client, u64::from(stated.seq), stated.sha256);
            StatedEnd { name: name.to_owned(), end, proves_loss }
        }));
    }

    /// Looks in the logs for every end that a record states.
    fn check_stated(&mut self, found: &BTreeSet<End>) {
        for StatedEnd { name, end, proves_loss } in std::mem::take(&mut self.stated) {
            if found.contains(&end) {
                continue;
            }
            let (client, seq, digest) = end;
            let lacks = format!(
                "it names record {seq} ({digest}) of the log of {client}, which is not in the bundle"
            );
            if proves_loss {
                let why = format!("{lacks}: the log was cut off or replaced");
                self.find("evidence.cut_off", files::AUDIT, &format!("{name}: {why}"));
            } else {
                let effect =
                    format!("{lacks}; only an admin or that client proves by it that it was");
                self.report.notices.push(Finding::notice("evidence.claimed", name, effect));
            }
        }
    }

    /// Checks every record of the audit logs, each chain, and the checkpoint.
    pub(super) fn check_audit(&mut self) {
        let Some(statements) = self.files.get(files::AUDIT).cloned() else {
            self.check_stated(&BTreeSet::new());
            return;
        };
        let signatures = self.files.get(files::AUDIT_SIGNATURES).cloned().unwrap_or_default();
        let signatures = String::from_utf8_lossy(&signatures).into_owned();
        let mut signatures = signatures.lines();
        let mut heads: Heads = BTreeMap::new();
        let mut found = BTreeSet::new();
        let lines = statements.split_inclusive(|byte| *byte == b'\n');
        for (at, line) in lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)).enumerate() {
            match self.check_audit_record(line, signatures.next(), &mut heads) {
                Ok(end) => {
                    self.report.audit_records += 1;
                    found.insert(end);
                }
                Err(why) => {
                    self.find("evidence.audit", &format!("{}:{}", files::AUDIT, at + 1), &why);
                }
            }
        }
        if let Err(why) = self.check_checkpoint(&heads) {
            self.find("evidence.checkpoint", files::CHECKPOINT, &why);
        }
        self.check_stated(&found);
    }

    fn check_audit_record(
        &self,
        line: &[u8],
        signature: Option<&str>,
        heads: &mut Heads,
    ) -> Result<End, String> {
        let words = |why: Untrusted| why.to_string();
        let record = Record::decode(line).map_err(|error| error.to_string())?;
        let text = |member: &str| record.predicate.get(member).and_then(Value::as_str);
        let place = text("place").unwrap_or_default();
        let client = place.split('/').nth(1).and_then(|client| client.parse::<ClientId>().ok());
        let client = client.ok_or_else(|| words(Untrusted::Misplaced))?;
        let seq = record.predicate.get("seq").and_then(Value::as_u64).unwrap_or_default();
        if place != format!("{}/{client}/{seq:08}", layout::AUDIT)
            || text("repository") != Some(self.report.repository.as_str())
        {
            return Err(words(Untrusted::Misplaced));
        }
        let proof: Value = serde_json::from_str(signature.unwrap_or_default()).unwrap_or_default();
        let armour = proof.get("signature").and_then(Value::as_str).unwrap_or_default();
        let signature = SshSignature::decode(armour).ok_or_else(|| words(Untrusted::Signature))?;
        let signed = SignedMessage { message: line.to_vec(), signature };
        let by = Signatory::Of(Subject::Client(client));
        let time = text("time").and_then(parse_time).map(|(seconds, _nanoseconds)| seconds);
        self.trust.check(&signed, &ObjectKind::Audit.namespace(), by, time).map_err(words)?;
        let (before, previous) = heads.get(&client).copied().unwrap_or((0, Sha256::new([0; 32])));
        let follows = seq == before + 1 && text("prev") == Some(previous.to_string().as_str());
        let digest = sha256_of(line);
        heads.insert(client, (seq, digest));
        if follows {
            Ok((client, seq, digest))
        } else {
            Err("it does not follow the record before it".to_owned())
        }
    }

    /// The exporter signs how long each log is, so that no end of one can be cut off.
    fn check_checkpoint(&self, heads: &Heads) -> Result<(), String> {
        let signed = self.signed(files::CHECKPOINT).map_err(|why| why.to_string())?;
        self.check_exporter(&signed).map_err(|why| why.to_string())?;
        let text = String::from_utf8_lossy(&signed.message).into_owned();
        let stated: BTreeSet<&str> =
            text.lines().filter(|line| line.starts_with("head ")).collect();
        let found: BTreeSet<String> = heads
            .iter()
            .map(|(client, (seq, sha256))| format!("head {client}:{seq}:{sha256}"))
            .collect();
        if stated.len() == found.len() && found.iter().all(|head| stated.contains(head.as_str())) {
            return Ok(());
        }
        Err("the logs do not end as it says".to_owned())
    }
}
