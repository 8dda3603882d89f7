//! `[[copy]]`: second copies of the repository.

use crate::settings::At;
use crate::settings::place;
use crate::settings::quantities;
use crate::settings::secret::Secret;
use crate::settings::section::Section;
use std::time::Duration;

/// A section `[[copy]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopySection {
    /// What commands call it.
    pub(crate) name: At<String>,
    /// Its location.
    pub(crate) url: At<String>,
    /// What it is.
    pub(crate) mode: At<CopyMode>,
    /// What opens it, if its keys are its own.
    pub(crate) secret: Option<At<Secret>>,
    /// How many snapshots of each source `copy` takes there.
    pub(crate) keep_last: Option<At<u32>>,
    /// How far it may be behind.
    pub(crate) lag_max: Option<At<Duration>>,
}

/// What a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyMode {
    /// The whole repository, object by object.
    Mirror,
    /// Another repository, to which snapshots are copied.
    Snapshots,
}

impl CopyMode {
    /// As the file says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Snapshots => "snapshots",
        }
    }
}

impl CopySection {
    /// Takes every such section from a file.
    pub(crate) fn decode_all(file: &mut Section<'_>) -> Vec<Self> {
        let mut copies: Vec<Self> = Vec::new();
        for mut section in file.sections("copy") {
            let decoded = Self::decode(&mut section);
            if let Some(copy) = decoded {
                match copies.iter().find(|other| other.name.value == copy.name.value) {
                    Some(other) => section.refuse_key(
                        copy.name.line,
                        "name",
                        &format!(
                            "line {} names a copy `{}`, too",
                            other.name.line, copy.name.value
                        ),
                    ),
                    None => copies.push(copy),
                }
            }
            section.finish();
        }
        copies
    }

    fn decode(section: &mut Section<'_>) -> Option<Self> {
        for key in ["name", "url", "mode"] {
            if section.line_of(key).is_none() {
                section.refuse_missing(key);
            }
        }
        let folder = section.folder();
        let name = section.parsed("name", place::name);
        let url = section.parsed("url", |text| place::location(text, folder));
        let mode = section.choice(
            "mode",
            &[CopyMode::Mirror, CopyMode::Snapshots].map(|mode| (mode.word(), mode)),
        );
        let secret = Secret::decode(section);
        let keep_last = section.count("keep_last");
        let lag_max = section.parsed("max_lag", quantities::duration);
        let (name, url, mode) = (name?, url?, mode?);
        if mode.value == CopyMode::Mirror {
            if let Some(At { value, line }) = &secret {
                let why = "a mirror opens with the keys of the repository";
                section.refuse_key(*line, value.key(), why);
            }
            if let Some(At { line, .. }) = keep_last {
                section.refuse_key(line, "keep_last", "a mirror has all snapshots");
            }
        }
        Some(Self { name, url, mode, secret, keep_last, lag_max })
    }
}
