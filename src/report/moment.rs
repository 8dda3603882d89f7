//! Moments, and how a time zone tells them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde::Serializer;
use std::fmt;

/// A moment in seconds since 1970; in JSON, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(pub(crate) i64);

impl Moment {
    /// Seconds from another moment to this one; negative if it is before.
    pub(crate) const fn since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// So many seconds later.
    pub(crate) const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(formatter)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A time zone with its name.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Coordinated universal time.
    pub(crate) fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// A zone of the IANA database; `None` if there is none of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        Some(Self { name: name.to_owned(), zone })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The day of a moment.
    pub(crate) fn date(&self, moment: Moment) -> Date {
        moment.timestamp().to_zoned(self.zone.clone()).date()
    }

    /// When a day begins.
    pub(crate) fn begin(&self, date: Date) -> Moment {
        let zoned = date.to_zoned(self.zone.clone());
        Moment(zoned.map_or(0, |zoned| zoned.timestamp().as_second()))
    }

    /// `2026-10-14 02:00`
    pub(crate) fn minute(&self, moment: Moment) -> String {
        moment.timestamp().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// `14 October 2026`
pub(crate) fn long_date(date: Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_where_the_zone_says() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let moment = Moment(1_792_965_600);
        assert_eq!(moment.to_string(), "2026-10-25T22:00:00Z");
        assert_eq!(berlin.minute(moment), "2026-10-25 23:00");
        let day = berlin.date(moment);
        // Clocks went back on that day: it has 25 hours.
        assert_eq!(berlin.begin(day.tomorrow().unwrap()).since(berlin.begin(day)), 25 * 3600);
    }
}
