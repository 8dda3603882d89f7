//! What a store is used with: the environment's variables, and limits.

use crate::store::pace::Rates;
use std::path::PathBuf;

/// Settings of the host and of the command, for any bucket.
#[derive(Debug, Clone, Default)]
pub struct CloudSettings {
    /// Variables of the environment that begin with [`VARIABLE_PREFIXES`].
    pub variables: Vec<(String, String)>,
    /// The user's home directory, where profiles are.
    pub home: Option<PathBuf>,
    /// How much at once, and how fast.
    pub limits: Limits,
}

/// How much a store may be asked at once, and how fast bytes may go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests at the same time.
    pub requests_at_once: usize,
    /// Bytes a second.
    pub rates: Rates,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_at_once: REQUESTS_AT_ONCE, rates: Rates::default() }
    }
}

impl CloudSettings {
    /// A variable of the environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.variables.iter();
        variables.find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// What the names of variables begin with that say something about buckets.
pub const VARIABLE_PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Enough to hide the time that a request takes to a far store.
const REQUESTS_AT_ONCE: usize = 32;
