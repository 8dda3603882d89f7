//! Sizes, shares and durations, as people write them on the command line and in the configuration file.

use std::time::Duration;

/// A number of bytes: `512`, `10MiB`, `1.5G`; units count by 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as `512MiB`");
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return Err(wrong()),
    };
    let thousandths = decimal(number.trim(), 3).ok_or_else(wrong)?;
    let bytes = (u128::from(thousandths) << shift) / 1000;
    u64::try_from(bytes).map_err(|_too_large| wrong())
}

/// Bytes a second: a plain number counts KiB, as in other programs; 0 is no limit.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let sized = if is_plain { bytes(&format!("{text}K")) } else { bytes(text) };
    sized.map_err(|_wrong| format!("`{text}` is not a rate such as `500` (KiB/s) or `10MiB`"))
}

/// A share in hundredths of a percent, from a number of percent up to 100.
pub(crate) fn hundredths(percent: &str) -> Result<u32, String> {
    let parts = decimal(percent.trim(), 2).filter(|parts| *parts <= 10_000);
    let parts = parts.and_then(|parts| u32::try_from(parts).ok());
    parts.ok_or_else(|| format!("`{percent}%` is not a share of 0% to 100%"))
}

/// A duration: `90s`, `15min`, `24h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as `90s`, `15min`, `24h` or `7d`");
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim().parse().map_err(|_source| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// An end: a moment, or so long from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// In seconds since 1970.
    Moment(i64),
    /// In seconds from now.
    Later(i64),
}

impl Until {
    /// The same in seconds since 1970.
    pub(crate) const fn after(self, now: i64) -> i64 {
        match self {
            Self::Moment(seconds) => seconds,
            Self::Later(seconds) => now.saturating_add(seconds),
        }
    }
}

/// An end: `2027-01-31`, `2027-01-31T12:00:00Z`, or so long from now, as `90d`.
pub(crate) fn until(text: &str) -> Result<Until, String> {
    if let Ok(seconds) = moment(text) {
        return Ok(Until::Moment(seconds));
    }
    let later = duration(text).ok().and_then(|later| i64::try_from(later.as_secs()).ok());
    later.map(Until::Later).ok_or_else(|| {
        format!("`{text}` is not a time such as `2027-01-31`, `2027-01-31T12:00:00Z` or `90d`")
    })
}

/// A time in seconds since 1970: `2027-01-31`, which is its beginning in UTC, or in RFC 3339.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_date| text.len() == DAY_LETTERS);
    let day = day.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let time = day.map(|day| day.timestamp()).or_else(|| text.parse().ok());
    time.map(jiff::Timestamp::as_second).ok_or_else(|| {
        format!("`{text}` is not a time such as `2027-01-31` or `2027-01-31T12:00:00Z`")
    })
}

/// The same, but a day is its last second.
pub(crate) fn last_moment(text: &str) -> Result<i64, String> {
    if text.len() == DAY_LETTERS { moment(&format!("{text}T23:59:59Z")) } else { moment(text) }
}

/// A number with at most `digits` digits behind the point, times ten for each of them.
fn decimal(text: &str, digits: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > digits || !plain(whole) || !plain(part) {
        return None;
    }
    format!("{whole}{part:0<digits$}").parse().ok()
}

/// Letters of a day like 2026-10-14.
const DAY_LETTERS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(bytes("10 m"), Ok(10 << 20));
        for wrong in ["", "GiB", "-1", "1.2345K", "1X", "99999999P"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("500"), Ok(500 << 10));
        assert_eq!(rate("1.5MiB/s"), Ok(3 << 19));
        assert_eq!(rate("0"), Ok(0));
        for wrong in ["", "/s", "-1", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(hundredths("5"), Ok(500));
        assert_eq!(hundredths("0.25"), Ok(25));
        assert!(hundredths("101").is_err());
        assert!(hundredths("").is_err());
    }

    #[test]
    fn times_are_read() {
        assert_eq!(moment("1970-01-02"), Ok(86_400));
        assert_eq!(moment("1970-01-01T00:01:00Z"), Ok(60));
        assert_eq!(until("1970-01-02").map(|until| until.after(5)), Ok(86_400));
        assert_eq!(until("2h").map(|until| until.after(5)), Ok(7_205));
        for wrong in ["", "5", "1970-13-01", "1970-01-01T00:01:00", "tomorrow", "-1d"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "5", "h", "-1h", "1.5h", "1y", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
