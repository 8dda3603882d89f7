//! What must be erased again when older data comes back, and what collections deleted for good.

use crate::format::attest::deletion::Deletion;
use crate::format::attest::deletion::DeletionPhase;
use crate::format::attest::erasure::Erasure;
use crate::format::attest::erasure::Replay;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::ops::report::snapshots::deletion_times;
use crate::ops::report::snapshots::state_at;
use crate::repo::attest::Attestation;
use crate::report::moment::Moment;
use crate::report::rows::DeletionRow;
use crate::report::rows::ErasureRow;
use crate::report::rows::SnapshotState;
use crate::units::to_u64;
use std::collections::BTreeMap;

/// Every erasure that was recorded until the end of a period.
pub(super) fn erasures(ledger: &Ledger, span: &Span) -> Vec<ErasureRow> {
    let row = |record: &Attestation<Erasure>| {
        let time = moment(&record.said.time).filter(|time| *time <= span.told_until)?;
        row_of(ledger, span, record, time)
    };
    ledger.erasures.iter().filter_map(row).collect()
}

fn row_of(
    ledger: &Ledger,
    span: &Span,
    record: &Attestation<Erasure>,
    time: Moment,
) -> Option<ErasureRow> {
    let said = &record.said;
    let erased_at = moment(&said.erased_at)?;
    let deleted = deletion_times(ledger);
    let may_hold = |known: &&KnownSnapshot| {
        said.sources.contains(&known.source)
            && known.data < erased_at.0
            && known.finished <= span.told_until.0
            && state_at(known, &deleted, span.told_until) != SnapshotState::Deleted
    };
    let holding: Vec<&KnownSnapshot> = ledger.snapshots.iter().filter(may_hold).collect();
    let replays = last_replays(ledger, span, &said.erasure);
    let done = replays.iter().filter(|replay| replay.said.is_done).count();
    let replay_keys = replays.iter().map(|replay| replay.key.to_string());
    Some(ErasureRow {
        erasure: said.erasure.clone(),
        time,
        erased_at,
        sources: said.sources.clone(),
        subject: said.subject.clone(),
        reason: said.reason.clone(),
        ticket: said.ticket.clone(),
        holding: to_u64(holding.len()),
        newest_holding: holding.iter().map(|known| Moment(known.data)).max(),
        replayed: to_u64(done),
        pending: to_u64(replays.len() - done),
        evidence: std::iter::once(record.key.to_string()).chain(replay_keys).collect(),
    })
}

/// The last replay of an erasure of each restore of a period: it counts.
fn last_replays<'a>(
    ledger: &'a Ledger,
    span: &Span,
    erasure: &String,
) -> Vec<&'a Attestation<Replay>> {
    let mut last: BTreeMap<&str, &Attestation<Replay>> = BTreeMap::new();
    for replay in &ledger.replays {
        let time = moment(&replay.said.time);
        if replay.said.erasures.contains(erasure) && time.is_some_and(|time| span.has(time)) {
            last.insert(&replay.said.run, replay);
        }
    }
    last.into_values().collect()
}

/// The collections of a period that deleted something, by their verdicts.
pub(super) fn deletions(ledger: &Ledger, span: &Span) -> Vec<DeletionRow> {
    let mut found: BTreeMap<u64, Vec<&Attestation<Deletion>>> = BTreeMap::new();
    for record in &ledger.deletions {
        if moment(&record.said.time).is_some_and(|time| span.has(time)) {
            found.entry(record.said.verdict).or_default().push(record);
        }
    }
    found.into_iter().map(|(verdict, records)| deletion_row(verdict, &records)).collect()
}

fn deletion_row(verdict: u64, records: &[&Attestation<Deletion>]) -> DeletionRow {
    let of = |phase: DeletionPhase| {
        records.iter().filter(move |record| record.said.phase == phase).map(|record| &record.said)
    };
    let most = |value: fn(&Deletion) -> u64| {
        records.iter().map(|record| value(&record.said)).max().unwrap_or(0)
    };
    // Whoever goes on with a collection tells its snapshots again.
    let snapshots: BTreeMap<&str, bool> = of(DeletionPhase::Decided)
        .flat_map(|said| &said.snapshots)
        .map(|gone| (gone.snapshot.as_str(), gone.by_policy))
        .collect();
    let kept = of(DeletionPhase::Gone).filter_map(|said| said.versions.as_ref()).next_back();
    DeletionRow {
        verdict,
        decided: of(DeletionPhase::Decided).filter_map(|said| moment(&said.time)).min(),
        gone: of(DeletionPhase::Gone).filter_map(|said| moment(&said.time)).max(),
        host: records.first().map(|record| record.said.host.clone()).unwrap_or_default(),
        snapshots: to_u64(snapshots.len()),
        by_policy: to_u64(snapshots.values().filter(|by_policy| **by_policy).count()),
        packs: most(|said| said.packs),
        bytes: most(|said| said.bytes),
        versions: kept.map(|kept| (kept.count, kept.free_at.as_deref().and_then(moment))),
        evidence: records.iter().map(|record| record.key.to_string()).collect(),
    }
}
