//! `[erasure]`: what erases again when older data comes back.

use crate::settings::At;
use crate::settings::quantities;
use crate::settings::section::Section;
use std::time::Duration;

/// The section `[erasure]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasureSection {
    /// A program with its arguments, without a shell; a job may have one of its own.
    pub(crate) replay: Option<At<Vec<String>>>,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

impl Default for ErasureSection {
    fn default() -> Self {
        Self { replay: None, timeout: USUAL_TIMEOUT }
    }
}

impl ErasureSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("erasure") else { return Self::default() };
        let replay = section.texts("replay");
        let timeout = section.parsed("timeout", quantities::duration);
        section.finish();
        Self { replay, timeout: timeout.map_or(USUAL_TIMEOUT, |at| at.value) }
    }
}

const USUAL_TIMEOUT: Duration = Duration::from_hours(1);
