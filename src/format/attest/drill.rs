//! What bringing something back came to, and who signed it off.
//! Spec: format-spec/19-attest.md, "Drills".

use crate::format::attest::Attested;
use crate::format::attest::ID_DIGITS;
use crate::format::attest::SHA256_DIGITS;
use crate::format::attest::is_hex;
use crate::format::attest::is_time;
use crate::format::attest::is_word;
use crate::format::keyslot::Role;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// A drill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Drill {
    /// When it began, RFC 3339 in UTC.
    pub time: String,
    /// When it ended.
    pub finished: String,
    /// On which host; empty if it is not told.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// What people call it.
    pub name: String,
    /// The job whose data it brought back, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<String>,
    /// The source of the snapshot.
    pub source: String,
    /// The snapshot, hexadecimal; left out if none was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<String>,
    /// SHA-256 of its manifest's statement, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest: Option<String>,
    /// The time of its data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_time: Option<String>,
    /// Where to: `scratch`, `url`, `files`, `command` or `scenario`.
    pub target: String,
    /// From which copy it was read; left out if from the repository itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub copy: Option<String>,
    /// `cold` if nothing that this host kept was used, `warm` otherwise.
    pub cache: String,
    /// Whether the repository was opened with what a recovery kit has, and nothing else.
    pub from_kit: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// What was done, in order.
    pub phases: Vec<Phase>,
    /// What was looked at, in order.
    pub checks: Vec<DrillCheck>,
    /// From its beginning to the last check, in milliseconds; left out if it did not get there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rto_milliseconds: Option<u64>,
    /// How long that may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rto_target_seconds: Option<u64>,
    /// From the time of the data to the beginning of the drill, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rpo_seconds: Option<u64>,
    /// How much that may be, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rpo_target_seconds: Option<u64>,
    /// Bytes of content that were brought back.
    pub bytes: u64,
    /// What it ran on: versions of programs, processors, memory.
    pub environment: BTreeMap<String, String>,
    /// Whether what was brought back is gone: `wiped`, `failed`, or `kept` if it was to stay.
    pub scratch: String,
}

/// What came of a drill or a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It is as it should be.
    Pass,
    /// It could not be looked at: nothing is proved.
    #[default]
    NotVerified,
    /// It is not as it should be.
    Fail,
}

/// A part of a drill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phase {
    /// What was done.
    pub name: String,
    /// How long it took.
    pub milliseconds: u64,
    /// Who confirmed it, if a person did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirmed_by: Option<String>,
}

/// Something that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DrillCheck {
    /// What.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// In words: what was compared and found.
    pub detail: String,
}

/// Somebody looked at a drill and stands for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignOff {
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// The key of the drill's record.
    pub drill: String,
    /// SHA-256 of its statement, hexadecimal.
    pub sha256: String,
    /// Who: a name.
    pub by: String,
    /// In which function.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub function: Option<String>,
    /// What they say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub words: Option<String>,
}

impl Attested for Drill {
    const KIND: &'static str = "drill";
    // Nobody else can read what came back.
    const ROLES: &'static [Role] = &[Role::Admin, Role::Reader];

    fn is_valid(&self) -> bool {
        let ids = [(&self.snapshot, ID_DIGITS), (&self.manifest, SHA256_DIGITS)];
        is_word(&self.name)
            && is_time(&self.finished)
            && self.data_time.as_deref().is_none_or(is_time)
            && ids.iter().all(|(id, digits)| id.as_ref().is_none_or(|id| is_hex(id, *digits)))
            && TARGETS.contains(&self.target.as_str())
            && ["warm", "cold"].contains(&self.cache.as_str())
            && ["wiped", "failed", "kept"].contains(&self.scratch.as_str())
            // What could not be verified never passes.
            && (self.outcome != Outcome::Pass
                || self.checks.iter().all(|check| check.outcome == Outcome::Pass))
    }

    fn time(&self) -> &str {
        &self.time
    }
}

impl Attested for SignOff {
    const KIND: &'static str = "sign-off";
    const ROLES: &'static [Role] =
        &[Role::Admin, Role::Writer, Role::Reader, Role::Pruner, Role::Auditor];

    fn is_valid(&self) -> bool {
        is_hex(&self.sha256, SHA256_DIGITS) && is_word(&self.by) && is_word(&self.drill)
    }

    fn time(&self) -> &str {
        &self.time
    }
}

/// Where drills bring things back to.
const TARGETS: [&str; 5] = ["scratch", "url", "files", "command", "scenario"];
