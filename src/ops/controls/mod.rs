//! Controls: what auditors ask about backups, each answered from signed records.
//!
//! What cannot be told is no pass: a control that something was planned for fails if no record says that it was
//! kept. Nothing here comes from the clock of whoever asks, so that the answer for a period that is over stays.

mod asked;
mod copies;
mod keys;
mod plan;
mod protection;
mod recovery;
mod retention;
mod runs;
mod verification;

use crate::ops::controls::asked::Asked;
use crate::ops::evidence::export::Period;
use crate::ops::ledger::Ledger;
use serde::Serialize;
use std::collections::BTreeMap;

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Control {
    /// Stable, for programs: `frequency`.
    pub(crate) id: &'static str,
    /// The question, as a statement that holds or does not.
    pub(crate) title: &'static str,
    pub(crate) outcome: ControlOutcome,
    /// What was compared: by name, in words.
    pub(crate) parameters: BTreeMap<&'static str, String>,
    /// What was found, in one or two sentences.
    pub(crate) words: String,
    /// Keys of the records that say so; the most telling first, at most [`EVIDENCE_COUNT_MAX`].
    pub(crate) evidence: Vec<String>,
}

/// Whether a control holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ControlOutcome {
    Pass,
    Fail,
    /// Nothing was planned that it could be held to.
    NotApplicable,
}

/// Every control, at the end of a period; without an end, when the ledger was last written to.
pub(crate) fn controls(ledger: &Ledger, period: Period) -> Vec<Control> {
    let asked = Asked::new(ledger, period);
    let each: [fn(&Asked<'_>) -> Control; 13] = [
        plan::plan,
        runs::frequency,
        runs::runs,
        retention::retention,
        recovery::recovery_point,
        recovery::restore_time,
        recovery::drill_age,
        copies::second_copy,
        verification::verification,
        protection::deletion,
        protection::immutability,
        protection::encryption,
        keys::key_age,
    ];
    each.iter().map(|control| control(&asked)).collect()
}

/// More records than this are not named.
pub(crate) const EVIDENCE_COUNT_MAX: usize = 20;

#[cfg(test)]
mod tests;
