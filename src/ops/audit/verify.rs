//! `audit verify`: are the audit logs whole, as far as anybody can know?

use crate::format::layout;
use crate::id::ClientId;
use crate::id::Sha256;
use crate::ops::audit::accept::went_back;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::finding::any_loss;
use crate::ops::finding::chain_words;
use crate::ops::unreadable::rollback_finding;
use crate::repo::audit::heads::RecordedHead;
use crate::repo::audit::heads::record_heads;
use crate::repo::audit::heads::recorded_heads;
use crate::repo::audit::read::audit_numbers;
use crate::repo::audit::read::read_statements;
use crate::repo::error::RepoError;
use crate::repo::memory::AuditHead;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::str::FromStr;

/// The end of an audit log as some run printed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witness {
    /// Whose log.
    pub client: ClientId,
    /// The number of its last record.
    pub seq: u32,
    /// SHA-256 of that record's statement.
    pub sha256: Sha256,
}

/// The log of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChainRow {
    /// Whose log.
    pub client: String,
    /// Number of the last record.
    pub seq: u32,
    /// SHA-256 of its statement; `None` if it cannot be read.
    pub sha256: Option<String>,
    /// The highest number up to which somebody remembered the log: what follows it could be cut
    /// off without anybody seeing it.
    pub witnessed: u32,
}

/// What a verification came to.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The logs.
    pub chains: Vec<ChainRow>,
    /// Records that were read.
    pub records: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether this host remembered anything of the repository.
    pub has_memory: bool,
    /// Why the heads are not recorded, if they should be and are not.
    pub unrecorded: Option<String>,
}

impl FromStr for Witness {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let witness = match parts.as_slice() {
            [client, seq, sha256] => (|| {
                let seq = seq.parse().ok().filter(|seq| *seq > 0)?;
                Some(Self { client: client.parse().ok()?, seq, sha256: sha256.parse().ok()? })
            })(),
            _other => None,
        };
        witness.ok_or_else(|| "write it as it is printed, CLIENT:NUMBER:SHA256".to_owned())
    }
}

impl VerifyReport {
    /// Whether something was removed, replaced or damaged.
    pub fn is_damaged(&self) -> bool {
        any_loss(&self.findings)
    }

    fn note(&mut self, code: &'static str, object: String, effect: String) {
        let remedy = REMEDY.to_owned();
        self.findings.push(Finding { code, severity: Severity::Loss, object, effect, remedy });
    }
}

/// Reads every record of every log, and compares with what this host remembers, with what others
/// recorded, and with what the caller knows.
///
/// Logs that are whole are remembered, and recorded if `records` says so. Errors: the store cannot be read; damage is in the report.
pub fn audit_verify(
    repository: &Repository,
    witnesses: &[Witness],
    records: bool,
) -> Result<VerifyReport, OpError> {
    let what = "cannot read the audit log";
    let mut report = VerifyReport::default();
    // What this host remembers comes first: what is added meanwhile may be listed or not.
    let memory = repository.memory();
    report.has_memory = !memory.audit.is_empty() || memory.verdict.number > 0;
    let recorded = recorded_heads(repository).during(what)?;
    let mut known: BTreeMap<ClientId, Vec<Known>> = BTreeMap::new();
    let proof = |head, whose: &str| Known { head, whose: whose.to_owned(), proves_loss: true };
    for (client, head) in memory.audit {
        known.entry(client).or_default().push(proof(head, "this host remembers"));
    }
    for recorded in &recorded {
        let whose = format!("`{}` names", recorded.key);
        let proves_loss = recorded.proves_loss();
        let stated = Known { head: recorded.head, whose, proves_loss };
        known.entry(recorded.client).or_default().push(stated);
    }
    for Witness { client, seq, sha256 } in witnesses {
        let head = AuditHead { seq: *seq, digest: *sha256 };
        known.entry(*client).or_default().push(proof(head, "you gave"));
    }
    let listed = audit_numbers(repository).during(what)?;
    let clients: BTreeSet<ClientId> = listed.keys().chain(known.keys()).copied().collect();
    for client in clients {
        let numbers = listed.get(&client).cloned().unwrap_or_default();
        let known = known.remove(&client).unwrap_or_default();
        verify_chain(repository, client, &numbers, &known, &mut report)?;
    }
    report.findings.extend(went_back(repository)?.iter().map(rollback_finding));
    let heads = report.heads();
    let is_recorded = |(client, head): &(ClientId, AuditHead)| {
        let is_it = |it: &&RecordedHead| it.client == *client && it.head == *head;
        recorded.iter().filter(is_it).any(|it| it.proves_loss() || it.by == repository.client())
    };
    if records && !report.is_damaged() && !heads.iter().all(is_recorded) {
        // Without the right to write or a certificate the others' records still count.
        report.unrecorded = record_heads(repository, &heads).err().map(|error| chain_words(&error));
    }
    if !report.is_damaged() {
        let remembered = repository.remember(|memory| {
            for (client, head) in heads {
                memory.add_audit(client, head);
            }
        });
        let unremembered = remembered.err().map(|error| chain_words(&error));
        report.unrecorded = report.unrecorded.take().or(unremembered);
    }
    Ok(report)
}

impl VerifyReport {
    /// The ends of the logs that could be read.
    pub(crate) fn heads(&self) -> Vec<(ClientId, AuditHead)> {
        let head = |row: &ChainRow| {
            let digest = row.sha256.as_ref()?.parse().ok()?;
            Some((row.client.parse().ok()?, AuditHead { seq: row.seq, digest }))
        };
        self.chains.iter().filter_map(head).collect()
    }
}

fn verify_chain(
    repository: &Repository,
    client: ClientId,
    numbers: &BTreeSet<u32>,
    known: &[Known],
    report: &mut VerifyReport,
) -> Result<(), OpError> {
    let last = numbers.last().copied().unwrap_or_default();
    let key = |number| layout::audit_key(client, number).to_string();
    let mut digests: BTreeMap<u32, Sha256> = BTreeMap::new();
    let mut last_seen = 0;
    let mut before = Some(AuditHead::NONE.digest);
    for (number, statement) in read_statements(repository, client, numbers) {
        if let Some(gap) = gap_finding(client, last_seen, number) {
            report.findings.push(gap);
            before = None;
        }
        last_seen = number;
        before = match statement {
            Ok(statement) => {
                let digest = statement.digest();
                if before.is_some_and(|before| statement.record.prev != before) {
                    let effect = "it does not follow the record before it: one of the two was \
                                  replaced, or the log was forked";
                    report.note("audit.fork", key(number), effect.to_owned());
                }
                report.records += 1;
                digests.insert(number, digest);
                Some(digest)
            }
            Err(error @ RepoError::Lapsed { .. }) => {
                report.findings.push(lapsed_finding(key(number), &error));
                None
            }
            Err(error) if repository.is_damage(&error) => {
                report.note("audit.damaged", key(number), chain_words(&error));
                None
            }
            Err(error) => return Err(error).during("cannot read the audit log"),
        };
    }
    let mut witnessed = 0;
    for known in known {
        check_witness(client, last, &digests, known, report);
        if known.proves_loss {
            witnessed = witnessed.max(known.head.seq);
        }
    }
    let sha256 = digests.get(&last).map(ToString::to_string);
    report.chains.push(ChainRow { client: client.to_string(), seq: last, sha256, witnessed });
    Ok(())
}

/// What follows from record `number` of a log if none of those between it and record `last_seen` is there.
pub(crate) fn gap_finding(client: ClientId, last_seen: u32, number: u32) -> Option<Finding> {
    let first = last_seen.checked_add(1).filter(|first| *first < number)?;
    let object = layout::audit_key(client, first).to_string();
    let effect = format!("records {first} to {} are missing", number - 1);
    let finding = Finding::loss("audit.gap", object, effect);
    Some(Finding { remedy: REMEDY.to_owned(), ..finding })
}

/// A record that its client stored after the end of its key: it proves nothing, and harms nobody.
pub(crate) fn lapsed_finding(object: String, error: &RepoError) -> Finding {
    let effect = format!("it does not count, nor what follows it: {}", chain_words(error));
    Finding::notice("audit.lapsed", object, effect)
}

/// What somebody knew of a log.
struct Known {
    head: AuditHead,
    /// Who, as the beginning of a sentence.
    whose: String,
    /// Whether a log that lacks it was cut off; else somebody only says so.
    proves_loss: bool,
}

/// Compares a log with what somebody knew of it.
fn check_witness(
    client: ClientId,
    last: u32,
    digests: &BTreeMap<u32, Sha256>,
    known: &Known,
    report: &mut VerifyReport,
) {
    let Known { head, whose, proves_loss } = known;
    let key = layout::audit_key(client, head.seq).to_string();
    let is_another = digests.get(&head.seq).is_some_and(|digest| *digest != head.digest);
    if !proves_loss {
        if head.seq > last || is_another {
            let AuditHead { seq, digest } = head;
            let effect = format!(
                "{whose} record {seq} ({digest}), which is not in the log: only an admin or the client itself proves by \
                 that that it was"
            );
            report.findings.push(Finding::notice("audit.claimed", key, effect));
        }
    } else if head.seq > last {
        let effect = format!("{whose} it, and the log ends at {last}: its end was cut off");
        report.note("audit.cut_off", key, effect);
    } else if is_another {
        let effect = format!("{whose} another one: the log was replaced or forked");
        report.note("audit.replaced", key, effect);
    }
}

const REMEDY: &str = "find out who changed the store; another copy of the repository, exports and \
     heads that runs printed tell what was there";
