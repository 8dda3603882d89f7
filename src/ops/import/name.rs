//! What the name of an old copy says: when it was made, and of what.

use crate::ops::snapshot::unwrap::plain_name;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// A name without its date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undated {
    /// What all copies of one thing are called.
    pub(crate) name: String,
    /// Seconds since 1970, if the name had a date; it is read as UTC.
    pub(crate) seconds: Option<i64>,
    /// Whether the name had a number in the place of a date, which grows with every rotation.
    pub(crate) is_numbered: bool,
}

/// Takes the last date out of a file's name; dates behind `not_after` are none. A name that has nothing
/// but a date is that of its folder.
pub(crate) fn undated(name: &str, folder: &str, not_after: i64) -> Undated {
    let starts = (0..name.len()).rev().filter(|start| begins_number(name.as_bytes(), *start));
    let found = starts
        .filter_map(|start| Some((start, date_at(name.get(start..)?)?)))
        .find(|(_, (_, seconds))| *seconds <= not_after);
    let Some((start, (length, seconds))) = found else {
        return unnumbered(name);
    };
    let (before, behind) = (&name[..start], &name[start + length..]);
    let stem = before.trim_end_matches(SEPARATORS);
    let name = match (stem.is_empty(), behind.chars().next()) {
        (true, None | Some('.')) => format!("{folder}{behind}"),
        (true, Some(_)) => behind.trim_start_matches(SEPARATORS).to_owned(),
        (false, Some(next)) if !SEPARATORS.contains(&next) => format!("{before}{behind}"),
        (false, _) => format!("{stem}{behind}"),
    };
    Undated { name, seconds: Some(seconds), is_numbered: false }
}

/// Takes the number out of a name as `logrotate` makes them: `app.sql.1`, `app.sql.2.gz`.
fn unnumbered(name: &str) -> Undated {
    let numbered = |suffix: &str| {
        let (stem, number) = name.strip_suffix(suffix)?.rsplit_once('.')?;
        let is_number = (1..=3).contains(&number.len()) && digits_of(number) == number;
        let is_plain = PLAIN_SUFFIXES.iter().any(|plain| stem.ends_with(plain));
        (is_number && is_plain).then(|| format!("{stem}{suffix}"))
    };
    let found = ["", ".gz"].into_iter().chain(OTHER_SUFFIXES).find_map(numbered);
    let is_numbered = found.is_some();
    Undated { name: found.unwrap_or_else(|| name.to_owned()), seconds: None, is_numbered }
}

/// The name of what was compressed.
pub(crate) fn plain(name: &str) -> String {
    let plain = String::from_utf8_lossy(&plain_name(name.as_bytes())).into_owned();
    let stem = OTHER_SUFFIXES.iter().find_map(|suffix| plain.strip_suffix(suffix));
    stem.filter(|stem| !stem.is_empty()).map_or(plain.clone(), str::to_owned)
}

/// Whether a file of this name is compressed.
pub(crate) fn is_compressed(name: &str) -> bool {
    plain(name) != name
}

/// What a source is called whose copies have this name.
pub(crate) fn stem(name: &str) -> String {
    let plain = plain(name);
    let stem = PLAIN_SUFFIXES.iter().find_map(|suffix| plain.strip_suffix(suffix));
    stem.filter(|stem| !stem.is_empty()).map_or(plain.clone(), str::to_owned)
}

/// Whether this is the name of a copy, if nobody says which are.
pub(crate) fn is_copy(name: &str) -> bool {
    is_compressed(name) || PLAIN_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn begins_number(bytes: &[u8], at: usize) -> bool {
    bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit())
}

/// The length of a date, and of a time behind it, that a text begins with.
fn date_at(text: &str) -> Option<(usize, i64)> {
    let digits = digits_of(text);
    let (length, date, time) = match digits.len() {
        4 => {
            let separator = text[4..].chars().next().filter(|next| "-_.".contains(*next))?;
            let month = digits_of(&text[5..]);
            let rest = text[5 + month.len()..].strip_prefix(separator)?;
            let day = digits_of(rest);
            if month.len() != 2 || day.len() != 2 {
                return None;
            }
            let (more, time) = time_behind(&text[10..]);
            (10 + more, date_of(digits, month, day)?, time)
        }
        8 => {
            let (more, time) = time_behind(&text[8..]);
            (8 + more, date_of(&digits[..4], &digits[4..6], &digits[6..])?, time)
        }
        12 | 14 => {
            let date = date_of(&digits[..4], &digits[4..6], &digits[6..8])?;
            (digits.len(), date, time_of(&digits[8..10], &digits[10..12], &digits[12..])?)
        }
        _ => return None,
    };
    let zoned = DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok()?;
    Some((length, zoned.timestamp().as_second()))
}

/// The time behind a date: `_0200`, `T020000Z`, `-02-00-00`; nothing of the text if there is none.
fn time_behind(text: &str) -> (usize, Time) {
    let none = (0, Time::midnight());
    let Some(rest) = text.strip_prefix(['_', '-', 'T', 't', '.', ' ']) else { return none };
    let digits = digits_of(rest);
    let (length, time) = match digits.len() {
        4 | 6 => (digits.len(), time_of(&digits[..2], &digits[2..4], &digits[4..])),
        2 => {
            let next = |at: usize| {
                let rest = rest.get(at..)?.strip_prefix([':', '-', '_', '.', 'h'])?;
                Some(digits_of(rest)).filter(|digits| digits.len() == 2)
            };
            let Some(minute) = next(2) else { return none };
            let second = next(5).unwrap_or_default();
            let length = if second.is_empty() { 5 } else { 8 };
            (length, time_of(digits, minute, second))
        }
        _ => return none,
    };
    let is_utc = rest[length..]
        .strip_prefix('Z')
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()));
    time.map_or(none, |time| (1 + length + usize::from(is_utc), time))
}

fn digits_of(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

fn date_of(year: &str, month: &str, day: &str) -> Option<Date> {
    let year = year.parse().ok().filter(|year| *year >= FIRST_YEAR)?;
    Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()
}

fn time_of(hour: &str, minute: &str, second: &str) -> Option<Time> {
    let second = if second.is_empty() { 0 } else { second.parse().ok()? };
    Time::new(hour.parse().ok()?, minute.parse().ok()?, second, 0).ok()
}

const SEPARATORS: [char; 4] = ['-', '_', '.', ' '];
const OTHER_SUFFIXES: [&str; 3] = [".zst", ".xz", ".bz2"];
const PLAIN_SUFFIXES: [&str; 3] = [".sql", ".tar", ".dump"];
/// Earlier ones are numbers of something else.
const FIRST_YEAR: i16 = 1980;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::words::time_words;

    #[test]
    fn dates_are_found_and_taken_out() {
        for (name, undated_name, time) in [
            ("backup-2026-01-31.sql.gz", "backup.sql.gz", "2026-01-31T00:00:00Z"),
            ("db_20260131_0200.tar.gz", "db.tar.gz", "2026-01-31T02:00:00Z"),
            ("db-20260131-235959.tgz", "db.tgz", "2026-01-31T23:59:59Z"),
            ("app.2026_01_31T02:03:04Z.sql", "app.sql", "2026-01-31T02:03:04Z"),
            ("app-202601310203.sql", "app.sql", "2026-01-31T02:03:00Z"),
            ("20260131020304-app.sql", "app.sql", "2026-01-31T02:03:04Z"),
            ("app_20260131_full.sql.gz", "app_full.sql.gz", "2026-01-31T00:00:00Z"),
            ("app.sql.gz.2026-01-31", "app.sql.gz", "2026-01-31T00:00:00Z"),
            ("2026-01-31.sql.gz", "daily.sql.gz", "2026-01-31T00:00:00Z"),
            ("v20200101-2026-01-31-02-03.sql", "v20200101.sql", "2026-01-31T02:03:00Z"),
            ("app-2026-01-31-9999.sql", "app-9999.sql", "2026-01-31T00:00:00Z"),
        ] {
            let found = undated(name, "daily", 4_000_000_000);
            assert_eq!(found.name, undated_name);
            assert_eq!(found.seconds.map(|seconds| time_words(seconds, 0)), Some(time.to_owned()));
        }
    }

    #[test]
    fn other_numbers_are_no_dates() {
        for name in [
            "app.sql.gz",
            "app-12345678.sql",
            "app-2026-13-01.sql",
            "app-2026-02-30.sql",
            "app-1.sql",
            "app-120260131.sql",
            "\u{e4}2026-1-1",
            "2026",
            "a2026-01-3\u{e4}",
            "app-99991231.sql",
        ] {
            let found = undated(name, "daily", 4_000_000_000);
            let expected = Undated { name: name.to_owned(), seconds: None, is_numbered: false };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn numbers_of_rotations_are_taken_out() {
        for (name, expected) in [
            ("app.sql.1", Some("app.sql")),
            ("app.sql.12.gz", Some("app.sql.gz")),
            ("etc.tar.3.xz", Some("etc.tar.xz")),
            ("app.1.gz", None),
            ("app.16.sql", None),
            ("app.sql.1234.gz", None),
            ("app.sql.x.gz", None),
        ] {
            let found = undated(name, "daily", 4_000_000_000);
            assert_eq!(found.is_numbered, expected.is_some(), "{name}");
            assert_eq!(found.name, expected.unwrap_or(name));
        }
        let found = undated("app.sql-20260101.gz", "daily", 4_000_000_000);
        assert_eq!((found.name.as_str(), found.is_numbered), ("app.sql.gz", false));
    }

    #[test]
    fn suffixes_are_taken_off() {
        for (name, plain_name, stem_name) in [
            ("app.sql.gz", "app.sql", "app"),
            ("app.tgz", "app.tar", "app"),
            ("app.sql.zst", "app.sql", "app"),
            ("app.gz", "app", "app"),
            (".gz", ".gz", ".gz"),
            ("app", "app", "app"),
        ] {
            assert_eq!((plain(name), stem(name)), (plain_name.to_owned(), stem_name.to_owned()));
        }
    }
}
