//! Snapshots that were made in a period, and what they were at its end.

use crate::ops::ledger::Ledger;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::ledger::snapshots::SnapshotFate;
use crate::ops::report::moment;
use crate::ops::report::period::Span;
use crate::report::model::Runs;
use crate::report::moment::Moment;
use crate::report::rows::SnapshotRow;
use crate::report::rows::SnapshotState;
use std::collections::HashMap;
use std::collections::HashSet;

/// The snapshots of a period, and those that its runs made.
pub(super) fn snapshots(ledger: &Ledger, span: &Span, runs: &Runs) -> Vec<SnapshotRow> {
    let of_runs: HashSet<&str> =
        runs.list.iter().filter_map(|run| run.snapshot.as_deref()).collect();
    let deleted = deletion_times(ledger);
    let is_of_it = |known: &&KnownSnapshot| {
        span.has(Moment(known.finished)) || of_runs.contains(known.snapshot.as_str())
    };
    let row = |known: &KnownSnapshot| SnapshotRow {
        snapshot: known.snapshot.clone(),
        source: known.source.clone(),
        data: Moment(known.data),
        started: Moment(known.started),
        finished: Moment(known.finished),
        files: known.files,
        bytes: known.bytes,
        bytes_stored: known.bytes_stored,
        incomplete: known.incomplete,
        state: state_at(known, &deleted, span.told_until),
        forgotten: known.forgotten.map(Moment).filter(|at| *at <= span.told_until),
        manifest_sha256: known.manifest.clone(),
        evidence: known.evidence(),
    };
    ledger.snapshots.iter().filter(is_of_it).map(row).collect()
}

/// When certificates of deletions were made, by their keys.
pub(super) type DeletionTimes<'a> = HashMap<&'a str, Moment>;

/// See [`DeletionTimes`].
pub(super) fn deletion_times(ledger: &Ledger) -> DeletionTimes<'_> {
    let time = |deletion: &crate::format::attest::deletion::Deletion| moment(&deletion.time);
    let times =
        ledger.deletions.iter().filter_map(|found| Some((found.key.as_str(), time(&found.said)?)));
    times.collect()
}

/// What a snapshot was at some time: what became of it later does not count.
pub(super) fn state_at(
    known: &KnownSnapshot,
    deleted: &DeletionTimes<'_>,
    at: Moment,
) -> SnapshotState {
    let gone = known.certificate.as_deref().and_then(|key| deleted.get(key));
    if known.state == SnapshotFate::Deleted && gone.is_none_or(|gone| *gone <= at) {
        return SnapshotState::Deleted;
    }
    // A forget that is older than records of forgets says no time: then it counts as of ever.
    let is_forgotten = match (known.state, known.forgotten) {
        (SnapshotFate::Forgotten, None) => true,
        (_, forgotten) => forgotten.is_some_and(|forgotten| forgotten <= at.0),
    };
    if is_forgotten && known.state != SnapshotFate::Live {
        SnapshotState::Forgotten
    } else {
        SnapshotState::Live
    }
}
