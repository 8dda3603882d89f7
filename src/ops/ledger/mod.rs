//! All that signed records say of a repository: what reports, controls and drills look at.
//!
//! Nothing in it comes from the configuration file or from the clock of whoever reads it.

pub(crate) mod ages;
pub(crate) mod expected;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod snapshots;
pub(crate) mod unknown;

use crate::format::attest::Attested;
use crate::format::attest::deletion::Deletion;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::SignOff;
use crate::format::attest::erasure::Erasure;
use crate::format::attest::erasure::Replay;
use crate::format::attest::incident::Incident;
use crate::format::attest::plan::Plan;
use crate::format::attest::state::State;
use crate::format::config::FORMAT_VERSION;
use crate::format::coverage::CheckRecord;
use crate::format::identity::Certificate;
use crate::format::identity::Subject;
use crate::format::keyslot::Role;
use crate::id::RepoId;
use crate::ops::audit::list::AuditFilter;
use crate::ops::audit::list::AuditRow;
use crate::ops::audit::list::audit_list;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::forget::record_finding;
use crate::ops::ledger::expected::seconds;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::ops::ledger::snapshots::known_snapshots;
use crate::repo::attest::Attestation;
use crate::repo::attest::load_attested;
use crate::repo::marks::load_records;
use crate::repo::policies::AcceptedPolicies;
use crate::repo::policies::AcceptedPolicy;
use crate::repo::repository::Repository;
use serde_json::Value;
use std::collections::BTreeMap;

/// What signed records say, each list by time.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) repository: RepoId,
    /// Every snapshot that is known: also those whose deletion was certified.
    pub(crate) snapshots: Vec<KnownSnapshot>,
    /// Runs of the program.
    pub(crate) runs: Vec<AuditRow>,
    /// Checks that read data.
    pub(crate) checks: Vec<Attestation<CheckRecord>>,
    pub(crate) plans: Vec<Attestation<Plan>>,
    pub(crate) states: Vec<Attestation<State>>,
    pub(crate) drills: Vec<Attestation<Drill>>,
    pub(crate) sign_offs: Vec<Attestation<SignOff>>,
    pub(crate) incidents: Vec<Attestation<Incident>>,
    pub(crate) erasures: Vec<Attestation<Erasure>>,
    pub(crate) replays: Vec<Attestation<Replay>>,
    pub(crate) deletions: Vec<Attestation<Deletion>>,
    /// Keys that may or might sign.
    pub(crate) signers: Vec<KnownSigner>,
    /// Tags that the accepted policy of a source keeps, by source.
    pub(crate) kept_tags: BTreeMap<String, Vec<String>>,
    /// What seals every object, in words; `None` if this program does not know the repository's format.
    pub(crate) cipher: Option<&'static str>,
    /// What cannot be read, by anybody: it may hide some of the above.
    pub(crate) findings: Vec<Finding>,
    /// What this host has seen and does not find: others do not know of it.
    pub(crate) back: Option<Finding>,
}

/// A key that was certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownSigner {
    /// The client, hexadecimal; `maintenance` for the key that signs forgets and collections.
    pub(crate) subject: String,
    pub(crate) role: Role,
    /// From when it counts, in seconds since 1970.
    pub(crate) from: i64,
    /// Until when, the second included, whether its time is over or it was revoked.
    pub(crate) until: Option<i64>,
    /// From when it does not count any more, if somebody revoked it.
    pub(crate) revoked: Option<i64>,
    /// When its newest certificate was stored, in seconds since 1970, as far as the store says.
    pub(crate) certified: Option<i64>,
}

impl Ledger {
    /// Reads all of it. Every role may.
    pub(crate) fn load(repository: &Repository) -> Result<Self, OpError> {
        let mut findings = Vec::new();
        let audit = audit_list(repository, &AuditFilter::new())?;
        findings.extend(audit.findings);
        let deletions = load::<Deletion>(repository, &mut findings)?;
        let (snapshots, back) = known_snapshots(repository, &deletions, &mut findings)?;
        Ok(Self {
            repository: repository.id(),
            snapshots,
            runs: audit.runs,
            checks: checks(repository, &mut findings)?,
            plans: load(repository, &mut findings)?,
            states: load(repository, &mut findings)?,
            drills: load(repository, &mut findings)?,
            sign_offs: load(repository, &mut findings)?,
            incidents: load(repository, &mut findings)?,
            erasures: load(repository, &mut findings)?,
            replays: load(repository, &mut findings)?,
            deletions,
            signers: signers(repository),
            kept_tags: kept_tags(repository)?,
            cipher: (repository.config.format == FORMAT_VERSION).then_some(CIPHER),
            findings,
            back,
        })
    }

    /// What cannot be read, and what this host has seen and does not find.
    pub(crate) fn all_findings(&self) -> Vec<Finding> {
        self.findings.iter().chain(&self.back).cloned().collect()
    }
}

impl Ledger {
    /// When a snapshot stopped to count, in seconds since 1970; `None` if it counts.
    pub(crate) fn gone(&self, known: &KnownSnapshot) -> Option<i64> {
        match known.state {
            // A forget that was undone, or that a hold stopped, took nothing.
            SnapshotFate::Live => None,
            // Without a time of its forget nothing shows that it was there for longer.
            SnapshotFate::Forgotten => Some(known.forgotten.unwrap_or(known.finished)),
            SnapshotFate::Deleted => {
                let told = known.forgotten.or_else(|| self.deleted(known));
                Some(told.unwrap_or(known.finished))
            }
        }
    }

    /// When the objects of a snapshot were about to go, in seconds since 1970.
    pub(crate) fn deleted(&self, known: &KnownSnapshot) -> Option<i64> {
        let certificate = known.certificate.as_deref()?;
        let found = self.deletions.iter().find(|deletion| deletion.key.as_str() == certificate)?;
        Some(seconds(&found.said.time))
    }
}

/// Every record of a kind that counts; what cannot be read is noted.
pub(crate) fn load<T: Attested>(
    repository: &Repository,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Attestation<T>>, OpError> {
    let (found, unreadable) = load_attested(repository).during(WHAT)?;
    findings.extend(unreadable.iter().map(record_finding));
    Ok(found)
}

fn checks(
    repository: &Repository,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Attestation<CheckRecord>>, OpError> {
    let (stored, unreadable) =
        load_records(repository, CheckRecord::KIND, CheckRecord::read).during(WHAT)?;
    findings.extend(unreadable.iter().map(record_finding));
    let mut checks = Vec::new();
    for stored in stored {
        // Another role cannot read what packs hold.
        if let Some(Role::Admin | Role::Reader) = stored.role {
            let (key, client, said) = (stored.key, stored.client, stored.mark);
            checks.push(Attestation { key, client, said });
        }
    }
    checks.sort_by(|one, other| one.said.time.cmp(&other.said.time));
    Ok(checks)
}

fn signers(repository: &Repository) -> Vec<KnownSigner> {
    let signer = |certificate: &Certificate| {
        let subject = match certificate.subject {
            Subject::Client(client) => client.to_string(),
            Subject::Maintenance => "maintenance".to_owned(),
        };
        let key = crate::repo::identities::key_of(certificate);
        let revoked = repository.identities.revoked_from(key);
        let last = revoked.map(|from| from - 1);
        let until = [certificate.valid_until, last].into_iter().flatten().min();
        KnownSigner {
            subject,
            role: certificate.role,
            from: certificate.valid_from,
            until,
            revoked,
            certified: repository.identities.certified_at(key),
        }
    };
    let mut signers: Vec<KnownSigner> = repository.identities.certificates().map(signer).collect();
    signers.sort_by(|one, other| (one.from, &one.subject).cmp(&(other.from, &other.subject)));
    signers
}

/// Tags of the policies that were accepted last; those that cannot be read keep nothing.
fn kept_tags(repository: &Repository) -> Result<BTreeMap<String, Vec<String>>, OpError> {
    let policies = AcceptedPolicies::load(repository).during(WHAT)?;
    let tags = |accepted: &AcceptedPolicy| {
        let tags = accepted.policy.get("tags").and_then(Value::as_array);
        let words = tags.into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    Ok(policies.all().map(|(source, accepted)| (source.clone(), tags(accepted))).collect())
}

/// Suites of format-spec/02-envelope.md and 05-pack.md: there is no other, and none that does not seal.
const CIPHER: &str =
    "XChaCha20-Poly1305, and ChaCha20-Poly1305 with a key of its own for each pack";
const WHAT: &str = "cannot read what was recorded";
