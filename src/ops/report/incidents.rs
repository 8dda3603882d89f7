//! Incidents that were open in a period, and how long it took until all was back.

use crate::format::attest::incident::Incident;
use crate::format::attest::incident::IncidentPhase;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::plans_at;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::repo::attest::Attestation;
use crate::report::model::IncidentRow;
use crate::report::moment::Moment;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The incidents that were open at some time of a period, by their beginning.
pub(super) fn incidents(ledger: &Ledger, span: &Span) -> Vec<IncidentRow> {
    let mut found: BTreeMap<&str, Vec<&Attestation<Incident>>> = BTreeMap::new();
    for record in &ledger.incidents {
        found.entry(&record.said.incident).or_default().push(record);
    }
    let row = |(incident, records): (&str, Vec<&Attestation<Incident>>)| {
        let known = records.into_iter().filter(|record| {
            // What was recorded after the period was not known at its end.
            moment(&record.said.time).is_some_and(|time| time <= span.told_until)
        });
        row_of(ledger, span, incident, &known.collect::<Vec<_>>())
    };
    let mut rows: Vec<IncidentRow> = found.into_iter().filter_map(row).collect();
    rows.sort_by(|one, other| (one.began, &one.incident).cmp(&(other.began, &other.incident)));
    rows
}

fn row_of(
    ledger: &Ledger,
    span: &Span,
    incident: &str,
    records: &[&Attestation<Incident>],
) -> Option<IncidentRow> {
    let said = |phase: IncidentPhase| {
        records.iter().map(|record| &record.said).filter(move |said| said.phase == phase)
    };
    let began = said(IncidentPhase::Open).filter_map(|said| moment(&said.at)).min();
    let ended = said(IncidentPhase::Close).filter_map(|said| moment(&said.at)).max();
    let began_or_known = began.or(ended)?;
    if ended.is_some_and(|ended| ended < span.from) || began_or_known > span.told_until {
        return None;
    }
    let sources: BTreeSet<&String> =
        records.iter().flat_map(|record| &record.said.sources).collect();
    let data =
        said(IncidentPhase::Close).filter_map(|said| moment(said.data_time.as_deref()?)).max();
    let until = ended.unwrap_or(span.told_until);
    Some(IncidentRow {
        incident: incident.to_owned(),
        began,
        ended,
        seconds: began.map(|began| until.since(began)),
        is_open: ended.is_none(),
        target_seconds: target(ledger, &sources, began_or_known),
        sources: sources.into_iter().cloned().collect(),
        words: records.iter().map(|record| record.said.words.clone()).collect(),
        ticket: records.iter().find_map(|record| record.said.ticket.clone()),
        snapshots: said(IncidentPhase::Close).flat_map(|said| said.snapshots.clone()).collect(),
        lost_seconds: data.zip(began).map(|(data, began)| began.since(data)),
        evidence: records.iter().map(|record| record.key.to_string()).collect(),
    })
}

/// The least that plans of the beginning ask for, of the sources that it is of.
fn target(ledger: &Ledger, sources: &BTreeSet<&String>, at: Moment) -> Option<u64> {
    let plans = plans_at(ledger, at.0);
    let jobs = plans.into_iter().flat_map(|plan| &plan.said.jobs);
    jobs.filter(|job| sources.contains(&job.source)).filter_map(|job| job.rto_seconds).min()
}
