//! Retention over some days: what was missing at the end of one of them.

use crate::ops::ledger::Ledger;
use crate::ops::retention::RetentionReport;
use crate::ops::retention::RetentionSlot;
use crate::ops::retention::SourceRetention;
use crate::ops::retention::at_with;
use crate::ops::retention::present::View;
use crate::ops::words::time_words;
use serde::Serialize;
use std::collections::BTreeMap;

/// How retention stood at the end of each day of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RetentionPeriod {
    /// The first and the last second, RFC 3339 in UTC.
    pub(crate) from: String,
    pub(crate) until: String,
    /// Days that were looked at, by UTC.
    pub(crate) days: u32,
    /// What was missing at the end of a day, by source and time.
    pub(crate) lacks: Vec<RetentionLack>,
    /// How it stood at the end.
    pub(crate) at_end: RetentionReport,
}

/// Something that the policy keeps, and that was not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RetentionLack {
    pub(crate) source: String,
    /// `daily 2026-11-27`, or `snapshot` and its name.
    pub(crate) what: String,
    /// Why, if that is known.
    pub(crate) why: Option<String>,
    /// The first and the last time at which it was missing, RFC 3339 in UTC.
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) evidence: Option<String>,
}

/// How retention stood from one second to another, both included: at the end of each day, and at the last second.
pub(crate) fn retention_over(
    ledger: &Ledger,
    (from, until): (i64, i64),
    grace: i64,
) -> RetentionPeriod {
    let view = View::new(ledger);
    let mut period = RetentionPeriod {
        from: time_words(from, 0),
        until: time_words(until, 0),
        ..RetentionPeriod::default()
    };
    let mut lacks: BTreeMap<(String, String), RetentionLack> = BTreeMap::new();
    let day = |second: i64| second.div_euclid(DAY_SECONDS);
    for number in day(from)..=day(until).min(day(from).saturating_add(DAYS_MAX)) {
        let end = number.saturating_add(1).saturating_mul(DAY_SECONDS).saturating_sub(1);
        let report = at_with(&view, end.min(until), grace);
        for source in &report.sources {
            for lack in lacks_of(source, &report.at) {
                let key = (lack.source.clone(), lack.what.clone());
                lacks.entry(key).or_insert(lack).last.clone_from(&report.at);
            }
        }
        period.days += 1;
        period.at_end = report;
    }
    period.lacks = lacks.into_values().collect();
    period
}

/// What a source lacked.
pub(crate) fn lacks_of(source: &SourceRetention, at: &str) -> Vec<RetentionLack> {
    let lack = |what: String, why: Option<String>, evidence: Option<String>| RetentionLack {
        source: source.source.clone(),
        what,
        why,
        first: at.to_owned(),
        last: at.to_owned(),
        evidence,
    };
    let slots = source.slots.iter().filter(|slot| slot.lacks()).map(|slot: &RetentionSlot| {
        let what = format!("{} {}", slot.kind, slot.label);
        lack(what, slot.why.clone(), slot.evidence.clone())
    });
    let gone = source.gone_early.iter().map(|gone| {
        let what = format!("snapshot {}", gone.snapshot);
        let kept_by = gone.kept_by.join(", ");
        let why = format!("{}; the policy keeps it for {kept_by}", gone.words());
        lack(what, Some(why), Some(gone.evidence.clone()))
    });
    slots.chain(gone).collect()
}

const DAY_SECONDS: i64 = 86_400;
/// Days that are looked at: ten years.
const DAYS_MAX: i64 = 3660;
