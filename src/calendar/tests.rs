//! What expressions mean, and which are refused.

use super::*;
use jiff::Timestamp;

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn words(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap().to_string()
}

#[track_caller]
fn next(expression: &str, after: &str, expected: &[&str]) {
    let calendar: Calendar = expression.parse().unwrap();
    let mut moment = at(after);
    for wanted in expected {
        let found = calendar.next(moment).unwrap();
        assert_eq!(words(found), *wanted, "{expression}");
        assert_eq!(calendar.last(found), Some(found), "{expression}");
        assert!(calendar.last(found - 1).is_none_or(|last| last <= moment), "{expression}");
        moment = found;
    }
}

#[test]
fn moments_come_in_their_order() {
    let now = "2026-11-27T01:30:00Z";
    next("*-*-* 02:00:00 UTC", now, &["2026-11-27T02:00:00Z", "2026-11-28T02:00:00Z"]);
    next("Sun *-*-* 03:00:00 UTC", now, &["2026-11-29T03:00:00Z", "2026-12-06T03:00:00Z"]);
    next("Mon..Fri 22:30 UTC", "2026-11-27T22:30:00Z", &["2026-11-30T22:30:00Z"]);
    next("Sat..Sun 01:00 UTC", now, &["2026-11-28T01:00:00Z", "2026-11-29T01:00:00Z"]);
    next("*-*-01 06:00 UTC", now, &["2026-12-01T06:00:00Z", "2027-01-01T06:00:00Z"]);
    next("quarterly UTC", now, &["2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z"]);
    next("*:0/20 UTC", now, &["2026-11-27T01:40:00Z", "2026-11-27T02:00:00Z"]);
    next("2028-02-29 UTC", now, &["2028-02-29T00:00:00Z"]);
    next("*-02-29 UTC", now, &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    next("monday UTC", now, &["2026-11-30T00:00:00Z"]);
    next("*-*-31 8..9:00 UTC", now, &["2026-12-31T08:00:00Z", "2026-12-31T09:00:00Z"]);
    next("daily Europe/Berlin", now, &["2026-11-27T23:00:00Z"]);
    assert_eq!("2020-01-01 UTC".parse::<Calendar>().unwrap().next(at(now)), None);
}

#[test]
fn changes_of_clocks_repeat_no_moment_and_make_none_that_is_not_there() {
    // 02:30 is not there on the 29th of March, and comes twice on the 25th of October.
    let expression = "*-*-* 02:30:00 Europe/Berlin";
    next(expression, "2026-03-28T00:00:00Z", &["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]);
    next(expression, "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn the_newest_moments_of_a_span_and_the_shortest_pause() {
    let calendar: Calendar = "*-*-* 02,14:00:00 UTC".parse().unwrap();
    let found = calendar.between(at("2026-11-01T02:00:00Z"), at("2026-11-03T02:00:00Z"), 3);
    let found: Vec<String> = found.into_iter().map(words).collect();
    assert_eq!(found, ["2026-11-02T02:00:00Z", "2026-11-02T14:00:00Z", "2026-11-03T02:00:00Z"]);
    assert_eq!(calendar.interval_seconds(0), Some(12 * 3600));
    let weekly: Calendar = "weekly UTC".parse().unwrap();
    assert_eq!(weekly.interval_seconds(0), Some(7 * 86_400));
}

#[test]
fn cron_says_the_same_or_is_refused() {
    let check = |expression: &str, expected: Result<&str, NoCron>| {
        let found = expression.parse::<Calendar>().unwrap().cron();
        assert_eq!(found.as_deref().map_err(|error| *error), expected, "{expression}");
    };
    check("*-*-* 02:00:00 UTC", Ok("0 2 * * *"));
    check("Sun *-*-* 03:05", Ok("5 3 * * 0"));
    check("Mon..Fri *:0/30", Ok("0,30 * * * 1,2,3,4,5"));
    check("Sat,Sun,Mon 00:00", Ok("0 0 * * 0,1,6"));
    check("quarterly", Ok("0 0 1 1,4,7,10 *"));
    check("*:*:30", Err(NoCron::Seconds));
    check("2027-01-01 00:00", Err(NoCron::Years));
    check("Fri *-*-13 00:00", Err(NoCron::Days));
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    let refuses = |text: &str, why: &str| {
        let error = text.parse::<Calendar>().unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    };
    refuses("", "neither");
    refuses("5", "no date");
    refuses("02", "no date");
    refuses("*-*-* 25:00", "no hour `25`");
    refuses("*-13-01", "no month `13`");
    refuses("*-02-30", "no such day");
    refuses("*-*-* 02:00 Mars/Base", "no time zone");
    refuses("*-*-* 02:60", "no minute");
    refuses("Mun 02:00", "no day of the week");
    refuses("*-*~01", "not known here");
    refuses("*-*-* *-*-* 02:00", "too many");
    refuses("*-*-* 0/0:00", "step");
    refuses("*:0/70", "step");
    refuses("*-*-* 5..3:00", "no hour");
    refuses("*-*-* -1:00", "no hour");
    refuses("every day", "no time zone `day`");
    refuses("Sat..Mon 01:00", "ends before it begins");
}
