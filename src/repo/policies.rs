//! The policies that were accepted for sources, as records say.
//! Spec: format-spec/10-record.md, "Policies".

use crate::format::keyslot::Role;
use crate::format::mark::Policy;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::RepoErrorAt;
use crate::repo::mark_writer::store_record;
use crate::repo::marks::Stored;
use crate::repo::marks::load_records;
use crate::repo::repository::Repository;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;

/// The policy of a source that was recorded last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AcceptedPolicy {
    /// Its form.
    pub(crate) policy: Map<String, Value>,
    /// Snapshots whose times contradict their receipt, as somebody saw and accepted.
    pub(crate) contradicting: Vec<SnapshotId>,
    time: String,
}

/// The policies of all sources, and records of them that cannot be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct AcceptedPolicies {
    by_source: BTreeMap<String, AcceptedPolicy>,
    pub(crate) unreadable: Vec<RepoErrorAt>,
}

impl AcceptedPolicies {
    /// Reads the policies that clients recorded which may forget.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let mut policies = Self::default();
        let (records, unreadable) = load_records(repository, Policy::KIND, Policy::read)?;
        policies.unreadable = unreadable;
        for Stored { role, mark, .. } in records {
            if !matches!(role, Some(Role::Admin | Role::Pruner)) {
                continue;
            }
            let Policy { source, time, policy, contradicting } = mark;
            let newest = policies.by_source.get(&source);
            if newest.is_none_or(|newest| newest.time <= time) {
                let accepted = AcceptedPolicy { policy, contradicting, time };
                policies.by_source.insert(source, accepted);
            }
        }
        Ok(policies)
    }

    /// The policies that were accepted last, by source.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &AcceptedPolicy)> {
        self.by_source.iter()
    }

    /// The policy that was accepted last for a source.
    pub(crate) fn of(&self, source: &str) -> Option<&AcceptedPolicy> {
        self.by_source.get(source)
    }
}

/// Records that a policy is accepted.
pub(crate) fn store_policy(
    repository: &Repository,
    policy: &Policy,
) -> Result<ObjectKey, RepoError> {
    store_record(repository, Policy::KIND, |record| policy.write(record))
}
