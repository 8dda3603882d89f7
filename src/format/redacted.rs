//! Manifests for auditors who are not to see paths. Spec: format-spec/16-evidence.md, "Statements without paths".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::manifest::Manifest;
use crate::format::manifest::STATEMENT_TYPE;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::SourceCommand;
use crate::format::manifest::StatementSubject;
use crate::id::Sha256;
use serde::Deserialize;
use serde::Serialize;

/// What an exporter says that a manifest states, with digests in the place of paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactedManifest {
    /// As of the manifest.
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// As of the manifest.
    pub subject: Vec<StatementSubject>,
    /// [`REDACTED_PREDICATE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is stated.
    pub predicate: RedactedPredicate,
}

/// What a redacted manifest states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactedPredicate {
    /// The client that signs it, hexadecimal.
    pub exporter: String,
    /// SHA-256 of the manifest's statement, hexadecimal: what its commit names.
    pub original: String,
    /// What the manifest states, texts that may name paths or tables replaced.
    pub statement: SnapshotPredicate,
}

impl RedactedManifest {
    /// The manifest with `digest_of` of every path, and of every argument of the source command but its
    /// program, which is named without its directory.
    ///
    /// Errors: those of `digest_of`.
    pub fn new<E>(
        manifest: Manifest,
        exporter: String,
        original: Sha256,
        digest_of: impl Fn(&str) -> Result<Sha256, E>,
    ) -> Result<Self, E> {
        let Manifest { statement_type, subject, predicate: mut statement, .. } = manifest;
        let replace = |text: &mut String| -> Result<(), E> {
            *text = format!("{DIGEST_PREFIX}{}", digest_of(text)?);
            Ok(())
        };
        statement.paths.iter_mut().try_for_each(replace)?;
        statement.skipped.iter_mut().try_for_each(|skipped| replace(&mut skipped.path))?;
        let without_arguments = |command: &mut SourceCommand| -> Result<(), E> {
            if let Some((program, arguments)) = command.argv.split_first_mut() {
                if let Some((_directory, name)) = program.rsplit_once('/') {
                    *program = name.to_owned();
                }
                arguments.iter_mut().try_for_each(replace)?;
            }
            Ok(())
        };
        statement.command.iter_mut().try_for_each(without_arguments)?;
        for stream in &mut statement.streams {
            replace(&mut stream.name)?;
            stream.command.iter_mut().try_for_each(without_arguments)?;
            for table in stream.dump.iter_mut().flat_map(|dump| &mut dump.tables) {
                table.database.iter_mut().try_for_each(replace)?;
                replace(&mut table.name)?;
            }
        }
        let original = original.to_string();
        let predicate = RedactedPredicate { exporter, original, statement };
        let predicate_type = REDACTED_PREDICATE.to_owned();
        Ok(Self { statement_type, subject, predicate_type, predicate })
    }

    /// The statement's bytes, in the form of manifests.
    ///
    /// # Panics
    ///
    /// Never: everything in it is plain data.
    #[expect(clippy::expect_used, reason = "no map keys and no floats: JSON takes every value")]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data")
    }

    /// Decodes a statement and checks its form.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let wrong = |at| FormatError::new("redacted manifest", Rule::ManifestJson, at);
        let redacted: Self = serde_json::from_slice(bytes).map_err(|_source| wrong(0))?;
        let is_typed = redacted.statement_type == STATEMENT_TYPE
            && redacted.predicate_type == REDACTED_PREDICATE
            && redacted.predicate.original.parse::<Sha256>().is_ok();
        if is_typed && redacted.encode() == bytes { Ok(redacted) } else { Err(wrong(1)) }
    }
}

/// The predicate's type.
pub const REDACTED_PREDICATE: &str = "https://sbf-repo.dev/predicate/snapshot-redacted/v1";
/// What stands before a digest in the place of a text.
pub const DIGEST_PREFIX: &str = "digest:";
