//! `audit export`: the audit logs for people without a key of the repository.

use crate::format::layout;
use crate::id::ClientId;
use crate::ops::audit::verify::lapsed_finding;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::repo::audit::export::allowed_signers;
use crate::repo::audit::export::checkpoint;
use crate::repo::audit::export::leaf;
use crate::repo::audit::export::signature_of;
use crate::repo::audit::read::audit_numbers;
use crate::repo::audit::read::read_statements;
use crate::repo::error::RepoError;
use crate::repo::memory::AuditHead;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::io::Write;

/// What proves the statements that were exported.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AuditProof {
    /// Records that were exported.
    pub records: u64,
    /// Records that were stored after the end of their keys: there the logs of their clients end.
    pub lapsed: Vec<Finding>,
    /// A JSON object a line, in the order of the statements: `client`, `seq`, `sha256`, `signature`.
    #[serde(skip)]
    pub signatures: String,
    /// A signed note that names the number and the Merkle root of the statements, and all heads.
    #[serde(skip)]
    pub checkpoint: String,
    /// Its signature for `ssh-keygen`.
    #[serde(skip)]
    pub checkpoint_signature: String,
    /// The public keys of all clients for `ssh-keygen`.
    #[serde(skip)]
    pub allowed_signers: String,
}

/// Writes every statement of every audit log to `output`, a line each, byte by byte as it was
/// signed, by client and number.
///
/// Errors: a record that cannot be read, since what follows it would prove nothing.
pub fn audit_export(
    repository: &Repository,
    output: &mut dyn Write,
) -> Result<AuditProof, OpError> {
    let what = "cannot read the audit log";
    let (mut leaves, mut heads, mut signatures) = (Vec::new(), Vec::new(), String::new());
    let mut lapsed = Vec::new();
    for (client, numbers) in audit_numbers(repository).during(what)? {
        let mut head: Option<(ClientId, AuditHead)> = None;
        for (seq, statement) in read_statements(repository, client, &numbers) {
            if let Err(error @ RepoError::Lapsed { .. }) = &statement {
                // What follows it proves nothing either.
                lapsed.push(lapsed_finding(layout::audit_key(client, seq).to_string(), error));
                break;
            }
            let statement = statement.during(what)?;
            let written = output.write_all(&statement.body).and_then(|()| output.write_all(b"\n"));
            written.map_err(not_written)?;
            let digest = statement.digest();
            let line = json!({
                "client": client.to_string(),
                "seq": seq,
                "sha256": digest.to_string(),
                "signature": signature_of(repository, &statement),
            });
            signatures.push_str(&line.to_string());
            signatures.push('\n');
            leaves.push(leaf(&statement.body));
            head = Some((client, AuditHead { seq, digest }));
        }
        heads.extend(head);
    }
    output.flush().map_err(not_written)?;
    let (checkpoint, checkpoint_signature) = checkpoint(repository, &leaves, &heads);
    Ok(AuditProof {
        records: to_u64(leaves.len()),
        lapsed,
        signatures,
        checkpoint,
        checkpoint_signature,
        allowed_signers: allowed_signers(repository),
    })
}

fn not_written(source: io::Error) -> OpError {
    OpError::Local { call: "write", path: "the export".into(), source }
}
