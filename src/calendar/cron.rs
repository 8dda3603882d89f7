//! Expressions in the words of `cron`, as far as it has them.

use crate::calendar::Calendar;
use crate::calendar::field::Set;

/// What `cron` cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoCron {
    /// It counts minutes.
    #[error("cron knows no seconds")]
    Seconds,
    /// Its lines have no year.
    #[error("cron knows no years")]
    Years,
    /// It runs on days that either field names.
    #[error("cron takes a day of the month and a day of the week as either, not as both")]
    Days,
}

/// Minute, hour, day of the month, month, day of the week.
pub(super) fn fields(calendar: &Calendar) -> Result<String, NoCron> {
    if calendar.seconds.numbers() != [0] {
        return Err(NoCron::Seconds);
    }
    if !calendar.years.is_all() {
        return Err(NoCron::Years);
    }
    if !calendar.days.is_all() && !calendar.weekdays.is_all() {
        return Err(NoCron::Days);
    }
    // Sunday is 0, Monday 1.
    let weekday = |number: u16| (number + 1) % 7;
    Ok(format!(
        "{} {} {} {} {}",
        words(&calendar.minutes, |number| number),
        words(&calendar.hours, |number| number),
        words(&calendar.days, |number| number),
        words(&calendar.months, |number| number),
        words(&calendar.weekdays, weekday),
    ))
}

fn words(set: &Set, number: impl Fn(u16) -> u16) -> String {
    if set.is_all() {
        return "*".to_owned();
    }
    let mut numbers: Vec<u16> = set.numbers().iter().map(|found| number(*found)).collect();
    numbers.sort_unstable();
    let words: Vec<String> = numbers.iter().map(u16::to_string).collect();
    words.join(",")
}
