//! How a repository and its copies stood when somebody looked.
//! Spec: format-spec/19-attest.md, "States".

use crate::format::attest::Attested;
use crate::format::attest::is_time;
use crate::format::attest::is_word;
use crate::format::keyslot::Role;
use serde::Deserialize;
use serde::Serialize;

/// How things stood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// When somebody looked, RFC 3339 in UTC.
    pub time: String,
    /// On which host; empty if it is not told.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// The store of the repository.
    pub store: StatedStore,
    /// Snapshots that counted.
    pub snapshots: u64,
    /// Bytes of the files of all of them.
    pub source_bytes: u64,
    /// Packs that counted.
    pub packs: u64,
    /// Their bytes in the store.
    pub stored_bytes: u64,
    /// Packs that were read in full, as checks say; `None` if the role could not know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub read_packs: Option<u64>,
    /// Their bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub read_bytes: Option<u64>,
    /// When the pack was read that was not read for longest, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub read_oldest: Option<String>,
    /// Second copies, sorted by name.
    pub copies: Vec<StatedCopy>,
}

/// What a store does with what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatedStore {
    /// `directory`, `s3`, `gs`, `az`.
    pub kind: String,
    /// Whether objects that are deleted or replaced are kept as versions; `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub versions: Option<bool>,
    /// For how many days the store itself refuses to delete what is new; `None` if it does not, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locked_days: Option<u32>,
}

/// How a copy stood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatedCopy {
    /// What people call it.
    pub name: String,
    /// Its store.
    pub store: StatedStore,
    /// How far it was behind, in seconds; `None` if it lacks a source, was never complete, or could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub behind_seconds: Option<u64>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Attested for State {
    const KIND: &'static str = "state";
    const ROLES: &'static [Role] = &[Role::Admin, Role::Writer, Role::Reader, Role::Pruner];

    fn is_valid(&self) -> bool {
        let stores = self.copies.iter().map(|copy| &copy.store);
        self.copies.is_sorted_by(|one, other| one.name < other.name)
            && self.read_oldest.as_deref().is_none_or(is_time)
            && stores.chain([&self.store]).all(|store| STORES.contains(&store.kind.as_str()))
            && self.copies.iter().all(|copy| is_word(&copy.name))
    }

    fn time(&self) -> &str {
        &self.time
    }
}

/// Kinds of stores.
const STORES: [&str; 4] = ["directory", "s3", "gs", "az"];
