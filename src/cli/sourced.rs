//! Values that may come from the command line, the environment or the configuration file, and which
//! of them they came from.

use serde_json::Value;
use serde_json::json;
use std::fmt;
use std::path::PathBuf;

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An option of the command line.
    Option(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A line of the configuration file.
    File { path: PathBuf, line: usize },
    /// Nobody said anything.
    Default,
}

impl<T> Sourced<T> {
    /// A value of an option.
    pub(crate) const fn option(name: &'static str, value: T) -> Self {
        Self { value, origin: Origin::Option(name) }
    }

    /// A value of a variable.
    pub(crate) fn variable(name: &str, value: T) -> Self {
        Self { value, origin: Origin::Variable(name.to_owned()) }
    }

    /// A value that counts if nobody says anything.
    pub(crate) const fn default(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }
}

impl Origin {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Option(name) => json!({ "from": "option", "name": name }),
            Self::Variable(name) => json!({ "from": "environment", "name": name }),
            Self::File { path, line } => {
                json!({ "from": "file", "path": path.to_string_lossy(), "line": line })
            }
            Self::Default => json!({ "from": "default" }),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => formatter.write_str(name),
            Self::Variable(name) => write!(formatter, "${name}"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Default => formatter.write_str("default"),
        }
    }
}
