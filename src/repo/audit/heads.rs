//! The ends of all audit logs, stated by whoever found them whole: what was there cannot be cut off
//! any more without anybody seeing it. Spec: format-spec/10-record.md, "Audit log".

use crate::format::audit::AuditHeads;
use crate::format::audit::StatedHead;
use crate::format::keyslot::Role;
use crate::id::ClientId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::mark_writer::store_record;
use crate::repo::marks::Stored;
use crate::repo::marks::load_records;
use crate::repo::memory::AuditHead;
use crate::repo::repository::Repository;

/// The end of a log as a record states it.
#[derive(Debug, Clone)]
pub(crate) struct RecordedHead {
    /// The record's key.
    pub(crate) key: ObjectKey,
    /// Who states it.
    pub(crate) by: ClientId,
    /// For what its key was certified.
    role: Option<Role>,
    pub(crate) client: ClientId,
    pub(crate) head: AuditHead,
}

impl RecordedHead {
    /// Whether a log that lacks it was cut off: else whoever signs records could accuse everybody.
    pub(crate) fn proves_loss(&self) -> bool {
        self.by == self.client || self.role == Some(Role::Admin)
    }
}

/// Every end of a log that a record states which can be read.
pub(crate) fn recorded_heads(repository: &Repository) -> Result<Vec<RecordedHead>, RepoError> {
    let (records, _unreadable) = load_records(repository, AuditHeads::KIND, AuditHeads::read)?;
    let stated = records.into_iter().flat_map(|stored| {
        let Stored { key, client: by, role, mark } = stored;
        mark.heads.into_iter().map(move |StatedHead { client, seq, sha256 }| {
            let head = AuditHead { seq, digest: sha256 };
            RecordedHead { key: key.clone(), by, role, client, head }
        })
    });
    Ok(stated.collect())
}

/// States the ends of all logs.
///
/// Errors: [`RepoError::RoleLacks`] without a certificate; whatever the store refuses.
pub(crate) fn record_heads(
    repository: &Repository,
    heads: &[(ClientId, AuditHead)],
) -> Result<ObjectKey, RepoError> {
    let stated = |(client, head): &(ClientId, AuditHead)| StatedHead {
        client: *client,
        seq: head.seq,
        sha256: head.digest,
    };
    let mut stated = AuditHeads { heads: heads.iter().map(stated).collect() };
    stated.heads.sort_unstable();
    store_record(repository, AuditHeads::KIND, |record| stated.write(record))
}
