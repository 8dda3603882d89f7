//! `[repository]`: where the repository is, and what opens it.

use crate::settings::At;
use crate::settings::place;
use crate::settings::secret::Secret;
use crate::settings::section::Section;

/// The section `[repository]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RepositorySection {
    /// Its location.
    pub(crate) url: Option<At<String>>,
    /// What opens it.
    pub(crate) secret: Option<At<Secret>>,
}

impl RepositorySection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("repository") else { return Self::default() };
        let folder = section.folder();
        let url = section.parsed("url", |text| place::location(text, folder));
        let secret = Secret::decode(&mut section);
        section.finish();
        Self { url, secret }
    }
}
