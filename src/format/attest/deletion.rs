//! What a collection deletes for good, told before it is gone.
//! Spec: format-spec/19-attest.md, "Deletions".

use crate::format::attest::Attested;
use crate::format::attest::ID_DIGITS;
use crate::format::attest::SHA256_DIGITS;
use crate::format::attest::is_hex;
use crate::format::attest::is_time;
use crate::format::keyslot::Role;
use serde::Deserialize;
use serde::Serialize;

/// A certificate of deletion: one before the first object goes, one when all are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deletion {
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// On which host; empty if it is not told.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// The number of the verdict (09) that decided it.
    pub verdict: u64,
    /// Whether the objects are about to go, or are gone.
    pub phase: DeletionPhase,
    /// Snapshots that go; sorted by snapshot. Told before they go.
    pub snapshots: Vec<DeletedSnapshot>,
    /// Packs that go or are gone.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the store keeps of them all the same; told when they are gone, and only if the store keeps versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub versions: Option<KeptVersions>,
}

/// Before or after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletionPhase {
    /// The verdict stands: nothing that begins now uses them.
    #[default]
    Decided,
    /// They are gone.
    Gone,
}

/// A snapshot whose manifest goes; what is told of it stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeletedSnapshot {
    /// Its name, hexadecimal.
    pub snapshot: String,
    /// Who made it, hexadecimal.
    pub client: String,
    /// Its source.
    pub source: String,
    /// SHA-256 of its manifest's statement, hexadecimal.
    pub manifest: String,
    /// The time of its data.
    pub data_time: String,
    /// When its run began.
    pub started: String,
    /// When its data was complete.
    pub finished: String,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that its run stored.
    pub bytes_stored: u64,
    /// Whether something was left out.
    pub incomplete: bool,
    /// Whether its manifest could not be read: then the times are that of its receipt, and the numbers 0.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unreadable: bool,
    /// When it was forgotten, as far as forgets that are still stored say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forgotten: Option<String>,
    /// Why, in the same way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Whether a policy chose it, and not a person.
    pub by_policy: bool,
}

/// What a bucket keeps of objects that were deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeptVersions {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last of them goes by the bucket's rules; left out if no rule says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub free_at: Option<String>,
    /// Until when at the latest locks keep some of them; left out if objects are not locked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locked_until: Option<String>,
}

impl Attested for Deletion {
    const KIND: &'static str = "deletion";
    const ROLES: &'static [Role] = &[Role::Admin, Role::Pruner];

    fn is_valid(&self) -> bool {
        let is_right = |gone: &DeletedSnapshot| {
            is_hex(&gone.snapshot, ID_DIGITS)
                && is_hex(&gone.client, ID_DIGITS)
                && is_hex(&gone.manifest, SHA256_DIGITS)
                && [&gone.data_time, &gone.started, &gone.finished]
                    .into_iter()
                    .chain(&gone.forgotten)
                    .all(|time| is_time(time))
        };
        let ends = self.versions.iter().flat_map(|kept| [&kept.free_at, &kept.locked_until]);
        self.snapshots.is_sorted_by(|one, other| one.snapshot < other.snapshot)
            && ends.flatten().all(|time| is_time(time))
            && self.snapshots.iter().all(is_right)
    }

    fn time(&self) -> &str {
        &self.time
    }
}
