//! What must be erased again whenever older data comes back, and that it was.
//! Spec: format-spec/19-attest.md, "Erasures".

use crate::format::attest::Attested;
use crate::format::attest::ID_DIGITS;
use crate::format::attest::is_hex;
use crate::format::attest::is_line;
use crate::format::attest::is_time;
use crate::format::keyslot::Role;
use serde::Deserialize;
use serde::Serialize;

/// A request to erase: snapshots with older data still hold what was erased at the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Erasure {
    /// When it was recorded, RFC 3339 in UTC.
    pub time: String,
    /// Its name, hexadecimal.
    pub erasure: String,
    /// From when on the source itself no longer has it.
    pub erased_at: String,
    /// The sources whose snapshots may hold it; sorted, at least one.
    pub sources: Vec<String>,
    /// What the command that erases again is told: a reference, such as the number of a customer. Nothing about a
    /// person belongs here.
    pub subject: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Where else it is written down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticket: Option<String>,
    /// Of a copy (08), the repository and the key of the original's record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
}

/// What had been erased came back, and was erased again or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replay {
    /// When it was recorded, RFC 3339 in UTC.
    pub time: String,
    /// On which host.
    pub host: String,
    /// Names of the erasures; sorted, at least one.
    pub erasures: Vec<String>,
    /// The snapshot that came back, hexadecimal.
    pub snapshot: String,
    /// `restore`, `dump` or `drill`.
    pub operation: String,
    /// Random, the same in all records of one restore: the last of them counts.
    pub run: String,
    /// Whether all of them were erased again.
    pub is_done: bool,
    /// In words: how the command ended, or why none ran.
    pub words: String,
}

impl Attested for Erasure {
    const KIND: &'static str = "erasure";
    const ROLES: &'static [Role] = &[Role::Admin, Role::Writer, Role::Pruner];

    fn is_valid(&self) -> bool {
        is_hex(&self.erasure, ID_DIGITS)
            && is_time(&self.erased_at)
            && is_line(&self.subject)
            && !self.sources.is_empty()
            && self.sources.is_sorted_by(|one, other| one < other)
    }

    fn time(&self) -> &str {
        &self.time
    }
}

impl Attested for Replay {
    const KIND: &'static str = "replay";
    // Nobody else can bring contents back.
    const ROLES: &'static [Role] = &[Role::Admin, Role::Reader];

    fn is_valid(&self) -> bool {
        is_hex(&self.snapshot, ID_DIGITS)
            && is_hex(&self.run, ID_DIGITS)
            && ["restore", "dump", "drill"].contains(&self.operation.as_str())
            && !self.erasures.is_empty()
            && self.erasures.is_sorted_by(|one, other| one < other)
            && self.erasures.iter().all(|erasure| is_hex(erasure, ID_DIGITS))
    }

    fn time(&self) -> &str {
        &self.time
    }
}
