//! The time that a report is of.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::ops::words::time_words;
use crate::settings::quantities;
use clap::Args;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Of which time something is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeriodArguments {
    /// At this time, which may be long ago: `2026-10-31` (its last second in UTC), or in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = quantities::last_moment, conflicts_with = "month")]
    at: Option<i64>,
    /// Over this month, by UTC; over what has passed of it if it is this one
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<(i64, i64)>,
}

impl PeriodArguments {
    /// The first and the last second; without a month, one that begins so long before its end.
    ///
    /// Errors: an end that is still to come, or a month that has not begun: nobody knows of it.
    pub(crate) fn period(&self, before: i64) -> Result<(i64, i64), Failure> {
        let now = Context::now();
        let (from, until) = match (self.month, self.at) {
            (Some((from, until)), _) => (from, until.min(now)),
            (None, at) => {
                let at = at.unwrap_or(now);
                (at.saturating_sub(before), at)
            }
        };
        // The day of today has an end that is still to come.
        let today = now.div_euclid(DAY_SECONDS) == until.div_euclid(DAY_SECONDS);
        let until = if today { until.min(now) } else { until };
        let later = if until > now { until } else { from };
        if later > now {
            let why = format!("{} is still to come", time_words(later, 0));
            return Err(Failure::usage(why));
        }
        Ok((from.min(until), until))
    }
}

/// The first day of a month, as `2026-10` names it.
pub(crate) fn first_of_month(text: &str) -> Result<Date, String> {
    let first = format!("{text}-01").parse().ok().filter(|_first| text.len() == MONTH_LETTERS);
    first.ok_or_else(|| not_a_month(text))
}

fn not_a_month(text: &str) -> String {
    format!("`{text}` is not a month such as `2026-10`")
}

/// The first and the last second of a month.
fn month(text: &str) -> Result<(i64, i64), String> {
    let wrong = || not_a_month(text);
    let first = first_of_month(text)?;
    let second = |day: Date| {
        let zoned = day.to_zoned(TimeZone::UTC).ok();
        zoned.map(|zoned| zoned.timestamp().as_second()).ok_or_else(wrong)
    };
    let next = first.checked_add(1.month()).map_err(|_source| wrong())?;
    Ok((second(first)?, second(next)? - 1))
}

const DAY_SECONDS: i64 = 86_400;
/// Letters of a month like 2026-10.
const MONTH_LETTERS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read() {
        assert_eq!(month("1970-02"), Ok((31 * 86_400, 59 * 86_400 - 1)));
        for wrong in ["", "1970", "1970-13", "1970-1", "1970-01-01", "197001"] {
            assert!(month(wrong).is_err(), "{wrong}");
        }
    }
}
