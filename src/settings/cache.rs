//! `[cache]`: the disposable cache of this host.

use crate::settings::At;
use crate::settings::quantities;
use crate::settings::section::Section;
use std::path::PathBuf;

/// The section `[cache]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CacheSection {
    /// Where it is.
    pub(crate) directory: Option<At<PathBuf>>,
    /// How many bytes it keeps of each repository, index runs not counted.
    pub(crate) bytes_max: Option<At<u64>>,
    /// Whether it keeps dumps where the key cannot read them.
    pub(crate) deltas: Option<At<DumpKeeping>>,
}

/// Whether a host whose key reads no contents keeps the last version of each dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DumpKeeping {
    /// It does not.
    Off,
    /// It does, and can read them.
    Host,
}

impl DumpKeeping {
    /// As the file says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Host => "host",
        }
    }
}

impl CacheSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("cache") else { return Self::default() };
        let directory = section.path("directory");
        let bytes_max = section.parsed("size", quantities::bytes);
        let choices = [DumpKeeping::Off, DumpKeeping::Host].map(|choice| (choice.word(), choice));
        let deltas = section.choice("delta_cache", &choices);
        section.finish();
        Self { directory, bytes_max, deltas }
    }
}
