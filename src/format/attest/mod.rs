//! What was planned, seen, tried and promised, for whoever looks later: plans, states, drills, incidents,
//! erasures, deletions. Spec: format-spec/19-attest.md.
//!
//! Nothing here decides what is stored or deleted. The members of each kind are those of a plain structure.

pub mod deletion;
pub mod drill;
pub mod erasure;
pub mod incident;
pub mod plan;
pub mod state;

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::attest::deletion::Deletion;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::SignOff;
use crate::format::attest::erasure::Erasure;
use crate::format::attest::erasure::Replay;
use crate::format::attest::incident::Incident;
use crate::format::attest::plan::Plan;
use crate::format::attest::state::State;
use crate::format::keyslot::Role;
use crate::format::record::Record;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a record of some kind says.
pub trait Attested: Serialize + DeserializeOwned {
    /// The word for the kind.
    const KIND: &'static str;
    /// A record counts only if its signer was certified for one of these.
    const ROLES: &'static [Role];

    /// Whether it keeps the rules of its page beyond the types of its members.
    fn is_valid(&self) -> bool;

    /// When it was made, by the signer's clock, RFC 3339 in UTC.
    fn time(&self) -> &str;
}

/// Adds what it says to a statement.
pub fn write<T: Attested>(attested: &T, record: &mut Record) {
    // Plain structures: they become an object.
    if let Ok(Value::Object(members)) = serde_json::to_value(attested) {
        record.predicate.extend(members);
    }
}

/// Takes a statement apart; members that its kind does not have are ignored.
pub fn read<T: Attested>(record: &Record) -> Result<T, FormatError> {
    let members = Value::Object(record.predicate.clone());
    if has_null(&members) {
        return Err(wrong());
    }
    let attested: T = serde_json::from_value(members).map_err(|_source| wrong())?;
    if attested.is_valid() && is_time(attested.time()) { Ok(attested) } else { Err(wrong()) }
}

/// Checks the members of a statement whose kind is one of these; of others, nothing is known.
pub(super) fn check_members(kind: &str, record: &Record) -> Result<(), FormatError> {
    match kind {
        Plan::KIND => read::<Plan>(record).map(|_valid| ()),
        State::KIND => read::<State>(record).map(|_valid| ()),
        Drill::KIND => read::<Drill>(record).map(|_valid| ()),
        SignOff::KIND => read::<SignOff>(record).map(|_valid| ()),
        Incident::KIND => read::<Incident>(record).map(|_valid| ()),
        Erasure::KIND => read::<Erasure>(record).map(|_valid| ()),
        Replay::KIND => read::<Replay>(record).map(|_valid| ()),
        Deletion::KIND => read::<Deletion>(record).map(|_valid| ()),
        _unknown => Ok(()),
    }
}

/// Whether a text is a time as statements write them: RFC 3339 in UTC, to the second or finer.
pub(crate) fn is_time(text: &str) -> bool {
    let Some((whole, "Z")) = text.split_at_checked(text.len().saturating_sub(1)) else {
        return false;
    };
    let (whole, fraction) = whole.split_once('.').unwrap_or((whole, "0"));
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _digit => byte.is_ascii_digit(),
    };
    let is_fraction = (1..=9).contains(&fraction.len());
    whole.len() == TIME_BYTES
        && whole.bytes().enumerate().all(shape)
        && is_fraction
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && is_moment(whole)
}

/// Whether there is such a day and second; leap seconds are not told.
fn is_moment(whole: &str) -> bool {
    let part = |from: usize, until: usize| -> u32 {
        whole.get(from..until).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
    };
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _no_month => 0,
    };
    year > 0
        && (1..=days).contains(&day)
        && part(11, 13) < 24
        && part(14, 16) < 60
        && part(17, 19) < 60
}

/// Whether a value is or holds `null`: what is not told is left out.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether a text is some hexadecimal digits of one length, in lower case.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Whether a text is something that a person wrote: not empty, and not longer than a page.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= WORD_BYTES_MAX
}

/// Whether a text is something that a person wrote in one line: a command gets it as one.
pub(crate) fn is_line(text: &str) -> bool {
    is_word(text) && !text.chars().any(char::is_control)
}

fn wrong() -> FormatError {
    FormatError::new("record", Rule::RecordJson, 2)
}

/// `2026-11-27T10:00:00`.
const TIME_BYTES: usize = 19;
/// Longest text that a person chooses, in bytes.
pub const WORD_BYTES_MAX: usize = 2048;
/// Digits of the name of a snapshot, an incident or an erasure.
pub(crate) const ID_DIGITS: usize = 32;
/// Digits of a SHA-256.
pub(crate) const SHA256_DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_other_texts() {
        for time in
            ["2026-11-27T10:00:00Z", "2026-11-27T10:00:00.000000001Z", "2024-02-29T23:59:59Z"]
        {
            assert!(is_time(time), "{time}");
        }
        for other in [
            "",
            "Z",
            "2026-11-27",
            "2026-11-27T10:00:00",
            "2026-11-27T10:00:00.Z",
            "é-11-27T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-02-29T10:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T23:59:60Z",
        ] {
            assert!(!is_time(other), "{other}");
        }
    }
}
