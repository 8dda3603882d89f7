//! Numbers as people read them.

/// `1 run`, `2 runs`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A share with two digits, rounded down: all only if nothing is missing. `None` of nothing.
pub(crate) fn hundredths(part: u64, whole: u64) -> Option<u64> {
    let share = (u128::from(part) * 10_000).checked_div(u128::from(whole))?;
    Some(u64::try_from(share).unwrap_or(u64::MAX))
}

/// `93.54 %`; a round number without its zeros.
pub(crate) fn percent(hundredths: u64) -> String {
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole} %"),
        (whole, part) => format!("{whole}.{part:02} %"),
    }
}

/// `0 s`, `95 s`, `12 min`, `26 h 10 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: i64) -> String {
    let (sign, seconds) = (if seconds < 0 { "−" } else { "" }, seconds.unsigned_abs());
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    let with = |whole: u64, unit: &str, part: u64, small: &str| {
        if part == 0 {
            format!("{sign}{whole} {unit}")
        } else {
            format!("{sign}{whole} {unit} {part} {small}")
        }
    };
    if days >= 3 {
        with(days, "d", hours % 24, "h")
    } else if hours > 0 {
        with(hours, "h", minutes % 60, "min")
    } else if minutes >= 2 {
        with(minutes, "min", seconds % 60, "s")
    } else {
        format!("{sign}{seconds} s")
    }
}

/// The same of milliseconds, with a digit behind the point for less than ten seconds.
pub(crate) fn milliseconds(milliseconds: u64) -> String {
    if milliseconds < 10_000 {
        return format!("{}.{} s", milliseconds / 1000, milliseconds / 100 % 10);
    }
    duration(i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX))
}

/// How many times larger `whole` is than `part`: `12.3×`; `None` of nothing.
pub(crate) fn ratio(whole: u64, part: u64) -> Option<String> {
    let tenths = (u128::from(whole) * 10).checked_div(u128::from(part))?;
    Some(format!("{}.{}×", tenths / 10, tenths % 10))
}

/// Digits in groups of three, by thin spaces: `12 345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_up_and_nothing_has_none() {
        assert_eq!(hundredths(9_999_999, 10_000_000).map(percent).as_deref(), Some("99.99 %"));
        assert_eq!(hundredths(31, 31).map(percent).as_deref(), Some("100 %"));
        assert_eq!(hundredths(0, 0), None);
        assert_eq!(ratio(5, 0), None);
        assert_eq!(ratio(u64::MAX, 1).as_deref(), Some("18446744073709551615.0×"));
    }

    #[test]
    fn times_and_numbers_read_well() {
        let read: Vec<String> =
            [0, 95, 720, 94_200, 273_600, -60].into_iter().map(duration).collect();
        assert_eq!(read, ["0 s", "95 s", "12 min", "26 h 10 min", "3 d 4 h", "−60 s"]);
        assert_eq!(milliseconds(1_250), "1.2 s");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
