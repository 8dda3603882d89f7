//! What proves an exported audit log to those who have `ssh-keygen` and no key of the repository.
//! Sources: C2SP tlog-checkpoint and signed-note; OpenSSH, PROTOCOL.sshsig and `allowed_signers`.

use crate::crypto::hash::sha256;
use crate::crypto::sign;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Subject;
use crate::format::sshsig::SshSignature;
use crate::format::sshsig::public_key_line;
use crate::id::ClientId;
use crate::id::Sha256;
use crate::repo::audit::read::AuditStatement;
use crate::repo::memory::AuditHead;
use crate::repo::proof::EVIDENCE_NAMESPACE;
use crate::repo::proof::message::SignedMessage;
use crate::repo::repository::Repository;
use crate::repo::statement::subtree;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;

/// The armored signature of a record; `None` if its signer has no certificate any more.
pub(crate) fn signature_of(repository: &Repository, statement: &AuditStatement) -> Option<String> {
    let public_key = repository.identities.public_key_of(statement.signer)?;
    let (namespace, signature) = (ObjectKind::Audit.namespace(), statement.signature);
    Some(SshSignature { public_key, namespace, signature }.encode())
}

/// The hash of a statement as a leaf of a Merkle tree (RFC 9162).
pub(crate) fn leaf(body: &[u8]) -> Sha256 {
    sha256(&[&[0], body].concat())
}

/// A checkpoint over all exported statements, signed by the client in use; and its armored signature.
pub(crate) fn checkpoint(
    repository: &Repository,
    leaves: &[Sha256],
    heads: &[(ClientId, AuditHead)],
) -> (String, String) {
    let signer = &repository.keys.signer;
    let origin = format!("sbf-repo.dev/audit/{}", repository.id());
    let root = BASE64_STANDARD.encode(subtree(leaves).as_bytes());
    let mut text = format!("{origin}\n{}\n{root}\n", leaves.len());
    for (client, AuditHead { seq, digest }) in heads {
        // Writing into a string does not fail.
        let _ignored = writeln!(text, "head {client}:{seq}:{digest}");
    }
    let name = format!("{origin}/{}", repository.keys.client);
    let note = sign::signed_note(signer, &name, &text);
    let message = SignedMessage::new(note.clone().into_bytes(), EVIDENCE_NAMESPACE, signer);
    (note, message.signature.encode())
}

/// The keys of all clients as `ssh-keygen` reads them, each named by its client.
pub(crate) fn allowed_signers(repository: &Repository) -> String {
    let mut lines: Vec<String> = repository
        .identities
        .certificates()
        .filter_map(|certificate| {
            let Subject::Client(client) = certificate.subject else { return None };
            let key = public_key_line(&certificate.public_key, "");
            Some(format!("{client} namespaces=\"sbf-repo-*\" {key}\n"))
        })
        .collect();
    lines.sort_unstable();
    lines.concat()
}
