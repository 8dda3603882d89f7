//! What a host is set to back up, when, and what is expected of it.
//! Spec: format-spec/19-attest.md, "Plans".

use crate::format::attest::Attested;
use crate::format::attest::is_word;
use crate::format::keyslot::Role;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// A plan; it stands from its time until the next plan of the same client and host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// From when it stands, RFC 3339 in UTC.
    pub time: String,
    /// On which host; empty if it is not told.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// Its jobs, sorted by name.
    pub jobs: Vec<PlannedJob>,
    /// Second copies, sorted by name.
    pub copies: Vec<PlannedCopy>,
    /// Drills, sorted by name.
    pub drills: Vec<PlannedDrill>,
    /// How many snapshots of which slots are kept: by `last`, `hourly`, `daily`, `weekly`, `monthly`, `yearly`;
    /// empty if no policy was set.
    pub keep: BTreeMap<String, u32>,
    /// Periods within which snapshots are kept, by the same words: `within`, `within-daily`, ….
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub within: BTreeMap<String, String>,
    /// The time zone in which days begin; a name of the IANA database.
    pub timezone: String,
    /// Within how many seconds everything is read in full; `None` if it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub read_seconds: Option<u64>,
    /// How old a signing key may become, in seconds; `None` if nobody said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_seconds: Option<u64>,
}

/// A job of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedJob {
    /// What people call it.
    pub name: String,
    /// The source of its snapshots.
    pub source: String,
    /// When it runs, as systemd.time(7) writes it; `None` if something else starts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schedule: Option<String>,
    /// What else starts it, in a word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trigger: Option<String>,
    /// How old its newest data may be, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rpo_seconds: Option<u64>,
    /// How long getting it back may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rto_seconds: Option<u64>,
    /// How long after its time a run may end, in seconds.
    pub grace_seconds: u64,
}

/// A second copy of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedCopy {
    /// What people call it.
    pub name: String,
    /// `mirror` or `snapshots`.
    pub mode: String,
    /// Where it is: a directory or a URL, without secrets.
    pub location: String,
    /// How far it may be behind, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag_seconds: Option<u64>,
}

/// A drill of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedDrill {
    /// What people call it.
    pub name: String,
    /// Of which job, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<String>,
    /// How long after the last one that passed the next is due, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub age_seconds: Option<u64>,
}

impl Plan {
    /// Whether another plan says the same, whenever it was made.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let of_now =
            |plan: &Self| Self { time: String::new(), tool: String::new(), ..plan.clone() };
        of_now(self) == of_now(other)
    }
}

impl Attested for Plan {
    const KIND: &'static str = "plan";
    const ROLES: &'static [Role] = &[Role::Admin, Role::Writer, Role::Pruner];

    fn is_valid(&self) -> bool {
        let words = self.jobs.iter().flat_map(|job| [&job.name, &job.source]);
        self.jobs.is_sorted_by(|one, other| one.name < other.name)
            && self.copies.is_sorted_by(|one, other| one.name < other.name)
            && self.drills.is_sorted_by(|one, other| one.name < other.name)
            && words.into_iter().all(|word| is_word(word))
            && self.copies.iter().all(|copy| is_word(&copy.name))
            && self.copies.iter().all(|copy| ["mirror", "snapshots"].contains(&copy.mode.as_str()))
            && self.keep.values().all(|count| *count > 0)
            && self.drills.iter().all(|drill| is_word(&drill.name))
    }

    fn time(&self) -> &str {
        &self.time
    }
}
