//! When an expression occurs.

use crate::calendar::Calendar;
use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::civil::Time;
use jiff::tz::AmbiguousOffset;

/// How far a day is looked for.
pub(super) const YEARS_MAX: i64 = 9;

/// The first moment after `after`.
pub(super) fn next(calendar: &Calendar, after: i64) -> Option<i64> {
    let mut day = date(calendar, after)?;
    let last_year = i64::from(day.year()) + YEARS_MAX;
    while i64::from(day.year()) <= last_year {
        if on(calendar, day) {
            let moments = times(calendar).filter_map(|time| moment(calendar, day, time));
            if let Some(found) = moments.filter(|moment| *moment > after).min() {
                return Some(found);
            }
        }
        day = step(calendar, day, Direction::Forth)?;
    }
    None
}

/// The last moment that is not after `until`.
pub(super) fn last(calendar: &Calendar, until: i64) -> Option<i64> {
    let mut day = date(calendar, until)?.tomorrow().ok()?;
    let first_year = i64::from(day.year()) - YEARS_MAX;
    while i64::from(day.year()) >= first_year {
        if on(calendar, day) {
            let moments = times(calendar).filter_map(|time| moment(calendar, day, time));
            if let Some(found) = moments.filter(|moment| *moment <= until).max() {
                return Some(found);
            }
        }
        day = step(calendar, day, Direction::Back)?;
    }
    None
}

/// Whether some day of some year is meant.
pub(super) fn has_days(calendar: &Calendar) -> bool {
    let months = calendar.months.numbers().iter();
    let longest = months.map(|month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    });
    let first = calendar.days.numbers().first();
    longest.max().is_some_and(|longest| first.is_some_and(|first| *first <= longest))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forth,
    Back,
}

fn step(calendar: &Calendar, day: Date, direction: Direction) -> Option<Date> {
    // Months that are not meant are passed over in one step.
    let is_meant =
        has(&calendar.months, i16::from(day.month())) && has(&calendar.years, day.year());
    match (direction, is_meant) {
        (Direction::Forth, true) => day.tomorrow().ok(),
        (Direction::Forth, false) => day.last_of_month().tomorrow().ok(),
        (Direction::Back, true) => day.yesterday().ok(),
        (Direction::Back, false) => day.first_of_month().yesterday().ok(),
    }
}

fn on(calendar: &Calendar, day: Date) -> bool {
    has(&calendar.years, day.year())
        && has(&calendar.months, i16::from(day.month()))
        && has(&calendar.days, i16::from(day.day()))
        && has(&calendar.weekdays, i16::from(day.weekday().to_monday_zero_offset()))
}

fn has(set: &crate::calendar::field::Set, number: i16) -> bool {
    u16::try_from(number).is_ok_and(|number| set.contains(number))
}

fn times(calendar: &Calendar) -> impl Iterator<Item = Time> {
    calendar.hours.numbers().iter().flat_map(move |hour| {
        calendar.minutes.numbers().iter().flat_map(move |minute| {
            calendar.seconds.numbers().iter().filter_map(move |second| {
                let part = |number: &u16| i8::try_from(*number).ok();
                Time::new(part(hour)?, part(minute)?, part(second)?, 0).ok()
            })
        })
    })
}

fn moment(calendar: &Calendar, day: Date, time: Time) -> Option<i64> {
    let zoned = calendar.zone.to_ambiguous_zoned(day.to_datetime(time));
    if matches!(zoned.offset(), AmbiguousOffset::Gap { .. }) {
        return None;
    }
    Some(zoned.compatible().ok()?.timestamp().as_second())
}

fn date(calendar: &Calendar, seconds: i64) -> Option<Date> {
    let timestamp = Timestamp::from_second(seconds).ok()?;
    let date = timestamp.to_zoned(calendar.zone.clone()).date();
    // So that days beside it exist.
    date.checked_add(1.day()).ok()?;
    Some(date)
}
