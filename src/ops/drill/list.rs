//! Drills that were done, who signed them off, and what is told of them to others.

use crate::format::attest::WORD_BYTES_MAX;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use crate::format::attest::drill::SignOff;
use crate::format::manifest::STATEMENT_TYPE;
use crate::key::ObjectKey;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::ledger::load;
use crate::ops::words::time_words;
use crate::repo::attest::Attestation;
use crate::repo::mark_writer::store_attested;
use crate::repo::proof::EVIDENCE_NAMESPACE;
use crate::repo::proof::gather;
use crate::repo::proof::trust::Trust;
use crate::repo::repository::Repository;
use serde::Serialize;
use serde_json::json;

/// A drill that is recorded.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DrillRow {
    /// The key of its record.
    pub(crate) record: String,
    /// Who signed it, hexadecimal.
    pub(crate) client: String,
    pub(crate) drill: Drill,
    pub(crate) sign_offs: Vec<SignedOff>,
}

/// Somebody who signed a drill off.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SignedOff {
    /// The key of the record.
    pub(crate) record: String,
    /// Whose key signed it, hexadecimal.
    pub(crate) client: String,
    pub(crate) time: String,
    pub(crate) by: String,
    pub(crate) function: Option<String>,
    pub(crate) words: Option<String>,
}

/// Drills and what of them cannot be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct DrillList {
    /// By time.
    pub(crate) rows: Vec<DrillRow>,
    pub(crate) findings: Vec<Finding>,
}

/// Stores what a drill came to.
///
/// Errors: that of a role from which drills do not count.
pub(crate) fn store(repository: &Repository, drill: &Drill) -> Result<ObjectKey, OpError> {
    store_attested(repository, drill).during("cannot store what the drill came to")
}

/// Every drill that is recorded.
pub(crate) fn drills(repository: &Repository) -> Result<DrillList, OpError> {
    let mut findings = Vec::new();
    let drills: Vec<Attestation<Drill>> = load(repository, &mut findings)?;
    let sign_offs: Vec<Attestation<SignOff>> = load(repository, &mut findings)?;
    let mut rows = Vec::new();
    for Attestation { key, client, said } in drills {
        let record = key.to_string();
        let mine = sign_offs.iter().filter(|each| each.said.drill == record);
        let mine: Vec<&Attestation<SignOff>> = mine.collect();
        // A sign-off of another statement under this key says nothing of this one.
        let sha256 = if mine.is_empty() { None } else { Some(statement_sha256(repository, &key)?) };
        let counts = |each: &&&Attestation<SignOff>| sha256.as_ref() == Some(&each.said.sha256);
        let sign_offs = mine.iter().filter(counts).map(|each| SignedOff {
            record: each.key.to_string(),
            client: each.client.to_string(),
            time: each.said.time.clone(),
            by: each.said.by.clone(),
            function: each.said.function.clone(),
            words: each.said.words.clone(),
        });
        let sign_offs = sign_offs.collect();
        rows.push(DrillRow { record, client: client.to_string(), drill: said, sign_offs });
    }
    Ok(DrillList { rows, findings })
}

impl DrillList {
    /// The drill of this record or, of this name, the newest; without a word the newest of all.
    ///
    /// Errors: [`OpError::Usage`] if there is none.
    pub(crate) fn choose(&self, word: Option<&str>) -> Result<&DrillRow, OpError> {
        let is_meant =
            |row: &&DrillRow| word.is_none_or(|word| row.record == word || row.drill.name == word);
        self.rows.iter().rfind(is_meant).ok_or_else(|| OpError::Usage {
            why: match word {
                Some(word) => {
                    format!("no drill is recorded that is called `{word}` or has this record")
                }
                None => "no drill is recorded".to_owned(),
            },
        })
    }
}

/// Stores that somebody looked at a drill and stands for it.
///
/// Errors: [`OpError::Usage`] if a text is too long, or nobody is named.
pub(crate) fn sign_off(
    repository: &Repository,
    row: &DrillRow,
    (by, function, words): (String, Option<String>, Option<String>),
) -> Result<(ObjectKey, SignOff), OpError> {
    check_said(&by, function.as_deref(), words.as_deref())?;
    let key = key_of(row)?;
    let (seconds, nanoseconds) = repository.environment.now();
    let sign_off = SignOff {
        time: time_words(seconds, nanoseconds),
        drill: row.record.clone(),
        sha256: statement_sha256(repository, &key)?,
        by,
        function,
        words,
    };
    let stored = store_attested(repository, &sign_off).during("cannot store the sign-off")?;
    Ok((stored, sign_off))
}

fn check_said(by: &str, function: Option<&str>, words: Option<&str>) -> Result<(), OpError> {
    if by.trim().is_empty() {
        return Err(OpError::Usage { why: "`--by` names nobody".to_owned() });
    }
    let texts = [("by", Some(by)), ("function", function), ("words", words)];
    let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > WORD_BYTES_MAX);
    match texts.iter().find(|(_name, text)| is_long(*text)) {
        Some((name, _text)) => {
            Err(OpError::Usage { why: format!("`--{name}` takes at most {WORD_BYTES_MAX} bytes") })
        }
        None => Ok(()),
    }
}

/// A drill as a statement of in-toto's `test-result`, and its detached signature.
///
/// What could not be verified has failed there: that predicate knows nothing between.
pub(crate) fn test_result(
    repository: &Repository,
    row: &DrillRow,
) -> Result<(Vec<u8>, String), OpError> {
    let drill = &row.drill;
    let names = |is_wanted: &dyn Fn(Outcome) -> bool| -> Vec<&str> {
        let wanted = drill.checks.iter().filter(|check| is_wanted(check.outcome));
        wanted.map(|check| check.name.as_str()).collect()
    };
    let is_pass = |outcome| outcome == Outcome::Pass;
    let sha256 = statement_sha256(repository, &key_of(row)?)?;
    let record = json!({ "name": row.record, "digest": { "sha256": sha256 } });
    let subject = match (&drill.snapshot, &drill.manifest) {
        (Some(snapshot), Some(manifest)) => {
            json!({ "name": format!("snapshot:{snapshot}"), "digest": { "sha256": manifest } })
        }
        (_, _) => record.clone(),
    };
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": if is_pass(drill.outcome) { "PASSED" } else { "FAILED" },
            "configuration": [record],
            "passedTests": names(&is_pass),
            "warnedTests": [],
            "failedTests": names(&|outcome| !is_pass(outcome)),
        },
    });
    let message = format!("{statement}\n").into_bytes();
    check_signs(repository)?;
    let signed = gather::sign(repository, EVIDENCE_NAMESPACE, message);
    Ok((signed.message, signed.signature.encode()))
}

fn check_signs(repository: &Repository) -> Result<(), OpError> {
    let mut trust = Trust::new(repository.id(), repository.keys.keys.authority_public);
    let what = "cannot read who may sign";
    for (number, signed) in gather::identities(repository).during(what)? {
        // Its signature was checked when it was read.
        let _counts = trust.add(number, &signed);
    }
    gather::check_signs(repository, &trust).during("cannot sign the result")
}

fn key_of(row: &DrillRow) -> Result<ObjectKey, OpError> {
    ObjectKey::new(row.record.as_str())
        .map_err(|_source| OpError::Usage { why: format!("`{}` is no record", row.record) })
}

fn statement_sha256(repository: &Repository, key: &ObjectKey) -> Result<String, OpError> {
    let signed = gather::record(repository, key).during("cannot read the record of the drill")?;
    Ok(signed.sha256().to_string())
}

const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
