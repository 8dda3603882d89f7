//! What a policy keeps, and how it is written down in records, so that a change is noticed.
//! Spec: format-spec/10-record.md, "Policies".

use crate::ops::error::OpError;
use jiff::Span;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Which snapshots of a source are kept.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Policy {
    /// The newest snapshot of each of so many slots.
    pub counts: BTreeMap<Every, u32>,
    /// The newest snapshot of each slot that begins within so long before the newest one.
    pub within: BTreeMap<Every, Period>,
    /// All snapshots with one of these tags.
    pub tags: Vec<String>,
    /// Where slots begin.
    pub zone: Zone,
}

/// How long a slot of a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Every {
    /// Each snapshot has a slot of its own.
    Snapshot,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, which begins on Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// A length of time in units of the calendar: `2y6m`, `4w`, `7d`, `36h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    years: i16,
    months: i32,
    weeks: i32,
    days: i32,
    hours: i32,
}

/// A time zone and its name.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Policy {
    /// A policy that keeps nothing, with slots in UTC.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the newest snapshot of each of `count` slots.
    #[must_use]
    pub fn with_count(mut self, every: Every, count: u32) -> Self {
        self.counts.insert(every, count);
        self
    }

    /// Keeps the newest snapshot of each slot within `period` before the newest snapshot.
    #[must_use]
    pub fn with_period(mut self, every: Every, period: Period) -> Self {
        self.within.insert(every, period);
        self
    }

    /// Begins slots in `zone`.
    #[must_use]
    pub fn with_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// Whether nothing says what is kept.
    pub fn is_empty(&self) -> bool {
        self.counts.values().all(|count| *count == 0)
            && self.within.is_empty()
            && self.tags.is_empty()
    }

    /// The policy as records hold it: equal policies have equal forms.
    pub fn form(&self) -> Map<String, Value> {
        let Self { counts, within, tags, zone } = self;
        let mut tags = tags.clone();
        tags.sort_unstable();
        tags.dedup();
        let counts = counts.iter().filter(|(_every, count)| **count > 0);
        let counts = counts.map(|(every, count)| (every.word().to_owned(), Value::from(*count)));
        let within = within.iter();
        let within = within.map(|(every, period)| (every.word().to_owned(), period.to_string()));
        Map::from_iter([
            ("keep".to_owned(), Value::Object(counts.collect())),
            ("tags".to_owned(), Value::from(tags)),
            ("timezone".to_owned(), Value::from(zone.name())),
            (
                "within".to_owned(),
                Value::Object(within.map(|(word, text)| (word, text.into())).collect()),
            ),
        ])
    }
}

impl Policy {
    /// The policy that a record holds; `None` if it says what this version does not know.
    pub(crate) fn of_form(form: &Map<String, Value>) -> Option<Self> {
        let object = |name: &str| form.get(name).and_then(Value::as_object);
        let mut policy = Self::new().with_zone(form.get("timezone")?.as_str()?.parse().ok()?);
        for (word, count) in object("keep")? {
            policy.counts.insert(Every::of_word(word)?, u32::try_from(count.as_u64()?).ok()?);
        }
        for (word, period) in object("within")? {
            policy.within.insert(Every::of_word(word)?, period.as_str()?.parse().ok()?);
        }
        for tag in form.get("tags")?.as_array()? {
            policy.tags.push(tag.as_str()?.to_owned());
        }
        Some(policy)
    }
}

impl Every {
    const ALL: [Self; 6] =
        [Self::Snapshot, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// That of a word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|every| every.word() == word)
    }

    /// The word for it in options, records and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Snapshot => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }
}

impl FromStr for Period {
    type Err = OpError;

    fn from_str(text: &str) -> Result<Self, OpError> {
        let wrong = || OpError::Usage {
            why: format!("`{text}` is no length of time; write it like `7d`, `36h` or `1y6m`"),
        };
        let mut period = Self::default();
        let mut rest = text;
        // Units in descending order, each once: every length has one form.
        let mut allowed = "ymwdh";
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, behind) = rest.split_at(digits);
            let number: i32 = number.parse().map_err(|_source| wrong())?;
            let unit = behind.chars().next().ok_or_else(wrong)?;
            let place = allowed.find(unit).ok_or_else(wrong)?;
            if number > PERIOD_NUMBER_MAX {
                return Err(wrong());
            }
            match unit {
                'y' => period.years = i16::try_from(number).map_err(|_source| wrong())?,
                'm' => period.months = number,
                'w' => period.weeks = number,
                'd' => period.days = number,
                _hours => period.hours = number,
            }
            allowed = &allowed[place + 1..];
            rest = &behind[1..];
        }
        if period == Self::default() { Err(wrong()) } else { Ok(period) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { years, months, weeks, days, hours } = *self;
        let parts =
            [(i32::from(years), 'y'), (months, 'm'), (weeks, 'w'), (days, 'd'), (hours, 'h')];
        parts
            .into_iter()
            .filter(|(number, _unit)| *number > 0)
            .try_for_each(|(number, unit)| write!(formatter, "{number}{unit}"))
    }
}

impl Period {
    /// The time so long before `seconds`, by the calendar of `zone`.
    pub(crate) fn before(self, seconds: i64, zone: &Zone) -> i64 {
        let moved = zone.at(seconds).map(|time| time.checked_sub(self.span()));
        match moved {
            Some(Ok(time)) => time.timestamp().as_second(),
            // Before all time that can be told.
            Some(Err(_)) | None => i64::MIN,
        }
    }

    /// The time so long after `seconds`, by the calendar of `zone`.
    pub(crate) fn after(self, seconds: i64, zone: &Zone) -> Option<i64> {
        let time = zone.at(seconds)?.checked_add(self.span()).ok()?;
        Some(time.timestamp().as_second())
    }

    fn span(self) -> Span {
        let Self { years, months, weeks, days, hours } = self;
        Span::new().years(years).months(months).weeks(weeks).days(days).hours(hours)
    }
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A time in this zone, RFC 3339.
    pub fn words(&self, seconds: i64) -> String {
        match self.at(seconds) {
            Some(time) if self.rules == TimeZone::UTC => time.timestamp().to_string(),
            Some(time) => time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            None => seconds.to_string(),
        }
    }

    /// A time in this zone; `None` if it is beyond what can be told.
    pub(crate) fn at(&self, seconds: i64) -> Option<jiff::Zoned> {
        Some(Timestamp::from_second(seconds).ok()?.to_zoned(self.rules.clone()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl FromStr for Zone {
    type Err = OpError;

    fn from_str(name: &str) -> Result<Self, OpError> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::utc());
        }
        let rules = TimeZone::get(name).map_err(|_source| OpError::Usage {
            why: format!("`{name}` is no time zone; write it like `Europe/Berlin`"),
        })?;
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, rules })
    }
}

/// Largest number before a unit; keeps every span within what the calendar can add.
const PERIOD_NUMBER_MAX: i32 = 9999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_one_form() {
        for text in ["7d", "1y6m", "2w3d12h", "9999h"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["", "7", "d", "0d", "7d1y", "1d1d", "1x", "-1d", "10000d", "99999999999d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn equal_policies_have_equal_forms() {
        let one = Policy::new().with_count(Every::Day, 7).with_count(Every::Hour, 0);
        let mut other = Policy::new().with_count(Every::Day, 7);
        assert_eq!(one.form(), other.form());
        assert_eq!(Policy::of_form(&one.form()).unwrap().form(), one.form());
        other.tags = vec!["b".to_owned(), "a".to_owned(), "b".to_owned()];
        assert_ne!(one.form(), other.form());
        assert_ne!(one.form(), one.clone().with_zone("Europe/Berlin".parse().unwrap()).form());
    }

    #[test]
    fn zones_that_do_not_exist_are_refused() {
        assert!("Europe/Nowhere".parse::<Zone>().is_err());
        assert_eq!("utc".parse::<Zone>().unwrap().name(), "UTC");
    }
}
