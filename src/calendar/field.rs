//! One field of an expression: the numbers that it names.

/// The numbers that a field may name, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    name: &'static str,
    first: u16,
    last: u16,
}

impl Range {
    pub(super) const WEEKDAY: Self = Self { name: "day of the week", first: 0, last: 6 };
    pub(super) const YEAR: Self = Self { name: "year", first: 1970, last: 2225 };
    pub(super) const MONTH: Self = Self { name: "month", first: 1, last: 12 };
    pub(super) const DAY: Self = Self { name: "day", first: 1, last: 31 };
    pub(super) const HOUR: Self = Self { name: "hour", first: 0, last: 23 };
    pub(super) const MINUTE: Self = Self { name: "minute", first: 0, last: 59 };
    pub(super) const SECOND: Self = Self { name: "second", first: 0, last: 59 };
}

/// Numbers of a range, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    range: Range,
    numbers: Vec<u16>,
}

impl Set {
    /// Every number.
    pub(super) fn all(range: Range) -> Self {
        Self { range, numbers: (range.first..=range.last).collect() }
    }

    /// `*`, `5`, `1,3`, `1..5`, `0/15`, `*/2`, `1..9/2`, and lists of these.
    pub(super) fn parse(text: &str, range: Range) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (span, step) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
            let (first, last) = span_of(span, step.is_some(), range)?;
            let step = match step {
                Some(text) => number(text, range).ok().filter(|step| *step > 0),
                None => Some(1),
            };
            let most = range.last - range.first;
            let step = step.filter(|step| *step <= most);
            let step = step.ok_or_else(|| format!("`{part}` has no step such as `0/15`"))?;
            numbers.extend((first..=last).step_by(usize::from(step)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Self { range, numbers })
    }

    pub(super) fn contains(&self, number: u16) -> bool {
        self.numbers.binary_search(&number).is_ok()
    }

    /// Sorted.
    pub(super) fn numbers(&self) -> &[u16] {
        &self.numbers
    }

    pub(super) fn is_all(&self) -> bool {
        self.numbers.len() == usize::from(self.range.last - self.range.first) + 1
    }
}

/// Days of the week: `Mon`, `Mon,Wed`, `Mon..Fri`, in full or by three letters.
pub(super) fn weekdays(text: &str) -> Result<Set, String> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (weekday(first)?, weekday(last)?);
        if first > last {
            return Err(format!("`{part}` ends before it begins: weeks begin on Monday"));
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Set { range: Range::WEEKDAY, numbers })
}

fn weekday(text: &str) -> Result<u16, String> {
    let lower = text.to_ascii_lowercase();
    let matches = |name: &&str| lower == **name || lower == name[..3];
    let found = WEEKDAYS.iter().position(matches);
    let found = found.and_then(|at| u16::try_from(at).ok());
    found.ok_or_else(|| format!("`{text}` is no day of the week such as `Mon`"))
}

fn span_of(text: &str, has_step: bool, range: Range) -> Result<(u16, u16), String> {
    if text == "*" {
        return Ok((range.first, range.last));
    }
    let (first, last) = if let Some((first, last)) = text.split_once("..") {
        (number(first, range)?, number(last, range)?)
    } else {
        let first = number(text, range)?;
        (first, if has_step { range.last } else { first })
    };
    let is_inside = |number: u16| (range.first..=range.last).contains(&number);
    if !is_inside(first) || !is_inside(last) || first > last {
        return Err(format!("there is no {} `{text}`", range.name));
    }
    Ok((first, last))
}

fn number(text: &str, range: Range) -> Result<u16, String> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if is_plain { text.parse().ok() } else { None };
    parsed.ok_or_else(|| format!("`{text}` is no {}", range.name))
}

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
