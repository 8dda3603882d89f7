//! How a repository and its copies stood, and what runs stored.

use crate::format::attest::plan::PlannedCopy;
use crate::format::attest::state::State;
use crate::format::attest::state::StatedCopy;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::plans_at;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::repo::attest::Attestation;
use crate::report::model::CopyRow;
use crate::report::model::DayBytes;
use crate::report::model::Growth;
use crate::report::model::StatePoint;
use crate::report::moment::Moment;
use std::collections::BTreeMap;

/// The growth of a period.
pub(super) fn growth(ledger: &Ledger, span: &Span) -> Growth {
    let mut by_day = BTreeMap::new();
    for record in &ledger.states {
        if let Some(time) = moment(&record.said.time).filter(|time| span.has(*time)) {
            by_day.insert(span.zone.date(time), point(record, time));
        }
    }
    let states: Vec<StatePoint> = by_day.into_values().collect();
    Growth { states, days: days(ledger, span), copies: copies(ledger, span) }
}

fn point(record: &Attestation<State>, time: Moment) -> StatePoint {
    let State { snapshots, source_bytes, packs, stored_bytes, .. } = record.said;
    let evidence = record.key.to_string();
    StatePoint { time, snapshots, source_bytes, packs, stored_bytes, evidence }
}

fn days(ledger: &Ledger, span: &Span) -> Vec<DayBytes> {
    let mut days: BTreeMap<_, DayBytes> = span
        .days()
        .into_iter()
        .map(|day| {
            let row = DayBytes { day: day.to_string(), snapshots: 0, bytes: 0, bytes_stored: 0 };
            (day, row)
        })
        .collect();
    for known in &ledger.snapshots {
        let finished = Moment(known.finished);
        if span.has(finished)
            && let Some(day) = days.get_mut(&span.zone.date(finished))
        {
            day.snapshots += 1;
            day.bytes = day.bytes.saturating_add(known.bytes);
            day.bytes_stored = day.bytes_stored.saturating_add(known.bytes_stored);
        }
    }
    days.into_values().collect()
}

/// Copies by name: those that the last states know, and those that are planned and nobody saw.
fn copies(ledger: &Ledger, span: &Span) -> Vec<CopyRow> {
    let plans = plans_at(ledger, span.told_until.0);
    let planned: BTreeMap<&str, (&PlannedCopy, String)> = plans
        .into_iter()
        .flat_map(|plan| plan.said.copies.iter().map(|copy| (plan.key.to_string(), copy)))
        .map(|(key, copy)| (copy.name.as_str(), (copy, key)))
        .collect();
    let mut rows: BTreeMap<String, CopyRow> = BTreeMap::new();
    for (name, (copy, key)) in &planned {
        let unseen = CopyRow {
            name: (*name).to_owned(),
            kind: "not seen".to_owned(),
            behind_seconds: None,
            lag_seconds: copy.lag_seconds,
            versions: None,
            locked_days: None,
            error: None,
            evidence: key.clone(),
        };
        rows.insert((*name).to_owned(), unseen);
    }
    let of_period = ledger
        .states
        .iter()
        .filter(|record| moment(&record.said.time).is_some_and(|time| span.has(time)));
    for record in of_period {
        for copy in &record.said.copies {
            let lag = planned.get(copy.name.as_str()).and_then(|(copy, _key)| copy.lag_seconds);
            rows.insert(copy.name.clone(), copy_row(copy, lag, record.key.to_string()));
        }
    }
    rows.into_values().collect()
}

fn copy_row(copy: &StatedCopy, lag_seconds: Option<u64>, evidence: String) -> CopyRow {
    CopyRow {
        name: copy.name.clone(),
        kind: copy.store.kind.clone(),
        behind_seconds: copy.behind_seconds,
        lag_seconds,
        versions: copy.store.versions,
        locked_days: copy.store.locked_days,
        error: copy.error.clone(),
        evidence,
    }
}
