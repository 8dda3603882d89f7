//! `key rotate`: what is stored from now on needs keys that nobody who left has.

use crate::id::ClientId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::key::name;
use crate::repo::history::History;
use crate::repo::repository::Repository;
use serde::Serialize;

/// What a rotation did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RotateReport {
    /// The new generation.
    pub generation: u32,
    /// The slots that open it.
    pub renewed: Vec<String>,
    /// Those that do not: the authority does not know their clients, or revoked them.
    pub left_out: Vec<String>,
}

/// Begins a new generation of keys for every slot but those of revoked clients.
pub fn rotate(repository: &Repository) -> Result<RotateReport, OpError> {
    let what = "cannot begin a new generation of keys";
    History::check_as_known(repository).during(what)?;
    let rotation = repository.rotate().during(what)?;
    let mut report =
        RotateReport { generation: rotation.generation, renewed: Vec::new(), left_out: Vec::new() };
    let has_keys = |client: &ClientId| rotation.renewed.contains(client);
    for (key, slot) in repository.located().slots().during("cannot read the key slots")? {
        match slot {
            Ok(slot) if has_keys(&slot.header.client) => report.renewed.push(name(&key)),
            Ok(_) | Err(_) => report.left_out.push(name(&key)),
        }
    }
    Ok(report)
}
