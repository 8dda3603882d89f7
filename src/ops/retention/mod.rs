//! `retention verify`: was everything there that had to be, and was nothing kept for longer?
//!
//! What a policy keeps is decided by the same code as `forget` does, of what the ledger knows: also of snapshots
//! that are gone, so that one which went too early is found.

mod gone;
mod over;
mod present;
mod slots;
mod standing;
#[cfg(test)]
mod tests;

pub(crate) use crate::ops::retention::over::RetentionPeriod;
pub(crate) use crate::ops::retention::over::retention_over;

use crate::ops::ledger::Ledger;
use crate::ops::retention::gone::early_of;
use crate::ops::retention::present::View;
use crate::ops::words::time_words;
use serde::Serialize;
use std::collections::BTreeSet;

/// How retention stood at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RetentionReport {
    /// RFC 3339 in UTC.
    pub(crate) at: String,
    /// By source.
    pub(crate) sources: Vec<SourceRetention>,
}

/// How retention stood for a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SourceRetention {
    pub(crate) source: String,
    /// The days, weeks, months and years that the policy keeps, newest first in each kind.
    pub(crate) slots: Vec<RetentionSlot>,
    /// Snapshots that were stored then though no slot keeps them.
    pub(crate) beyond: Vec<KeptBeyond>,
    /// Snapshots that the policy keeps, and that were gone by then all the same.
    pub(crate) gone_early: Vec<GoneEarly>,
    /// The record of the plan whose policy it is; none if no plan has one.
    pub(crate) plan: Option<String>,
}

/// A slot that the policy keeps a snapshot of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RetentionSlot {
    /// `daily`, `weekly`, `monthly` or `yearly`.
    pub(crate) kind: &'static str,
    /// `2026-11-27`, `2026-W48`, `2026-11`, `2026`.
    pub(crate) label: String,
    /// The snapshot that satisfies it, hexadecimal; `None` if it is missing.
    pub(crate) snapshot: Option<String>,
    /// Whether a run was to come in it: without one, nothing is missing.
    pub(crate) is_expected: bool,
    /// The key of the record that says so.
    pub(crate) evidence: Option<String>,
    /// Why it is missing, if that is known.
    pub(crate) why: Option<String>,
}

/// A snapshot that was kept for longer than the policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KeptBeyond {
    pub(crate) snapshot: String,
    /// The time of its data, RFC 3339 in UTC.
    pub(crate) data_time: String,
    /// What keeps it all the same, such as a hold; empty if nothing does.
    pub(crate) why: String,
    pub(crate) evidence: String,
    /// Whether it should be gone: nothing but a late forget or prune keeps it, for longer than the grace.
    pub(crate) is_overdue: bool,
}

/// A snapshot that was forgotten though the policy of then kept it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GoneEarly {
    pub(crate) snapshot: String,
    /// The time of its data, RFC 3339 in UTC.
    pub(crate) data_time: String,
    /// When it was forgotten, RFC 3339 in UTC.
    pub(crate) forgotten: String,
    /// Whether a policy chose it: another than that of the plan.
    pub(crate) by_policy: bool,
    /// Who forgot it, as the audit log says.
    pub(crate) who: Option<String>,
    /// Why, in their words.
    pub(crate) reason: Option<String>,
    /// What kept it: the slots.
    pub(crate) kept_by: Vec<String>,
    pub(crate) evidence: String,
}

impl RetentionSlot {
    /// Whether something is missing.
    pub(crate) const fn lacks(&self) -> bool {
        self.is_expected && self.snapshot.is_none()
    }
}

impl SourceRetention {
    /// Whether something is stored that should be gone.
    pub(crate) fn is_overdue(&self) -> bool {
        self.beyond.iter().any(|beyond| beyond.is_overdue)
    }
}

impl GoneEarly {
    /// In words: who forgot it, when and why.
    pub(crate) fn words(&self) -> String {
        let who = self.who.as_deref().map(|who| format!(" by {who}")).unwrap_or_default();
        let how = if self.by_policy { ", by another policy than that of the plan" } else { "" };
        let why = self.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("forgotten at {}{who}{how}{why}", self.forgotten)
    }
}

/// How retention stood at `at`, in seconds since 1970.
pub(crate) fn retention_at(ledger: &Ledger, at: i64) -> RetentionReport {
    at_with(&View::new(ledger), at, GRACE_SECONDS)
}

fn at_with(view: &View<'_>, at: i64, grace: i64) -> RetentionReport {
    let sources = view.sources_at(at).into_iter();
    let sources = sources.map(|source| source_at(view, source, (at, grace))).collect();
    RetentionReport { at: time_words(at, 0), sources }
}

fn source_at(view: &View<'_>, source: &str, (at, grace): (i64, i64)) -> SourceRetention {
    let standing = view.standing(source, at);
    let Some(standing) = standing else {
        return SourceRetention { source: source.to_owned(), ..SourceRetention::default() };
    };
    let decisions = view.decide(&standing.policy, source, at);
    let gone_early = early_of(view, (source, &standing.policy), at);
    SourceRetention {
        source: source.to_owned(),
        slots: slots::slots(view, (source, &standing.policy), (&decisions, &gone_early), at),
        beyond: present::beyond(view, (source, &standing), &decisions, (at, grace)),
        gone_early,
        plan: Some(standing.plan.key.to_string()),
    }
}

/// The sources of a report.
impl RetentionReport {
    /// Keeps those of this name; all if there is none.
    pub(crate) fn only(&mut self, names: &BTreeSet<String>) {
        self.sources.retain(|source| names.is_empty() || names.contains(&source.source));
    }
}

/// For how long a snapshot that nothing keeps any more may wait for a forget and a prune: a month, and some days for
/// a run that failed.
pub(crate) const GRACE_SECONDS: i64 = 35 * 86_400;
