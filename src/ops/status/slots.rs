//! Days, weeks and months of which a policy keeps a snapshot: those that should have one and have none.

use crate::ops::look::SnapshotRow;
use crate::ops::status::expect::Expectation;
use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How many of the newest slots a policy keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptSlots {
    pub(crate) days: u32,
    pub(crate) weeks: u32,
    pub(crate) months: u32,
    /// Where days begin.
    pub(crate) zone: Option<TimeZone>,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Day,
    Week,
    Month,
}

impl Slot {
    /// The slot's first day, of that which holds `day`.
    fn first(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => Some(day),
            Self::Week => {
                day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).ok()
            }
            Self::Month => Some(day.first_of_month()),
        }
    }

    fn words(self, first: Date) -> String {
        match self {
            Self::Day => format!("{first}"),
            Self::Week => format!("the week of {first}"),
            Self::Month => format!("{:04}-{:02}", first.year(), first.month()),
        }
    }
}

/// The slots that should have a snapshot and have none, in words, the newest first.
///
/// A slot counts if a run should have come in it, after the oldest snapshot that there is; the one under way may
/// still get its snapshot.
pub(crate) fn lacking(expected: &Expectation, rows: &[&SnapshotRow], due: i64) -> Vec<String> {
    let Some(oldest) = rows.iter().map(|row| row.data_time().0).min() else { return Vec::new() };
    let kept = &expected.kept;
    let mut lacking = Vec::new();
    for (slot, count) in
        [(Slot::Day, kept.days), (Slot::Week, kept.weeks), (Slot::Month, kept.months)]
    {
        lacking
            .extend(lacking_of(expected, rows, (slot, count), (oldest, due)).unwrap_or_default());
    }
    lacking
}

fn lacking_of(
    expected: &Expectation,
    rows: &[&SnapshotRow],
    (slot, count): (Slot, u32),
    (oldest, due): (i64, i64),
) -> Option<Vec<String>> {
    let calendar = expected.schedule.as_ref()?;
    let zone = expected.kept.zone.clone().unwrap_or(TimeZone::UTC);
    let start_of =
        |day: Date| day.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp().as_second());
    let day_of =
        |seconds: i64| Some(Timestamp::from_second(seconds).ok()?.to_zoned(zone.clone()).date());
    let mut end = start_of(slot.first(day_of(due)?)?)?;
    let mut lacking = Vec::new();
    // The newest slot is under way, and the policy counts it.
    for _ in 1..count.min(SLOTS_MAX) {
        let first = slot.first(day_of(end - 1)?)?;
        let start = start_of(first)?;
        if start < oldest {
            break;
        }
        let is_expected = !calendar.between(start - 1, end - 1, 1).is_empty();
        let has_one = rows.iter().any(|row| (start..end).contains(&row.data_time().0));
        if is_expected && !has_one {
            lacking.push(slot.words(first));
        }
        end = start;
    }
    Some(lacking)
}

/// Ten years of days.
const SLOTS_MAX: u32 = 3660;
