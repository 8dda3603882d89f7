//! Incidents that were open in a period, and how long it took until all was back.

use crate::format::attest::incident::Incident;
use crate::format::attest::plan::PlannedJob;
use crate::ops::incident::Counting;
use crate::ops::incident::counting;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::plans_at;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::repo::attest::Attestation;
use crate::report::model::IncidentRow;
use crate::report::moment::Moment;

/// The incidents that were open at some time of a period, by their beginning.
pub(super) fn incidents(ledger: &Ledger, span: &Span) -> Vec<IncidentRow> {
    let known = ledger.incidents.iter().filter(|record| {
        // What was recorded after the period was not known at its end.
        moment(&record.said.time).is_some_and(|time| time <= span.told_until)
    });
    let counting = counting(known).into_iter();
    let rows = counting.filter_map(|(incident, records)| row_of(ledger, span, incident, records));
    let mut rows: Vec<IncidentRow> = rows.collect();
    rows.sort_by(|one, other| (one.began, &one.incident).cmp(&(other.began, &other.incident)));
    rows
}

fn row_of(
    ledger: &Ledger,
    span: &Span,
    incident: &str,
    Counting { opened, closed }: Counting<'_>,
) -> Option<IncidentRow> {
    let at = |record: &Attestation<Incident>| moment(&record.said.at);
    let (began, ended) = (opened.and_then(at), closed.and_then(at));
    let began_or_known = began.or(ended)?;
    if ended.is_some_and(|ended| ended < span.from) || began_or_known > span.told_until {
        return None;
    }
    let until = ended.unwrap_or(span.told_until);
    let data = closed.and_then(|closed| moment(closed.said.data_time.as_deref()?));
    let records = || opened.into_iter().chain(closed);
    Some(IncidentRow {
        incident: incident.to_owned(),
        began,
        ended,
        seconds: began.map(|began| until.since(began).max(0)),
        is_open: ended.is_none(),
        target_seconds: opened.and_then(|opened| target(ledger, &opened.said.sources, at(opened)?)),
        sources: opened.map(|opened| opened.said.sources.clone()).unwrap_or_default(),
        words: records().map(|record| record.said.words.clone()).collect(),
        ticket: records().find_map(|record| record.said.ticket.clone()),
        snapshots: closed.map(|closed| closed.said.snapshots.clone()).unwrap_or_default(),
        lost_seconds: data.zip(began).map(|(data, began)| began.since(data).max(0)),
        evidence: records().map(|record| record.key.to_string()).collect(),
    })
}

/// The least that plans of the beginning ask for, of the sources that it is of: of all, if it names none.
fn target(ledger: &Ledger, sources: &[String], at: Moment) -> Option<u64> {
    let plans = plans_at(ledger, at.0);
    let jobs = plans.into_iter().flat_map(|plan| &plan.said.jobs);
    let is_of_it = |job: &&PlannedJob| sources.is_empty() || sources.contains(&job.source);
    jobs.filter(is_of_it).filter_map(|job| job.rto_seconds).min()
}
