//! Signed records beside manifests: forgets, tags, holds, checks and the like.
//! Spec: format-spec/10-record.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::manifest::STATEMENT_TYPE;
use crate::format::manifest::StatementSubject;
use crate::id::RepoId;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

/// An in-toto statement of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The statement's type.
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// What it is about; may be empty.
    pub subject: Vec<StatementSubject>,
    /// [`PREDICATE_PREFIX`], the kind, `/v1`.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is stated; names `repository` and `place`. Members sorted by name.
    pub predicate: Map<String, Value>,
}

impl Record {
    /// A statement of the kind `kind` at the place `place`.
    pub fn new(kind: &str, repository: &str, place: &str) -> Self {
        let mut predicate = Map::new();
        predicate.insert("repository".to_owned(), Value::from(repository));
        predicate.insert("place".to_owned(), Value::from(place));
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: Vec::new(),
            predicate_type: format!("{PREDICATE_PREFIX}{kind}/v1"),
            predicate,
        }
    }

    /// The statement's bytes: compact JSON, members of the predicate sorted by name.
    ///
    /// # Panics
    ///
    /// Never: everything in it is plain data.
    #[expect(clippy::expect_used, reason = "the members come from JSON or from plain values")]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is plain data")
    }

    /// Decodes a statement and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let wrong = |at| FormatError::new("record", Rule::RecordJson, at);
        let record: Self = serde_json::from_slice(bytes).map_err(|_source| wrong(0))?;
        let text = |name: &str| record.predicate.get(name).and_then(Value::as_str);
        let typed = record.statement_type == STATEMENT_TYPE
            && record.predicate_type.starts_with(PREDICATE_PREFIX)
            && text("repository").is_some()
            && text("place").is_some();
        if !typed || record.encode() != bytes {
            return Err(wrong(1));
        }
        Ok(record)
    }

    /// Checks that the statement is of this kind and belongs to its key.
    pub fn check_place(
        &self,
        kind: &str,
        repository: RepoId,
        place: &str,
    ) -> Result<(), FormatError> {
        let member = |name: &str| self.predicate.get(name).and_then(Value::as_str);
        let kind_agrees = self
            .predicate_type
            .strip_prefix(PREDICATE_PREFIX)
            .and_then(|rest| rest.strip_suffix("/v1"))
            .is_some_and(|stated| stated == kind);
        let agrees = kind_agrees
            && member("place") == Some(place)
            && member("repository") == Some(repository.to_string().as_str());
        if agrees { Ok(()) } else { Err(FormatError::new("record", Rule::RecordJson, 3)) }
    }
}

/// What the type of a predicate begins with.
pub const PREDICATE_PREFIX: &str = "https://sbf-repo.dev/predicate/";
