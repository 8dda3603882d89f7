//! How much was read in full, and the checks that did.

use crate::format::coverage::CheckRecord;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::plans_at;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::repo::attest::Attestation;
use crate::report::rows::CheckRow;
use crate::report::rows::Coverage;
use crate::report::rows::Verification;
use crate::report::words::hundredths;
use crate::units::to_u64;

/// What was verified in a period.
pub(super) fn verification(ledger: &Ledger, span: &Span) -> Verification {
    let coverage = ledger.states.iter().rev().find_map(|record| {
        let said = &record.said;
        let time = moment(&said.time).filter(|time| span.has(*time))?;
        let read_bytes = said.read_bytes?;
        Some(Coverage {
            time,
            packs: said.packs,
            read_packs: said.read_packs?,
            bytes: said.stored_bytes,
            read_bytes,
            hundredths: hundredths(read_bytes, said.stored_bytes),
            oldest: said.read_oldest.as_deref().and_then(moment),
            evidence: record.key.to_string(),
        })
    });
    let plans = plans_at(ledger, span.told_until.0);
    Verification {
        coverage,
        target_seconds: plans.iter().filter_map(|plan| plan.said.read_seconds).min(),
        checks: ledger.checks.iter().filter_map(|check| row(check, span)).collect(),
    }
}

fn row(check: &Attestation<CheckRecord>, span: &Span) -> Option<CheckRow> {
    let said = &check.said;
    let time = moment(&said.time).filter(|time| span.has(*time))?;
    Some(CheckRow {
        time,
        seconds: moment(&said.finished).map_or(0, |finished| finished.since(time)),
        host: said.host.clone(),
        packs: said.covered.count(),
        bytes: said.bytes,
        damaged: to_u64(said.damaged.len()),
        findings: said.findings,
        evidence: check.key.to_string(),
    })
}
