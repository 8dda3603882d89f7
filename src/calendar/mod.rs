//! Schedules, as systemd writes them: `*-*-* 02:00:00 UTC`, `Sun *-*-* 03:00`, `Mon..Fri 22:30`, `daily`.
//! Pure: what is due is a function of the expression and of the time.
//! Source: systemd.time(7), "Calendar events".

mod cron;
mod field;
mod occur;

pub(crate) use crate::calendar::cron::NoCron;

use crate::calendar::field::Range;
use crate::calendar::field::Set;
use crate::calendar::field::weekdays;
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// Moments that come again and again.
///
/// Moments that a change of clocks passes over do not occur, as timers of systemd do not; those that it repeats occur once.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    text: String,
    /// Bit 0 is Monday.
    weekdays: Set,
    years: Set,
    months: Set,
    days: Set,
    hours: Set,
    minutes: Set,
    seconds: Set,
    zone: TimeZone,
    zone_name: ZoneName,
}

/// How an expression names its time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ZoneName {
    /// Not at all: that of the host.
    Host,
    Named(String),
}

impl Calendar {
    /// The time zone's name; `None` if it is the host's.
    pub(crate) fn zone_name(&self) -> Option<&str> {
        match &self.zone_name {
            ZoneName::Host => None,
            ZoneName::Named(name) => Some(name),
        }
    }

    /// The expression with the name of its time zone, so that it means the same on other hosts.
    pub(crate) fn with_zone(&self) -> String {
        match (&self.zone_name, self.zone.iana_name()) {
            (ZoneName::Host, Some(name)) => format!("{} {name}", self.text),
            (ZoneName::Host, None) | (ZoneName::Named(_), _) => self.text.clone(),
        }
    }

    /// The first moment after `after`; both in seconds since 1970. `None` if none comes within
    /// [`occur::YEARS_MAX`] years.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        occur::next(self, after)
    }

    /// The last moment that is not after `until`; `None` if none was within [`occur::YEARS_MAX`] years.
    pub(crate) fn last(&self, until: i64) -> Option<i64> {
        occur::last(self, until)
    }

    /// The moments after `after` and not after `until`, oldest first, at most `most` of the newest.
    pub(crate) fn between(&self, after: i64, until: i64, most: usize) -> Vec<i64> {
        let mut moments = Vec::new();
        let mut end = until;
        while moments.len() < most
            && let Some(moment) = self.last(end).filter(|moment| *moment > after)
        {
            moments.push(moment);
            end = moment - 1;
        }
        moments.reverse();
        moments
    }

    /// The shortest time between two of the next moments after `now`, in seconds.
    pub(crate) fn interval_seconds(&self, now: i64) -> Option<i64> {
        let mut before = self.next(now)?;
        let mut shortest = None;
        for _ in 0..INTERVALS_COUNT {
            let Some(next) = self.next(before) else { break };
            shortest = Some(shortest.map_or(next - before, |old: i64| old.min(next - before)));
            before = next;
        }
        shortest
    }

    /// The same for `cron`: five fields.
    ///
    /// Errors: what `cron` has no words for.
    pub(crate) fn cron(&self) -> Result<String, NoCron> {
        cron::fields(self)
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Calendar {}

impl fmt::Display for Calendar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Calendar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("`{text}` is no schedule such as `*-*-* 02:00:00 UTC` or `Sun 03:00`: {why}")
        };
        let expanded = expand(text.trim());
        let mut words: Vec<&str> = expanded.split_ascii_whitespace().collect();
        let (zone, zone_name) = zone_of(&mut words).map_err(|why| wrong(&why))?;
        let is_weekday =
            words.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
        let days_of_week = if is_weekday {
            weekdays(words.remove(0)).map_err(|why| wrong(&why))?
        } else {
            Set::all(Range::WEEKDAY)
        };
        let is_time = |word: &&&str| word.contains(':');
        let time = words.last().filter(is_time).copied().unwrap_or("00:00:00");
        words.retain(|word| !word.contains(':') || *word != time);
        let date = match words.as_slice() {
            [] => "*-*-*",
            [date] => date,
            [_, ..] => return Err(wrong("there are too many words")),
        };
        if !is_weekday && date == "*-*-*" && !expanded.contains([':', '-']) {
            return Err(wrong("it names neither a day nor a time"));
        }
        let [years, months, days] = date_of(date).map_err(|why| wrong(&why))?;
        let [hours, minutes, seconds] = time_of(time).map_err(|why| wrong(&why))?;
        let text = text.trim().to_owned();
        let sets = (days_of_week, years, months, days, hours, minutes, seconds);
        let (weekdays, years, months, days, hours, minutes, seconds) = sets;
        let calendar =
            Self { text, weekdays, years, months, days, hours, minutes, seconds, zone, zone_name };
        if !occur::has_days(&calendar) {
            return Err(wrong("there is no such day"));
        }
        Ok(calendar)
    }
}

/// The words that stand for a whole expression.
fn expand(text: &str) -> String {
    let (word, rest) = text.split_once(' ').map_or((text, ""), |(word, rest)| (word, rest));
    let long = match word.to_ascii_lowercase().as_str() {
        "minutely" => "*-*-* *:*:00",
        "hourly" => "*-*-* *:00:00",
        "daily" => "*-*-* 00:00:00",
        "weekly" => "Mon *-*-* 00:00:00",
        "monthly" => "*-*-01 00:00:00",
        "quarterly" => "*-01,04,07,10-01 00:00:00",
        "semiannually" => "*-01,07-01 00:00:00",
        "yearly" | "annually" => "*-01-01 00:00:00",
        _ => return text.to_owned(),
    };
    format!("{long} {rest}")
}

/// Takes the time zone from the end of the words.
fn zone_of(words: &mut Vec<&str>) -> Result<(TimeZone, ZoneName), String> {
    let is_zone = |word: &&str| {
        let has_letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        has_letters && weekdays(word).is_err()
    };
    let Some(name) = words.last().copied().filter(|word| words.len() > 1 && is_zone(word)) else {
        return Ok((TimeZone::system(), ZoneName::Host));
    };
    words.pop();
    let zone = TimeZone::get(name).map_err(|_unknown| format!("there is no time zone `{name}`"))?;
    Ok((zone, ZoneName::Named(name.to_owned())))
}

/// Years, months and days.
fn date_of(text: &str) -> Result<[Set; 3], String> {
    if text.contains('~') {
        return Err("days counted from the end of a month, by `~`, are not known here".to_owned());
    }
    let parts: Vec<&str> = text.split('-').collect();
    let (years, months, days) = match parts.as_slice() {
        [years, months, days] => (*years, *months, *days),
        [months, days] => ("*", *months, *days),
        _ => return Err(format!("`{text}` is no date such as `*-*-01`")),
    };
    Ok([
        Set::parse(years, Range::YEAR)?,
        Set::parse(months, Range::MONTH)?,
        Set::parse(days, Range::DAY)?,
    ])
}

/// Hours, minutes and seconds.
fn time_of(text: &str) -> Result<[Set; 3], String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        [hours, minutes] => (*hours, *minutes, "00"),
        _ => return Err(format!("`{text}` is no time such as `02:00:00`")),
    };
    Ok([
        Set::parse(hours, Range::HOUR)?,
        Set::parse(minutes, Range::MINUTE)?,
        Set::parse(seconds, Range::SECOND)?,
    ])
}

/// How many pauses are looked at for the shortest.
const INTERVALS_COUNT: usize = 32;

#[cfg(test)]
mod tests;
