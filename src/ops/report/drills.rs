//! Drills of a period, and who signed them off.

use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use crate::ops::ledger::Ledger;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::repo::attest::Attestation;
use crate::report::moment::Moment;
use crate::report::rows::DrillCheckRow;
use crate::report::rows::DrillRow;
use crate::report::rows::SignOffRow;

/// The drills of a period.
pub(super) fn drills(ledger: &Ledger, span: &Span) -> Vec<DrillRow> {
    let row = |record: &Attestation<Drill>| {
        let time = moment(&record.said.time).filter(|time| span.has(*time))?;
        Some(row_of(ledger, record, time))
    };
    ledger.drills.iter().filter_map(row).collect()
}

fn row_of(ledger: &Ledger, record: &Attestation<Drill>, time: Moment) -> DrillRow {
    let Drill {
        time: _,
        finished: _,
        host,
        tool: _,
        name,
        job: _,
        source,
        snapshot,
        manifest: _,
        data_time: _,
        target,
        copy,
        cache,
        from_kit,
        outcome,
        phases,
        checks,
        rto_milliseconds,
        rto_target_seconds,
        rpo_seconds,
        rpo_target_seconds,
        bytes,
        environment,
        scratch,
    } = record.said.clone();
    let evidence = record.key.to_string();
    let check = |check: crate::format::attest::drill::DrillCheck| DrillCheckRow {
        name: check.name,
        outcome: word(check.outcome),
        detail: check.detail,
    };
    DrillRow {
        time,
        name,
        source,
        host,
        snapshot,
        target,
        copy,
        cache,
        from_kit,
        scratch,
        outcome: word(outcome),
        rto_milliseconds,
        rto_target_seconds,
        rpo_seconds,
        rpo_target_seconds,
        bytes,
        phases: phases.into_iter().map(|phase| (phase.name, phase.milliseconds)).collect(),
        checks: checks.into_iter().map(check).collect(),
        environment,
        sign_offs: sign_offs(ledger, &evidence),
        evidence,
    }
}

/// Everybody who signed a drill off, also after the period: a month's last drill is signed off in the next.
fn sign_offs(ledger: &Ledger, drill: &str) -> Vec<SignOffRow> {
    let of_it = ledger.sign_offs.iter().filter(|record| record.said.drill == drill);
    of_it
        .filter_map(|record| {
            Some(SignOffRow {
                time: moment(&record.said.time)?,
                by: record.said.by.clone(),
                function: record.said.function.clone(),
                words: record.said.words.clone(),
                evidence: record.key.to_string(),
            })
        })
        .collect()
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::NotVerified => "not-verified",
        Outcome::Fail => "fail",
    }
}
