//! Numbers, ids, times and modes in words.

use crate::format::tree::EntryKind;
use std::fmt;
use std::time::Duration;

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// How many times larger `whole` is than `part`: `12.3x`.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "shown with one digit")]
pub(crate) fn ratio(whole: u64, part: u64) -> String {
    if part == 0 {
        return "none".to_owned();
    }
    format!("{:.1}x", whole as f64 / part as f64)
}

/// How much of `whole` a part is, in per cent, rounded down: all of it only if nothing is missing.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let share = (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(100);
    format!("{share} %")
}

/// A time that went by.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{:.1} s", time.as_secs_f64()),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// The time from one moment to another, both in RFC 3339; none if the other is not later.
pub(crate) fn between(from: &str, until: &str) -> Duration {
    let seconds = |text: &str| text.parse().map_or(0, jiff::Timestamp::as_second);
    Duration::from_secs(u64::try_from(seconds(until) - seconds(from)).unwrap_or(0))
}

/// An RFC 3339 time without fractions of a second.
pub(crate) fn short_time(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _fraction)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

/// A mode as `ls -l` writes it.
pub(crate) fn mode(kind: &EntryKind, mode: u16) -> String {
    let mut text = String::from(match kind {
        EntryKind::File(_) => '-',
        EntryKind::Directory(_) => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharacterDevice(_) => 'c',
        EntryKind::BlockDevice(_) => 'b',
    });
    for (shift, special, set, unset) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special == 0, bits & 1 == 0) {
            (true, true) => '-',
            (true, false) => 'x',
            (false, true) => unset,
            (false, false) => set,
        });
    }
    text
}

/// Rows of columns, each as wide as its widest cell; the last column is not padded.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(|heading| (*heading).to_owned()).collect()])
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
        };
        let columns = self.0.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.0.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let end = if number + 1 == self.0.len() { "" } else { "\n" };
            write!(formatter, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Words as a shell takes them.
pub(crate) fn shell_words(words: &[String]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,%+@".contains(&byte);
    let quoted = words.iter().map(|word| {
        if word.bytes().all(is_plain) && !word.is_empty() {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode(&EntryKind::Fifo, 0o644), "prw-r--r--");
        assert_eq!(mode(&EntryKind::Socket, 0o4755), "srwsr-xr-x");
        assert_eq!(mode(&EntryKind::Socket, 0o1000), "s--------T");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(ratio(10, 4), "2.5x");
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(3700)), "1 h 1 min");
        assert_eq!(short_time("2026-10-14T02:00:00.5Z"), "2026-10-14T02:00:00Z");
    }
}
