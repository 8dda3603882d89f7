//! Revocations: what a client signs from a time on no longer counts, and it gets no more keys.
//! Spec: format-spec/04-keyslot.md, "Identities".

use crate::format::identity::Identity;
use crate::format::identity::Revocation;
use crate::format::layout;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::SnapshotId;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::received_seconds;
use crate::repo::repository::Repository;

/// Revocations that are to be stored.
#[derive(Debug, Clone)]
pub(crate) struct RevocationPlan {
    keys: Vec<KeyId>,
    from: i64,
    reason: String,
    /// Snapshots that count and would no longer.
    pub(crate) refused: Vec<SnapshotId>,
}

/// What was revoked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revoked {
    pub(crate) keys_count: usize,
    pub(crate) from: Option<i64>,
    /// Snapshots that no longer count.
    pub(crate) refused: Vec<SnapshotId>,
}

impl Repository {
    /// Plans to revoke every key of a client; without a time, everything that it committed still
    /// counts.
    ///
    /// Errors: [`RepoError::RoleLacks`] without the authority's key.
    pub(crate) fn plan_revocation(
        &self,
        client: ClientId,
        from: Option<i64>,
        reason: &str,
    ) -> Result<RevocationPlan, RepoError> {
        self.check_certifies()?;
        let mut keys = self.identities.all_keys_of(client);
        keys.retain(|key| {
            self.identities
                .revoked_from(*key)
                .is_none_or(|known| from.is_some_and(|from| from < known))
        });
        let reason = reason.to_owned();
        let Some(from) = from else {
            let from = 1 + self.environment.now().0.max(self.last_receipt(client)?);
            return Ok(RevocationPlan { keys, from, reason, refused: Vec::new() });
        };
        let history = History::load_readable(self)?;
        // What a base lists was accepted.
        let is_refused = |live: &&crate::repo::history::LiveSnapshot| {
            live.client == client && !live.is_in_base && live.received >= from
        };
        let refused = history.snapshots.iter().filter(is_refused).map(|live| live.snapshot);
        Ok(RevocationPlan { keys, from, reason, refused: refused.collect() })
    }

    /// Stores the revocations.
    pub(crate) fn store_revocations(&self, plan: RevocationPlan) -> Result<Revoked, RepoError> {
        self.check_no_mirror()?;
        let RevocationPlan { keys, from, reason, refused } = plan;
        let revocation = |key: &KeyId| {
            Identity::Revocation(Revocation { key: *key, from, reason: reason.clone() })
        };
        let identities: Vec<Identity> = keys.iter().map(revocation).collect();
        self.store_identities(&identities)?;
        Ok(Revoked { keys_count: keys.len(), from: Some(from), refused })
    }

    /// When the store received the newest object that a client may have signed; the store's clock may
    /// be ahead of this one, and what is there before a revocation counts.
    fn last_receipt(&self, client: ClientId) -> Result<i64, RepoError> {
        let outcomes = format!("{}/{client}", layout::OUTCOMES);
        let mut last = 0;
        let signed =
            [layout::GC, layout::FORGET, layout::RECORDS, layout::AUDIT, layout::INVENTORY];
        for folder in signed.into_iter().chain([outcomes.as_str()]) {
            let listed = self.store.list(folder)?;
            last = listed.iter().map(received_seconds).fold(last, i64::max);
        }
        Ok(last)
    }
}
