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
}

impl CacheSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("cache") else { return Self::default() };
        let directory = section.path("directory");
        let bytes_max = section.parsed("size", quantities::bytes);
        section.finish();
        Self { directory, bytes_max }
    }
}
