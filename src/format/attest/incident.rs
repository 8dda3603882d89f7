//! When something was lost, and when it was back.
//! Spec: format-spec/19-attest.md, "Incidents".

use crate::format::attest::Attested;
use crate::format::attest::ID_DIGITS;
use crate::format::attest::is_hex;
use crate::format::attest::is_time;
use crate::format::attest::is_word;
use crate::format::keyslot::Role;
use serde::Deserialize;
use serde::Serialize;

/// An incident begins or ends; records with the same `incident` belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Incident {
    /// When this was recorded, RFC 3339 in UTC.
    pub time: String,
    /// Which incident, hexadecimal.
    pub incident: String,
    /// Whether it begins or ends.
    pub phase: IncidentPhase,
    /// When it began or ended, which may be before anybody recorded it.
    pub at: String,
    /// What it is of: sources.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sources: Vec<String>,
    /// What happened, or what was done.
    pub words: String,
    /// Where else it is written down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticket: Option<String>,
    /// Snapshots from which it was brought back, hexadecimal; of an end only.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub snapshots: Vec<String>,
    /// The time of the newest data that came back; of an end only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_time: Option<String>,
}

/// Beginning or end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentPhase {
    /// Something was lost or is in danger.
    #[default]
    Open,
    /// It is back, or never will be.
    Close,
}

impl Attested for Incident {
    const KIND: &'static str = "incident";
    const ROLES: &'static [Role] = &[Role::Admin, Role::Writer, Role::Reader, Role::Pruner];

    fn is_valid(&self) -> bool {
        is_hex(&self.incident, ID_DIGITS)
            && is_time(&self.at)
            && is_word(&self.words)
            && self.snapshots.iter().all(|id| is_hex(id, ID_DIGITS))
            && self.data_time.as_deref().is_none_or(is_time)
    }

    fn time(&self) -> &str {
        &self.time
    }
}
