//! Erasures: what must be erased again whenever older data comes back.
//! Spec: format-spec/19-attest.md, "Erasures".
//!
//! A restore asks [`pending_for`] before it begins and stores with [`record_replay`] what came of it: once, that what
//! was erased may be back, before its first byte is written, and once more when it was erased again.

pub mod expiry;
pub mod replays;
pub mod status;

pub use crate::ops::erasure::replays::record_replay;

use crate::format::attest::WORD_BYTES_MAX;
use crate::format::attest::erasure::Erasure;
use crate::format::attest::is_line;
use crate::format::attest::is_word;
use crate::id::to_hex;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::ledger::load;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::attest::Attestation;
use crate::repo::environment::now_words;
use crate::repo::environment::random;
use crate::repo::mark_writer::store_attested;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::HashSet;

/// An erasure that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErasureRow {
    /// Its name, 32 hexadecimal digits.
    pub erasure: String,
    /// When it was recorded, RFC 3339 in UTC.
    pub time: String,
    /// From when on the sources themselves no longer have it.
    pub erased_at: String,
    /// The sources whose snapshots may hold it.
    pub sources: Vec<String>,
    /// The reference that the command which erases again is told.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// Where else it is written down.
    pub ticket: Option<String>,
    /// Of a copy, the repository and the key of the original's record.
    pub origin: Option<String>,
    /// Who recorded it.
    pub client: String,
    /// The record's key.
    pub record: String,
}

impl ErasureRow {
    /// Whether a snapshot of this source whose data is of this time may hold what was erased.
    pub(crate) fn concerns(&self, source: &str, data: (i64, u32)) -> bool {
        // A time that was checked when its record was read.
        let erased = parse_time(&self.erased_at).unwrap_or((i64::MAX, 0));
        data < erased && self.sources.iter().any(|named| named == source)
    }
}

/// Every erasure, and records that cannot be read: one of them may be another.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct ErasureList {
    /// By the time of their records.
    pub erasures: Vec<ErasureRow>,
    /// What cannot be read.
    pub findings: Vec<Finding>,
}

/// What is to be recorded of an erasure.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NewErasure {
    /// The sources whose snapshots may hold it.
    pub sources: Vec<String>,
    /// The reference that the command which erases again is told: one line, and nothing about a person.
    pub subject: String,
    /// From when on the sources no longer have it, in seconds since 1970; now if it is left out.
    pub erased_at: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// Where else it is written down.
    pub ticket: Option<String>,
}

/// Records an erasure.
///
/// Errors: [`OpError::Usage`] if it names no source, its subject is no line of text, or it was erased in the future.
pub fn add(repository: &Repository, new: &NewErasure) -> Result<ErasureRow, OpError> {
    let now = repository.environment.now();
    let usage = |why: String| Err(OpError::Usage { why });
    if !is_line(&new.subject) {
        return usage(format!("a subject is one line of 1 to {WORD_BYTES_MAX} bytes"));
    }
    let mut sources = new.sources.clone();
    sources.sort_unstable();
    sources.dedup();
    if sources.is_empty() || !sources.iter().all(|source| is_word(source)) {
        return usage("an erasure needs the names of sources".to_owned());
    }
    let erased_at = match new.erased_at {
        Some(at) if at > now.0 => {
            return usage(format!("{} is in the future", time_words(at, 0)));
        }
        Some(at) => time_words(at, 0),
        None => time_words(now.0, now.1),
    };
    let said = Erasure {
        time: now_words(repository.environment.as_ref()),
        erasure: new_id(repository),
        erased_at,
        sources,
        subject: new.subject.clone(),
        reason: new.reason.clone(),
        ticket: new.ticket.clone(),
        origin: None,
    };
    let key = store_attested(repository, &said).during("cannot store the erasure")?;
    Ok(row(said, repository.client().to_string(), key.to_string()))
}

/// Every erasure that a repository knows, each once.
pub fn list(repository: &Repository) -> Result<ErasureList, OpError> {
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    let mut erasures = Vec::new();
    for found in load::<Erasure>(repository, &mut findings)? {
        let Attestation { key, client, said } = found;
        if seen.insert(said.erasure.clone()) {
            erasures.push(row(said, client.to_string(), key.to_string()));
        }
    }
    Ok(ErasureList { erasures, findings })
}

/// The erasures whose data a snapshot of this source brings back, if its data is of this time (seconds since 1970 and
/// nanoseconds). Findings say which records cannot be read: each of them may be one more.
pub fn pending_for(
    repository: &Repository,
    source: &str,
    data: (i64, u32),
) -> Result<ErasureList, OpError> {
    let mut list = list(repository)?;
    list.erasures.retain(|erasure| erasure.concerns(source, data));
    Ok(list)
}

/// The one of these whose name begins so.
///
/// Errors: [`OpError::Usage`] if none or several do, or if there are too few digits.
pub fn named<'a>(list: &'a ErasureList, digits: &str) -> Result<&'a ErasureRow, OpError> {
    let names = list.erasures.iter().map(|erasure| erasure.erasure.as_str());
    let found = one_named("erasure", digits, names)?;
    let row = list.erasures.iter().find(|erasure| erasure.erasure == found);
    row.ok_or_else(|| OpError::Usage { why: format!("there is no erasure {digits}") })
}

/// The one of these names that begins so.
pub(crate) fn one_named<'a>(
    what: &str,
    digits: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<&'a str, OpError> {
    let usage = |why: String| OpError::Usage { why };
    if digits.len() < DIGITS_MIN {
        return Err(usage(format!("give at least {DIGITS_MIN} digits of the {what}")));
    }
    let mut found: Vec<&str> = names.filter(|name| name.starts_with(digits)).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Ok(one),
        [] => Err(usage(format!("there is no {what} {digits}"))),
        _ => Err(usage(format!("{} of the kind {what} begin with {digits}", found.len()))),
    }
}

/// A name for what is recorded from now on: 32 hexadecimal digits that nobody has.
pub(crate) fn new_id(repository: &Repository) -> String {
    to_hex(&random::<16>(repository.environment.as_ref()))
}

fn row(said: Erasure, client: String, record: String) -> ErasureRow {
    let Erasure { time, erasure, erased_at, sources, subject, reason, ticket, origin } = said;
    ErasureRow {
        erasure,
        time,
        erased_at,
        sources,
        subject,
        reason,
        ticket,
        origin,
        client,
        record,
    }
}

/// Fewest digits that name something.
const DIGITS_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_digits_that_are_enough_and_its_own() {
        let names = ["aaaa1111", "aaaa2222", "bbbb1111", "bbbb1111"];
        let found = |digits: &str| one_named("run", digits, names.into_iter());
        assert_eq!(found("aaaa2").unwrap(), "aaaa2222");
        // Several records of one run have one name.
        assert_eq!(found("bbbb").unwrap(), "bbbb1111");
        for (digits, why) in [
            ("aaaa", "2 of the kind run begin with aaaa"),
            ("cccc", "there is no run cccc"),
            ("aaa", "give at least 4 digits of the run"),
        ] {
            assert_eq!(found(digits).unwrap_err().to_string(), why);
        }
    }
}
