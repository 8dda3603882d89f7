//! What was done with contents, keys and snapshots, and who may sign.

use crate::ops::audit::list::AuditRow;
use crate::ops::ledger::KnownSigner;
use crate::ops::ledger::Ledger;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::report::moment::Moment;
use crate::report::rows::EventGroup;
use crate::report::rows::EventRow;
use crate::report::rows::KeyRow;
use crate::units::to_u64;

/// The runs of a period that are neither backups nor checks: those have sections of their own.
pub(super) fn events(ledger: &Ledger, span: &Span) -> Vec<EventRow> {
    let row = |run: &AuditRow| {
        let time = moment(&run.time).filter(|time| span.has(*time))?;
        let group = group_of(&run.operation)?;
        Some(EventRow {
            time,
            group,
            operation: run.operation.clone(),
            subject: run.subject.clone(),
            exit_code: run.exit_code,
            host: run.host.clone(),
            user: match &run.sudo_user {
                Some(name) => format!("{} (by sudo {name})", run.user_id),
                None => run.user_id.to_string(),
            },
            client: run.client.clone(),
            bytes: run.bytes,
            snapshots: to_u64(run.snapshots.len()),
            reason: run.reason.clone(),
            ticket: run.ticket.clone(),
            evidence: run.evidence(),
        })
    };
    ledger.runs.iter().filter_map(row).collect()
}

fn group_of(operation: &str) -> Option<EventGroup> {
    match operation {
        "snapshot" | "check" | "copy" | "mirror" => None,
        "restore" | "dump" | "mount" | "serve" | "drill" => Some(EventGroup::Read),
        "init" => Some(EventGroup::Keys),
        key if key.starts_with("key-") => Some(EventGroup::Keys),
        "prune" | "rewrite" | "hold" | "release" | "mirror-promote" => Some(EventGroup::Removal),
        removal if removal.starts_with("forget") => Some(EventGroup::Removal),
        _other => Some(EventGroup::Other),
    }
}

/// The keys that could sign at some time of a period.
pub(super) fn keys(ledger: &Ledger, span: &Span) -> Vec<KeyRow> {
    let is_of_it = |signer: &&KnownSigner| {
        signer.from <= span.told_until.0 && signer.until.is_none_or(|until| span.from.0 <= until)
    };
    let row = |signer: &KnownSigner| {
        let (from, until) = (Moment(signer.from), signer.until.map(Moment));
        KeyRow {
            subject: signer.subject.clone(),
            role: signer.role.word().to_owned(),
            from,
            until,
            is_new: span.has(from),
            is_ended: until.is_some_and(|until| span.has(until)),
        }
    };
    ledger.signers.iter().filter(is_of_it).map(row).collect()
}
