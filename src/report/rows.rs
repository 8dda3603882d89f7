//! What a report says of snapshots, checks, drills, events, keys, erasures and deletions.

use crate::report::moment::Moment;
use serde::Serialize;
use std::collections::BTreeMap;

/// How retention stood for a source at the end.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RetentionRow {
    pub(crate) source: String,
    /// What the policy keeps, newest first in each kind.
    pub(crate) slots: Vec<SlotRow>,
    /// What was stored for longer.
    pub(crate) beyond: Vec<BeyondRow>,
    /// What was forgotten though the policy kept it.
    pub(crate) gone_early: Vec<GoneEarlyRow>,
}

/// A slot of a policy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SlotRow {
    pub(crate) kind: &'static str,
    pub(crate) label: String,
    pub(crate) snapshot: Option<String>,
    pub(crate) is_expected: bool,
    pub(crate) evidence: Option<String>,
}

/// A snapshot that was kept for longer than the policy says.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BeyondRow {
    pub(crate) snapshot: String,
    pub(crate) data_time: String,
    pub(crate) why: String,
    /// Whether it waits for a forget and a prune for longer than the grace.
    pub(crate) is_overdue: bool,
    pub(crate) evidence: String,
}

/// A snapshot that was forgotten though the policy of then kept it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GoneEarlyRow {
    pub(crate) snapshot: String,
    pub(crate) data_time: String,
    /// Who forgot it, when and why, in words.
    pub(crate) words: String,
    /// The slots that it was kept for.
    pub(crate) kept_by: Vec<String>,
    pub(crate) evidence: String,
}

/// How much was read in full.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Verification {
    /// As the last state of the period says that knows it.
    pub(crate) coverage: Option<Coverage>,
    /// Within how many seconds everything is to be read.
    pub(crate) target_seconds: Option<u64>,
    pub(crate) checks: Vec<CheckRow>,
}

/// How much of the packs checks cover.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Coverage {
    pub(crate) time: Moment,
    pub(crate) packs: u64,
    pub(crate) read_packs: u64,
    pub(crate) bytes: u64,
    pub(crate) read_bytes: u64,
    /// Hundredths of a percent of the bytes, rounded down.
    pub(crate) hundredths: Option<u64>,
    /// When the one was read that was not read for longest.
    pub(crate) oldest: Option<Moment>,
    pub(crate) evidence: String,
}

/// A check that read data.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CheckRow {
    pub(crate) time: Moment,
    pub(crate) seconds: i64,
    pub(crate) host: String,
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
    pub(crate) damaged: u64,
    pub(crate) findings: u64,
    pub(crate) evidence: String,
}

/// A drill.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DrillRow {
    pub(crate) time: Moment,
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) host: String,
    pub(crate) snapshot: Option<String>,
    pub(crate) target: String,
    pub(crate) copy: Option<String>,
    pub(crate) cache: String,
    pub(crate) from_kit: bool,
    pub(crate) scratch: String,
    /// `pass`, `fail` or `not-verified`.
    pub(crate) outcome: &'static str,
    pub(crate) rto_milliseconds: Option<u64>,
    pub(crate) rto_target_seconds: Option<u64>,
    pub(crate) rpo_seconds: Option<u64>,
    pub(crate) rpo_target_seconds: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) phases: Vec<(String, u64)>,
    pub(crate) checks: Vec<DrillCheckRow>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) sign_offs: Vec<SignOffRow>,
    pub(crate) evidence: String,
}

/// Something that a drill looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DrillCheckRow {
    pub(crate) name: String,
    pub(crate) outcome: &'static str,
    pub(crate) detail: String,
}

/// Somebody stands for a drill.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SignOffRow {
    pub(crate) time: Moment,
    pub(crate) by: String,
    pub(crate) function: Option<String>,
    pub(crate) words: Option<String>,
    pub(crate) evidence: String,
}

/// Something that was done.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EventRow {
    pub(crate) time: Moment,
    pub(crate) group: EventGroup,
    pub(crate) operation: String,
    pub(crate) subject: Option<String>,
    pub(crate) exit_code: Option<u8>,
    pub(crate) host: String,
    /// The numeric user, and who called `sudo`.
    pub(crate) user: String,
    pub(crate) client: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) snapshots: u64,
    pub(crate) reason: Option<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) evidence: String,
}

/// What an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventGroup {
    /// Somebody read contents.
    Read,
    /// Keys, and who may do what.
    Keys,
    /// Snapshots or data were removed, held or changed.
    Removal,
    /// Anything else that changes the repository or takes evidence out of it.
    Other,
}

/// A key that may sign.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeyRow {
    pub(crate) subject: String,
    pub(crate) role: String,
    pub(crate) from: Moment,
    pub(crate) until: Option<Moment>,
    /// Whether it was certified, or ended, in the period.
    pub(crate) is_new: bool,
    pub(crate) is_ended: bool,
}

/// Something that must be erased again when older data comes back.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErasureRow {
    pub(crate) erasure: String,
    pub(crate) time: Moment,
    pub(crate) erased_at: Moment,
    pub(crate) sources: Vec<String>,
    pub(crate) subject: String,
    pub(crate) reason: Option<String>,
    pub(crate) ticket: Option<String>,
    /// Snapshots that were stored at the end of the period and may hold it.
    pub(crate) holding: u64,
    /// The newest time of the data of those.
    pub(crate) newest_holding: Option<Moment>,
    /// Restores after which it was erased again, in the period.
    pub(crate) replayed: u64,
    /// Restores after which it was not.
    pub(crate) pending: u64,
    pub(crate) evidence: Vec<String>,
}

/// A collection that deleted something.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeletionRow {
    pub(crate) verdict: u64,
    pub(crate) decided: Option<Moment>,
    pub(crate) gone: Option<Moment>,
    pub(crate) host: String,
    pub(crate) snapshots: u64,
    pub(crate) by_policy: u64,
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
    /// Versions that a bucket keeps of them all the same, and until when.
    pub(crate) versions: Option<(u64, Option<Moment>)>,
    pub(crate) evidence: Vec<String>,
}

/// The answer to what auditors ask.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ControlRow {
    pub(crate) id: String,
    pub(crate) title: String,
    /// `pass`, `fail` or `not-applicable`.
    pub(crate) outcome: &'static str,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) words: String,
    pub(crate) evidence: Vec<String>,
}

/// A snapshot that was made in the period.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SnapshotRow {
    pub(crate) snapshot: String,
    pub(crate) source: String,
    pub(crate) data: Moment,
    pub(crate) started: Moment,
    pub(crate) finished: Moment,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_stored: u64,
    pub(crate) incomplete: bool,
    pub(crate) state: SnapshotState,
    pub(crate) forgotten: Option<Moment>,
    pub(crate) manifest_sha256: String,
    pub(crate) evidence: String,
}

/// What a snapshot was at the end of the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SnapshotState {
    Live,
    Forgotten,
    Deleted,
}

/// Something that cannot be read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FindingRow {
    pub(crate) code: String,
    pub(crate) is_loss: bool,
    pub(crate) object: String,
    pub(crate) effect: String,
}

impl SnapshotState {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Forgotten => "forgotten",
            Self::Deleted => "deleted",
        }
    }
}
