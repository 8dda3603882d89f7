//! `report`: what signed records say of a period, for owners and auditors.
//!
//! From the ledger alone: neither the configuration file nor the clock nor the memory of whoever asks has a word in it, so that
//! everybody gets the same report and can compare signatures.

mod drills;
mod erasures;
mod events;
mod growth;
mod incidents;
mod objectives;
mod period;
mod runs;
mod snapshots;
mod verdict;
mod verification;

pub(crate) use crate::ops::report::period::Asked;
pub(crate) use crate::ops::report::period::ReportOptions;

use crate::ops::controls::Control;
use crate::ops::controls::ControlOutcome;
use crate::ops::controls::controls;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::evidence::Period;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::ledger::Ledger;
use crate::ops::report::period::Span;
use crate::ops::retention::GoneEarly;
use crate::ops::retention::RetentionReport;
use crate::ops::retention::retention_at;
use crate::ops::words::parse_time;
use crate::repo::announce::TOOL;
use crate::repo::proof::EVIDENCE_NAMESPACE;
use crate::repo::proof::gather;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::report::model::FORM;
use crate::report::model::Report;
use crate::report::moment::Moment;
use crate::report::rows::BeyondRow;
use crate::report::rows::ControlRow;
use crate::report::rows::FindingRow;
use crate::report::rows::GoneEarlyRow;
use crate::report::rows::RetentionRow;
use crate::report::rows::SlotRow;

/// A report, and what its reader is warned of.
pub(crate) struct Reported {
    pub(crate) report: Report,
    /// What cannot be read: the report tells it, too.
    pub(crate) findings: Vec<Finding>,
    /// What this host has seen and does not find: no word of it is in the report, which is the same on every host.
    pub(crate) back: Option<Finding>,
}

/// The report of a period of a repository. Every role may.
///
/// Errors: the period is none; what is stored cannot be listed. What is damaged is a finding in the report.
pub(crate) fn report(
    repository: &Repository,
    options: &ReportOptions,
) -> Result<Reported, OpError> {
    let ledger = Ledger::load(repository)?;
    let report = report_of(&ledger, options)?;
    let Ledger { findings, back, .. } = ledger;
    Ok(Reported { report, findings, back })
}

/// The report of a period, as a ledger has it.
pub(crate) fn report_of(ledger: &Ledger, options: &ReportOptions) -> Result<Report, OpError> {
    let span = Span::of(ledger, options)?;
    let runs = runs::runs(ledger, &span);
    let told = Period::new(Some(span.from.0), Some(span.told_until.0));
    let mut report = Report {
        form: FORM,
        tool: TOOL.to_owned(),
        repository: ledger.repository.to_string(),
        period: span.words(),
        verdict: verdict::unknown(),
        recovery_points: objectives::recovery_points(ledger, &span),
        incidents: incidents::incidents(ledger, &span),
        growth: growth::growth(ledger, &span),
        retention: retention(retention_at(ledger, span.told_until.0)),
        verification: verification::verification(ledger, &span),
        drills: drills::drills(ledger, &span),
        events: events::events(ledger, &span),
        keys: events::keys(ledger, &span),
        erasures: erasures::erasures(ledger, &span),
        deletions: erasures::deletions(ledger, &span),
        controls: controls(ledger, told).into_iter().map(control).collect(),
        snapshots: snapshots::snapshots(ledger, &span, &runs),
        findings: ledger.findings.iter().map(finding).collect(),
        runs,
    };
    report.verdict = verdict::verdict(&report);
    Ok(report)
}

/// Signs a file of a report for the people who get it, as evidence is signed.
///
/// Errors: the signatures of the client of the slot in use do not count.
pub(crate) fn sign(repository: &Repository, bytes: Vec<u8>) -> Result<String, OpError> {
    let keys = &repository.keys;
    if !repository.identities.certify(keys.signer.id()) {
        return Err(keys.lacks(Right::SignEvidence)).during("cannot sign the report");
    }
    Ok(gather::sign(repository, EVIDENCE_NAMESPACE, bytes).signature.encode())
}

fn retention(report: RetentionReport) -> Vec<RetentionRow> {
    let RetentionReport { at: _, sources } = report;
    let row = |source: crate::ops::retention::SourceRetention| RetentionRow {
        source: source.source,
        slots: source
            .slots
            .into_iter()
            .map(|slot| SlotRow {
                kind: slot.kind,
                label: slot.label,
                snapshot: slot.snapshot,
                is_expected: slot.is_expected,
                evidence: slot.evidence,
            })
            .collect(),
        gone_early: source.gone_early.into_iter().map(gone_early).collect(),
        beyond: source
            .beyond
            .into_iter()
            .map(|kept| BeyondRow {
                snapshot: kept.snapshot,
                data_time: kept.data_time,
                why: kept.why,
                is_overdue: kept.is_overdue,
                evidence: kept.evidence,
            })
            .collect(),
    };
    sources.into_iter().map(row).collect()
}

fn gone_early(gone: GoneEarly) -> GoneEarlyRow {
    let words = gone.words();
    let GoneEarly { snapshot, data_time, kept_by, evidence, .. } = gone;
    GoneEarlyRow { snapshot, data_time, words, kept_by, evidence }
}

fn control(control: Control) -> ControlRow {
    let parameters = control.parameters.into_iter();
    ControlRow {
        id: control.id.to_owned(),
        title: control.title.to_owned(),
        outcome: match control.outcome {
            ControlOutcome::Pass => "pass",
            ControlOutcome::Fail => "fail",
            ControlOutcome::NotApplicable => "not-applicable",
        },
        parameters: parameters.map(|(name, value)| (name.to_owned(), value)).collect(),
        words: control.words,
        evidence: control.evidence,
    }
}

fn finding(finding: &Finding) -> FindingRow {
    FindingRow {
        code: finding.code.to_owned(),
        is_loss: finding.severity == Severity::Loss,
        object: finding.object.clone(),
        effect: finding.effect.clone(),
    }
}

/// The moment that a record names.
fn moment(text: &str) -> Option<Moment> {
    parse_time(text).map(|(seconds, _nanoseconds)| Moment(seconds))
}

#[cfg(test)]
mod tests;
